package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// skipShare is the part of a full journal that is given back at once, so that a receiver that stays away costs a transaction
// now and then and not one for each page.
const skipShare = 16

const skipReason = "the journal was full"

// SkipOldest makes room in a full journal: the lanes of sinks (when_full: skip_oldest) give up the oldest batches, as many as
// hold a sixteenth of it, one at least. What they pass is counted as skipped, and a mark of each stream names the stretch, all in
// one transaction. No other lane is touched: as soon as one of them holds the oldest batch, skipping would give nothing back,
// and nothing is skipped. Nothing is skipped either while the journal only waits for batches to be deleted that all have passed;
// some of them are deleted then. The result tells what was given up, nil if nothing.
func (s *Store) SkipOldest(sinks []string) (skips []event.Skip, err error) {
	r := &request{point: "step"}
	r.apply = func(t *txn) error {
		for _, sink := range sinks {
			if t.lane(sink) == nil {
				return fmt.Errorf("%w: %s", ErrUnknownSink, sink)
			}
		}
		skips = t.skipOldest(sinks)
		r.durable = len(skips) > 0 || s.trimmable()
		return nil
	}
	if err := s.do(context.Background(), r); err != nil {
		return nil, fmt.Errorf("skip the oldest records: %w", err)
	}
	return skips, nil
}

func (t *txn) skipOldest(sinks []string) (skips []event.Skip) {
	lowest, waiting := t.nextSeq, t.nextSeq
	for _, sink := range t.sinks() {
		seq := t.position(sink).Seq
		lowest = min(lowest, seq)
		if !slices.Contains(sinks, sink) {
			waiting = min(waiting, seq)
		}
	}
	upTo := min(t.surplus(lowest), waiting)
	for _, sink := range sinks {
		if skip, ok := t.skipTo(sink, upTo); ok {
			skips = append(skips, skip)
		}
	}
	return skips
}

// surplus gives the seq that the lowest lane would have to go to for a full journal to be left with a sixteenth of room; 0 when
// the batches that some lane has yet to pass do not fill it.
func (t *txn) surplus(lowest uint64) uint64 {
	most := t.s.o.JournalMaxBytes
	held := t.s.used + t.addedBytes()
	t.entries(0, func(e *entry) bool {
		if e.seq < lowest {
			held -= int64(e.stored)
		}
		return e.seq < lowest
	})
	if held < most {
		return 0
	}
	upTo := uint64(0)
	t.entries(lowest, func(e *entry) bool {
		held -= int64(e.stored)
		upTo = e.seq + 1
		return held > most-most/skipShare
	})
	return upTo
}

// skipTo moves a lane to the beginning of batch upTo, unless it is there already.
func (t *txn) skipTo(sink string, upTo uint64) (event.Skip, bool) {
	l, to := t.lane(sink), event.Position{Seq: upTo}
	if !l.pos.Less(to) {
		return event.Skip{}, false
	}
	passed := t.between(l.pos, to)
	t.skip(sink, l, passed)
	skip := event.Skip{Sink: sink, To: to}
	for _, n := range passed {
		skip.Records += n
	}
	for key, marks := range t.stretches(sink, l.pos, upTo) {
		t.stream(key).addSkipped(marks)
		for _, m := range marks {
			skip.From = minTime(skip.From, m.From)
			if m.To.After(skip.Until) {
				skip.Until = m.To
			}
		}
	}
	l.pos = to
	return skip, true
}

// stretches gives for each stream the minutes of the batches from a place up to a batch, as marks. Re-readers put old records
// between new ones: one stretch from the first to the last would name days.
func (t *txn) stretches(sink string, from event.Position, upTo uint64) map[event.StreamKey][]event.Mark {
	marks := map[event.StreamKey][]event.Mark{}
	now := t.s.o.Now().UTC().Round(0)
	t.entries(from.Seq, func(e *entry) bool {
		if e.seq >= upTo {
			return false
		}
		if e.rest(from) == 0 {
			return true
		}
		key := t.keyOf(e)
		m := event.Mark{Kind: event.Skipped, Reader: sink, Reason: skipReason, At: now}
		m.From, m.To = e.stretch()
		// As a rule a batch goes on where the one before has ended: a million of them need not become a million marks first.
		if all := marks[key]; len(all) > 0 && !m.From.Before(all[len(all)-1].From) && !m.From.After(all[len(all)-1].To.Add(time.Minute)) {
			all[len(all)-1] = joined(all[len(all)-1], m)
		} else {
			marks[key] = append(all, m)
		}
		return true
	})
	return marks
}
