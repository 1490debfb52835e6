package chaos

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// dice decides what goes wrong. Its mutex guards the receiver that has it, too.
type dice struct {
	mu      sync.Mutex
	rng     *rand.Rand
	served  map[string]int // faults by name
	unknown int            // requests that were stored and whose sender was not told
}

func newDice(seed, which uint64) *dice {
	return &dice{rng: rand.New(rand.NewPCG(seed, which)), served: map[string]int{}}
}

// odd is a fault with its share of the requests.
type odd struct {
	name  string
	share float64
}

// roll gives the name of a fault, "" as a rule. The mutex is held.
func (d *dice) roll(odds []odd) string {
	x := d.rng.Float64()
	for _, o := range odds {
		if x -= o.share; x < 0 {
			d.served[o.name]++
			return o.name
		}
	}
	return ""
}

// usual is what every HTTP receiver does now and then.
var usual = []odd{{"busy", 0.01}, {"proxy", 0.004}, {"server", 0.004}, {"slow down", 0.004}, {"cut before", 0.004}, {"cut after", 0.004}, {"cut reply", 0.004}}

// web serves one of the HTTP receivers.
type web struct {
	*dice
	*received
	url string
	// take stores what the body holds and gives status and text of the reply. The mutex is held.
	take func(w http.ResponseWriter, r *http.Request, body []byte, fault string) (int, string)
	odds []odd
}

