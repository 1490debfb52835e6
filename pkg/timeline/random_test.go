package timeline

import (
	"flag"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

var (
	seeds     = flag.Int("seeds", 300, "how many random histories TestRandomHistories plays")
	firstSeed = flag.Int("seed", 1, "the first of them")
)

// history is what a model's life is like.
type history struct {
	ages    []time.Duration // that re-readers may have
	oldest  time.Duration   // that there always is one of; zero: live alone
	lasts   time.Duration
	ahead   time.Duration // by which the service's clock may be for a while
	crashes float64       // chances per step
	damages float64
	outages float64
	skews   float64
	poisons float64
}

// TestRandomHistories: whatever fails in whatever order, nothing is missed and nothing repeated unmarked; what a re-reader leaves
// out is marked exactly; the readers stay few and move.
func TestRandomHistories(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		m, h := newModel(t, seed)
		m.play(h)
		m.drain(h)
		m.checkAll(h)
	}
}

func newModel(t *testing.T, seed int) (*model, history) {
	rng := rand.New(rand.NewPCG(uint64(seed), 7))
	h := history{lasts: time.Duration(3+rng.IntN(10)) * time.Hour}
	switch rng.IntN(4) {
	case 0: // live alone
	case 1:
		h.ages, h.oldest = []time.Duration{30 * time.Minute, 2 * time.Hour}, 2*time.Hour
	default:
		h.ages, h.oldest = []time.Duration{20 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour}, 6*time.Hour
		h.ahead = time.Duration(rng.IntN(3)) * 90 * time.Minute
	}
	for _, p := range []*float64{&h.crashes, &h.damages, &h.outages, &h.skews, &h.poisons} {
		*p = rng.Float64() * 0.003
		if rng.IntN(3) == 0 {
			*p = 0
		}
	}
	m := &model{T: t, seed: seed, rng: rng, real: epoch, seen: map[*row]int{}, faults: map[string]int{}}
	m.latency = []time.Duration{time.Second, 10 * time.Second, 2 * time.Minute}[rng.IntN(3)]
	m.longest = []time.Duration{48 * time.Hour, time.Hour, 10 * time.Minute}[rng.IntN(3)]
	m.perPage, m.slots = 1+rng.IntN(10), 1+rng.IntN(4)
	m.mem = state{cursors: map[string]event.Cursor{}, left: map[string]stretches{}}
	m.dur = m.mem.clone()
	m.fill(h)
	m.crash(m.config(h)) // the first run
	m.flush()
	return m, h
}

// config gives one with the oldest age and some of the others.
func (m *model) config(h history) Config {
	cfg := Default()
	cfg.Start, cfg.Reread = Start{Age: time.Duration(m.rng.IntN(5)) * time.Hour}, nil
	cfg.Poll = field.Duration(time.Duration(1+m.seed%3) * time.Minute)
	for _, age := range h.ages {
		if age == h.oldest || m.chance(0.7) {
			cfg.Reread = append(cfg.Reread, field.Duration(age))
		}
	}
	return cfg
}

// fill makes the records.
func (m *model) fill(h history) {
	every := time.Duration(1+m.rng.IntN(5)) * time.Minute
	for at := epoch.Add(-5 * time.Hour); at.Before(epoch.Add(h.lasts)); at = at.Add(m.upTo(4 * every)) {
		r := &row{at: at, shows: at.Add(m.upTo([]time.Duration{time.Second, time.Minute, 20 * time.Minute, 2 * h.oldest}[m.rng.IntN(4)]))}
		if m.chance(0.1) {
			r.changes = r.shows.Add(m.upTo(8 * time.Hour))
		}
		m.rows = append(m.rows, r)
	}
	sort.Slice(m.rows, func(i, j int) bool { return m.rows[i].at.Before(m.rows[j].at) })
}

