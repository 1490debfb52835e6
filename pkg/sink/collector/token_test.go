package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

const testSecret = "the+secret/of=the~client"

// issuer is a token endpoint and a collector in memory: it gives token-1, token-2, .. and takes the newest one.
type issuer struct {
	mu      sync.Mutex
	secret  string
	life    int // seconds; 0: unlimited
	issued  int
	sent    []string // tokens that requests came with
	refuses bool     // the collector refuses all tokens
	answer  func(*http.Request) (*http.Response, error)
	forms   []url.Values
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	text, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if r.URL.Host == "collector.example.com" {
		i.sent = append(i.sent, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", i.issued) || i.refuses {
			return posttest.Reply(401, "no"), nil
		}
		return posttest.Reply(204, ""), nil
	}
	if i.answer != nil {
		return i.answer(r)
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, err
	}
	i.forms = append(i.forms, form)
	_, password, _ := r.BasicAuth()
	if r.Method != http.MethodPost || form.Get("grant_type") != "client_credentials" || password != url.QueryEscape(i.secret) {
		return jsonReply(401, `{"error":"invalid_client","error_description":"unknown"}`), nil
	}
	i.issued++
	return jsonReply(200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":%d}`, i.issued, i.life)), nil
}

func jsonReply(status int, body string) *http.Response {
	r := posttest.Reply(status, body)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func newOAuth2(t testing.TB, path string, transport http.RoundTripper) *Sink {
	s, err := New(Config{
		Common: post.Common{Endpoints: []string{"https://collector.example.com/in"}, Timeout: field.Duration(10 * time.Second)},
		OAuth2: &OAuth2{TokenURL: "https://login.example.com/token", ClientID: "client", ClientSecretFile: path, Scopes: []string{"a", "b"}, Params: map[string]string{"audience": "logs"}},
	}, event.Schema{Name: "ecs"}, Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestTokenRenewal: a token serves until shortly before its end, and one that has no end for good.
func TestTokenRenewal(t *testing.T) {
	path := posttest.SecretFile(t, testSecret)
	for _, tt := range []struct {
		life  int
		waits []time.Duration // before each request
		want  string
	}{
		{3600, []time.Duration{0, 30 * time.Minute, 28 * time.Minute, 90 * time.Second, time.Minute}, "11122"},
		{60, []time.Duration{0, 40 * time.Second, 10 * time.Second}, "112"},
		{0, []time.Duration{0, 1000 * time.Hour}, "11"},
	} {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{secret: testSecret, life: tt.life}
			s := newOAuth2(t, path, i)
			for _, wait := range tt.waits {
				time.Sleep(wait)
				if err := s.Send(t.Context(), posttest.Samples(1)); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.ReplaceAll(strings.Join(i.sent, ""), "token-", ""); got != tt.want {
				t.Errorf("of %d s life: tokens %s were sent, want %s", tt.life, got, tt.want)
			}
			if f := i.forms[0]; f.Get("scope") != "a b" || f.Get("audience") != "logs" {
				t.Errorf("the token request is %v", f)
			}
		})
	}
}

// TestTokenRefused: a token that was taken before and is not any more is thrown away; a fresh one that is refused is somebody's fault.
func TestTokenRefused(t *testing.T) {
	i := &issuer{secret: testSecret, life: 3600}
	s := newOAuth2(t, posttest.SecretFile(t, testSecret), i)
	outcomes := ""
	send := func() {
		err := s.Send(t.Context(), posttest.Samples(1))
		outcomes += posttest.Outcome(err)[:1]
		if err != nil && strings.Contains(err.Error(), "token-") {
			t.Errorf("the token is in %v", err)
		}
	}
	send()
	i.issued = 7 // the one that was given is revoked
	send()
	send()
	send()
	if outcomes != "araa" || i.issued != 8 {
		t.Errorf("outcomes %s, %d tokens", outcomes, i.issued)
	}
	i.refuses = true
	send()
	send()
	send()
	if outcomes != "araarbb" || i.issued != 10 {
		t.Errorf("outcomes %s, %d tokens", outcomes, i.issued)
	}
}

// TestTokenOnce: requests that come at once wait for one token.
func TestTokenOnce(t *testing.T) {
	i := &issuer{secret: testSecret, life: 3600}
	s := newOAuth2(t, posttest.SecretFile(t, testSecret), i)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := s.Send(t.Context(), posttest.Samples(1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if i.issued != 1 || len(i.sent) != 8 {
		t.Errorf("%d tokens for %d requests", i.issued, len(i.sent))
	}
}

func TestTokenRotation(t *testing.T) {
	i := &issuer{secret: "another"}
	path := posttest.SecretFile(t, testSecret)
	s := newOAuth2(t, path, i)
	if err := s.Send(t.Context(), posttest.Samples(1)); posttest.Outcome(err) != "blocked" || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("with a wrong secret: %v", err)
	}
	if err := os.WriteFile(path, []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	posttest.UntilAccepted(t, func() error { return s.Send(t.Context(), posttest.Samples(1)) })
}

// TestTokenFaults: what a token endpoint does, and what becomes of it.
func TestTokenFaults(t *testing.T) {
	path := posttest.SecretFile(t, testSecret)
	for _, tt := range []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		want   string
		says   string
	}{
		{"refused", func(*http.Request) (*http.Response, error) { return jsonReply(400, `{"error":"invalid_scope"}`), nil }, "blocked", "scopes"},
		{"page", func(*http.Request) (*http.Response, error) { return posttest.Reply(403, "<html>"), nil }, "blocked", "<html>"},
		{"redirect", func(*http.Request) (*http.Response, error) {
			r := posttest.Reply(302, "")
			r.Header.Set("Location", "https://other.example.com/token")
			return r, nil
		}, "blocked", "not followed"},
		{"busy", func(*http.Request) (*http.Response, error) { return posttest.Reply(503, "later"), nil }, "retryable", "503"},
		{"no token", func(*http.Request) (*http.Response, error) { return jsonReply(200, `{}`), nil }, "retryable", "access_token"},
		{"a token that is none", func(*http.Request) (*http.Response, error) { return jsonReply(200, `{"access_token":"a\nb"}`), nil }, "blocked", "token_url"},
		{"no connection", func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, "retryable", "login.example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := &issuer{answer: tt.answer}
			err := newOAuth2(t, path, i).Send(t.Context(), posttest.Samples(1))
			if posttest.Outcome(err) != tt.want || !strings.Contains(err.Error(), tt.says) || len(i.sent) != 0 {
				t.Errorf("%s, want %s with %q, %d sent: %v", posttest.Outcome(err), tt.want, tt.says, len(i.sent), err)
			}
		})
	}
	busy := &issuer{answer: func(*http.Request) (*http.Response, error) {
		r := posttest.Reply(429, "")
		r.Header.Set("Retry-After", "3")
		return r, nil
	}}
	if err := newOAuth2(t, path, busy).Send(t.Context(), posttest.Samples(1)); fault.Pause(err) != 3*time.Second {
		t.Errorf("pause is %s: %v", fault.Pause(err), err)
	}
	missing := newOAuth2(t, path+".missing", &issuer{})
	if err := missing.Send(t.Context(), posttest.Samples(1)); posttest.Outcome(err) != "blocked" {
		t.Errorf("without a secret: %v", err)
	}
}

// TestTokenHangs: a token endpoint that does not answer ends with the timeout, with the caller, and with the sink.
func TestTokenHangs(t *testing.T) {
	path := posttest.SecretFile(t, testSecret)
	hang := posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		r.Body.Close()
		return nil, r.Context().Err()
	})
	synctest.Test(t, func(t *testing.T) {
		s := newOAuth2(t, path, hang)
		ends := func(ctx context.Context, after time.Duration, says string) {
			began := time.Now()
			err := s.Send(ctx, posttest.Samples(1))
			if posttest.Outcome(err) != "retryable" || !strings.Contains(err.Error(), says) || time.Since(began) != after {
				t.Errorf("after %s: %v, want %s", time.Since(began), err, says)
			}
		}
		ends(t.Context(), 10*time.Second, "no token within 10s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ends(ctx, time.Second, "deadline")
		first := make(chan struct{})
		go func() { defer close(first); s.Send(t.Context(), posttest.Samples(1)) }()
		synctest.Wait()
		turn, end := context.WithTimeout(t.Context(), time.Second) // it waits for the other's token
		defer end()
		ends(turn, time.Second, "wait for a token")
		time.AfterFunc(2*time.Second, func() { s.Close() })
		<-first
		ends(t.Context(), 0, "closed")
	})
}

// TestTokenTLS: the token endpoint has a tls block of its own.
func TestTokenTLS(t *testing.T) {
	c := newReceiver(t)
	issue := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q}`, testToken)
	})
	server, ca := posttest.TLSServer(t, issue)
	for want, own := range map[string]secure.TLS{"accepted": {CAFile: ca}, "blocked": {}} {
		s := newSink(t, c, func(cfg *Config) {
			cfg.BearerTokenFile = ""
			cfg.OAuth2 = &OAuth2{TokenURL: server.URL, ClientID: "x", ClientSecretFile: posttest.SecretFile(t, "x"), TLS: own}
		})
		if err := s.Send(t.Context(), posttest.Samples(1)); posttest.Outcome(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestContractOAuth2 runs what has to do with signing in.
func TestContractOAuth2(t *testing.T) {
	skip := map[string]string{}
	for _, name := range []string{"single", "empty", "content", "large", "refuse-marked", "stream", "concurrent"} {
		skip[name] = "it has run with a bearer token"
	}
	sinktest.Run(t, sinktest.Harness{TooLarge: 1<<20 + 1, Skip: skip, New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
		c := newReceiver(t)
		c.reply = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/token" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600}`, testToken)
			return true
		}
		return newSink(t, c, func(cfg *Config) {
			cfg.BearerTokenFile = ""
			cfg.OAuth2 = &OAuth2{TokenURL: c.URL + "/token", ClientID: "x", ClientSecretFile: posttest.SecretFile(t, "x")}
		}), c
	}})
}
