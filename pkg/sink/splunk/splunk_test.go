package splunk

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
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

func TestSendReusesItsConnection(t *testing.T) {
	h := newHEC(t)
	s := newSink(t, h, nil)
	h.reply = func(w http.ResponseWriter, r *http.Request) bool {
		if h.requests.Load()%2 == 0 {
			io.Copy(io.Discard, r.Body)
			answer(w, 503, strings.Repeat("<p>busy</p>", 10_000)) // longer than what is looked at
			return true
		}
		return false
	}
	for range 10 {
		s.Send(t.Context(), samples(3))
	}
	if h.requests.Load() != 10 || h.conns.Load() != 1 {
		t.Errorf("%d requests over %d connections, want 10 over 1", h.requests.Load(), h.conns.Load())
	}
}

func TestSendEndpoints(t *testing.T) {
	down, busy, up := newHEC(t), newHEC(t), newHEC(t)
	busy.Set(sinktest.Busy)
	s := newSink(t, up, func(c *Config) { c.Endpoints = []string{down.URL, busy.URL, up.URL} })
	down.Close()
	for n := range 5 {
		err := s.Send(t.Context(), samples(1))
		if want := n < 2; (err != nil) != want || err != nil && fault.Of(err) != fault.Retryable {
			t.Errorf("Send %d: %v", n, err)
		}
	}
	if busy.requests.Load() != 1 || len(up.Received()) != 3 {
		t.Errorf("%d requests at the busy endpoint and %d events at the good one, want 1 and 3", busy.requests.Load(), len(up.Received()))
	}
}

func TestSendSwitchesCompressionOff(t *testing.T) {
	h := newHEC(t)
	s := newSink(t, h, nil)
	h.reply = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Content-Encoding") == "" {
			return false
		}
		answer(w, 415, "<!doctype html><title>415 Unsupported Media Type</title>")
		return true
	}
	for range 3 {
		if err := s.Send(t.Context(), samples(2)); err != nil {
			t.Error(err)
		}
	}
	if h.requests.Load() != 4 {
		t.Errorf("%d requests, want 4: it must remember", h.requests.Load())
	}
}

// TestSendKeepsUnfitEventsBack: no request is made with what can never be sent, and the others come again without it.
func TestSendKeepsUnfitEventsBack(t *testing.T) {
	big := `{"x":"` + strings.Repeat("x", 200) + `"}`
	h := newHEC(t)
	s := newSink(t, h, func(c *Config) { c.MaxEventBytes = 100 })
	var events []event.Event
	for i, body := range []string{`{"n":0}`, big, `{"n":2}`, "", `{"n":4}`} {
		events = append(events, sample(i, "audits", body))
	}
	poison, err := sinktest.Deliver(t.Context(), s, events)
	if err != nil || fmt.Sprint(poison) != "[1 3]" || len(h.Received()) != 3 || h.requests.Load() != 1 {
		t.Errorf("poison %v, %d stored, %d requests: %v", poison, len(h.Received()), h.requests.Load(), err)
	}
}

func TestSendWrongIndex(t *testing.T) {
	h := newHEC(t)
	constant := newSink(t, h, func(c *Config) { c.Index = "missing" })
	if err := constant.Send(t.Context(), samples(3)); fault.Of(err) != fault.Blocked {
		t.Errorf("one index for all: %v", err)
	}
	h.Drain()
	varied := newSink(t, h, func(c *Config) { c.Index = "{stream}" })
	events := append(samples(2), sample(2, "missing", `{"n":2}`), sample(3, "audits", `{"n":3}`))
	poison, err := sinktest.Deliver(t.Context(), varied, events)
	if err != nil || len(poison) != 1 || poison[0] != 2 {
		t.Errorf("an index by stream: poison %v, %v; want event 2", poison, err)
	}
}

