package store

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"path"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

const (
	headsAtOnce   = 1 << 10 // heads looked at in one read transaction
	recordsAtOnce = 64      // records copied in one read transaction
)

// chooser is a filter made ready.
type chooser struct {
	event.LetterFilter
	ids     []uint64 // ascending, none twice
	states  [len(stateBytes)]bool
	streams map[event.StreamKey]bool // what Stream says of those met so far
}

func chooserOf(f event.LetterFilter) *chooser {
	c := &chooser{LetterFilter: f, ids: slices.Compact(slices.Sorted(slices.Values(f.IDs))), streams: map[event.StreamKey]bool{}}
	c.Reason = strings.ToLower(f.Reason)
	for i := range c.states {
		c.states[i] = len(f.States) == 0 || slices.Contains(f.States, event.LetterState(i))
	}
	return c
}

func (c *chooser) chooses(h *deadHead) bool {
	l := &h.letter
	if len(c.ids) > 0 {
		if _, ok := slices.BinarySearch(c.ids, l.ID); !ok {
			return false
		}
	}
	return c.states[l.State] && (c.Sink == "" || c.Sink == l.Sink) && c.stream(l.Record.Key) &&
		(c.From.IsZero() || !l.Record.Time.Before(c.From)) && (c.To.IsZero() || l.Record.Time.Before(c.To)) &&
		(c.Reason == "" || strings.Contains(strings.ToLower(l.Reason), c.Reason))
}

// stream tells whether Stream, which may be a pattern, names the stream or its key.
func (c *chooser) stream(key event.StreamKey) bool {
	if c.Stream == "" {
		return true
	}
	is, known := c.streams[key]
	if !known {
		for _, name := range []string{key.Stream, key.String()} {
			ok, err := path.Match(c.Stream, name)
			is = is || c.Stream == name || ok && err == nil
		}
		c.streams[key] = is
	}
	return is
}

// indexed tells whether the lane's index knows the letters: then nobody has to look at the others.
func (c *chooser) indexed() bool { return c.Sink != "" && len(c.ids) == 0 && !c.states[event.Dead] }

// stored gives those of the letters that are there and chosen, until they have most bytes; looked is how many ids that took.
// They live as long as the transaction.
func (c *chooser) stored(tx *bbolt.Tx, ids []uint64, most int64, looked *int) (all []letter, err error) {
	b, size := tx.Bucket(bucketDead), int64(0)
	for *looked = 0; *looked < len(ids) && size < most; *looked++ {
		k := seqKey(ids[*looked])
		v := b.Get(k)
		if v == nil {
			continue
		}
		h, raw, err := decodeDead(k, v)
		if err != nil {
			return nil, err
		}
		if c.chooses(&h) {
			all = append(all, letter{h, raw})
			size += int64(len(v))
		}
	}
	return all, nil
}

// picker goes through the letters that a filter chooses, in the order of their ids, some at a time.
type picker struct {
	*chooser
	most  int    // ids at a time
	after uint64 // the last one that was looked at
	last  uint64 // the last one to be looked at
	done  bool
}

// pick gives the next ids. There may be none although more follow. What it gives may have changed by the time of use.
func (s *Store) pick(p *picker) (ids []uint64, err error) {
	switch {
	case p.indexed():
		ids = s.indexed(p)
	case len(p.ids) > 0:
		at, found := slices.BinarySearch(p.ids, p.after)
		if found {
			at++
		}
		ids = slices.Clone(p.ids[at:min(at+p.most, len(p.ids))])
	default:
		err = s.view(func(tx *bbolt.Tx) error {
			ids, err = p.heads(tx)
			return err
		})
		return ids, err
	}
	if at, found := slices.BinarySearch(ids, p.last); at < len(ids) && !found {
		ids = ids[:at]
	}
	if p.done = len(ids) == 0; !p.done {
		p.after = ids[len(ids)-1]
	}
	return ids, nil
}

