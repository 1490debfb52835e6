package splunk

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// drive sends events as a lane does, without its pauses: what was refused as a whole in halves, a suspect alone, what is left of a
// partial failure in a run of its own. It gives the numbers of those refused for good and ends with what blocks.
func drive(ctx context.Context, s *Sink, events []event.Event) (dead []int, err error) {
	all := make([]int, len(events))
	for i := range all {
		all[i] = i
	}
	todo := [][]int{all}
	for tries := 0; len(todo) > 0; tries++ {
		if tries > 50 {
			return dead, fmt.Errorf("no end: %v are left", todo)
		}
		run := todo[0]
		todo = todo[1:]
		var some []event.Event
		for _, i := range run {
			some = append(some, events[i])
		}
		err := s.Send(ctx, some)
		switch {
		case err == nil:
		case fault.Of(err) == fault.Blocked:
			return dead, err
		case fault.Of(err) == fault.Retryable:
			todo = append([][]int{run}, todo...)
		case fault.Of(err) == fault.Poison && len(run) == 1:
			dead = append(dead, run[0])
		case fault.Of(err) == fault.Poison:
			half := len(run) / 2
			todo = append([][]int{run[:half], run[half:]}, todo...)
		default:
			var again [][]int
			var rest []int
			for k, i := range run {
				switch cause, failed := fault.Failed(err)[k]; {
				case !failed:
				case fault.Suspected(cause):
					again = append(again, []int{i})
				case fault.Of(cause) == fault.Poison:
					dead = append(dead, i)
				case fault.Of(cause) == fault.Blocked:
					return dead, cause
				default:
					rest = append(rest, i)
				}
			}
			if rest != nil {
				again = append(again, rest)
			}
			todo = append(again, todo...)
		}
	}
	return dead, nil
}

// numbers names the events of the requests that the server has read: "01234 2 34".
func (h *hec) numbers(events []event.Event) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var requests []string
	for _, ids := range h.seen {
		text := ""
		for _, id := range ids {
			text += fmt.Sprint(slices.IndexFunc(events, func(e event.Event) bool { return e.EventID.String() == id }))
		}
		requests = append(requests, text)
	}
	return strings.Join(requests, " ")
}

// kept counts how often the server has stored each event: "11011".
func (h *hec) kept(events []event.Event) string {
	text := ""
	stored := h.Received()
	for i := range events {
		n := 0
		for _, r := range stored {
			if r.EventID == events[i].EventID.String() {
				n++
			}
		}
		text += fmt.Sprint(n)
	}
	return text
}

