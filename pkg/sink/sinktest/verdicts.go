package sinktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
)

func refuseMarked(_ testing.TB, s Sink, p Peer) error {
	for _, c := range []struct {
		n      int
		marked map[int]bool
	}{
		{1, map[int]bool{0: true}},
		{5, map[int]bool{2: true}},
		{9, map[int]bool{0: true, 3: true, 4: true, 8: true}},
		{3, map[int]bool{0: true, 1: true, 2: true}},
	} {
		var events, good, bad []event.Event
		for i := range c.n {
			e := newEvent(1000*c.n+i, "plain")
			if c.marked[i] {
				e = newEvent(1000*c.n+i, Marker)
				bad = append(bad, e)
			} else {
				good = append(good, e)
			}
			events = append(events, e)
		}
		p.Set(RefuseMarked)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		poison, err := Deliver(ctx, s, events)
		cancel()
		if err != nil {
			return fmt.Errorf("deliver %d events, %d of them marked: %w", c.n, len(bad), err)
		}
		for _, i := range poison {
			if !c.marked[i] {
				return fmt.Errorf("event %d of %d is reported as poison, the peer had nothing against it", i, c.n)
			}
		}
		if len(poison) != len(bad) {
			return fmt.Errorf("poison is %v, want %d events", poison, len(bad))
		}
		if err := atLeastOnce(p.Received(), good, bad); err != nil {
			return err
		}
	}
	return nil
}

// partial has some of several events refused; the others must arrive once, in their order.
func partial(_ testing.TB, s Sink, p Peer) error {
	var events, good []event.Event
	var bad []int
	for i := range 8 {
		text := "plain"
		if i == 2 || i == 5 || i == 6 {
			text = Marker
			bad = append(bad, i)
		}
		events = append(events, newEvent(i, text))
		if text != Marker {
			good = append(good, events[i])
		}
	}
	p.Set(RefuseMarked)
	if err := settles(s, events, bad); err != nil {
		return err
	}
	if err := exactly(p.Received(), good); err != nil {
		return fmt.Errorf("the events beside the refused ones: %w", err)
	}
	return nil
}

// tooLarge has one body of that many bytes among others.
func tooLarge(size int) func(testing.TB, Sink, Peer) error {
	return func(_ testing.TB, s Sink, p Peer) error {
		if size == 0 {
			return errors.New("the harness names no size: set TooLarge, or skip with the reason")
		}
		events := []event.Event{newEvent(0, "plain"), newEvent(1, "plain"), newEvent(2, strings.Repeat("0123456789abcdef", size/16+1)), newEvent(3, "plain")}
		if err := settles(s, events, []int{2}); err != nil {
			return err
		}
		if err := exactly(p.Received(), []event.Event{events[0], events[1], events[3]}); err != nil {
			return fmt.Errorf("the events beside the one that is too large: %w", err)
		}
		return nil
	}
}

// settles delivers events of which just these are poison.
func settles(s Sink, events []event.Event, bad []int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	poison, err := Deliver(ctx, s, events)
	switch {
	case err != nil:
		return fmt.Errorf("deliver %d events, %d of them bad: %w", len(events), len(bad), err)
	case !slices.Equal(poison, bad):
		return fmt.Errorf("poison is %v, want %v", poison, bad)
	}
	return nil
}
