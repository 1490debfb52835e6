package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
)

// keys are made once, because that takes most of the time.
var keys = sync.OnceValue(func() (all []*rsa.PrivateKey) {
	for range 3 {
		key, _, err := authtest.Pair(time.Now())
		if err != nil {
			panic(err)
		}
		all = append(all, key)
	}
	return all
})

// place is a folder with credentials, an authority that knows them, and the source under test.
type place struct {
	*testing.T
	*authtest.Authority
	dir     string
	options Options
	warned  []string
	prompts []Prompt
	onAsk   func(Prompt)
}

func newPlace(t *testing.T) *place {
	p := &place{T: t, Authority: &authtest.Authority{}, dir: t.TempDir()}
	client := &http.Client{Transport: p.Authority, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.options = Options{TokenURL: authtest.Login + "/" + authtest.Tenant + "/oauth2/v2.0/token", Scope: "https://graph.example.com/.default", HTTP: client,
		Warn: func(err error) { p.warned = append(p.warned, err.Error()) },
		Prompt: func(ask Prompt) {
			p.prompts = append(p.prompts, ask)
			if p.onAsk != nil {
				p.onAsk(ask)
			}
		}}
	return p
}

func (p *place) file(name string) string { return filepath.Join(p.dir, name) }

func (p *place) write(name string, content []byte) {
	p.Helper()
	if err := os.WriteFile(p.file(name), content, 0o600); err != nil {
		p.Fatal(err)
	}
	// The file's own clock is the machine's: two writes may fall into one tick.
	at := time.Now().Add(time.Duration(len(p.Requests())) * time.Second)
	if err := os.Chtimes(p.file(name), at, at); err != nil {
		p.Fatal(err)
	}
}

func (p *place) source(cfg Config) *Source {
	p.Helper()
	s, err := NewSource(cfg, p.options)
	if err != nil {
		p.Fatal(err)
	}
	return s
}

func (p *place) token(s *Source) Token {
	p.Helper()
	token, err := s.Token(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	if !slices.Contains(p.Issued(), token.Access) {
		p.Fatal("this token was never issued")
	}
	return token
}

var turn int

// mustCertificate gives another of the keys than the last time, with a certificate of its own.
func mustCertificate(t *testing.T, until time.Time) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	turn++
	key := keys()[turn%len(keys())]
	cert, err := authtest.Certify(key, until)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

var trust = authtest.Trust{Issuer: "https://oidc.example.com", Subject: "system:serviceaccount:siem:logferry", Audience: "api://AzureADTokenExchange"}

// credentials are the ways whose credential is a file, each with a function that writes generation n and has the authority know it
// and nothing else, where known says so.
var credentials = []struct {
	name string
	cfg  func(*place) Config
	turn func(p *place, n int, known bool) (canaries []string)
}{
	{bySecret, func(p *place) Config {
		return Config{ClientID: authtest.Client, ClientSecretFile: p.file("credential")}
	}, func(p *place, n int, known bool) []string {
		secret := fmt.Sprintf("canary+s/cret=%%&%d.~long enough", n)
		p.write("credential", []byte(secret+"\n"))
		if known {
			p.Secret(secret)
		}
		return []string{secret}
	}},
	{byCertificate, func(p *place) Config {
		return Config{ClientID: authtest.Client, CertificateFile: p.file("credential")}
	}, func(p *place, _ int, known bool) []string {
		key, cert := mustCertificate(p.T, time.Now().Add(300*24*time.Hour))
		content := authtest.PEM(key, cert)
		p.write("credential", content)
		if known {
			p.Register(cert)
		}
		lines := strings.Split(string(content), "\n")
		return append(lines[1:20], key.D.String(), string(x509.MarshalPKCS1PrivateKey(key)))
	}},
	{byFederation, func(p *place) Config {
		return Config{ClientID: authtest.Client, FederatedTokenFile: p.file("credential")}
	}, func(p *place, n int, known bool) []string {
		key, at := keys()[n%3], trust
		at.Key = &key.PublicKey
		token := at.Token(key, time.Now(), time.Now().Add(3*time.Hour))
		p.write("credential", []byte(token))
		if known {
			p.Federate(at)
		}
		return []string{token, token[strings.LastIndexByte(token, '.')+1:]}
	}},
}

// TestEachWay signs in with each credential at both endpoints, and again when the API refuses the token.
func TestEachWay(t *testing.T) {
	for _, c := range credentials {
		for _, v1 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/v1=%v", c.name, v1), func(t *testing.T) {
				p := newPlace(t)
				if v1 {
					p.options.TokenURL, p.options.Resource = strings.Replace(p.options.TokenURL, "/v2.0", "", 1), "https://graph.windows.example.com"
				}
				c.turn(p, 1, true)
				s := p.source(c.cfg(p))
				first := p.token(s)
				if again := p.token(s); again.Access != first.Access {
					t.Error("a token that is good was replaced")
				}
				s.Discard(first)
				if p.token(s).Access == first.Access {
					t.Error("a token that was refused is used on")
				}
				requests := p.Requests()
				if len(requests) != 2 || requests[0].Form.Get("grant_type") != "client_credentials" {
					t.Fatalf("%d requests", len(requests))
				}
				if form := requests[0].Form; v1 && form.Get("resource") != p.options.Resource || !v1 && form.Get("scope") != p.options.Scope {
					t.Errorf("asked for scope %q, resource %q", form.Get("scope"), form.Get("resource"))
				}
			})
		}
	}
}