// TestEveryCode has the server answer the first request of five events with each code, with and without the number of an event, and
// shows what was sent after that, what is stored and what is dead. Event 2 is one that it never takes where the code says so.
func TestEveryCode(t *testing.T) {
	const (
		once  = "01234"
		twice = "01234 01234"
		// Where the number is missing, halves are sent.
		halves = "01234 01 234 2 34"
	)
	for _, c := range []struct {
		code, status  int
		plain         string // what is sent in all, without a number
		splunk, other string // with number 2, by Splunk and by a receiver that keeps nothing of a request it refuses
	}{
		{0, 200, once, twice, twice}, // a success with a bad event is none
		{1, 403, "blocked", "blocked", "blocked"},
		{2, 401, "blocked", "blocked", "blocked"},
		{3, 401, "blocked", "blocked", "blocked"},
		{4, 403, "blocked", "blocked", "blocked"},
		{5, 400, twice, twice, twice},
		{6, 400, halves, "01234 2 34", "01234 2 0134"},
		{7, 400, "blocked", "blocked", "blocked"}, // the configuration's one index
		{8, 500, twice, twice, twice},
		{9, 503, twice, "01234 234", twice},
		{10, 400, "blocked", "blocked", "blocked"},
		{11, 400, twice, twice, twice},
		{12, 400, halves, "01234 2 34", "01234 2 0134"},
		{13, 400, halves, "01234 2 34", "01234 2 0134"},
		{14, 400, "blocked", "blocked", "blocked"},
		{15, 400, halves, "01234 2 34", "01234 2 0134"},
		{16, 400, "blocked", "blocked", "blocked"},
		{17, 200, "blocked", "blocked", "blocked"},
		{18, 503, twice, twice, twice},
		{19, 503, twice, twice, twice},
		{20, 503, twice, twice, twice},
		{21, 400, "blocked", "blocked", "blocked"},
		{22, 400, "blocked", "blocked", "blocked"},
		{23, 503, twice, twice, twice},
		{24, 200, once, twice, twice},
		{25, 200, once, twice, twice},
		{26, 429, twice, twice, twice},
		{27, 429, twice, twice, twice},
	} {
		for _, number := range []string{"", "splunk", "other"} {
			t.Run(strings.TrimSpace(fmt.Sprint(c.code, " ", number)), func(t *testing.T) {
				want := map[string]string{"": c.plain, "splunk": c.splunk, "other": c.other}[number]
				verdict := codes[c.code].verdict
				h := newHEC(t)
				h.Set(sinktest.RefuseMarked)
				h.server, h.discards = "Splunkd", number == "other"
				events := samples(5)
				if verdict == bad {
					events[2].Body = []byte(`"` + sinktest.Marker + `"`)
				}
				text := fmt.Sprintf(`{"text":"words","code":%d}`, c.code)
				if number != "" {
					text = fmt.Sprintf(`{"text":"words","code":%d,"invalid-event-number":2}`, c.code)
				}
				if number == "other" {
					h.server = "nginx"
				}
				prefix := 0 // events of the first request that are stored
				if number == "splunk" && (verdict == bad || verdict == busy) || number == "" && verdict == bad {
					prefix = 2
				}
				if verdict == accepted && number == "" {
					prefix = 5
				}
				first := true
				h.script = func([]string) (int, string) {
					if !first {
						return 0, ""
					}
					first = false
					for i := range prefix {
						h.stored = append(h.stored, stored(&events[i]))
					}
					return c.status, text
				}
				dead, err := drive(t.Context(), newSink(t, h, nil), events)
				sent := h.numbers(events)
				if want == "blocked" {
					if fault.Of(err) != fault.Blocked || sent != "01234" || len(dead) > 0 {
						t.Errorf("sent %s, dead %v: %v", sent, dead, err)
					}
					return
				}
				if sent != want || err != nil {
					t.Errorf("sent %q, want %q: %v", sent, want, err)
				}
				if verdict == bad != (fmt.Sprint(dead) == "[2]") || verdict != bad && len(dead) > 0 {
					t.Errorf("dead are %v", dead)
				}
				kept := h.kept(events)
				if verdict == bad {
					kept = kept[:2] + kept[3:]
				}
				if strings.Contains(kept, "0") {
					t.Errorf("stored %s", kept)
				}
				if number == "splunk" && strings.Trim(kept, "1") != "" {
					t.Errorf("stored %s: repeats though it is Splunk", kept)
				}
			})
		}
	}
}

func stored(e *event.Event) envelope {
	out := envelope{Event: e.Body}
	out.Fields.EventID = e.EventID.String()
	return out
}

// TestPrefix: whether the events before a bad one go again is what the receiver calls itself, unless the operator knows.
func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		assume, server, ack string
		want                string
	}{
		{"auto", "Splunkd", "if_offered", "01234 2 34"},
		{"auto", "splunkd/9", "if_offered", "01234 2 34"},
		{"auto", "", "if_offered", "01234 2 0134"},
		{"auto", "nginx", "if_offered", "01234 2 0134"},
		{"yes", "", "if_offered", "01234 2 34"},
		{"no", "Splunkd", "if_offered", "01234 2 0134"},
		{"auto", "Splunkd", "required", "01234 2 0134"}, // nobody acknowledges what came before a bad event
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			h := newHEC(t)
			h.Set(sinktest.RefuseMarked)
			h.server, h.acks = c.server, c.ack == "required"
			events := samples(5)
			events[2].Body = []byte(`"` + sinktest.Marker + `"`)
			dead, err := drive(t.Context(), newSink(t, h, func(cfg *Config) { cfg.AssumePrefix, cfg.Ack = c.assume, c.ack }), events)
			if got := h.numbers(events); got != c.want || err != nil || fmt.Sprint(dead) != "[2]" {
				t.Errorf("sent %q, want %q; dead %v: %v", got, c.want, dead, err)
			}
		})
	}
}

