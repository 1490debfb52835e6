package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

const secret = `p+l%a"ce&holder`

// replies is the token endpoint.
type replies func(form url.Values) (status int, header http.Header, body string)

func (e replies) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, err
	}
	status, header, body := e(form)
	if status == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func newSource(t *testing.T, e replies) (*Source, string) {
	t.Helper()
	return newSourceAt(t, Options{TokenURL: "https://login.example.com/t/oauth2/v2.0/token", Scope: "https://graph.example.com/.default"}, e)
}

func newSourceAt(t *testing.T, o Options, e replies) (*Source, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.HTTP = &http.Client{Transport: e, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s, err := NewSource(Config{ClientID: "client", ClientSecretFile: file}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, file
}

func granted(n int, life int) (int, http.Header, string) {
	return 200, nil, fmt.Sprintf(`{"token_type":"Bearer","expires_in":%d,"ext_expires_in":%d,"access_token":"token-%d"}`, life, life, n)
}

// TestCache: one request for all callers, a new token five minutes before the old one ends, or when it was refused.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s, _ := newSource(t, func(form url.Values) (int, http.Header, string) {
			want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"client"}, "client_secret": {secret}, "scope": {"https://graph.example.com/.default"}}
			if form.Encode() != want.Encode() {
				t.Errorf("form %s, want %s", form.Encode(), want.Encode())
			}
			n++
			return granted(n, 3600)
		})
		get := func(want string) Token {
			t.Helper()
			token, err := s.Token(t.Context())
			if err != nil || token.Access != want {
				t.Errorf("token %s, %v, want %s", token.Access, err, want)
			}
			return token
		}
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() { get("token-1") })
		}
		group.Wait()
		time.Sleep(54 * time.Minute)
		old := get("token-1")
		time.Sleep(2 * time.Minute)
		get("token-2")
		s.Discard(old) // refused, but replaced meanwhile
		s.Discard(get("token-2"))
		get("token-3")
	})
}

func TestShortLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s, _ := newSource(t, func(url.Values) (int, http.Header, string) { n++; return granted(n, 60) })
		for range 10 { // 100 s: each token serves 45 s
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if n != 2 {
			t.Errorf("%d tokens", n)
		}
	})
}

