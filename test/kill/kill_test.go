// Package kill holds the kill test: the built program is killed again and again, at random times and at the points where it
// hurts most, and in the end every record is at every sink, nothing is there twice without need, and the ledger adds up.
//
// Two simulated tenants are read. contoso is like a real one: late and changing records, several passes. Several passes heal
// what one has lost, so fabrikam is read only once, by a backfill whose slices take longer than the shipper lives.
//
// Versions are known by their content: what a receiver has stored must be, byte for byte, what a complete reply has carried.
package kill

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

var (
	kills = flag.Int("kills", 25, "how often the shipper is killed")
	seed  = flag.Uint64("seed", 1, "decides records, faults and when to kill")
	rate  = flag.Float64("rate", 100, "records a second of the larger tenant")
)

const (
	// What there is before the first run, which begins a little further back.
	contosoHistory  = 3 * time.Minute
	fabrikamHistory = 10 * time.Minute

	// The oldest re-reader comes two minutes after a record's time: all must have appeared, and changed, by then.
	mostLate   = 65 * time.Second
	mostChange = 45 * time.Second
)

// points are the named places of the program, with the largest count that a life reaches within some seconds.
var points = []struct {
	name string
	most int
}{{"append:before-commit", 10}, {"append:after-commit", 10}, {"step:before-commit", 20}, {"step:after-commit", 20}, {"lane:after-send", 20}}

func TestKill(t *testing.T) {
	dir, err := os.MkdirTemp("", "logferry-kill-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(dir)
			return
		}
		fmt.Printf("kill test: state, log and output are in %s; the same again: go test ./test/kill -run TestKill -v -count 1 -kills %d -seed %d -rate %g\n",
			dir, *kills, *seed, *rate)
	})
	w := newWorld(t, dir)
	began := time.Now()
	random, atPoints := w.killAgainAndAgain(t)
	killing := time.Since(began)

	w.clock.jumpTo(w.until.Add(10 * time.Minute))
	summary := w.shipper.home(t)
	t.Logf("killing took %s, the last run %s", killing.Round(time.Second), (time.Since(began) - killing).Round(time.Second))
	w.endLife(t, true)
	w.hec.close()
	w.syslog.close()
	if !summary.Complete {
		t.Errorf("run --once is not complete: %+v", summary)
	}
	tally := w.check(t, random+atPoints)
	if t.Failed() {
		return
	}
	fmt.Printf("kill test: %d kills (%d random, %d at points), %d records, %d versions, repeats hec=%d syslog=%d file=%d, faults served %d, seed %d\n",
		random+atPoints, random, atPoints, tally.records, tally.versions, tally.repeats["hec"], tally.repeats["syslog"], tally.repeats["file"], w.faults(), *seed)
}

// world is everything around the shipper.
type world struct {
	clock             clock
	until             time.Time // no record is made after it
	contoso, fabrikam *graph
	hec               *hec
	syslog            *syslogReceiver
	shipper           *shipper
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	now := time.Now()
	// Longer than the kills take as a rule, so that there is a live tail to the last.
	length := 30*time.Second + time.Duration(*kills)*4*time.Second
	w := &world{until: now.Add(length), shipper: newShipper(t, dir)}
	w.contoso = newGraph(t, simulator.Options{
		Seed: *seed, Now: w.clock.now, Script: faults(length),
		Tenants:  []simulator.Tenant{{ID: "5b3b4f0a-6c1d-4e2f-8a90-b1c2d3e4f506", Domain: "contoso.com"}},
		Generate: w.contosoRecords(now),
	})
	w.fabrikam = newGraph(t, simulator.Options{
		Seed: *seed + 1, Now: w.clock.now, Script: faults(length),
		Tenants: []simulator.Tenant{{ID: "c0ffee00-6c1d-4e2f-8a90-b1c2d3e4f506", Domain: "fabrikam.com"}},
		Generate: []simulator.Generate{
			{Stream: simulator.NonInteractive, Rate: 10, Since: now.Add(-fabrikamHistory), Until: w.until},
			{Stream: simulator.Audits, Rate: 10, Since: now.Add(-fabrikamHistory), Until: w.until},
		},
	})
	w.hec, w.syslog = newHEC(t, *seed), newSyslogReceiver(t, *seed)
	w.shipper.configure(t, w.contoso, w.fabrikam, w.hec, w.syslog)
	return w
}

