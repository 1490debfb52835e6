package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

func forced(reader string, records ...event.Record) event.PageCommit {
	c := page(keyA, records...)
	c.Force, c.Slice.Reader = true, reader
	return c
}

// sumOf is what Minutes has to say of records of one minute.
func sumOf(start time.Time, records ...event.Record) event.Minute {
	m := event.Minute{Start: start, Count: uint64(len(records))}
	for i := range records {
		m.Sum += MinuteSum(records[i].ID, records[i].Digest)
	}
	return m
}

// TestForce: an operator's rows are journalled whatever was seen, and leave no trace in what is remembered but the minutes that
// are named.
func TestForce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one", "two"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	a, b := rec("a", noon, 1), rec("b", noon.Add(time.Second), 1)
	mustAppend(t, s, page(keyA, a))
	uncertain := b
	uncertain.Flags = event.FlagUncertain
	for _, tt := range []struct {
		name  string
		page  event.PageCommit
		want  event.PageCounts
		flags event.Flags
	}{
		{"heal", forced("verify", uncertain, a), event.PageCounts{Rows: 2, New: 2}, event.FlagUncertain},
		{"resend", forced("resend/two", b, a), event.PageCounts{Rows: 2, Resent: 2}, event.FlagResent},
		{"resend without rows", forced("resend/two"), event.PageCounts{}, 0},
	} {
		res := mustAppend(t, s, tt.page)
		if res.PageCounts != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, res.PageCounts, tt.want)
		}
		if res.Batch != nil && (ids(res.Batch) != "a b" || res.Batch.Records[1].Flags != tt.flags) {
			t.Errorf("%s: batch %q with flags %b", tt.name, ids(res.Batch), res.Batch.Records[1].Flags)
		}
	}
	minutes := func() []event.Minute {
		t.Helper()
		m, err := s.Minutes(keyA, noon, noon.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if d := cmp.Diff([]event.Minute{sumOf(noon, a)}, minutes()); d != "" {
		t.Errorf("the minutes have changed:\n%s", d)
	}
	if res := mustAppend(t, s, page(keyA, b)); res.New != 1 {
		t.Errorf("a row that was forced is seen: %+v", res.PageCounts)
	}
	set := forced("verify")
	set.Minutes = []event.Minute{{Start: noon, Count: 9, Sum: 7}}
	mustAppend(t, s, set)
	if d := cmp.Diff(set.Minutes, minutes()); d != "" {
		t.Errorf("minutes that were set:\n%s", d)
	}
	mustCheck(t, s)
	before := s.Ledger()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, fastOptions())
	if d := cmp.Diff(before, s.Ledger()); d != "" || before[keyA].Resent != 2 || before[keyA].Sinks["one"].Pending != 6 {
		t.Errorf("ledger %+v, after opening again:\n%s", before[keyA], d)
	}
}

// TestLedgerWithoutResent: files of the time before there was a count of resent rows can be read.
func TestLedgerWithoutResent(t *testing.T) {
	st := &stream{name: []byte("s"), counts: event.PageCounts{Rows: 3, New: 3}}
	st.sink("one").joined = 3
	old := st.appendLedger(nil)
	old = old[:len(old)-1]
	got := &stream{name: st.name}
	if err := got.decodeLedger(old); err != nil || got.counts != st.counts || got.sinks[0] != st.sinks[0] {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCompare tells rows apart by what is remembered, and says so where that is not enough.
func TestCompare(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	timed := func(id string, digest event.Digest) event.Record {
		r := rec(id, noon.Add(-3*time.Hour), digest)
		r.Flags = event.FlagNoTime
		return r
	}
	mustAppend(t, s, page(keyA, rec("a", noon, 1), rec("b", noon, 1), rec("old", noon.Add(-2*time.Hour), 1), timed("x", 1)))
	other := page(keyA, rec("v", noon.Add(time.Minute), 1))
	other.DigestVersion = 9
	mustAppend(t, s, other)
	compare := func() string {
		t.Helper()
		rows := []event.Record{
			rec("a", noon, 1), rec("b", noon, 2), rec("c", noon, 1), rec("v", noon.Add(time.Minute), 5), rec("a", noon.Add(time.Hour), 1),
			rec("old", noon.Add(-2*time.Hour), 1), rec("older", noon.Add(-2*time.Hour), 1), timed("x", 1), timed("y", 1),
		}
		got, err := s.Compare(keyA, 1, rows)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for i, c := range got {
			if c.Sum != MinuteSum(rows[i].ID, rows[i].Digest) {
				t.Errorf("sum of %s: %d", rows[i].ID, c.Sum)
			}
			out = append(out, [...]string{"forgotten", "missing", "changed", "same"}[c.Known])
		}
		return strings.Join(out, " ")
	}
	const whole = "same changed missing same missing same missing same missing"
	if got := compare(); got != whole {
		t.Errorf("got  %s\nwant %s", got, whole)
	}
	if !s.Floor(keyA).IsZero() || !s.Floor(keyB).IsZero() {
		t.Error("a floor that nobody has set")
	}
	// Nothing of that has changed anything.
	before := s.Commits()
	if got := compare(); got != whole || s.Commits() != before {
		t.Errorf("the second time: %s, %d commits", got, s.Commits()-before)
	}
	floor := page(keyA)
	floor.Floor = noon.Add(-time.Hour)
	mustAppend(t, s, floor)
	const below = "same changed missing same missing forgotten forgotten same missing"
	if got := compare(); got != below || !s.Floor(keyA).Equal(floor.Floor) {
		t.Errorf("below the floor: got  %s\nwant %s", got, below)
	}
	// What was forgotten stays so when the floor falls, because a re-reader of a greater age was added.
	mustAppend(t, s, page(keyA, rec("d", noon, 1))) // commits, and purges
	floor.Floor = noon.Add(-10 * time.Hour)
	mustAppend(t, s, floor)
	if got := compare(); got != below {
		t.Errorf("after the floor has fallen: got  %s\nwant %s", got, below)
	}
	// Read once more, it is remembered as on the first day.
	mustAppend(t, s, page(keyA, rec("old", noon.Add(-2*time.Hour), 1)))
	if got, want := compare(), strings.Replace(below, "forgotten forgotten", "same missing", 1); got != want {
		t.Errorf("read again: got  %s\nwant %s", got, want)
	}
	if got, err := s.Compare(keyB, 1, []event.Record{rec("a", noon, 1)}); err != nil || got[0].Known != event.Missing {
		t.Errorf("a stream that was never read: %+v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Compare(keyA, 1, nil); err == nil {
		t.Error("a closed store compares")
	}
}

// TestHealedMinuteStaysForgotten: a minute that was set by heal is never taken for one whose ids are known.
func TestHealedMinuteStaysForgotten(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	a, b := rec("a", noon.Add(-2*time.Hour), 1), rec("b", noon.Add(-2*time.Hour), 1)
	c := page(keyA, a)
	c.Floor = noon
	mustAppend(t, s, c)
	heal := forced("verify", b)
	heal.Minutes = []event.Minute{sumOf(noon.Add(-2*time.Hour), a, b)}
	mustAppend(t, s, heal)
	got, err := s.Compare(keyA, 1, []event.Record{a, b})
	if err != nil || got[0].Known != event.Forgotten || got[1].Known != event.Forgotten {
		t.Errorf("%+v, %v", got, err)
	}
	all, err := s.Minutes(keyA, noon.Add(-3*time.Hour), noon)
	if d := cmp.Diff(heal.Minutes, all); d != "" || err != nil {
		t.Error(d, err, fmt.Sprint(all))
	}
	mustCheck(t, s)
}