func TestFaults(t *testing.T) {
	aadsts := func(code, description string) string {
		return fmt.Sprintf(`{"error":%q,"error_description":%q,"error_codes":[0],"trace_id":"x"}`, code, description+" Trace ID: 1234 Timestamp: now")
	}
	for _, c := range []struct {
		name   string
		status int
		header http.Header
		body   string
		class  fault.Class
		pause  time.Duration
		says   string
	}{
		{"wrong secret", 401, nil, aadsts("invalid_client", "AADSTS7000215: Invalid client secret provided."), fault.Blocked, 0, "the client secret is wrong"},
		{"expired secret", 401, nil, aadsts("invalid_client", "AADSTS7000222: expired"), fault.Blocked, 0, "the client secret has expired"},
		{"unknown app", 400, nil, aadsts("unauthorized_client", "AADSTS700016: not found"), fault.Blocked, 0, "no such app"},
		{"unknown tenant", 400, nil, aadsts("invalid_request", "AADSTS90002: Tenant not found"), fault.Blocked, 0, "no such tenant"},
		{"unknown refusal", 400, nil, aadsts("invalid_request", "AADSTS1: Something else."), fault.Blocked, 0, "Something else."},
		{"echo", 400, nil, aadsts("invalid_request", "AADSTS1: you sent "+secret+" and "+url.QueryEscape(secret)), fault.Blocked, 0, "you sent <redacted> and <redacted>"},
		{"echo as text", 400, nil, "you sent " + secret, fault.Blocked, 0, "you sent <redacted>"},
		{"not found", 404, nil, "<html>", fault.Blocked, 0, "http status 404"},
		{"passing fault", 400, nil, aadsts("invalid_request", "AADSTS90033: transient"), fault.Retryable, 0, ""},
		{"server's fault", 503, nil, "", fault.Retryable, 0, "http status 503"},
		{"server says when", 503, http.Header{"Retry-After": {"1.5"}}, "", fault.Retryable, 1500 * time.Millisecond, ""},
		{"throttled", 429, http.Header{"Retry-After": {"20"}}, "", fault.Retryable, 20 * time.Second, ""},
		{"redirect", 307, http.Header{"Location": {"https://example.com"}}, "", fault.Blocked, 0, "check login_url"},
		{"no token", 200, nil, `{"token_type":"Bearer"}`, fault.Retryable, 0, ""},
		{"no JSON", 200, nil, `<html>`, fault.Retryable, 0, ""},
		{"no JSON, with echo", 200, nil, secret, fault.Retryable, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests := 0
			s, _ := newSource(t, func(url.Values) (int, http.Header, string) { requests++; return c.status, c.header, c.body })
			_, err := s.Token(context.Background())
			if err == nil {
				t.Fatal("no error")
			}
			if fault.Of(err) != c.class || fault.Pause(err) != c.pause || !strings.Contains(err.Error(), c.says) {
				t.Errorf("class %s, pause %s: %v", fault.Of(err), fault.Pause(err), err)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
					t.Errorf("the secret is in %s", text)
				}
			}
			if requests != 1 {
				t.Errorf("%d requests", requests)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSource(t, func(url.Values) (int, http.Header, string) { return 0, nil, "" })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		for range 2 { // one in the request, one waiting for it
			group.Go(func() {
				if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

func TestRedacted(t *testing.T) {
	c := Config{ClientSecret: "hunter2"}
	tok := Token{Access: "hunter2"}
	if text := fmt.Sprintf("%v %+v %#v %v %+v %#v", c, c, c, tok, tok, tok); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

func FuzzParseClaims(f *testing.F) {
	part := base64.RawURLEncoding.EncodeToString
	f.Add("x." + part([]byte(`{"tid":"A","roles":["b"]}`)) + ".")
	f.Add("opaque")
	f.Fuzz(func(t *testing.T, token string) {
		c := ParseClaims(token)
		if c.Tenant != strings.ToLower(c.Tenant) {
			t.Errorf("%+v", c)
		}
	})
}

func TestParseClaims(t *testing.T) {
	part := base64.RawURLEncoding.EncodeToString
	for token, want := range map[string]Claims{
		"h." + part([]byte(`{"tid":"AB","roles":["r"]}`)) + ".s": {Tenant: "ab", Roles: []string{"r"}},
		"h." + part([]byte(`{"tid":"ab"}`)) + ".s":               {Tenant: "ab", Roles: []string{}},
		"opaque":    {},
		"h.%%%.s":   {},
		"h.e30.s":   {},
		"a.b.c.d.e": {},
	} {
		if got := ParseClaims(token); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("%s: %#v, want %#v", token, got, want)
		}
	}
}

// TestHungRenewal: while one caller waits for a service that hangs, all others go on with the token that is good.
func TestHungRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s, _ := newSource(t, func(url.Values) (int, http.Header, string) {
			if n++; n > 1 {
				return 0, nil, ""
			}
			return granted(n, 3600)
		})
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(56 * time.Minute)
		var group sync.WaitGroup
		for i := range 5 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				token, err := s.Token(ctx)
				if err != nil || token.Access != "token-1" {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		if n != 2 {
			t.Errorf("%d requests", n)
		}
		time.Sleep(25 * time.Second) // by then it is time to look again
		begun := time.Now()
		for range 10 {
			if _, err := s.Token(t.Context()); err != nil || time.Since(begun) > 0 {
				t.Errorf("waited %s, %v", time.Since(begun), err)
			}
		}
		group.Wait()
	})
}

// TestResource: the older endpoint gets the resource and no scope, and says numbers in strings.
func TestResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSourceAt(t, Options{TokenURL: "https://login.example.com/t/oauth2/token", Scope: "https://graph.windows.net/.default", Resource: "https://graph.windows.net"},
			func(form url.Values) (int, http.Header, string) {
				want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"client"}, "client_secret": {secret}, "resource": {"https://graph.windows.net"}}
				if form.Encode() != want.Encode() {
					t.Errorf("form %s, want %s", form.Encode(), want.Encode())
				}
				return 200, nil, `{"token_type":"Bearer","expires_in":"3599","ext_expires_in":"3599","expires_on":"1767229200","not_before":"1767225600","resource":"https://graph.windows.net","access_token":"token"}`
			})
		token, err := s.Token(t.Context())
		if err != nil || token.Access != "token" || time.Until(token.Expiry) != 3599*time.Second {
			t.Errorf("token %v until %s, %v", token.Access, token.Expiry, err)
		}
	})
}
