package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

// skipTo has a lane give up all that lies before batch upTo.
func skipTo(t testing.TB, s *Store, sink string, upTo uint64) {
	t.Helper()
	err := s.do(bg, &request{durable: true, apply: func(t *txn) error {
		t.skipTo(sink, upTo)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// fill journals pages of ten records of keyA, a minute apart, until the journal is full, and gives their number.
func fill(t testing.TB, s *Store, first int) (next int) {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{1})
	for next = first; s.Room() > 0; next++ {
		c := page(keyA)
		for i := range 10 {
			r := rec(fmt.Sprint(next, "/", i), noon.Add(time.Duration(next)*time.Minute), 1)
			r.Raw = make([]byte, 100)
			rng.Read(r.Raw)
			c.Records = append(c.Records, r)
		}
		mustAppend(t, s, c)
	}
	return next
}

func smallJournal() Options {
	o := fastOptions()
	o.JournalMaxBytes = 100_000
	return o
}

func step(t testing.TB, s *Store, sink string, seq uint64, records uint64) {
	t.Helper()
	if err := s.Step(bg, event.LaneStep{Sink: sink, To: event.Position{Seq: seq}, Counts: delivered(records)}); err != nil {
		t.Fatal(err)
	}
}

// TestSkipOldest: in a full journal the lanes that may skip give up a sixteenth of it, in one transaction with the count and the
// mark, but nothing that a lane which waits holds as well.
func TestSkipOldest(t *testing.T) {
	for _, tt := range []struct {
		name    string
		sinks   []string
		waiting uint64 // the place of lane "waits"
		to      uint64 // 0: nothing is skipped
	}{
		{"the dead lane alone holds it", []string{"dead"}, 50, 7},
		{"a lane that waits holds the oldest", []string{"dead"}, 1, 0},
		{"a lane that waits stands in between", []string{"dead"}, 4, 4},
		{"all may", []string{"dead", "waits"}, 1, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, smallJournal())
			if err := s.Lanes([]string{"dead", "waits"}, nil, nil); err != nil {
				t.Fatal(err)
			}
			if skips, err := s.SkipOldest(tt.sinks); skips != nil || err != nil {
				t.Fatalf("with room: %+v %v", skips, err)
			}
			n := fill(t, s, 0)
			if tt.waiting > 1 {
				step(t, s, "waits", tt.waiting, (tt.waiting-1)*10)
			}
			skips, err := s.SkipOldest(tt.sinks)
			if err != nil {
				t.Fatal(err)
			}
			var want []event.Skip
			var marks []event.Mark
			if tt.to > 0 {
				for _, sink := range tt.sinks {
					until := noon.Add(time.Duration(tt.to-1) * time.Minute)
					want = append(want, event.Skip{Sink: sink, To: event.Position{Seq: tt.to}, Records: (tt.to - 1) * 10, From: noon, Until: until})
					marks = append(marks, event.Mark{Kind: event.Skipped, Reader: sink, From: noon, To: until, Reason: skipReason, At: noon})
				}
			}
			if d := cmp.Diff(want, skips); d != "" {
				t.Error(d)
			}
			if full := s.Room() <= 0; full != (tt.to == 0) {
				t.Errorf("of %d batches, %d bytes of room", n, s.Room())
			}
			mustCheck(t, s)
			s.Close()
			s = open(t, dir, smallJournal())
			if d := cmp.Diff(marks, s.Marks(keyA)); d != "" {
				t.Errorf("after a restart: %s", d)
			}
			for _, skip := range want {
				if l := s.Ledger()[keyA].Sinks[skip.Sink]; l.Skipped != skip.Records || l.Joined != l.Settled()+l.Pending {
					t.Errorf("ledger of %s: %+v", skip.Sink, l)
				}
			}
		})
	}
}

// TestDeletingComesBeforeSkipping: batches that all lanes have passed are deleted a few at a time. A journal that is full of
// them loses nothing.
func TestDeletingComesBeforeSkipping(t *testing.T) {
	o := smallJournal()
	o.JournalMaxBytes *= 2
	s := withLanes(t, o, "dead")
	n := uint64(0)
	for ; s.Room() > 0; n++ {
		mustAppend(t, s, page(keyA, rec(fmt.Sprint(n), noon, 1)))
	}
	if n < 2*trimMost {
		t.Fatalf("%d batches prove nothing", n)
	}
	// As after an Open: the lane has passed them and nothing is deleted yet.
	s.mu.Lock()
	s.lanes["dead"].pos = event.Position{Seq: n}
	s.mu.Unlock()
	for range n {
		skips, err := s.SkipOldest([]string{"dead"})
		if len(skips) > 0 || err != nil {
			t.Fatalf("skipped: %+v %v", skips, err)
		}
	}
	if len(s.index) != 1 {
		t.Errorf("%d batches are left", len(s.index))
	}
}

// TestReadWhileTheBatchIsDeleted: between the commit that deletes a batch and the moment that memory knows of it, the batch is
// not damaged.
func TestReadWhileTheBatchIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withLanes(t, fastOptions(), "one")
		appendPages(t, s, "a", "b")
		committed, release := make(chan struct{}), make(chan struct{})
		skipped := make(chan error, 1)
		go func() {
			skipped <- s.do(bg, &request{durable: true, apply: func(t *txn) error {
				t.tx.OnCommit(func() { close(committed); <-release })
				t.skipTo("one", 2)
				return nil
			}})
		}()
		<-committed
		read := make(chan string, 1)
		go func() {
			b, err := s.Read(1)
			read <- fmt.Sprint(ids(b), " ", err)
		}()
		synctest.Wait()
		close(release)
		if err := <-skipped; err != nil {
			t.Fatal(err)
		}
		if got := <-read; got != "b <nil>" {
			t.Errorf("read gives %s", got)
		}
		s.Close()
	})
}

