package splunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// bubble has a server with acknowledgement serve a sink in memory, in a synctest bubble: time costs nothing and every goroutine has
// to end.
func bubble(t *testing.T, edit func(*Config), f func(t *testing.T, h *hec, s *Sink)) {
	path := posttest.SecretFile(t, testToken)
	synctest.Test(t, func(t *testing.T) {
		h := &hec{token: testToken, acks: true, server: "Splunkd"}
		cfg := Config{Common: post.Common{Endpoints: []string{"https://splunk.example.com"}}, TokenFile: path, Ack: "required"}
		if edit != nil {
			edit(&cfg)
		}
		s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.RoundTripper(h.inMemory)})
		if err != nil {
			t.Fatal(err)
		}
		f(t, h, s)
		s.Close()
	})
}

// inMemory serves a request; a cut is an error.
func (h *hec) inMemory(r *http.Request) (resp *http.Response, err error) {
	defer r.Body.Close()
	defer func() {
		if recover() != nil {
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// isQuestion tells whether r asks for acknowledgements of ids that were given.
func isQuestion(h *hec, r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/ack") && len(h.seen) > 0
}

// TestAckWaits: Send ends with the true of the server, which is asked once a second and not longer than needed.
func TestAckWaits(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.after = 4
		began := time.Now()
		if err := s.Send(t.Context(), samples(3)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		if got := fmt.Sprint(h.questions); got != "[[0] [0] [0] [0] [0] [0]]" { // the first before any event was sent
			t.Errorf("asked %s", got)
		}
		time.Sleep(time.Hour)
		if h.requests.Load() != 7 {
			t.Errorf("%d requests: it asks for nothing", h.requests.Load())
		}
	})
}

// TestAckUnknown: nothing but a true is success. What cannot be known is sent again, and nothing is lost by it.
func TestAckUnknown(t *testing.T) {
	const html = "<!doctype html><title>no</title>"
	for _, c := range []struct {
		name   string
		ack    string
		status int // 0: the connection breaks when the server has told
		body   string
		class  fault.Class
		says   string
	}{
		{"lost", "required", 0, "", fault.Retryable, "ask for acknowledgements"},
		{"a page", "required", 200, html, fault.Retryable, "not known"},
		{"nothing", "required", 200, "", fault.Retryable, "not known"},
		{"no answer", "required", 200, `{}`, fault.Retryable, "not known"},
		{"null", "required", 200, `{"acks":null}`, fault.Retryable, "not known"},
		{"another type", "required", 200, `{"acks":{"0":"true"}}`, fault.Retryable, "not known"},
		{"cut short", "required", 200, `{"acks":{"0":tru`, fault.Retryable, "not known"},
		{"a success", "required", 200, `{"text":"Success","code":0}`, fault.Retryable, "not known"},
		{"a status", "required", 500, `{"acks":{"0":true}}`, fault.Retryable, "not known"},
		{"a balancer", "required", 502, html, fault.Retryable, "not known"},
		{"an invalid channel", "required", 400, `{"text":"Invalid data channel","code":11}`, fault.Retryable, "not known"},
		{"going down", "required", 503, `{"text":"Server is shutting down","code":23}`, fault.Retryable, "not known"},
		{"token disabled", "required", 403, `{"text":"Token disabled","code":1}`, fault.Blocked, "enable it"},
		{"a proxy's 403", "required", 403, html, fault.Blocked, "check token_file"},
		{"disabled though required", "required", 400, `{"text":"ACK is disabled","code":14}`, fault.Blocked, "ack: if_offered"},
		{"not there though required", "required", 404, html, fault.Blocked, "ack: if_offered"},
		{"taken for events though required", "required", 400, `{"text":"Event field is required","code":12}`, fault.Blocked, "ack: if_offered"},
		{"disabled after all", "if_offered", 400, `{"text":"ACK is disabled","code":14}`, fault.Retryable, "not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(cfg *Config) { cfg.Ack = c.ack }, func(t *testing.T, h *hec, s *Sink) {
				h.reply = func(w http.ResponseWriter, r *http.Request) bool {
					if !isQuestion(h, r) {
						return false
					}
					h.reply = nil
					told := httptest.NewRecorder()
					h.ServeHTTP(told, r) // it forgets what it has told
					if c.status == 0 {
						panic(http.ErrAbortHandler)
					}
					answer(w, c.status, c.body)
					return true
				}
				events := samples(3)
				began := time.Now()
				err := s.Send(t.Context(), events)
				if time.Since(began) > 2*time.Second {
					t.Errorf("took %s", time.Since(began))
				}
				if err == nil || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.says) {
					t.Errorf("class %s: %v", fault.Of(err), err)
				}
				if err := s.Send(t.Context(), events); err != nil {
					t.Errorf("again: %v", err)
				}
				if h.kept(events) != "222" {
					t.Errorf("stored %s, want each twice", h.kept(events))
				}
			})
		})
	}
}

