package pipeline

import (
	"fmt"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/retry"
)

// run is what one Send takes: events of one chunk. After an unknown result it is sent again exactly as it was: nothing is added,
// because a peer that has taken it already must be able to tell.
type run struct {
	c        *chunk
	events   []event.Event
	first    int   // place of the first event in the chunk
	picked   []int // places of all, where they do not follow each other
	attempts int   // Sends that the events were in
	fails    int   // Sends of exactly this in a row that failed as a whole
	epoch    int

	// Of one that fails again and again while others pass. It waits for itself only.
	sick  bool
	named bool // in the log and in status
	since time.Time
	until time.Time
	pacer *retry.Pacer
	err   error
}

type result struct {
	*run
	err error
}

func (r *run) place(i int) int {
	if r.picked != nil {
		return r.picked[i]
	}
	return r.first + i
}

// part gives some of a run's events, a run of their own.
func (r *run) part(of []int) *run {
	p := &run{c: r.c, attempts: r.attempts, epoch: r.epoch}
	for _, i := range of {
		p.events = append(p.events, r.events[i])
		p.picked = append(p.picked, r.place(i))
	}
	p.first = p.picked[0]
	return p
}

// split cuts a run in two.
func (r *run) split(n int) (a, b *run) {
	a = &run{c: r.c, events: r.events[:n:n], first: r.first, attempts: r.attempts, epoch: r.epoch}
	b = &run{c: r.c, events: r.events[n:], first: r.place(n), attempts: r.attempts, epoch: r.epoch}
	if r.picked != nil {
		a.picked, b.picked = r.picked[:n:n], r.picked[n:]
	}
	return a, b
}

// rank makes one that has failed often let others try.
func (r *run) rank() int {
	if r.sick {
		return 0
	}
	return r.fails / sickAfter
}

func (r *run) String() string {
	what := fmt.Sprintf("event %s of %s", r.events[0].ID, r.events[0].Key)
	if len(r.events) > 1 {
		what = fmt.Sprintf("%d events from %s of %s on", len(r.events), r.events[0].ID, r.events[0].Key)
	}
	return fmt.Sprintf("%s: failed %d times, others pass; tried again: %v", what, r.attempts, r.err)
}