func at(from, to int) event.Mark {
	return event.Mark{Kind: event.Skipped, Reader: "x", From: noon.Add(time.Duration(from) * time.Minute), To: noon.Add(time.Duration(to) * time.Minute)}
}

func of(sink string, m event.Mark) event.Mark {
	m.Reader = sink
	return m
}

func TestSkippedMarksMerge(t *testing.T) {
	gap := event.Mark{Kind: event.Gap, From: noon, To: noon.Add(time.Hour)}
	for _, tt := range []struct {
		name             string
		old, added, want []event.Mark
	}{
		{"the first", nil, []event.Mark{at(0, 1)}, []event.Mark{at(0, 1)}},
		{"one behind the other", []event.Mark{at(0, 5)}, []event.Mark{at(5, 6)}, []event.Mark{at(0, 6)}},
		{"a minute between", []event.Mark{at(0, 5)}, []event.Mark{at(6, 7)}, []event.Mark{at(0, 7)}},
		{"two minutes between", []event.Mark{at(0, 5)}, []event.Mark{at(7, 8)}, []event.Mark{at(0, 5), at(7, 8)}},
		{"inside", []event.Mark{at(0, 9)}, []event.Mark{at(3, 4)}, []event.Mark{at(0, 9)}},
		{"a bridge", []event.Mark{at(0, 2), at(10, 12)}, []event.Mark{at(1, 10)}, []event.Mark{at(0, 12)}},
		{"older", []event.Mark{at(5, 6)}, []event.Mark{at(0, 1)}, []event.Mark{at(0, 1), at(5, 6)}},
		{"another sink", []event.Mark{at(0, 5)}, []event.Mark{of("a", at(5, 6))}, []event.Mark{of("a", at(5, 6)), at(0, 5)}},
		{"behind other kinds", []event.Mark{gap, at(0, 5)}, []event.Mark{at(5, 6)}, []event.Mark{gap, at(0, 6)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := &stream{marks: tt.old}
			before := slices.Clone(tt.old)
			st.addSkipped(tt.added)
			if d := cmp.Diff(tt.want, st.marks); d != "" {
				t.Error(d)
			}
			if !slices.Equal(before, tt.old) {
				t.Error("the marks of a published stream have changed")
			}
		})
	}
}