func TestSendDoesNotFollowRedirects(t *testing.T) {
	other := newHEC(t)
	h := newHEC(t)
	h.reply = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+eventPath, http.StatusTemporaryRedirect)
		return true
	}
	err := newSink(t, h, nil).Send(t.Context(), samples(1))
	if err == nil || fault.Of(err) != fault.Retryable || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("redirect: %v", err)
	}
	if other.requests.Load() != 0 {
		t.Error("the token went to another host")
	}
}

func TestSendReplyCutShort(t *testing.T) {
	h := newHEC(t)
	h.reply = func(w http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "28") // what is there reads well, but a line end is missing
		io.WriteString(w, `{"text":"Success","code":0}`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	if err := newSink(t, h, nil).Send(t.Context(), samples(1)); err == nil || fault.Of(err) != fault.Retryable {
		t.Errorf("a reply cut short: %v", err)
	}
}

// TestSendEarlyReplies has the server answer before it has read the request while others are made: with -race it shows a buffer
// that is used again too early.
func TestSendEarlyReplies(t *testing.T) {
	h := newHEC(t)
	s := newSink(t, h, func(c *Config) { c.Compression = "none" })
	h.reply = func(w http.ResponseWriter, r *http.Request) bool {
		if h.requests.Load()%2 == 1 {
			answer(w, 503, `{"text":"Server is busy","code":9}`)
			return true
		}
		return false
	}
	var events []event.Event
	for i := range 200 {
		events = append(events, sample(i, "audits", fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", 10_000))))
	}
	for range 20 {
		before := len(h.Received())
		err := s.Send(t.Context(), events)
		if got := h.Received()[before:]; err == nil {
			for i, r := range got {
				if r.Body != string(events[i].Body) {
					t.Fatalf("event %d is changed", i)
				}
			}
		}
	}
}

func TestSendTimeout(t *testing.T) {
	path := posttest.SecretFile(t, testToken)
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Common: post.Common{Endpoints: []string{"https://splunk.example.com"}, Timeout: field.Duration(5 * time.Second)}, TokenFile: path}
		s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			r.Body.Close()
			return nil, r.Context().Err()
		})})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = s.Send(t.Context(), samples(1))
		if err == nil || fault.Of(err) != fault.Retryable || !strings.Contains(err.Error(), "no reply within 5s") {
			t.Errorf("timeout: %v", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s.Send(ctx, samples(1)) == nil || time.Since(began) != 6*time.Second {
			t.Error("the caller's context does not end Send")
		}
	})
}

func TestSendAfterClose(t *testing.T) {
	cfg := Config{Common: post.Common{Endpoints: []string{"https://splunk.example.com"}}, TokenFile: posttest.SecretFile(t, testToken)}
	s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
		t.Error("a request after Close")
		return nil, http.ErrHandlerTimeout
	})})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s.Send(t.Context(), samples(1)) == nil {
		t.Error("Send after Close has succeeded")
	}
}

func TestTLS(t *testing.T) {
	h := &hec{token: testToken}
	server, ca := posttest.TLSServer(t, h)
	h.Server = server
	plain := newHEC(t)
	for _, c := range []struct {
		name, endpoint string
		tls            secure.TLS
		want           string
	}{
		{"trusted", server.URL, secure.TLS{CAFile: ca}, "accepted"},
		{"not trusted", server.URL, secure.TLS{}, "blocked"},
		{"another name", server.URL, secure.TLS{CAFile: ca, ServerName: "splunk.fabrikam.com"}, "blocked"},
		{"not asked", server.URL, secure.TLS{InsecureSkipVerify: true}, "accepted"},
		{"no TLS there", "https" + strings.TrimPrefix(plain.URL, "http"), secure.TLS{CAFile: ca}, "blocked"},
		{"TLS there", "http" + strings.TrimPrefix(server.URL, "https"), secure.TLS{}, "blocked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink(t, h, func(cfg *Config) { cfg.Endpoints, cfg.TLS = []string{c.endpoint}, c.tls })
			err := s.Send(t.Context(), samples(1))
			if got := outcome(err); got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, err)
			}
		})
	}
}
