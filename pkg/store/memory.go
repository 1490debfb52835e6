package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// stream is what memory holds of one stream. A published one is never changed: a transaction works on a clone.
type stream struct {
	key     event.StreamKey
	name    []byte // of key, as in the file
	num     uint32 // place in Store.numbered
	counts  event.PageCounts
	sinks   []sinkCount    // by name
	cursors []event.Cursor // by reader
	marks   []event.Mark   // see marks.go
	floor   time.Time      // every reader is past it; zero: not known
	filter  string         // the operator's, that the cursors hold for
}

type sinkCount struct {
	sink   string
	joined uint64
	counts event.SinkCounts
	// Letters that are pending. They are not stored here, but counted from the letters.
	parked    uint64
	returning uint64
}

func (st *stream) clone() *stream {
	c := *st
	c.sinks, c.cursors = slices.Clone(st.sinks), slices.Clone(st.cursors)
	return &c
}

// sink gives the counts at a sink, made if need be.
func (st *stream) sink(name string) *sinkCount {
	i, ok := slices.BinarySearchFunc(st.sinks, name, func(c sinkCount, n string) int { return strings.Compare(c.sink, n) })
	if !ok {
		st.sinks = slices.Insert(st.sinks, i, sinkCount{sink: name})
	}
	return &st.sinks[i]
}

// find gives the place of a sink in sinks, -1 if it has no counts yet.
func (st *stream) find(name string) int {
	return slices.IndexFunc(st.sinks, func(c sinkCount) bool { return c.sink == name })
}

func (st *stream) dropSink(name string) {
	st.sinks = slices.DeleteFunc(st.sinks, func(c sinkCount) bool { return c.sink == name })
}

func (st *stream) move(m event.Moves) {
	for _, c := range m.Cursors {
		c.Pos, c.End, c.Start = c.Pos.UTC().Round(0), c.End.UTC().Round(0), c.Start.UTC().Round(0)
		i, ok := slices.BinarySearchFunc(st.cursors, c.Reader, func(a event.Cursor, r string) int { return strings.Compare(a.Reader, r) })
		if ok {
			st.cursors[i] = c
		} else {
			st.cursors = slices.Insert(st.cursors, i, c)
		}
	}
	for _, name := range m.Remove {
		st.cursors = slices.DeleteFunc(st.cursors, func(c event.Cursor) bool { return c.Reader == name })
	}
	if !m.Floor.IsZero() {
		st.floor = m.Floor.UTC().Round(0)
	}
	if m.Filter != nil {
		st.filter = *m.Filter
	}
	if m.Marks != nil {
		st.setMarks(m.Marks)
	}
}

func (st *stream) appendLedger(b []byte) []byte {
	c := &st.counts
	for _, n := range []uint64{c.Rows, c.New, c.Updated, c.Seen, c.Suppressed, c.Outside, c.Late, uint64(len(st.sinks))} {
		b = binary.AppendUvarint(b, n)
	}
	for i := range st.sinks {
		c := &st.sinks[i].counts
		b = appendString(b, st.sinks[i].sink)
		for _, n := range []uint64{st.sinks[i].joined, c.Delivered, c.Filtered, c.Dead, c.Dropped, c.Skipped, c.Duplicates, c.Truncated} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return binary.AppendUvarint(b, c.Resent) // behind the rest, because the first files had none
}

func (st *stream) decodeLedger(v []byte) error {
	r := reader{b: v}
	c, n := &st.counts, uint64(0)
	for _, p := range []*uint64{&c.Rows, &c.New, &c.Updated, &c.Seen, &c.Suppressed, &c.Outside, &c.Late, &n} {
		*p = r.uvarint()
	}
	for ; n > 0 && r.err == nil; n-- {
		s := st.sink(r.string())
		c := &s.counts
		for _, p := range []*uint64{&s.joined, &c.Delivered, &c.Filtered, &c.Dead, &c.Dropped, &c.Skipped, &c.Duplicates, &c.Truncated} {
			*p = r.uvarint()
		}
	}
	if len(r.b) > 0 {
		c.Resent = r.uvarint()
	}
	if r.err != nil {
		return damaged("decode ledger of %s: %w", st.name, r.err)
	}
	return nil
}

func (st *stream) appendCursors(b []byte) []byte {
	b = appendTime(b, st.floor)
	b = binary.AppendUvarint(b, uint64(len(st.cursors)))
	for _, c := range st.cursors {
		b = appendString(b, c.Reader)
		b = appendTime(appendTime(appendTime(b, c.Pos), c.End), c.Start)
		b = binary.AppendVarint(b, int64(c.Slice))
	}
	b = appendMarks(b, st.marks, st.filter != "")
	if st.filter != "" { // behind the rest, where a version that does not know of it does not look
		b = appendString(b, st.filter)
	}
	return b
}

func (st *stream) decodeCursors(v []byte) error {
	r := reader{b: v}
	st.floor = r.time()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		c := event.Cursor{Reader: r.string(), Pos: r.time(), End: r.time(), Start: r.time()}
		c.Slice = event.Duration(r.varint())
		st.cursors = append(st.cursors, c)
	}
	st.marks = r.marks()
	if len(r.b) > 0 {
		st.filter = r.string()
	}
	if r.err != nil {
		return damaged("decode cursors of %s: %w", st.name, r.err)
	}
	return nil
}

// lane is what memory holds of one lane.
type lane struct {
	pos     event.Position
	dead    uint64       // letters
	letters int64        // stored bytes of all its letters
	index   *letterIndex // shared by all clones
	// skipped counts, by stream, what was skipped since Open while its verdict may have been under way: a verdict that comes
	// in late takes its record back from there.
	skipped map[event.StreamKey]uint64
}

func (l *lane) clone() *lane {
	c := *l
	c.skipped = make(map[event.StreamKey]uint64, len(l.skipped))
	for k, n := range l.skipped {
		c.skipped[k] = n
	}
	return &c
}

func (l *lane) append(b []byte) []byte {
	b = binary.AppendUvarint(b, l.pos.Seq)
	return binary.AppendUvarint(b, uint64(l.pos.Index))
}

func decodeLane(v []byte) (*lane, error) {
	r := reader{b: v}
	l := &lane{pos: event.Position{Seq: r.uvarint(), Index: int(r.uvarint())}}
	if r.err != nil || l.pos.Index < 0 {
		return nil, fmt.Errorf("decode lane: %w", errShort)
	}
	return l, nil
}

// entry is what memory holds of one batch, small because there may be millions.
type entry struct {
	seq         uint64
	stream      uint32 // Store.numbered
	records     uint32
	stored      uint32
	read        uint32 // Unix seconds
	first, last uint32 // minutes of the first and the last record
}

// from gives the entries that lie at or behind seq.
func from(index []entry, seq uint64) []entry {
	return index[sort.Search(len(index), func(i int) bool { return index[i].seq >= seq }):]
}

// rest is how many records of e a lane at pos has not passed.
func (e *entry) rest(pos event.Position) uint64 {
	switch {
	case e.seq < pos.Seq:
		return 0
	case e.seq == pos.Seq:
		return uint64(max(0, int(e.records)-pos.Index))
	}
	return uint64(e.records)
}

// minuteOf gives the minute of a record's time as the file counts them; times out of range go to the ends.
func minuteOf(t time.Time) uint32 {
	m := t.Unix() / 60
	return uint32(min(max(m, 0), 1<<32-1))
}
