// Package timeline decides which stretch of a stream to read next, so that nothing is missed although the API shows records
// late and in no order that a cursor could follow. It is pure: no clock, no I/O; the caller tells what time it is.
//
// Each stream is read by several readers, the same code with another cursor each:
//
//	live      from look-back before its cursor up to now, every poll
//	reread/A  trails at the age A in closed slices and finds what appeared late
//	backfill  from the start of the first run to where live began
//	catchup   a stretch that live had to leave behind after an outage
//	recovery  the same after a loss of the state file; what it finds may have been shipped before
package timeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// The kinds of readers, which are the first parts of their names.
const (
	Live     = "live"
	Reread   = "reread"
	Backfill = "backfill"
	Catchup  = "catchup"
	Recovery = "recovery"
)

const (
	firstLength = time.Hour       // of a closed slice
	mostLength  = 24 * time.Hour  // that it may grow to
	leastLength = time.Second     // that it may be halved to
	mostPages   = 10              // of a slice, before the next one is halved
	fewRows     = 500             // of a slice, below which the next one is doubled
	clockSlack  = 5 * time.Minute // by which a cursor may be ahead of now before it is set back
	pageSize    = 1000
)

// Job is one slice to be read by one reader. The reader is busy until Finish or Fail.
type Job struct {
	Slice     event.Slice
	Uncertain bool // after a loss of state: what is new may have been shipped before
	reader    *reader
}

// Moves is what the last page of a slice changes: to be committed with it, then applied.
type Moves struct {
	event.Moves
	job Job
	pos time.Time
}

// Outcome tells how the reading of a slice went, so that the next one fits better.
type Outcome struct {
	Pages, Rows int
}

// Line is the time line of one stream. It is not safe for concurrent use.
type Line struct {
	stream   string
	cfg      Config
	start    time.Time
	readers  []*reader
	notes    []string
	removed  []string  // cursors that the configuration no longer has
	draining bool      // run --once: re-readers read what is older than their age at edge, however short
	edge     time.Time // the service's time of the first poll since Drain; zero before it
	pausedTo time.Time
	lastLive bool
	doubts   []stretch // where what is new may have been shipped before
}

type reader struct {
	name   string
	kind   string
	age    time.Duration // of a re-reader
	pos    time.Time
	end    time.Time // of a closed reader
	length time.Duration
	top    int // page size while it had to be halved; 0: the stream's own
	busy   bool
	back   time.Time // where it has to begin again after the slice under way; zero: it goes on
	saved  bool      // its cursor has been handed out for saving since it was made or set
	next   time.Time // not before
	polled time.Time // live: when the last completed poll began
}

