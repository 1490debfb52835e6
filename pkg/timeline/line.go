// Package timeline decides which stretch of a stream to read next, so that nothing is missed although the API shows records
// late and in no order that a cursor could follow. It is pure: no clock, no I/O; the caller tells what time it is.
//
// Each stream is read by several readers, the same code with another cursor each:
//
//	live      from look-back before its cursor up to now, every poll
//	reread/A  trails at the age A in closed slices and finds what appeared late
//	backfill  from the start of the first run to where live began
//	catchup   a stretch that live had to leave behind: after an outage, or because it was too much
//	recovery  the same after a loss of the state file; what it finds may have been shipped before
//	hole      a second that the service cannot show, tried again slowly while the others go on
package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
	Hole     = "hole"
)

const (
	firstLength = time.Hour        // of a closed slice
	mostLength  = 24 * time.Hour   // that it may grow to
	leastLength = time.Second      // that it may be halved to
	mostPages   = 10               // of a slice, before the next one is halved
	worthPages  = 8                // of a re-reader's slice: it does not wait for more
	mostFlights = 8                // slices of one reader under way at once
	floorSlack  = 30 * time.Minute // below which nothing is expected any more: a service's clock may have been wrong by that
	clockSlack  = time.Minute      // by which a cursor may be ahead of its place before it is set back
	fullPage    = 1000             // rows, where the configuration does not say
)

// Job is one slice to be read by one reader. It is under way until Apply or Fail.
type Job struct {
	Slice     event.Slice
	Uncertain bool // after a loss of state: what is new may have been shipped before
	*flight
}

// flight is a slice under way.
type flight struct {
	reader   *reader
	span     stretch   // what it asks for; live's has no end before it is read
	at       time.Time // when it was chosen
	asked    time.Time // when its first page was read; zero before Finish
	number   uint64    // jobs are counted, to tell what was begun before what
	finished bool      // its last page is on its way into the state
}

// Moves is what the last page of a slice changes: to be committed with it, then applied.
type Moves struct {
	event.Moves
	flight *flight
	read   stretch   // what has been read
	pos    time.Time // where its reader gets to
	saved  bool      // that is part of Cursors or Remove
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
	marks    marks
	doubts   stretches // those of the marks: asked for each record
	leftOut  time.Time // when something was marked as a gap or uncovered last
	load     load
	crowd    crowd
	notes    []string
	removed  []string  // cursors that the state still has
	draining bool      // run --once: re-readers read what is older than their age at edge, however short
	edge     time.Time // the service's time of the first poll since Drain; zero before it
	pausedTo time.Time
	looked   time.Time // what time it was at the last look at the readers
	numbers  uint64    // of the last job
	purged   time.Time // the state may have forgotten the ids of what is older
	good     time.Time // when a slice was read last
}

type reader struct {
	name    string
	kind    string
	age     time.Duration // of a re-reader
	pos     time.Time     // all before it has been read
	kept    time.Time     // pos as the state has it, or is given it with the page that is being committed
	end     time.Time     // of a closed reader
	done    stretches     // beyond pos: read ahead by itself, or by another at an age that counts
	flights []*flight
	length  time.Duration
	top     int       // page size while it had to be halved; 0: the stream's own
	saved   bool      // its cursor has been handed out for saving since it was made or set
	next    time.Time // not before
	failing bool      // its last slice failed
	born    uint64    // jobs of this number and below were begun before it was made
	stuck   time.Time // since when the smallest slice fails
	tries   int       // of a hole
	live
}

func (r *reader) busy() bool { return len(r.flights) > 0 }

// committing tells whether the last page of a slice other than f is on its way into the state.
func (r *reader) committing(f *flight) bool {
	return slices.ContainsFunc(r.flights, func(x *flight) bool { return x != f && x.finished })
}

// closed tells whether the reader has an end, and is the first to read its stretch.
func (r *reader) closed() bool { return r.kind != Live && r.kind != Reread }

func (r *reader) over() bool { return r.closed() && !r.pos.Before(r.end) && !r.busy() }

