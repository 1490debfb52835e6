package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/klauspost/compress/s2"
	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// A dead letter is stored as: u32 length of the head, head, checksum of both, record compressed with s2. The checksum of the
// record is in the head, so that opening the file reads heads only.
type deadHead struct {
	letter    event.DeadLetter // without Record.Raw
	replaying bool
	crc       uint32 // of the compressed record
}

const replyMost = 1 << 10

func (h *deadHead) append(b []byte) []byte {
	l := &h.letter
	b = append(b, 0, 0, 0, 0)
	state := byte(0)
	if h.replaying {
		state = 1
	}
	b = append(b, state)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.crc)<<32|uint64(l.Record.Flags))
	b = binary.LittleEndian.AppendUint64(b, uint64(l.Record.Digest))
	for _, s := range []string{l.Sink, l.Record.Key.String(), l.Reason, l.Reply, l.Record.ID} {
		b = appendString(b, s)
	}
	b = appendTime(appendTime(appendTime(b, l.At), l.Record.Time), l.Record.Read)
	b = binary.AppendUvarint(b, uint64(max(0, l.Attempts)))
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// decodeDead reads the head; the second result is the compressed record, not yet checked.
func decodeDead(key, v []byte) (deadHead, []byte, error) {
	if len(key) != 8 || len(v) < 8 {
		return deadHead{}, nil, damaged("dead letter %x is cut short", key)
	}
	n := uint64(binary.LittleEndian.Uint32(v))
	if n < 4 || n+4 > uint64(len(v)) {
		return deadHead{}, nil, damaged("dead letter %x has a head of %d bytes", key, n)
	}
	head, err := unseal(key, v[:n+4])
	if err != nil {
		return deadHead{}, nil, err
	}
	r := reader{b: head[4:]}
	h := deadHead{replaying: r.byte() == 1}
	mixed := r.uint64()
	h.crc = uint32(mixed >> 32)
	l := &h.letter
	l.ID = binary.BigEndian.Uint64(key)
	l.Record.Flags, l.Record.Digest = event.Flags(mixed), event.Digest(r.uint64())
	l.Sink = r.string()
	name := r.string()
	l.Reason, l.Reply, l.Record.ID = r.string(), r.string(), r.string()
	l.At, l.Record.Time, l.Record.Read = r.time(), r.time(), r.time()
	l.Attempts = int(r.uvarint())
	if l.Record.Key, err = event.ParseStreamKey(name); err != nil || r.err != nil {
		return deadHead{}, nil, damaged("decode dead letter %d: %w", l.ID, errors.Join(err, r.err))
	}
	return h, v[n+4:], nil
}

// putDead stores a dead letter; one without an ID gets one.
func (t *txn) putDead(d *event.DeadLetter, replaying bool) error {
	raw := s2.Encode(t.s.w.arena.take(s2.MaxEncodedLen(len(d.Record.Raw))), d.Record.Raw)
	h := deadHead{letter: *d, replaying: replaying, crc: crcOf(raw)}
	if len(h.letter.Reply) > replyMost {
		h.letter.Reply = h.letter.Reply[:replyMost]
	}
	return t.putDeadHead(&h, raw)
}

func (t *txn) putDeadHead(h *deadHead, raw []byte) error {
	b := t.tx.Bucket(bucketDead)
	if h.letter.ID == 0 {
		id, err := b.NextSequence()
		if err != nil {
			return fmt.Errorf("number dead letter: %w", err)
		}
		h.letter.ID = id
	}
	key := seqKey(h.letter.ID)
	return b.Put(key, append(seal(key, h.append(nil)), raw...))
}

// renameDead gives the dead letters of a sink to another one, or deletes them if to is empty.
func (t *txn) renameDead(sink, to string) error {
	b := t.tx.Bucket(bucketDead)
	var keys [][]byte
	err := b.ForEach(func(k, v []byte) error {
		h, _, err := decodeDead(k, v)
		if err == nil && h.letter.Sink == sink {
			keys = append(keys, k)
		}
		return err
	})
	if err != nil {
		return err
	}
	if to == "" {
		return deleteAll(b, keys)
	}
	for _, k := range keys {
		h, raw, err := decodeDead(k, b.Get(k))
		if err != nil {
			return err
		}
		h.letter.Sink = to
		if err := t.putDeadHead(&h, slices.Clone(raw)); err != nil {
			return err
		}
	}
	return nil
}

// DeadFilter chooses dead letters. Empty fields choose all.
type DeadFilter struct {
	Sink      string
	Stream    string // "signins.interactive", or a stream key as a whole
	IDs       []uint64
	Replaying bool // those that are on their way again, else those that are dead
}

func (f *DeadFilter) matches(h *deadHead) bool {
	l := &h.letter
	return h.replaying == f.Replaying &&
		(f.Sink == "" || f.Sink == l.Sink) &&
		(f.Stream == "" || f.Stream == l.Record.Key.Stream || f.Stream == l.Record.Key.String()) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID))
}

const deadAtOnce = 64 // letters copied in one read transaction