func (s *Store) indexed(p *picker) []uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.lanes[p.Sink]
	if l == nil {
		return nil
	}
	return l.index.after(p.after, p.most, func(k letterKind) bool { return p.states[k.state] && p.stream(k.key) })
}

// heads looks at the next ones in the file.
func (p *picker) heads(tx *bbolt.Tx) (ids []uint64, err error) {
	c := tx.Bucket(bucketDead).Cursor()
	k, v := c.Seek(seqKey(p.after + 1))
	for n := 0; k != nil && n < headsAtOnce && len(ids) < p.most; n++ {
		h, _, err := decodeDead(k, v)
		if err != nil {
			return nil, err
		}
		if h.letter.ID > p.last {
			break
		}
		if p.after = h.letter.ID; p.chooses(&h) {
			ids = append(ids, h.letter.ID)
		}
		k, v = c.Next()
	}
	p.done = k == nil || binary.BigEndian.Uint64(k) > p.last
	return ids, nil
}

// AllLetters gives the letters that f chooses, ascending by ID. One whose record the disk has changed comes with an error and
// without its record; the others follow.
func (s *Store) AllLetters(f event.LetterFilter) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		p := picker{chooser: chooserOf(f), most: recordsAtOnce, last: math.MaxUint64}
		for !p.done {
			ids, err := s.pick(&p)
			var all []event.DeadLetter
			var faults []error
			if err == nil {
				all, faults, err = s.records(p.chooser, ids)
			}
			if err != nil {
				yield(event.DeadLetter{}, fmt.Errorf("read letters: %w", err))
				return
			}
			for i := range all {
				if !yield(all[i], faults[i]) {
					return
				}
			}
		}
	}
}

// CountLetters gives how many letters f chooses. It reads no record.
func (s *Store) CountLetters(f event.LetterFilter) (n int, err error) {
	p := picker{chooser: chooserOf(f), most: headsAtOnce, last: math.MaxUint64}
	for !p.done {
		ids, err := s.pick(&p)
		if err != nil {
			return n, fmt.Errorf("count letters: %w", err)
		}
		err = s.view(func(tx *bbolt.Tx) error {
			var looked int
			some, err := p.stored(tx, ids, math.MaxInt64, &looked)
			n += len(some)
			return err
		})
		if err != nil {
			return n, fmt.Errorf("count letters: %w", err)
		}
	}
	return n, nil
}

// records gives those of the letters that are still there and chosen, each with the fault of its record.
func (s *Store) records(c *chooser, ids []uint64) (all []event.DeadLetter, faults []error, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		var looked int
		stored, err := c.stored(tx, ids, math.MaxInt64, &looked)
		for i := range stored {
			l := &stored[i]
			raw, fault := rawOf(&l.deadHead, l.raw)
			l.letter.Record.Raw = raw
			all, faults = append(all, l.letter), append(faults, fault)
		}
		return err
	})
	return all, faults, err
}

// Letters gives the oldest n letters that f chooses, with their records. The lane asks again and again for those of its sink
// that are parked or returning: these are found without a look at the dead ones. A letter whose record the disk has changed is
// left out; one that is parked or returning becomes a dead one with that reason, because it cannot be sent.
func (s *Store) Letters(f event.LetterFilter, n int) ([]event.DeadLetter, error) {
	p := picker{chooser: chooserOf(f), most: min(n, recordsAtOnce), last: math.MaxUint64}
	var out []event.DeadLetter
	for !p.done && len(out) < n {
		ids, err := s.pick(&p)
		if err != nil {
			return nil, fmt.Errorf("read letters: %w", err)
		}
		all, faults, err := s.records(p.chooser, ids)
		if err != nil {
			return nil, fmt.Errorf("read letters: %w", err)
		}
		var bad []uint64
		for i := range all {
			switch {
			case faults[i] == nil:
				out = append(out, all[i])
			case all[i].State != event.Dead:
				bad = append(bad, all[i].ID)
			}
		}
		if err := s.ruined(p.chooser, bad); err != nil {
			return nil, fmt.Errorf("give up damaged letters: %w", err)
		}
	}
	return out[:min(n, len(out))], nil
}
