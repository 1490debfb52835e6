package app_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
)

// arrival is one event at a receiver.
type arrival struct {
	event.Record        // Raw is nil
	Body         string // only where the receiver keeps it
	Event        event.ID
	At           time.Time
}

// rec names a record, whatever its version.
type rec struct{ stream, id string }

// receiver is a sink that remembers what it got.
type receiver struct {
	mu   sync.Mutex
	wait func(ctx context.Context) error  // before it looks at a Send; nil: it does not
	down error                            // while not nil, every Send fails with it
	says func(events []event.Event) error // what it says otherwise; nil: it takes everything
	keep bool                             // the bodies, too
	slow time.Duration                    // what each Send takes
	late time.Duration                    // how long its answer takes after it has taken what it takes
	got  []arrival
	fail int // Sends refused
	most int // events in a Send; 0: 500
	many int // Sends at once; 0: 1
}

// outlet is the way of one life to a receiver.
type outlet struct {
	*receiver
	from *life
}

func (o outlet) Send(ctx context.Context, events []event.Event) error {
	err := o.take(ctx, events)
	o.mu.Lock()
	late := o.late
	o.mu.Unlock()
	if ended := retry.Sleep(ctx, late); ended != nil {
		return ended
	}
	return err
}

func (o outlet) take(ctx context.Context, events []event.Event) error {
	r := o.receiver
	if r.wait != nil {
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	slow := r.slow
	r.mu.Unlock()
	if err := retry.Sleep(ctx, slow); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.from.over() {
		return errDead
	}
	if r.down != nil {
		r.fail++
		return r.down
	}
	var err error
	if r.says != nil {
		err = r.says(events)
	}
	failed := fault.Failed(err)
	if err != nil && failed == nil {
		return err
	}
	now := time.Now()
	for i := range events {
		if failed[i] != nil {
			continue
		}
		a := arrival{Record: events[i].Record, Event: events[i].EventID, At: now}
		// The event's memory belongs to the lane after Send.
		if a.ID, a.Raw = strings.Clone(a.ID), nil; r.keep {
			a.Body = string(events[i].Body)
		}
		r.got = append(r.got, a)
	}
	return err
}

func (r *receiver) Limits() event.Limits {
	return event.Limits{Events: cmp.Or(r.most, 500), Bytes: 1 << 20, InFlight: r.many}
}
func (r *receiver) Close() error { return nil }

// set makes the receiver fail with err from now on, or work again.
func (r *receiver) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

// pace sets what each Send takes from now on.
func (r *receiver) pace(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow = d
}

// delay sets how long answers take from now on.
func (r *receiver) delay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = d
}

func (r *receiver) arrived() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) refused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fail
}

// byRecord gives the arrivals of each record in their order.
func (r *receiver) byRecord() map[rec][]arrival {
	all := map[rec][]arrival{}
	for _, a := range r.arrived() {
		k := rec{a.Key.Stream, a.ID}
		all[k] = append(all[k], a)
	}
	return all
}

// repeats counts the arrivals of an event that was there before.
func (r *receiver) repeats() (n int) {
	seen := map[event.ID]bool{}
	for _, a := range r.arrived() {
		if seen[a.Event] {
			n++
		}
		seen[a.Event] = true
	}
	return n
}
