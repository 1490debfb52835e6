package collector

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// TestJudge goes over all statuses: 2xx alone is accepted, and what an operator has to mend is said.
func TestJudge(t *testing.T) {
	blocked := map[int]string{
		207: "one by one", 401: "bearer_token_file", 403: "may not write", 404: "path in endpoints", 405: "method", 406: "format", 407: "proxy", 410: "endpoints", 415: "compression: none",
	}
	to := &url.URL{Scheme: "https", Host: "collector.example.com"}
	for status := 100; status < 1000; status++ {
		want := "retryable"
		switch {
		case blocked[status] != "":
			want = "blocked"
		case status >= 200 && status < 300:
			want = "accepted"
		case status == 400 || status == 413 || status == 422:
			want = "poison"
		}
		err := judge(to, nil, post.Reply{Status: status, Header: http.Header{"Retry-After": {"2.5"}, "Location": {"https://other.example.com/x"}}, Body: []byte("<html>\nno")})
		if got := posttest.Outcome(err); got != want {
			t.Errorf("%d: %s, want %s: %v", status, got, want, err)
			continue
		}
		if err == nil {
			continue
		}
		if says := err.Error(); !strings.Contains(says, fmt.Sprint(status)) || !strings.Contains(says, "<html> no") || !strings.Contains(says, blocked[status]) {
			t.Errorf("%d: it says %s", status, says)
		}
		if fault.Oversized(err) != (status == 413) || status >= 300 && status < 400 != strings.Contains(err.Error(), "other.example.com") {
			t.Errorf("%d: %v", status, err)
		}
		if asked := status < 300 || status >= 400; want == "retryable" && (fault.Pause(err) == 2500*time.Millisecond) != asked {
			t.Errorf("%d: pause is %s", status, fault.Pause(err))
		}
	}
	plain := judge(&url.URL{Scheme: "http", Host: "127.0.0.1"}, nil, post.Reply{Status: 400, Body: []byte("Client sent an HTTP request to an HTTPS server.\n")})
	if posttest.Outcome(plain) != "blocked" {
		t.Errorf("plain text to TLS: %v", plain)
	}
}

// TestSendRedirect: a redirect is not success, not followed, and takes no secret along.
func TestSendRedirect(t *testing.T) {
	c, other := newReceiver(t), newReceiver(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		c.reply = func(w http.ResponseWriter, r *http.Request) bool {
			io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, other.URL, status)
			return true
		}
		err := newSink(t, c, nil).Send(t.Context(), posttest.Samples(1))
		if posttest.Outcome(err) != "retryable" || !strings.Contains(err.Error(), other.URL) || other.asked() != 0 {
			t.Errorf("%d: %d requests to the other, %v", status, other.asked(), err)
		}
	}
}

// TestSendRequest: what goes out beside the events.
func TestSendRequest(t *testing.T) {
	c := newReceiver(t)
	s := newSink(t, c, func(cfg *Config) {
		cfg.Method, cfg.Query = http.MethodPut, map[string]string{"api-version": "2023-01-01", "source": "a&b"}
		cfg.Headers, cfg.SecretHeaders = map[string]string{"x-source": "entra"}, map[string]string{"DD-API-KEY": posttest.SecretFile(t, "the key\n")}
	})
	var keys []string
	for range 2 {
		if err := s.Send(t.Context(), posttest.Samples(3)); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, c.last().Header.Get(idempotencyKey))
	}
	r := c.last()
	if r.Method != http.MethodPut || r.URL.Path != "/in" || r.URL.Query().Get("api-version") != "2023-01-01" || r.URL.Query().Get("source") != "a&b" {
		t.Errorf("asked %s %s", r.Method, r.URL)
	}
	if r.Header.Get("X-Source") != "entra" || r.Header.Get("Dd-Api-Key") != "the key" || r.Header.Get("User-Agent") != "logferry" {
		t.Errorf("header is %v", r.Header)
	}
	if keys[0] != keys[1] || keys[0] == "" {
		t.Errorf("the keys of a repeat are %q", keys)
	}
}

func TestSendFailover(t *testing.T) {
	bad, good := newReceiver(t), newReceiver(t)
	for _, status := range []int{500, 404, 429} {
		bad.reply = func(w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "no", status)
			return true
		}
		s := newSink(t, bad, func(cfg *Config) { cfg.Endpoints = append(cfg.Endpoints, good.URL) })
		if err := s.Send(t.Context(), posttest.Samples(1)); err == nil {
			t.Errorf("%d is accepted", status)
		}
		if err := s.Send(t.Context(), posttest.Samples(1)); err != nil {
			t.Errorf("after %d: %v", status, err)
		}
	}
}

// TestProbe writes nothing, and tells credentials that are not taken.
func TestProbe(t *testing.T) {
	for status, want := range map[int]string{200: "accepted", 204: "accepted", 404: "accepted", 405: "accepted", 401: "blocked", 407: "blocked", 503: "retryable"} {
		c := newReceiver(t)
		c.reply = func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(status)
			return true
		}
		err := newSink(t, c, nil).Probe(t.Context(), nil)
		if r := c.last(); posttest.Outcome(err) != want || r.Method != http.MethodOptions || r.ContentLength != 0 || r.Header.Get("Authorization") != c.auth {
			t.Errorf("%d: %v, asked by %s with %v", status, err, r.Method, r.Header)
		}
	}
}
