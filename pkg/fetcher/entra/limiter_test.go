package entra

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSpacing: requests of all readers together leave one by one, evenly spaced, at most 5 in any 10 s.
func TestSpacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, auditPage(0, 1, "")), nil }}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, _, err := all(t.Context(), f, auditSlice()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for i := 1; i < len(a.at); i++ {
			if d := a.at[i].Sub(a.at[i-1]); d < 2*time.Second+30*time.Millisecond || d > 2*time.Second+50*time.Millisecond {
				t.Errorf("request %d came %s after the one before", i, d)
			}
		}
		if len(a.at) != 20 || a.tokens != 1 {
			t.Errorf("%d requests, %d tokens", len(a.at), a.tokens)
		}
	})
}

// TestPauseHoldsAll: a 429 to one reader holds up all others for as long as it says.
func TestPauseHoldsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, first := &api{}, true
		a.serve = func(*http.Request) (*http.Response, error) {
			if first {
				first = false
				time.Sleep(time.Second) // the others are waiting for their turn by now
				return respond(429, map[string]string{"Retry-After": "30.5"}, ""), nil
			}
			return respond(200, nil, auditPage(0, 1, "")), nil
		}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() { _, _, _ = all(t.Context(), f, auditSlice()) })
		}
		group.Wait()
		if len(a.at) != 5 {
			t.Fatalf("%d requests", len(a.at))
		}
		if d := a.at[1].Sub(a.at[0]); d < 31500*time.Millisecond || d > 45*time.Second {
			t.Errorf("the next request came after %s", d)
		}
		for i := 2; i < len(a.at); i++ {
			if d := a.at[i].Sub(a.at[i-1]); d < 2*time.Second-time.Millisecond {
				t.Errorf("request %d came %s after the one before: a burst behind the pause", i, d)
			}
		}
	})
}

// TestPauseGrows: without Retry-After pauses double from 2 s to a minute, and start again after a success.
func TestPauseGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(time.Millisecond)
		send := func() time.Time {
			if err := l.wait(t.Context(), "live"); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}
		for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			if got := l.throttled(send(), 0, false); got != want*time.Second {
				t.Errorf("pause %s, want %s", got, want*time.Second)
			}
		}
		l.passed(send())
		together := send()
		for range 3 { // refusals of requests that were under way together
			if got := l.throttled(together, 0, false); got != 2*time.Second {
				t.Errorf("pause %s after a success, want 2s", got)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			l.until = time.Time{}
		}
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(time.Hour)
		if err := l.wait(t.Context(), "live"); err != nil {
			t.Fatal(err)
		}
		for _, pause := range []time.Duration{0, 3 * time.Hour} {
			l.throttled(time.Now(), pause, true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			began := time.Now()
			if err := l.wait(ctx, "live"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
				t.Errorf("wait ended after %s with %v", time.Since(began), err)
			}
			cancel()
		}
	})
}
