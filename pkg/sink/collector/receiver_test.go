package collector

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

const testToken = "eyJ0-first.token"

// receiver is a collector as a test needs it, strict about the form of requests. It takes a request as a whole or not at all.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	mode     sinktest.Mode
	auth     string // the Authorization header that is let in
	stored   []sinktest.Received
	broken   []string
	requests []*http.Request
	reply    func(w http.ResponseWriter, r *http.Request) bool // answers instead, if it gives true
}

func newReceiver(t testing.TB) *receiver {
	c := &receiver{auth: "Bearer " + testToken}
	c.Server = httptest.NewServer(sinktest.Faulty(c.now, c))
	t.Cleanup(func() {
		c.Close()
		for _, why := range c.broken {
			t.Errorf("a request has a wrong form: %s", why)
		}
	})
	return c
}

func (c *receiver) Set(m sinktest.Mode) { c.mu.Lock(); c.mode = m; c.mu.Unlock() }

func (c *receiver) now() sinktest.Mode { c.mu.Lock(); defer c.mu.Unlock(); return c.mode }

func (c *receiver) Received() []sinktest.Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]sinktest.Received(nil), c.stored...)
}

func (c *receiver) Drain() []sinktest.Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.stored
	c.stored, c.requests = nil, nil
	return got
}

func (c *receiver) last() *http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests[len(c.requests)-1]
}

func (c *receiver) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.requests)
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	mode, auth, reply := c.mode, c.auth, c.reply
	c.requests = append(c.requests, r)
	c.mu.Unlock()
	switch {
	case reply != nil && reply(w, r):
	case posttest.Misbehave(w, r, mode):
	case mode == sinktest.Busy:
		http.Error(w, "try later", http.StatusServiceUnavailable)
	case mode == sinktest.Deny || r.Header.Get("Authorization") != auth:
		http.Error(w, "who are you?", http.StatusUnauthorized)
	default:
		c.take(w, r, mode)
	}
}

func (c *receiver) take(w http.ResponseWriter, r *http.Request, mode sinktest.Mode) {
	bodies, err := parse(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, io.ErrUnexpectedEOF) { // the client has gone
		return
	} else if err != nil {
		c.broken = append(c.broken, err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if mode == sinktest.RefuseMarked && strings.Contains(strings.Join(bodies, ""), sinktest.Marker) {
		http.Error(w, "one of them is bad", http.StatusBadRequest)
		return
	}
	for _, body := range bodies {
		c.stored = append(c.stored, sinktest.Received{Body: body})
	}
	if mode == sinktest.CutAfter {
		posttest.Cut(w)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// parse reads a request strictly.
func parse(r *http.Request) ([]string, error) {
	in := io.Reader(r.Body)
	if r.ContentLength <= 0 || r.Header.Get(idempotencyKey) == "" {
		return nil, fmt.Errorf("content length %d, header %v", r.ContentLength, r.Header)
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = zip
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	var bodies []string
	switch r.Header.Get("Content-Type") {
	case "application/x-ndjson":
		if !strings.HasSuffix(string(text), "\n") {
			return nil, fmt.Errorf("the last line has no end: %.200q", text)
		}
		bodies = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	case "application/json":
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("%.200q: %w", text, err)
		}
		for _, e := range list {
			bodies = append(bodies, string(e))
		}
	default:
		return nil, fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	for _, body := range bodies {
		if !json.Valid([]byte(body)) || body[0] != '{' {
			return nil, fmt.Errorf("%.200q is no object", body)
		}
	}
	return bodies, nil
}

// newSink makes a sink for the receiver, in schema ecs; edit changes its configuration.
func newSink(t testing.TB, c *receiver, edit func(*Config)) *Sink {
	cfg := Config{Common: post.Common{Endpoints: []string{c.URL + "/in"}}, BearerTokenFile: posttest.SecretFile(t, testToken+"\n")}
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg, event.Schema{Name: "ecs"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestContract(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"ndjson":       nil,
		"ndjson plain": func(c *Config) { c.Compression = "none" },
		"array":        func(c *Config) { c.Format = "array" },
		"array plain":  func(c *Config) { c.Format, c.Compression, c.Method = "array", "none", http.MethodPut },
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{TooLarge: 1<<20 + 1, New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
				c := newReceiver(t)
				return newSink(t, c, edit), c
			}})
		})
	}
}
