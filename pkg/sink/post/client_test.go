package post_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

var minute = post.Common{Timeout: field.Duration(time.Minute)}

func newClient(t *testing.T, c post.Common, transport http.RoundTripper) *post.Client {
	client, err := post.NewClient(c, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func request(t *testing.T, raw string) *http.Request {
	to, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	var p post.Buffers
	b := p.Get()
	b.Encode(1, false, func(dst []byte, _ int) []byte { return append(dst, "text"...) })
	return b.Request(http.MethodPost, to, http.Header{})
}

// broken is a body that ends with an error.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b broken) Close() error { return nil }

// TestExchange: what is judged, and what is a fault of its own.
func TestExchange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		breaks bool
		judged string // "": it is not
		cut    bool
	}{
		{"whole", 200, "12345678", false, "12345678", false},
		{"empty", 204, "", false, "", false},
		{"longer", 200, "123456789", false, "12345678", true},
		{"much longer", 500, strings.Repeat("12345678", 100_000), false, "12345678", true},
		{"success that breaks", 200, "123", true, "", false},
		{"success that breaks behind the limit", 200, "123456789", true, "12345678", true},
		{"refusal that breaks", 401, "123", true, "123", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := newClient(t, minute, posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
				r.Body.Close()
				resp := posttest.Reply(tt.status, tt.body)
				if tt.breaks {
					resp.Body = broken{strings.NewReader(tt.body)}
				}
				return resp, nil
			}))
			verdict, judged := errors.New("the judge's"), false
			err := client.Exchange(t.Context(), request(t, "https://example.com"), 8, func(r post.Reply) error {
				judged = true
				if r.Status != tt.status || string(r.Body) != tt.judged || r.Cut != tt.cut {
					t.Errorf("judged %d %q, cut %t", r.Status, r.Body, r.Cut)
				}
				return verdict
			})
			if whole := tt.name != "success that breaks"; judged != whole || whole != (err == verdict) || !whole && posttest.Outcome(err) != "retryable" {
				t.Errorf("judged: %t, %v", judged, err)
			}
		})
	}
}

func TestExchangeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, post.Common{Timeout: field.Duration(5 * time.Second)}, posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			r.Body.Close()
			return nil, r.Context().Err()
		}))
		ends := func(ctx context.Context, after time.Duration, says string) {
			t.Helper()
			began := time.Now()
			err := client.Exchange(ctx, request(t, "https://example.com"), 8, nil)
			if posttest.Outcome(err) != "retryable" || !strings.Contains(err.Error(), says) || time.Since(began) != after {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		}
		ends(t.Context(), 5*time.Second, "no reply within 5s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ends(ctx, time.Second, "deadline")
		time.AfterFunc(2*time.Second, func() { client.Close() })
		ends(t.Context(), 2*time.Second, post.ErrClosed.Error())
		ends(t.Context(), 0, post.ErrClosed.Error())
	})
}

// TestExchangeReusesItsConnection: a reply that is longer than the limit does not cost the connection.
func TestExchangeReusesItsConnection(t *testing.T) {
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("<p>busy</p>", 10_000))
	}))
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		conns.Add(1)
		return ctx
	}
	server.Start()
	defer server.Close()
	client := newClient(t, minute, nil)
	for range 5 {
		if err := client.Exchange(t.Context(), request(t, server.URL), 8, func(post.Reply) error { return nil }); err != nil {
			t.Error(err)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections", conns.Load())
	}
}

func TestTLS(t *testing.T) {
	fine := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	server, ca := posttest.TLSServer(t, fine)
	plain := httptest.NewServer(fine)
	defer plain.Close()
	for _, tt := range []struct {
		name, endpoint string
		tls            secure.TLS
		want           string
	}{
		{"trusted", server.URL, secure.TLS{CAFile: ca}, "accepted"},
		{"not trusted", server.URL, secure.TLS{}, "blocked"},
		{"another name", server.URL, secure.TLS{CAFile: ca, ServerName: "contoso.com"}, "blocked"},
		{"not asked", server.URL, secure.TLS{InsecureSkipVerify: true}, "accepted"},
		{"no TLS there", "https" + strings.TrimPrefix(plain.URL, "http"), secure.TLS{CAFile: ca}, "blocked"},
		{"nobody there", "http://127.0.0.1:1", secure.TLS{}, "retryable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := minute
			c.TLS = tt.tls
			err := newClient(t, c, nil).Exchange(t.Context(), request(t, tt.endpoint), 8, func(post.Reply) error { return nil })
			if got := posttest.Outcome(err); got != tt.want {
				t.Errorf("%s, want %s: %v", got, tt.want, err)
			}
		})
	}
	if _, err := post.NewClient(post.Common{TLS: secure.TLS{CAFile: ca + ".missing"}}, 1, nil); err == nil {
		t.Error("a CA file that is not there is taken")
	}
}

func TestProxy(t *testing.T) {
	asked := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = r.URL.String() }))
	defer proxy.Close()
	c := minute
	c.Proxy = proxy.URL
	err := newClient(t, c, nil).Exchange(t.Context(), request(t, "http://collector.example.com/x"), 8, func(post.Reply) error { return nil })
	if err != nil || asked != "http://collector.example.com/x" {
		t.Errorf("the proxy was asked for %q, %v", asked, err)
	}
}

func TestLater(t *testing.T) {
	err := errors.New("x")
	if got := fault.Pause(post.Later(http.Header{"Retry-After": {"2.5"}}, err)); got != 2500*time.Millisecond {
		t.Errorf("pause is %s", got)
	}
	if got := post.Later(http.Header{}, err); got != err {
		t.Errorf("without a pause it is %v", got)
	}
}

// TestCutReplies has the server die after each byte of its reply: only a whole one is judged as success.
func TestCutReplies(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
	at := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, whole[:at])
		conn.Close()
	}))
	defer server.Close()
	client := newClient(t, minute, nil)
	for ; at <= len(whole); at++ {
		judged := ""
		err := client.Exchange(t.Context(), request(t, server.URL), 8, func(r post.Reply) error { judged = string(r.Body); return nil })
		if at < len(whole) && (posttest.Outcome(err) != "retryable" || judged != "") || at == len(whole) && (err != nil || judged != "ok") {
			t.Errorf("after %d bytes: judged %q, %v", at, judged, err)
		}
	}
}
