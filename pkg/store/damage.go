package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// repair is what came of a batch that was taken out.
type repair struct{ slice event.Slice }

// Damaged takes a batch out of the journal after Read has given a *DamagedError for it. Its records are counted as skipped
// for the lanes that have not passed them; the stream's seen ids and counts per minute of its stretch are forgotten, and those
// of records without a time, so that reading it again ships the records again; and a cursor of a closed reader named
// recovery/.. is saved for that stretch, so that not even a crash right now loses it. All of that is one transaction. The
// result is the stretch, in whole minutes. A second call for the same batch gives the same result.
func (s *Store) Damaged(seq uint64) (event.Slice, error) {
	var slice event.Slice
	err := s.do(context.Background(), &request{durable: true, apply: func(t *txn) error {
		if r, ok := s.repaired[seq]; ok {
			slice = r.slice
			return nil
		}
		var bad *entry
		t.entries(seq, func(e *entry) bool { bad = e; return false })
		if bad == nil || bad.seq != seq {
			return fmt.Errorf("the journal has no batch %d", seq)
		}
		slice = bad.slice(t.keyOf(bad))
		t.takeOut(bad, slice)
		return nil
	}})
	if err != nil {
		return event.Slice{}, fmt.Errorf("take out batch %d: %w", seq, err)
	}
	return slice, nil
}

func (t *txn) takeOut(bad *entry, slice event.Slice) {
	st := t.numbered(bad.stream)
	for _, sink := range t.sinks() {
		l := t.lane(sink)
		if n := bad.rest(l.pos); n > 0 {
			t.skip(sink, l, map[event.StreamKey]uint64{st.key: n})
		}
		if l.pos.Seq == bad.seq {
			l.pos = event.Position{Seq: bad.seq + 1}
		}
	}
	for _, bucket := range [][]byte{bucketSeen, bucketMinutes} {
		// Whether records without a time were among them only the batch could tell.
		for _, minutes := range [][2]uint32{{bad.first, bad.last}, {timeless, timeless}} {
			if err := forget(sub(t.tx, bucket, st.name), minutes[0], minutes[1]); err != nil {
				panic(err)
			}
		}
	}
	if err := t.deleteBatch(bad.seq); err != nil {
		panic(err)
	}
	again := event.Cursor{Reader: slice.Reader, Pos: slice.From, End: slice.To, Start: slice.From}
	for _, c := range st.cursors {
		if c.Reader == again.Reader && c.End.After(again.End) {
			again.End = c.End
		}
	}
	st.move(event.Moves{Cursors: []event.Cursor{again}})
	if slice.From.Before(st.floor) {
		st.floor = slice.From
	}
	if t.removed == nil {
		t.removed = map[uint64]bool{}
	}
	seq := bad.seq
	t.removed[seq] = true
	t.after = append(t.after, func() { t.s.repaired[seq] = repair{slice} })
}

// forget deletes the keys of the minutes first to last.
func forget(b *bbolt.Bucket, first, last uint32) error {
	if b == nil {
		return nil
	}
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(binary.BigEndian.AppendUint32(nil, first)); len(k) >= 4 && binary.BigEndian.Uint32(k) <= last; k, _ = c.Next() {
		keys = append(keys, k)
	}
	return deleteAll(b, keys)
}
