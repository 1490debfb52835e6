package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

const (
	compactSuffix = ".compact"
	compactTxn    = 16 << 20 // bytes copied in one transaction: what is dirty is held in memory
	compactAlloc  = 1 << 20  // steps in which the copy grows
)

// Compacted tells what Compact has done: sizes of the file in bytes. When they are equal there was nothing to gain, and the file is the
// one that it was.
type Compacted struct{ Before, After int64 }

// SpaceError says that the disk has no room for a compacted copy. Nothing was changed.
type SpaceError struct {
	Path       string
	Need, Free int64 // bytes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("a compacted copy of %s takes up to %d bytes beside it, the disk has %d free: free some; nothing was changed", e.Path, e.Need, e.Free)
}

// Compact replaces the state file in dir by a copy without the free pages, which bbolt keeps for ever otherwise. Nobody may have the file
// open: the error is a *LockedError then. A damaged file is an error too, and stays where it is. The copy takes the file's place, mode and owner
// only when it was found sound and the same, record by record. A crash at any moment leaves the old file or the new one, and perhaps a copy
// that is not done, which the next who opens the file removes. The end of ctx is looked at between the steps.
//
// Options.Crash is called at "compact:copied", "compact:checked" and "compact:swapped".
func Compact(ctx context.Context, dir string, o Options) (Compacted, error) {
	s := newStore(dir, o)
	c, err := s.compact(ctx)
	if err == nil {
		return c, nil
	}
	if noSpace(err) {
		err = fmt.Errorf("%w (%w)", ErrNoSpace, err)
	}
	return c, fmt.Errorf("compact state in %s: %w", dir, err)
}

func (s *Store) compact(ctx context.Context) (c Compacted, err error) {
	info, err := os.Lstat(s.path())
	if err != nil {
		return c, err
	}
	if !info.Mode().IsRegular() {
		return c, fmt.Errorf("%s is no regular file: compact it where it really is", s.path())
	}
	if err := s.try(); err != nil {
		if s.db != nil {
			_ = s.db.Close() // the first error is the one that matters
		}
		return c, err
	}
	defer func() { err = errors.Join(err, s.db.Close()) }()
	if err := s.leavePID(); err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.removePID()) }()
	if info, err = s.file.Stat(); err != nil { // a migration may have made it grow
		return c, err
	}
	c.Before, c.After = info.Size(), info.Size()
	err = caught(func() (err error) {
		if err = s.roomForCopy(info.Size()); err == nil {
			c.After, err = s.swap(ctx, info)
		}
		return err
	})
	return c, err
}

// roomForCopy holds what the copy may take, its pages and some for the tree's upper parts, against the disk.
func (s *Store) roomForCopy(size int64) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		live := size - s.free(tx, size)
		need := live + live/16 + 2*compactAlloc
		if have, known := freeSpace(s.dir); known && have < need {
			return &SpaceError{Path: s.path(), Need: need, Free: have}
		}
		return nil
	})
}

// free is how many bytes of the file hold nothing.
func (s *Store) free(tx *bbolt.Tx, size int64) int64 {
	stats := s.db.Stats()
	return size - tx.Size() + int64(stats.FreePageN+stats.PendingPageN)*int64(s.db.Info().PageSize)
}

// swap makes the copy, checks it and puts it in the file's place. Both are locked until that is durable: who opens either meanwhile
// is refused, and who has opened the old one finds out that it was replaced.
func (s *Store) swap(ctx context.Context, old os.FileInfo) (size int64, err error) {
	to := s.path() + compactSuffix
	dst, err := bbolt.Open(to, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoSync: true, NoGrowSync: true, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
		PageSize: s.db.Info().PageSize, OpenFile: newFile,
	})
	if err != nil {
		return old.Size(), err
	}
	swapped := false
	defer func() {
		err = errors.Join(err, dst.Close())
		if !swapped {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	dst.AllocSize = compactAlloc
	if err := bbolt.Compact(dst, s.db, compactTxn); err != nil {
		return old.Size(), fmt.Errorf("copy: %w", err)
	}
	s.crash("compact:copied")
	if err := likeFile(to, old); err != nil {
		return old.Size(), fmt.Errorf("give the copy the mode and the owner of the file: %w", err)
	}
	copied, err := os.Stat(to)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || copied.Size() >= old.Size() {
		return old.Size(), err
	}
	if err := s.checkCopy(ctx, dst, to); err != nil {
		return old.Size(), fmt.Errorf("check the copy: %w", err)
	}
	s.crash("compact:checked")
	if err := errors.Join(syncFile(to, s.o.NoSync), ctx.Err()); err != nil {
		return old.Size(), err
	}
	if err := os.Rename(to, s.path()); err != nil {
		return old.Size(), err
	}
	swapped = true
	s.crash("compact:swapped")
	return copied.Size(), s.syncDir()
}

// newFile opens a file that must not be there yet.
func newFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|os.O_EXCL, mode)
}

// checkCopy holds the copy against the file: its pages by our walk and by bbolt's, the ledger by counting it anew, and every value.
func (s *Store) checkCopy(ctx context.Context, dst *bbolt.DB, path string) error {
	if err := verifyPages(path, dst.Info().PageSize); err != nil {
		return err
	}
	if err := errors.Join(ctx.Err(), consistent(dst)); err != nil {
		return err
	}
	return dst.View(func(copied *bbolt.Tx) error {
		again := &Store{o: s.o}
		if err := again.load(copied); err != nil {
			return err
		}
		if err := s.same(again); err != nil {
			return err
		}
		return s.db.View(func(tx *bbolt.Tx) error { return sameContent(ctx, tx, copied) })
	})
}

// bucketHolder is a transaction or a bucket.
type bucketHolder interface {
	Cursor() *bbolt.Cursor
	Bucket(name []byte) *bbolt.Bucket
}

// sameContent compares everything below two places: keys, values, sequences.
func sameContent(ctx context.Context, a, b bucketHolder) error {
	ca, cb := a.Cursor(), b.Cursor()
	ka, va := ca.First()
	kb, vb := cb.First()
	for n := 0; ka != nil || kb != nil; n++ {
		if !bytes.Equal(ka, kb) || !bytes.Equal(va, vb) || (va == nil) != (vb == nil) {
			return fmt.Errorf("key %x is another one than in the file", ka)
		}
		if va == nil {
			ba, bb := a.Bucket(ka), b.Bucket(kb)
			if ba.Sequence() != bb.Sequence() {
				return fmt.Errorf("bucket %x counts from %d, in the file from %d", ka, bb.Sequence(), ba.Sequence())
			}
			if err := sameContent(ctx, ba, bb); err != nil {
				return fmt.Errorf("bucket %x: %w", ka, err)
			}
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		ka, va = ca.Next()
		kb, vb = cb.Next()
	}
	return nil
}

// syncFile makes a file durable, its size, mode and owner included.
func syncFile(path string, no bool) error {
	if no {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