// DeadLetters gives the dead letters that f chooses, ascending by ID. A letter whose record the disk has changed comes with
// an error and without its record; the others follow.
func (s *Store) DeadLetters(f DeadFilter) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		next := uint64(0)
		for more := true; more; {
			var some []event.DeadLetter
			var faults []error
			err := s.view(func(tx *bbolt.Tx) error {
				c := tx.Bucket(bucketDead).Cursor()
				k, v := c.Seek(seqKey(next))
				for n := 0; k != nil && n < 16*deadAtOnce && len(some) < deadAtOnce; n++ {
					h, raw, err := decodeDead(k, v)
					if err == nil && f.matches(&h) {
						h.letter.Record.Raw, err = rawOf(&h, raw)
						some, faults = append(some, h.letter), append(faults, err)
					} else if err != nil {
						some, faults = append(some, event.DeadLetter{ID: binary.BigEndian.Uint64(k)}), append(faults, err)
					}
					next = binary.BigEndian.Uint64(k) + 1
					k, v = c.Next()
				}
				more = k != nil
				return nil
			})
			if err != nil {
				yield(event.DeadLetter{}, fmt.Errorf("read dead letters: %w", err))
				return
			}
			for i := range some {
				if !yield(some[i], faults[i]) {
					return
				}
			}
		}
	}
}

func rawOf(h *deadHead, data []byte) ([]byte, error) {
	if crcOf(data) != h.crc {
		return nil, damaged("checksum of dead letter %d does not match", h.letter.ID)
	}
	raw, err := s2.Decode(nil, data)
	if err != nil {
		return nil, damaged("decompress dead letter %d: %w", h.letter.ID, err)
	}
	return raw, nil
}

// ReplayDead puts dead letters on their way again: dead -> pending. The lane finds them by DeadFilter.Replaying and ends them
// with SettleReplay. Without ids all that f chooses. It gives their number.
func (s *Store) ReplayDead(ctx context.Context, f DeadFilter) (int, error) {
	f.Replaying = false
	return s.eachDead(ctx, "replay", f, func(t *txn, h *deadHead, raw []byte) error {
		c := t.stream(h.letter.Record.Key).sink(h.letter.Sink)
		c.counts.Dead--
		c.replaying++
		t.lane(h.letter.Sink).dead--
		h.replaying = true
		return t.putDeadHead(h, slices.Clone(raw))
	})
}

// DropDead gives up the dead letters that f chooses: dead -> dropped. It gives their number.
func (s *Store) DropDead(ctx context.Context, f DeadFilter) (int, error) {
	f.Replaying = false
	return s.eachDead(ctx, "drop", f, func(t *txn, h *deadHead, _ []byte) error {
		c := t.stream(h.letter.Record.Key).sink(h.letter.Sink)
		c.counts.Dead--
		c.counts.Dropped++
		t.lane(h.letter.Sink).dead--
		return t.tx.Bucket(bucketDead).Delete(seqKey(h.letter.ID))
	})
}

// Settled is the verdict on one replayed dead letter.
type Settled struct {
	ID     uint64
	Counts event.SinkCounts  // of one record
	Again  *event.DeadLetter // with Counts.Dead: why it is dead again; only At, Reason, Reply and Attempts are looked at
}

// SettleReplay ends the replay of dead letters: pending -> their verdicts. It returns when that is durable.
func (s *Store) SettleReplay(ctx context.Context, sink string, verdicts []Settled) error {
	by := make(map[uint64]*Settled, len(verdicts))
	f := DeadFilter{Sink: sink, Replaying: true, IDs: make([]uint64, 0, len(verdicts))}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Counts.Settled() != 1 || (v.Counts.Dead == 1) != (v.Again != nil) {
			return fmt.Errorf("settle replay of dead letter %d: want one verdict, and a reason if it is dead", v.ID)
		}
		by[v.ID] = v
		f.IDs = append(f.IDs, v.ID)
	}
	if len(verdicts) == 0 {
		return nil
	}
	_, err := s.eachDead(ctx, "settle replay of", f, func(t *txn, h *deadHead, raw []byte) error {
		v := by[h.letter.ID]
		c := t.stream(h.letter.Record.Key).sink(sink)
		c.replaying--
		c.counts.Add(v.Counts)
		if v.Again == nil {
			return t.tx.Bucket(bucketDead).Delete(seqKey(h.letter.ID))
		}
		t.lane(sink).dead++
		h.replaying = false
		h.letter.At, h.letter.Reason, h.letter.Attempts = v.Again.At, v.Again.Reason, v.Again.Attempts
		h.letter.Reply = v.Again.Reply[:min(len(v.Again.Reply), replyMost)]
		return t.putDeadHead(h, slices.Clone(raw))
	})
	return err
}

// eachDead runs change for every letter that f chooses, in one transaction.
func (s *Store) eachDead(ctx context.Context, verb string, f DeadFilter, change func(*txn, *deadHead, []byte) error) (int, error) {
	n := 0
	err := s.do(ctx, &request{durable: true, apply: func(t *txn) error {
		b := t.tx.Bucket(bucketDead)
		keys, err := f.find(b)
		if err != nil {
			return err
		}
		for _, k := range keys {
			h, raw, err := decodeDead(k, b.Get(k))
			if err == nil {
				err = change(t, &h, raw)
			}
			if err != nil {
				panic(err)
			}
		}
		n = len(keys)
		return nil
	}})
	if err != nil {
		return 0, fmt.Errorf("%s dead letters: %w", verb, err)
	}
	return n, nil
}

// find gives the keys of the letters that f chooses.
func (f *DeadFilter) find(b *bbolt.Bucket) (keys [][]byte, err error) {
	if len(f.IDs) == 0 {
		err = b.ForEach(func(k, v []byte) error {
			h, _, err := decodeDead(k, v)
			if err == nil && f.matches(&h) {
				keys = append(keys, k)
			}
			return err
		})
		return keys, err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(f.IDs)))
	for _, id := range ids {
		k := seqKey(id)
		if v := b.Get(k); v != nil {
			h, _, err := decodeDead(k, v)
			if err != nil {
				return nil, err
			}
			if f.matches(&h) {
				keys = append(keys, k)
			}
		}
	}
	return keys, nil
}
