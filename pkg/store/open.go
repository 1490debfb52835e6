package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/logferry/logferry/pkg/event"
)

const (
	lockTimeout = 200 * time.Millisecond
	initialMmap = 256 << 20 // address space only: as long as the file fits, a growing file does not wait for readers
)

// Opened tells what Open has found.
type Opened struct {
	Fresh    bool   // a new file, and no sign of an earlier one
	SetAside string // new name of a damaged file, "" if there was none
	Migrated uint32 // the format that the file had; 0: it had today's
	// Lost says that an earlier state is lost: a stream without cursors has to be read again from Recovered, or from the lower
	// end of retention where that has no entry, and what is found may have been delivered before. It stays set for 30 days.
	Lost      bool
	LostAt    time.Time                     // when that was found out
	Recovered map[event.StreamKey]time.Time // from recovery.json, without streams that have cursors
}

// Open opens or creates the state file in dir, which is created if need be. A damaged file is set aside under a new name,
// never deleted, and a new one is begun, unless o says otherwise. Errors: *LockedError, *FormatError, those of the file system (permission, space);
// for them the file is never set aside.
func Open(dir string, o Options) (*Store, Opened, error) {
	s := newStore(dir, o)
	opened, err := s.open()
	if err != nil {
		if s.db != nil {
			_ = s.db.Close() // the first error is the one that matters
		}
		if noSpace(err) {
			err = fmt.Errorf("%w (%w)", ErrNoSpace, err)
		}
		return nil, opened, fmt.Errorf("open state in %s: %w", dir, err)
	}
	go s.run()
	return s, opened, nil
}

func newStore(dir string, o Options) *Store {
	s := &Store{
		dir: dir, o: o.withDefaults(),
		queue: make(chan *request), quit: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
		repaired: map[uint64]repair{},
	}
	s.w.unsaved = map[event.StreamKey]bool{}
	return s
}

func (o Options) withDefaults() Options {
	if o.JournalMaxBytes <= 0 {
		o.JournalMaxBytes = 8 << 30
	}
	if o.LettersMaxBytes <= 0 {
		o.LettersMaxBytes = 1 << 30
	}
	if o.Retention <= 0 {
		o.Retention = 31 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

func (s *Store) open() (Opened, error) {
	var opened Opened
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return opened, err
	}
	err := s.try()
	var bad *damage
	if errors.As(err, &bad) && s.o.KeepDamaged {
		return opened, fmt.Errorf("%w (the next logferry run sets it aside, and reads again what is lost)", err)
	}
	if bad != nil {
		if opened.SetAside, err = s.setAside(); err != nil {
			return opened, fmt.Errorf("%w; set it aside: %w", bad, err)
		}
		err = s.try()
	}
	if err != nil {
		return opened, err
	}
	if err := s.leavePID(); err != nil {
		return opened, err
	}
	opened.Migrated = s.migrated
	return s.begun(opened)
}

// leavePID only helps the words of a LockedError: a full disk must not keep a backlog from its delivery for it.
func (s *Store) leavePID() error {
	path, pid := filepath.Join(s.dir, lockName), []byte(strconv.Itoa(os.Getpid())+"\n")
	err := os.WriteFile(path, pid, 0o600)
	if errors.Is(err, os.ErrPermission) { // another user's, who was killed
		err = errors.Join(os.Remove(path), os.WriteFile(path, pid, 0o600))
	}
	if err != nil && !noSpace(err) {
		return err
	}
	return nil
}

func (s *Store) removePID() error {
	if err := os.Remove(filepath.Join(s.dir, lockName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// begun finds out whether the file is a first one, one after a loss, or one that goes on.
func (s *Store) begun(opened Opened) (Opened, error) {
	fresh := false
	var loss *recovery
	err := s.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if fresh = meta == nil; fresh {
			return nil
		}
		var err error
		loss, err = lossOf(meta)
		return err
	})
	if err != nil {
		return opened, err
	}
	if fresh {
		recovered, found := readRecovery(s.dir)
		aside, err := filepath.Glob(s.path() + ".damaged-*")
		if err != nil {
			return opened, err
		}
		if found || len(aside) > 0 {
			loss = &recovery{Version: 1, At: s.o.Now().UTC(), Streams: map[string]time.Time{}}
			for key, t := range recovered {
				loss.Streams[key.String()] = t
			}
		}
		opened.Fresh = loss == nil
		if err := s.create(loss); err != nil {
			return opened, err
		}
	}
	if loss != nil && s.o.Now().Sub(loss.At) < lossRemembered {
		opened.Lost, opened.LostAt, s.recovered = true, loss.At, loss.keys()
		for key := range s.recovered {
			if st := s.streams[key]; st != nil && len(st.cursors) > 0 {
				delete(s.recovered, key)
			}
		}
		opened.Recovered = s.recovered
	}
	return opened, nil
}

var keyLost = []byte("lost")

func lossOf(meta *bbolt.Bucket) (*recovery, error) {
	v := meta.Get(keyLost)
	if v == nil {
		return nil, nil
	}
	data, err := unseal(keyLost, v)
	if err != nil {
		return nil, err
	}
	r, err := decodeRecovery(data)
	return &r, err
}

// create makes the buckets of a new file; a loss is kept in it, because the next crash may come before any cursor is saved.
func (s *Store) create(loss *recovery) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range allBuckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if loss != nil {
			data, err := json.Marshal(loss)
			if err != nil {
				return err
			}
			if err := meta.Put(keyLost, seal(keyLost, data)); err != nil {
				return err
			}
		}
		return errors.Join(s.sign(meta), meta.Put(keyFormat, sealFormat(formatVersion)))
	})
	return errors.Join(err, s.syncDir())
}

