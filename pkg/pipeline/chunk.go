package pipeline

import (
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// verdict is what has become of a record at a sink.
type verdict uint8

const (
	open      verdict = iota // yet to be told
	delivered                // the sink has it
	filtered                 // the sink is not to get it
	refused                  // a dead letter
	parked                   // a letter that waits for its stream's breaker
	postponed                // of a letter: it stays what it is, and is tried another time
)

// chunk is a stretch of the journal, rendered, or letters on their way again: what is sent in one or more Sends, and what the lane
// then steps over.
type chunk struct {
	n       uint64 // ascending, in the order in which chunks come to be sent
	events  []event.Event
	rows    []row   // what is known of each event, beside it
	aside   []aside // records that are not sent
	open    int     // events without a verdict
	tried   bool    // a Send of it has failed: a step may end inside of it
	passed  int     // events and
	asides  int     // records aside that have been stepped over
	letters bool
	probe   bool          // of letters: one that is parked, and stays so if it is refused
	done    chan struct{} // of letters: nothing more happens to them

	ends   []int // of the bodies in buf; only until they are sliced
	buf    []byte
	raws   []byte // trimmed raw forms
	shared []bool // whether the body belongs to the ring
	from   event.Position
	to     event.Position
	bytes  int       // of bodies
	room   int       // for so many
	begun  time.Time // when its first record came: lingering counts from there
}

// row is an event's place and what became of it.
type row struct {
	at      event.Position // in the journal
	id      uint64         // of a letter
	raw     []byte         // as it came, where the outlet trims
	verdict verdict
	why     *event.DeadLetter // of one that was refused or parked
}

// aside stands for n records of a stream that come before the event at place before: filtered, or one that cannot be rendered.
type aside struct {
	row
	before int
	key    event.StreamKey
	n      int
}

func (c *chunk) reset(at event.Position) {
	clear(c.events) // lets go of the batches that the records alias
	clear(c.rows)
	clear(c.aside)
	c.events, c.rows, c.aside = c.events[:0], c.rows[:0], c.aside[:0]
	c.ends, c.shared, c.buf, c.raws = c.ends[:0], c.shared[:0], c.buf[:0], c.raws[:0]
	c.open, c.passed, c.asides, c.bytes, c.tried = 0, 0, 0, 0, false
	c.from, c.to, c.begun = at, at, time.Time{}
}

func (c *chunk) blank() bool { return c.from == c.to }

// leaveOut counts records that the sink is not to get.
func (c *chunk) leaveOut(key event.StreamKey, n int, id uint64) {
	if last := len(c.aside) - 1; id == 0 && last >= 0 {
		if a := &c.aside[last]; a.verdict == filtered && a.before == len(c.events) && a.key == key {
			a.n += n
			return
		}
	}
	c.aside = append(c.aside, aside{row: row{id: id, verdict: filtered}, before: len(c.events), key: key, n: n})
}

// bodies makes the events' bodies slices of the chunk's buffer, now that it grows no more.
func (c *chunk) bodies() {
	start := 0
	for i, end := range c.ends {
		if !c.shared[i] {
			c.events[i].Body = c.buf[start:end:end]
		}
		start = end
	}
	c.open = len(c.events)
}

// record gives an event's record as it came.
func (c *chunk) record(i int) event.Record {
	r := c.events[i].Record
	if c.rows[i].raw != nil {
		r.Raw = c.rows[i].raw
	}
	return r
}

// movable tells whether a step may begin: when each event has its verdict, or within the chunk.
func (c *chunk) movable(within bool) bool {
	if c.open == 0 {
		return true
	}
	if !within && !c.tried {
		return false
	}
	return c.rows[c.passed].verdict != open || c.asides < len(c.aside) && c.aside[c.asides].before == c.passed
}

// pass adds to a step what has got its verdict, up to the first event that has none, or to a letter when room, bytes for letters, is
// used up. It tells whether that was all.
func (c *chunk) pass(s *event.LaneStep, room *int) bool {
	for {
		for c.asides < len(c.aside) && c.aside[c.asides].before == c.passed {
			a := &c.aside[c.asides]
			if !a.fits(room) {
				s.To = a.at
				return false
			}
			add(s, a.key, a.n, &a.row)
			c.asides++
		}
		if c.passed == len(c.events) {
			s.To = c.to
			return true
		}
		if r := &c.rows[c.passed]; r.verdict == open || !r.fits(room) {
			s.To = c.rows[c.passed].at
			return false
		}
		n := c.alike(c.passed)
		add(s, c.events[c.passed].Key, n, &c.rows[c.passed])
		c.passed += n
	}
}

// fits takes a letter's bytes from the room. One that is too large for it still fits while there is any.
func (r *row) fits(room *int) bool {
	if r.verdict != refused && r.verdict != parked {
		return true
	}
	had := *room
	if had > 0 {
		*room -= len(r.why.Record.Raw)
	}
	return had > 0
}

// alike tells how many events from i on are of one stream and delivered, in a row; at least 1.
func (c *chunk) alike(i int) int {
	next := len(c.events)
	if c.asides < len(c.aside) {
		next = c.aside[c.asides].before
	}
	n := 1
	for i+n < next && c.rows[i].verdict == delivered && c.rows[i+n].verdict == delivered && c.events[i+n].Key == c.events[i].Key {
		n++
	}
	return n
}

// add counts n records of a stream with the same verdict.
func add(s *event.LaneStep, key event.StreamKey, n int, r *row) {
	switch r.verdict {
	case parked:
		s.Parked = append(s.Parked, *r.why)
		return
	case refused:
		s.Dead = append(s.Dead, *r.why)
	}
	sum := s.Counts[key]
	sum.Add(r.counts(n))
	s.Counts[key] = sum
}

func (r *row) counts(n int) event.SinkCounts {
	switch r.verdict {
	case delivered:
		return event.SinkCounts{Delivered: uint64(n)}
	case filtered:
		return event.SinkCounts{Filtered: uint64(n)}
	case refused:
		return event.SinkCounts{Dead: uint64(n)}
	}
	return event.SinkCounts{}
}

// settled gives the verdicts on letters.
func (c *chunk) settled() []event.Settled {
	all := make([]event.Settled, 0, len(c.rows)+len(c.aside))
	one := func(r *row) {
		if r.verdict == delivered || r.verdict == filtered || r.verdict == refused {
			all = append(all, event.Settled{ID: r.id, Counts: r.counts(1), Again: r.why})
		}
	}
	for i := range c.rows {
		one(&c.rows[i])
	}
	for i := range c.aside {
		one(&c.aside[i].row)
	}
	return all
}
