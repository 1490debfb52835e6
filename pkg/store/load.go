package store

import (
	"bytes"
	"encoding/binary"
	"math"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// load builds memory from the file. What contradicts itself is damage.
func (s *Store) load(tx *bbolt.Tx) error {
	s.streams, s.lanes, s.tenants = map[event.StreamKey]*stream{}, map[string]*lane{}, map[string]string{}
	s.numbered, s.index, s.used, s.nextSeq = nil, nil, 0, 1
	if tx.Bucket(bucketMeta) == nil {
		return nil
	}
	for _, name := range allBuckets {
		if tx.Bucket(name) == nil {
			return damaged("there is no bucket %s", name)
		}
	}
	for _, load := range []func(*bbolt.Tx) error{s.loadTenants, s.loadStreams, s.loadLanes, s.loadDead, s.loadJournal} {
		if err := load(tx); err != nil {
			return err
		}
	}
	return s.adds()
}

// values runs f for each sealed value of a bucket.
func values(tx *bbolt.Tx, bucket []byte, f func(key, value []byte) error) error {
	return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
		value, err := unseal(k, v)
		if err != nil {
			return err
		}
		return f(k, value)
	})
}

func (s *Store) loadTenants(tx *bbolt.Tx) error {
	return values(tx, bucketMeta, func(k, v []byte) error {
		if bytes.HasPrefix(k, []byte(tenantPrefix)) {
			s.tenants[string(k)] = string(v)
		}
		return nil
	})
}

func (s *Store) loadStreams(tx *bbolt.Tx) error {
	err := values(tx, bucketLedger, func(k, v []byte) error {
		key, err := event.ParseStreamKey(string(k))
		if err != nil {
			return &damage{err}
		}
		st := &stream{key: key, name: bytes.Clone(k), num: uint32(len(s.numbered))}
		s.streams[key] = st
		s.numbered = append(s.numbered, st)
		return st.decodeLedger(v)
	})
	if err != nil {
		return err
	}
	n := 0
	err = values(tx, bucketCursors, func(k, v []byte) error {
		n++
		key, err := event.ParseStreamKey(string(k))
		if err != nil {
			return &damage{err}
		}
		st := s.streams[key]
		if st == nil {
			return damaged("stream %s has cursors but no ledger", k)
		}
		return st.decodeCursors(v)
	})
	if err == nil && n != len(s.streams) {
		return damaged("%d streams have a ledger, %d have cursors", len(s.streams), n)
	}
	return err
}

func (s *Store) loadLanes(tx *bbolt.Tx) error {
	return values(tx, bucketLanes, func(k, v []byte) error {
		l, err := decodeLane(v)
		if err != nil {
			return &damage{err}
		}
		l.skipped, l.index = map[event.StreamKey]uint64{}, newLetterIndex()
		s.lanes[string(k)] = l
		s.nextSeq = max(s.nextSeq, l.pos.Seq)
		return nil
	})
}

type deadKey struct {
	key  event.StreamKey
	sink string
}

// loadDead counts the letters and compares those that are dead with the ledger.
func (s *Store) loadDead(tx *bbolt.Tx) error {
	dead := map[deadKey]uint64{}
	err := tx.Bucket(bucketDead).ForEach(func(k, v []byte) error {
		h, _, err := decodeDead(k, v)
		if err != nil {
			return err
		}
		st, l := s.streams[h.letter.Record.Key], s.lanes[h.letter.Sink]
		if st == nil || l == nil {
			return damaged("dead letter %d is of stream %s and sink %s, which there are not", h.letter.ID, h.letter.Record.Key, h.letter.Sink)
		}
		l.letters += int64(len(v))
		switch h.letter.State {
		case event.Parked:
			st.sink(h.letter.Sink).parked++
		case event.Returning:
			st.sink(h.letter.Sink).returning++
		default:
			dead[deadKey{st.key, h.letter.Sink}]++
			l.dead++
			return nil
		}
		l.index.change(letterKind{h.letter.State, st.key}, true, minuteOf(h.letter.Record.Time), []uint64{h.letter.ID})
		return nil
	})
	if err != nil {
		return err
	}
	for _, st := range s.numbered {
		for i := range st.sinks {
			c := &st.sinks[i]
			if n := dead[deadKey{st.key, c.sink}]; n != c.counts.Dead {
				return damaged("%s has %d dead letters of %s, the ledger has %d", c.sink, n, st.key, c.counts.Dead)
			}
		}
	}
	return nil
}

// loadJournal builds the index from the headers.
func (s *Store) loadJournal(tx *bbolt.Tx) error {
	journal := tx.Bucket(bucketJournal)
	err := journal.ForEach(func(k, v []byte) error {
		if len(k) != 8 || v != nil {
			return damaged("journal has a key %x that is not a batch", k)
		}
		seq := binary.BigEndian.Uint64(k)
		value := journal.Bucket(k).Get(batchKey)
		h, _, err := decodeHeader(value)
		if err != nil {
			return damaged("batch %d: %w", seq, err)
		}
		st := s.streams[h.key]
		if h.seq != seq || st == nil {
			return damaged("batch %d is of seq %d and stream %s", seq, h.seq, h.key)
		}
		s.index = append(s.index, entryOf(&h, st.num, len(value)))
		s.used += int64(len(value))
		s.nextSeq = max(s.nextSeq, seq+1)
		return nil
	})
	// The sequence outlives the batches: a seq is never used twice.
	s.nextSeq = max(s.nextSeq, journal.Sequence()+1)
	return err
}

func entryOf(h *header, stream uint32, stored int) entry {
	return entry{
		seq: h.seq, stream: stream, records: uint32(h.records), stored: uint32(stored),
		read:  uint32(min(max(h.read.Unix(), 0), math.MaxUint32)),
		first: minuteOf(h.first), last: minuteOf(h.last),
	}
}

// adds checks the identities of the ledger.
func (s *Store) adds() error {
	for _, st := range s.numbered {
		c := &st.counts
		if c.Rows != c.New+c.Updated+c.Seen+c.Suppressed+c.Outside+c.Resent {
			return damaged("ledger of %s does not add up: %+v", st.key, *c)
		}
		for i := range st.sinks {
			if s.lanes[st.sinks[i].sink] == nil {
				return damaged("ledger of %s has sink %s, which has no lane", st.key, st.sinks[i].sink)
			}
		}
	}
	for sink, l := range s.lanes {
		waiting := pending(s.index, l.pos, len(s.numbered))
		for num, st := range s.numbered {
			var c sinkCount
			if at := st.find(sink); at >= 0 {
				c = st.sinks[at]
			}
			if c.joined != c.counts.Settled()+waiting[num]+c.parked+c.returning {
				return damaged("ledger of %s at %s does not add up: %d joined, %d settled, %d in the journal, %d parked, %d on their way again",
					st.key, sink, c.joined, c.counts.Settled(), waiting[num], c.parked, c.returning)
			}
		}
	}
	return nil
}