// TestAckBusy: a server that has no time to answer has forgotten nothing.
func TestAckBusy(t *testing.T) {
	for _, body := range []string{`{"text":"Server is busy","code":9}`, `{"text":"x","code":19}`, `{"text":"x","code":26}`} {
		bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
			left := 3
			h.reply = func(w http.ResponseWriter, r *http.Request) bool {
				if left == 0 || !isQuestion(h, r) {
					return false
				}
				left--
				answer(w, 503, body)
				return true
			}
			events := samples(2)
			if err := s.Send(t.Context(), events); err != nil || h.kept(events) != "11" || left != 0 {
				t.Errorf("stored %s: %v", h.kept(events), err)
			}
		})
	}
}

// TestAckTimeout: what is not acknowledged in time is not delivered.
func TestAckTimeout(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.after = 1 << 30
		began := time.Now()
		err := s.Send(t.Context(), samples(1))
		if err == nil || fault.Of(err) != fault.Retryable || !strings.Contains(err.Error(), "ack_timeout, 3m") || time.Since(began) != 3*time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Send(ctx, samples(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's context: %v", err)
		}
	})
}

// TestAckRequired: a token that does not acknowledge gets no event at all, and a reply without an id is no success.
func TestAckRequired(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.acks = false
		for range 3 {
			if err := s.Send(t.Context(), samples(3)); fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "switch indexer acknowledgement on") {
				t.Errorf("a token without acknowledgement: %v", err)
			}
		}
		if n := len(h.Received()); n > 0 {
			t.Errorf("%d events are stored", n)
		}
		h.acks = true
		h.script = func([]string) (int, string) { return 200, `{"text":"Success","code":0}` }
		if err := s.Send(t.Context(), samples(3)); fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "no ackId") {
			t.Errorf("a reply without an id: %v", err)
		}
		h.script = nil
		if err := s.Send(t.Context(), samples(3)); err != nil {
			t.Errorf("mended: %v", err)
		}
	})
}

// TestAckIfOffered: a token that does not acknowledge counts by its 200s; when the server says so afterwards, too.
func TestAckIfOffered(t *testing.T) {
	bubble(t, func(c *Config) { c.Ack = "if_offered" }, func(t *testing.T, h *hec, s *Sink) {
		h.acks = false
		if err := s.Send(t.Context(), samples(3)); err != nil || len(h.questions) > 0 || s.Limits().InFlight != inFlight {
			t.Errorf("not offered: %v, asked %v", err, h.questions)
		}
		h.acks = true
		if err := s.Send(t.Context(), samples(3)); err != nil || len(h.questions) != 1 || s.Limits().InFlight != inFlightAck {
			t.Errorf("offered: %v, asked %v", err, h.questions)
		}
		h.after = 5
		done := make(chan error, 1)
		go func() { done <- s.Send(t.Context(), samples(3)) }()
		time.Sleep(2500 * time.Millisecond)
		h.mu.Lock()
		h.acks = false
		h.mu.Unlock()
		if err := <-done; err == nil || fault.Of(err) != fault.Retryable {
			t.Errorf("withdrawn while it waits: %v", err)
		}
		if err := s.Send(t.Context(), samples(3)); err != nil {
			t.Errorf("withdrawn: %v", err)
		}
	})
}

// TestAckOff: no channel is named, and a token that wants one is reported.
func TestAckOff(t *testing.T) {
	bubble(t, func(c *Config) { c.Ack = "off" }, func(t *testing.T, h *hec, s *Sink) {
		if err := s.Send(t.Context(), samples(1)); fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "set ack: if_offered or required") {
			t.Errorf("%v", err)
		}
	})
}
