package store

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

func appendPages(t testing.TB, s *Store, names ...string) {
	t.Helper()
	for _, name := range names {
		c := page(keyA)
		for _, id := range strings.Fields(name) {
			c.Records = append(c.Records, rec(id, noon, 1))
		}
		mustAppend(t, s, c)
	}
}

func delivered(n uint64) map[event.StreamKey]event.SinkCounts {
	return map[event.StreamKey]event.SinkCounts{keyA: {Delivered: n}}
}

func TestStep(t *testing.T) {
	deadA := event.DeadLetter{At: noon, Reason: "refused", Record: rec("x", noon, 1)}
	deadA.Record.Key = keyA
	tests := []struct {
		name string
		step event.LaneStep
		ok   bool
		pos  event.Position
		pend uint64
	}{
		{"inside of a batch", event.LaneStep{To: event.Position{Seq: 1, Index: 2}, Counts: delivered(2)}, true, event.Position{Seq: 1, Index: 2}, 3},
		{"end of a batch", event.LaneStep{To: event.Position{Seq: 1, Index: 3}, Counts: delivered(3)}, true, event.Position{Seq: 2}, 2},
		{"over a batch", event.LaneStep{To: event.Position{Seq: 2, Index: 1}, Counts: delivered(4)}, true, event.Position{Seq: 2, Index: 1}, 1},
		{"all", event.LaneStep{To: event.Position{Seq: 3}, Counts: delivered(5)}, true, event.Position{Seq: 3}, 0},
		{"dead", event.LaneStep{To: event.Position{Seq: 1, Index: 1}, Counts: map[event.StreamKey]event.SinkCounts{keyA: {Dead: 1}}, Dead: []event.DeadLetter{deadA}},
			true, event.Position{Seq: 1, Index: 1}, 4},
		{"nothing", event.LaneStep{To: event.Position{Seq: 1}}, true, event.Position{Seq: 1}, 5},
		{"too few", event.LaneStep{To: event.Position{Seq: 2}, Counts: delivered(2)}, false, event.Position{Seq: 1}, 5},
		{"too many", event.LaneStep{To: event.Position{Seq: 2}, Counts: delivered(4)}, false, event.Position{Seq: 1}, 5},
		{"beyond the end", event.LaneStep{To: event.Position{Seq: 4}, Counts: delivered(5)}, false, event.Position{Seq: 1}, 5},
		{"another stream", event.LaneStep{To: event.Position{Seq: 2}, Counts: map[event.StreamKey]event.SinkCounts{keyB: {Delivered: 3}}}, false, event.Position{Seq: 1}, 5},
		{"dead without a letter", event.LaneStep{To: event.Position{Seq: 1, Index: 1}, Counts: map[event.StreamKey]event.SinkCounts{keyA: {Dead: 1}}}, false, event.Position{Seq: 1}, 5},
		{"letter without a count", event.LaneStep{To: event.Position{Seq: 1, Index: 1}, Counts: delivered(1), Dead: []event.DeadLetter{deadA}}, false, event.Position{Seq: 1}, 5},
		{"unknown sink", event.LaneStep{Sink: "other", To: event.Position{Seq: 1}}, false, event.Position{Seq: 1}, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := withLanes(t, fastOptions(), "one", "slow")
			appendPages(t, s, "a b c", "d e")
			if tt.step.Sink == "" {
				tt.step.Sink = "one"
			}
			if err := s.Step(bg, tt.step); (err == nil) != tt.ok {
				t.Errorf("err is %v", err)
			}
			l := s.LaneStates()[0]
			if l.Pos != tt.pos || l.Pending != tt.pend {
				t.Errorf("lane %+v, want %+v pending %d", l, tt.pos, tt.pend)
			}
			if l.Pending > 0 && !l.Oldest.Equal(noon) {
				t.Errorf("oldest is %s", l.Oldest)
			}
			mustCheck(t, s)
		})
	}
}

