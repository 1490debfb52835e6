package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

const interval = 2 * time.Second

// spacing is what lies between two requests at least.
const spacing = interval + interval/margin

// sender lets requests leave through a Limiter and notes them.
type sender struct {
	*Limiter
	t *testing.T

	mu   sync.Mutex
	left []departure
}

type departure struct {
	class  event.Class
	at     time.Time
	waited int // requests of others that left meanwhile
}

func newSender(t *testing.T, o Options) *sender {
	if o.Interval == 0 {
		o.Interval = interval
	}
	return &sender{Limiter: New(o), t: t}
}

func (s *sender) send(ctx context.Context, class event.Class) bool {
	s.mu.Lock()
	before := len(s.left)
	s.mu.Unlock()
	err := s.Wait(ctx, class, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return false
	}
	s.left = append(s.left, departure{class, time.Now(), len(s.left) - before})
	return true
}

// crowd has n requests of a class waiting at any time until ctx ends.
func (s *sender) crowd(ctx context.Context, n int, class event.Class) {
	for range n {
		go func() {
			for s.send(ctx, class) {
			}
		}()
	}
}

// over waits for ctx to end and for those who sleep meanwhile to notice.
func over(ctx context.Context) {
	<-ctx.Done()
	time.Sleep(5 * time.Minute)
	synctest.Wait()
}

// count tells how many left, per class.
func count(left []departure) (n [event.Classes]int) {
	for _, d := range left {
		n[d.class]++
	}
	return n
}

// checkSpacing wants no two requests nearer than the spacing, and at most 5 that arrive in any 10 s after up to 150 ms each.
func (s *sender) checkSpacing(rng *rand.Rand) {
	s.t.Helper()
	var arrived []time.Time
	for i, d := range s.left {
		if i > 0 && d.at.Sub(s.left[i-1].at) < spacing {
			s.t.Fatalf("request %d left %s after the one before", i, d.at.Sub(s.left[i-1].at))
		}
		arrived = append(arrived, d.at.Add(time.Duration(rng.Int64N(int64(150*time.Millisecond)))))
	}
	slices.SortFunc(arrived, time.Time.Compare)
	for i := 5; i < len(arrived); i++ {
		if d := arrived[i].Sub(arrived[i-5]); d < 10*time.Second {
			s.t.Fatalf("six requests arrived within %s", d)
		}
	}
}

// TestSpacing: whatever the load, requests leave evenly spaced, and a budget that is wanted is used.
func TestSpacing(t *testing.T) {
	for name, c := range map[string]struct {
		load  func(ctx context.Context, s *sender, rng *rand.Rand)
		least int // requests in an hour
	}{
		"a crowd": {func(ctx context.Context, s *sender, _ *rand.Rand) { s.crowd(ctx, 50, event.ClassBackfill) }, 1764},
		"all classes": {func(ctx context.Context, s *sender, _ *rand.Rand) {
			for class := range event.Classes {
				s.crowd(ctx, 3, class)
			}
		}, 1764},
		"bursts": {func(ctx context.Context, s *sender, rng *rand.Rand) {
			for ctx.Err() == nil {
				for range rng.IntN(20) {
					go s.send(ctx, event.Class(rng.IntN(int(event.Classes))))
				}
				time.Sleep(time.Duration(rng.Int64N(int64(time.Minute))))
			}
		}, 500},
		"now and then": {func(ctx context.Context, s *sender, rng *rand.Rand) {
			for s.send(ctx, event.ClassLive) {
				time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Second))))
			}
		}, 500},
		"waiters that give up": {func(ctx context.Context, s *sender, rng *rand.Rand) {
			for ctx.Err() == nil {
				short, cancel := context.WithTimeout(ctx, time.Duration(rng.Int64N(int64(8*time.Second))))
				go func() { s.send(short, event.ClassReread); cancel() }()
				time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
			}
		}, 1600},
		"refusals": {func(ctx context.Context, s *sender, rng *rand.Rand) {
			for range 4 {
				go func() {
					for s.send(ctx, event.ClassCatchup) {
						if sent := time.Now(); rng.IntN(10) == 0 {
							s.Throttled(sent, time.Duration(rng.Int64N(int64(20*time.Second))), true)
						}
					}
				}()
			}
		}, 700},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				s, rng := newSender(t, Options{}), rand.New(rand.NewPCG(1, 1))
				c.load(ctx, s, rng)
				over(ctx)
				s.checkSpacing(rng)
				if len(s.left) < c.least {
					t.Errorf("%d requests in an hour, want %d", len(s.left), c.least)
				}
			})
		})
	}
}

