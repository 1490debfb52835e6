package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// TestCrashPoints copies the file at each hook, which is what a kill -9 there would leave, and opens the copy.
func TestCrashPoints(t *testing.T) {
	dir, copies := t.TempDir(), t.TempDir()
	type copied struct{ point, dir string }
	var taken []copied
	o := fastOptions()
	o.Crash = func(point string) {
		to := filepath.Join(copies, fmt.Sprint(len(taken)))
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Error(err)
		}
		copyFile(t, filepath.Join(dir, fileName), filepath.Join(to, fileName))
		taken = append(taken, copied{point, to})
	}
	s := open(t, dir, o)
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	const rounds = 10
	for i := range rounds {
		c := page(keyA, rec(fmt.Sprint("a", i), noon, 1), rec(fmt.Sprint("b", i), noon, 1))
		c.Cursors = []event.Cursor{{Reader: "live", Pos: noon.Add(time.Duration(i+1) * time.Second)}}
		mustAppend(t, s, c)
		if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: uint64(i + 1), Index: 1}, Counts: delivered(uint64(min(i+1, 2)))}); err != nil {
			t.Fatal(err)
		}
	}
	if len(taken) != 4*rounds {
		t.Fatalf("%d copies", len(taken))
	}
	for i, c := range taken {
		want := []string{"append:before-commit", "append:after-commit", "step:before-commit", "step:after-commit"}[i%4]
		if c.point != want {
			t.Fatalf("copy %d is of %s, want %s", i, c.point, want)
		}
		appended, stepped := (i+3)/4, (i+1)/4
		again := open(t, c.dir, fastOptions())
		if err := again.Check(); err != nil {
			t.Fatalf("%s: %v", c.point, err)
		}
		l := again.Ledger()[keyA]
		var pos time.Duration
		if cur := again.Cursors(keyA); len(cur) == 1 {
			pos = cur[0].Pos.Sub(noon)
		}
		wantDelivered := uint64(max(0, 2*stepped-1))
		if l.New != uint64(2*appended) || pos != time.Duration(appended)*time.Second || l.Sinks["one"].Delivered != wantDelivered {
			t.Errorf("%s %d: new %d, cursor %s, delivered %d; want %d, %d, %d", c.point, i, l.New, pos, l.Sinks["one"].Delivered, 2*appended, appended, wantDelivered)
		}
		if res := mustAppend(t, again, page(keyA, rec(fmt.Sprint("a", appended), noon, 1))); res.New != 1 {
			t.Errorf("%s: a record that was not committed is %+v", c.point, res.PageCounts)
		}
		if appended > 0 {
			if res := mustAppend(t, again, page(keyA, rec(fmt.Sprint("b", appended-1), noon, 1))); res.Seen != 1 {
				t.Errorf("%s: a record that was committed is %+v", c.point, res.PageCounts)
			}
		}
	}
}

// held runs f, in a bubble, while the writer stands in a commit, so that all calls that f starts wait for one group. It gives
// the number of transactions that they took.
func held(t *testing.T, f func(s *Store, wg *sync.WaitGroup)) uint64 {
	t.Helper()
	var n uint64
	synctest.Test(t, func(t *testing.T) {
		gate, first := make(chan struct{}), false
		o := fastOptions()
		o.Crash = func(point string) {
			if first && point == "append:before-commit" {
				first = false
				<-gate
			}
		}
		s := withLanes(t, o, "one")
		defer s.Close()
		var wg sync.WaitGroup
		first = true
		wg.Go(func() { mustAppend(t, s, page(keyA, rec("first", noon, 1))) })
		synctest.Wait()
		before := s.Commits() + 1
		f(s, &wg)
		synctest.Wait()
		close(gate)
		wg.Wait()
		n = s.Commits() - before
		mustCheck(t, s)
	})
	return n
}

func TestCallsShareATransaction(t *testing.T) {
	const calls = 20
	n := held(t, func(s *Store, wg *sync.WaitGroup) {
		for i := range calls {
			wg.Go(func() {
				if res := mustAppend(t, s, page(keyA, rec(fmt.Sprint(i%10), noon, 1))); res.Rows != 1 {
					t.Errorf("%+v", res.PageCounts)
				}
			})
		}
	})
	if n != 1 {
		t.Errorf("%d calls took %d transactions", calls, n)
	}
}

func TestOneFailureInAGroupIsItsOwn(t *testing.T) {
	n := held(t, func(s *Store, wg *sync.WaitGroup) {
		for i := range 5 {
			wg.Go(func() { mustAppend(t, s, page(keyA, rec(fmt.Sprint(i), noon, 1))) })
			wg.Go(func() {
				err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 1}, Counts: delivered(7)})
				var bad *StepError
				if !errors.As(err, &bad) {
					t.Errorf("err is %v", err)
				}
			})
		}
	})
	if n != 1 {
		t.Errorf("they took %d transactions", n)
	}
}

func TestACanceledCallChangesNothing(t *testing.T) {
	held(t, func(s *Store, wg *sync.WaitGroup) {
		ctx, cancel := context.WithCancel(bg)
		wg.Go(func() {
			if _, err := s.Append(ctx, page(keyB, rec("a", noon, 1))); !errors.Is(err, context.Canceled) {
				t.Errorf("err is %v", err)
			}
			if _, ok := s.Ledger()[keyB]; ok {
				t.Error("it was appended")
			}
		})
		synctest.Wait()
		cancel()
	})
}

func TestLazyCursorsAreSavedAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, fastOptions())
		defer s.Close()
		s.SaveCursors(keyA, event.Moves{Cursors: []event.Cursor{{Reader: "live", Pos: noon}}, Floor: noon})
		time.Sleep(lazyDelay)
		synctest.Wait()
		again := open(t, snapshot(t, dir), fastOptions())
		defer again.Close()
		if n := len(again.Cursors(keyA)); n != 1 {
			t.Errorf("%d cursors in the file", n)
		}
	})
}
