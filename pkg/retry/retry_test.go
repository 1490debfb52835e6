package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

func within(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want*7/10 || got > want*13/10 {
		t.Errorf("%s: pause %v, want %v give or take 30 %%", what, got, want)
	}
}

func TestPausesGrowAndAreBounded(t *testing.T) {
	p := New(Options{First: time.Second, Most: 8 * time.Second, Blocked: time.Minute})
	down := errors.New("connection refused")
	for _, want := range []time.Duration{1, 2, 4, 8, 8, 8} {
		within(t, "retryable", p.Next(down), want*time.Second)
	}
	for range 1000 {
		within(t, "for ever", p.Next(down), 8*time.Second)
	}
	p.Reset()
	within(t, "after a success", p.Next(down), time.Second)
	for _, want := range []time.Duration{15, 30, 60, 60} {
		within(t, "blocked", p.Next(fault.Block(down)), want*time.Second)
	}
	if got := p.Next(fault.After(2128*time.Millisecond, down)); got != 2128*time.Millisecond {
		t.Errorf("the peer asked for 2.128s, the pause is %v", got)
	}
}

// TestBlockedPauses: they begin where they are told to, and are no longer than the error allows.
func TestBlockedPauses(t *testing.T) {
	p, refused := New(Options{FirstBlocked: time.Minute, Blocked: time.Hour}), errors.New("refused")
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		within(t, "blocked", p.Next(fault.Block(refused)), want*time.Minute)
	}
	for range 10 {
		if got := p.Next(fault.Recheck(time.Minute, refused)); got != time.Minute {
			t.Errorf("to be looked at again within a minute, the pause is %v", got)
		}
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("slept %v, %v", time.Since(begun), err)
		}
		begun = time.Now()
		if err := Sleep(t.Context(), time.Second); err != nil || time.Since(begun) != time.Second {
			t.Errorf("slept %v, %v", time.Since(begun), err)
		}
	})
}
