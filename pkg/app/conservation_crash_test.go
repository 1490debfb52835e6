package app_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// points are where the pipeline can be made to crash: around the transactions of the state file, and between a Send and its step.
var points = []string{"append:before-commit", "append:after-commit", "step:before-commit", "step:after-commit", "lane:after-send"}

// trap makes the running pipeline crash when it passes a point for the n-th time.
type trap struct {
	point  string
	left   atomic.Int64
	sprung chan struct{}
}

// pass is the pipeline's Crash hook, called in its own goroutines.
func (w *world) pass(l *life, point string) {
	if t := w.trap.Load(); t != nil && t.point == point && !l.over() && t.left.Add(-1) == 0 {
		w.crash()
		close(t.sprung)
	}
}

// crash ends the running life as kill -9 would: from now on nothing of it is heard any more, and the next one goes on with what
// its files hold at this moment. The caller has to call stop.
func (w *world) crash() {
	w.alive.end()
	w.crashes = append(w.crashes, w.now())
	next := fmt.Sprintf("state-%d", len(w.crashes))
	if err := copyState(w.path(next), w.path(w.state)); err != nil {
		w.Error(err)
	}
	w.state = next
}

// crashFor runs on until the n-th passing of a point, for which it waits no longer than patience, and crashes there.
func (w *world) crashFor(point string, n int64, patience time.Duration) (passed bool) {
	t := &trap{point: point, sprung: make(chan struct{})}
	t.left.Store(n)
	w.trap.Store(t)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-t.sprung:
		passed = true
	case <-timer.C:
		w.settle()
		if w.trap.Swap(nil); !w.alive.over() {
			w.crash()
		}
	}
	w.trap.Store(nil)
	w.stop()
	return passed
}

// copyState copies a state folder as it is at one moment, while its owner may be writing. What was written is in the files at
// once, with or without an fsync: a process that is killed takes nothing along that write has accepted. Two meta pages at the
// head of the state file tell which of the other pages count, and a transaction writes only such as do not count for the
// newest one. So a copy is one of a single moment if these two are the same before and after it was read.
func copyState(to, from string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := readStill(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// readStill reads a file, again if its head has changed meanwhile.
func readStill(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 2*os.Getpagesize())
	for {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		n, err := f.ReadAt(head, 0)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if bytes.Equal(head[:n], data[:min(len(data), len(head))]) {
			return data, nil
		}
	}
}
