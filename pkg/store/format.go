package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"
)

// formatVersion is the format that this version reads and writes.
//
//	1  the first
//	2  letters may be parked; meta has "writer", and may have "needs" and "migrating"
//
// A value that gets a new part behind its old ones stays in its format, because older versions pass over that. Whatever an older
// version would take for damage, or would not carry along, needs a new format, or a word in "needs" from its first use on.
const formatVersion = 2

// What meta says of the format. Every version finds these in the same place and form for ever: without them none could say what
// it has met.
var (
	keyFormat  = []byte("format")    // u32, big endian
	keyWriter  = []byte("writer")    // the version of logferry that has opened the file last, as text
	keyNeeds   = []byte("needs")     // words for what is in use and not part of the format: who does not know them all cannot open the file
	keyMigrate = []byte("migrating") // the place from which on a migration to this format goes on; none: there is none under way
)

// migration is one step of the ladder, from one format to the next. It does a part of the work in tx, from the place that the part
// before has given (nil: the beginning), and gives the next place, or nil when all is done. Each part is a transaction, so a journal
// of gigabytes is not rewritten in one: a part should change some megabytes at most.
type migration func(tx *bbolt.Tx, place []byte) (next []byte, err error)

// ladder has the steps from format 1 on. A step that was released is never changed: it reads and writes what the formats were then, without
// the code of today's.
var ladder = []migration{toFormat2}

// toFormat2 has nothing to rewrite: what is new is written when it is first needed.
func toFormat2(*bbolt.Tx, []byte) ([]byte, error) { return nil, nil }

// climb brings the file to the format at the top of the ladder and gives the one that it had. The new format is written with the
// first part of a step: from then on an older version refuses the file. A crash at any moment leaves a file that the next climb goes on with.
func (s *Store) climb(ladder []migration) (had uint32, err error) {
	top := uint32(len(ladder)) + 1
	for {
		have, place, fresh, err := s.rung()
		if err != nil || fresh || have >= top && place == nil {
			return had, errors.Join(err, s.signed(fresh))
		}
		if place == nil {
			have, place = have+1, []byte{}
		}
		if had == 0 {
			had = have - 1
		}
		if err := s.climbPart(ladder[have-2], have, place); err != nil {
			return had, fmt.Errorf("migrate state to format %d: %w", have, err)
		}
	}
}

// rung tells how far up the file is: its format, and the place of a migration to that format which is under way.
func (s *Store) rung() (have uint32, place []byte, fresh bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if fresh = meta == nil; fresh {
			return nil
		}
		if have, err = formatOf(meta); err != nil {
			return err
		}
		if sealed := meta.Get(keyMigrate); sealed != nil {
			v, err := unseal(keyMigrate, sealed)
			place = append([]byte{}, v...)
			return err
		}
		return nil
	})
	return have, place, fresh, err
}

func (s *Store) climbPart(step migration, to uint32, place []byte) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if len(place) == 0 {
			place = nil
		}
		next, err := step(tx, place)
		if err != nil {
			return err
		}
		meta := tx.Bucket(bucketMeta)
		if next == nil {
			err = meta.Delete(keyMigrate)
		} else {
			err = meta.Put(keyMigrate, seal(keyMigrate, append([]byte{}, next...)))
		}
		if err = errors.Join(err, s.sign(meta), meta.Put(keyFormat, sealFormat(to))); err == nil {
			s.crash("migrate:before-commit")
		}
		return err
	})
	if err == nil {
		s.crash("migrate:after-commit")
	}
	return err
}

// signed has the file name the version that opens it. On a full disk the name stays what it was: it only helps a message.
func (s *Store) signed(fresh bool) error {
	if fresh || s.o.Version == "" {
		return nil
	}
	var last string
	err := s.db.View(func(tx *bbolt.Tx) error { last = writerOf(tx.Bucket(bucketMeta)); return nil })
	if err != nil || last == s.o.Version {
		return err
	}
	if err = s.db.Update(func(tx *bbolt.Tx) error { return s.sign(tx.Bucket(bucketMeta)) }); err != nil && noSpace(err) {
		return nil
	}
	return err
}

func (s *Store) sign(meta *bbolt.Bucket) error {
	if s.o.Version == "" {
		return nil
	}
	return meta.Put(keyWriter, seal(keyWriter, []byte(s.o.Version)))
}

func (s *Store) crash(point string) {
	if s.o.Crash != nil {
		s.o.Crash(point)
	}
}

func sealFormat(n uint32) []byte { return seal(keyFormat, binary.BigEndian.AppendUint32(nil, n)) }

func formatOf(meta *bbolt.Bucket) (uint32, error) {
	v, err := unseal(keyFormat, meta.Get(keyFormat))
	if err != nil {
		return 0, err
	}
	if len(v) != 4 || binary.BigEndian.Uint32(v) == 0 {
		return 0, damaged("format is %x", v)
	}
	return binary.BigEndian.Uint32(v), nil
}

// writerOf gives "" where it is not known. It is text for people: nothing hangs on it.
func writerOf(meta *bbolt.Bucket) string {
	v, err := unseal(keyWriter, meta.Get(keyWriter))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(v), "?")
}

// checkFormat tells whether this version can open the file. It changes nothing.
func (s *Store) checkFormat(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return damaged("there is no bucket %s", bucketMeta)
		}
		return nil // a crash between the first two transactions of its life
	}
	have, err := formatOf(meta)
	if err != nil {
		return err
	}
	refused := &FormatError{Path: s.path(), Have: have, Want: formatVersion, Writer: writerOf(meta), Version: s.o.Version}
	if have > formatVersion {
		return refused
	}
	if sealed := meta.Get(keyNeeds); sealed != nil {
		needs, err := unseal(keyNeeds, sealed)
		if err != nil {
			return err
		}
		if refused.Needs = strings.Fields(string(needs)); len(refused.Needs) > 0 { // this version knows of none
			return refused
		}
	}
	return nil
}
