package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

const (
	trimMost  = 256 // batches deleted in one transaction
	purgeMost = 64  // keys of the seen set and of the minutes purged in one transaction and stream, besides twice what was added
)

// txn is a transaction under way: bbolt's, and beside it what will replace parts of memory once that is committed.
type txn struct {
	s       *Store
	tx      *bbolt.Tx
	durable bool
	appends bool // for Options.Crash
	steps   bool
	letters bool

	streams map[event.StreamKey]*stream // clones
	lanes   map[string]*lane            // clones; nil: removed
	added   []entry
	removed map[uint64]bool // batches taken out of the middle
	nextSeq uint64
	touched map[event.StreamKey]int // keys added to seen and minutes: sets how many old ones are purged
	runs    []indexRun              // of the letters' indexes, in order
	after   []func()                // run with the store's lock held once the transaction is committed
}

func (s *Store) begin() (*txn, error) {
	tx, err := s.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	return &txn{
		s: s, tx: tx, nextSeq: s.nextSeq,
		streams: map[event.StreamKey]*stream{}, lanes: map[string]*lane{}, touched: map[event.StreamKey]int{},
	}, nil
}

// note takes down that r was applied.
func (t *txn) note(r *request) {
	t.durable = t.durable || r.durable
	t.appends = t.appends || r.point == "append"
	t.steps = t.steps || r.point == "step"
	t.letters = t.letters || r.point == "letters"
}

// stream gives the stream's clone, made if need be.
func (t *txn) stream(key event.StreamKey) *stream {
	st := t.streams[key]
	if st != nil {
		return st
	}
	if old := t.s.streams[key]; old != nil {
		st = old.clone()
	} else {
		num := uint32(len(t.s.numbered))
		for _, other := range t.streams {
			num = max(num, other.num+1)
		}
		st = &stream{key: key, name: []byte(key.String()), num: num}
	}
	t.streams[key] = st
	return st
}

// numbered gives the stream of an entry.
func (t *txn) numbered(num uint32) *stream {
	if int(num) < len(t.s.numbered) {
		return t.stream(t.s.numbered[num].key)
	}
	for _, st := range t.streams {
		if st.num == num {
			return st
		}
	}
	panic(fmt.Sprintf("the index names stream %d, which there is not", num))
}

// lane gives the lane's clone; nil if there is no such lane.
func (t *txn) lane(sink string) *lane {
	if l, ok := t.lanes[sink]; ok {
		return l
	}
	old := t.s.lanes[sink]
	if old == nil {
		return nil
	}
	t.lanes[sink] = old.clone()
	return t.lanes[sink]
}

