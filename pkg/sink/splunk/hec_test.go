package splunk

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

const testToken = "b5a7c9d1-0000-4000-8000-0123456789ab"

// hec is Splunk's event collector as a test needs it: it checks the token, reads envelopes one after the other and stores them
// at once, so that a bad one leaves those before it stored and those after it unread.
type hec struct {
	*httptest.Server
	mu       sync.Mutex
	mode     sinktest.Mode
	token    string
	stored   []envelope
	requests atomic.Int64
	conns    atomic.Int64
	reply    func(w http.ResponseWriter, r *http.Request) bool // answers instead, if it gives true
}

type envelope struct {
	Time       json.Number     `json:"time"`
	Host       string          `json:"host"`
	Source     string          `json:"source"`
	Sourcetype string          `json:"sourcetype"`
	Index      *string         `json:"index"`
	Event      json.RawMessage `json:"event"`
	Fields     struct {
		EventID string `json:"event_id"`
		Stream  string `json:"stream"`
	} `json:"fields"`
}

func newHEC(t testing.TB) *hec {
	h := &hec{token: testToken}
	h.Server = httptest.NewUnstartedServer(sinktest.Faulty(h.now, h))
	h.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			h.conns.Add(1)
		}
	}
	h.Start()
	t.Cleanup(h.Close)
	return h
}

func (h *hec) Set(m sinktest.Mode) { h.mu.Lock(); h.mode = m; h.mu.Unlock() }

func (h *hec) now() sinktest.Mode { h.mu.Lock(); defer h.mu.Unlock(); return h.mode }

func (h *hec) Received() []sinktest.Received { return h.received(false) }

func (h *hec) Drain() []sinktest.Received { return h.received(true) }

func (h *hec) received(forget bool) []sinktest.Received {
	h.mu.Lock()
	defer h.mu.Unlock()
	got := make([]sinktest.Received, len(h.stored))
	for i, e := range h.stored {
		got[i] = sinktest.Received{EventID: e.Fields.EventID, Body: string(e.Event)}
	}
	if forget {
		h.stored = nil
	}
	return got
}

func (h *hec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	h.mu.Lock()
	mode, token, reply := h.mode, h.token, h.reply
	h.mu.Unlock()
	if reply != nil && reply(w, r) {
		return
	}
	switch mode {
	case sinktest.CutBefore:
		cut(w)
		return
	case sinktest.Hang:
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return
	case sinktest.Busy:
		answer(w, 503, `{"text":"Server is busy","code":9}`)
		return
	case sinktest.Deny:
		token = "another"
	}
	switch auth := r.Header.Get("Authorization"); {
	case r.URL.Path != eventPath:
		answer(w, 404, `{"text":"The requested URL was not found on this server.","code":404}`)
	case auth == "":
		answer(w, 401, `{"text":"Token is required","code":2}`)
	case !strings.HasPrefix(auth, "Splunk "):
		answer(w, 401, `{"text":"Invalid authorization","code":3}`)
	case auth != "Splunk "+token:
		answer(w, 403, `{"text":"Invalid token","code":4}`)
	default:
		h.take(w, r, mode)
	}
}

func (h *hec) take(w http.ResponseWriter, r *http.Request, mode sinktest.Mode) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(body)
		if err != nil {
			answer(w, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`)
			return
		}
		body = zip
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	in := json.NewDecoder(body)
	for n := 0; ; n++ {
		var e envelope
		err := in.Decode(&e)
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			answer(w, 400, `{"text":"No data","code":5}`)
		case errors.Is(err, io.EOF) && mode == sinktest.CutAfter:
			cut(w)
		case errors.Is(err, io.EOF):
			answer(w, 200, `{"text":"Success","code":0}`)
		case err != nil || mode == sinktest.RefuseMarked && strings.Contains(string(e.Event), sinktest.Marker):
			answer(w, 400, fmt.Sprintf(`{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, n))
		case len(e.Event) == 0 || string(e.Event) == "null":
			answer(w, 400, fmt.Sprintf(`{"text":"Event field is required","code":12,"invalid-event-number":%d}`, n))
		case string(e.Event) == `""`:
			answer(w, 400, fmt.Sprintf(`{"text":"Event field cannot be blank","code":13,"invalid-event-number":%d}`, n))
		case e.Index != nil && *e.Index == "missing":
			answer(w, 400, fmt.Sprintf(`{"text":"Incorrect index","code":7,"invalid-event-number":%d}`, n))
		default:
			h.stored = append(h.stored, e)
			continue
		}
		return
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// cut closes the connection without a reply.
func cut(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

// tokenFile writes a token to a file and gives its path.
func tokenFile(t testing.TB, token string) string {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newSink makes a sink for the server, in schema ecs; edit changes its configuration.
func newSink(t testing.TB, h *hec, edit func(*Config)) *Sink {
	cfg := Config{Endpoints: []string{h.URL}, TokenFile: tokenFile(t, testToken+"\n")}
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
					h := newHEC(t)
					return newSink(t, h, func(c *Config) { c.Compression = compression }), h
				},
				TooLarge: 1<<20 + 1,
				Skip:     map[string]string{"partial": "receivers differ in whether they keep the events before a bad one: those are sent again"},
			})
		})
	}
}
