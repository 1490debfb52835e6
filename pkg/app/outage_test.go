package app_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
)

// TestThreeDaysOutage has the process away for 72 hours from a tenant with 50 records a second, or what is the same for the
// budget: half a record a second in pages of ten instead of a thousand. When it is back live is fresh within two polls and stays
// so, the stretch is caught up beside it, and nothing is lost or comes twice.
func TestThreeDaysOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const before, away, after = 2 * time.Hour, 72 * time.Hour, 40 * time.Hour
		began := time.Now()
		o := simulator.Options{Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}, Generate: generate(0.1, began, began.Add(before+away+after))}
		for i := range o.Generate {
			o.Generate[i].Lateness = simulator.Lateness{Median: time.Minute, P95: 3 * time.Minute, Max: 5 * time.Minute}
		}
		w := newWorld(t, o, "start: 1m\npoll: 1m\ntop: 10", "out")
		w.start("out")
		w.until(before)
		w.stop()
		w.until(before + away)
		w.start("out")
		w.until(before + away + 2*time.Minute + queue)
		for _, stream := range simulator.Streams() {
			newest := time.Duration(1 << 62)
			for _, a := range w.sinks["out"].arrived() {
				if a.Key.Stream == stream {
					newest = min(newest, time.Since(a.Time))
				}
			}
			if newest > 4*time.Minute {
				t.Errorf("two polls after the start the newest record of %s is %s old", stream, newest)
			}
		}
		done := time.Duration(0)
		for done == 0 && time.Since(began) < before+away+after {
			w.until(time.Since(began) + 10*time.Minute)
			if !slices.ContainsFunc(w.app.Status().Streams, hasCatchup) {
				done = time.Since(began) - before - away
			}
		}
		if done == 0 {
			t.Fatal("the catch-up is not done after forty hours")
		}
		w.until(time.Since(began) + time.Hour)
		w.stop()
		back := began.Add(before + away + 2*time.Minute)
		var delays []time.Duration
		for _, a := range w.sinks["out"].arrived() {
			if a.Time.After(back) {
				delays = append(delays, a.At.Sub(a.Time))
			}
		}
		slices.Sort(delays)
		// What live leaves behind under this load comes with the catch-up, which is beside it, or with the first re-reader.
		if half, p99 := delays[len(delays)/2], delays[len(delays)*99/100]; half > 5*time.Minute || p99 > 40*time.Minute {
			t.Errorf("while it catches up new records come within %s (median) and %s (99 of 100) of their time", half, p99)
		}
		if n := w.sinks["out"].repeats(); n > 0 {
			t.Errorf("%d came again", n)
		}
		got, records, missing, end := w.sinks["out"].byRecord(), 0, 0, time.Now()
		for row := range w.sim.Expected(end.Add(-30 * time.Minute)) {
			if records++; len(got[rec{row.Stream, row.ID}]) == 0 {
				if missing++; missing <= 3 {
					t.Errorf("a record of %s, %s before the end, is missing", row.Stream, end.Sub(row.Time))
				}
			}
		}
		if missing > 0 || records < 100_000 {
			t.Errorf("%d of %d records are missing", missing, records)
		}
		w.checkBudget()
		t.Logf("%d records; caught up after %s; new ones came within %s (median) and %s (99 of 100) of their time", records, done,
			delays[len(delays)/2], delays[len(delays)*99/100])
	})
}

func hasCatchup(s pipeline.StreamStatus) bool {
	for _, r := range s.Readers {
		if strings.HasPrefix(r.Name, "catchup/") {
			return true
		}
	}
	return false
}
