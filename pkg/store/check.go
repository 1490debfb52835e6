package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Check counts everything anew from the file and compares it with memory. It holds up all changes meanwhile. For tests and
// for who looks into a state file.
func (s *Store) Check() error {
	// What rides along is saved first: file and memory have to speak of the same moment.
	saved := &request{durable: true, apply: func(*txn) error { return nil }}
	if err := s.do(context.Background(), saved); err != nil {
		return fmt.Errorf("check state: %w", err)
	}
	err := s.do(context.Background(), &request{apply: func(t *txn) error {
		if len(t.streams)+len(t.lanes)+len(t.added)+len(s.w.unsaved) > 0 {
			return errBusy
		}
		again := &Store{o: s.o}
		if err := again.load(t.tx); err != nil {
			return err
		}
		return s.same(again)
	}})
	if errors.Is(err, errBusy) {
		return s.Check()
	}
	if err != nil {
		return fmt.Errorf("check state: %w", err)
	}
	return nil
}

var errBusy = errors.New("other calls share the transaction")

// same compares memory with what was loaded from the file just now.
func (s *Store) same(o *Store) error {
	if err := s.adds(); err != nil {
		return err
	}
	// Streams are numbered by name in the file, by arrival in memory.
	if len(s.index) != len(o.index) || s.used != o.used || s.nextSeq != o.nextSeq {
		return fmt.Errorf("journal: %d batches of %d bytes before %d, in the file %d of %d before %d",
			len(s.index), s.used, s.nextSeq, len(o.index), o.used, o.nextSeq)
	}
	for i, e := range s.index {
		f := o.index[i]
		key := o.numbered[f.stream].key
		if f.stream = e.stream; e != f || s.numbered[e.stream].key != key {
			return fmt.Errorf("journal: batch %+v, in the file %+v", e, f)
		}
	}
	if len(s.streams) != len(o.streams) || len(s.lanes) != len(o.lanes) {
		return fmt.Errorf("%d streams and %d lanes, in the file %d and %d", len(s.streams), len(s.lanes), len(o.streams), len(o.lanes))
	}
	for key, st := range s.streams {
		f := o.streams[key]
		if f == nil || st.counts != f.counts || !slices.Equal(st.sinks, f.sinks) || !slices.Equal(st.cursors, f.cursors) || !slices.Equal(st.marks, f.marks) {
			return fmt.Errorf("stream %s: %+v, in the file %+v", key, st, f)
		}
	}
	for sink, l := range s.lanes {
		f := o.lanes[sink]
		if f == nil || l.pos != f.pos || l.dead != f.dead || l.letters != f.letters || !l.index.equal(f.index) {
			return fmt.Errorf("lane %s: %+v, in the file %+v", sink, l, f)
		}
	}
	return nil
}
