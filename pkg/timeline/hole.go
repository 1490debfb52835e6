package timeline

import (
	"strconv"
	"time"
)

const (
	holeAfter = time.Hour        // for which the smallest slice fails before the reader goes on without it
	holeFirst = 15 * time.Minute // until it is tried again, doubled each time
	holeMost  = 6 * time.Hour
)

// giveUp turns the smallest slice, which has failed for long, into a hole: r goes on, the hole has a reader of its own. That
// needs a proof that it is the slice and not the service: others have been read meanwhile.
func (l *Line) giveUp(r *reader, span stretch, now time.Time) {
	if r.stuck.IsZero() {
		r.stuck = now
	}
	if now.Sub(r.stuck) < holeAfter || !l.good.After(r.stuck) || now.Sub(l.good) > holeAfter {
		return
	}
	l.note("%s: %s to %s has failed for %s while others were read: it is a hole now, tried again slowly, and %s goes on",
		r.name, span.from.Format(time.RFC3339), span.to.Format(time.RFC3339), now.Sub(r.stuck).Round(time.Minute), r.name)
	l.closed(Hole, span.from, span.to)
	l.find(Hole + "/" + strconv.FormatInt(span.from.Unix(), 10)).stuck = r.stuck
	r.stuck, r.top, r.next = time.Time{}, 0, time.Time{}
	l.settleAt(r)
	l.endOver()
	l.order()
}

// Unreadable is a stretch that the service cannot show at the moment.
type Unreadable struct {
	From, To time.Time
	Since    time.Time
}

func (h Unreadable) String() string {
	return "a hole: " + h.From.Format(time.RFC3339) + " to " + h.To.Format(time.RFC3339) + " cannot be read, however small the slice; it is tried again slowly, and becomes a gap once the API has deleted it"
}

// Holes gives the holes.
func (l *Line) Holes() (holes []Unreadable) {
	for _, r := range l.readers {
		if r.kind == Hole {
			holes = append(holes, Unreadable{From: r.pos, To: r.end, Since: r.stuck})
		}
	}
	return holes
}