func (w *world) contosoRecords(now time.Time) (all []simulator.Generate) {
	for i, stream := range simulator.Streams() {
		all = append(all, simulator.Generate{
			Stream: stream, Rate: *rate * []float64{0.2, 0.5, 0.15, 0.05, 0.1}[i], Since: now.Add(-contosoHistory), Until: w.until,
			Lateness: simulator.Lateness{Median: time.Second, P95: 10 * time.Second, TailShare: 0.03, Max: mostLate},
			Updates:  simulator.Updates{Share: 0.1, After: mostChange},
		})
	}
	return all
}

// faults are served until the last run, rarely enough that slices of some pages can be read in between.
func faults(length time.Duration) *simulator.Script {
	script := &simulator.Script{}
	for _, r := range []simulator.Rule{
		{Kind: simulator.Throttle, RetryAfter: "0.7"},
		{Kind: simulator.ServerError, Status: 500},
		{Kind: simulator.ServerError, Status: 503},
		{Kind: simulator.ServerError, Status: 504},
		{Kind: simulator.Reset},
		{Kind: simulator.ExpiredToken},
		{Kind: simulator.ExpiredLink},
		{Kind: simulator.Garbage, Form: "json"},
		{Kind: simulator.Garbage, Form: "html"},
		{Kind: simulator.Truncate, Form: "length"},
		{Kind: simulator.Truncate, Form: "short"},
		{Kind: simulator.LoopLink},
		{Kind: simulator.CycleLink},
		{Kind: simulator.ForeignLink},
		{Kind: simulator.EmptyLink},
		{Kind: simulator.EmptyPage},
		{Kind: simulator.DuplicateRows, Rows: 3},
		{Kind: simulator.DuplicateAcross, Rows: 3},
	} {
		r.Probability, r.Until = 0.003, length
		script.Rules = append(script.Rules, r)
	}
	return script
}

// killAgainAndAgain kills two of five lives at points, the others at random times, a few of them while they start.
func (w *world) killAgainAndAgain(t *testing.T) (random, atPoints int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(*seed, 1))
	next := rng.IntN(len(points))
	for i := range *kills {
		point, after := "", time.Duration(rng.Float64()*float64(4*time.Second))
		switch {
		case i%5 == 1 || i%5 == 3:
			p := points[next%len(points)]
			next++
			point, after = fmt.Sprintf("%s=%d", p.name, 1+rng.IntN(p.most)), 15*time.Second
		case i%10 == 4:
			after /= 20
		}
		if w.shipper.live(t, point, after) {
			atPoints++
		} else {
			random++
		}
		w.endLife(t, false)
		if repeats, bound := w.hec.repeated(), w.hec.bound(i+1); repeats > bound {
			t.Fatalf("hec: %d repeats after %d kills, want at most %d", repeats, i+1, bound)
		}
	}
	if planned := 2 * (*kills / 5); 2*atPoints < planned {
		t.Errorf("%d of %d kills at points took place: the points are not passed", atPoints, planned)
	}
	return random, atPoints
}

func (w *world) endLife(t *testing.T, clean bool) {
	t.Helper()
	w.contoso.ended(t, clean)
	w.fabrikam.ended(t, clean)
}

func (w *world) graphs() []*graph { return []*graph{w.contoso, w.fabrikam} }

func (w *world) faults() (n int) {
	for _, g := range w.graphs() {
		for _, times := range g.sim.Stats().Faults {
			n += times
		}
	}
	return n
}
