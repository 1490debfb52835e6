package budget

import (
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// The pauses after a refusal that names none, doubled from one to the next.
const (
	firstPause   = 2 * time.Second
	longestPause = 60 * time.Second
)

// pause is what the service has asked for. It holds up everybody: refused requests count against the quota, too.
type pause struct {
	until  time.Time     // nobody sends before
	since  time.Time     // when the last one was asked for
	streak int           // pauses in a row without a length of the service's own
	total  time.Duration // of all, the rest of the present one included
	count  uint64        // replies that asked for one
}

// Throttled notes a reply that asks to pause: for after, or where named is false for as long as it takes. sent is when its
// request was sent; several refusals of requests that were on their way together count as one. It returns how long the pause lasts.
func (l *Limiter) Throttled(sent time.Time, after time.Duration, named bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, now := &l.pause, time.Now()
	if !named {
		if p.streak == 0 || sent.After(p.since) {
			p.streak++
		}
		after = longestPause
		if shift := p.streak - 1; shift < 5 {
			after = min(firstPause<<shift, longestPause)
		}
	}
	p.since = now
	p.count++
	if until := now.Add(after); until.After(p.until) {
		p.total += min(after, until.Sub(p.until))
		p.until = until
	}
	return p.until.Sub(now)
}

// Passed notes a reply that was not refused to a request sent then.
func (l *Limiter) Passed(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.pause.since) {
		l.pause.streak = 0
	}
}

// Stats is how a budget is used. The part of it that was used in a stretch of time is the requests granted in it, times
// Interval, divided by its length.
type Stats struct {
	Granted     [event.Classes]uint64 // requests that were let go
	Waiting     [event.Classes]int    // requests that wait now
	Paused      time.Duration         // spent in pauses that the service asked for
	Throttled   uint64                // replies that asked for a pause
	PausedUntil time.Time             // zero: no pause now
	Interval    time.Duration         // between two requests, our own margin included
}

// Stats counts since New.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Granted: l.granted, Paused: l.pause.total, Throttled: l.pause.count, Interval: l.interval}
	for class, queue := range l.queues.waiting {
		s.Waiting[class] = len(queue)
	}
	if rest := time.Until(l.pause.until); rest > 0 {
		s.Paused -= rest
		s.PausedUntil = l.pause.until
	}
	return s
}
