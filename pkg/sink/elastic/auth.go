package elastic

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/logferry/logferry/pkg/secure"
)

// auth makes the Authorization header from what is in the secret's file at the moment.
type auth struct {
	scheme string         // "ApiKey", "Basic", "Bearer"; "" for none
	key    string         // the configuration's, for errors
	user   string         // of Basic
	secret *secure.Secret // nil for none
}

func newAuth(cfg Config) auth {
	switch {
	case cfg.APIKeyFile != "":
		return auth{scheme: "ApiKey", key: "api_key_file", secret: secure.NewSecret(cfg.APIKeyFile)}
	case cfg.BearerTokenFile != "":
		return auth{scheme: "Bearer", key: "bearer_token_file", secret: secure.NewSecret(cfg.BearerTokenFile)}
	case cfg.User != "":
		return auth{scheme: "Basic", key: "password_file", user: cfg.User, secret: secure.NewSecret(cfg.PasswordFile)}
	}
	return auth{}
}

// credentials are what one request is signed in with.
type credentials struct {
	header string // "" for none
	secret string // as it stands in the file
	sent   string // as it stands in the header
}

// get reads the file if it has changed. A key of the form id:api_key, which Kibana shows too, is encoded here.
func (a auth) get() (credentials, error) {
	if a.secret == nil {
		return credentials{}, nil
	}
	secret, err := a.secret.Get()
	if err != nil {
		return credentials{}, err
	}
	sent := secret
	switch {
	case a.scheme == "Basic":
		sent = base64.StdEncoding.EncodeToString([]byte(a.user + ":" + secret))
	case a.scheme == "ApiKey" && strings.Contains(secret, ":"):
		sent = base64.StdEncoding.EncodeToString([]byte(secret))
	}
	if strings.ContainsFunc(secret, a.foreign) {
		return credentials{}, fmt.Errorf("%s must hold the secret alone, it has blanks, line ends or other characters", a.key)
	}
	return credentials{header: a.scheme + " " + sent, secret: secret, sent: sent}, nil
}

// foreign tells what no secret has: it comes from a file with more in it. A password may have blanks and letters of any language.
func (a auth) foreign(r rune) bool {
	if a.scheme == "Basic" {
		return r < ' ' || r == 0x7f
	}
	return r <= ' ' || r >= 0x7f
}

// hide takes the secret out of what a peer says, which may show the request: it goes into errors.
func (c credentials) hide(text string) string {
	for _, s := range []string{c.sent, c.secret} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "<redacted>")
		}
	}
	return text
}