func (l *Line) find(name string) *reader {
	for _, r := range l.readers {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (l *Line) lookback() time.Duration { return l.cfg.Lookback.Std() }

func (l *Line) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// Notes gives what should be reported since the last call.
func (l *Line) Notes() []string {
	n := l.notes
	l.notes = nil
	return n
}

// Next gives a slice that is due at now, if there is one. Live and the others take turns, so that nobody starves.
func (l *Line) Next(now time.Time) (Job, bool) {
	if now.Before(l.pausedTo) {
		return Job{}, false
	}
	l.check(now)
	var chosen *reader
	for _, r := range l.readers {
		if r.busy || l.due(r, now).After(now) {
			continue
		}
		if chosen == nil || chosen.kind == Live && l.lastLive {
			chosen = r
		}
	}
	if chosen == nil {
		return Job{}, false
	}
	l.lastLive = chosen.kind == Live
	chosen.busy = true
	return Job{Slice: l.slice(chosen, now), Uncertain: chosen.kind == Recovery, reader: chosen}, true
}

// Due tells when Next may have a slice at the earliest; zero when all readers are busy.
func (l *Line) Due(now time.Time) time.Time {
	var first time.Time
	for _, r := range l.readers {
		if r.busy {
			continue
		}
		if d := later(l.due(r, now), l.pausedTo); first.IsZero() || d.Before(first) {
			first = d
		}
	}
	return first
}

// check sets back what lies ahead of the service's clock and lets live leave a stretch behind that is too long for it.
func (l *Line) check(now time.Time) {
	for _, r := range l.readers {
		if r.busy || !r.pos.After(now.Add(clockSlack)) {
			continue
		}
		to := second(now)
		if r.kind == Reread { // what it has passed while the clock was ahead it has not really read
			to = earlier(to, later(second(now.Add(-r.age)), l.start))
			l.doubt(to, now)
		}
		l.note("cursor of %s was at %s, ahead of the service's clock: set back to %s", r.name, r.pos.Format(time.RFC3339), to.Format(time.RFC3339))
		r.pos, r.next, r.saved = to, time.Time{}, false
	}
	live := l.find(Live)
	if live.busy || now.Sub(live.pos) <= l.lookback()+2*l.cfg.Poll.Std() {
		return
	}
	from, edge := live.pos.Add(-l.lookback()), second(now).Add(-l.lookback())
	from = later(from, l.start)
	l.note("live is %s behind: the stretch from %s is caught up beside it", now.Sub(live.pos).Round(time.Second), from.Format(time.RFC3339))
	l.leaveBehind(from, edge)
	live.pos, live.saved = second(now), false
	l.order()
}

// leaveBehind has [from, to) caught up. While a stream fails for days live leaves one stretch after the other: they are one.
func (l *Line) leaveBehind(from, to time.Time) {
	for _, r := range l.readers {
		// One that is busy may be about to end: its commit would take the cursor away that was saved for the longer stretch.
		if r.kind == Catchup && !r.busy && r.end.Equal(from) {
			r.end, r.saved = later(r.end, to), false
			return
		}
	}
	l.closed(Catchup, from, to)
}

// due tells when r has something to read.
func (l *Line) due(r *reader, now time.Time) time.Time {
	switch r.kind {
	case Live:
		return r.next
	case Reread:
		if l.draining && r.pos.Before(l.edge.Add(-r.age)) {
			return r.next
		}
		return later(r.next, r.pos.Add(r.age+min(r.age/4, time.Hour)))
	default:
		// A stretch that reaches beyond now is read minute by minute: each slice is a request.
		return later(r.next, earlier(r.end, r.pos.Add(time.Minute)))
	}
}

func (l *Line) slice(r *reader, now time.Time) event.Slice {
	s := event.Slice{Stream: l.stream, Reader: r.name, From: r.pos, Top: r.top}
	switch r.kind {
	case Live:
		s.From = later(r.pos.Add(-l.lookback()), l.start)
		r.polled = now
		return s
	case Reread:
		s.To = second(now.Add(-r.age))
	default:
		s.To = r.end
	}
	if r.length == 0 {
		r.length = firstLength
	}
	s.To = earlier(s.To, earlier(r.pos.Add(r.length), second(now)))
	return s
}

// Finish gives what the last page of the job's slice changes. firstPage is the service's time of its first page, now the
// service's time. Nothing moves until Apply: the commit may fail.
func (l *Line) Finish(job Job, firstPage, now time.Time) Moves {
	r := job.reader
	m := Moves{job: job}
	// The service's clock may turn out to be behind the one that the slice was made by.
	switch r.kind {
	case Live:
		m.pos = earlier(second(firstPage), second(now))
	case Reread:
		// What it has read before its age it has to read again.
		m.pos = later(job.Slice.From, earlier(job.Slice.To, second(now.Add(-r.age))))
	default:
		m.pos = earlier(job.Slice.To, second(now))
	}
	if !r.back.IsZero() {
		m.pos = earlier(m.pos, r.back)
	}
	// Only the job's own cursor is saved: another reader's commit may be under way, and its cursor must not fall back behind it.
	moved := l.cursor(r)
	moved.Pos = m.pos
	if m.done() {
		m.Remove = []string{moved.Reader}
	} else {
		m.Cursors = []event.Cursor{moved}
	}
	for _, other := range l.readers {
		c := l.cursor(other)
		if other == r {
			c.Pos = m.pos
			if m.done() {
				continue
			}
		}
		m.Floor = l.lower(m.Floor, c)
	}
	m.Floor = m.Floor.Add(-time.Minute)
	return m
}

func (m Moves) done() bool {
	r := m.job.reader
	return !r.end.IsZero() && !m.pos.Before(r.end)
}

// lower gives the earlier of floor and the time that c is past: live reads again from look-back before its cursor.
func (l *Line) lower(floor time.Time, c event.Cursor) time.Time {
	pos := c.Pos
	if c.Reader == Live {
		pos = pos.Add(-l.lookback())
	}
	if floor.IsZero() {
		return pos
	}
	return earlier(floor, pos)
}

// Floor is the time that every reader is past, with a minute of slack: no row below it is expected any more.
func (l *Line) Floor() time.Time {
	var floor time.Time
	for _, r := range l.readers {
		floor = l.lower(floor, l.cursor(r))
	}
	return floor.Add(-time.Minute)
}

// Apply moves the reader after its last page has been committed.
func (l *Line) Apply(m Moves, now time.Time, o Outcome) {
	r := m.job.reader
	r.busy, r.saved, r.next, r.pos = false, true, time.Time{}, m.pos
	r.turnBack()
	if r.top *= 2; r.top >= pageSize {
		r.top = 0
	}
	switch {
	case !r.end.IsZero() && !r.pos.Before(r.end):
		l.readers = slices.DeleteFunc(l.readers, func(x *reader) bool { return x == r })
	case r.kind == Live:
		r.next = r.polled.Add(l.cfg.Poll.Std())
		if l.draining && l.edge.IsZero() {
			l.edge = m.pos
		}
	case o.Pages > mostPages:
		r.length = max(r.length/2, leastLength)
	case o.Rows < fewRows:
		r.length = min(r.length*2, mostLength)
	}
	l.settle()
}

// Fail ends a job without success: the slice stays open and is read again, not before pause is over. smaller says that a
// smaller slice may help: it is halved, at the floor the page size is.
func (l *Line) Fail(job Job, now time.Time, pause time.Duration, smaller bool) {
	r := job.reader
	r.busy = false
	r.next = now.Add(pause)
	r.turnBack()
	if !smaller {
		return
	}
	span := job.Slice.To.Sub(job.Slice.From)
	if r.kind != Live && span > leastLength {
		r.length = max((span / 2).Truncate(time.Second), leastLength)
		l.note("%s: the slice of %s was too much: the next one is %s", r.name, span, r.length)
		return
	}
	top := r.top
	if top == 0 {
		top = pageSize
	}
	r.top = max(top/2, 1)
}

// Pause keeps every reader of the line from being asked for d: the stream itself is not to be had.
func (l *Line) Pause(now time.Time, d time.Duration) { l.pausedTo = now.Add(d) }

// Repair reads a stretch again, marked uncertain, because the journal has lost what had been read there.
func (l *Line) Repair(from, to time.Time) {
	from, to = second(from), second(to).Add(time.Second)
	l.doubt(from, to)
	l.closed(Recovery, from, to)
	l.order()
}

// Unsaved gives the cursors that are new or were set by the line itself since the last call, and the names of those that are
// gone. They are to be saved before the next job is begun.
func (l *Line) Unsaved() (cursors []event.Cursor, removed []string) {
	for _, r := range l.readers {
		if !r.saved && !r.busy {
			cursors = append(cursors, l.cursor(r))
			r.saved = true
		}
	}
	removed, l.removed = l.removed, nil
	return cursors, removed
}

func (l *Line) cursor(r *reader) event.Cursor {
	c := event.Cursor{Reader: r.name, Pos: r.pos, End: r.end, Slice: event.Duration(r.length)}
	if !r.back.IsZero() {
		c.Pos = earlier(c.Pos, r.back)
	}
	if r.kind == Live {
		c.Start = l.start
	}
	return c
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