func (l *Line) find(name string) *reader {
	for _, r := range l.readers {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (l *Line) lookback() time.Duration { return l.cfg.Lookback.Std() }

// page is how many rows a full page has.
func (l *Line) page() int { return cmp.Or(l.cfg.Page, fullPage) }

func (l *Line) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// Notes gives what should be reported since the last call.
func (l *Line) Notes() []string {
	n := l.notes
	l.notes = nil
	return n
}

// Fail ends a job without success: its slice stays open and is read again, not before pause is over. smaller says that a
// smaller slice may help: it is halved, at the floor the page size is. The result tells whether that was possible.
func (l *Line) Fail(job Job, now time.Time, pause time.Duration, smaller bool) bool {
	l.hurry(now)
	r := job.reader
	r.land(job.flight)
	r.next, r.failing = now.Add(pause), true
	if r.kind == Hole {
		r.next = now.Add(min(holeFirst<<min(r.tries, 10), holeMost))
		r.tries++
		return false
	}
	if !smaller {
		return false
	}
	if r.kind == Live && r.look > leastLook && len(l.cfg.Reread) > 0 {
		r.look = max((r.look / 2).Truncate(time.Second), leastLook)
		l.note("live: what lies %s back was too much: it looks back %s for now", 2*r.look, r.look)
		return true
	}
	span := job.span.to.Sub(job.span.from)
	if r.kind != Live && span > leastLength {
		r.length = max((span / 2).Truncate(time.Second), leastLength)
		l.note("%s: the slice of %s was too much: the next one is %s", r.name, span, r.length)
		return true
	}
	top := cmp.Or(r.top, l.page())
	r.top = max(top/2, 1)
	if top == 1 && r.kind != Live {
		l.giveUp(r, job.span, now)
	}
	return top > 1
}

// Hasten lets the reader of a job that has failed go on after d already: what it asks for next is another request.
func (l *Line) Hasten(job Job, now time.Time, d time.Duration) {
	job.reader.next = earlier(job.reader.next, now.Add(d))
}

// Pause keeps every reader of the line but live from being asked for d: the stream itself is not to be had, and live, which has a
// pause of its own, finds out when it is again.
func (l *Line) Pause(now time.Time, d time.Duration) {
	l.hurry(now)
	l.pausedTo = now.Add(d)
}

// Repair reads a stretch again, marked uncertain, because the journal has lost what had been read there.
func (l *Line) Repair(from, to, now time.Time) {
	from, to = second(from), second(to).Add(time.Second)
	l.doubt(from, to, now)
	l.closed(Recovery, from, to)
	l.order()
}

// Unsaved gives what the line itself has set since the last call: cursors of readers that are new or were moved, the names of
// those that are gone, marks. They are to be saved before the next job is begun. ok is false when there is nothing.
func (l *Line) Unsaved() (m event.Moves, ok bool) {
	for _, r := range l.readers {
		// Where a last page is on its way its cursor must not be overtaken by an older one.
		if r.saved || r.committing(nil) {
			continue
		}
		c := l.cursor(r)
		m.Cursors = append(m.Cursors, c)
		r.saved, r.kept = true, c.Pos
	}
	m.Remove, l.removed = slices.DeleteFunc(l.removed, func(name string) bool { return l.find(name) != nil }), nil
	m.Marks = l.marks.unsaved()
	if ok = len(m.Cursors)+len(m.Remove) > 0 || m.Marks != nil; ok {
		m.Floor = l.forget(l.Floor())
	}
	return m, ok
}

func (l *Line) cursor(r *reader) event.Cursor {
	c := event.Cursor{Reader: r.name, Pos: r.pos, End: r.end, Slice: event.Duration(r.length)}
	if r.kind == Live {
		c.Start = l.start
	}
	return c
}

// Floor is the time that every reader is past by what the state says, and every slice under way, with some slack: no row below
// it is expected any more.
func (l *Line) Floor() time.Time { return l.floor(nil, time.Time{}) }

// floor is Floor as it will be once the flight own, if not nil, has moved its reader to pos.
func (l *Line) floor(own *flight, pos time.Time) time.Time {
	var floor time.Time
	lower := func(t time.Time) {
		if floor.IsZero() || t.Before(floor) {
			floor = t
		}
	}
	for _, r := range l.readers {
		for _, f := range r.flights {
			if f != own {
				lower(f.span.from)
			}
		}
		at := earlier(r.kept, r.pos)
		if own != nil && r == own.reader {
			if at = pos; r.closed() && !pos.Before(r.end) {
				continue
			}
		}
		if r.kind == Live { // it may read again from look-back before its cursor
			at = at.Add(-l.lookback())
		}
		lower(at)
	}
	return floor.Add(-floorSlack)
}

// forget notes that the ids of what is older than floor may be deleted from now on.
func (l *Line) forget(floor time.Time) time.Time {
	l.purged = later(l.purged, floor)
	return floor
}

// recall doubts what a slice from that time on will show although its ids may be forgotten: the clock has gone back. What is found
// from now on is remembered again.
func (l *Line) recall(from, now time.Time) {
	if from = from.Add(-floorSlack); from.Before(l.purged) {
		l.doubt(from, l.purged, now)
		l.purged = from
	}
}

// order puts the readers in the order in which they are shown: live, the oldest re-reader first, what is to be caught up.
func (l *Line) order() {
	rank := []string{Live, Reread, Recovery, Catchup, Backfill, Hole}
	slices.SortStableFunc(l.readers, func(a, b *reader) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, a.kind), slices.Index(rank, b.kind)), cmp.Compare(b.age, a.age), a.pos.Compare(b.pos), strings.Compare(a.name, b.name))
	})
}