// try opens the file, brings it to today's format and loads it. A *damage means that its content is at fault.
func (s *Store) try() error {
	for {
		if err := s.tryOnce(); !errors.Is(err, errReplaced) {
			return err
		}
	}
}

// errReplaced says that Compact has put another file in the place of the one that was opened, before its lock was ours.
var errReplaced = errors.New("the file was replaced")

func (s *Store) tryOnce() error {
	info, err := os.Stat(s.path())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && info.Size() > 0 {
		if err := s.verify(); err != nil {
			return err
		}
	}
	if err = s.openLocked(); errors.Is(err, errReplaced) {
		return err
	}
	if err == nil {
		err = caught(s.loadLocked)
	}
	if err != nil {
		return s.judge(err)
	}
	if err := os.Remove(filepath.Join(s.dir, markerName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// loadLocked loads a file whose lock is ours. Its format is looked at once more: a newer version may have had it since verify.
func (s *Store) loadLocked() error {
	err := s.db.View(s.checkFormat)
	if err == nil {
		_ = os.Remove(s.path() + compactSuffix) // of a Compact that did not end: nobody is at it
		s.migrated, err = s.climb(ladder)
	}
	if err == nil {
		err = s.db.View(s.load)
	}
	return err
}

// openLocked opens the file and takes its lock. The error is errReplaced when the file has another name, or none, by then.
func (s *Store) openLocked() error {
	err := caught(func() (err error) {
		s.db, err = bbolt.Open(s.path(), 0o600, &bbolt.Options{
			Timeout: lockTimeout, NoSync: s.o.NoSync, NoGrowSync: s.o.NoSync, InitialMmapSize: initialMmap,
			FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				s.file, err = os.OpenFile(name, flag, mode)
				return s.file, err
			},
		})
		return err
	})
	if err != nil && s.file != nil {
		_ = s.file.Close() // bbolt has closed it, unless it has panicked
	}
	if err == nil && s.replaced() {
		err = errors.Join(errReplaced, s.db.Close())
		s.db = nil
	}
	return err
}

// replaced tells whether the path leads to another file than the one that is open.
func (s *Store) replaced() bool {
	ours, err := s.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(s.path())
	return err != nil || !os.SameFile(ours, now)
}

// judge tells damage from errors that say nothing about the file's content.
func (s *Store) judge(err error) error {
	var p *panicked
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return &LockedError{Path: s.path(), PID: s.holder()}
	case errors.As(err, &p), errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum),
		errors.Is(err, berrors.ErrVersionMismatch), strings.Contains(err.Error(), "file size too small"):
		return &damage{err}
	}
	return err
}

func (s *Store) holder() int {
	b, err := os.ReadFile(filepath.Join(s.dir, lockName))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// verify checks the file's structure before bbolt opens it for writing: bbolt would meet a fault there in goroutines of its
// own, where it ends the process. A file opened read-only is not scanned, but locked against writers.
func (s *Store) verify() error {
	var db *bbolt.DB
	err := caught(func() (err error) {
		db, err = bbolt.Open(s.path(), 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout, NoStatistics: true})
		return err
	})
	if err != nil {
		return s.judge(err)
	}
	err = verifyPages(s.path(), db.Info().PageSize)
	if err == nil {
		err = caught(func() error { return db.View(s.checkFormat) })
	}
	if err == nil && s.marked() {
		err = consistent(db)
	}
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return s.judge(err)
	}
	return nil
}

func (s *Store) marked() bool {
	_, err := os.Stat(filepath.Join(s.dir, markerName))
	return err == nil
}

// consistent runs bbolt's own check.
func consistent(db *bbolt.DB) error {
	return db.View(func(tx *bbolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = damaged("consistency check: %w", err)
			}
		}
		return first
	})
}

// setAside gives the damaged file a new name. It stays for whoever wants to look.
func (s *Store) setAside() (string, error) {
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			return "", err
		}
		s.db = nil
	}
	base := s.path() + ".damaged-" + s.o.Now().UTC().Format("20060102T150405Z")
	name := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			break
		}
		name = base + "-" + strconv.Itoa(n)
	}
	if err := os.Rename(s.path(), name); err != nil {
		return "", err
	}
	if err := os.Remove(filepath.Join(s.dir, markerName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return name, s.syncDir()
}
