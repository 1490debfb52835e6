package store

import (
	"context"
	"fmt"
	"math"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

const (
	lettersAtOnce = 10_000   // letters changed in one transaction
	letterBytes   = 16 << 20 // stored bytes changed in one transaction, unless a single letter has more
)

// count takes a letter into the counts of its state, or out of them.
func (t *txn) count(h *deadHead, size int64, in bool) {
	n, bytes := uint64(1), size
	if !in {
		n, bytes = ^uint64(0), -size
	}
	c, l := t.stream(h.letter.Record.Key).sink(h.letter.Sink), t.lane(h.letter.Sink)
	switch h.letter.State {
	case event.Parked:
		c.parked += n
	case event.Returning:
		c.returning += n
	default:
		c.counts.Dead += n
		l.dead += n
	}
	l.letters += bytes
	t.reindex(l.index, &h.letter, in)
}

// keep stores a letter and counts it.
func (t *txn) keep(h *deadHead, raw []byte) error {
	size, err := t.putLetter(h, raw)
	if err == nil {
		t.count(h, size, true)
	}
	return err
}

// lift takes a stored letter out of the counts. It stays in the file until it is kept anew or deleted.
func (t *txn) lift(h *deadHead, raw []byte) {
	t.count(h, int64(len(h.append(nil))+4+len(raw)), false)
}

// unkeep ends a letter: its counts get the verdict.
func (t *txn) unkeep(h *deadHead, raw []byte, verdict event.SinkCounts) error {
	t.lift(h, raw)
	t.stream(h.letter.Record.Key).sink(h.letter.Sink).counts.Add(verdict)
	return t.tx.Bucket(bucketDead).Delete(seqKey(h.letter.ID))
}

// change is what becomes of one letter; raw is its compressed record. It tells whether anything did. An error is a fault of the file.
type change func(t *txn, h *deadHead, raw []byte) (changed bool, err error)

// Return puts dead letters on their way again: dead -> returning. Their lane finds them by that state and ends them with
// Settle. A letter whose record the disk has changed stays dead: the error is a *DamagedLettersError then, and the others are on
// their way. It gives their number, with an error too: each ten thousand are a transaction.
func (s *Store) Return(ctx context.Context, f event.LetterFilter) (int, error) {
	f.States = []event.LetterState{event.Dead}
	var bad []uint64
	n, err := s.changeLetters(ctx, f, func(t *txn, h *deadHead, raw []byte) (bool, error) {
		if crcOf(raw) != h.crc {
			bad = append(bad, h.letter.ID)
			return false, nil
		}
		t.lift(h, raw)
		h.letter.State = event.Returning
		return true, t.keep(h, raw)
	})
	if err == nil && len(bad) > 0 {
		err = &DamagedLettersError{bad}
	}
	if err != nil {
		return n, fmt.Errorf("return dead letters: %w", err)
	}
	return n, nil
}

// Drop gives up letters: those in the states of f, dead ones if it names none, are counted as dropped. It gives their number,
// with an error too: each ten thousand are a transaction.
func (s *Store) Drop(ctx context.Context, f event.LetterFilter) (int, error) {
	if len(f.States) == 0 {
		f.States = []event.LetterState{event.Dead}
	}
	n, err := s.changeLetters(ctx, f, func(t *txn, h *deadHead, raw []byte) (bool, error) {
		return true, t.unkeep(h, raw, event.SinkCounts{Dropped: 1})
	})
	if err != nil {
		return n, fmt.Errorf("drop letters: %w", err)
	}
	return n, nil
}

// Unpark puts the parked letters of a stream on their way again: parked -> returning. It gives their number, with an error too:
// each ten thousand are a transaction.
func (s *Store) Unpark(ctx context.Context, sink string, key event.StreamKey) (int, error) {
	f := event.LetterFilter{Sink: sink, Stream: key.String(), States: []event.LetterState{event.Parked}}
	n, err := s.changeLetters(ctx, f, func(t *txn, h *deadHead, raw []byte) (bool, error) {
		t.lift(h, raw)
		h.letter.State = event.Returning
		return true, t.keep(h, raw)
	})
	if err != nil {
		return n, fmt.Errorf("unpark letters: %w", err)
	}
	return n, nil
}

// Settle ends the way of letters of a sink that are parked or returning: pending -> their verdicts, in one transaction. A letter
// that is not, because it was dropped meanwhile, is passed over. The limit of the letters does not matter: none is added.
func (s *Store) Settle(ctx context.Context, sink string, verdicts []event.Settled) error {
	by := make(map[uint64]*event.Settled, len(verdicts))
	f := event.LetterFilter{Sink: sink, States: []event.LetterState{event.Parked, event.Returning}}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Counts.Settled() != 1 || (v.Counts.Dead == 1) != (v.Again != nil) {
			return fmt.Errorf("settle letter %d: want one verdict, and a reason if it is dead", v.ID)
		}
		by[v.ID] = v
		f.IDs = append(f.IDs, v.ID)
	}
	if len(verdicts) == 0 {
		return nil
	}
	c := chooserOf(f)
	_, _, err := s.changeSome(ctx, c, c.ids, math.MaxInt64, func(t *txn, h *deadHead, raw []byte) (bool, error) {
		v := by[h.letter.ID]
		if v.Again == nil {
			return true, t.unkeep(h, raw, v.Counts)
		}
		counts := v.Counts
		counts.Dead = 0 // the letter itself is counted
		t.lift(h, raw)
		t.stream(h.letter.Record.Key).sink(sink).counts.Add(counts)
		h.letter.State, h.letter.Reply = event.Dead, cutReply(v.Again.Reply)
		h.letter.At, h.letter.Reason, h.letter.Attempts = v.Again.At, v.Again.Reason, v.Again.Attempts
		return true, t.keep(h, raw)
	})
	if err != nil {
		return fmt.Errorf("settle letters: %w", err)
	}
	return nil
}

