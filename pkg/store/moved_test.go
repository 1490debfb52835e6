package store

import (
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// TestMovedRecord: where records move, an id that is known under another minute is an update, once, until it is forgotten.
func TestMovedRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes-300) * time.Minute) }
	step := func(moving bool, r event.Record, want event.PageCounts, batch string) {
		t.Helper()
		c := page(keyA, r, rec("other", at(50), 1))
		c.Moving = moving
		res := mustAppend(t, s, c)
		if want.Rows = 2; res.PageCounts != want || ids(res.Batch) != batch {
			t.Errorf("%+v %q, want %+v %q", res.PageCounts, ids(res.Batch), want, batch)
		}
		mustCheck(t, s)
	}
	step(true, rec("a", at(1), 1), event.PageCounts{New: 2}, "a other")
	step(true, rec("a", at(1), 1), event.PageCounts{Seen: 2}, "")
	step(true, rec("a", at(9), 2), event.PageCounts{Updated: 1, Seen: 1}, "a*")
	step(true, rec("a", at(9), 2), event.PageCounts{Seen: 2}, "")
	step(true, rec("a", at(1), 1), event.PageCounts{Seen: 2}, "") // an old reply comes late
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, fastOptions())
	step(true, rec("a", at(60), 3), event.PageCounts{Updated: 1, Seen: 1}, "a*")
	step(false, rec("b", at(1), 1), event.PageCounts{New: 1, Seen: 1}, "b")
	step(false, rec("b", at(9), 2), event.PageCounts{New: 1, Seen: 1}, "b") // of other streams the minute is part of what is the same

	c := page(keyA, rec("twice", at(70), 1), rec("twice", at(71), 2))
	c.Moving = true
	if res := mustAppend(t, s, c); ids(res.Batch) != "twice twice*" || res.New != 1 || res.Updated != 1 {
		t.Errorf("%+v %q: twice in a page", res.PageCounts, ids(res.Batch))
	}

	// Every reader is past all of it but b of minute 120.
	step(true, rec("b", at(120), 3), event.PageCounts{Updated: 1, Seen: 1}, "b*")
	c = page(keyA, rec("c", at(130), 1))
	c.Floor = at(100)
	mustAppend(t, s, c)
	c = page(keyA, rec("a", at(140), 4), rec("b", at(140), 4))
	c.Moving = true
	if res := mustAppend(t, s, c); ids(res.Batch) != "a b*" {
		t.Errorf("%q: a is forgotten, b is not", ids(res.Batch))
	}
}

// TestFilterIsKept with the cursors that hold for it, whatever marks there are, and is not there in a file of before.
func TestFilterIsKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	live := []event.Cursor{{Reader: "live", Pos: noon}}
	filter, none := "result eq 'failure'", ""
	mark := []event.Mark{{Kind: event.Gap, From: noon.Add(-time.Hour), To: noon}}
	for i, c := range []struct {
		moves event.Moves
		want  string
		marks int
	}{
		{event.Moves{Cursors: live}, "", 0},
		{event.Moves{Filter: &filter}, filter, 0},
		{event.Moves{Cursors: live, Marks: mark}, filter, 1},
		{event.Moves{Filter: &none}, "", 1},
		{event.Moves{Filter: &filter, Marks: []event.Mark{}}, filter, 0},
	} {
		s.SaveCursors(keyA, c.moves)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, fastOptions())
		if got := s.Filter(keyA); got != c.want || len(s.Cursors(keyA)) != 1 || len(s.Marks(keyA)) != c.marks {
			t.Errorf("%d: filter %q, cursors %v, marks %v", i, got, s.Cursors(keyA), s.Marks(keyA))
		}
	}
	if s.Filter(keyB) != "" {
		t.Error("a stream that is not there has a filter")
	}
}
