package entra

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The pauses after a 429 that names none, doubled from one to the next.
const (
	firstPause   = 2 * time.Second
	longestPause = 60 * time.Second
)

// margin is the part of the interval that is added to it: six requests that leave exactly 2 s apart arrive within less than
// 10 s as soon as the first of them takes longer on its way than the last.
const margin = 50

// limiter is the budget of one app in one tenant: every request of a fetcher, whatever the stream, passes it. Requests leave
// one by one, evenly spaced, because the service counts in windows that nobody knows the edges of. A reply that asks for a
// pause holds up everybody: refused requests count against the quota, too.
type limiter struct {
	spacing *rate.Limiter

	mu     sync.Mutex
	until  time.Time // nobody sends before
	since  time.Time // when the last pause began
	streak int       // pauses in a row without a length of the service's own
}

func newLimiter(interval time.Duration) *limiter {
	return &limiter{spacing: rate.NewLimiter(rate.Every(interval+interval/margin), 1)}
}

// wait returns when the next request may be sent, or with ctx's error. reader is the slice's: classes of priority between
// readers are decided here once there are any; today all are served in the order of their arrival.
func (l *limiter) wait(ctx context.Context, reader string) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d := l.paused(); d > 0 {
			if err := sleep(ctx, d); err != nil {
				return err
			}
			continue
		}
		place := l.spacing.Reserve()
		if err := sleep(ctx, place.Delay()); err != nil {
			place.Cancel()
			return err
		}
		// A sibling may have been refused while this one waited for its turn.
		if l.paused() <= 0 {
			return nil
		}
	}
}

// throttled notes a reply that asks to pause: for after, or where named is false for as long as it takes. sent is when its
// request was sent; several refusals of requests that were on their way together count as one. It returns how long the pause lasts.
func (l *limiter) throttled(sent time.Time, after time.Duration, named bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !named {
		if l.streak == 0 || sent.After(l.since) {
			l.streak++
		}
		after = longestPause
		if shift := l.streak - 1; shift < 5 {
			after = min(firstPause<<shift, longestPause)
		}
	}
	l.since = now
	if until := now.Add(after); until.After(l.until) {
		l.until = until
	}
	return l.until.Sub(now)
}

// passed notes a reply that was not refused to a request sent then.
func (l *limiter) passed(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.since) {
		l.streak = 0
	}
}

func (l *limiter) paused() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.until)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
