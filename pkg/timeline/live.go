package timeline

import (
	"time"
)

const (
	lookFirst = 5 * time.Minute // live's look-back does not shrink below it because of load, only because slices fail
	leastLook = time.Minute     // nor below this then
)

// live is what the live reader has beside a cursor.
//
// Reading from look-back before its cursor each poll costs (look+poll)/poll times what reading everything once costs. When
// that does not fit live gives way in three steps: it looks back less far, as long as that covers nearly all late records; then
// it takes longer than a poll, which makes the same look-back cheaper; and where once is all that there is time for it trails:
// it reads everything once, at the age of its look-back, instead of the newest twice.
type live struct {
	look   time.Duration // look-back now
	fresh  bool          // what lies before pos is left to others: there is nothing to look back at
	trail  bool
	again  time.Time     // where the first slice that trails begins: what was read at a lower age is read once more
	before time.Time     // up to where the poll before it had read
	took   time.Duration // per page, waiting for the budget included; a moving average
	rows   float64       // of a full page; a moving average
}

// window gives live's next slice.
func (r *reader) window(now, start time.Time) stretch {
	if r.trail {
		from := r.pos
		if !r.again.IsZero() {
			from = later(earlier(from, r.again), start)
		}
		return stretch{from, later(from, second(now.Add(-r.look)))}
	}
	if r.fresh {
		return stretch{from: later(r.pos, start)}
	}
	return stretch{from: later(r.pos.Add(-r.look), start)}
}

// polled notes how a poll went.
func (l *Line) polled(r *reader, f *flight, now time.Time, o Outcome) {
	// A poll begins with its first reply: streams that wait for each other find their places in the round and keep them.
	r.next = later(f.asked, f.at).Add(l.cfg.Poll.Std())
	r.before, r.fresh, r.again = r.pos, false, time.Time{}
	if l.draining && l.edge.IsZero() {
		l.edge = r.pos
	}
	l.growPage(r)
	l.load.observe(l.seen(r, f), o.Rows)
	l.fit(r, now.Sub(f.at), o)
}

// seen is how long the stretch is that a poll has shown.
func (l *Line) seen(r *reader, f *flight) time.Duration { return r.pos.Sub(f.span.from) }

// fit chooses live's look-back by what a page has cost lately and by what the budget leaves for it.
func (l *Line) fit(r *reader, took time.Duration, o Outcome) {
	pages := max(o.Pages, 1)
	smooth(&r.took, took/time.Duration(pages))
	if pages > 1 {
		smooth(&r.rows, float64(o.Rows)/float64(pages))
	} else if r.rows == 0 || float64(o.Rows) > r.rows {
		r.rows = max(float64(l.page()), float64(o.Rows))
	}
	own := crowd{once: r.took.Seconds() * l.perSecond(), page: r.took.Seconds()}
	poll, least := l.cfg.Poll.Std(), l.leastLook()
	once := max(own.once, l.crowd.once)
	if r.trail {
		r.trail = once > 0.45
	} else if once > 0.55 && r.look <= least {
		r.trail, r.again = true, r.pos.Add(-r.look)
	}
	want := max(least, min(l.lookback(), own.look(poll), l.crowd.look(poll)))
	if want > r.look {
		want = min(want, r.look+r.look/3)
	}
	r.look = want.Truncate(time.Second)
}

// crowd is what live's reading costs: of one line by itself, or of all that share a budget.
type crowd struct {
	once float64 // what part of all time reading everything once takes; 0: nothing is known
	page float64 // seconds that a page of each of them takes
}

// look gives the look-back at which a round fits into a poll. A sixth is left free: who waits for a round in a row is late.
func (c crowd) look(poll time.Duration) time.Duration {
	if c.once <= 0 {
		return mostLength
	}
	room := 0.85*poll.Seconds() - c.page/2            // the last page of a slice is half full on average and costs as much as any
	seconds := min(room/c.once, mostLength.Seconds()) // a quiet stream's quotient is beyond any duration
	return max(0, time.Duration(seconds*float64(time.Second))-poll)
}