// TestRotation: a changed credential is in use within a minute, while the present token is good; what is broken or not yet known to
// the service is told, and the old one is used on, for as long as it works.
func TestRotation(t *testing.T) {
	for _, c := range credentials {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				c.turn(p, 1, true)
				s := p.source(c.cfg(p))
				first := p.token(s)
				minute := func() Token {
					for range 6 {
						time.Sleep(10 * time.Second)
						p.token(s)
					}
					return p.token(s)
				}
				if minute().Access != first.Access || len(p.Requests()) != 1 {
					t.Fatalf("%d requests for one token", len(p.Requests()))
				}
				c.turn(p, 2, true)
				second := minute()
				if second.Access == first.Access {
					t.Fatal("after a minute the changed credential is not used")
				}
				// Broken: used on from memory, also for new tokens.
				p.write("credential", []byte(" "))
				if minute().Access != second.Access {
					t.Error("a token that is good was given up for a broken file")
				}
				if n := s.Standing().Notes; len(n) != 1 || !strings.Contains(n[0].Text, p.file("credential")) || n[0].Blocked {
					t.Errorf("the standing says %+v", n)
				}
				s.Discard(second)
				third := p.token(s)
				// Not registered yet: the same, and the service is not asked all the time.
				c.turn(p, 3, false)
				before := len(p.Requests())
				if minute().Access != third.Access {
					t.Error("a token that is good was given up for a refused credential")
				}
				if n := len(p.Requests()) - before; n != 1 {
					t.Errorf("the refused credential was tried %d times in a minute", n)
				}
				s.Discard(third)
				fourth := p.token(s)
				if n := s.Standing().Notes; len(n) != 1 || !strings.Contains(n[0].Text, "previous one is used on") || !strings.Contains(n[0].Text, "AADSTS") {
					t.Errorf("the standing says %+v", n)
				}
				// Known at last, without a further change of the file.
				c.turn(p, 4, true)
				if minute().Access == fourth.Access || len(s.Standing().Notes) != 0 {
					t.Errorf("it is not used, or trouble stays: %+v", s.Standing().Notes)
				}
				if len(p.warned) != 3 && len(p.warned) != 4 {
					t.Errorf("%d warnings: %q", len(p.warned), p.warned)
				}
				// Nothing works any more.
				p.write("credential", []byte(" "))
				p.Secret()
				p.Register()
				p.Federate()
				time.Sleep(2 * time.Second) // a secret's file is looked at once a second
				s.Discard(p.token(s))
				if _, err := s.Token(t.Context()); fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "successor cannot be used") {
					t.Errorf("with nothing that works: %v", err)
				}
			})
		})
	}
}

// TestRenewalFails: while the present token is good a failing service costs nothing; afterwards the error is told.
func TestRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		credentials[0].turn(p, 1, true)
		s := p.source(credentials[0].cfg(p))
		first := p.token(s)
		time.Sleep(56 * time.Minute)
		p.Fail(&authtest.Refusal{Status: 503, Word: "server_error"})
		for range 18 { // 3 minutes
			time.Sleep(10 * time.Second)
			if p.token(s).Access != first.Access {
				t.Fatal("another token out of nothing")
			}
		}
		if n := len(p.Requests()); n < 4 || n > 8 {
			t.Errorf("%d requests in 3 minutes of failing", n-1)
		}
		time.Sleep(2 * time.Minute)
		if _, err := s.Token(t.Context()); fault.Of(err) != fault.Retryable || err == nil {
			t.Errorf("after the end of the token: %v", err)
		}
		p.Fail(nil)
		p.token(s)
	})
}

// TestThumbprintForms: the authority takes both, as the platform does; ours is the documented one.
func TestThumbprintForms(t *testing.T) {
	key, cert := mustCertificate(t, time.Now().Add(time.Hour))
	sum := sha256.Sum256(cert.Raw)
	p := newPlace(t)
	p.Register(cert)
	send := func(jwt string) int {
		resp, err := p.options.HTTP.PostForm(p.options.TokenURL, url.Values{"grant_type": {"client_credentials"}, "client_id": {authtest.Client},
			"scope": {p.options.Scope}, "client_assertion_type": {assertionType}, "client_assertion": {jwt}})
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	ours, err := assertion(key, sum, authtest.Client, p.options.TokenURL, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	header, err := base64.RawURLEncoding.DecodeString(ours[:strings.IndexByte(ours, '.')])
	if want := base64.RawURLEncoding.EncodeToString(sum[:]); err != nil || !strings.Contains(string(header), `"x5t#S256":"`+want+`"`) {
		t.Errorf("the header is %s, %v", header, err)
	}
	padded := signed(t, key, fmt.Sprintf(`{"alg":"PS256","typ":"JWT","x5t#S256":%q}`, base64.StdEncoding.EncodeToString(sum[:])),
		fmt.Sprintf(`{"aud":%q,"iss":%q,"sub":%q,"jti":"a jti of its own, long enough","nbf":%d,"exp":%d}`,
			p.options.TokenURL, authtest.Client, authtest.Client, time.Now().Unix(), time.Now().Unix()+60))
	for jwt, want := range map[string]int{ours: 200, padded: 200, ours[:len(ours)-4] + "AAAA": 401} {
		if got := send(jwt); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	if send(ours) == 200 {
		t.Error("the authority takes an assertion twice")
	}
}

// signed makes a JWT.
func signed(t *testing.T, key *rsa.PrivateKey, header, claims string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
