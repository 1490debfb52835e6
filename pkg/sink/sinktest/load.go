package sinktest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// goroutines counts them while the peer is up and the sink idle, and again after all that may leave one behind.
func goroutines(_ testing.TB, s Sink, p Peer) error {
	before := runtime.NumGoroutine()
	for n, mode := range []Mode{Accept, Busy, CutAfter, Hang, Accept} {
		p.Set(mode)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		s.Send(ctx, small(s, 100*n, 3)) // whatever comes of it
		cancel()
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience / 2)
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-late:
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines before, %d after Close:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
	return nil
}

// stream sends many events of 1 KiB and watches the heap, which holds the peer too.
func stream(t testing.TB, s Sink, p Peer) error {
	const most = 128 << 20
	total := 20_000
	drainer, _ := p.(Drainer)
	switch {
	case *long && drainer == nil:
		t.Log("the peer cannot drain: -long is ignored")
	case *long:
		total = 1_000_000
	}
	var heap runtime.MemStats
	var peak uint64
	fill, began, bytes := strings.Repeat("lorem ipsum ", 70), time.Now(), 0
	for sent := 0; sent < total; {
		events := make([]event.Event, 0, 500)
		for i := range min(500, total-sent) {
			events = append(events, newEvent(sent+i, fill))
		}
		events = fitting(s, events)
		if err := send(s, events); err != nil {
			return fmt.Errorf("after %d events: %w", sent, err)
		}
		var got []Received
		if drainer != nil {
			got = drainer.Drain()
		} else if got = p.Received(); len(got) >= sent {
			got = got[sent:]
		}
		if err := exactly(got, events); err != nil {
			return fmt.Errorf("after %d events: %w", sent, err)
		}
		for i := range events {
			bytes += len(events[i].Body)
		}
		sent += len(events)
		runtime.ReadMemStats(&heap)
		peak = max(peak, heap.HeapAlloc)
	}
	took := time.Since(began)
	t.Logf("%d events, %.0f MiB in %s (%.0f events/s, peer and checks included), peak heap %.1f MiB",
		total, float64(bytes)/(1<<20), took.Round(time.Millisecond), float64(total)/took.Seconds(), float64(peak)/(1<<20))
	if peak > most {
		return fmt.Errorf("peak heap is %d MiB, want less than %d MiB", peak>>20, most>>20)
	}
	return nil
}
