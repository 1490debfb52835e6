package app_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestUpdates has records change while they are still read: a change of content is shipped once more, marked; another order
// of members is none; updates: drop keeps the first version.
func TestUpdates(t *testing.T) {
	for _, mode := range []string{"ship", "drop"} {
		t.Run(mode, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testUpdates(t, mode) }) })
	}
}

func testUpdates(t *testing.T, mode string) {
	w := newWorld(t, simulator.Options{}, "start: 1h\nupdates: "+mode, "out")
	w.sinks["out"].keep = true
	second := map[rec]string{} // what a record says in the end, if that is something new
	put := func(stream, id string, at, after time.Duration, changed string) {
		when := w.began.Add(at)
		stamp := when.UTC().Format("2006-01-02T15:04:05.0000000Z")
		raw := fmt.Appendf(nil, `{"id":%q,"activityDateTime":%q,"detail":{"a":1,"b":[1,2]}}`, id, stamp)
		u := fmt.Appendf(nil, changed, stamp, id)
		w.add(stream, simulator.Record{Raw: raw, Time: when, Updates: []simulator.Update{{At: when.Add(after), Raw: u}}})
		second[rec{stream, id}] = string(u)
	}
	const (
		changed   = `{"activityDateTime":%q,"id":%q,"detail":{"a":1,"b":[2,1]}}`
		reordered = `{ "detail":{"b":[1,2],"\u0061":1}, "activityDateTime":%q, "id":%q }`
	)
	for i := range 20 {
		at := time.Duration(i) * 7 * time.Minute
		put(simulator.Audits, fmt.Sprint("live-", i), at, 10*time.Minute, changed)
		put(simulator.Audits, fmt.Sprint("late-", i), at, 110*time.Minute, changed)
		put(simulator.Audits, fmt.Sprint("same-", i), at, 10*time.Minute, reordered)
		delete(second, rec{simulator.Audits, fmt.Sprint("same-", i)})
	}
	w.start("out")
	w.until(6 * time.Hour)
	status := w.app.Status()
	w.stop()
	for k, got := range w.sinks["out"].byRecord() {
		want, updated := second[k]
		switch {
		case got[0].Update() || !updated && len(got) != 1 || mode == "drop" && len(got) != 1:
			t.Errorf("%s came %d times, the first time with flags %b", k.id, len(got), got[0].Flags)
		case updated && mode == "ship" && (len(got) != 2 || got[1].Flags != event.FlagUpdate || got[1].Body != want || got[1].Event == got[0].Event):
			t.Errorf("%s came as %+v", k.id, got)
		}
	}
	if n := len(w.sinks["out"].byRecord()); n != 60 {
		t.Errorf("%d records of 60", n)
	}
	for _, s := range status.Streams {
		if s.Name != "contoso/audits" {
			continue
		}
		// Each reader that passes later meets the other version again and drops it again.
		if s.New != 60 || mode == "ship" && (s.Updated != 40 || s.Suppressed != 0) || mode == "drop" && (s.Updated != 0 || s.Suppressed < 40) {
			t.Errorf("counted %+v", s.PageCounts)
		}
	}
}

// TestDeadSink has one of three sinks refuse everything for hours: the others get all in time, it gets all at the end, once
// and in the order of the journal.
func TestDeadSink(t *testing.T) {
	for name, down := range map[string]error{"retryable": errors.New("connection refused"), "blocked": fault.Block(errors.New("the token is disabled"))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := newWorld(t, simulator.Options{Generate: generate(0.01, began.Add(-time.Hour), began.Add(6*time.Hour))}, "start: 1h\nreread: [30m]", "one", "two", "dead")
				w.sinks["dead"].set(down)
				w.start("one", "dead", "two")
				w.until(6 * time.Hour)
				if got := w.fault("sink dead"); got != down.Error() {
					t.Errorf("status says of it %q", got)
				}
				if n := len(w.sinks["dead"].arrived()); n > 0 || w.sinks["dead"].refused() < 50 {
					t.Errorf("%d came to the dead sink in %d Sends", n, w.sinks["dead"].refused())
				}
				w.until(7 * time.Hour)
				w.sinks["dead"].set(nil)
				w.until(7*time.Hour + 7*time.Minute) // the longest pause between attempts is 5 minutes and 30 %
				w.stop()
				var worst time.Duration
				for _, a := range w.sinks["one"].arrived() {
					if a.Time.After(began) {
						worst = max(worst, a.At.Sub(a.Time))
					}
				}
				if worst > poll+queue {
					t.Errorf("a record came %s after its time to a sink that works", worst)
				}
				for name := range w.sinks {
					if n, _ := w.complete(name); n < 1200 {
						t.Errorf("only %d records", n)
					}
				}
				order := func(name string) (ids []event.ID) {
					for _, a := range w.sinks[name].arrived() {
						ids = append(ids, a.Event)
					}
					return ids
				}
				if !slices.Equal(order("one"), order("dead")) || !slices.Equal(order("one"), order("two")) {
					t.Error("the sinks got their events in different orders")
				}
				t.Logf("%d events; to a working sink within %s; %d Sends refused", len(order("one")), worst, w.sinks["dead"].refused())
			})
		})
	}
}