// TestWrongNumber: an event that is named and passes when it goes alone is delivered, and the one that is meant is found.
func TestWrongNumber(t *testing.T) {
	h := newHEC(t)
	h.Set(sinktest.RefuseMarked)
	h.discards = true
	events := samples(4)
	events[3].Body = []byte(`"` + sinktest.Marker + `"`)
	h.script = func(ids []string) (int, string) {
		if len(ids) > 1 && slices.Contains(ids, events[3].EventID.String()) {
			return 400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`
		}
		return 0, ""
	}
	dead, err := drive(t.Context(), newSink(t, h, nil), events)
	if err != nil || fmt.Sprint(dead) != "[3]" || h.kept(events) != "1110" {
		t.Errorf("dead %v, stored %s: %v", dead, h.kept(events), err)
	}
}

// TestIndexes: events go in one request for each index, and those of an index that is not there are refused, no others.
func TestIndexes(t *testing.T) {
	for _, number := range []bool{true, false} {
		h := newHEC(t)
		h.script = func(ids []string) (int, string) {
			if !number && len(ids) == 2 {
				return 400, `{"text":"Incorrect index","code":7}`
			}
			return 0, ""
		}
		s := newSink(t, h, func(c *Config) { c.Index = "{stream}" })
		var events []event.Event
		for i, stream := range []string{"audits", "missing", "signins.interactive", "audits", "missing", "audits"} {
			events = append(events, sample(i, stream, fmt.Sprintf(`{"n":%d}`, i)))
		}
		dead, err := drive(t.Context(), s, events)
		if got := h.numbers(events); got != "035 14 2" || fmt.Sprint(dead) != "[1 4]" || h.kept(events) != "101101" || err != nil {
			t.Errorf("number %t: sent %q, dead %v, stored %s: %v", number, got, dead, h.kept(events), err)
		}
	}
}

// TestIndexesEachRefused: requests that are refused as wholes are told apart from those that have their verdict, and come to an end.
func TestIndexesEachRefused(t *testing.T) {
	h := newHEC(t)
	s := newSink(t, h, func(c *Config) { c.Index = "{stream}" })
	var events []event.Event
	for i, stream := range []string{"a", "b", "c", "a", "b", "a", "b"} {
		events = append(events, sample(i, stream, fmt.Sprintf(`{"n":%d}`, i)))
	}
	bad := []string{events[3].EventID.String(), events[4].EventID.String()}
	h.script = func(ids []string) (int, string) {
		if slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(bad, id) }) {
			return 400, `{"text":"Invalid data format","code":6}`
		}
		return 0, ""
	}
	dead, err := drive(t.Context(), s, events)
	if err != nil || fmt.Sprint(dead) != "[3 4]" || h.kept(events) != "1110011" {
		t.Errorf("dead %v, stored %s: %v", dead, h.kept(events), err)
	}
}

// TestTooLarge: 413 says to make requests smaller; an event that is refused alone is dead.
func TestTooLarge(t *testing.T) {
	h := newHEC(t)
	h.script = func(ids []string) (int, string) {
		if len(ids) > 2 {
			return http.StatusRequestEntityTooLarge, "<!doctype html><title>413</title>"
		}
		return 0, ""
	}
	s := newSink(t, h, nil)
	events := samples(5)
	if err := s.Send(t.Context(), events); !fault.Oversized(err) {
		t.Errorf("413: %v", err)
	}
	h.seen = nil
	if dead, err := drive(t.Context(), s, events); err != nil || dead != nil || h.numbers(events) != "01234 01 234 2 34" || h.kept(events) != "11111" {
		t.Errorf("sent %s, dead %v, stored %s: %v", h.numbers(events), dead, h.kept(events), err)
	}
}
