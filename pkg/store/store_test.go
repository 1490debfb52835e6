package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

var (
	bg   = context.Background()
	noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	keyA = event.StreamKey{Cloud: "global", Tenant: "11111111-1111-1111-1111-111111111111", Stream: "signins.interactive"}
	keyB = event.StreamKey{Cloud: "global", Tenant: "11111111-1111-1111-1111-111111111111", Stream: "audits"}
)

// unkept lets records be compared whose ids are not kept in them.
var unkept = cmpopts.IgnoreUnexported(event.Record{})

func fastOptions() Options {
	return Options{NoSync: true, Now: func() time.Time { return noon }}
}

func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, _, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func withLanes(t testing.TB, o Options, names ...string) *Store {
	t.Helper()
	s := open(t, t.TempDir(), o)
	if err := s.Lanes(names, nil, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// rec makes a record whose content is its id and digest.
func rec(id string, at time.Time, digest event.Digest) event.Record {
	return event.Record{ID: id, Time: at, Read: noon, Digest: digest, Raw: []byte(fmt.Sprintf(`{"id":%q,"v":%d}`, id, digest))}
}

func page(key event.StreamKey, records ...event.Record) event.PageCommit {
	return event.PageCommit{
		Key: key, Records: records, DigestVersion: 1,
		Slice: event.Slice{Stream: key.Stream, Reader: "live", From: noon.Add(-time.Hour), Top: 999},
	}
}

func mustAppend(t testing.TB, s *Store, c event.PageCommit) event.PageResult {
	t.Helper()
	res, err := s.Append(bg, c)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func mustCheck(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

func ids(b *event.Batch) string {
	if b == nil {
		return ""
	}
	var out []string
	for i := range b.Records {
		name := b.Records[i].ID
		if b.Records[i].Update() {
			name += "*"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestAppendTellsRowsApart(t *testing.T) {
	at := func(min int) time.Time { return noon.Add(time.Duration(min) * time.Minute) }
	tests := []struct {
		name   string
		before []event.PageCommit
		page   event.PageCommit
		want   event.PageCounts
		batch  string
	}{
		{"all new, newest first", nil, page(keyA, rec("c", at(3), 1), rec("b", at(2), 1), rec("a", at(1), 1)),
			event.PageCounts{Rows: 3, New: 3}, "a b c"},
		{"equal times keep the page's order", nil, page(keyA, rec("y", at(1), 1), rec("x", at(1), 1), rec("a", at(0), 1)),
			event.PageCounts{Rows: 3, New: 3}, "a y x"},
		{"seen", []event.PageCommit{page(keyA, rec("a", at(1), 1))}, page(keyA, rec("a", at(1), 1), rec("b", at(1), 1)),
			event.PageCounts{Rows: 2, New: 1, Seen: 1}, "b"},
		{"nothing new", []event.PageCommit{page(keyA, rec("a", at(1), 1))}, page(keyA, rec("a", at(1), 1)),
			event.PageCounts{Rows: 1, Seen: 1}, ""},
		{"update, then the update is seen", []event.PageCommit{page(keyA, rec("a", at(1), 1)), page(keyA, rec("a", at(1), 2))},
			page(keyA, rec("a", at(1), 2)), event.PageCounts{Rows: 1, Seen: 1}, ""},
		{"update", []event.PageCommit{page(keyA, rec("a", at(1), 1))}, page(keyA, rec("a", at(1), 2)),
			event.PageCounts{Rows: 1, Updated: 1}, "a*"},
		{"twice in a page", nil, page(keyA, rec("a", at(1), 1), rec("a", at(1), 1), rec("a", at(1), 2)),
			event.PageCounts{Rows: 3, New: 1, Updated: 1, Seen: 1}, "a a*"},
		{"another stream", []event.PageCommit{page(keyB, rec("a", at(1), 1))}, page(keyA, rec("a", at(1), 1)),
			event.PageCounts{Rows: 1, New: 1}, "a"},
		{"outside is counted", nil, event.PageCommit{Key: keyA, Outside: 4}, event.PageCounts{Rows: 4, Outside: 4}, ""},
		{"another digest version is adopted", []event.PageCommit{page(keyA, rec("a", at(1), 1), rec("b", at(1), 1))},
			event.PageCommit{Key: keyA, DigestVersion: 2, Records: []event.Record{rec("a", at(1), 7), rec("a", at(1), 8)}},
			event.PageCounts{Rows: 2, Seen: 1, Updated: 1}, "a*"},
		{"dropped update", []event.PageCommit{page(keyA, rec("a", at(1), 1))},
			event.PageCommit{Key: keyA, DigestVersion: 1, DropUpdates: true, Records: []event.Record{rec("a", at(1), 2), rec("a", at(1), 2)}},
			event.PageCounts{Rows: 2, Suppressed: 1, Seen: 1}, ""},
		{"late", nil, event.PageCommit{Key: keyA, DigestVersion: 1, Slice: event.Slice{Reader: "reread/2h0m0s"}, Records: []event.Record{rec("a", at(1), 2)}},
			event.PageCounts{Rows: 1, New: 1, Late: 1}, "a"},
		{"times that nobody expects", nil, page(keyA, rec("max", time.Date(9999, 12, 31, 23, 59, 59, 9, time.UTC), 1), rec("zero", time.Time{}, 1)),
			event.PageCounts{Rows: 2, New: 2}, "zero max"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := withLanes(t, fastOptions(), "one")
			for _, c := range tt.before {
				mustAppend(t, s, c)
			}
			res := mustAppend(t, s, tt.page)
			if res.PageCounts != tt.want || ids(res.Batch) != tt.batch {
				t.Errorf("got %+v %q, want %+v %q", res.PageCounts, ids(res.Batch), tt.want, tt.batch)
			}
			mustCheck(t, s)
			if res.Batch == nil {
				return
			}
			read, err := s.Read(res.Batch.Seq)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(res.Batch, read, unkept); d != "" {
				t.Errorf("what is read differs from what was appended:\n%s", d)
			}
		})
	}
}

func TestAppendKeepsNothingOfThePage(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	c := page(keyA, rec("a", noon, 1))
	res := mustAppend(t, s, c)
	want := string(res.Batch.Records[0].Raw)
	for i := range c.Records[0].Raw {
		c.Records[0].Raw[i] = 'X'
	}
	if got := string(res.Batch.Records[0].Raw); got != want {
		t.Errorf("the batch aliases the page: %s", got)
	}
}

func TestAppendRefuses(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	bad := page(keyA, rec("", noon, 1))
	for name, c := range map[string]event.PageCommit{
		"no id": bad, "no key": page(event.StreamKey{Cloud: "global"}), "outside": {Key: keyA, Outside: -1},
		"long names": {Key: keyA, Slice: event.Slice{Reader: strings.Repeat("r", 4<<10)}},
	} {
		if _, err := s.Append(bg, c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := len(s.Ledger()); n != 0 {
		t.Errorf("ledger has %d streams", n)
	}
}

func TestSeenOverManyChunks(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	make := func(from int, digest event.Digest) event.PageCommit {
		c := page(keyA)
		for i := from; i < from+1000; i++ {
			c.Records = append(c.Records, rec(fmt.Sprint("id-", i), noon, digest))
		}
		return c
	}
	for i := 0; i < n; i += 1000 {
		if res := mustAppend(t, s, make(i, 1)); res.New != 1000 {
			t.Fatalf("page %d: %+v", i, res.PageCounts)
		}
	}
	s.Close()
	s = open(t, dir, fastOptions())
	for i := 0; i < n; i += 1000 {
		if res := mustAppend(t, s, make(i, 1)); res.Seen != 1000 {
			t.Fatalf("page %d again: %+v", i, res.PageCounts)
		}
	}
	upgraded := make(0, 9)
	upgraded.DigestVersion = 2
	if res := mustAppend(t, s, upgraded); res.Seen != 1000 {
		t.Fatalf("after an upgrade: %+v", res.PageCounts)
	}
	upgraded = make(500, 9)
	upgraded.DigestVersion = 2
	if res := mustAppend(t, s, upgraded); res.Seen != 1000 {
		t.Fatalf("partly adopted: %+v", res.PageCounts)
	}
	m, err := s.Minutes(keyA, noon, noon.Add(time.Minute))
	if err != nil || len(m) != 1 || m[0].Count != n {
		t.Fatalf("minutes: %+v %v", m, err)
	}
	var sum uint64
	for i := range n {
		d := event.Digest(1)
		if i < 1500 {
			d = 9
		}
		sum += MinuteSum(fmt.Sprint("id-", i), d)
	}
	if m[0].Sum != sum {
		t.Errorf("sum is %x, want %x", m[0].Sum, sum)
	}
	mustCheck(t, s)
}

func TestSeenIsPurgedBelowTheFloor(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	c := page(keyA)
	for i := range 500 {
		c.Records = append(c.Records, rec(fmt.Sprint(i), noon.Add(-time.Duration(i)*time.Minute), 1))
	}
	mustAppend(t, s, c)
	keys := func() (n int) {
		if err := s.view(func(tx *bbolt.Tx) error {
			return sub(tx, bucketSeen, []byte(keyA.String())).ForEach(func(k, v []byte) error { n++; return nil })
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	was := keys()
	for i := range 10 {
		c := page(keyA, rec(fmt.Sprint("next", i), noon.Add(time.Minute), 1))
		c.Floor = noon.Add(-100 * time.Minute)
		mustAppend(t, s, c)
		if now := keys(); was-now > purgeMost+2*2 {
			t.Fatalf("%d keys purged in one transaction", was-now)
		} else {
			was = now
		}
	}
	if was != 102 {
		t.Errorf("%d minutes left, want 102", was)
	}
}

func TestCursorsRideAlong(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	cur := func(reader string, min int) event.Cursor {
		return event.Cursor{Reader: reader, Pos: noon.Add(time.Duration(min) * time.Minute), Start: noon, Slice: event.Duration(time.Hour)}
	}
	before := s.Commits()
	s.SaveCursors(keyA, event.Moves{Cursors: []event.Cursor{cur("live", 1), cur("backfill", 1)}, Floor: noon})
	s.SaveCursors(keyA, event.Moves{Cursors: []event.Cursor{cur("live", 2)}, Remove: []string{"backfill"}, Floor: noon})
	if n := s.Commits() - before; n != 0 {
		t.Errorf("%d transactions for cursors alone", n)
	}
	want := []event.Cursor{cur("live", 2)}
	if d := cmp.Diff(want, s.Cursors(keyA)); d != "" {
		t.Error(d)
	}
	if err := s.SetTenant("global", "contoso.com", "tid"); err != nil {
		t.Fatal(err)
	}
	again := open(t, snapshot(t, dir), fastOptions())
	if d := cmp.Diff(want, again.Cursors(keyA)); d != "" {
		t.Errorf("after a transaction of another kind the file has:\n%s", d)
	}
	if tid, ok := again.Tenant("global", "contoso.com"); !ok || tid != "tid" {
		t.Errorf("tenant is %q %v", tid, ok)
	}
}

// A full disk ends the transaction that cursors share with a page: nobody hands them over again.
func TestCursorsSurviveAFullDisk(t *testing.T) {
	s := open(t, t.TempDir(), fastOptions())
	saved := make(chan struct{})
	err := s.do(bg, &request{apply: func(*txn) error {
		go func() {
			s.SaveCursors(keyA, event.Moves{Cursors: []event.Cursor{{Reader: "catchup/1", Pos: noon, End: noon.Add(time.Hour)}}, Floor: noon})
			close(saved)
		}()
		r := <-s.queue
		r.err = fmt.Errorf("%w (no space left on device)", ErrNoSpace)
		close(r.done)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	<-saved
	if c := s.Cursors(keyA); len(c) != 1 {
		t.Errorf("cursors are %+v", c)
	}
}

func TestFull(t *testing.T) {
	o := fastOptions()
	o.JournalMaxBytes = 10
	s := withLanes(t, o, "one", "two")
	mustAppend(t, s, page(keyA, rec("a", noon, 1)))
	if s.Room() > 0 {
		t.Errorf("room is %d", s.Room())
	}
	if _, err := s.Append(bg, page(keyA, rec("b", noon, 1))); !errors.Is(err, ErrFull) {
		t.Errorf("err is %v", err)
	}
	if res := mustAppend(t, s, page(keyA, rec("a", noon, 1))); res.Seen != 1 {
		t.Errorf("rows seen are not taken: %+v", res.PageCounts)
	}
	changed := s.Changed()
	for _, sink := range []string{"one", "two"} {
		skipTo(t, s, sink, 2)
	}
	<-changed
	if s.Room() != 10 {
		t.Errorf("room is %d after all was skipped", s.Room())
	}
	mustAppend(t, s, page(keyA, rec("b", noon, 1)))
	if l := s.Ledger()[keyA].Sinks["one"]; l.Skipped != 1 || l.Pending != 1 || l.Joined != 2 {
		t.Errorf("ledger %+v", l)
	}
	mustCheck(t, s)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// snapshot copies a state file as a kill -9 would leave it.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	copyFile(t, filepath.Join(dir, fileName), filepath.Join(to, fileName))
	return to
}
