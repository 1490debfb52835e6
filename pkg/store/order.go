package store

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// resent tells whether the rows are shipped again to one sink.
func resent(c *event.PageCommit) bool { return strings.HasPrefix(c.Slice.Reader, event.ReaderResend) }

// force has every row journalled: an operator knows better than the seen set.
func (t *txn) force(c *event.PageCommit) event.PageCounts {
	w := &t.s.w
	counts := rows(c)
	for i := range c.Records {
		w.order = append(w.order, orderOf(&c.Records[i], i))
	}
	if resent(c) {
		counts.Resent = uint64(len(c.Records))
	} else {
		counts.New = uint64(len(c.Records))
	}
	return counts
}

// setMinutes puts what verify --heal has found of minutes whose ids are forgotten.
func (t *txn) setMinutes(st *stream, set []event.Minute) error {
	if len(set) == 0 {
		return nil
	}
	minutes := sub(t.tx, bucketMinutes, st.name) // keepSeen has made it
	for _, m := range set {
		key := binary.BigEndian.AppendUint32(nil, minuteOf(m.Start))
		if err := minutes.Put(key, encodeMinute(t.s.w.arena.take(minuteSize), m.Count, m.Sum)); err != nil {
			return fmt.Errorf("put minute: %w", err)
		}
	}
	t.touched[st.key] += len(set)
	return nil
}

// Floor is the time from which on the stream's ids are remembered; of what is older only counts and sums per minute are left.
// Zero: nothing was forgotten yet.
func (s *Store) Floor(key event.StreamKey) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.streams[key]; st != nil {
		return st.floor
	}
	return time.Time{}
}

// Compare tells of each row what is remembered of it. It changes nothing. version is that of the rows' digests: a row that was
// read under another one counts as the same.
func (s *Store) Compare(key event.StreamKey, version uint8, records []event.Record) ([]event.Comparison, error) {
	var floor uint32
	if at := s.Floor(key); !at.IsZero() {
		floor = minuteOf(at)
	}
	out := make([]event.Comparison, len(records))
	err := s.view(func(tx *bbolt.Tx) error {
		name := []byte(key.String())
		c := comparer{minutes: sub(tx, bucketMinutes, name), whole: map[uint32]bool{}, floor: floor}
		c.page.reset(sub(tx, bucketSeen, name), version, nil)
		for i := range records {
			r := &records[i]
			out[i] = event.Comparison{Known: c.known(minuteFor(r), idHash(r.ID), r.Digest), Sum: MinuteSum(r.ID, r.Digest)}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare rows of %s: %w", key, err)
	}
	return out, nil
}

// comparer answers for the rows of one page.
type comparer struct {
	page    seenPage
	minutes *bbolt.Bucket
	whole   map[uint32]bool
	floor   uint32
}

func (c *comparer) known(minute uint32, hash uint64, digest event.Digest) event.Known {
	m := c.page.minute(minute)
	if minute < c.floor || !c.isWhole(m) {
		return event.Forgotten
	}
	for i := range m.chunks {
		chunk := &m.chunks[i]
		at, ok := chunk.find(hash)
		switch {
		case !ok:
		case chunk.version == c.page.version && event.Digest(chunk.digest(at)) != digest:
			return event.Changed
		default:
			return event.Same
		}
	}
	return event.Missing
}

// isWhole tells whether the ids of a minute are all there: they may have been forgotten although the floor lies below them now,
// because it falls when a re-reader of a greater age is added.
func (c *comparer) isWhole(m *seenMinute) bool {
	whole, known := c.whole[m.minute]
	if known {
		return whole
	}
	var count, sum, n, have uint64
	if c.minutes != nil {
		count, sum = decodeMinute(c.minutes.Get(binary.BigEndian.AppendUint32(nil, m.minute)))
	}
	for i := range m.chunks {
		chunk := &m.chunks[i]
		for at := range chunk.len() {
			n++
			have += mix(chunk.hash(at), event.Digest(chunk.digest(at)))
		}
	}
	whole = n == count && have == sum
	c.whole[m.minute] = whole
	return whole
}
