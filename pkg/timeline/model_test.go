package timeline

import (
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// row is a record as the model's service has it: it is shown from shows on and has another content from changes on.
type row struct {
	at, shows, changes time.Time
	shipped            [2]int // how often each version was shipped since it was lost last
}

func (r *row) version(real time.Time) int {
	if !r.changes.IsZero() && !r.changes.After(real) {
		return 1
	}
	return 0
}

// state is what the model's state file has beside the seen ids.
type state struct {
	cursors map[string]event.Cursor
	marks   []event.Mark
	floor   time.Time
	left    map[string]stretches // by re-reader: what it has passed unread, by the oracle's account
}

func (s *state) clone() state {
	c := state{map[string]event.Cursor{}, s.marks, s.floor, map[string]stretches{}}
	for name, cursor := range s.cursors {
		c.cursors[name] = cursor
	}
	for name, left := range s.left {
		c.left[name] = left
	}
	return c
}

func (s *state) move(m event.Moves) {
	for _, c := range m.Cursors {
		s.cursors[c.Reader] = c
	}
	for _, name := range m.Remove {
		delete(s.cursors, name)
	}
	if m.Marks != nil {
		s.marks = m.Marks
	}
	s.floor = m.Floor
}

// trip is a slice under way in the model.
type trip struct {
	job    Job
	number int
	at     time.Time // when it was taken, by the service's clock
	first  time.Time // its first page
	ready  time.Time // when it goes on, by the real clock
	stage  int
	rows   []*row
	moves  Moves
	read   stretch
}

// poison is a second that no slice can be read with until then.
type poison struct{ at, until time.Time }

// batch is what was new in a page: it may be found damaged.
type batch struct {
	slice    event.Slice
	rows     []*row
	versions []int
}

// model plays service, state file and pipeline for one line.
type model struct {
	*testing.T
	seed     int
	rng      *rand.Rand
	line     *Line
	cfg      Config
	real     time.Time
	skew     time.Duration // of the service's clock
	rows     []*row        // ascending
	seen     map[*row]int
	mem, dur state // with what rides along, and as a crash leaves it
	purged   time.Time
	trips    []*trip
	number   int
	faults   map[string]int
	poisons  []poison
	batches  []batch
	down     time.Time // no reply before then
	latency  time.Duration
	longest  time.Duration // a longer slice is too much
	perPage  int
	slots    int
	still    int // slices in a row that moved no reader
	oracle
}

func (m *model) now() time.Time { return m.real.Add(m.skew) }

func (m *model) fatalf(format string, args ...any) {
	m.Helper()
	m.Fatalf("seed %d, %s, at %s: "+format, append([]any{m.seed, m.real.Sub(epoch), m.now().Format(time.RFC3339)}, args...)...)
}

func (m *model) chance(p float64) bool { return m.rng.Float64() < p }

// upTo gives a random duration below d, rather a short one.
func (m *model) upTo(d time.Duration) time.Duration {
	return time.Duration(m.rng.Float64() * m.rng.Float64() * float64(d)).Truncate(time.Millisecond)
}

// save takes what the line has set itself. It rides along: it is durable with the next page that has something new.
func (m *model) save() {
	m.watch(m)
	if moves, ok := m.line.Unsaved(); ok {
		m.mem.move(moves)
		m.mem.left = m.leftNow()
	}
}

func (m *model) flush() {
	m.dur = m.mem.clone()
	if floor := m.dur.floor.Truncate(time.Minute); floor.After(m.purged) {
		for r := range m.seen {
			if r.at.Before(floor) {
				delete(m.seen, r)
			}
		}
		m.purged = floor
	}
}

// visible gives the rows that the service shows of a slice.
func (m *model) visible(s event.Slice) (rows []*row) {
	for i := sort.Search(len(m.rows), func(i int) bool { return !m.rows[i].at.Before(s.From) }); i < len(m.rows); i++ {
		r := m.rows[i]
		if r.at.After(m.real) || !s.To.IsZero() && r.at.After(s.To) {
			break
		}
		if !r.shows.After(m.real) {
			rows = append(rows, r)
		}
	}
	return rows
}

// take begins slices as the pipeline does.
func (m *model) take() {
	for class := range event.Classes {
		busy := 0
		for _, t := range m.trips {
			if t.job.Slice.Class == class {
				busy++
			}
		}
		for ; busy < m.slots && (class != event.ClassLive || busy == 0); busy++ {
			_, wanted := m.line.Wants(m.now(), class)
			job, ok := m.line.Take(m.now(), class)
			if ok != wanted {
				m.fatalf("Take has a slice of class %v: %v, Wants says %v", class, ok, wanted)
			}
			m.save()
			if !ok {
				break
			}
			m.number++
			t := &trip{job: job, number: m.number, at: m.now(), ready: m.real.Add(m.upTo(m.latency))}
			m.checkSlice(t)
			m.trips = append(m.trips, t)
		}
	}
}

// checkSlice: no slice reaches beyond now, none is empty, and no two of one reader overlap.
func (m *model) checkSlice(t *trip) {
	s := t.job.Slice
	if s.From.Year() < 2026 || s.From.Nanosecond() != 0 || s.To.Nanosecond() != 0 {
		m.fatalf("slice %s of %s", s, s.Reader)
	}
	if s.To.IsZero() != (s.Reader == Live && !t.job.reader.trail) || !s.To.IsZero() && (!s.From.Before(s.To) || s.To.After(m.now())) {
		m.fatalf("slice %s of %s: empty, or beyond now", s, s.Reader)
	}
	for _, o := range m.trips {
		if o.job.Slice.Reader == s.Reader && s.From.Before(o.job.Slice.To) && o.job.Slice.From.Before(s.To) {
			m.fatalf("slices %s and %s of %s overlap", o.job.Slice, s, s.Reader)
		}
	}
}

// wrong tells whether the service refuses a slice, and whether a smaller one may help.
func (m *model) wrong(s event.Slice) (wrong, smaller bool) {
	to := s.To
	if to.IsZero() {
		to = m.now()
	}
	for _, p := range m.poisons {
		if m.real.Before(p.until) && !p.at.Before(s.From) && p.at.Before(to) {
			return true, true
		}
	}
	if to.Sub(s.From) > m.longest && s.Reader != Live {
		return true, true
	}
	return m.real.Before(m.down) || m.chance(0.01), m.chance(0.3)
}

func (m *model) fail(t *trip, smaller bool) {
	m.faults[t.job.Slice.Reader]++
	pause := min(time.Second<<min(m.faults[t.job.Slice.Reader], 9), 5*time.Minute)
	if m.line.Fail(t.job, m.now(), pause, smaller) {
		m.line.Hasten(t.job, m.now(), time.Second)
	}
	m.end(t)
}

func (m *model) end(t *trip) {
	for i := range m.trips {
		if m.trips[i] == t {
			m.trips = append(m.trips[:i:i], m.trips[i+1:]...)
			break
		}
	}
	m.watch(m)
}

// proceed takes a slice one stage further: first page, more pages, last page made, last page committed.
func (m *model) proceed(t *trip) {
	t.ready = m.real.Add(m.upTo(m.latency))
	t.stage++
	switch t.stage {
	case 1:
		if wrong, smaller := m.wrong(t.job.Slice); wrong {
			m.fail(t, smaller)
			return
		}
		t.first, t.rows = m.now(), m.visible(t.job.Slice)
	case 2:
		part := m.rng.IntN(len(t.rows) + 1)
		m.commit(t, t.rows[:part], event.Moves{})
		if m.chance(0.02) {
			m.fail(t, m.chance(0.3))
		}
	case 3:
		t.moves = m.line.Finish(t.job, t.first, m.now())
		t.read = m.readBy(t)
	case 4:
		if m.chance(0.01) { // the commit fails
			m.fail(t, false)
			return
		}
		m.commit(t, t.rows, t.moves.Moves)
		t.ready = m.real
	case 5:
		m.credited(m, t)
		m.line.Apply(t.moves, m.now(), Outcome{Pages: 1 + len(t.rows)/m.perPage, Rows: len(t.rows) * 40})
		m.faults[t.job.Slice.Reader] = 0
		m.end(t)
		m.moving(t)
	}
}

// commit journals what is new among the rows, and with it what rides along.
func (m *model) commit(t *trip, rows []*row, moves event.Moves) {
	b := batch{slice: t.job.Slice}
	for _, r := range rows {
		doubt := t.job.Uncertain || m.line.Doubtful(r.at)
		if r.at.Before(m.purged) && !doubt {
			m.fatalf("%s shows a row of %s, but the ids below %s were forgotten", t.job.Slice.Reader, r.at.Format(time.RFC3339Nano), m.purged)
		}
		v := r.version(m.real)
		if known, ok := m.seen[r]; ok && known == v {
			continue
		}
		m.seen[r] = v
		if r.shipped[v]++; r.shipped[v] > 1 && !doubt {
			m.fatalf("%s ships the row of %s a second time", t.job.Slice.Reader, r.at.Format(time.RFC3339Nano))
		}
		b.rows, b.versions = append(b.rows, r), append(b.versions, v)
	}
	if !moves.Floor.IsZero() {
		m.mem.move(moves)
	}
	if len(b.rows) > 0 {
		if m.batches = append(m.batches, b); len(m.batches) > 20 {
			m.batches = m.batches[1:]
		}
		m.flush()
	}
}

// damage loses a batch: what was new in it has not been shipped.
func (m *model) damage() {
	if len(m.batches) == 0 {
		return
	}
	i := m.rng.IntN(len(m.batches))
	b := m.batches[i]
	m.batches = append(m.batches[:i:i], m.batches[i+1:]...)
	for i, r := range b.rows {
		r.shipped[b.versions[i]] = 0
		delete(m.seen, r)
	}
	to := b.slice.To
	if to.IsZero() { // the clock may have gone back behind what was read
		to = later(m.now(), b.rows[len(b.rows)-1].at)
	}
	m.watch(m)
	m.line.Repair(b.slice.From, to, m.now())
	m.repaired(m, second(b.slice.From))
	m.save()
	m.flush()
}

// crash restarts the pipeline from what was durable.
func (m *model) crash(cfg Config) {
	m.mem, m.trips, m.cfg = m.dur.clone(), nil, cfg
	var cursors []event.Cursor
	for _, c := range m.dur.cursors {
		cursors = append(cursors, c)
	}
	sort.Slice(cursors, func(i, j int) bool { return cursors[i].Reader < cursors[j].Reader })
	m.checkLeft()
	m.line = New("audits", cfg, m.now(), cursors, m.dur.marks, time.Time{})
	m.restarted(m)
	m.save()
}
