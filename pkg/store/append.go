package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

const pageMost = 1 << 30 // bytes of raw records in one page: far above what a fetcher lets in

// Append commits a page: it tells its rows apart and keeps the new ones, their ids, the cursors and the ledger in one
// transaction. It returns when that is durable; a page without anything new is not waited for (see SaveCursors). The result's
// Batch, if not nil, owns its memory. Nothing of c is kept.
//
// Errors: ErrFull, ErrNoSpace, ErrSuspect, ErrClosed, ctx's; then nothing was changed.
func (s *Store) Append(ctx context.Context, c event.PageCommit) (event.PageResult, error) {
	size, err := validate(&c)
	if err != nil {
		return event.PageResult{}, fmt.Errorf("append page of %s: %w", c.Key, err)
	}
	var res event.PageResult
	r := &request{point: "append", size: size}
	r.apply = func(t *txn) error {
		var err error
		res, err = t.append(&c, r)
		return err
	}
	if err := s.do(ctx, r); err != nil {
		return event.PageResult{}, fmt.Errorf("append page of %s: %w", c.Key, err)
	}
	return res, nil
}

func validate(c *event.PageCommit) (size int, err error) {
	if k, err := event.ParseStreamKey(c.Key.String()); err != nil || k != c.Key {
		return 0, fmt.Errorf("stream key %+v has an empty part or a slash", c.Key)
	}
	if len(c.Key.String())+len(c.Slice.Stream)+len(c.Slice.Reader) > headerMost/2 {
		return 0, errors.New("names of stream and reader are too long")
	}
	if c.Outside < 0 {
		return 0, fmt.Errorf("outside is %d", c.Outside)
	}
	for i := range c.Records {
		if c.Records[i].ID == "" {
			return 0, fmt.Errorf("record %d has no id", i)
		}
		size += len(c.Records[i].ID) + len(c.Records[i].Raw)
	}
	if size > pageMost {
		return 0, fmt.Errorf("page has %d bytes, most are %d", size, pageMost)
	}
	return size, nil
}

// rowOrder places a row that is to be journalled.
type rowOrder struct {
	sec     int64
	nsec    int32
	row     int32
	updated bool
}

func (t *txn) append(c *event.PageCommit, r *request) (event.PageResult, error) {
	w := &t.s.w
	page := &w.seen
	name := []byte(c.Key.String())
	seen := sub(t.tx, bucketSeen, name)
	page.reset(seen, c.DigestVersion, &w.arena)
	counts := t.tell(page, c)
	if counts.Journalled() > 0 {
		if t.s.used+t.addedBytes() >= t.s.o.JournalMaxBytes {
			return event.PageResult{}, ErrFull
		}
		if time.Now().Before(w.fullUntil) {
			return event.PageResult{}, ErrNoSpace
		}
	}
	// From here on only a fault of the file can fail. Something is half done then: the panic ends the whole transaction, and the
	// writer's guard makes the store suspect.
	st := t.stream(c.Key)
	st.counts.Add(counts)
	st.move(c.Moves)
	res := event.PageResult{PageCounts: counts}
	if !page.dirty && len(w.order)+len(c.Minutes) == 0 {
		return res, nil
	}
	r.durable = true
	if err := t.keepSeen(page, st, seen); err != nil {
		panic(err)
	}
	if err := t.setMinutes(st, c.Minutes); err != nil {
		panic(err)
	}
	if len(w.order) > 0 {
		var err error
		if res.Batch, err = t.journal(c, st); err != nil {
			panic(err)
		}
	}
	return res, nil
}

func (t *txn) addedBytes() (n int64) {
	for i := range t.added {
		n += int64(t.added[i].stored)
	}
	return n
}

// tell counts the rows; w.order gets those to be journalled, in ascending time.
func (t *txn) tell(page *seenPage, c *event.PageCommit) (counts event.PageCounts) {
	w := &t.s.w
	w.order = w.order[:0]
	if c.Force {
		counts = t.force(c)
	} else {
		counts = t.classify(page, c)
	}
	// Rows of equal time keep the order of the page.
	slices.SortFunc(w.order, func(a, b rowOrder) int {
		return cmp.Or(cmp.Compare(a.sec, b.sec), cmp.Compare(a.nsec, b.nsec), cmp.Compare(a.row, b.row))
	})
	return counts
}

func rows(c *event.PageCommit) event.PageCounts {
	return event.PageCounts{Rows: uint64(len(c.Records) + c.Outside), Outside: uint64(c.Outside)}
}

func orderOf(r *event.Record, row int) rowOrder {
	return rowOrder{sec: r.Time.Unix(), nsec: int32(r.Time.Nanosecond()), row: int32(row)}
}

