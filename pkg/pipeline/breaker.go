package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

const (
	breakerWindow = 500         // verdicts that a breaker looks back at
	breakerFirst  = 20          // it opens from this one on
	breakerShare  = 5           // when more than one of so many is a refusal
	probeEvery    = time.Minute // while it is open
	probesMost    = 64          // letters that are tried in turn
)

// breaker is that of one stream at one sink. While it is open the stream's records are parked instead of sent: so many refusals
// speak of a fault of the mapping or of the index.
type breaker struct {
	bad  [(breakerWindow + 63) / 64]uint64 // one bit a verdict
	n    int                               // verdicts
	next int                               // bit
	sum  int                               // refusals among them

	open   bool
	since  time.Time
	reason string // of the last refusal
	what   string // why it is open
	probe  time.Time
	turn   int       // which of the parked letters is tried next
	newest time.Time // of the one that was parked last, zero once it was tried
	times  int       // probes refused
}

func (b *breaker) note(refused bool) {
	word, bit := &b.bad[b.next/64], uint64(1)<<(b.next%64)
	if b.n == breakerWindow && *word&bit != 0 {
		b.sum--
	}
	*word &^= bit
	if refused {
		*word |= bit
		b.sum++
	}
	b.next = (b.next + 1) % breakerWindow
	b.n = min(b.n+1, breakerWindow)
}

// breakers are those of one sink.
type breakers struct {
	mu   sync.Mutex
	of   map[event.StreamKey]*breaker
	open int
}

// stand opens those of the streams that have parked letters from before.
func (bs *breakers) stand(state event.LaneState, now time.Time) {
	bs.of = map[event.StreamKey]*breaker{}
	for key, n := range state.Parked {
		if n > 0 {
			bs.of[key] = &breaker{open: true, since: now, probe: now, what: "events were parked before the last start"}
			bs.open++
		}
	}
}

func (bs *breakers) get(key event.StreamKey) *breaker {
	b := bs.of[key]
	if b == nil {
		b = &breaker{}
		bs.of[key] = b
	}
	return b
}

// took notes n events that were accepted.
func (bs *breakers) took(key event.StreamKey, n int) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for b := bs.get(key); n > 0 && !b.open; n-- {
		b.note(false)
	}
}

// refused notes an event that was not. It tells whether the breaker was open before, and whether it has opened now.
func (bs *breakers) refused(key event.StreamKey, reason string, now time.Time) (was, is bool) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.get(key)
	if b.open {
		b.reason = reason
		return true, true
	}
	b.note(true)
	if b.n < breakerFirst || b.sum*breakerShare <= b.n {
		return false, false
	}
	b.open, b.since, b.reason, b.probe, b.turn = true, now, reason, now.Add(probeEvery), 0
	b.what = fmt.Sprintf("%d of the last %d events were refused", b.sum, b.n)
	bs.open++
	return false, true
}

// any tells whether one is open.
func (bs *breakers) any() bool {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return bs.open > 0
}

func (bs *breakers) isOpen(key event.StreamKey) bool {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.of[key]
	return b != nil && b.open
}

func (bs *breakers) reason(key event.StreamKey) string {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b := bs.of[key]; b != nil {
		return cmp.Or(b.reason, b.what)
	}
	return ""
}

// due gives a stream whose breaker is to be probed now, and with which of its letters; else when the next one is due, zero for never.
func (bs *breakers) due(now time.Time) (key event.StreamKey, turn int, at time.Time) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for k, b := range bs.of {
		if b.open && (at.IsZero() || b.probe.Before(at)) {
			key, turn, at = k, b.turn, b.probe
		}
	}
	return key, turn, at
}

// parked notes that a record was. It tells whether its stream's breaker is still open.
func (bs *breakers) parked(r *event.Record) bool {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.of[r.Key]
	if b == nil || !b.open {
		return false
	}
	b.newest = r.Time
	return true
}

// fresh gives, at every other turn, the time of the record that was parked last, unless that was tried: those before it may all be bad.
func (bs *breakers) fresh(key event.StreamKey, turn int) (at time.Time) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b := bs.of[key]; b != nil && turn%2 == 1 {
		at, b.newest = b.newest, time.Time{}
	}
	return at
}

// probed notes that a probe was refused, or could not be made.
func (bs *breakers) probed(key event.StreamKey, turn int, reason string, next time.Time) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.get(key)
	b.turn, b.probe = turn%probesMost, next
	if reason != "" {
		b.reason = reason
		b.times++
	}
}

// shut lets the stream's events pass again and forgets its window.
func (bs *breakers) shut(key event.StreamKey) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b := bs.of[key]; b != nil && b.open {
		delete(bs.of, key)
		bs.open--
	}
}

// report names what is parked, and why.
func (bs *breakers) report(faults []Fault, sink string, waiting map[event.StreamKey]uint64, names map[event.StreamKey]string) []Fault {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if bs.open == 0 {
		return faults
	}
	for _, key := range slices.SortedFunc(maps.Keys(bs.of), func(a, b event.StreamKey) int { return cmp.Compare(a.String(), b.String()) }) {
		b := bs.of[key]
		if !b.open {
			continue
		}
		name := names[key]
		if name == "" {
			name = key.String()
		}
		why := ""
		if b.reason != "" {
			why = "; the last refusal: " + b.reason
		}
		faults = append(faults, Fault{Part: "sink " + sink, Blocked: true, Since: b.since, Times: b.times + 1, Err: fmt.Sprintf(
			"stream %s: %s; its events are parked (%d wait) and one is tried every minute%s", name, b.what, waiting[key], why)})
	}
	return faults
}
