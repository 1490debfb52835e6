package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
)

// everyStream makes up records of each stream.
func everyStream(rate float64, since, until time.Time, changes simulator.Updates) (all []simulator.Generate) {
	for _, s := range simulator.AllStreams() {
		all = append(all, simulator.Generate{Stream: s, Rate: rate, Since: since, Until: until, Updates: changes})
	}
	return all
}

// TestEveryStreamOnce reads all streams with run --once from a service that takes nothing but what its reference says, within
// the limits that it has: each record arrives, no request is refused, and no member of an enumeration is hidden.
func TestEveryStreamOnce(t *testing.T) {
	for _, row := range entra.Table() {
		if !slices.Contains(simulator.AllStreams(), row.Name) {
			t.Errorf("the simulator does not serve %s", row.Name)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{
			Seed: 4, Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}, RiskBudget: simulator.Budget{Requests: 1, Per: time.Second},
			// All have changed by now: what moves during the run is for the next one.
			Generate: everyStream(0.05, began.Add(-4*time.Hour), began.Add(-time.Hour), simulator.Updates{Share: 0.3, After: time.Hour}),
		}, "start: 5h\nreread: []\nstreams: ['*']", "out")
		w.sinks["out"].keep = true
		a, err := w.open("out")
		if err != nil {
			t.Fatal(err)
		}
		summary, err := a.Once(t.Context(), time.Minute)
		if err != nil || !summary.Complete || len(summary.Streams) != len(simulator.AllStreams()) {
			t.Errorf("%+v %v", summary, err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if records, _ := w.complete("out"); records != 540*len(simulator.AllStreams()) {
			t.Errorf("%d records", records)
		}
		for _, a := range w.sinks["out"].arrived() {
			if strings.Contains(a.Body, "unknownFutureValue") {
				t.Errorf("a member of an enumeration is hidden: %s", a.Body)
				break
			}
		}
		if n := w.sim.Stats().Throttled; n > 0 {
			t.Errorf("%d requests were refused", n)
		}
		w.checkBudget()
	})
}

// TestMovedRecordsAreUpdates reads streams that are ordered by the last update while records change and so move along them: each
// version arrives once, the later one as an update, also where updates are dropped and after a restart.
func TestMovedRecordsAreUpdates(t *testing.T) {
	for _, input := range []string{"", "updates: drop\n"} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := newWorld(t, simulator.Options{Seed: 5, Generate: everyStream(0.01, began.Add(-time.Hour), began.Add(4*time.Hour), simulator.Updates{Share: 0.5, After: 3 * time.Hour})},
				input+"start: 2h\nreread: [30m, 6h]\nstreams: ['risk.*', 'security.*']", "out")
			w.start("out")
			w.until(2 * time.Hour)
			w.stop()
			w.start("out")
			w.until(9 * time.Hour)
			for _, fault := range w.app.Status().Faults {
				t.Errorf("%s: %s", fault.Part, fault.Err)
			}
			w.stop()
			if n := w.sinks["out"].repeats(); n > 0 {
				t.Errorf("%d events came twice", n)
			}
			shown := map[rec]int{}
			for row := range w.sim.Shown() {
				shown[rec{row.Stream, row.ID}]++
			}
			updates, got := 0, w.sinks["out"].byRecord()
			for k, versions := range shown {
				if len(got[k]) != versions {
					t.Fatalf("%s %s came %d times, the API has shown %d versions", k.stream, k.id, len(got[k]), versions)
				}
				for i, a := range got[k] {
					if a.Update() != (i > 0) {
						t.Fatalf("version %d of %s %s: update %t", i, k.stream, k.id, a.Update())
					}
					updates += min(i, 1)
				}
			}
			if len(shown) != 6*180 || updates < 300 {
				t.Errorf("%d records, %d updates", len(shown), updates)
			}
		})
	}
}

// TestFilterChanges restarts with another filter: the stream begins again and gets what the first one kept away, only what is
// forgotten comes twice and is marked, log and status say so; an unchanged filter changes nothing.
func TestFilterChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{}, "", "out")
		for i := range 200 {
			at := began.Add(-3*time.Hour + time.Duration(i)*2*time.Minute)
			w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), at, fmt.Sprintf(`,"category":"%c"`, 'A'+i%3))})
		}
		core, logs := observer.New(zap.WarnLevel)
		w.log = zap.New(core)
		const input = "start: 2h\nreread: [30m]\nstreams: [audits]"
		phase := func(filter string, until time.Duration, want string) {
			t.Helper()
			if w.input = input; filter != "" {
				w.input += fmt.Sprintf("\nfilters: {audits: %q}", filter)
			}
			w.start("out")
			w.until(until)
			st := w.stream(simulator.Audits)
			again := logs.FilterMessageSnippet("filter has changed").Len()
			if got := fmt.Sprint(again, !st.Anew.IsZero(), st.Filter == filter); got != want {
				t.Errorf("%q until %s: log, status and filter say %s, want %s", filter, until, got, want)
			}
			w.stop()
			kept, err := app.Offline(w.config([]string{"out"}))
			if err != nil || len(kept.Streams) != 1 || kept.Streams[0].Filter != filter {
				t.Errorf("the state file says %+v, %v", kept.Streams, err)
			}
		}
		phase("category eq 'A'", time.Hour, "0 false true")
		phase("category eq 'A'", 90*time.Minute, "0 false true")
		// B of before the change is there only if the stream begins again; A is remembered.
		phase("category eq 'A' or category eq 'B'", 2*time.Hour, "1 true true")
		phase("category eq 'A' or category eq 'B'", 150*time.Minute, "1 false true")
		phase("", 5*time.Hour, "2 true true")
		got := w.sinks["out"].byRecord()
		for k, all := range got {
			for _, a := range all[1:] { // its id was forgotten when every reader had passed
				if a.Flags&event.FlagUncertain == 0 || a.At.Sub(a.Time) < 30*time.Minute {
					t.Errorf("%s came again %s after its time", k.id, a.At.Sub(a.Time))
				}
			}
		}
		for i := range 200 {
			at := -3*time.Hour + time.Duration(i)*2*time.Minute
			// The streams began 2 h before the start, an hour and a half and two hours later again from where a re-reader still was.
			want := at >= -2*time.Hour && (i%3 == 0 || i%3 == 1 && at >= -30*time.Minute || at >= 30*time.Minute)
			if all := got[rec{simulator.Audits, fmt.Sprint(i)}]; (len(all) > 0) != want || len(all) > 0 && all[0].Flags&event.FlagUpdate != 0 {
				t.Errorf("record %d of category %c at %s: came %d times", i, 'A'+i%3, at, len(all))
			}
		}
	})
}

