package app_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestConservation runs random worlds for six hours each and until the oldest re-reader has passed: late and changing
// records, a service at fault, sinks at fault, restarts. What the API has shown is what each sink got, each version once, and
// what the ledger says.
func TestConservation(t *testing.T) {
	for seed := range uint64(worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testConservation(t, seed) })
		})
	}
}

const conserved = 6 * time.Hour

func testConservation(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	began := time.Now()
	o := simulator.Options{Seed: seed, Script: mischief(), Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second},
		Generate: generate(0.005+rng.Float64()*0.05, began.Add(-time.Hour), began.Add(conserved))}
	for i := range o.Generate {
		// An hour late at most, and changed within 45 minutes of that: the oldest re-reader sees the last of it.
		o.Generate[i].Lateness = simulator.Lateness{Median: 2 * time.Minute, P95: 20 * time.Minute, TailShare: rng.Float64() / 20, Max: time.Hour}
		o.Generate[i].Updates = simulator.Updates{Share: rng.Float64() / 5, After: 45 * time.Minute}
	}
	w := newWorld(t, o, "start: 1h\npoll: 4m\nlookback: 5m\nreread: [30m, 2h]\ntop: 20", "good", "flaky", "picky")
	mood := rand.New(rand.NewPCG(seed, 8)) // the lane's own: it runs beside this goroutine
	w.sinks["flaky"].says = func(events []event.Event) error {
		switch n := mood.IntN(10); {
		case n == 0:
			return errors.New("connection refused")
		case n < 3: // every third is not accepted
			failed := map[int]error{}
			for i := 0; i < len(events); i += 3 {
				failed[i] = errors.New("busy")
			}
			return fault.Some(failed)
		}
		return nil
	}
	w.sinks["picky"].says = func(events []event.Event) error {
		for i := range events {
			if events[i].ID[len(events[i].ID)-1] == '7' {
				return fault.Refuse(errors.New("no sevens"), "")
			}
		}
		return nil
	}
	starts := 0
	for at := time.Duration(0); at < conserved; starts++ {
		w.start("good", "flaky", "picky")
		at += time.Duration(rng.Int64N(int64(90 * time.Minute)))
		w.until(at)
		w.stop()
		at += 3*time.Second + time.Duration(rng.Int64N(int64(10*time.Minute)))
		w.until(at)
	}
	w.start("good", "flaky", "picky")
	w.until(conserved + 4*time.Hour)
	w.balance(starts)
	w.stop()
	w.checkBudget()
}

// mischief is what the service may do wrong without changing what a record says. Rows outside the filter are not among it: a
// page of nothing else is refused as a whole, and a version that it alone has shown is not missed.
func mischief() *simulator.Script {
	const until = conserved + time.Hour
	rule := func(kind simulator.Kind, probability float64) simulator.Rule {
		return simulator.Rule{Kind: kind, Probability: probability, Until: until}
	}
	throttle := rule(simulator.Throttle, 0.01)
	throttle.RetryAfter = "3.517"
	return &simulator.Script{Rules: []simulator.Rule{
		throttle, rule(simulator.ServerError, 0.02), rule(simulator.Reset, 0.01), rule(simulator.ExpiredToken, 0.005),
		rule(simulator.ExpiredLink, 0.02), rule(simulator.Garbage, 0.01), rule(simulator.Truncate, 0.01), rule(simulator.LoopLink, 0.01),
		rule(simulator.ForeignLink, 0.01), rule(simulator.EmptyLink, 0.01), rule(simulator.EmptyPage, 0.05),
		rule(simulator.DuplicateRows, 0.05), rule(simulator.DuplicateAcross, 0.05),
	}}
}

// balance compares what was shown, what was shipped and what the ledger says of it.
func (w *world) balance(starts int) {
	w.Helper()
	records, versions := w.complete("good")
	// A stop while it has accepted a part of a Send leaves that open: a lane's place cannot say it, so all of it is sent again.
	w.versions("flaky")
	if n := w.sinks["flaky"].repeats(); n > starts*w.sinks["flaky"].Limits().Events {
		w.Errorf("flaky got %d events again over %d stops", n, starts)
	}
	status := w.app.Status()
	var sum event.PageCounts
	for _, s := range status.Streams {
		sum.Add(s.PageCounts)
	}
	if sum.New != uint64(records) || sum.Journalled() != uint64(versions) {
		w.Errorf("the ledger has %d new and %d updated, the API has shown %d records in %d versions", sum.New, sum.Updated, records, versions)
	}
	dead := uint64(0)
	for _, s := range status.Sinks {
		if s.Delivered+s.Dead != uint64(versions) || s.Pending > 0 || s.Name != "picky" && s.Dead > 0 {
			w.Errorf("of %d events sink %s has %+v, %d pending", versions, s.Name, s.SinkCounts, s.Pending)
		}
		if n := len(w.sinks[s.Name].arrived()) - w.sinks[s.Name].repeats(); uint64(n) != s.Delivered {
			w.Errorf("the ledger says that %d were delivered to %s, it has %d", s.Delivered, s.Name, n)
		}
		dead += s.Dead
	}
	served := 0
	for _, n := range w.sim.Stats().Faults {
		served += n
	}
	if dead == 0 || served < 20 || sum.Updated == 0 || sum.Late == 0 {
		w.Errorf("nothing to prove: %d dead letters, %d faults, %d updated, %d late", dead, served, sum.Updated, sum.Late)
	}
	w.Logf("%d records, %d versions, %d rows read, %d late, %d dead letters, %d faults served, %d starts, %d repeats at flaky",
		records, versions, sum.Rows, sum.Late, dead, served, starts+1, w.sinks["flaky"].repeats())
}