// perSecond is how many full pages reading everything once takes per second.
func (l *Line) perSecond() float64 { return l.load.rate / max(1, l.find(Live).rows) }

// Share tells lines that share a budget of so many requests per second what live's part of it is worth: half, or what the
// re-readers leave over where that is more.
func Share(capacity float64, lines []*Line) {
	if capacity <= 0 {
		return
	}
	var once, others float64
	for _, l := range lines {
		once += l.perSecond()
		others += l.Demand() - 1/l.cfg.Poll.Std().Seconds() - l.load.rate/float64(l.page())
	}
	mine := max(capacity/2, 0.95*capacity-others)
	for _, l := range lines {
		l.crowd = crowd{once: once / mine, page: float64(len(lines)) / mine}
	}
}

// leastLook is how far live looks back at least: nearly every record has appeared by then, and re-readers find the others.
func (l *Line) leastLook() time.Duration {
	if len(l.cfg.Reread) == 0 {
		return l.lookback()
	}
	return min(l.lookback(), max(lookFirst, l.load.late(0.95)+l.cfg.Poll.Std()))
}

// smooth is a moving average over about the last three values.
func smooth[T ~int64 | ~float64](mean *T, value T) {
	if *mean == 0 {
		*mean = value
	}
	*mean += (value - *mean) * 3 / 10
}

// keepFresh lets live leave a stretch behind that is too long for it.
func (l *Line) keepFresh(r *reader, now time.Time) {
	most := r.look + 2*l.cfg.Poll.Std()
	if r.trail {
		most += r.look
	}
	if r.busy() || now.Sub(r.pos) <= most {
		return
	}
	from := r.window(now, l.start).from
	r.look = l.leastLook() // what is new comes first; the stretch left behind begins where live does
	edge := second(now).Add(-r.look)
	l.note("live is %s behind: the stretch from %s is caught up beside it", now.Sub(r.pos).Round(time.Second), from.Format(time.RFC3339))
	l.leaveBehind(from, edge)
	r.pos, r.before, r.again, r.fresh, r.saved = edge, time.Time{}, time.Time{}, true, false
	l.order()
}

const mostCatchups = 16

// leaveBehind has [from, to) caught up. While a stream fails for days live leaves one stretch after the other: they are one.
func (l *Line) leaveBehind(from, to time.Time) {
	var last *reader
	n := 0
	for _, r := range l.readers {
		// Where a last page is on its way it may be the end: its commit would take away the cursor that was saved for the longer stretch.
		if r.kind != Catchup || r.committing(nil) {
			continue
		}
		n++
		if !r.end.After(from) && (last == nil || r.end.After(last.end)) {
			last = r
		}
	}
	switch {
	case last != nil && last.end.Equal(from):
		last.end, last.saved = to, false
	case last != nil && n >= mostCatchups: // what lies between has been read: after a restart it is read again
		last.done = last.done.with(stretch{last.end, from})
		last.end, last.saved = to, false
	default:
		l.closed(Catchup, from, to)
	}
}

// Found notes that a record of time t was new in the job's slice: a measure of how late the API shows it.
func (l *Line) Found(job Job, t time.Time) {
	switch r := job.reader; r.kind {
	case Live:
		// It was not there yet when the poll before went by.
		if !r.before.IsZero() {
			l.load.found(r.before.Sub(t))
		}
	case Reread:
		l.load.found(l.younger(r))
	}
}

// younger gives the age at which a stretch is read before r comes by.
func (l *Line) younger(r *reader) time.Duration {
	age := l.find(Live).look
	for _, a := range l.cfg.Reread {
		if a.Std() < r.age {
			age = max(age, a.Std())
		}
	}
	return min(age, r.age)
}
