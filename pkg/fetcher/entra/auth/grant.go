package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

// assertionType says that client_assertion is a JWT (RFC 7523 section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// proof is a credential as it was read.
type proof struct {
	form    func(now time.Time) (url.Values, error) // what a token request carries of it
	expires time.Time                               // zero: not known
	public  string                                  // what may be said of it, such as a thumbprint; "" for nothing
	note    string                                  // what is wrong with it although it works; "" for nothing
}

// String keeps the credential out of logs.
func (*proof) String() string { return "<redacted>" }

// GoString keeps it out of %#v.
func (*proof) GoString() string { return "<redacted>" }

// grant signs in with the client credentials grant.
type grant struct {
	endpoint
	read  func() (string, error)       // what the credential is made of
	parse func(string) (*proof, error) //

	last  string // that was read
	proof *proof // that was made of it
	err   error  // or why none was
}

func newGrant(cfg Config, o Options) *grant {
	g := &grant{endpoint: endpoint{app: cfg.ClientID, Options: o}}
	switch {
	case cfg.CertificateFile != "":
		g.word = byCertificate
		g.read = func() (string, error) { return readCertificate(cfg.CertificateFile, cfg.CertificatePasswordFile) }
		g.parse = func(content string) (*proof, error) {
			p, err := parseCertificate(content, cfg.ClientID, o.TokenURL)
			if err != nil {
				return nil, fmt.Errorf("load certificate_file %s: %w", cfg.CertificateFile, err)
			}
			return p, nil
		}
	case cfg.FederatedTokenFile != "":
		g.word = byFederation
		g.read = secure.NewSecret(cfg.FederatedTokenFile).Get
		g.parse = func(token string) (*proof, error) {
			return &proof{public: aboutToken(token), form: constant(url.Values{"client_assertion_type": {assertionType}, "client_assertion": {token}})}, nil
		}
	default:
		g.word = bySecret
		g.read = secure.NewSecret(cfg.ClientSecretFile).Get
		g.parse = func(secret string) (*proof, error) {
			return &proof{form: constant(url.Values{"client_secret": {secret}})}, nil
		}
	}
	return g
}

func constant(form url.Values) func(time.Time) (url.Values, error) {
	return func(time.Time) (url.Values, error) { return form, nil }
}

// look reads the credential and makes a new proof of it if it has changed.
func (g *grant) look() (*proof, error) {
	content, err := g.read()
	if err != nil {
		return nil, err
	}
	if content != g.last {
		g.proof, g.err = g.parse(content)
		g.last = content
	}
	return g.proof, g.err
}

// mint asks for a token. Where the service refuses an assertion because of its times, and its own reply has just set the clock
// right, the request is sent a second time.
func (g *grant) mint(ctx context.Context, p *proof) (*oauth2.Token, error) {
	for again := false; ; again = true {
		at := g.Now()
		form, err := p.form(at)
		if err != nil {
			return nil, fault.Block(fmt.Errorf("sign in: %w", err))
		}
		token, err := g.exchange(ctx, form, p.public)
		if err == nil || again || g.word != byCertificate || ctx.Err() != nil || !mistimed(err) || g.Now().Sub(at).Abs() < 3*time.Minute {
			return token, err
		}
	}
}

// endpoint is the tenant's token endpoint, for one app.
type endpoint struct {
	word string // the way, as the configuration calls it
	app  string
	Options
}

// exchange sends one request for a token. Errors hold nothing of form; public says of the credential what may be said.
func (e endpoint) exchange(ctx context.Context, form url.Values, public string) (*oauth2.Token, error) {
	request := clientcredentials.Config{ClientID: e.app, TokenURL: e.TokenURL, AuthStyle: oauth2.AuthStyleInParams, EndpointParams: url.Values{}}
	for key, values := range form {
		if key == "client_secret" {
			request.ClientSecret = values[0]
			continue
		}
		request.EndpointParams[key] = values
	}
	switch {
	case form.Has("scope"):
	case e.Resource != "":
		request.EndpointParams.Set("resource", e.Resource)
	default:
		request.Scopes = []string{e.Scope}
	}
	token, err := request.Token(context.WithValue(ctx, oauth2.HTTPClient, e.HTTP))
	if err != nil {
		return nil, e.explain(ctx, err, form, public)
	}
	return token, nil
}

// aboutToken says whom an OIDC token names, and when it ends: what has to match the app's federated credential to the letter.
func aboutToken(token string) string {
	var claims struct {
		Issuer   string          `json:"iss"`
		Subject  string          `json:"sub"`
		Audience json.RawMessage `json:"aud"`
		Expires  float64         `json:"exp"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "the file holds no JWT"
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "the file holds no JWT"
	}
	return fmt.Sprintf("the token names issuer %q, subject %q, audience %s and ends at %s", claims.Issuer, claims.Subject, claims.Audience,
		time.Unix(int64(claims.Expires), 0).UTC().Format(time.RFC3339))
}

// readCertificate gives the password, which has one line, and behind a line feed the file.
func readCertificate(file, passwordFile string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read certificate_file: %w", err)
	}
	if info.Size() > 1<<20 {
		return "", fmt.Errorf("read certificate_file %s: larger than 1 MiB, this is no certificate", file)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read certificate_file: %w", err)
	}
	password := ""
	if passwordFile != "" {
		if password, err = secure.NewSecret(passwordFile).Get(); err != nil {
			return "", fmt.Errorf("certificate_password_file: %w", err)
		}
	}
	return password + "\n" + string(content), nil
}
