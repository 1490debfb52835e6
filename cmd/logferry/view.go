package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
)

// view is a sink that shows events to a person: the first one in full, of the others a line each.
type view struct {
	mu    sync.Mutex
	w     io.Writer
	shown int
	begun time.Time
}

func newView(w io.Writer) *view { return &view{w: w, begun: time.Now()} }

func (v *view) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(v.w, format+"\n", args...)
}

// Limits implements pipeline.Sink.
func (v *view) Limits() event.Limits {
	return event.Limits{Events: 100, Bytes: 1 << 20, Linger: 200 * time.Millisecond}
}

// Close implements pipeline.Sink.
func (v *view) Close() error { return nil }

// Send implements pipeline.Sink.
func (v *view) Send(_ context.Context, events []event.Event) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range events {
		if v.shown++; v.shown == 1 {
			v.whole(events[i].Body)
		}
		v.line(&events[i])
	}
	return nil
}

// whole shows an event in full, but for the record as Microsoft sent it, which every event carries under "entra".
func (v *view) whole(body []byte) {
	var doc map[string]json.RawMessage
	if json.Unmarshal(body, &doc) != nil {
		return
	}
	record := len(doc["entra"])
	doc["entra"] = json.RawMessage(fmt.Sprintf(`"the record as Microsoft sent it, %d bytes, verbatim"`, record))
	text, err := json.Marshal(doc)
	if err != nil {
		return
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, text, "  ", "  ") == nil {
		fmt.Fprintf(v.w, "The first event:\n  %s\n\nAnd those that follow:\n", pretty.String())
	}
}

// shape is what a line shows of an ECS event.
type shape struct {
	Event struct {
		Action  string `json:"action"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
	} `json:"event"`
	User struct {
		Name string `json:"name"`
	} `json:"user"`
	Service struct {
		Name string `json:"name"`
	} `json:"service"`
	Source struct {
		Address string `json:"address"`
	} `json:"source"`
}

func (v *view) line(e *event.Event) {
	var s shape
	if json.Unmarshal(e.Body, &s) != nil {
		return
	}
	mark := ""
	if e.Update() {
		mark = " (update)"
	}
	detail := strings.Join(strings.Fields(s.Service.Name+" "+s.Event.Reason), " ")
	fmt.Fprintf(v.w, "%s  %-24s %-8s %-34s %-16s %-26s %s%s\n", e.Time.UTC().Format("15:04:05"), clip(e.Key.Stream, 24), s.Event.Outcome, clip(s.User.Name, 34), clip(s.Source.Address, 16), clip(s.Event.Action, 26), clip(detail, 60), mark)
}

func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// summary shows where everything stands.
func (v *view) summary(st pipeline.Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var c event.PageCounts
	for _, s := range st.Streams {
		c.Add(s.PageCounts)
	}
	fmt.Fprintf(v.w, "── %s: %d rows read over %d streams: %d new, %d updated, %d seen before", time.Since(v.begun).Round(time.Second), c.Rows, len(st.Streams), c.New, c.Updated, c.Seen)
	for _, s := range st.Sinks {
		fmt.Fprintf(v.w, " │ %s: %d delivered, %d pending", s.Name, s.Delivered, s.Pending)
	}
	fmt.Fprintln(v.w, " ──")
	for _, f := range st.Faults {
		fmt.Fprintf(v.w, "   %s: %s\n", f.Part, f.Err)
	}
}
