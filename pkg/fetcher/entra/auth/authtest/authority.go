// Package authtest stands in for the Microsoft identity platform, and for the identity endpoints of Azure machines, in tests. It
// checks all that the real ones are documented to check, and keeps what it was sent.
package authtest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// The app that there is, and a tenant to sign in to.
const (
	Tenant = "11111111-2222-3333-4444-555555555555"
	Client = "66666666-7777-8888-9999-000000000000"
	Login  = "https://login.example.com" // RoundTrip answers under any host's name
)

// Authority answers token requests. The zero value knows the app and no credential of it. It is safe for use by many goroutines.
type Authority struct {
	Now   func() time.Time             // default time.Now
	Issue func(resource string) string // makes access tokens; default: of no meaning, each another one
	Life  time.Duration                // of access tokens; default 1 h
	Echo  bool                         // refusals quote what was sent, plain and encoded
	Every time.Duration                // between two polls for a device code; default 5 s, as the platform has it
	Users int                          // identities of the machine: 0 none, 1 its own, 2 also Client's

	mu       sync.Mutex
	secrets  map[string]bool
	certs    map[[32]byte]*x509.Certificate
	trusted  []Trust
	used     map[string]bool // jti
	refresh  map[string]bool
	devices  map[string]*device
	fail     *Refusal
	requests []Request
	issued   []string
}

// Request is one that came.
type Request struct {
	At   time.Time
	URL  url.URL
	Form url.Values // of the query for an identity endpoint
}

// Refusal is an error reply.
type Refusal struct {
	Status int
	Word   string // OAuth 2.0's
	Number int    // AADSTS; 0: none
}

func refuse(status int, word string, number int) *Refusal { return &Refusal{status, word, number} }

// Secret has the app know exactly these client secrets.
func (a *Authority) Secret(all ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = map[string]bool{}
	for _, s := range all {
		a.secrets[s] = true
	}
}

// Register has the app know exactly these certificates.
func (a *Authority) Register(all ...*x509.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.certs = map[[32]byte]*x509.Certificate{}
	for _, c := range all {
		a.certs[sha256.Sum256(c.Raw)] = c
	}
}

// Fail refuses every token request so; nil: no longer.
func (a *Authority) Fail(r *Refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = r
}

// Requests gives what came.
func (a *Authority) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.requests...)
}

// Issued gives every access and refresh token, and every device code, that was given out.
func (a *Authority) Issued() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.issued...)
}

func (a *Authority) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// RoundTrip answers in memory.
func (a *Authority) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.Host = r.URL.Host
	a.ServeHTTP(w, in)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// ServeHTTP implements http.Handler.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	u := *r.URL
	u.Host = r.Host
	if u.Scheme == "" {
		u.Scheme = "http"
		if r.TLS != nil {
			u.Scheme = "https"
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, Request{a.now(), u, r.Form})
	w.Header().Set("Date", a.now().UTC().Format(http.TimeFormat))
	w.Header().Set("X-Ms-Request-Id", rand.Text())
	w.Header().Set("Content-Type", "application/json")
	u.RawQuery = ""
	_, path, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/") // whatever tenant
	path = "/" + path
	switch {
	case u.Path == "/metadata/identity/oauth2/token", u.Path == "/msi/token":
		a.machine(w, r)
	case r.Method != http.MethodPost:
		a.no(w, r, refuse(400, "invalid_request", 900561))
	case a.fail != nil:
		a.no(w, r, a.fail)
	case path == "/oauth2/v2.0/token", path == "/oauth2/token":
		a.token(w, r, u.String(), path == "/oauth2/token")
	case path == "/oauth2/v2.0/devicecode":
		a.begin(w, r)
	default:
		a.no(w, r, refuse(400, "invalid_request", 90002))
	}
}

// token answers at the token endpoint.
func (a *Authority) token(w http.ResponseWriter, r *http.Request, audience string, v1 bool) {
	form := r.PostForm
	resource, ok := strings.CutSuffix(strings.TrimSuffix(form.Get("scope"), " offline_access"), "/.default")
	if v1 {
		resource, ok = form.Get("resource"), form.Get("resource") != "" && !form.Has("scope")
	}
	var no *Refusal
	person := false
	switch kind := form.Get("grant_type"); {
	case !ok && kind != "urn:ietf:params:oauth:grant-type:device_code":
		no = refuse(400, "invalid_scope", 1002012)
	case form.Get("client_id") != Client:
		no = refuse(400, "unauthorized_client", 700016)
	case kind == "client_credentials":
		no = a.credential(form, audience)
	case kind == "refresh_token" && a.refresh[form.Get("refresh_token")]:
		person = true
	case kind == "refresh_token":
		no = refuse(400, "invalid_grant", 700082)
	case kind == "urn:ietf:params:oauth:grant-type:device_code":
		no, person = a.poll(form.Get("device_code")), true
	default:
		no = refuse(400, "unsupported_grant_type", 70003)
	}
	if no != nil {
		a.no(w, r, no)
		return
	}
	a.grant(w, resource, v1, person)
}

// credential judges what proves that the client is the app.
func (a *Authority) credential(form url.Values, audience string) *Refusal {
	secret, assertion := form.Get("client_secret"), form.Get("client_assertion")
	switch {
	case secret == "" && assertion == "", secret != "" && assertion != "":
		return refuse(401, "invalid_client", 7000218)
	case secret != "" && !a.secrets[secret]:
		return refuse(401, "invalid_client", 7000215)
	case secret != "":
		return nil
	case form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return refuse(400, "invalid_request", 900144)
	}
	return a.assertion(assertion, audience)
}

// grant gives a token, with numbers as the two endpoints have them.
func (a *Authority) grant(w http.ResponseWriter, resource string, v1, person bool) {
	life := a.Life
	if life == 0 {
		life = time.Hour
	}
	access := a.access(resource)
	reply := map[string]any{"token_type": "Bearer", "access_token": access, "expires_in": int(life.Seconds())}
	if v1 {
		reply["expires_in"], reply["resource"] = fmt.Sprint(int(life.Seconds())), resource
	}
	if person {
		next := "refresh-" + rand.Text()
		if a.refresh == nil {
			a.refresh = map[string]bool{}
		}
		a.refresh[next] = true
		a.issued = append(a.issued, next)
		reply["refresh_token"] = next
	}
	_ = json.NewEncoder(w).Encode(reply)
}

func (a *Authority) access(resource string) string {
	token := "access-" + rand.Text()
	if a.Issue != nil {
		token = a.Issue(resource)
	}
	a.issued = append(a.issued, token)
	return token
}

// no refuses, in the words of the platform.
func (a *Authority) no(w http.ResponseWriter, r *http.Request, no *Refusal) {
	said := "refused."
	if no.Number > 0 {
		said = fmt.Sprintf("AADSTS%d: refused.", no.Number)
	}
	if a.Echo {
		for key, values := range r.Form {
			for _, v := range values {
				said += fmt.Sprintf(" %s %s %s %s %s %s", key, v, v[strings.LastIndexByte(v, '.')+1:], url.QueryEscape(v), base64.StdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte("x"+v)))
			}
		}
		said += " " + r.Header.Get("X-Identity-Header")
	}
	w.WriteHeader(no.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": no.Word, "error_description": said + " Trace ID: 1 Timestamp: now", "error_codes": []int{no.Number}})
}