func TestResumed(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			began, want := time.Now(), time.Duration(0)
			if resumed {
				want = spacing
			}
			s := newSender(t, Options{Resumed: resumed})
			s.send(t.Context(), event.ClassLive)
			if d := s.left[0].at.Sub(began); d != want {
				t.Errorf("resumed %v: the first request left after %s, want %s", resumed, d, want)
			}
		})
	}
}

func TestWiden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, Options{})
		s.send(t.Context(), event.ClassLive)
		s.Widen(10 * time.Second)
		s.Widen(time.Second)
		for range 2 {
			s.send(t.Context(), event.ClassLive)
		}
		for i := range 2 {
			if d := s.left[i+1].at.Sub(s.left[i].at); d != spaced(10*time.Second) {
				t.Errorf("%s between two requests", d)
			}
		}
	})
}

// TestFIFO: within a class whoever came first leaves first, and who gives up makes room at once.
func TestFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, Options{})
		began := time.Now()
		var order []int
		for i := range 10 {
			ctx := t.Context()
			if i == 0 || i == 4 {
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				ctx = short
			}
			go func() {
				if s.send(ctx, event.ClassReread) {
					s.mu.Lock()
					defer s.mu.Unlock()
					order = append(order, i)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []int{0, 1, 2, 3, 5, 6, 7, 8, 9}; !slices.Equal(order, want) {
			t.Errorf("they left in the order %v", order)
		}
		if d := s.left[8].at.Sub(began); d != 8*spacing {
			t.Errorf("the last one left after %s: a place stayed empty", d)
		}
	})
}

// TestCancel: whoever is woken and gives up in the same moment does not use up the turn.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, Options{})
		s.send(t.Context(), event.ClassLive)
		for range 100 {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Until(s.left[len(s.left)-1].at.Add(spacing)))
			go s.send(ctx, event.ClassLive) // its time is over when its turn comes
			synctest.Wait()
			n := len(s.left)
			s.send(t.Context(), event.ClassBackfill)
			synctest.Wait()
			cancel()
			if d := time.Since(began); len(s.left) == n+1 && d != spacing {
				t.Fatalf("the next one left after %s", d)
			}
			s.left = s.left[len(s.left)-1:]
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Wait(ctx, event.ClassLive, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
	})
}

// TestIdle: a limiter that nobody waits for is a little memory, also after a crowd.
func TestIdle(t *testing.T) {
	const n = 1000
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	goroutines, before := runtime.NumGoroutine(), heap()
	var all [n]*Limiter
	for i := range all {
		all[i] = New(Options{Interval: time.Microsecond})
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { _ = all[i].Wait(context.Background(), event.ClassLive, 0) })
		}
		group.Wait()
	}
	if each := (heap() - before) / n; each > 1024 {
		t.Errorf("%d bytes each", each)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 0 {
		t.Errorf("%d goroutines", more)
	}
	runtime.KeepAlive(&all)
}

// TestPace: another interval holds for who waits already, and from the last request on.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Interval: 10 * time.Second})
		began := time.Now()
		var left []time.Duration
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 4 {
				if err := l.Wait(t.Context(), event.ClassLive, 0); err != nil {
					t.Error(err)
				}
				left = append(left, time.Since(began))
			}
		}()
		time.Sleep(time.Second)
		l.Pace(5 * time.Second)
		time.Sleep(6 * time.Second) // the second one left after 5.1 s
		l.Pace(20 * time.Second)
		<-done
		for i, want := range []time.Duration{0, 5100, 25500, 45900} {
			if left[i] != want*time.Millisecond {
				t.Errorf("request %d left after %s, want %s", i, left[i], want*time.Millisecond)
			}
		}
	})
}
