// Package budget shares out the requests that one app registration may send in one tenant: how often one may leave, whose
// turn it is, and when all have to pause.
package budget

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// Options are the budget of one app registration in one tenant.
type Options struct {
	Interval time.Duration // between two requests
	// Resumed makes the first request wait for one interval, because a process that has just ended may have sent one: without
	// that a quick restart could bring six into 10 s.
	Resumed bool
}

// margin is the part of the interval that is added to it: six requests that leave exactly 2 s apart arrive within less than
// 10 s as soon as the first of them takes longer on its way than the last.
const margin = 50

func spaced(interval time.Duration) time.Duration { return interval + interval/margin }

// Limiter lets requests leave one by one, evenly spaced, because the service counts in windows that nobody knows the edges of.
// It is safe for use by many goroutines. It has no goroutine of its own; while nobody waits it is memory only.
type Limiter struct {
	mu       sync.Mutex
	interval time.Duration // the margin included
	next     time.Time     // nobody sends before: the last request would be too near
	timer    *time.Timer   // for the moment at which the next request may leave; nil while none is needed
	turn     *waiter       // has been woken to send and has not left the queue yet; nil for none
	queues   queues
	pause    pause
	granted  [event.Classes]uint64
}

// waiter is one request that has not left yet. It stays in its queue until it leaves.
type waiter struct {
	class event.Class
	rank  time.Duration
	woken chan struct{} // holds one element when it is its turn
}

// New makes a Limiter.
func New(o Options) *Limiter {
	l := &Limiter{interval: spaced(o.Interval)}
	if o.Resumed {
		l.next = time.Now().Add(l.interval)
	}
	return l
}

// Widen makes the interval at least this long: of several budgets for one app registration the smallest holds.
func (l *Limiter) Widen(interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wider := spaced(interval); wider > l.interval {
		l.next = l.next.Add(wider - l.interval)
		l.interval = wider
	}
}

// Pace makes the interval another one, for who waits already, too.
func (l *Limiter) Pace(interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = l.next.Add(spaced(interval) - l.interval)
	l.interval = spaced(interval)
	l.serve()
}

// Wait returns when the caller may send its request, or with ctx's error. Those who wait when a request may leave get it by
// the shares of their classes, within a class those of the highest rank first, and equals in the order in which they came. Who
// leaves with an error gives its place away.
func (l *Limiter) Wait(ctx context.Context, class event.Class, rank time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{class: min(class, event.Classes-1), rank: rank, woken: make(chan struct{}, 1)}
	l.join(w)
	for {
		select {
		case <-w.woken:
			if ctx.Err() == nil && l.take(w) {
				return nil
			}
		case <-ctx.Done():
			l.leave(w)
			return ctx.Err()
		}
	}
}

func (l *Limiter) join(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues.add(w)
	l.serve()
}

// take lets w send now. It is false if a reply has asked for a pause since w was woken: then w waits on, in its old place.
// The clock is read here and not where w was woken: what counts is when requests leave, however late a goroutine runs.
func (l *Limiter) take(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.serve()
	l.turn = nil
	now := time.Now()
	if l.rest(now) > 0 {
		return false
	}
	l.queues.charge(w.class)
	l.queues.remove(w)
	l.granted[w.class]++
	l.next = now.Add(l.interval)
	return true
}

func (l *Limiter) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues.remove(w)
	if l.turn == w {
		l.turn = nil
	}
	l.serve()
}

// serve wakes the next waiter, now or by a timer as soon as a request may leave. The caller holds the mutex.
func (l *Limiter) serve() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	first := l.queues.choose()
	if first == nil || l.turn != nil {
		return
	}
	if d := l.rest(time.Now()); d > 0 {
		l.timer = time.AfterFunc(d, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.serve()
		})
		return
	}
	l.turn = first
	first.woken <- struct{}{}
}

// rest is how long nobody may send.
func (l *Limiter) rest(now time.Time) time.Duration {
	return max(l.next.Sub(now), l.pause.until.Sub(now))
}

// queues hold those who wait, per class the first one first, and how the classes stand.
type queues struct {
	waiting [event.Classes][]*waiter
	credit  [event.Classes]int
}

// add puts w behind those that it does not overtake.
func (q *queues) add(w *waiter) {
	queue := q.waiting[w.class]
	at := len(queue)
	for at > 0 && queue[at-1].rank < w.rank {
		at--
	}
	q.waiting[w.class] = slices.Insert(queue, at, w)
}

func (q *queues) remove(w *waiter) {
	queue := q.waiting[w.class]
	if i := slices.Index(queue, w); i >= 0 {
		queue = slices.Delete(queue, i, i+1)
	}
	if len(queue) == 0 {
		queue = nil // a crowd's memory goes with it
	}
	q.waiting[w.class] = queue
}
