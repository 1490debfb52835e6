package pipeline

import (
	"math"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
)

const (
	sickAfter  = 5  // failures of the same events in a row, before others are tried in their place
	growsAfter = 20 // Sends in a row that went well, before larger ones are tried
)

// pace is how fast a lane may go: how many Sends at once, how large, and when the next one.
type pace struct {
	limits event.Limits // as the sink last told them
	most   int          // Sends in flight that the sink takes
	width  int          // Sends in flight now, while that is less
	grown  int          // Sends that went well at this width
	after  int          // the width that the first success after a failure brings back
	until  time.Time    // no Send begins before
	pacer  *retry.Pacer
	epoch  int // of failures: what was sent before the last one says nothing new

	cutEvents int // most events of a Send, less than the sink's limit because it said that one was too large; 0: its limit
	cutBytes  int
	well      int // Sends that went well at this size
}

func newPace(limits event.Limits) pace {
	p := pace{width: math.MaxInt, pacer: retry.New(retry.Options{})}
	p.ask(limits)
	return p
}

func (p *pace) ask(limits event.Limits) { p.limits, p.most = limits, max(1, limits.InFlight) }

// at tells how many Sends there may be at once.
func (p *pace) at() int { return min(p.width, p.most) }

// wentWell brings half of the Sends back that there were before a failure, then one more after each full round, and larger ones after a
// while.
func (p *pace) wentWell() {
	p.pacer.Reset()
	if p.width < p.after {
		p.width, p.grown = p.after, 0
	} else if p.width < p.most {
		if p.grown++; p.grown >= p.width {
			p.width, p.grown = p.width+1, 0
		}
	} else {
		p.width = math.MaxInt
	}
	p.after = 0
	if p.cutEvents == 0 {
		return
	}
	if p.well++; p.well < growsAfter {
		return
	}
	p.well = 0
	p.cutEvents += p.cutEvents/4 + 1
	p.cutBytes += p.cutBytes/4 + 1
	if p.cutBytes >= bytesOf(p.limits) && (p.limits.Events == 0 || p.cutEvents >= p.limits.Events) {
		p.cutEvents, p.cutBytes = 0, 0
	}
}

// failed leaves one Send at once, until one has gone well, and tells how long to wait. The longer it fails, the fewer come back then.
func (p *pace) failed(err error, whole bool, now time.Time) time.Duration {
	if whole {
		p.after = max(p.at(), p.after) / 2
		p.width, p.grown = 1, 0
	}
	p.epoch++
	pause := p.pacer.Next(err)
	p.wait(pause, now)
	return pause
}

// failedToo is failed for a Send that began before the last failure: only a pause that the peer asked for is news.
func (p *pace) failedToo(err error, now time.Time) {
	if fault.Of(err) == fault.Retryable {
		p.wait(fault.Pause(err), now)
	}
}

func (p *pace) wait(pause time.Duration, now time.Time) {
	if until := now.Add(pause); until.After(p.until) {
		p.until = until
	}
}

// tooLarge makes the Sends to come half as large as one that was refused for its size. That of a single event says something about
// this event and nothing about the size: what was made smaller to find it is large again.
func (p *pace) tooLarge(events []event.Event) {
	p.well = 0
	if len(events) == 1 {
		p.cutEvents, p.cutBytes = 0, 0
		return
	}
	bytes := 0
	for i := range events {
		bytes += len(events[i].Body)
	}
	if half := len(events) / 2; p.cutEvents == 0 || half < p.cutEvents {
		p.cutEvents, p.cutBytes = half, max(1, bytes/2)
	}
}

// events is how many events a Send takes at most; 0: no limit.
func (p *pace) events() int {
	if p.cutEvents > 0 && (p.limits.Events == 0 || p.cutEvents < p.limits.Events) {
		return p.cutEvents
	}
	return p.limits.Events
}

// fit tells how many of the events make one Send.
func (p *pace) fit(events []event.Event) int {
	n := len(events)
	if most := p.events(); most > 0 {
		n = min(n, most)
	}
	most := p.limits.Bytes
	if p.cutBytes > 0 && (most == 0 || p.cutBytes < most) {
		most = p.cutBytes
	}
	bytes := 0
	for i := range events[:n] {
		if bytes += len(events[i].Body); most > 0 && bytes > most && i > 0 {
			return i
		}
	}
	return n
}