// TestSkippedMarksAreBounded: beyond the limit the oldest of each sink become one that names all of them, and more.
func TestSkippedMarksAreBounded(t *testing.T) {
	var all []event.Mark
	for i := range 3 * skippedMost / 2 {
		all = append(all, of([]string{"a", "b"}[i%2], at(10*i, 10*i+1)))
	}
	st := &stream{}
	for c := range slices.Chunk(all, 7) {
		st.addSkipped(c)
		if len(st.marks) > skippedMost {
			t.Fatalf("%d marks", len(st.marks))
		}
	}
	for _, m := range all {
		if !slices.ContainsFunc(st.marks, func(x event.Mark) bool {
			return x.Reader == m.Reader && !x.From.After(m.From) && !x.To.Before(m.To)
		}) {
			t.Fatalf("nothing names %+v", m)
		}
	}
	if n := len(st.marks); n < skippedMost-10 || !slices.Contains(st.marks, all[len(all)-1]) {
		t.Errorf("%d marks are left, or the newest is none of them", n)
	}
}

// TestMarks: what Moves sets replaces what it has set before and nothing else, is forgotten when it is old, and outlives a
// restart.
func TestMarks(t *testing.T) {
	dir := t.TempDir()
	now := noon
	o := fastOptions()
	o.Now = func() time.Time { return now }
	s := open(t, dir, o)
	if err := s.Lanes([]string{"one", "two"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	appendPages(t, s, "a", "b")
	skipTo(t, s, "one", 2)
	skipped := event.Mark{Kind: event.Skipped, Reader: "one", From: noon, To: noon.Add(time.Minute), Reason: skipReason, At: noon}
	gap := event.Mark{Kind: event.Gap, From: noon.Add(-time.Hour), To: noon, Reason: "older than retention", At: noon}
	doubt := event.Mark{Kind: event.Doubt, From: noon.Add(-2 * time.Hour), To: noon.Add(-time.Hour)}
	stray := event.Mark{Kind: event.Skipped, Reader: "two", From: noon, To: noon}
	for _, tt := range []struct {
		name  string
		moves event.Moves
		want  []event.Mark
	}{
		{"set", event.Moves{Marks: []event.Mark{gap, stray}}, []event.Mark{gap, skipped}},
		{"nil leaves them", event.Moves{Cursors: []event.Cursor{{Reader: "live", Pos: noon}}}, []event.Mark{gap, skipped}},
		{"replaced", event.Moves{Marks: []event.Mark{doubt}}, []event.Mark{doubt, skipped}},
		{"emptied", event.Moves{Marks: []event.Mark{}}, []event.Mark{skipped}},
		{"again", event.Moves{Marks: []event.Mark{gap, doubt}}, []event.Mark{gap, doubt, skipped}},
	} {
		s.SaveCursors(keyA, tt.moves)
		if d := cmp.Diff(tt.want, s.Marks(keyA)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
		mustCheck(t, s)
		s.Close()
		s = open(t, dir, o)
		if d := cmp.Diff(tt.want, s.Marks(keyA)); d != "" {
			t.Errorf("%s, after a restart: %s", tt.name, d)
		}
	}
	if err := s.Lanes([]string{"uno", "two"}, map[string]string{"uno": "one"}, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]event.Mark{gap, doubt, of("uno", skipped)}, s.Marks(keyA)); d != "" {
		t.Errorf("renamed: %s", d)
	}
	now = noon.Add(31*24*time.Hour - time.Minute)
	appendPages(t, s, "c")
	if d := cmp.Diff([]event.Mark{gap, of("uno", skipped)}, s.Marks(keyA)); d != "" {
		t.Errorf("31 days later: %s", d)
	}
	if err := s.Lanes([]string{"two"}, nil, []string{"uno"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]event.Mark{gap}, s.Marks(keyA)); d != "" {
		t.Errorf("the sink is gone: %s", d)
	}
	mustCheck(t, s)
}

// TestMarksOfOtherVersions: a value of before there were marks has none, and what is behind the cursors is passed over by a
// version that does not know of marks.
func TestMarksOfOtherVersions(t *testing.T) {
	st := &stream{name: []byte("x")}
	st.move(event.Moves{Cursors: []event.Cursor{{Reader: "live", Pos: noon}}, Floor: noon})
	old := st.appendCursors(nil)
	st.setMarks([]event.Mark{{Kind: event.Gap, From: noon, To: noon}})
	with := st.appendCursors(nil)
	if string(with[:len(old)]) != string(old) || len(with) == len(old) {
		t.Error("the marks do not stand behind the cursors")
	}
	back := &stream{name: []byte("x")}
	if err := back.decodeCursors(old); err != nil || len(back.marks) > 0 || len(back.cursors) != 1 {
		t.Errorf("a value without marks: %v %+v", err, back)
	}
}
