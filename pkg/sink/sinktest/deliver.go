package sinktest

import (
	"context"
	"fmt"
	"slices"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// Deliver sends events as a lane does, without its pauses: it cuts them to the sink's limits, halves what is refused as poison
// until the bad event stands alone, sends a suspected one once more alone, and tries only those again that a partial failure names. It gives the indexes of the events
// that are poison, ascending. It stops at the first error that only time or an operator can mend, and at a partial failure after
// which nothing has moved; what was accepted before stays accepted.
func Deliver(ctx context.Context, sink Sink, events []event.Event) (poison []int, err error) {
	indexes := make([]int, len(events))
	for i := range indexes {
		indexes[i] = i
	}
	d := delivery{sink: sink, events: events}
	for len(indexes) > 0 && err == nil {
		n := fit(sink.Limits(), events, indexes)
		err = d.send(ctx, indexes[:n])
		indexes = indexes[n:]
	}
	slices.Sort(d.poison)
	return d.poison, err
}

type delivery struct {
	sink   Sink
	events []event.Event
	poison []int
}

func (d *delivery) send(ctx context.Context, indexes []int) error {
	if len(indexes) == 0 {
		return nil
	}
	request := make([]event.Event, len(indexes))
	for i, at := range indexes {
		request[i] = d.events[at]
	}
	err := d.sink.Send(ctx, request)
	if err == nil {
		return nil
	}
	switch fault.Of(err) {
	case fault.Poison:
		if len(indexes) == 1 {
			d.poison = append(d.poison, indexes[0])
			return nil
		}
		half := len(indexes) / 2
		if err := d.send(ctx, indexes[:half]); err != nil {
			return err
		}
		return d.send(ctx, indexes[half:])
	case fault.Partial:
		return d.partial(ctx, indexes, err)
	}
	return err
}

// partial settles the events that failed for good and sends the others that failed once more, in their order.
func (d *delivery) partial(ctx context.Context, indexes []int, err error) error {
	failed := fault.Failed(err)
	if len(failed) == 0 {
		return fmt.Errorf("the sink reports a partial failure without a failed event: %w", err)
	}
	var again, alone []int
	for i, at := range indexes {
		cause, bad := failed[i]
		switch {
		case !bad:
		case fault.Suspected(cause) && len(indexes) > 1:
			alone = append(alone, at)
		case cause == nil || fault.Of(cause) == fault.Partial:
			return fmt.Errorf("the sink reports event %d as failed with %v: want an error of its own", i, cause)
		case fault.Of(cause) == fault.Poison:
			d.poison = append(d.poison, at)
		case fault.Of(cause) == fault.Blocked:
			return cause
		default:
			again = append(again, at)
		}
		delete(failed, i)
	}
	if len(failed) > 0 {
		return fmt.Errorf("the sink reports failed events outside of the %d that were sent: %w", len(indexes), err)
	}
	if len(again) == len(indexes) {
		return fmt.Errorf("the sink reports every event as failed, for now: %w", err)
	}
	for _, at := range alone {
		if err := d.send(ctx, []int{at}); err != nil {
			return err
		}
	}
	return d.send(ctx, again)
}

// fit is how many of the events go into one Send.
func fit(limits event.Limits, events []event.Event, indexes []int) int {
	bytes := 0
	for n, at := range indexes {
		bytes += len(events[at].Body)
		if n > 0 && (limits.Events > 0 && n >= limits.Events || limits.Bytes > 0 && bytes > limits.Bytes) {
			return n
		}
	}
	return len(indexes)
}
