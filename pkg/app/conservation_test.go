package app_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

var (
	seeds = flag.Int("seeds", worlds, "how many random worlds TestConservation runs")
	first = flag.Uint64("first", 0, "the first of them")
)

// TestConservation runs random worlds for 48 hours each and until the oldest re-reader has passed: late and changing records, a
// service at fault, sinks at fault, stops, crashes, suspensions. What the API has shown is what each sink got, each version
// once, and what the ledger says. The first world that fails ends the test and says how it is run again.
func TestConservation(t *testing.T) {
	var all figures
	t.Cleanup(func() { t.Logf("sum: %s", all.sum()) })
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			if all.failed() {
				t.Skip("another world has failed")
			}
			t.Cleanup(func() {
				if t.Failed() {
					all.fail()
					t.Logf("to run it again: go test%s ./pkg/app -run 'TestConservation/%d$' -seeds 1 -first %d", raceFlag, seed, seed)
				}
			})
			synctest.Test(t, func(t *testing.T) { all.add(testConservation(t, seed)) })
		})
	}
}

// figures count what has happened, so that nobody takes a world in which nothing did for a proof.
type figures struct {
	mu                                                                      sync.Mutex
	broken                                                                  bool
	worlds                                                                  int
	records, versions, rows, updates, late, dead, faults, restarts, crashes int
	requests, lost, repeats                                                 int
}

func (f *figures) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

func (f *figures) fail() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = true
}

func (f *figures) add(o *figures) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.worlds++
	f.records, f.versions, f.rows, f.updates, f.late = f.records+o.records, f.versions+o.versions, f.rows+o.rows, f.updates+o.updates, f.late+o.late
	f.dead, f.faults, f.restarts, f.crashes = f.dead+o.dead, f.faults+o.faults, f.restarts+o.restarts, f.crashes+o.crashes
	f.requests, f.lost, f.repeats = f.requests+o.requests, f.lost+o.lost, f.repeats+o.repeats
}

func (f *figures) String() string {
	return fmt.Sprintf("%d records, %d versions, %d updates, %d late, %d rows in %d requests, %d faults, %d restarts (%d crashes), %d dead letters, "+
		"%d versions lost with a crash, %d repeats", f.records, f.versions, f.updates, f.late, f.rows, f.requests, f.faults, f.restarts, f.crashes, f.dead, f.lost, f.repeats)
}

func (f *figures) sum() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%d seeds, %s", f.worlds, f)
}

var receivers = []string{"good", "flaky", "picky"}

func testConservation(t *testing.T, seed uint64) *figures {
	f := drawFate(seed, time.Now())
	w := newWorld(t, simulator.Options{Seed: seed, Script: &simulator.Script{Rules: f.rules}, Generate: f.generate(),
		Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}}, f.config(), receivers...)
	f.bursts(w)
	f.tempers(w)
	fly := &flights{world: w, open: map[string]int{}}
	restarts := f.live(w, fly)
	sum := w.balance(f, fly)
	sum.restarts = restarts
	w.stop()
	w.checkBudget()
	if sum.records < 500 || sum.faults < 20 || sum.restarts < 3 || sum.crashes == 0 || sum.updates < 10 {
		t.Errorf("nothing to prove: %s", sum)
	}
	if t.Failed() {
		f.tell(t, w)
	}
	t.Logf("figures: %s", sum)
	return sum
}

// live passes the world's time up to the end of its drain and gives how often the pipeline was started again.
func (f *fate) live(w *world, fly *flights) (restarts int) {
	again := func() {
		a, err := w.open(receivers...)
		if err != nil {
			w.Fatal(err)
		}
		if err := a.Check(); err != nil {
			w.Error(err)
		}
		fly.count(a.Status())
		w.run(a)
		restarts++
	}
	w.start(receivers...)
	for _, turn := range f.turns {
		w.until(turn.at)
		switch {
		case turn.what == "suspend" && !turn.behind:
			w.suspend(turn.pause)
			continue
		case turn.what == "crash":
			w.crashFor(turn.point, turn.nth, time.Hour)
		default:
			w.stop()
			fly.calm = true
		}
		if turn.what == "suspend" {
			w.suspend(turn.pause)
			turn.pause = time.Millisecond
		}
		time.Sleep(turn.pause)
		again()
	}
	drain := time.Hour
	if len(f.ages) > 0 {
		drain = f.ages[len(f.ages)-1] + 2*time.Hour
	}
	w.until(conserved + drain)
	return restarts
}

// tempers gives the receivers theirs: flaky fails now and then, and takes parts of a Send; picky refuses some events for good;
// one of the three is out for hours.
func (f *fate) tempers(w *world) {
	for _, r := range w.sinks {
		r.most = 20 + f.IntN(100)
	}
	w.sinks["flaky"].many, w.sinks["picky"].many = 1+int(f.seed%4), 1+int(f.seed/4%4)
	mood := rand.New(rand.NewPCG(f.seed, 8)) // the lane's own: it runs beside the test
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
			if unwanted(events[i].ID) {
				return fault.Refuse(errors.New("no sevens"), "")
			}
		}
		return nil
	}
	from, until := f.began.Add(f.dark.from), f.began.Add(f.dark.until)
	w.sinks[f.dark.sink].wait = func(ctx context.Context) error {
		now := w.now()
		if now.Before(from) || !now.Before(until) {
			return nil
		}
		if !f.dark.hangs {
			return errors.New("connection refused")
		}
		select {
		case <-ctx.Done():
		case <-time.After(until.Sub(now)):
		}
		return errors.New("no answer")
	}
}

// unwanted are the ids that picky refuses.
func unwanted(id string) bool { return id[len(id)-1] == '7' }
