package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// TestLettersCrashPoints: a copy of the file at each change of letters, as a kill would leave it, has all of the change or nothing.
func TestLettersCrashPoints(t *testing.T) {
	dir, copies := t.TempDir(), t.TempDir()
	var taken []string
	o := fastOptions()
	o.Crash = func(point string) {
		if !strings.HasPrefix(point, "letters:") {
			return
		}
		to := filepath.Join(copies, fmt.Sprint(len(taken)))
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Error(err)
		}
		copyFile(t, filepath.Join(dir, fileName), filepath.Join(to, fileName))
		taken = append(taken, to)
	}
	s := open(t, dir, o)
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	appendPages(t, s, "a b c d", "e f")
	mustStep(t, s, stepOf(t, s, "one", 1, event.Dead))
	mustStep(t, s, stepOf(t, s, "one", 2, event.Parked))
	stands := []string{stand(s, "one", keyA)}
	for _, do := range []func() (int, error){
		func() (int, error) { return s.Return(bg, event.LetterFilter{}) },
		func() (int, error) { return s.Unpark(bg, "one", keyA) },
		func() (int, error) { return s.Drop(bg, states(event.Returning)) },
	} {
		if n, err := do(); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		stands = append(stands, stand(s, "one", keyA))
	}
	if len(taken) != 6 {
		t.Fatalf("%d copies", len(taken))
	}
	for i, at := range taken {
		again := open(t, at, fastOptions())
		if got, want := stand(again, "one", keyA), stands[(i+1)/2]; got != want {
			t.Errorf("copy %d: %s, want %s", i, got, want)
		}
		mustCheck(t, again)
		again.Close()
	}
	s.Close()
}

// TestManyLetters has a replay of 200,000 letters go as a lane does it, beside some that stay dead: what a quarter costs does
// not grow with what is kept. Each change of a stretch is a bounded transaction.
func TestManyLetters(t *testing.T) {
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	s := withLanes(t, fastOptions(), "one")
	defer s.Close()
	const size = 2000
	stay := n / 10
	for at := 0; at < n+stay; at += size {
		var records []event.Record
		for i := range size {
			records = append(records, rec(fmt.Sprint(at+i), noon.Add(time.Duration(at+i)*time.Millisecond), 1))
		}
		res := mustAppend(t, s, page(keyA, records...))
		mustStep(t, s, stepOf(t, s, "one", res.Batch.Seq, event.Dead))
	}
	began, before := time.Now(), s.Commits()
	returned, err := s.Return(bg, event.LetterFilter{Sink: "one", Reason: "refused", From: noon.Add(time.Duration(stay) * time.Millisecond)})
	if err != nil || returned != n {
		t.Fatal(returned, err)
	}
	if commits := s.Commits() - before; commits < uint64(n/lettersAtOnce) || commits > uint64(n/lettersAtOnce+1) {
		t.Errorf("%d letters took %d transactions", n, commits)
	}
	t.Logf("%d letters of %d return: %s", n, n+stay, time.Since(began))
	var quarters []time.Duration
	for sent, from := 0, time.Now(); sent < n; {
		all, err := s.Letters(event.LetterFilter{Sink: "one", States: []event.LetterState{event.Returning}}, 256)
		if err != nil || len(all) == 0 {
			t.Fatal(len(all), err)
		}
		var verdicts []event.Settled
		for i := range all {
			v := event.Settled{ID: all[i].ID, Counts: event.SinkCounts{Delivered: 1}}
			if i%2 == 0 {
				v.Counts, v.Again = event.SinkCounts{Dead: 1}, &event.DeadLetter{At: noon, Reason: "no"}
			}
			verdicts = append(verdicts, v)
		}
		if err := s.Settle(bg, "one", verdicts); err != nil {
			t.Fatal(err)
		}
		if sent += len(all); sent >= n*(len(quarters)+1)/4 {
			quarters, from = append(quarters, time.Since(from)), time.Now()
		}
	}
	t.Logf("quarters of the replay: %v", quarters)
	if first, last := quarters[0], quarters[3]; last > 4*first+2*time.Second {
		t.Errorf("the last quarter took %s, the first %s", last, first)
	}
	from := time.Now()
	dropped, err := s.Drop(bg, event.LetterFilter{Sink: "one"})
	if err != nil || dropped < n/2+stay || s.LaneStates()[0].Letters != 0 {
		t.Fatal(dropped, err)
	}
	t.Logf("%d letters dropped: %s", dropped, time.Since(from))
	mustCheck(t, s)
	if left := count(t, s); left != 0 {
		t.Errorf("%d letters in the file", left)
	}
}

func count(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.view(func(tx *bbolt.Tx) error {
		n = tx.Bucket(bucketDead).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