func newWeb(t *testing.T, seed, which uint64, got *received, odds []odd) *web {
	w := &web{dice: newDice(seed, which), received: got, odds: append(odds, usual...)}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (h *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	fault := h.roll(h.odds)
	if fault != "" && strings.HasSuffix(r.URL.Path, "/ack") {
		h.unknown += inFlight // what was asked for and not answered may have been told
	}
	h.mu.Unlock()
	if fault == "cut before" {
		panic(http.ErrAbortHandler)
	}
	body, err := readBody(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the sender has gone, or broke off
	}
	w.Header().Set("Content-Type", "application/json")
	switch fault {
	case "busy":
		w.Header().Set("Retry-After", "0.05")
		http.Error(w, `{"text":"Server is busy","code":9}`, http.StatusServiceUnavailable)
		return
	case "proxy":
		http.Error(w, "<html><body>Bad Gateway</body></html>", http.StatusBadGateway)
		return
	case "server":
		http.Error(w, `{"text":"Internal server error","code":8}`, http.StatusInternalServerError)
		return
	case "slow down":
		http.Error(w, `{"text":"Queue at capacity","code":26,"error":{"type":"es_rejected_execution_exception"}}`, http.StatusTooManyRequests)
		return
	}
	h.mu.Lock()
	before := h.stored
	status, text := h.take(w, r, body, fault)
	if (fault == "cut after" || fault == "cut reply") && h.stored > before {
		h.unknown++
	}
	h.mu.Unlock()
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	switch fault {
	case "cut after":
		panic(http.ErrAbortHandler)
	case "cut reply":
		w.WriteHeader(status)
		io.WriteString(w, text[:len(text)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func readBody(r *http.Request) ([]byte, error) {
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = zip
	}
	return io.ReadAll(in)
}

// newHEC is an event collector. As Splunk's own it stores what stands before a bad event and names it, as another vendor's it
// stores nothing and names none.
func newHEC(t *testing.T, seed, which uint64, got *received, splunkd bool) *web {
	h := newWeb(t, seed, which, got, []odd{{"near capacity", 0.005}})
	h.take = func(w http.ResponseWriter, _ *http.Request, body []byte, fault string) (int, string) {
		all, bad := h.envelopes(body)
		if bad < 0 || splunkd {
			h.store(all)
		}
		switch {
		case bad >= 0 && splunkd:
			w.Header().Set("Server", "Splunkd")
			return http.StatusBadRequest, fmt.Sprintf(`{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, bad)
		case bad >= 0:
			return http.StatusBadRequest, `{"text":"Invalid data format","code":6}`
		case fault == "near capacity":
			return http.StatusOK, `{"text":"Queue approaching capacity","code":24}`
		}
		return http.StatusOK, `{"text":"Success","code":0}`
	}
	return h
}

type envelope struct {
	Event  json.RawMessage
	Fields struct {
		EventID string `json:"event_id"`
	}
}

// envelopes gives those before the first bad one, and its place; -1: all are good.
func (h *web) envelopes(body []byte) (all []envelope, bad int) {
	for in := json.NewDecoder(bytes.NewReader(body)); in.More(); {
		var e envelope
		if err := in.Decode(&e); err != nil {
			h.fault("envelope %d: %v", len(all), err)
			return all, len(all)
		}
		if bytes.Contains(e.Event, []byte(mark)) {
			return all, len(all)
		}
		all = append(all, e)
	}
	return all, -1
}

func (h *web) store(all []envelope) {
	for _, e := range all {
		h.put(e.Fields.EventID, e.Event)
	}
}

// newAckHEC is one that acknowledges: a request gets an id, which is true when it is asked for the second time, and told once. Now and
// then the indexer is gone before it has anything on its disk: then the id never becomes true.
func newAckHEC(t *testing.T, seed, which uint64, got *received) *web {
	h := newWeb(t, seed, which, got, []odd{{"indexer gone", 0.004}})
	asked, next := map[string]map[int]int{}, 0
	h.take = func(_ http.ResponseWriter, r *http.Request, body []byte, fault string) (int, string) {
		channel := r.Header.Get("X-Splunk-Request-Channel")
		if channel == "" {
			h.fault("a request without a channel")
			return http.StatusBadRequest, `{"text":"Data channel is missing","code":10}`
		}
		if asked[channel] == nil {
			asked[channel] = map[int]int{}
		}
		if strings.HasSuffix(r.URL.Path, "/ack") {
			var question struct{ Acks []int }
			if err := json.Unmarshal(body, &question); err != nil {
				h.fault("question: %v", err)
			}
			told := map[int]bool{}
			for _, id := range question.Acks {
				n, waits := asked[channel][id]
				if told[id] = waits && n > 0; told[id] {
					delete(asked[channel], id)
				} else if waits {
					asked[channel][id]++
				}
			}
			text, _ := json.Marshal(map[string]any{"acks": told})
			return http.StatusOK, string(text)
		}
		all, bad := h.envelopes(body)
		if bad >= 0 {
			return http.StatusBadRequest, fmt.Sprintf(`{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, bad)
		}
		if next++; fault != "indexer gone" {
			h.store(all)
			asked[channel][next] = 0
		}
		return http.StatusOK, fmt.Sprintf(`{"text":"Success","code":0,"ackId":%d}`, next)
	}
	return h
}

// newCollector takes lines of events in schema ecs, all or none.
func newCollector(t *testing.T, seed, which uint64, got *received) *web {
	c := newWeb(t, seed, which, got, nil)
	c.take = func(_ http.ResponseWriter, _ *http.Request, body []byte, _ string) (int, string) {
		if bytes.Contains(body, []byte(mark)) {
			return http.StatusUnprocessableEntity, `{"error":"one of them is bad"}`
		}
		for line := range bytes.Lines(body) {
			c.put(idIn(line), line)
		}
		return http.StatusAccepted, "{}"
	}
	return c
}

// newBulk is _bulk: each id is stored once, a repeat is a conflict.
func newBulk(t *testing.T, seed, which uint64, got *received) *web {
	b := newWeb(t, seed, which, got, []odd{{"items rejected", 0.02}, {"item missing", 0.005}})
	b.take = func(_ http.ResponseWriter, _ *http.Request, body []byte, fault string) (int, string) {
		lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
		var items []string
		errors := false
		for i := 0; i+1 < len(lines); i += 2 {
			var action struct {
				Create struct {
					ID string `json:"_id"`
				}
			}
			if err := json.Unmarshal(lines[i], &action); err != nil {
				b.fault("action: %v", err)
				return http.StatusBadRequest, `{"error":{"type":"illegal_argument_exception","reason":"action"},"status":400}`
			}
			status, kind := 201, ""
			switch {
			case bytes.Contains(lines[i+1], []byte(mark)):
				status, kind = 400, "document_parsing_exception"
			case fault == "items rejected" && b.rng.IntN(10) == 0:
				status, kind = 429, "es_rejected_execution_exception"
			case b.has(action.Create.ID):
				status, kind = 409, "version_conflict_engine_exception"
			default:
				b.put(action.Create.ID, lines[i+1])
			}
			item := fmt.Sprintf(`{"create":{"_id":%q,"status":%d`, action.Create.ID, status)
			if kind != "" {
				errors = true
				item += fmt.Sprintf(`,"error":{"type":%q,"reason":"[%s]"}`, kind, kind)
			}
			items = append(items, item+"}}")
		}
		if fault == "item missing" {
			items = items[1:]
			b.unknown++
		}
		return http.StatusOK, fmt.Sprintf(`{"errors":%v,"items":[%s]}`, errors, strings.Join(items, ","))
	}
	return b
}
