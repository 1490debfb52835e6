package timeline

import (
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// Finish gives what the last page of the job's slice changes. firstPage is the service's time of its first page, now the
// service's time. Nothing moves until Apply: the commit may fail.
func (l *Line) Finish(job Job, firstPage, now time.Time) Moves {
	r, f := job.reader, job.flight
	held := r.committing(f) || l.newHole()
	f.finished, f.asked = true, firstPage
	m := Moves{flight: f, read: f.span, pos: r.pos}
	// The service's clock may turn out to be behind the one that the slice was made by.
	switch {
	case r.kind == Reread:
		// What it has read before its age it has to read again.
		m.read.to = earlier(f.span.to, second(now.Add(-r.age)))
	case f.span.to.IsZero():
		m.read.to = earlier(second(firstPage), second(now))
	default:
		m.read.to = earlier(f.span.to, second(now))
	}
	m.read.to = later(m.read.to, m.read.from)
	if r.kind != Live && (held || m.read.from.After(l.advance(r, r.done, r.pos))) {
		// One before it is still being read: the cursor stays, and what was read here is remembered.
		m.Floor = l.forget(l.floor(f, earlier(r.kept, r.pos)))
		return m
	}
	if r.kind == Live {
		// It may also have gone back: what the service's clock says now is where it has read up to.
		m.pos = m.read.to
	} else {
		m.pos = l.advance(r, r.done.with(m.read), r.pos)
	}
	// Only the job's own cursor is saved: another reader's commit may be under way, and its cursor must not fall back behind it.
	moved := l.cursor(r)
	moved.Pos = m.pos
	m.saved = true
	if r.closed() && !m.pos.Before(r.end) {
		m.Remove = []string{moved.Reader}
	} else {
		m.Cursors = []event.Cursor{moved}
	}
	m.Floor = l.forget(l.floor(f, m.pos))
	return m
}

// newHole tells whether there is a hole that the state does not know of yet: no cursor may be saved beyond it.
func (l *Line) newHole() bool {
	return slices.ContainsFunc(l.readers, func(x *reader) bool { return x.kind == Hole && !x.saved })
}

// advance gives the place that r gets to from pos over what is done and what is left to holes.
func (l *Line) advance(r *reader, done stretches, pos time.Time) time.Time {
	if r.kind != Hole {
		for _, x := range l.readers {
			if x.kind == Hole {
				done = done.with(stretch{x.pos, x.end})
			}
		}
	}
	pos = done.past(pos)
	if r.closed() {
		pos = earlier(pos, r.end)
	}
	return pos
}

// Apply moves the readers after the last page of a slice has been committed.
func (l *Line) Apply(m Moves, now time.Time, o Outcome) {
	r, f := m.flight.reader, m.flight
	r.land(f)
	r.next, r.failing, r.stuck, l.good = time.Time{}, false, time.Time{}, now
	if m.saved {
		r.kept, r.saved = m.pos, true
	}
	if r.kind == Live {
		r.pos = m.pos
		l.polled(r, f, now, o)
	} else {
		l.unmark(event.Uncovered, r.name, m.read)
		r.done = r.done.with(m.read)
		l.settleAt(r)
		l.resize(r, o)
	}
	l.credit(m)
	l.endOver()
	l.settle()
}

// land ends a flight.
func (r *reader) land(f *flight) {
	r.flights = slices.DeleteFunc(r.flights, func(x *flight) bool { return x == f })
}

// settleAt moves r over what is done.
func (l *Line) settleAt(r *reader) {
	r.pos = l.advance(r, r.done, r.pos)
	r.done = r.done.above(r.pos)
	if !r.pos.Equal(r.kept) {
		r.saved = false
	}
}

// growPage lets the pages of a reader that had to be halved grow again.
func (l *Line) growPage(r *reader) {
	if r.top *= 2; r.top >= l.page() {
		r.top = 0
	}
}

// resize makes the next slice fit better than the last one.
func (l *Line) resize(r *reader, o Outcome) {
	l.growPage(r)
	switch {
	case o.Pages > mostPages:
		r.length = max((r.length / 2).Truncate(time.Second), leastLength)
	case o.Rows < l.page()/2:
		r.length = min(r.length*2, mostLength)
	}
}

// credit lets what was read count for every other reader whose turn there is to come: at an age of at least its own.
func (l *Line) credit(m Moves) {
	for _, x := range l.readers {
		if x == m.flight.reader || x.kind == Live || m.flight.number <= x.born {
			continue
		}
		part := stretch{m.read.from, earlier(m.read.to, second(m.flight.asked.Add(-x.age)))}
		if x.kind == Reread && m.flight.reader.closed() {
			l.unmark(event.Uncovered, x.name, part)
		}
		part.from = later(part.from, x.pos)
		if x.closed() {
			part.to = earlier(part.to, x.end)
		}
		if part.empty() {
			continue
		}
		x.done = x.done.with(part)
		l.settleAt(x)
	}
}

// endOver drops the closed readers that are at their end.
func (l *Line) endOver() {
	l.readers = slices.DeleteFunc(l.readers, func(r *reader) bool {
		if r.over() && !r.saved {
			l.removed = append(l.removed, r.name)
		}
		return r.over()
	})
}