func TestPassedBatchesAreDeleted(t *testing.T) {
	s := withLanes(t, fastOptions(), "one", "two")
	appendPages(t, s, "a", "b", "c")
	room := s.Room()
	for _, sink := range []string{"one", "two"} {
		if err := s.Step(bg, event.LaneStep{Sink: sink, To: event.Position{Seq: 3}, Counts: delivered(2)}); err != nil {
			t.Fatal(err)
		}
	}
	if s.Room() <= room {
		t.Errorf("no room was made: %d, before %d", s.Room(), room)
	}
	b, err := s.Read(0)
	if err != nil || b == nil || b.Seq != 3 {
		t.Fatalf("read gives %+v %v", b, err)
	}
	if b, err := s.Read(4); b != nil || err != nil {
		t.Errorf("at the end read gives %+v %v", b, err)
	}
	mustCheck(t, s)
}

// TestLedgerAddsUpAtEveryMoment looks at the ledger all the time while pages come in and two lanes move: an alert on it must not be
// one about the moment of looking.
func TestLedgerAddsUpAtEveryMoment(t *testing.T) {
	s := withLanes(t, fastOptions(), "one", "two")
	var work sync.WaitGroup
	work.Go(func() {
		for i := range 300 {
			mustAppend(t, s, page(keyA, rec(fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second), 1), rec(fmt.Sprint(i/2), noon.Add(time.Duration(i/2)*time.Second), 1)))
		}
	})
	done := make(chan struct{})
	for _, sink := range []string{"one", "two"} {
		work.Go(func() {
			for seq := uint64(1); seq <= 200; {
				b, err := s.Read(seq)
				if err != nil || b == nil {
					continue
				}
				if err := s.Step(bg, event.LaneStep{Sink: sink, To: event.Position{Seq: b.Seq + 1}, Counts: delivered(uint64(len(b.Records)))}); err != nil {
					t.Error(err)
					return
				}
				seq = b.Seq + 1
			}
		})
	}
	go func() { work.Wait(); close(done) }()
	for looks := 0; ; looks++ {
		l := s.Ledger()[keyA]
		if rows, sinks := l.Unbalanced(); rows > 0 || len(sinks) > 0 {
			t.Fatalf("by %d rows and at %v: %+v", rows, sinks, l)
		}
		select {
		case <-done:
			if looks < 100 || l.Rows == 0 {
				t.Errorf("nothing to prove: %d looks, %d rows", looks, l.Rows)
			}
			mustCheck(t, s)
			return
		default:
			runtime.Gosched()
		}
	}
}

func TestSeqIsNeverUsedTwice(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	appendPages(t, s, "a", "b")
	if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 3}, Counts: delivered(2)}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir, fastOptions())
	if res := mustAppend(t, s, page(keyA, rec("c", noon, 1))); res.Batch.Seq != 3 {
		t.Errorf("seq is %d", res.Batch.Seq)
	}
}