// play lets everything happen.
func (m *model) play(h history) {
	for end := epoch.Add(h.lasts); m.real.Before(end); {
		switch {
		case m.chance(h.crashes):
			m.crash(m.config(h))
		case m.chance(h.damages):
			m.damage()
		case m.chance(h.outages):
			m.down = m.real.Add(m.upTo(8 * time.Hour))
			if m.chance(0.1) {
				m.down = m.real.Add(m.upTo(72 * time.Hour))
			}
		case m.chance(h.skews):
			m.skew = []time.Duration{0, 0, -20 * time.Minute, -90 * time.Second, h.ahead}[m.rng.IntN(5)]
		case m.chance(h.poisons):
			m.poisons = append(m.poisons, poison{second(m.now().Add(-m.upTo(2 * time.Hour))), m.real.Add(m.upTo(12 * time.Hour))})
		case m.chance(0.01):
			m.flush() // by itself after a while
		case m.chance(0.01):
			Share(m.rng.Float64()*0.1, []*Line{m.line})
		}
		m.step()
	}
}

// step begins what is due, takes what is ready further, and lets time pass until something else is.
func (m *model) step() {
	m.take()
	for _, i := range m.rng.Perm(len(m.trips)) {
		if i < len(m.trips) && !m.trips[i].ready.After(m.real) && m.chance(0.8) {
			m.proceed(m.trips[i])
		}
	}
	m.bounded()
	next := m.real.Add(2 * time.Minute)
	if due := m.line.Due(m.now()); due.After(m.now()) {
		next = earlier(next, due.Add(-m.skew))
	}
	for _, t := range m.trips {
		next = earlier(next, t.ready)
	}
	m.real = later(next, m.real.Add(m.upTo(3*time.Second)))
}

// drain lets all go well until the last record is older than the oldest age.
func (m *model) drain(h history) {
	m.down, m.skew, m.poisons, m.longest = time.Time{}, 0, nil, 48*time.Hour
	m.latency = min(m.latency, 10*time.Second)
	for end := m.real.Add(h.oldest + 4*time.Hour); m.real.Before(end); {
		m.step()
	}
}

// bounded: there are never many readers, marks or stretches.
func (m *model) bounded() {
	if n := len(m.line.readers); n > 60 {
		m.fatalf("%d readers: %+v", n, m.line.Readers())
	}
	if n := len(m.line.marks.all); n > 200 {
		m.fatalf("%d marks", n)
	}
	for _, r := range m.line.readers {
		if len(r.done) > 60 {
			m.fatalf("%s has %d stretches", r.name, len(r.done))
		}
	}
}

// moving: slices that are read move readers.
func (m *model) moving(t *trip) {
	if t.moves.pos.Equal(t.read.from) {
		if m.still++; m.still > 100 {
			m.fatalf("%d slices have moved no reader: %+v", m.still, m.line.Readers())
		}
		return
	}
	m.still = 0
}

// checkAll: at the end every record has been shipped that had its chance.
func (m *model) checkAll(h history) {
	m.save()
	m.checkLeft()
	for _, r := range m.line.readers {
		if r.closed() && r.kind != Hole { // a hole may be tried again hours later
			m.fatalf("%s has no end: %s to %s", r.name, r.pos, r.end)
		}
	}
	last := h.oldest - time.Hour - h.ahead
	if h.oldest == 0 { // it may look back no further than a minute while slices fail
		last = leastLook - 5*time.Second
	}
	for _, r := range m.rows {
		if r.at.Before(m.line.start) || r.shows.Sub(r.at) > last || m.lost(r.at) {
			continue
		}
		if r.shipped[0]+r.shipped[1] == 0 {
			m.fatalf("the row of %s, shown %s later, is missing", r.at.Format(time.RFC3339Nano), r.shows.Sub(r.at))
		}
	}
}

// lost tells whether a gap is marked or a hole left there.
func (m *model) lost(at time.Time) bool {
	for _, h := range m.line.Holes() {
		if (stretch{h.From, h.To}).contains(at) {
			return true
		}
	}
	for _, x := range m.line.Marks() {
		if x.Kind == event.Gap && (stretch{x.From, x.To}).contains(at) {
			return true
		}
	}
	return false
}
