// Package retry paces what is tried again: how long to wait is decided by the class of the last error (package fault) and by
// how often it has come in a row. Nothing here ever gives up; giving up is a named decision of somebody else.
package retry

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/logferry/logferry/pkg/fault"
)

// Options bound the pauses. Zero values take the defaults.
type Options struct {
	First        time.Duration // pause after the first retryable error; default 500ms
	Most         time.Duration // longest pause after retryable errors; default 30s
	FirstBlocked time.Duration // pause after the first error that an operator has to mend; default 15s, Blocked if that is less
	Blocked      time.Duration // longest pause while an operator has something to mend; default 5m
}

// Pacer paces the retries of one thing. It is not safe for concurrent use.
type Pacer struct {
	retryable *backoff.ExponentialBackOff
	blocked   *backoff.ExponentialBackOff
}

// New makes a Pacer: exponential growth by two with a jitter of 30 %, without an end.
func New(o Options) *Pacer {
	first, most, blocked := or(o.First, 500*time.Millisecond), or(o.Most, 30*time.Second), or(o.Blocked, 5*time.Minute)
	return &Pacer{
		retryable: exponential(first, most),
		blocked:   exponential(min(or(o.FirstBlocked, 15*time.Second), blocked), blocked),
	}
}

func exponential(first, most time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first),
		backoff.WithMaxInterval(most),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.3),
		backoff.WithMaxElapsedTime(0),
	)
}

func or(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}

// Next tells how long to wait after err. A pause that the peer has asked for is kept to.
func (p *Pacer) Next(err error) time.Duration {
	if fault.Of(err) == fault.Blocked {
		pause := p.blocked.NextBackOff()
		if most := fault.Pause(err); most > 0 {
			return min(pause, most)
		}
		return pause
	}
	pause := p.retryable.NextBackOff()
	if asked := fault.Pause(err); asked > 0 {
		return asked
	}
	return pause
}

// Reset starts anew after a success.
func (p *Pacer) Reset() {
	p.retryable.Reset()
	p.blocked.Reset()
}

// Sleep waits for d or for the end of ctx, whose error it gives then.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