func TestLanesComeAndGo(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	appendPages(t, s, "a b")
	if err := s.Lanes([]string{"one", "two"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	appendPages(t, s, "c")
	l := s.Ledger()[keyA].Sinks
	if l["one"].Pending != 3 || l["two"].Pending != 1 || l["two"].Joined != 1 {
		t.Fatalf("a new sink starts at the end: %+v", l)
	}
	var gone *AbandonedError
	if err := s.Lanes([]string{"two"}, nil, nil); !errors.As(err, &gone) || gone.Sink != "one" || gone.Pending != 3 {
		t.Fatalf("err is %v", err)
	}
	if err := s.Lanes([]string{"uno", "two"}, map[string]string{"uno": "one", "two": "one"}, nil); err != nil {
		t.Fatal(err)
	}
	if l := s.Ledger()[keyA].Sinks; l["uno"].Pending != 3 || l["uno"].Joined != 3 || len(l) != 2 {
		t.Fatalf("renamed: %+v", l)
	}
	mustCheck(t, s)
	if err := s.Lanes([]string{"two"}, nil, []string{"uno"}); err != nil {
		t.Fatal(err)
	}
	skipTo(t, s, "two", 4)
	if err := s.Lanes([]string{"three"}, nil, nil); err != nil {
		t.Fatalf("a sink without pending records is removed silently: %v", err)
	}
	mustCheck(t, s)
}

func TestVerdictOnSkippedRecordsTakesThemBack(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	appendPages(t, s, "a b c", "d")
	skipTo(t, s, "one", 2)
	if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 1, Index: 2}, Counts: delivered(2)}); err != nil {
		t.Fatal(err)
	}
	if l := s.Ledger()[keyA].Sinks["one"]; l.Delivered != 2 || l.Skipped != 1 || l.Pending != 1 {
		t.Errorf("ledger %+v", l)
	}
	if pos := s.LaneStates()[0].Pos; pos != (event.Position{Seq: 2}) {
		t.Errorf("the lane went back to %+v", pos)
	}
	mustCheck(t, s)
}

func TestDamagedBatchIsTakenOut(t *testing.T) {
	s := withLanes(t, fastOptions(), "one", "two")
	c := page(keyA, rec("a", noon, 1), rec("b", noon.Add(90*time.Second), 1))
	c.Cursors = []event.Cursor{{Reader: "live", Pos: noon}}
	mustAppend(t, s, c)
	mustAppend(t, s, page(keyA, rec("c", noon.Add(10*time.Minute), 1)))
	if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 1, Index: 1}, Counts: delivered(1)}); err != nil {
		t.Fatal(err)
	}
	slice, err := s.Damaged(1)
	if err != nil || !slice.From.Equal(noon) || !slice.To.Equal(noon.Add(2*time.Minute)) {
		t.Fatalf("slice %s %v", slice, err)
	}
	if again, err := s.Damaged(1); err != nil || again != slice {
		t.Errorf("the second call gives %s %v", again, err)
	}
	l := s.Ledger()[keyA].Sinks
	if l["one"].Skipped != 1 || l["two"].Skipped != 2 || l["two"].Pending != 1 {
		t.Errorf("ledger %+v", l)
	}
	if b, err := s.Read(1); err != nil || ids(b) != "c" {
		t.Errorf("read gives %v %v", ids(b), err)
	}
	has := slices.ContainsFunc(s.Cursors(keyA), func(c event.Cursor) bool {
		return c.Reader == slice.Reader && c.Pos.Equal(slice.From) && c.End.Equal(slice.To)
	})
	if !has {
		t.Errorf("no cursor to read it again: %+v", s.Cursors(keyA))
	}
	c.Uncertain = true
	res := mustAppend(t, s, c)
	if res.New != 2 || res.Batch.Records[0].Flags&event.FlagUncertain == 0 {
		t.Errorf("read again: %+v", res.PageCounts)
	}
	if m, err := s.Minutes(keyA, noon, noon.Add(time.Hour)); err != nil || len(m) != 3 || m[0].Count != 1 || m[1].Count != 1 {
		t.Errorf("minutes %+v %v", m, err)
	}
	// The verdict on what had been sent before the damage was found.
	if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 2}, Counts: delivered(1)}); err != nil {
		t.Error(err)
	}
	mustCheck(t, s)
}

// A record without a time is known in no minute of its batch.
func TestDamagedBatchWithARecordWithoutATime(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	timeless := rec("a", noon, 1)
	timeless.Flags = event.FlagNoTime
	mustAppend(t, s, page(keyA, timeless))
	slice, err := s.Damaged(1)
	if err != nil {
		t.Fatal(err)
	}
	timeless.Time = slice.From
	if res := mustAppend(t, s, page(keyA, timeless)); res.New != 1 {
		t.Errorf("read again, it is not shipped: %+v", res.PageCounts)
	}
	mustCheck(t, s)
}
