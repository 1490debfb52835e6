package budget

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// TestPauseHoldsEverybody: after a refusal no request of any class leaves before its time, and no burst follows.
func TestPauseHoldsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		s := newSender(t, Options{})
		for class := range event.Classes {
			s.crowd(ctx, 2, class)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		from, sent := len(s.left), time.Now()
		if d := s.Throttled(sent, 30500*time.Millisecond, true); d != 30500*time.Millisecond {
			t.Errorf("pause %s", d)
		}
		// A shorter one that is asked for meanwhile ends nothing early.
		time.Sleep(10 * time.Second)
		if d := s.Throttled(sent, time.Second, true); d != 20500*time.Millisecond {
			t.Errorf("rest of the pause %s", d)
		}
		st := s.Stats()
		if st.Paused != 10*time.Second || st.Throttled != 2 || !st.PausedUntil.Equal(sent.Add(30500*time.Millisecond)) || st.Interval != spacing {
			t.Errorf("stats %+v", st)
		}
		over(ctx)
		if d := s.left[from].at.Sub(sent); d != 30500*time.Millisecond {
			t.Errorf("the next request left after %s", d)
		}
		for i := from + 1; i < len(s.left); i++ {
			if d := s.left[i].at.Sub(s.left[i-1].at); d < spacing {
				t.Errorf("request %d left %s after the one before", i, d)
			}
		}
		if st := s.Stats(); st.Paused != 30500*time.Millisecond || !st.PausedUntil.IsZero() || st.Waiting != [event.Classes]int{} {
			t.Errorf("stats %+v", st)
		}
		if want := count(s.left); s.Stats().Granted != [event.Classes]uint64{uint64(want[0]), uint64(want[1]), uint64(want[2]), uint64(want[3]), uint64(want[4])} {
			t.Errorf("granted %v, want %v", s.Stats().Granted, want)
		}
	})
}

// TestPauseOfTheMoment: a pause that is asked for after a waiter was woken and before it has left still holds it up, in its place.
func TestPauseOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Interval: interval})
		w := &waiter{class: live, woken: make(chan struct{}, 1)}
		l.join(w) // it is woken, but its goroutine does not run yet
		if len(w.woken) != 1 {
			t.Fatal("nobody was woken")
		}
		began := time.Now()
		l.Throttled(began, 10*time.Second, true)
		var behind atomic.Bool
		go func() { behind.Store(l.Wait(t.Context(), live, 0) == nil) }()
		synctest.Wait()
		if <-w.woken; l.take(w) {
			t.Fatal("it was let go in a pause")
		}
		if l.Stats().Waiting[live] != 2 {
			t.Error("it has lost its place")
		}
		<-w.woken
		if d := time.Since(began); !l.take(w) || d != 10*time.Second || behind.Load() {
			t.Errorf("woken after %s, overtaken %v", d, behind.Load())
		}
		time.Sleep(spacing)
		synctest.Wait()
		if !behind.Load() {
			t.Error("the one behind it waits for ever")
		}
	})
}

// TestPauseGrows: without a length of the service's own pauses double from 2 s to a minute, and start again after a success.
func TestPauseGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Interval: time.Millisecond})
		send := func() time.Time {
			if err := l.Wait(t.Context(), live, 0); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}
		for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			if got := l.Throttled(send(), 0, false); got != want*time.Second {
				t.Errorf("pause %s, want %s", got, want*time.Second)
			}
		}
		l.Passed(send())
		together := send()
		for range 3 { // refusals of requests that were under way together
			if got := l.Throttled(together, 0, false); got > 2*time.Second {
				t.Errorf("pause %s after a success, want 2s", got)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		l.Passed(together) // a reply that was overtaken says nothing about what is allowed now
		if got := l.Throttled(send(), 0, false); got != 4*time.Second {
			t.Errorf("pause %s after another one, want 4s", got)
		}
	})
}

// TestWaitEndsWithContext also in a pause, and for those whose turn has not come.
func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, Options{Interval: time.Hour})
		s.send(t.Context(), live)
		for _, pause := range []time.Duration{0, 3 * time.Hour} {
			s.Throttled(time.Now(), pause, true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			began := time.Now()
			if s.send(ctx, live) || time.Since(began) != time.Minute {
				t.Errorf("the wait ended after %s", time.Since(began))
			}
			cancel()
		}
	})
}