// TestEveryStreamInEachSchema renders a made-up record of each stream: whatever the schema, the event has the record's time and
// id, names where it comes from, and keeps the record.
func TestEveryStreamInEachSchema(t *testing.T) {
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	topic, err := event.ParseTemplate("entra-{family}")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	families := map[string]bool{}
	for _, row := range entra.Table() {
		rec := event.Record{
			Key: event.StreamKey{Cloud: "global", Tenant: simulator.DefaultTenantID, Stream: row.Name}, Time: at, Read: at.Add(time.Minute),
			Raw: simulator.AppendRecord(nil, row.Name, 3, 17, at),
		}
		var own struct{ ID string }
		if err := json.Unmarshal(rec.Raw, &own); err != nil {
			t.Fatal(err)
		}
		rec.ID = own.ID
		families[string(topic.Append(nil, &rec))] = true
		for _, name := range normalizer.Schemas() {
			checkTells(t, n, rec, name)
		}
		for _, name := range []string{"raw", "ecs"} {
			schema, err := n.Schema(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := n.Normalize(nil, rec, schema)
			if err != nil || !bytes.Contains(body, rec.Raw) {
				t.Errorf("%s as %s: %v\n%s", row.Name, name, err, body)
			}
			if name == "raw" {
				continue
			}
			var e struct {
				Timestamp time.Time `json:"@timestamp"`
				Event     struct{ ID, Kind, Dataset string }
				Logferry  struct{ Stream string }
			}
			if err := json.Unmarshal(body, &e); err != nil || !e.Timestamp.Equal(at) || e.Event.ID != rec.ID || e.Event.Kind == "" || e.Event.Dataset == "" || e.Logferry.Stream != row.Name {
				t.Errorf("%s: %v %+v", row.Name, err, e)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(families)); !slices.Equal(got, []string{"entra-attributes", "entra-audits", "entra-provisioning", "entra-risk", "entra-security", "entra-signins"}) {
		t.Error(got)
	}
}

// checkTells: whatever the schema, a search finds the event by its id, and by the stream and the tenant that it comes from.
func checkTells(t *testing.T, n *normalizer.Normalizer, rec event.Record, name string) {
	t.Helper()
	schema, err := n.Schema(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := n.Normalize(nil, rec, schema)
	if err != nil || bytes.ContainsAny(body, "\r\n") {
		t.Errorf("%s as %s: %v\n%s", rec.Key.Stream, name, err, body)
	}
	if name == "raw" {
		return
	}
	if own := []byte(`"category":"` + rec.Key.Stream + `"`); name == "envelope" && bytes.Contains(body, own) && rec.Key.Family() != "security" {
		t.Errorf("%s has no category of Azure Monitor's: %s", rec.Key.Stream, body)
	}
	for _, what := range []string{rec.EventID().String(), rec.Key.Stream, rec.Key.Tenant} {
		if !bytes.Contains(body, []byte(what)) {
			t.Errorf("%s as %s has no %s: %s", rec.Key.Stream, name, what, body)
		}
	}
}

// TestVerifyMovedRecords: verify finds nothing wrong with records that have changed and moved on, and says what it cannot compare.
func TestVerifyMovedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		changes := simulator.Updates{Share: 0.5, After: 3 * time.Hour}
		w := newWorld(t, simulator.Options{Seed: 5, Generate: everyStream(0.05, began.Add(-time.Hour), began.Add(4*time.Hour), changes)},
			"start: 2h\nreread: [30m]\nstreams: ['risk.users']", "out")
		w.start("out")
		w.until(9 * time.Hour)
		arrived := len(w.sinks["out"].arrived())
		for _, from := range []string{"10h", "40m"} {
			r, err := w.app.Verify(t.Context(), pipeline.VerifyOrder{Stretch: pipeline.Stretch{From: from}, Heal: true}, func(pipeline.Progress) {})
			if err != nil || len(r.Streams) != 1 || r.Streams[0].Differ > 0 || r.Streams[0].Healed != nil || len(r.Streams[0].Notes) == 0 && from == "10h" {
				t.Errorf("%+v %v", r, err)
			}
		}
		time.Sleep(5 * time.Minute)
		w.settle()
		if n := len(w.sinks["out"].arrived()); n != arrived || n < 900 {
			t.Errorf("%d events before, %d after", arrived, n)
		}
		w.stop()
	})
}
