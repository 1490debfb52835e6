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
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

const testToken = "b5a7c9d1-0000-4000-8000-0123456789ab"

// hec is Splunk's event collector as a test needs it: it checks the token, reads envelopes one after the other and stores them
// at once, so that a bad one leaves those before it stored and those after it unread. With acks it gives ids, and asked for them it
// tells each true once.
type hec struct {
	*httptest.Server
	mu       sync.Mutex
	mode     sinktest.Mode
	token    string
	stored   []envelope
	requests atomic.Int64
	conns    atomic.Int64
	reply    func(w http.ResponseWriter, r *http.Request) bool // answers instead, if it gives true
	script   func(ids []string) (status int, body string)      // for a request that was read; status 0: as always
	server   string                                            // what it says it is
	discards bool                                              // of a request with a bad event it stores nothing
	seen     [][]string                                        // the ids of each request that was read
	headers  []http.Header                                     // of these

	acks      bool
	after     int    // how many questions for an id are answered with no
	node      string // the indexer that a load balancer with cookies leads to
	sessions  map[string]*session
	questions [][]int // the ids of each
}

// session is what an indexer knows of a channel.
type session struct {
	next  int
	asked map[int]int // how often each id was asked for that is not told yet
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

func (h *hec) says(script func([]string) (int, string)) {
	h.mu.Lock()
	h.script = script
	h.mu.Unlock()
}

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
	case sinktest.CutBefore, sinktest.Hang:
		posttest.Misbehave(w, r, mode)
		return
	case sinktest.Busy:
		answer(w, 503, `{"text":"Server is busy","code":9}`)
		return
	case sinktest.Deny:
		token = "another"
	}
	if h.server != "" {
		w.Header().Set("Server", h.server)
	}
	switch auth := r.Header.Get("Authorization"); {
	case r.URL.Path != eventPath && r.URL.Path != "/services/collector/ack":
		answer(w, 404, `{"text":"The requested URL was not found on this server.","code":404}`)
	case auth == "":
		answer(w, 401, `{"text":"Token is required","code":2}`)
	case !strings.HasPrefix(auth, "Splunk "):
		answer(w, 401, `{"text":"Invalid authorization","code":3}`)
	case auth != "Splunk "+token:
		answer(w, 403, `{"text":"Invalid token","code":4}`)
	case r.URL.Path != eventPath:
		h.tell(w, r, mode)
	default:
		h.take(w, r, mode)
	}
}

// balance does as a load balancer with sticky sessions: who does not come with the indexer's cookie gets it.
func (h *hec) balance(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie("node"); h.node != "" && (err != nil || c.Value != h.node) {
		http.SetCookie(w, &http.Cookie{Name: "node", Value: h.node, Path: "/"})
	}
}

// channel answers instead if the request has no channel that will do.
func (h *hec) channel(w http.ResponseWriter, r *http.Request) (key string, ok bool) {
	id := r.Header.Get("X-Splunk-Request-Channel")
	switch {
	case id == "":
		answer(w, 400, `{"text":"Data channel is missing","code":10}`)
	case !guid.MatchString(id):
		answer(w, 400, `{"text":"Invalid data channel","code":11}`)
	default:
		return h.node + "/" + id, true
	}
	return "", false
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// tell answers the question for acknowledgements.
func (h *hec) tell(w http.ResponseWriter, r *http.Request, mode sinktest.Mode) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.balance(w, r)
	if !h.acks {
		answer(w, 400, `{"text":"ACK is disabled","code":14}`)
		return
	}
	key, ok := h.channel(w, r)
	if !ok {
		return
	}
	var question struct{ Acks []int }
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
		answer(w, 400, `{"text":"Invalid data format","code":6}`)
		return
	}
	h.questions = append(h.questions, question.Acks)
	told := map[int]bool{}
	for _, id := range question.Acks {
		told[id] = false
		if sess := h.sessions[key]; sess != nil {
			if asked, waits := sess.asked[id]; waits && asked >= h.after {
				told[id] = true
				delete(sess.asked, id)
			} else if waits {
				sess.asked[id]++
			}
		}
	}
	if mode == sinktest.CutAfter {
		posttest.Cut(w)
		return
	}
	text, _ := json.Marshal(map[string]any{"acks": told})
	answer(w, 200, string(text))
}

