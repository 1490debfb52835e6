package app_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestRestarts stops and starts the pipeline 30 times in six hours, some pauses longer than look-back: nothing is repeated,
// nothing is lost.
func TestRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		o := simulator.Options{Seed: 3, Generate: generate(0.05, began.Add(-3*time.Hour), began.Add(6*time.Hour))}
		for i := range o.Generate {
			o.Generate[i].Lateness = simulator.Lateness{Median: 2 * time.Minute, P95: 20 * time.Minute, Max: 100 * time.Minute}
		}
		w := newWorld(t, o, "start: 3h\nreread: [30m, 2h]\nlookback: 5m", "one", "two")
		rng := rand.New(rand.NewPCG(2, 2))
		at := time.Duration(0)
		for range 30 {
			w.start("one", "two")
			at += time.Duration(rng.Int64N(int64(20 * time.Minute)))
			w.until(at)
			w.stop()
			if rng.IntN(5) == 0 {
				at += time.Duration(rng.Int64N(int64(30 * time.Minute)))
			}
			w.until(at)
		}
		w.start("one", "two")
		w.until(max(at, 6*time.Hour) + 3*time.Hour)
		w.stop()
		for name := range w.sinks {
			records, _ := w.complete(name)
			t.Logf("%s: %d records in %d arrivals over 30 restarts", name, records, len(w.sinks[name].arrived()))
		}
		w.checkBudget()
	})
}

// TestSinksComeAndGo adds a sink, renames one, lets one pause and takes one away while records wait for it.
func TestSinksComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{Generate: generate(0.02, began.Add(-time.Hour), began.Add(8*time.Hour))},
			"start: 1h\nreread: [30m]", "first", "late", "old", "new")
		w.start("first", "old")
		w.until(time.Hour)
		w.stop()

		// A sink that is added gets what is read from now on.
		w.start("first", "old", "late")
		w.until(2 * time.Hour)
		for _, a := range w.sinks["late"].arrived() {
			if a.Read.Before(began.Add(time.Hour)) {
				t.Errorf("the added sink got a record that was read %s before", began.Add(time.Hour).Sub(a.Read))
				break
			}
		}
		if n := len(w.sinks["late"].arrived()); n < 200 {
			t.Errorf("the added sink got %d", n)
		}

		// One that is away with records pending keeps its place through a rename.
		w.sinks["old"].set(errors.New("connection refused"))
		w.until(3 * time.Hour)
		w.stop()
		if _, err := w.open("first", "late"); !errors.Is(err, app.ErrUsage) || !strings.Contains(err.Error(), "--forget-sink old") || !strings.Contains(err.Error(), "pending") {
			t.Errorf("a sink is gone with records pending: %v", err)
		}
		had := len(w.sinks["old"].arrived())
		w.start("first", "late, paused: true", "new, was: old")
		paused := len(w.sinks["late"].arrived())
		w.until(4 * time.Hour)
		if n := len(w.sinks["late"].arrived()); n != paused {
			t.Errorf("the paused sink got %d more", n-paused)
		}
		w.stop()
		w.start("first", "late", "new, was: old") // was may stay
		w.until(9 * time.Hour)
		w.stop()
		records, _ := w.complete("first")
		w.sinks["new"].got = append(w.sinks["old"].got[:had:had], w.sinks["new"].got...)
		w.complete("new") // what old had and what new got are together each record once
		if w.sinks["late"].repeats() > 0 {
			t.Error("the paused sink got records twice")
		}
		if n := len(w.sinks["late"].arrived()); n < records*7/10 {
			t.Errorf("the paused sink got %d of %d in all", n, records)
		}
	})
}
