package budget

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

const (
	live     = event.ClassLive
	catchup  = event.ClassCatchup
	behind   = event.ClassBehind
	reread   = event.ClassReread
	backfill = event.ClassBackfill
)

// TestShares: what each class gets of a busy hour, for several sets of classes that wait all the time.
func TestShares(t *testing.T) {
	for name, want := range map[string]map[event.Class]float64{
		"live alone":             {live: 1},
		"backfill alone":         {backfill: 1},
		"live and reread":        {live: 4. / 5, reread: 1. / 5},
		"live and backfill":      {live: 1. / 2, backfill: 1. / 2},
		"live and catchup":       {live: 1. / 2, catchup: 1. / 2},
		"live, reread, backfill": {live: 1. / 2, reread: 1. / 20, backfill: 9. / 20},
		"live, behind, reread":   {live: 1. / 2, behind: 9. / 20, reread: 1. / 20},
		"all":                    {live: 1. / 2, catchup: 15. / 68, behind: 9. / 68, reread: 1. / 68, backfill: 9. / 68},
		"all but live":           {catchup: 15. / 34, behind: 9. / 34, reread: 1. / 34, backfill: 9. / 34},
		"catchup and reread":     {catchup: 15. / 16, reread: 1. / 16},
	} {
		for _, crowd := range []int{1, 7} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					s := newSender(t, Options{})
					for class := range want {
						s.crowd(ctx, crowd, class)
					}
					over(ctx)
					n := count(s.left)
					for class := range event.Classes {
						got := float64(n[class]) / float64(len(s.left))
						if math.Abs(got-want[class]) > 0.02 {
							t.Errorf("%s has %.3f, want %.3f", class, got, want[class])
						}
					}
					if got := float64(n[backfill]) / float64(len(s.left)); want[backfill] > 0 && got < 0.1 {
						t.Errorf("backfill has %.3f", got)
					}
					// One request more than half where they come in turns.
					if half := (len(s.left) + 1) / 2; want[live] == 0.5 && n[live] > half {
						t.Errorf("live has %d of %d", n[live], len(s.left))
					}
				})
			})
		}
	}
}

// TestSharesOfThoseWhoComeAndGo: classes wait for some minutes and then not, each in its own rhythm. Of the requests that leave
// while another class with work of its own waits live has at most half, backfill a tenth, and nobody waits for long.
func TestSharesOfThoseWhoComeAndGo(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 12*time.Hour)
			defer cancel()
			s, rng := newSender(t, Options{}), rand.New(rand.NewPCG(seed, 2))
			s.crowd(ctx, 2, live)
			s.crowd(ctx, 2, backfill)
			for _, class := range []event.Class{catchup, behind, reread} {
				on, off := time.Duration(rng.Int64N(int64(time.Minute))), time.Duration(rng.Int64N(int64(3*time.Minute)))
				readers := 1 + rng.IntN(3)
				go func() {
					for ctx.Err() == nil {
						now, stop := context.WithTimeout(ctx, on)
						s.crowd(now, readers, class)
						<-now.Done()
						stop()
						time.Sleep(off)
					}
				}()
			}
			over(ctx)
			n := count(s.left)
			all := float64(len(s.left))
			if got := float64(n[live]) / all; got > 0.5+0.02 || got < 0.5-0.02 {
				t.Errorf("seed %d: live has %.3f of %v", seed, got, n)
			}
			if got := float64(n[backfill]) / all; got < 0.1 {
				t.Errorf("seed %d: backfill has %.3f of %v", seed, got, n)
			}
			for _, d := range s.left {
				if d.waited > 100 {
					t.Errorf("seed %d: %s waited for %d others", seed, d.class, d.waited)
				}
			}
		})
	}
}

// TestNothingIsSavedUp: a class that was away for an hour has no claim on what it did not want, one that came late has its
// share from its first minute.
func TestNothingIsSavedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := newSender(t, Options{})
		s.crowd(ctx, 3, live)
		s.crowd(ctx, 3, backfill)
		time.Sleep(time.Hour)
		synctest.Wait()
		from := len(s.left)
		s.crowd(ctx, 3, catchup)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		n, all := count(s.left[from:]), len(s.left)-from
		for class, want := range map[event.Class]float64{live: 1. / 2, catchup: 5. / 16, backfill: 3. / 16} {
			if got := float64(n[class]) / float64(all); math.Abs(got-want) > 0.02 {
				t.Errorf("%s has %.3f of the next five minutes, want %.3f", class, got, want)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// TestWhoLeavesTakesNothing: a class that gives up, however close to its turn or however soon after one, begins again from nothing.
func TestWhoLeavesTakesNothing(t *testing.T) {
	var q queues
	for _, class := range []event.Class{live, catchup, backfill} {
		q.waiting[class] = []*waiter{{class: class}}
	}
	for range 2 {
		q.charge(q.choose().class)
	}
	if q.credit[catchup] == 0 || q.credit[backfill] == 0 {
		t.Fatalf("nobody has or owes anything: %v", q.credit)
	}
	q.waiting[catchup], q.waiting[backfill] = nil, nil
	q.charge(live)
	if q.credit[catchup] != 0 || q.credit[backfill] != 0 {
		t.Errorf("kept: %v", q.credit)
	}
}

// TestOneAtATime: a source with one slice per class at a time, which takes three seconds for its page before it asks again,
// leaves nobody behind.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s := newSender(t, Options{})
		for class := range event.Classes {
			go func() {
				for s.send(ctx, class) {
					time.Sleep(3 * time.Second)
				}
			}()
		}
		over(ctx)
		n := count(s.left)
		if all := len(s.left); n[live] > all/2 || n[backfill] < all/10 || n[behind] < all/10 || n[catchup] < all/10 || n[reread] < all/100 {
			t.Errorf("%v of %d", n, all)
		}
	})
}
