package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// TestSeveralAtOnce: as many as the sink takes, which may change, and never more than so many bytes.
func TestSeveralAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 400)
		sink := &crowd{limits: event.Limits{Events: 10, InFlight: 3}, delay: func([]string) time.Duration { return time.Second }}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(2500 * time.Millisecond)
		sends, _ := sink.count()
		sink.mu.Lock()
		if sink.most != 3 || sends != 9 {
			t.Errorf("%d at once, %d sends in three rounds", sink.most, sends)
		}
		sink.limits.InFlight = 1
		sink.mu.Unlock()
		pause(time.Second)
		sink.mu.Lock()
		sink.most = 0
		sink.mu.Unlock()
		pause(10 * time.Second)
		stop()
		if sink.most != 1 {
			t.Errorf("%d at once, the sink takes one now", sink.most)
		}
	})
}

// TestBytesInFlightAreBounded: a Send that hangs does not have the whole journal rendered behind it.
func TestBytesInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		for i := range 60 {
			raw := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
			m.Append(t.Context(), event.PageCommit{Key: audits, Records: []event.Record{{Key: audits, ID: fmt.Sprint(i), Raw: raw}}})
		}
		hangs := func(ids []string) time.Duration {
			if ids[0] == "0" {
				return time.Hour
			}
			return time.Second
		}
		sink := &crowd{limits: event.Limits{Bytes: 1 << 20, InFlight: 1000}, delay: hangs}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Minute)
		if sends, _ := sink.count(); sends < 10 || sends > 17 {
			t.Errorf("%d sends beside one that hangs", sends)
		}
		pause(2 * time.Hour)
		stop()
		if sink.mostB > 17<<20 {
			t.Errorf("%d MiB at once", sink.mostB>>20)
		}
		if _, got := sink.count(); got != 60 {
			t.Errorf("%d of 60 arrived", got)
		}
	})
}

// TestAFailureLeavesOneAtATime until one has gone well; then there are more, one by one.
func TestAFailureLeavesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 1000)
		sink := &crowd{limits: event.Limits{Events: 1, InFlight: 8}, delay: func([]string) time.Duration { return time.Second }}
		down := true
		sink.reply = func([]string) error {
			if down {
				return errDown
			}
			return nil
		}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(1100 * time.Millisecond)
		sink.mu.Lock()
		if sink.most != 8 {
			t.Errorf("%d at once at first", sink.most)
		}
		sink.most = 0
		sink.mu.Unlock()
		pause(10 * time.Second)
		sink.mu.Lock()
		if sink.most != 1 {
			t.Errorf("%d at once while it fails", sink.most)
		}
		down = false
		sink.mu.Unlock()
		var widths []int
		for range 60 {
			pause(time.Second)
			sink.mu.Lock()
			if n := len(widths); sink.now > 0 && (n == 0 || widths[n-1] != sink.now) {
				widths = append(widths, sink.now)
			}
			sink.mu.Unlock()
		}
		stop()
		if !slices.IsSorted(widths) || widths[len(widths)-1] != 8 || len(widths) < 7 {
			t.Errorf("widths %v", widths)
		}
	})
}

// TestABlipCostsHalf: after a single failure half of the Sends come back at once, not one by one.
func TestABlipCostsHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 1000)
		sink := &crowd{limits: event.Limits{Events: 1, InFlight: 8}, delay: func([]string) time.Duration { return time.Second }}
		failed := false
		sink.reply = func([]string) error {
			if !failed {
				failed = true
				return errDown
			}
			return nil
		}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second + time.Millisecond) // the first round: one has failed
		var widths []int
		for range 12 {
			pause(500 * time.Millisecond)
			sink.mu.Lock()
			widths = append(widths, sink.now)
			sink.mu.Unlock()
		}
		stop()
		if !slices.Contains(widths, 4) || slices.Contains(widths, 2) || slices.Contains(widths, 3) {
			t.Errorf("widths %v, want 1, then 4 and more", widths)
		}
	})
}

// TestNoPauseBesideABadEvent: events that have no verdict because of another one are sent again at once, and it is nobody's trouble. A
// reply that says so of every event says nothing, and is paced like a failure.
func TestNoPauseBesideABadEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 10)
		silly := false
		sink := &crowd{limits: event.Limits{Events: 10, InFlight: 1}}
		sink.reply = func(ids []string) error {
			failed := map[int]error{}
			for i, id := range ids {
				failed[i] = fault.Again(errors.New("not settled"))
				if id == "3" && !silly {
					failed[i] = fault.Refuse(errors.New("bad"), "")
				}
			}
			if !silly && !slices.Contains(ids, "3") {
				return nil
			}
			return fault.Some(failed)
		}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Millisecond)
		sends, got := sink.count()
		if sends != 2 || got != 9 {
			t.Errorf("%d sends, %d arrived at once", sends, got)
		}
		if faults := p.Status().Faults; len(faults) > 0 {
			t.Errorf("faults %+v", faults)
		}
		sink.mu.Lock()
		silly = true
		sink.mu.Unlock()
		m.put(10, 5)
		p.ring.added.Broadcast()
		pause(time.Minute)
		stop()
		if n, _ := sink.count(); n < 5 || n > 20 {
			t.Errorf("%d sends in a minute of nothing", n)
		}
	})
}

// TestAPauseHoldsForAll that are not under way yet.
func TestAPauseHoldsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 100)
		asked := false
		sink := &crowd{limits: event.Limits{Events: 5, InFlight: 4}, delay: func([]string) time.Duration { return time.Second }}
		sink.reply = func([]string) error {
			if !asked {
				asked = true
				return fault.After(time.Minute, errDown)
			}
			return nil
		}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Minute)
		if sends, _ := sink.count(); sends != 4 {
			t.Errorf("%d sends during the pause, want the 4 that were under way", sends)
		}
		pause(time.Minute)
		stop()
		if _, got := sink.count(); got != 100 {
			t.Errorf("%d of 100 arrived", got)
		}
	})
}

// TestTooLarge: what was too large is split, the next ones are smaller and grow again. One event that is too large alone is a dead
// letter and changes nothing for the others.
func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 5000)
		most := 30
		sink := &crowd{limits: event.Limits{Events: 100}}
		sink.reply = func(ids []string) error {
			if len(ids) > most || ids[0] == "4321" || slices.Contains(ids, "4321") {
				return fault.TooLarge(errors.New("http status 413"), "")
			}
			return nil
		}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		stop()
		if len(m.letters) != 1 || m.letters[0].Record.ID != "4321" || m.sums[audits].Settled() != 5000 {
			t.Errorf("%d letters, %+v", len(m.letters), m.sums)
		}
		refusedSends := 0
		for _, s := range sink.sends {
			if len(s) > most {
				refusedSends++
			}
		}
		if refusedSends > 40 || len(sink.sends) > 400 {
			t.Errorf("%d of %d sends were too large", refusedSends, len(sink.sends))
		}
		if p.Status().Sinks[0].BatchEvents == 0 {
			t.Error("the status tells no batch size")
		}
	})
}