// accept gives the reply to a request that is stored.
func (h *hec) accept(w http.ResponseWriter, key string) {
	if !h.acks {
		answer(w, 200, `{"text":"Success","code":0}`)
		return
	}
	sess := h.sessions[key]
	if sess == nil {
		if h.sessions == nil {
			h.sessions = map[string]*session{}
		}
		sess = &session{asked: map[int]int{}}
		h.sessions[key] = sess
	}
	sess.asked[sess.next] = 0
	answer(w, 200, fmt.Sprintf(`{"text":"Success","code":0,"ackId":%d}`, sess.next))
	sess.next++
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
	h.balance(w, r)
	key := ""
	if h.acks {
		var ok bool
		if key, ok = h.channel(w, r); !ok {
			return
		}
	}
	var got []envelope
	var ids []string
	in := json.NewDecoder(body)
	var broken error
	for broken == nil {
		var e envelope
		if broken = in.Decode(&e); broken == nil {
			got, ids = append(got, e), append(ids, e.Fields.EventID)
		}
	}
	if len(ids) > 0 {
		h.seen, h.headers = append(h.seen, ids), append(h.headers, r.Header)
	}
	if h.script != nil {
		if status, text := h.script(ids); status != 0 {
			answer(w, status, text)
			return
		}
	}
	n, refusal := h.check(got, mode)
	if refusal == "" && !errors.Is(broken, io.EOF) {
		refusal = `"Invalid data format","code":6`
	}
	if refusal == "" || !h.discards {
		h.stored = append(h.stored, got[:n]...)
	}
	switch {
	case refusal != "":
		answer(w, 400, fmt.Sprintf(`{"text":%s,"invalid-event-number":%d}`, refusal, n))
	case n == 0:
		answer(w, 400, `{"text":"No data","code":5}`)
	case mode == sinktest.CutAfter:
		posttest.Cut(w)
	default:
		h.accept(w, key)
	}
}

// check gives how many events are good before the first one that is not, and what is said of that.
func (h *hec) check(got []envelope, mode sinktest.Mode) (n int, refusal string) {
	for n, e := range got {
		switch {
		case mode == sinktest.RefuseMarked && strings.Contains(string(e.Event), sinktest.Marker):
			return n, `"Invalid data format","code":6`
		case len(e.Event) == 0 || string(e.Event) == "null":
			return n, `"Event field is required","code":12`
		case string(e.Event) == `""`:
			return n, `"Event field cannot be blank","code":13`
		case e.Index != nil && *e.Index == "missing":
			return n, `"Incorrect index","code":7`
		}
	}
	return len(got), ""
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// newSink makes a sink for the server, in schema ecs; edit changes its configuration.
func newSink(t testing.TB, h *hec, edit func(*Config)) *Sink {
	cfg := Config{Common: post.Common{Endpoints: []string{h.URL}}, TokenFile: posttest.SecretFile(t, testToken+"\n")}
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg, event.Schema{Name: "ecs"}, Options{AskEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestContract(t *testing.T) {
	for _, c := range []struct {
		name string
		acks bool
		edit func(*Config)
		skip map[string]string
	}{
		{"gzip", false, func(*Config) {}, nil},
		{"none", false, func(c *Config) { c.Compression = "none" }, nil},
		{"acknowledged", true, func(c *Config) { c.Ack = "required" },
			map[string]string{
				"partial":     "nobody acknowledges the events before a bad one: they are sent again",
				"cut-replied": "a question that meets the end of its connection may have been answered: what it asked for is sent again",
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{TooLarge: 1<<20 + 1, Skip: c.skip, New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
				h := newHEC(t)
				h.acks, h.server = c.acks, "Splunkd"
				return newSink(t, h, c.edit), h
			}})
		})
	}
}
