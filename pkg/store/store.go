// Package store keeps logferry's state: one bbolt file with the journal of records, the readers' cursors, the ids that were
// seen, the lanes' places, the dead letters and the ledger. What belongs together changes in one transaction, so that a crash
// at any moment leaves either all of it or nothing.
//
// All changes go through one writer goroutine, which lets calls that wait at the same time share a transaction and its fsync.
// What is asked for often (ledger, lanes, room) is answered from memory; the file is the truth that memory is built from.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// Options are what a Store is opened with. The zero value is usable.
type Options struct {
	JournalMaxBytes int64            // stored bytes at which the journal is full; 0: 8 GiB
	Retention       time.Duration    // how long the counts per minute are kept; 0: 31 days
	NoSync          bool             // no fsync: for tests
	Now             func() time.Time // nil: time.Now
	// LettersMaxBytes is how many stored bytes the letters of one sink may take; 0: 1 GiB.
	LettersMaxBytes int64
	// Version is that of logferry. The file keeps it, so that an older version can say which one is needed; "": it is not touched.
	Version string
	// KeepDamaged makes a damaged file an error, where else it is set aside and a new one is begun: for who only looks.
	KeepDamaged bool
	// Crash is called at "append:before-commit", "append:after-commit", and the same of "step" and "letters", of each
	// transaction that holds such a call, of each part of a migration ("migrate"), and where Compact says. For tests; nil in production.
	Crash func(point string)
}

// Names of the files in the state directory.
const (
	fileName     = "state.db"
	markerName   = "suspect"
	lockName     = "lock.pid"
	recoveryName = "recovery.json"
)

// The buckets. Integers in keys are big endian, so that their order is that of the numbers.
var (
	bucketMeta    = []byte("meta")    // of the format (see format.go), "lost", "tenant/CLOUD/CONFIGURED"
	bucketJournal = []byte("journal") // seq u64 -> bucket with one value: header, compressed records (see codec.go)
	bucketCursors = []byte("cursors") // stream -> floor, cursors and marks
	bucketSeen    = []byte("seen")    // stream -> bucket: minute u32, chunk u16 -> digest version, sorted (id hash, digest)
	bucketMinutes = []byte("minutes") // stream -> bucket: minute u32 -> count, sum
	bucketLanes   = []byte("lanes")   // sink -> position
	bucketDead    = []byte("dead")    // id u64 -> head, compressed record
	bucketLedger  = []byte("ledger")  // stream -> page counts, counts per sink
	allBuckets    = [][]byte{bucketMeta, bucketJournal, bucketCursors, bucketSeen, bucketMinutes, bucketLanes, bucketDead, bucketLedger}
)

// Store is an open state file. Its methods may be called from many goroutines.
type Store struct {
	dir   string
	o     Options
	db    *bbolt.DB
	file  *os.File // of db: closing it is the only way to give up the lock after a fault inside a transaction
	queue chan *request
	quit  chan struct{}
	done  chan struct{} // closed when the writer has ended
	w     writer

	migrated uint32 // see Opened.Migrated

	closing  sync.Once
	closeErr error

	mu        sync.RWMutex // guards what follows; only the writer changes it
	streams   map[event.StreamKey]*stream
	numbered  []*stream // by stream.num; the elements are replaced together with those of streams
	lanes     map[string]*lane
	index     []entry // of the journal, ascending by seq
	used      int64   // sum of stored of index
	nextSeq   uint64
	tenants   map[string]string
	repaired  map[uint64]repair // batches taken out by Damaged since Open
	recovered map[event.StreamKey]time.Time
	changed   chan struct{}
	fault     error
	commits   uint64 // transactions since Open
}

// Room is how many stored bytes the journal still takes before it is full. It is not more than zero when it is full.
func (s *Store) Room() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.o.JournalMaxBytes - s.used
}

// Changed gives a channel that is closed at the next change: a batch appended, a lane moved, room made.
func (s *Store) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Err is not nil after a fault inside a transaction: every call fails, the process should exit, and the next Open has the
// file checked.
func (s *Store) Err() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.fault
}

// Commits is how many transactions were committed since Open: together with the number of calls it tells how well calls share them.
func (s *Store) Commits() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.commits
}

// SaveCursors takes moves that no page carries. They are saved with the next transaction, at the latest after 10 s: a cursor that is lost with a
// crash only means that something is read again.
func (s *Store) SaveCursors(key event.StreamKey, m event.Moves) {
	m.Cursors, m.Remove, m.Marks = slices.Clone(m.Cursors), slices.Clone(m.Remove), slices.Clone(m.Marks)
	save := func() error {
		return s.do(context.Background(), &request{apply: func(t *txn) error {
			t.stream(key).move(m)
			return nil
		}})
	}
	// By themselves cursors need no space: somebody else's page, in the same transaction, was too large for the disk. A reader
	// that is named only here would be lost. The other errors are a closed or a faulty store; whoever reads or appends next is
	// told so.
	for errors.Is(save(), ErrNoSpace) {
		continue
	}
}

// Filter gives the operator's filter that the stream's cursors hold for, "" for none.
func (s *Store) Filter(key event.StreamKey) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.streams[key]; st != nil {
		return st.filter
	}
	return ""
}

// Cursors gives the stream's cursors, ordered by reader.
func (s *Store) Cursors(key event.StreamKey) []event.Cursor {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.streams[key]; st != nil {
		return slices.Clone(st.cursors)
	}
	return nil
}

// Tenant gives the tenant id that SetTenant has kept.
func (s *Store) Tenant(cloud, configured string) (tid string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tid, ok = s.tenants[tenantKey(cloud, configured)]
	return tid, ok
}

// SetTenant keeps the tenant id that a configured tenant name stands for, so that state is found before the first sign-in.
func (s *Store) SetTenant(cloud, configured, tid string) error {
	key := tenantKey(cloud, configured)
	err := s.do(context.Background(), &request{durable: true, apply: func(t *txn) error {
		t.after = append(t.after, func() { s.tenants[key] = tid })
		return t.putSealed(bucketMeta, []byte(key), []byte(tid))
	}})
	if err != nil {
		return fmt.Errorf("save tenant id of %s: %w", configured, err)
	}
	return nil
}

const tenantPrefix = "tenant/"

func tenantKey(cloud, configured string) string { return tenantPrefix + cloud + "/" + configured }

// Close saves what is not saved yet, writes recovery.json and gives the file up.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		<-s.done
		s.closeErr = s.release()
	})
	return s.closeErr
}

func (s *Store) release() error {
	var errs []error
	if s.Err() != nil {
		// The transaction in which the fault happened holds bbolt's locks for ever: only its file can be closed.
		errs = append(errs, unlock(s.file), s.file.Close())
	} else {
		_ = s.WriteRecovery() // advisory: on a full disk the one from a minute ago stays
		errs = append(errs, s.w.closing, s.db.Close())
	}
	if err := errors.Join(append(errs, s.removePID())...); err != nil {
		return fmt.Errorf("close state in %s: %w", s.dir, err)
	}
	return nil
}
