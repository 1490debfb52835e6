package timeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// New makes the line of a stream from its saved cursors and marks. Without cursors it is the first run. lost is not zero when
// the state was lost: then everything since that time is read again by a recovery reader.
func New(stream string, cfg Config, now time.Time, saved []event.Cursor, remembered []event.Mark, lost time.Time) *Line {
	l := &Line{stream: stream, cfg: cfg, start: cfg.Start.Resolve(now)}
	l.marks.all = slices.DeleteFunc(slices.Clone(remembered), func(m event.Mark) bool { return m.Kind == event.Skipped })
	for _, m := range l.marks.all {
		if m.Kind == event.Doubt {
			l.doubts = l.doubts.with(stretch{m.From, m.To})
		} else {
			l.leftOut = later(l.leftOut, m.At)
		}
	}
	for _, c := range saved {
		l.restore(c)
	}
	known := time.Time{} // what is older has been read, and its ids may be forgotten
	if l.find(Live) == nil {
		l.begin(now, lost)
	} else {
		known = l.Floor()
		l.purged = known
		if at := cfg.Start.Resolve(now); !cfg.Start.At.IsZero() && at.Before(l.start) {
			l.note("start is %s now, but this stream was begun at %s: start is for the first run, what is older is not read", at.Format(time.RFC3339), l.start.Format(time.RFC3339))
		}
	}
	l.matchAges(now, known)
	l.order()
	return l
}

func (l *Line) begin(now, lost time.Time) {
	edge := second(now).Add(-l.lookback())
	l.add(&reader{name: Live, kind: Live, pos: edge, live: live{fresh: true}})
	if !lost.IsZero() {
		l.start = second(lost)
		l.doubt(l.start, now, now)
		l.closed(Recovery, l.start, edge)
		return
	}
	l.closed(Backfill, l.start, edge)
}

func (l *Line) restore(c event.Cursor) {
	kind, _, _ := strings.Cut(c.Reader, "/")
	r := &reader{name: c.Reader, kind: kind, pos: c.Pos, end: c.End, length: time.Duration(c.Slice), saved: true}
	if kind == Reread {
		age, err := time.ParseDuration(strings.TrimPrefix(c.Reader, Reread+"/"))
		if err != nil {
			l.note("the cursor %q has no readable age: dropped", c.Reader)
			return
		}
		r.age = age
	}
	if kind == Live && !c.Start.IsZero() {
		l.start = c.Start
	}
	if kind == Recovery {
		l.doubt(r.pos, r.end, r.pos)
	}
	l.add(r)
}

// add makes r one of the readers.
func (l *Line) add(r *reader) *reader {
	r.kept, r.born = r.pos, l.numbers
	if r.kind == Live {
		r.look = l.lookback()
	}
	l.readers = append(l.readers, r)
	return r
}

// matchAges makes the re-readers follow the configuration. A new one that begins before known finds records again that
// were shipped; it reads them all the same, because some may have appeared since, and that is what it was added for. Where it is
// younger than those before it, it begins where the youngest of them stood: what lies between has had no pass yet, and those may go.
func (l *Line) matchAges(now, known time.Time) {
	var passed time.Time
	for _, r := range l.readers {
		if r.kind == Reread {
			passed = later(passed, r.pos)
		}
	}
	l.readers = slices.DeleteFunc(l.readers, func(r *reader) bool {
		gone := r.kind == Reread && !slices.ContainsFunc(l.cfg.Reread, func(a field.Duration) bool { return a.Std() == r.age })
		if gone {
			l.removed = append(l.removed, r.name)
		}
		return gone
	})
	for _, a := range l.cfg.Reread {
		age := a.Std()
		name := Reread + "/" + age.String()
		if l.find(name) != nil {
			continue
		}
		r := &reader{name: name, kind: Reread, age: age, pos: later(second(now.Add(-age)), l.start)}
		if !passed.IsZero() {
			r.pos = earlier(r.pos, passed)
		}
		if r.pos.Before(known) {
			l.note("%s is new: what it reads of %s to %s may have been shipped before and is marked uncertain",
				name, r.pos.Format(time.RFC3339), known.Format(time.RFC3339))
			l.doubt(r.pos, known, now)
		}
		l.add(r)
	}
}

// closed adds a reader of the stretch [from, to), if there is one.
func (l *Line) closed(kind string, from, to time.Time) {
	if !from.Before(to) {
		return
	}
	name := kind
	if kind != Backfill {
		name = fmt.Sprintf("%s/%d", kind, from.Unix())
	}
	r := l.find(name)
	for r != nil && r.busy() { // it goes on, but what it has asked for does not count for the new one
		name += "+"
		r = l.find(name)
	}
	if r == nil {
		l.add(&reader{name: name, kind: kind, pos: from, end: to})
		return
	}
	// The stretch was damaged again: what its reader has read of it is lost, too.
	r.pos, r.end, r.done, r.saved, r.born = from, later(r.end, to), nil, false, l.numbers
	r.kept = earlier(r.kept, from)
}