// classify tells the rows apart by what was seen.
func (t *txn) classify(page *seenPage, c *event.PageCommit) event.PageCounts {
	w := &t.s.w
	counts := rows(c)
	var moved map[uint64]bool                            // made when it is needed
	late := strings.HasPrefix(c.Slice.Reader, "reread/") // what other readers find new is not late but old
	for i := range c.Records {
		r := &c.Records[i]
		at := orderOf(r, i)
		known := page.row(minuteFor(r), r.ID, r.Digest)
		if known == classNew && c.Moving {
			if moved == nil {
				moved = page.elsewhere(c.Records)
			}
			if moved[idHash(r.ID)] {
				known = classUpdated
			}
			moved[idHash(r.ID)] = true // it may come a second time in this page
		}
		switch known {
		case classSeen:
			counts.Seen++
			continue
		case classUpdated:
			if c.DropUpdates {
				counts.Suppressed++
				continue
			}
			counts.Updated++
			at.updated = true
		case classNew:
			counts.New++
			if late {
				counts.Late++
			}
		}
		w.order = append(w.order, at)
	}
	return counts
}

// keepSeen writes the seen ids and the counts per minute.
func (t *txn) keepSeen(page *seenPage, st *stream, seen *bbolt.Bucket) (err error) {
	if seen == nil {
		if seen, err = t.tx.Bucket(bucketSeen).CreateBucketIfNotExists(st.name); err != nil {
			return fmt.Errorf("create seen set: %w", err)
		}
	}
	n, err := page.write(seen)
	if err != nil {
		return err
	}
	minutes, err := t.tx.Bucket(bucketMinutes).CreateBucketIfNotExists(st.name)
	if err != nil {
		return fmt.Errorf("create minutes: %w", err)
	}
	for i := range page.minutes {
		m := &page.minutes[i]
		if m.count == 0 && m.sum == 0 {
			continue
		}
		key := binary.BigEndian.AppendUint32(nil, m.minute)
		count, sum := decodeMinute(minutes.Get(key))
		if m.blank { // a minute that was forgotten is read anew: what is found again counts once
			count, sum = 0, 0
		}
		if err := minutes.Put(key, encodeMinute(t.s.w.arena.take(minuteSize), count+m.count, sum+m.sum)); err != nil {
			return fmt.Errorf("put minute: %w", err)
		}
		n++
	}
	t.touched[st.key] += n
	return nil
}

// journal makes the batch and puts it behind the others.
func (t *txn) journal(c *event.PageCommit, st *stream) (*event.Batch, error) {
	w := &t.s.w
	b := &event.Batch{Seq: t.nextSeq, Key: c.Key, Slice: c.Slice, Records: make([]event.Record, len(w.order))}
	read := c.Records[w.order[0].row].Read.UTC()
	if read.IsZero() {
		read = t.s.o.Now().UTC()
	}
	for i, o := range w.order {
		r := &b.Records[i]
		*r = c.Records[o.row]
		r.Key, r.Time, r.Read = c.Key, r.Time.UTC(), read
		if o.updated {
			r.Flags |= event.FlagUpdate
		}
		if c.Uncertain {
			r.Flags |= event.FlagUncertain
		}
		if resent(c) {
			r.Flags |= event.FlagResent
		}
	}
	h := header{seq: b.Seq, key: b.Key, slice: b.Slice, read: read}
	var buf []byte
	buf, w.table = pack(&h, b, w.table)
	stored, err := t.putBatch(&h, buf)
	if err != nil {
		return nil, err
	}
	n := uint64(len(b.Records))
	for _, sink := range t.sinks() {
		st.sink(sink).joined += n
	}
	t.added = append(t.added, entryOf(&h, st.num, stored))
	t.nextSeq++
	return b, nil
}

// putBatch compresses and puts a batch, and gives its stored size. Each batch is a bucket of its own: bbolt rewrites a leaf as
// a whole, and with large values side by side each append would write its neighbours again.
func (t *txn) putBatch(h *header, buf []byte) (int, error) {
	out := t.s.w.arena.take(headerMost + s2.MaxEncodedLen(len(buf)))
	data := s2.Encode(out[headerMost:], buf)
	h.stored, h.crc = len(data), crcOf(data)
	head := h.append(nil)
	value := out[headerMost-len(head) : headerMost+len(data)]
	copy(value, head)
	journal := t.tx.Bucket(bucketJournal)
	b, err := journal.CreateBucket(seqKey(h.seq))
	if err != nil {
		return 0, fmt.Errorf("create batch %d: %w", h.seq, err)
	}
	if err := b.Put(batchKey, value); err != nil {
		return 0, fmt.Errorf("put batch %d: %w", h.seq, err)
	}
	if err := journal.SetSequence(h.seq); err != nil {
		return 0, fmt.Errorf("put batch %d: %w", h.seq, err)
	}
	return len(value), nil
}

var batchKey = []byte("b")
