package elastic

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

const (
	testKey = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw=="
)

// cluster is _bulk as a test needs it, strict about the form of requests: it knows creates only, stores each _id once per index
// and answers as both products do, filter_path applied.
type cluster struct {
	*httptest.Server
	mu       sync.Mutex
	mode     sinktest.Mode
	auth     string // the header that is let in
	stored   []document
	ids      map[string]bool
	repeats  int // creates of what was there
	broken   []string
	requests atomic.Int64
	conns    atomic.Int64
	reply    func(w http.ResponseWriter, r *http.Request) bool  // answers instead, if it gives true
	refuse   func(d document) (status int, kind, reason string) // a verdict on one document; status 0 stores it
}

type document struct{ Index, ID, Body string }

func newCluster(t testing.TB) *cluster {
	c := &cluster{auth: "ApiKey " + testKey, ids: map[string]bool{}}
	c.Server = httptest.NewUnstartedServer(sinktest.Faulty(c.now, c))
	c.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.conns.Add(1)
		}
	}
	c.Start()
	t.Cleanup(func() {
		c.Close()
		for _, why := range c.broken {
			t.Errorf("a request has a wrong form: %s", why)
		}
	})
	return c
}

func (c *cluster) Set(m sinktest.Mode) { c.mu.Lock(); c.mode = m; c.mu.Unlock() }

func (c *cluster) now() sinktest.Mode { c.mu.Lock(); defer c.mu.Unlock(); return c.mode }

func (c *cluster) Received() []sinktest.Received { return c.received(false) }

func (c *cluster) Drain() []sinktest.Received { return c.received(true) }

func (c *cluster) received(forget bool) []sinktest.Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := make([]sinktest.Received, len(c.stored))
	for i, d := range c.stored {
		got[i] = sinktest.Received{EventID: d.ID, Body: d.Body}
	}
	if forget {
		c.stored = nil
		clear(c.ids)
	}
	return got
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	c.mu.Lock()
	mode, auth, reply := c.mode, c.auth, c.reply
	c.mu.Unlock()
	if reply != nil && reply(w, r) {
		return
	}
	switch {
	case posttest.Misbehave(w, r, mode):
	case mode == sinktest.Busy:
		answer(w, 429, `{"error":{"type":"circuit_breaking_exception","reason":"[parent] Data too large"},"status":429}`)
	case mode == sinktest.Deny || r.Header.Get("Authorization") != auth:
		answer(w, 401, `{"error":{"root_cause":[{"type":"x"}],"type":"security_exception","reason":"unable to authenticate"},"status":401}`)
	case r.Method != http.MethodPost || r.URL.Path != "/_bulk":
		answer(w, 405, `{"error":"Incorrect HTTP method for uri","status":405}`)
	default:
		c.take(w, r, mode)
	}
}

// take reads the whole request before it stores anything.
func (c *cluster) take(w http.ResponseWriter, r *http.Request, mode sinktest.Mode) {
	documents, err := parse(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, io.ErrUnexpectedEOF) { // the client has gone
		return
	} else if err != nil {
		c.broken = append(c.broken, err.Error())
		answer(w, 400, fmt.Sprintf(`{"error":{"type":"illegal_argument_exception","reason":%q},"status":400}`, err))
		return
	}
	out := bytes.NewBufferString(`,"items":[`)
	failed := false
	for i, d := range documents {
		if i > 0 {
			out.WriteByte(',')
		}
		status, kind, reason := c.store(d, mode)
		fmt.Fprintf(out, `{"create":{"_id":%q,"status":%d`, d.ID, status)
		if kind != "" {
			failed = true
			fmt.Fprintf(out, `,"error":{"type":%q,"reason":%q}`, kind, reason)
		}
		out.WriteString("}}")
	}
	if mode == sinktest.CutAfter {
		posttest.Cut(w)
		return
	}
	answer(w, 200, `{"errors":`+strconv.FormatBool(failed)+out.String()+"]}")
}

func (c *cluster) store(d document, mode sinktest.Mode) (status int, kind, reason string) {
	switch {
	case mode == sinktest.RefuseMarked && strings.Contains(d.Body, sinktest.Marker):
		return 400, "document_parsing_exception", "[1:5] failed to parse field [n] of type [long] in document with id '" + d.ID + "'. Preview of field's value: 'REFUSE'"
	case c.ids[d.Index+" "+d.ID]:
		c.repeats++
		return 409, "version_conflict_engine_exception", "[" + d.ID + "]: version conflict, document already exists (current version [1])"
	}
	if c.refuse != nil {
		if status, kind, reason := c.refuse(d); status != 0 {
			return status, kind, reason
		}
	}
	c.ids[d.Index+" "+d.ID] = true
	c.stored = append(c.stored, d)
	return 201, "", ""
}