// ruined makes letters whose records the disk has changed dead ones: they cannot be sent.
func (s *Store) ruined(c *chooser, ids []uint64) error {
	if len(ids) == 0 {
		return nil
	}
	_, _, err := s.changeSome(context.Background(), c, ids, math.MaxInt64, func(t *txn, h *deadHead, raw []byte) (bool, error) {
		if crcOf(raw) == h.crc {
			return false, nil
		}
		t.lift(h, raw)
		h.letter.State, h.letter.At = event.Dead, t.s.o.Now().UTC()
		h.letter.Reason, h.letter.Reply = "the record is damaged: the disk has changed what was written", ""
		return true, t.keep(h, raw)
	})
	return err
}

// changeLetters runs f for all letters that there are now and that the filter chooses, in transactions of a bounded size. It
// gives the number of those that were changed, with an error too.
func (s *Store) changeLetters(ctx context.Context, filter event.LetterFilter, f change) (n int, err error) {
	p := picker{chooser: chooserOf(filter)}
	err = s.view(func(tx *bbolt.Tx) error {
		p.last = tx.Bucket(bucketDead).Sequence()
		return nil
	})
	for err == nil && !p.done {
		var ids, more []uint64
		for err == nil && !p.done && len(ids) < lettersAtOnce {
			p.most = lettersAtOnce - len(ids)
			more, err = s.pick(&p)
			ids = append(ids, more...)
		}
		for err == nil && len(ids) > 0 {
			var changed, looked int
			changed, looked, err = s.changeSome(ctx, p.chooser, ids, letterBytes, f)
			n += changed
			ids = ids[looked:]
		}
	}
	return n, err
}

// changeSome runs f, in one transaction, for those of the letters that are still there and chosen, until they have most bytes. It
// gives how many were changed, and how many of ids it has looked at.
func (s *Store) changeSome(ctx context.Context, c *chooser, ids []uint64, most int64, f change) (changed, looked int, err error) {
	r := &request{point: "letters"}
	r.apply = func(t *txn) error {
		all, err := c.stored(t.tx, ids, most, &looked)
		if err != nil {
			return err
		}
		for i := range all {
			ok, err := f(t, &all[i].deadHead, all[i].raw)
			if err != nil {
				panic(err)
			}
			if ok {
				changed++
			}
		}
		r.durable = changed > 0
		return nil
	}
	if err := s.do(ctx, r); err != nil {
		return 0, 0, err
	}
	return changed, looked, nil
}
