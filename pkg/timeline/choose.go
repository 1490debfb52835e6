package timeline

import (
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// class ranks what r is about to ask.
func (l *Line) class(r *reader, now time.Time) event.Class {
	switch r.kind {
	case Live:
		return event.ClassLive
	case Reread:
		// The oldest is the last that can find a record: it goes first.
		if l.older(r) == nil || now.Add(-r.age-l.step(r)*5/4).After(r.pos) {
			return event.ClassBehind
		}
		return event.ClassReread
	case Catchup, Recovery:
		return event.ClassCatchup
	}
	return event.ClassBackfill
}

// step is the shortest slice of a re-reader that is worth its requests: full pages are, whatever they span.
func (l *Line) step(r *reader) time.Duration {
	return min(r.age/4, time.Hour, max(time.Minute, l.worth(worthPages)))
}

// worth is how long a stretch is that fills so many pages; a day at most.
func (l *Line) worth(pages float64) time.Duration {
	if full := pages * float64(l.page()); full < l.load.rate*mostLength.Seconds() {
		return time.Duration(full / l.load.rate * float64(time.Second)).Truncate(time.Second)
	}
	return mostLength
}

// Wants tells whether a reader of that class has a slice that is due at now, and how urgent it is: of several lines the one
// with the highest rank goes first. Live is ranked by how long it has been due, a re-reader by its age, because the oldest one
// is the last that can find a record, and the others by how far back they are.
func (l *Line) Wants(now time.Time, class event.Class) (rank time.Duration, ok bool) {
	l.check(now)
	r := l.choose(now, class)
	if r == nil {
		return 0, false
	}
	return l.rank(r, now), true
}

func (l *Line) rank(r *reader, now time.Time) time.Duration {
	switch r.kind {
	case Live:
		return now.Sub(r.next)
	case Reread:
		return r.age
	}
	return now.Sub(r.pos)
}

// Take gives the slice that Wants has told of.
func (l *Line) Take(now time.Time, class event.Class) (Job, bool) {
	l.check(now)
	r := l.choose(now, class)
	if r == nil {
		return Job{}, false
	}
	l.numbers++
	f := &flight{reader: r, at: now, number: l.numbers}
	if r.kind == Live {
		f.span = r.window(now, l.start)
		l.recall(r.pos.Add(-l.lookback()), now) // after a restart it looks back that far, whatever it does now
	} else {
		if f.span = l.open(r, now); f.span.empty() {
			return Job{}, false
		}
		l.firstRead(r, f.span, now)
		l.recall(f.span.from, now)
	}
	r.flights = append(r.flights, f)
	s := event.Slice{Stream: l.stream, Reader: r.name, Class: class, Rank: r.age, From: f.span.from, To: f.span.to, Top: r.top}
	return Job{Slice: s, Uncertain: r.kind == Recovery, flight: f}, true
}

func (l *Line) choose(now time.Time, class event.Class) (chosen *reader) {
	var oldest time.Duration // of the re-readers with something to read: the younger ones wait for it
	for _, r := range l.readers {
		due, ok := l.due(r, now)
		if !ok || due.After(now) || r.kind == Reread && r.age < oldest {
			continue
		}
		oldest = max(oldest, r.age)
		if l.class(r, now) != class {
			continue
		}
		if chosen == nil || l.rank(r, now) > l.rank(chosen, now) {
			chosen = r
		}
	}
	return chosen
}

// Due tells when after now Take may have a slice that it has not yet; zero when that depends on the slices under way alone.
func (l *Line) Due(now time.Time) time.Time {
	var first time.Time
	for _, r := range l.readers {
		due, ok := l.due(r, now)
		if ok && due.After(now) && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	return first
}

// due tells when r has a slice to read; ok is false while it has none but those under way.
func (l *Line) due(r *reader, now time.Time) (due time.Time, ok bool) {
	if r.kind == Live {
		if r.busy() {
			return due, false
		}
		if r.trail {
			return later(r.next, r.pos.Add(r.look+l.cfg.Poll.Std())), true
		}
		return r.next, true
	}
	// One that fails reads one slice at a time: each may be the next to be halved.
	if len(r.flights) >= r.most() || r.busy() && (r.failing || r.length < time.Minute) {
		return due, false
	}
	next := later(r.next, l.pausedTo)
	from := l.taken(r).past(r.pos)
	if r.kind == Reread {
		if l.draining && from.Before(second(l.edge.Add(-r.age))) {
			return later(next, from.Add(r.age+leastLength)), true // the clock may be behind edge by now
		}
		return later(next, from.Add(r.age+l.step(r))), true
	}
	if !from.Before(r.end) {
		return due, false
	}
	// A stretch that reaches beyond now is read minute by minute: each slice is a request.
	return later(next, earlier(r.end, from.Add(time.Minute))), true
}

// most is how many slices r reads at once. The budget decides whose request goes next, so one waits while another is answered;
// more only helps where there is room for a backfill beyond the default budget.
func (r *reader) most() int {
	if r.closed() {
		return mostFlights
	}
	return 2
}

// taken is what r does not have to ask for any more: what was read, what is being read, and what is left to holes.
func (l *Line) taken(r *reader) stretches {
	taken := r.done
	for _, f := range r.flights {
		taken = taken.with(f.span)
	}
	if r.kind == Hole {
		return taken
	}
	for _, x := range l.readers {
		if x.kind == Hole {
			taken = taken.with(stretch{x.pos, x.end})
		}
	}
	return taken
}

// open gives the next slice of a reader other than live; an empty one if there is none.
func (l *Line) open(r *reader, now time.Time) stretch {
	limit := earlier(r.end, second(now))
	if r.kind == Reread {
		limit = second(now.Add(-r.age))
	}
	if r.length == 0 {
		r.length = firstLength
	}
	parts := l.taken(r).outside(stretch{r.pos, limit})
	if len(parts) == 0 {
		return stretch{}
	}
	// A slice of many pages is lost as a whole when one of them fails.
	length := min(r.length, max(time.Minute, l.worth(mostPages)))
	return stretch{parts[0].from, earlier(parts[0].to, parts[0].from.Add(length))}
}
