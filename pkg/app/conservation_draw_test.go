package app_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// What is not asked for: it lies outside of the promise.
const (
	// A process does not know of the pause that a 429 has asked the one before for.
	forgetsPauses = true
	// While the service's own Date is ahead a re-reader reads that much before its age: what is later than the oldest age less
	// this may be missed, and without re-readers nobody comes back to what live has passed meanwhile.
	mostSkew           = 20 * time.Minute
	skewNeedsRereaders = true
)

const (
	conserved = 48 * time.Hour // that a world lives, by the service's clock; then it is left in peace until all is read
	slack     = 2 * time.Minute
)

// fate is what a seed draws.
type fate struct {
	*rand.Rand
	seed    uint64
	began   time.Time
	streams []string
	odd     string // the stream whose records the API also shows where they do not belong, or spoilt; "" for none
	start   time.Duration
	poll    time.Duration
	look    time.Duration // look-back
	ages    []time.Duration
	top     int
	dense   bool // many records in the same second, at the places where slices may meet
	rules   []simulator.Rule
	outages []simulator.Rule // those of the rules that last for hours
	turns   []turn
	dark    dark
}

// turn is an end of the running pipeline, or another thing that befalls it.
type turn struct {
	at     time.Duration
	what   string // stop, crash, suspend
	point  string // of a crash
	nth    int64
	pause  time.Duration // until the next start; of a suspension its length
	behind bool          // a suspension: while the pipeline does not run
}

// dark is the outage of a sink.
type dark struct {
	sink        string
	from, until time.Duration
	hangs       bool // Send does not return, else it refuses
}

func drawFate(seed uint64, began time.Time) *fate {
	f := &fate{Rand: rand.New(rand.NewPCG(seed, 7)), seed: seed, began: began}
	f.streams = simulator.Streams()
	f.Shuffle(len(f.streams), func(i, j int) { f.streams[i], f.streams[j] = f.streams[j], f.streams[i] })
	f.streams = f.streams[:1+f.IntN(5)]
	if len(f.streams) > 1 {
		f.odd = f.streams[0]
	}
	// About 1,000 polls in all.
	least := 2 + 2*len(f.streams)
	f.poll = time.Duration(least+f.IntN(16-least)) * time.Minute
	f.look = f.between(5*time.Minute, 20*time.Minute)
	f.start = f.between(time.Hour, 6*time.Hour)
	f.top = 5 + f.IntN(46)
	if f.chance(0.3) {
		f.dense, f.streams, f.odd = true, f.streams[:1], ""
		f.poll = f.between(2*time.Minute, 6*time.Minute)
		f.look = f.between(20*time.Minute, 40*time.Minute)
	} else {
		f.drawAges()
	}
	f.drawRules()
	f.drawTurns()
	f.dark = dark{sink: []string{"good", "flaky", "picky"}[f.IntN(3)], from: f.between(2*time.Hour, 38*time.Hour), hangs: f.chance(0.5)}
	f.dark.until = f.dark.from + f.between(time.Hour, 8*time.Hour)
	return f
}

// between draws whole seconds.
func (f *fate) between(a, b time.Duration) time.Duration {
	return (a + time.Duration(f.Int64N(int64(b-a)))).Truncate(time.Second)
}

func (f *fate) chance(p float64) bool { return f.Float64() < p }

// drawAges draws two to four ages, each well above the one before.
func (f *fate) drawAges() {
	age := f.between(20*time.Minute, time.Hour)
	for range 1 + f.IntN(3) {
		f.ages = append(f.ages, age.Truncate(time.Minute))
		age += f.between(age/2, age*3/2)
	}
	f.ages = append(f.ages, max(age, f.between(4*time.Hour, 12*time.Hour)).Truncate(time.Minute))
}

// latest is how long after its time a record, or the last change of one, may appear at the latest.
func (f *fate) latest() time.Duration {
	if len(f.ages) == 0 {
		return f.look - slack
	}
	return f.ages[len(f.ages)-1] - mostSkew - slack
}

