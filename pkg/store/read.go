package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// view runs f in a short read transaction, in the caller's goroutine.
func (s *Store) view(f func(tx *bbolt.Tx) error) error {
	select {
	case <-s.quit:
		return ErrClosed
	default:
	}
	return s.guard(func() error { return s.db.View(f) })
}

// Read gives the batch with the lowest seq that is not below seq; (nil, nil) when there is none yet. The batch owns its memory.
// A *DamagedError names a batch that is not what was written: see Damaged.
func (s *Store) Read(seq uint64) (*event.Batch, error) {
	for {
		e, st, ok := s.next(seq)
		if !ok {
			return nil, s.Err()
		}
		b, err := s.read(e, st.key)
		if b == nil && err == nil { // deleted meanwhile: every lane has passed it
			seq = e.seq + 1
			continue
		}
		var d *DamagedError
		if err != nil && !errors.As(err, &d) {
			return nil, fmt.Errorf("read batch %d: %w", e.seq, err)
		}
		return b, err
	}
}

// next gives the index entry of the batch at or behind seq.
func (s *Store) next(seq uint64) (entry, *stream, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rest := from(s.index, seq)
	if len(rest) == 0 {
		return entry{}, nil, false
	}
	return rest[0], s.numbered[rest[0].stream], true
}

func (s *Store) read(e entry, key event.StreamKey) (b *event.Batch, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		var cause error
		if b, cause = readBatch(tx, e.seq); cause != nil {
			return &DamagedError{Seq: e.seq, Key: key, Slice: e.slice(key), Cause: cause}
		}
		return nil
	})
	if errors.Is(err, errNoBatch) {
		// The transaction that has deleted it may be committed and memory not know of it yet: the writer's next answer comes behind.
		if err := s.do(context.Background(), &request{apply: func(*txn) error { return nil }}); err != nil {
			return nil, err
		}
		if now, _, ok := s.next(e.seq); !ok || now.seq != e.seq {
			return nil, nil
		}
	}
	return b, err
}

var errNoBatch = errors.New("it is not there")

func readBatch(tx *bbolt.Tx, seq uint64) (*event.Batch, error) {
	bucket := tx.Bucket(bucketJournal).Bucket(seqKey(seq))
	if bucket == nil {
		return nil, errNoBatch
	}
	h, data, err := decodeHeader(bucket.Get(batchKey))
	if err != nil {
		return nil, err
	}
	if h.seq != seq {
		return nil, fmt.Errorf("it is the one of seq %d", h.seq)
	}
	return unpack(h, data)
}

// slice is the stretch of e's records in whole minutes: the seen ids are forgotten by the minute.
func (e *entry) slice(key event.StreamKey) event.Slice {
	from, to := e.stretch()
	return event.Slice{Stream: key.Stream, Reader: recoveryReader(e), From: from, To: to}
}

// stretch is that of e's records in whole minutes: [from, to).
func (e *entry) stretch() (from, to time.Time) {
	return time.Unix(int64(e.first)*60, 0).UTC(), time.Unix(int64(e.last)*60+60, 0).UTC()
}

// recoveryReader names the cursor of the reader that reads e's stretch again.
func recoveryReader(e *entry) string { return fmt.Sprintf("recovery/%d", int64(e.first)*60) }

// Ledger gives the ledger of every stream. Pending is counted from the journal's headers, the lanes' places and the dead
// letters under way again.
func (s *Store) Ledger() map[event.StreamKey]event.StreamLedger {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make(map[event.StreamKey]event.StreamLedger, len(s.streams))
	for key, st := range s.streams {
		l := event.StreamLedger{PageCounts: st.counts, Sinks: make(map[string]event.SinkLedger, len(s.lanes))}
		for sink := range s.lanes {
			l.Sinks[sink] = event.SinkLedger{}
		}
		for i := range st.sinks {
			c := &st.sinks[i]
			l.Sinks[c.sink] = event.SinkLedger{SinkCounts: c.counts, Joined: c.joined, Pending: c.parked + c.returning}
		}
		out[key] = l
	}
	for sink, l := range s.lanes {
		for num, n := range pending(s.index, l.pos, len(s.numbered)) {
			if n > 0 {
				sinks := out[s.numbered[num].key].Sinks
				c := sinks[sink]
				c.Pending += n
				sinks[sink] = c
			}
		}
	}
	return out
}

// pending counts the records behind pos by stream.
func pending(index []entry, pos event.Position, streams int) []uint64 {
	n := make([]uint64, streams)
	rest := from(index, pos.Seq)
	for i := range rest {
		n[rest[i].stream] += rest[i].rest(pos)
	}
	return n
}

// LaneStates tells where the lanes stand, ordered by name.
func (s *Store) LaneStates() []event.LaneState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []event.LaneState
	for _, sink := range sorted(s.lanes) {
		l := s.lanes[sink]
		state := event.LaneState{Sink: sink, Pos: l.pos, Dead: l.dead, Letters: l.letters}
		l.count(&state)
		for _, e := range from(s.index, l.pos.Seq) {
			n := e.rest(l.pos)
			if n == 0 {
				continue
			}
			if state.Oldest.IsZero() {
				state.Oldest = time.Unix(int64(e.read), 0).UTC()
			}
			state.Pending += n
			state.Bytes += uint64(e.stored)
		}
		out = append(out, state)
	}
	return out
}