// sinks names all lanes, as this transaction sees them.
func (t *txn) sinks() []string {
	var names []string
	for name := range t.s.lanes {
		if l, ok := t.lanes[name]; !ok || l != nil {
			names = append(names, name)
		}
	}
	for name, l := range t.lanes {
		if l != nil && t.s.lanes[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// position gives a lane's place without making a clone.
func (t *txn) position(sink string) event.Position {
	if l := t.lanes[sink]; l != nil {
		return l.pos
	}
	return t.s.lanes[sink].pos
}

// entries calls f for each batch at or behind seq until it gives false.
func (t *txn) entries(seq uint64, f func(*entry) bool) {
	for _, index := range [][]entry{from(t.s.index, seq), from(t.added, seq)} {
		for i := range index {
			if !t.removed[index[i].seq] && !f(&index[i]) {
				return
			}
		}
	}
}

// putSealed puts a small value with its checksum.
func (t *txn) putSealed(bucket, key, value []byte) error {
	b := t.s.w.arena.take(len(value) + 4)
	return t.tx.Bucket(bucket).Put(key, seal(key, append(b[:0], value...)))
}

// sub gives the bucket of a stream inside of a top one; nil if there is none.
func sub(tx *bbolt.Tx, bucket, name []byte) *bbolt.Bucket { return tx.Bucket(bucket).Bucket(name) }

// end commits if anything has to be durable; else what has changed stays in memory for the next transaction.
func (t *txn) end() error {
	defer t.s.w.arena.reset()
	if !t.durable {
		if err := t.tx.Rollback(); err != nil {
			return fmt.Errorf("end transaction: %w", err)
		}
		for key := range t.streams {
			t.s.w.unsaved[key] = true
		}
		t.publish(0)
		return nil
	}
	trimmed, err := t.save()
	if err != nil {
		// Only a fault of the file's content or of this package leads here: what is half done must not be committed.
		return t.s.suspect(err)
	}
	t.hook("before-commit")
	if err := t.s.commit(t.tx); err != nil {
		return err
	}
	clear(t.s.w.unsaved)
	t.publish(trimmed)
	t.hook("after-commit")
	return nil
}

func (t *txn) hook(where string) {
	if t.s.o.Crash == nil {
		return
	}
	if t.appends {
		t.s.o.Crash("append:" + where)
	}
	if t.steps {
		t.s.o.Crash("step:" + where)
	}
	if t.letters {
		t.s.o.Crash("letters:" + where)
	}
}

// save writes what has changed beside the journal, and does a bounded share of the cleaning up. It gives the number of
// batches deleted at the head of the journal.
func (t *txn) save() (trimmed int, err error) {
	for key := range t.s.w.unsaved {
		t.stream(key)
	}
	for _, st := range t.streams {
		st.dropMarks(t.s.o.Now().Add(-marksKept))
		if err := t.putSealed(bucketLedger, st.name, st.appendLedger(nil)); err != nil {
			return 0, err
		}
		if err := t.putSealed(bucketCursors, st.name, st.appendCursors(nil)); err != nil {
			return 0, err
		}
		if err := t.purge(st); err != nil {
			return 0, err
		}
	}
	for sink, l := range t.lanes {
		if l == nil {
			err = t.tx.Bucket(bucketLanes).Delete([]byte(sink))
		} else {
			err = t.putSealed(bucketLanes, []byte(sink), l.append(nil))
		}
		if err != nil {
			return 0, err
		}
	}
	return t.trim()
}

// purge deletes the stream's oldest minutes that are not needed any more.
func (t *txn) purge(st *stream) error {
	most := purgeMost + 2*t.touched[st.key]
	if !st.floor.IsZero() {
		if err := purgeBelow(sub(t.tx, bucketSeen, st.name), minuteOf(st.floor), most); err != nil {
			return err
		}
	}
	return purgeBelow(sub(t.tx, bucketMinutes, st.name), minuteOf(t.s.o.Now().Add(-t.s.o.Retention)), most)
}

// purgeBelow deletes up to most keys whose minute is below limit.
func purgeBelow(b *bbolt.Bucket, limit uint32, most int) error {
	if b == nil {
		return nil
	}
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(keys) < most && len(k) >= 4 && binary.BigEndian.Uint32(k) < limit; k, _ = c.Next() {
		keys = append(keys, k)
	}
	return deleteAll(b, keys)
}

func deleteAll(b *bbolt.Bucket, keys [][]byte) error {
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return fmt.Errorf("delete key %x: %w", k, err)
		}
	}
	return nil
}

// trim deletes batches that every lane has passed. Without any lane nothing is deleted: one may be about to join.
func (t *txn) trim() (int, error) {
	sinks := t.sinks()
	if len(sinks) == 0 {
		return 0, nil
	}
	lowest := t.position(sinks[0]).Seq
	for _, sink := range sinks[1:] {
		lowest = min(lowest, t.position(sink).Seq)
	}
	n := 0
	for ; n < min(len(t.s.index), trimMost) && t.s.index[n].seq < lowest; n++ {
		if t.removed[t.s.index[n].seq] {
			continue
		}
		if err := t.deleteBatch(t.s.index[n].seq); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (t *txn) deleteBatch(seq uint64) error {
	if err := t.tx.Bucket(bucketJournal).DeleteBucket(seqKey(seq)); err != nil {
		return fmt.Errorf("delete batch %d: %w", seq, err)
	}
	return nil
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// trimmable tells whether the next transaction would find batches to delete.
func (s *Store) trimmable() bool {
	if len(s.index) == 0 || len(s.lanes) == 0 {
		return false
	}
	for _, l := range s.lanes {
		if l.pos.Seq <= s.index[0].seq {
			return false
		}
	}
	return true
}

// publish replaces memory by what the transaction has made.
func (t *txn) publish(trimmed int) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	created := make([]*stream, 0, len(t.streams))
	for key, st := range t.streams {
		s.streams[key] = st
		if int(st.num) < len(s.numbered) {
			s.numbered[st.num] = st
		} else {
			created = append(created, st)
		}
	}
	slices.SortFunc(created, func(a, b *stream) int { return int(a.num) - int(b.num) })
	s.numbered = append(s.numbered, created...)
	for sink, l := range t.lanes {
		if l == nil {
			delete(s.lanes, sink)
		} else {
			s.lanes[sink] = l
		}
	}
	for i := range trimmed {
		s.used -= int64(s.index[i].stored)
	}
	s.index = s.index[trimmed:]
	if len(t.removed) > 0 {
		s.index = slices.DeleteFunc(s.index, func(e entry) bool {
			if t.removed[e.seq] {
				s.used -= int64(e.stored)
			}
			return t.removed[e.seq]
		})
	}
	for i := range t.added {
		s.used += int64(t.added[i].stored)
	}
	s.index = append(s.index, t.added...)
	s.nextSeq = t.nextSeq
	for _, r := range t.runs {
		r.index.change(r.kind, r.in, r.low, r.ids)
	}
	for _, f := range t.after {
		f()
	}
	if t.durable {
		s.commits++
	}
	s.wake()
}

// wake tells those who wait on Changed. The lock is held.
func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}
