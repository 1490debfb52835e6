package timeline

import (
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// check brings the readers in line with the service's clock before one is chosen.
func (l *Line) check(now time.Time) {
	l.hurry(now)
	for _, r := range l.readers {
		if !r.busy() {
			l.setBack(r, now)
		}
	}
	for _, r := range l.readers {
		switch {
		case r.kind == Reread && r.busy() && !r.committing(nil):
			l.leaveOut(r, now) // its slices may wait for their turn for long: what they read in the end is no longer left out
		case r.busy():
		case r.kind == Live:
			l.keepFresh(r, now)
		case r.kind == Reread:
			l.leaveOut(r, now)
		default:
			l.expire(r, now)
		}
	}
	l.endOver()
}

// hurry shortens pauses by as much as the clock has gone back since the last look: they were meant to last for so long, not until a
// time that may be years away.
func (l *Line) hurry(now time.Time) {
	back := now.Sub(l.looked)
	if l.looked = now; back > -clockSlack {
		return
	}
	shift := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(back)
		}
	}
	shift(&l.pausedTo)
	shift(&l.good)
	for _, r := range l.readers {
		shift(&r.next)
		shift(&r.stuck)
	}
}

// setBack moves a reader back that has got further than the service's clock allows: the clock was ahead for a while, and what
// it has passed meanwhile it has not really read.
func (l *Line) setBack(r *reader, now time.Time) {
	limit := second(now)
	if r.kind == Hole { // it has passed nothing: set back it would grow, and others pass over it
		return
	}
	if r.kind == Reread {
		limit = later(second(now.Add(-r.age)), earlier(l.start, r.pos))
	}
	if !r.pos.After(limit.Add(clockSlack)) {
		return
	}
	l.note("cursor of %s was at %s, ahead of the service's clock: set back to %s", r.name, r.pos.Format(time.RFC3339), limit.Format(time.RFC3339))
	l.recall(limit, now)
	r.pos, r.next, r.saved = limit, time.Time{}, false
	r.kept = earlier(r.kept, limit)
	if r.trail {
		r.again = limit.Add(-r.look)
	}
	for _, x := range l.readers { // what was read beyond a cursor or is under way was chosen by the wrong clock
		x.done, x.born = nil, l.numbers
	}
}

// leaveOut lets a re-reader that is behind the next older one's age go on at its own and leave the stretch to that one. The
// oldest never does so: what it leaves out nobody reads. It only gives up what the API has deleted.
func (l *Line) leaveOut(r *reader, now time.Time) {
	older := l.older(r)
	switch {
	case older == nil:
		if behind := now.Add(-l.cfg.keeps()); r.pos.Before(behind) {
			l.skipTo(r, second(behind), now, "it was older than what the API keeps")
		}
	case r.pos.Before(now.Add(-older.age)):
		l.skipTo(r, second(now.Add(-r.age)), now, "left to "+older.name+": it was behind that one's age")
	}
}

// skipTo lets a re-reader leave out what it has not read before to.
func (l *Line) skipTo(r *reader, to, now time.Time, why string) {
	read := r.done
	for _, x := range l.readers {
		if x.closed() {
			read = x.willRead(read, r.age)
		}
	}
	for _, part := range read.outside(stretch{r.pos, to}) {
		l.mark(event.Uncovered, r.name, part, why, now)
	}
	l.note("%s is %s behind and leaves out what lies before %s: %s", r.name, now.Sub(r.pos).Round(time.Second), to.Format(time.RFC3339), why)
	r.pos = to
	l.settleAt(r)
	r.saved = false
}

// willRead adds to read what a closed reader is yet to read for the first time, which is at an age of at least age.
func (r *reader) willRead(read stretches, age time.Duration) stretches {
	asked := r.done
	for _, f := range r.flights {
		asked = asked.with(f.span)
		read = read.with(stretch{f.span.from, earlier(f.span.to, second(f.at.Add(-age)))})
	}
	for _, part := range asked.outside(stretch{r.pos, r.end}) {
		read = read.with(part)
	}
	return read
}

// older gives the re-reader of the next higher age.
func (l *Line) older(r *reader) (older *reader) {
	for _, x := range l.readers {
		if x.kind == Reread && x.age > r.age && (older == nil || x.age < older.age) {
			older = x
		}
	}
	return older
}

// mostKept is the longest time that the API keeps records of any stream for any licence, as long as the operator does not know
// better: what is asked for beyond it is surely gone.
const mostKept = 30 * 24 * time.Hour

// keeps is how long records may be had.
func (c Config) keeps() time.Duration { return max(c.Retention, mostKept) }

// expire gives up the part of a stretch that nobody has read and that the API has surely deleted.
func (l *Line) expire(r *reader, now time.Time) {
	l.clamp(r, second(now.Add(-l.cfg.keeps())), now, "it is older than what the API keeps")
}

// clamp gives up what a closed reader has not read before to.
func (l *Line) clamp(r *reader, to, now time.Time, why string) {
	to = earlier(to, r.end)
	if !r.pos.Before(to) {
		return
	}
	for _, part := range r.done.outside(stretch{r.pos, to}) {
		l.mark(event.Gap, r.name, part, why, now)
		l.note("a gap: %s gives up %s to %s, which nobody has read: %s", r.name, part.from.Format(time.RFC3339), part.to.Format(time.RFC3339), why)
	}
	r.pos = to
	l.settleAt(r)
	r.saved = false
}

// TooOld notes that the API refuses the job's lower bound because of its age: what lies before the retention that every licence
// has is given up. Call it after Fail.
func (l *Line) TooOld(job Job, now time.Time) {
	r, to, why := job.reader, second(now.Add(-leastKept+time.Minute)), "the API refuses to go back that far"
	switch {
	case r.busy():
		return
	case r.closed():
		l.clamp(r, to, now, why)
	case r.kind == Reread && r.pos.Before(to):
		l.skipTo(r, to, now, why)
	}
	r.next = time.Time{}
	l.endOver()
}

// leastKept is how long the API keeps records without a licence.
const leastKept = 7 * 24 * time.Hour

// firstRead notes what is about to be read for the first time when the API may have deleted a part of it. The mark is saved before
// the slice is read: its last page moves the cursor for good.
func (l *Line) firstRead(r *reader, read stretch, now time.Time) {
	old := stretch{read.from, earlier(read.to, second(now.Add(-l.cfg.retention())))}
	if !r.closed() || old.empty() {
		return
	}
	l.mark(event.Gap, r.name, old, "it is read when older than "+l.cfg.retention().String()+": the API may have deleted some of it (retention tells what the licence keeps)", now)
}

func (c Config) retention() time.Duration {
	if c.Retention > 0 {
		return c.Retention
	}
	return leastKept
}