// parse reads a request strictly: two lines a document, the last one ended, its length as announced.
func parse(r *http.Request) ([]document, error) {
	in := io.Reader(r.Body)
	if got := r.Header.Get("Content-Type"); got != "application/x-ndjson" {
		return nil, fmt.Errorf("content type %q", got)
	}
	if r.ContentLength <= 0 {
		return nil, fmt.Errorf("content length %d", r.ContentLength)
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = zip
	}
	var documents []document
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		first, err := lines.ReadString('\n')
		if err == io.EOF && first == "" && len(documents) > 0 {
			return documents, nil
		} else if err != nil {
			return nil, fmt.Errorf("action %d: %q: %w", len(documents), first, err)
		}
		var action struct {
			Create *struct {
				Index *string `json:"_index"`
				ID    *string `json:"_id"`
			} `json:"create"`
		}
		dec := json.NewDecoder(strings.NewReader(first))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&action); err != nil || action.Create == nil || action.Create.Index == nil || action.Create.ID == nil {
			return nil, fmt.Errorf("action %d: %q: %v", len(documents), first, err)
		}
		body, err := lines.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("document %d: %.200q: %w", len(documents), body, err)
		} else if !json.Valid([]byte(body)) || body[0] != '{' {
			return nil, fmt.Errorf("document %d is no object: %.200q", len(documents), body)
		}
		documents = append(documents, document{*action.Create.Index, *action.Create.ID, strings.TrimSuffix(body, "\n")})
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// newSink makes a sink for the cluster, in schema ecs; edit changes its configuration.
func newSink(t testing.TB, c *cluster, edit func(*Config)) *Sink {
	cfg := Config{Common: post.Common{Endpoints: []string{c.URL}}, APIKeyFile: posttest.SecretFile(t, testKey+"\n")}
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
	for _, compression := range []string{"gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{
				New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
					c := newCluster(t)
					return newSink(t, c, func(cfg *Config) { cfg.Compression, cfg.MaxEventBytes = compression, 2<<20 }), c
				},
				TooLarge: 2<<20 + 1,
			})
		})
	}
}

func TestAuth(t *testing.T) {
	for name, c := range map[string]struct {
		secret string
		edit   func(*Config, string)
		header string // "": Blocked before any request
	}{
		"api key":             {testKey + "\n", func(c *Config, p string) { c.APIKeyFile = p }, "ApiKey " + testKey},
		"api key in two":      {"id:key", func(c *Config, p string) { c.APIKeyFile = p }, "ApiKey " + base64.StdEncoding.EncodeToString([]byte("id:key"))},
		"bearer":              {"a.b-c", func(c *Config, p string) { c.APIKeyFile, c.BearerTokenFile = "", p }, "Bearer a.b-c"},
		"basic":               {"pä ss", basic, "Basic " + base64.StdEncoding.EncodeToString([]byte("logferry:pä ss"))},
		"password in lines":   {"a\nb", basic, ""},
		"key with its scheme": {"ApiKey " + testKey, func(c *Config, p string) { c.APIKeyFile = p }, ""},
		"empty":               {" \n", func(c *Config, p string) { c.APIKeyFile = p }, ""},
		"missing":             {"x", func(c *Config, p string) { c.APIKeyFile = p + ".missing" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t)
			cl.auth = c.header
			s := newSink(t, cl, func(cfg *Config) { c.edit(cfg, posttest.SecretFile(t, c.secret)) })
			err := s.Send(t.Context(), posttest.Samples(1))
			if c.header != "" && err != nil {
				t.Error(err)
			}
			if c.header == "" && (posttest.Outcome(err) != "blocked" || cl.requests.Load() != 0 || strings.Contains(err.Error(), testKey)) {
				t.Errorf("%d requests, %v", cl.requests.Load(), err)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		cl := newCluster(t)
		cl.auth = ""
		if err := newSink(t, cl, func(c *Config) { c.APIKeyFile = "" }).Send(t.Context(), posttest.Samples(1)); err != nil {
			t.Error(err)
		}
	})
}

func basic(c *Config, path string) { c.APIKeyFile, c.User, c.PasswordFile = "", "logferry", path }
