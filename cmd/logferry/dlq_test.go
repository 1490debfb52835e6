package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/store"
	"github.com/logferry/logferry/pkg/telemetry"
)

// kill makes records that sink one has refused, as a run would leave them; sink two has them all.
func (w *tenant) kill(reasons ...string) {
	w.Helper()
	s, _, err := store.Open(w.file("state"), store.Options{NoSync: true})
	if err != nil {
		w.Fatal(err)
	}
	defer s.Close()
	for key := range s.Ledger() {
		c := event.PageCommit{Key: key, Slice: event.Slice{Stream: key.Stream, From: w.base, To: w.base.Add(time.Hour), Reader: "live"}, Force: true}
		for i := range reasons {
			raw := fmt.Appendf(nil, `{"id":"dead-%d","activityDisplayName":"<Update>  user","activityDateTime":%q}`, i, w.base.UTC().Format(time.RFC3339))
			c.Records = append(c.Records, event.Record{ID: fmt.Sprint("dead-", i), Time: w.base.Add(time.Duration(i) * time.Minute), Read: w.base, Raw: raw})
		}
		res, err := s.Append(w.Context(), c)
		if err != nil {
			w.Fatal(err)
		}
		n, end := uint64(len(reasons)), event.Position{Seq: res.Batch.Seq + 1}
		step := event.LaneStep{Sink: "one", To: end, Counts: map[event.StreamKey]event.SinkCounts{key: {Dead: n}}}
		for i, reason := range reasons {
			step.Dead = append(step.Dead, event.DeadLetter{At: w.base, Reason: reason, Reply: "400\n\x1b[2Jno", Attempts: 2, Record: res.Batch.Records[i]})
		}
		if err := s.Step(w.Context(), step); err != nil {
			w.Fatal(err)
		}
		if err := s.Step(w.Context(), event.LaneStep{Sink: "two", To: end, Counts: map[event.StreamKey]event.SinkCounts{key: {Delivered: n}}}); err != nil {
			w.Fatal(err)
		}
	}
}

// TestDLQ by the commands, while nobody runs and while somebody does.
func TestDLQ(t *testing.T) {
	w := newTenant(t)
	w.runs(2, "no state yet", "dlq", "list")
	w.add("a")
	w.runs(0, `"complete":true`, "run", "--once")
	w.runs(0, "there are none", "dlq", "list")
	w.kill("mapping: a number is too long", "refused by the index\n\x1b]0;owned\x07"+strings.Repeat("x", 200), "mapping: MORE", "late", "later", "latest")

	table := w.runs(0, "mapping: a number is too long", "dlq", "list")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 7 || strings.Join(strings.Fields(lines[0]), " ") != "ID STATE SINK STREAM RECORD OF SINCE REASON" || strings.ContainsAny(table, "\x1b\x07") {
		t.Errorf("table:\n%q", table)
	}
	if want := "2   dead   one   contoso/audits  " + when(w.base.Add(time.Minute)); !strings.HasPrefix(lines[2], want) || !strings.HasSuffix(lines[2], "x…") {
		t.Errorf("line %q, want %q..", lines[2], want)
	}
	w.runs(0, "and 4 more", "dlq", "list", "--limit", "2")
	var l app.Letter
	if out := w.runs(0, `"reason":"mapping: MORE"`, "dlq", "list", "--json", "--reason", "more"); json.Unmarshal([]byte(out), &l) != nil || l.ID != 3 || l.Stream != "contoso/audits" || l.State != "dead" || l.Raw != nil {
		t.Errorf("NDJSON %s", out)
	}

	out := w.runs(0, "letter 2, dead, of sink one", "dlq", "show", "--id", "2-3")
	for _, want := range []string{"  reply     400  [2Jno\n", "  attempts  2\n", "  \"activityDisplayName\": \"<Update>  user\",\n", "letter 3,"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out = w.runs(0, `"raw":{"id":"dead-0","activityDisplayName":"<Update>  user",`, "dlq", "show", "--json", "--id", "1")
	if strings.Count(out, "\n") != 1 {
		t.Errorf("one line is wanted:\n%s", out)
	}

	for _, verb := range []string{"show", "replay", "drop"} {
		w.runs(2, "--all means every one", "dlq", verb)
		w.runs(1, "no letter is chosen", "dlq", verb, "--id", "99")
		w.runs(2, "there is no sink \"three\": there are one, two", "dlq", verb, "--sink", "three")
		w.runs(2, "there is no source fabrikam", "dlq", verb, "--stream", "fabrikam/audits")
		w.runs(2, "want a number such as 5", "dlq", verb, "--id", "5-")
		w.runs(2, "neither a duration nor a time", "dlq", verb, "--from", "lately")
	}
	w.runs(2, "there is no state \"gone\"", "dlq", "drop", "--state", "gone")
	w.runs(1, "no letter is chosen", "dlq", "drop", "--state", "parked")
	w.runs(1, "no letter is chosen", "dlq", "replay", "--to", when(w.base))
	w.runs(0, "1 letter is dropped", "dlq", "drop", "--from", when(w.base.Add(5*time.Minute)))
	w.runs(0, "they are sent at the next run", "dlq", "replay", "--reason", "MAPPING", "--stream", "contoso/*")
	if out := w.runs(0, "", "dlq", "list", "--state", "returning"); strings.Count(out, "returning") != 2 {
		t.Errorf("returning:\n%s", out)
	}

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan string, 1)
	go func() {
		code, _, stderr := logferry(ctx, "run", "-c", w.config)
		done <- fmt.Sprint(code, stderr)
	}()
	wait(t, "the process runs", func() bool {
		return telemetry.Ask(t.Context(), w.file("state"), "status", &pipeline.Status{}) == nil
	})
	if out := w.runs(0, "", "dlq", "list", "--json", "--state", "dead"); strings.Count(out, "\n") != 3 {
		t.Errorf("dead:\n%s", out)
	}
	w.runs(0, "letter 2, dead", "dlq", "show", "--id", "2")
	w.runs(2, "--all means every one", "dlq", "drop")
	w.runs(0, `"letters": 1`, "dlq", "drop", "--id", "4", "--json")
	out = w.runs(0, "2 letters are on their way again", "dlq", "replay", "--all")
	if strings.Contains(out, "next run") {
		t.Error(out)
	}
	w.runs(0, "there are none", "dlq", "list", "--state", "dead")
	wait(t, "what was replayed has arrived", func() bool { return len(w.lines("one")) == 5 })
	one := strings.Join(w.lines("one"), "\n")
	for i, want := range []int{1, 1, 1, 0, 1, 0} { // the fourth and the last were dropped
		if n := strings.Count(one, fmt.Sprintf(`"id":"dead-%d","created"`, i)); n != want {
			t.Errorf("dead-%d has arrived %d times, want %d", i, n, want)
		}
	}
	if n := len(w.lines("two")); n != 1 {
		t.Errorf("%d records went to a sink that they were not meant for", n-1)
	}
	stop()
	if end := <-done; !strings.HasPrefix(end, "0") {
		t.Errorf("run ended with %s", end)
	}
}
