package post

import (
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"strings"

	"github.com/logferry/logferry/pkg/secure"
)

// Credential makes the value of a header from what is in the secret's file at the moment.
type Credential struct {
	Scheme string              // "Bearer", "Basic", ..; "": the value is the secret alone, which may have blanks then
	Key    string              // the configuration's, for errors
	File   *secure.Secret      // nil: no credential
	Encode func(string) string // nil: the secret goes as it stands in the file
}

// Plain is a Credential whose secret goes behind the scheme as it is.
func Plain(scheme, key, path string) Credential {
	return Credential{Scheme: scheme, Key: key, File: secure.NewSecret(path)}
}

// Basic is a Credential for a user with the password in a file.
func Basic(user, key, path string) Credential {
	return Credential{Scheme: "Basic", Key: key, File: secure.NewSecret(path), Encode: func(password string) string {
		return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	}}
}

// Get reads the file if it has changed. value is "" without a credential. secrets are what must not get into errors. Errors hold no
// secret, but need their class: they are Blocked.
func (c Credential) Get() (value string, secrets Secrets, err error) {
	if c.File == nil {
		return "", nil, nil
	}
	secret, err := c.File.Get()
	if err != nil {
		return "", nil, err
	}
	if strings.ContainsFunc(secret, c.foreign) {
		return "", nil, fmt.Errorf("%s must hold the secret alone, it has blanks, line ends or other characters", c.Key)
	}
	sent := secret
	if c.Encode != nil {
		sent = c.Encode(secret)
	}
	return strings.TrimSpace(c.Scheme + " " + sent), Secrets{sent, secret}, nil
}

// foreign tells what no secret has: it comes from a file with more in it. A password may have blanks and letters of any language.
func (c Credential) foreign(r rune) bool {
	switch c.Scheme {
	case "Basic":
		return r < ' ' || r == 0x7f
	case "":
		return r < ' ' || r >= 0x7f
	}
	return r <= ' ' || r >= 0x7f
}

// Secrets are texts that must not get into errors. They print as <redacted>.
type Secrets []string

const redacted = "<redacted>"

// String keeps them out of logs.
func (s Secrets) String() string { return redacted }

// GoString keeps them out of %#v.
func (s Secrets) GoString() string { return redacted }

// Hide takes them out of what a peer says, which may show the request: as they are, and as they stand in URLs and HTML. It is for
// texts that are shown; what is parsed is parsed as it came.
func (s Secrets) Hide(text string) string {
	for _, secret := range s {
		if secret == "" {
			continue
		}
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret)} {
			text = strings.ReplaceAll(text, form, redacted)
		}
	}
	return text
}

// Line makes a text fit for an error: valid, on one line, cut at 300 bytes. Secrets are hidden before, because a cut one is not
// recognised.
func Line(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), 4096)], "?")), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + ".."
	}
	return text
}