func (f *fate) config() string {
	ages := []string{}
	for _, a := range f.ages {
		ages = append(ages, a.String())
	}
	return fmt.Sprintf("start: %s\npoll: %s\nlookback: %s\nreread: [%s]\ntop: %d\nstreams: [%s]",
		f.start, f.poll, f.look, strings.Join(ages, ", "), f.top, strings.Join(f.streams, ", "))
}

// generate shares 600 to 1,200 records out among the streams. Those of the odd one do not change: a version that was only shown
// where it does not belong would not be missed.
func (f *fate) generate() (all []simulator.Generate) {
	weights, sum := []float64{}, 0.0
	for range f.streams {
		weights = append(weights, 0.3+f.Float64())
		sum += weights[len(weights)-1]
	}
	since, until := f.began.Add(slack-f.start), f.began.Add(conserved)
	records := 600 + f.IntN(600)
	for i, s := range f.streams {
		after := f.between(f.latest()/4, f.latest()/2)
		most := f.latest() - after
		g := simulator.Generate{Stream: s, Rate: float64(records) * weights[i] / sum / until.Sub(since).Seconds(), Since: since, Until: until}
		g.Lateness = simulator.Lateness{Median: min(f.between(time.Second, 4*time.Minute), most/3), P95: min(f.between(4*time.Minute, 25*time.Minute), most/2),
			TailShare: f.Float64() / 10, Max: most}
		if s != f.odd {
			g.Updates = simulator.Updates{Share: 0.15 + f.Float64()/5, After: after}
		}
		all = append(all, g)
	}
	return all
}

// bursts adds records, one a second or all in one, where slices may meet in a world in which many are read only once: where
// backfill begins its second slice, where it ends and live began, and where live went on after an outage.
func (f *fate) bursts(w *world) {
	if !f.dense {
		return
	}
	stream, n := f.streams[len(f.streams)-1], 0
	add := func(at time.Duration, width time.Duration, many int) {
		for i := range many {
			t := f.began.Add(at - width/2 + width*time.Duration(i)/time.Duration(many) + time.Duration(f.Int64N(int64(time.Second)))).Truncate(100)
			if t.After(f.began.Add(-f.start)) {
				w.add(stream, simulator.Record{Raw: record(stream, fmt.Sprintf("burst-%d", n), t, "")})
				n++
			}
		}
	}
	add(time.Hour-f.start, 3*time.Minute, 180)
	add(-f.look, 3*time.Minute, 180)
	add(f.between(-f.start, 0), time.Second, 4*f.top)
	for _, o := range f.outages {
		add(o.Until-f.look, 6*time.Minute, 180)
	}
}

func (f *fate) drawTurns() {
	for range 3 + f.IntN(4) {
		t := turn{at: f.between(10*time.Minute, 46*time.Hour), what: "crash", point: points[f.IntN(len(points))], nth: 1 + f.Int64N(5)}
		if f.chance(0.3) && len(f.turns) > 0 {
			t.what = "stop"
		}
		t.pause = f.between(time.Millisecond, []time.Duration{time.Second + 1, time.Minute, 30 * time.Minute, 3 * time.Hour}[f.IntN(4)])
		f.turns = append(f.turns, t)
	}
	for range 1 + f.IntN(2) {
		t := turn{at: f.between(time.Hour, 44*time.Hour), what: "suspend", pause: f.between(30*time.Minute, 3*time.Hour), behind: f.chance(0.3)}
		f.turns = append(f.turns, t)
	}
	slices.SortStableFunc(f.turns, func(a, b turn) int { return int(a.at - b.at) })
}

// tell says what the seed has drawn.
func (f *fate) tell(t *testing.T, w *world) {
	t.Logf("%s\nodd: %q, sink out: %+v", f.config(), f.odd, f.dark)
	for _, r := range f.rules {
		t.Logf("fault: %s, stream %q, path %q, %s to %s, probability %.3f", r.Kind, r.Stream, r.Path, r.From, r.Until, r.Probability)
	}
	for _, turn := range f.turns {
		t.Logf("turn: %s at %s %s pause %s", turn.what, turn.at, turn.point, turn.pause)
	}
	for _, at := range w.crashes {
		t.Logf("crashed at %s", at.Sub(w.began))
	}
}
