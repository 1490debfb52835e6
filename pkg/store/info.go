package store

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Info is what the state file is made of. Sizes are in bytes.
type Info struct {
	Path    string     `json:"path"`
	Format  uint32     `json:"format"`
	Writer  string     `json:"writer,omitempty"` // the version of logferry that has opened it last
	Size    int64      `json:"size"`
	Free    int64      `json:"free"` // of Size: what new records take first, and what compacting gives back
	Streams int        `json:"streams"`
	Journal JournalUse `json:"journal"`
	Seen    SeenUse    `json:"seen"`
	Letters uint64     `json:"letters"` // dead, parked and returning
	Lanes   []LaneUse  `json:"lanes"`
}

// JournalUse is what the journal holds.
type JournalUse struct {
	Batches int    `json:"batches"`
	Bytes   int64  `json:"bytes"` // compressed, with the headers
	Most    int64  `json:"most"`  // state.journal_max_bytes
	Next    uint64 `json:"next"`  // number of the next batch
}

// SeenUse is what is remembered of records that were read.
type SeenUse struct {
	IDs     uint64 `json:"ids"`
	Bytes   int64  `json:"bytes"`
	Minutes uint64 `json:"minutes"` // with a count and a sum, for verify
}

// LaneUse is one sink's place, and what waits for it.
type LaneUse struct {
	Sink        string    `json:"sink"`
	Seq         uint64    `json:"seq"`
	Index       int       `json:"index"`
	Pending     uint64    `json:"pending"`
	Bytes       uint64    `json:"bytes"`
	Oldest      time.Time `json:"oldest,omitzero"`
	Dead        uint64    `json:"dead"`
	Returning   uint64    `json:"returning"`
	Parked      uint64    `json:"parked"`
	LetterBytes int64     `json:"letter_bytes"`
}

// Info counts what the file holds. It looks at one stream at a time, so that nobody waits for it.
func (s *Store) Info() (Info, error) {
	info := Info{Path: s.path()}
	file, err := s.file.Stat()
	if err == nil {
		info.Size = file.Size()
		err = s.view(func(tx *bbolt.Tx) error {
			meta := tx.Bucket(bucketMeta)
			info.Writer = writerOf(meta)
			info.Format, err = formatOf(meta)
			info.Free = s.free(tx, info.Size)
			return err
		})
	}
	if err != nil {
		return info, fmt.Errorf("look into the state file: %w", err)
	}
	for _, l := range s.LaneStates() {
		use := LaneUse{
			Sink: l.Sink, Seq: l.Pos.Seq, Index: l.Pos.Index, Pending: l.Pending, Bytes: l.Bytes, Oldest: l.Oldest,
			Dead: l.Dead, Returning: l.Returning, LetterBytes: l.Letters,
		}
		for _, n := range l.Parked {
			use.Parked += n
		}
		info.Letters += use.Dead + use.Returning + use.Parked
		info.Lanes = append(info.Lanes, use)
	}
	names := s.journalUse(&info)
	for _, name := range names {
		if err := s.view(func(tx *bbolt.Tx) error { return info.Seen.add(tx, name) }); err != nil {
			return info, fmt.Errorf("look into the state file: %w", err)
		}
	}
	return info, nil
}

// journalUse tells of the journal, and the names of all streams.
func (s *Store) journalUse(info *Info) (names [][]byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	info.Streams = len(s.numbered)
	info.Journal = JournalUse{Batches: len(s.index), Bytes: s.used, Most: s.o.JournalMaxBytes, Next: s.nextSeq}
	for _, st := range s.numbered {
		names = append(names, st.name)
	}
	return names
}

// add counts what is remembered of a stream.
func (u *SeenUse) add(tx *bbolt.Tx, stream []byte) error {
	if b := sub(tx, bucketSeen, stream); b != nil {
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			u.IDs += uint64(max(0, len(v)-1) / entrySize)
			u.Bytes += int64(len(k) + len(v))
		}
	}
	if b := sub(tx, bucketMinutes, stream); b != nil {
		c := b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			u.Minutes++
		}
	}
	return nil
}
