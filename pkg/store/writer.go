package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

const (
	groupBytes    = 4 << 20               // most bytes of one transaction, unless a single call has more
	groupTime     = 50 * time.Millisecond // that calls are taken into a transaction for
	lazyDelay     = 10 * time.Second      // after which what rides along is saved by itself
	recoveryEvery = time.Minute
	fullPause     = time.Second // that appends are refused for after the disk was full: a failed commit scans the file
)

// request is one call on its way through the writer.
type request struct {
	point   string             // for Options.Crash: "append", "step", "letters" or ""
	size    int                // bytes
	durable bool               // it has to be committed before it is answered
	apply   func(t *txn) error // finds all faults of its input before it changes anything
	err     error
	done    chan struct{}
}

// writer is what belongs to the writer goroutine alone.
type writer struct {
	seen      seenPage
	arena     arena
	table     []byte
	order     []rowOrder
	unsaved   map[event.StreamKey]bool // streams whose counts or cursors are ahead of the file
	fullUntil time.Time
	closing   error // of the last flush
}

// do has the writer run r and waits for its answer. Once the writer has taken r, ctx is not looked at any more: its outcome
// would be unknown.
func (s *Store) do(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.done = make(chan struct{})
	select {
	case s.queue <- r:
		<-r.done
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return ErrClosed
	}
}

// run is the writer goroutine.
func (s *Store) run() {
	defer close(s.done)
	lazy := time.NewTicker(lazyDelay)
	defer lazy.Stop()
	recovery := time.NewTicker(recoveryEvery)
	defer recovery.Stop()
	for {
		select {
		case r := <-s.queue:
			s.group(r)
		case <-lazy.C:
			// What could not be saved stays unsaved and is tried again with the next transaction.
			_ = s.flush()
		case <-recovery.C:
			// Advisory: the one from a minute ago stays.
			_ = s.WriteRecovery()
		case <-s.quit:
			s.w.closing = s.flush()
			return
		}
	}
}

// group runs first and all calls that are waiting by then in one transaction, and answers them.
func (s *Store) group(first *request) {
	group := []*request{first}
	err := s.guard(func() error {
		t, err := s.begin()
		if err != nil {
			return err
		}
		start := time.Now()
		size := 0
		for r := first; r != nil; {
			if r.err = r.apply(t); r.err == nil {
				size += r.size
				t.note(r)
			}
			r = nil
			if size < groupBytes && time.Since(start) < groupTime {
				select {
				case r = <-s.queue:
					group = append(group, r)
				default:
				}
			}
		}
		return t.end()
	})
	for _, r := range group {
		if err != nil && r.err == nil {
			r.err = err
		}
		close(r.done)
	}
}

// flush saves what rides along.
func (s *Store) flush() error {
	if len(s.w.unsaved) == 0 && !s.trimmable() {
		return nil
	}
	return s.guard(func() error {
		t, err := s.begin()
		if err != nil {
			return err
		}
		t.durable = true
		return t.end()
	})
}

// guard runs f on the file. A panic or a memory fault (the file's pages are mapped) makes the store suspect.
func (s *Store) guard(f func() error) (err error) {
	if err := s.Err(); err != nil {
		return err
	}
	err = caught(f)
	var p *panicked
	if errors.As(err, &p) {
		return s.suspect(p)
	}
	return err
}

// panicked is a panic or fault inside of bbolt.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("fault in the state file: %v", p.value) }

// caught turns panics and memory faults of f into errors.
func caught(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

// suspect marks the file for a check at the next Open and makes every later call fail.
func (s *Store) suspect(cause error) error {
	err := fmt.Errorf("%w: %w", ErrSuspect, cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	s.fault = err
	text := s.o.Now().UTC().Format(time.RFC3339) + " " + cause.Error() + "\n"
	if p, ok := cause.(*panicked); ok {
		text += string(p.stack)
	}
	if werr := writeFile(filepath.Join(s.dir, markerName), []byte(text), true); werr != nil {
		s.fault = fmt.Errorf("%w (and no marker could be left: %w)", err, werr)
	}
	s.wake()
	return s.fault
}

// commit ends a bbolt transaction and judges what its failure means.
func (s *Store) commit(tx *bbolt.Tx) error {
	before := tx.ID() - 1
	err := tx.Commit()
	if err == nil {
		return nil
	}
	if !noSpace(err) {
		return s.suspect(fmt.Errorf("commit: %w", err))
	}
	// A failure after the new meta page was written leaves memory behind the file.
	check, berr := s.db.Begin(false)
	if berr != nil {
		return s.suspect(fmt.Errorf("commit: %w; begin: %w", err, berr))
	}
	last := check.ID()
	if rerr := check.Rollback(); rerr != nil || last != before {
		return s.suspect(fmt.Errorf("commit: %w", err))
	}
	s.w.fullUntil = time.Now().Add(fullPause)
	return fmt.Errorf("%w (%w)", ErrNoSpace, err)
}

// writeFile writes a small file; with sync it returns when that is durable.
func writeFile(path string, data []byte, sync bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