// TestFullJournal fills the journal behind a dead sink: not one request is sent while it is full, and all arrives once the
// sink takes it. It fills while live reads, and in the middle of a slice of many pages.
func TestFullJournal(t *testing.T) {
	for name, c := range map[string]struct {
		first, between time.Duration // of the records
		step           time.Duration // of looking whether the journal is full: shorter than the time to the next request
		input          string
	}{
		"live":     {0, 3 * time.Minute, time.Minute, "start: 1h\nstreams: [audits]\nreread: [30m]"},
		"backfill": {-20 * time.Hour, time.Minute, time.Second, "start: 24h\nstreams: [audits]\nreread: [30m]\ntop: 7"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testFullJournal(t, c.first, c.between, c.step, c.input) })
		})
	}
}

func testFullJournal(t *testing.T, first, between, step time.Duration, input string) {
	w := newWorld(t, simulator.Options{}, input, "one", "dead")
	// 260 records of 100 kB that do not compress: half as much again as the journal holds.
	noise := make([]byte, 75_000)
	rng := rand.NewChaCha8([32]byte{1})
	const n = 260
	for i := range n {
		rng.Read(noise)
		at := w.began.Add(first + time.Duration(i)*between)
		w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), at, `,"pad":"`+base64.StdEncoding.EncodeToString(noise)+`"`)})
	}
	w.sinks["dead"].set(errors.New("connection refused"))
	w.start("one", "dead")
	full := time.Duration(0)
	for w.app.Status().Room > 0 && full < 20*time.Hour {
		full += step
		w.until(full)
	}
	before, _ := w.wire.requests()
	w.until(full + 3*time.Hour)
	after, _ := w.wire.requests()
	room, held := w.app.Status().Room, len(w.sinks["one"].arrived())
	if full > 12*time.Hour || after != before || w.fault("journal") == "" {
		t.Errorf("full after %s; %d requests while it was; status says %q", full, after-before, w.fault("journal"))
	}
	if room < -2<<20 {
		t.Errorf("the journal went %d bytes over its limit", -room)
	}
	w.sinks["dead"].set(nil)
	w.until(24 * time.Hour)
	w.stop()
	for name := range w.sinks {
		if records, _ := w.complete(name); records != n {
			t.Errorf("the API shows %d records of %d", records, n)
		}
	}
	w.checkBudget()
	t.Logf("full after %s with %d records, %d bytes over", full, held, max(0, -room))
}

// TestStormOfUpdates has every record change at each look, as with a member that the table should call volatile: that is said while
// it lasts, and not longer.
func TestStormOfUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 1h\nreread: []\nstreams: [audits]", "out")
		for i := range 30 {
			at := w.began.Add(time.Duration(i) * time.Second)
			r := simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), at, ""), Appears: at}
			for n := range 10 {
				r.Updates = append(r.Updates, simulator.Update{At: at.Add(time.Duration(n+1) * poll), Raw: record(simulator.Audits, fmt.Sprint(i), at, fmt.Sprintf(`,"seen":%d`, n))})
			}
			w.add(simulator.Audits, r)
		}
		w.start("out")
		w.until(5*poll + poll/2)
		if says := w.fault("updates of stream contoso/" + simulator.Audits); !strings.Contains(says, "known records that have changed") {
			t.Errorf("status says %q", says)
		}
		w.until(13 * poll)
		if says := w.fault("updates of stream contoso/" + simulator.Audits); says != "" {
			t.Errorf("it is over, but status says %q", says)
		}
	})
}
