package pipeline

import (
	"sync/atomic"

	"github.com/logferry/logferry/pkg/event"
)

// inheritance is what the lane before this one has delivered behind the place that it got to: while the first of several Sends
// failed, others were accepted. A restart sends those again; a change of the configuration need not.
type inheritance struct {
	places *atomic.Pointer[map[event.Position]bool] // nil: there is none
	end    event.Position                           // no place lies behind it
}

func (in *inheritance) has(at event.Position) bool {
	if in.places == nil || in.end.Less(at) {
		return false
	}
	places := in.places.Load()
	return places != nil && (*places)[at]
}

// passed lets go of what the lane is past.
func (in *inheritance) passed(to event.Position) {
	if in.places != nil && in.end.Less(to) {
		in.places.Store(nil)
	}
}

// bequeath gives what a lane that has ended has delivered from at on, where its successor begins.
func (l *lane) bequeath(at event.Position) inheritance {
	places := map[event.Position]bool{}
	in := inheritance{}
	add := func(place event.Position) {
		if place.Less(at) {
			return
		}
		places[place] = true
		if in.end.Less(place) {
			in.end = place
		}
	}
	if l.torn {
		for _, place := range l.inStep {
			add(place)
		}
	}
	for _, c := range l.window {
		for _, place := range c.delivered(nil, c.passed, len(c.rows)) {
			add(place)
		}
	}
	if l.had.places != nil {
		if before := l.had.places.Load(); before != nil {
			for place := range *before {
				add(place)
			}
		}
	}
	if len(places) > 0 {
		in.places = &atomic.Pointer[map[event.Position]bool]{}
		in.places.Store(&places)
	}
	return in
}

// delivered appends the places of the events [from, to) that the sink has.
func (c *chunk) delivered(dst []event.Position, from, to int) []event.Position {
	for i := from; i < to; i++ {
		if c.rows[i].verdict == delivered {
			dst = append(dst, c.rows[i].at)
		}
	}
	return dst
}
