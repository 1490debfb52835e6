package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	var locked *LockedError
	if _, _, err := Open(dir, fastOptions()); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("err is %v", err)
	}
	if err := s.SetTenant("global", "contoso.com", "tid"); err != nil {
		t.Errorf("the holder is disturbed: %v", err)
	}
	s.Close()
	open(t, dir, fastOptions())
}

func TestOpened(t *testing.T) {
	recovered := map[event.StreamKey]time.Time{keyA: noon.Add(-time.Hour)}
	fill := func(t *testing.T, dir string) {
		s := open(t, dir, fastOptions())
		if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
			t.Fatal(err)
		}
		c := page(keyA, rec("a", noon, 1))
		c.Cursors, c.Floor = []event.Cursor{{Reader: "live", Pos: noon}}, noon.Add(-time.Hour)
		mustAppend(t, s, c)
		s.Close()
	}
	overwrite := func(t *testing.T, path string, data string) {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir, file string)
		want  Opened
		aside bool
	}{
		{"untouched", func(*testing.T, string, string) {}, Opened{}, false},
		{"file gone", func(t *testing.T, dir, file string) { os.Remove(file) }, Opened{Lost: true, Recovered: recovered}, false},
		{"all gone", func(t *testing.T, dir, file string) { os.Remove(file); os.Remove(filepath.Join(dir, recoveryName)) }, Opened{Fresh: true}, false},
		{"empty", func(t *testing.T, dir, file string) { os.Truncate(file, 0) }, Opened{Lost: true, Recovered: recovered}, false},
		{"cut short", func(t *testing.T, dir, file string) { os.Truncate(file, 20000) }, Opened{Lost: true, Recovered: recovered}, true},
		{"cut to a part of a page", func(t *testing.T, dir, file string) { os.Truncate(file, 100) }, Opened{Lost: true, Recovered: recovered}, true},
		{"text", func(t *testing.T, dir, file string) { overwrite(t, file, "not a database") }, Opened{Lost: true, Recovered: recovered}, true},
		{"text, recovery.json is text", func(t *testing.T, dir, file string) {
			overwrite(t, file, "not a database")
			overwrite(t, filepath.Join(dir, recoveryName), "{")
		}, Opened{Lost: true}, true},
		{"no recovery.json, damaged", func(t *testing.T, dir, file string) {
			overwrite(t, file, "not a database")
			os.Remove(filepath.Join(dir, recoveryName))
		}, Opened{Lost: true}, true},
		{"suspect but sound", func(t *testing.T, dir, file string) { overwrite(t, filepath.Join(dir, markerName), "why") }, Opened{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir)
			tt.spoil(t, dir, filepath.Join(dir, fileName))
			s, got, err := Open(dir, fastOptions())
			if err != nil {
				t.Fatal(err)
			}
			if (got.SetAside != "") != tt.aside {
				t.Errorf("set aside is %q", got.SetAside)
			}
			if got.LostAt.IsZero() == got.Lost {
				t.Errorf("lost at %s", got.LostAt)
			}
			got.SetAside, got.LostAt = "", time.Time{}
			if len(got.Recovered) == 0 {
				got.Recovered = nil
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if _, err := os.Stat(filepath.Join(dir, markerName)); err == nil {
				t.Error("the marker is still there")
			}
			s.Close()
			s, again, err := Open(dir, fastOptions())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if again.Lost != tt.want.Lost || again.SetAside != "" || len(again.Recovered) != len(tt.want.Recovered) {
				t.Errorf("a loss is forgotten by the next crash: %+v", again)
			}
			if !again.Lost {
				return
			}
			s.SaveCursors(keyA, event.Moves{Cursors: []event.Cursor{{Reader: "live", Pos: noon}}})
			s.Close()
			s, again, err = Open(dir, fastOptions())
			if err != nil || len(again.Recovered) != 0 {
				t.Errorf("a stream with cursors is recovered once more: %+v %v", again, err)
			}
			s.Close()
		})
	}
}

// Who only looks leaves a damaged file where it is.
func TestKeepDamaged(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, fastOptions()).Close()
	if err := os.Truncate(filepath.Join(dir, fileName), 20_000); err != nil {
		t.Fatal(err)
	}
	before := folderHash(t, dir)
	o := fastOptions()
	o.KeepDamaged = true
	var bad *damage
	if _, _, err := Open(dir, o); !errors.As(err, &bad) || folderHash(t, dir) != before {
		t.Errorf("err is %v", err)
	}
	s, opened, err := Open(dir, fastOptions())
	if err != nil || opened.SetAside == "" {
		t.Fatalf("%+v, %v", opened, err)
	}
	s.Close()
}

func TestAFaultMakesTheStoreSuspect(t *testing.T) {
	dir := t.TempDir()
	o := fastOptions()
	armed := false
	o.Crash = func(string) {
		if armed {
			panic("page 7: already free")
		}
	}
	s := open(t, dir, o)
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, page(keyA, rec("a", noon, 1)))
	armed = true
	if _, err := s.Append(bg, page(keyA, rec("b", noon, 1))); !errors.Is(err, ErrSuspect) {
		t.Fatalf("err is %v", err)
	}
	if _, err := s.Append(bg, page(keyA, rec("c", noon, 1))); !errors.Is(err, ErrSuspect) {
		t.Errorf("the next call gives %v", err)
	}
	if _, err := s.Read(1); !errors.Is(err, ErrSuspect) {
		t.Errorf("read gives %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, markerName)); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again, opened, err := Open(dir, fastOptions())
	if err != nil || opened.SetAside != "" || opened.Lost {
		t.Fatalf("%+v %v", opened, err)
	}
	defer again.Close()
	if l := again.Ledger()[keyA]; l.New != 1 {
		t.Errorf("ledger %+v", l)
	}
}

func TestRecoveryIsBelowWhatIsPending(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	c := page(keyA, rec("a", noon.Add(-5*time.Hour), 1))
	c.Cursors, c.Floor = []event.Cursor{{Reader: "live", Pos: noon}, {Reader: "reread/2h0m0s", Pos: noon.Add(-2 * time.Hour)}}, noon.Add(-3*time.Hour)
	mustAppend(t, s, c)
	at := func() time.Time {
		if err := s.WriteRecovery(); err != nil {
			t.Fatal(err)
		}
		r, found := readRecovery(s.dir)
		if !found {
			t.Fatal("there is no recovery.json")
		}
		return r[keyA]
	}
	if got := at(); !got.Equal(noon.Add(-5 * time.Hour)) {
		t.Errorf("with a pending record it is %s", got)
	}
	if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 2}, Counts: delivered(1)}); err != nil {
		t.Fatal(err)
	}
	if got := at(); !got.Equal(noon.Add(-3 * time.Hour)) {
		t.Errorf("with nothing pending it is %s", got)
	}
	mustAppend(t, s, page(keyA, rec("b", noon.Add(-4*time.Hour), 1)))
	mustStep(t, s, stepOf(t, s, "one", 2, event.Parked))
	if got := at(); !got.Equal(noon.Add(-4 * time.Hour)) {
		t.Errorf("with a parked letter it is %s", got)
	}
	if n, err := s.Unpark(bg, "one", keyA); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := at(); !got.Equal(noon.Add(-4 * time.Hour)) {
		t.Errorf("with a letter on its way it is %s", got)
	}
	if err := s.Settle(bg, "one", []event.Settled{{ID: 1, Counts: event.SinkCounts{Delivered: 1}}}); err != nil {
		t.Fatal(err)
	}
	if got := at(); !got.Equal(noon.Add(-3 * time.Hour)) {
		t.Errorf("with nothing on its way it is %s", got)
	}
}

func TestPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may open every file")
	}
	dir := t.TempDir()
	open(t, dir, fastOptions()).Close()
	if err := os.Chmod(filepath.Join(dir, fileName), 0); err != nil {
		t.Fatal(err)
	}
	if _, opened, err := Open(dir, fastOptions()); !errors.Is(err, os.ErrPermission) || opened.SetAside != "" {
		t.Errorf("%+v %v", opened, err)
	}
}

// TestAFileCutUnderTheProcess makes reads of the memory map fault, as a failing disk does.
func TestAFileCutUnderTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, page(keyA, rec("a", noon, 1)))
	if err := os.Truncate(s.path(), 2*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(1); !errors.Is(err, ErrSuspect) {
		t.Errorf("read gives %v", err)
	}
	if _, err := s.Append(bg, page(keyA, rec("b", noon, 1))); !errors.Is(err, ErrSuspect) {
		t.Errorf("append gives %v", err)
	}
	s.Close()
	again, opened, err := Open(dir, fastOptions())
	if err != nil || opened.SetAside == "" || !opened.Lost {
		t.Fatalf("%+v %v", opened, err)
	}
	again.Close()
}

// TestALedgerThatDoesNotAddUpIsDamage stands for a stale page, whose own checksums are right.
func TestALedgerThatDoesNotAddUpIsDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, page(keyA, rec("a", noon, 1)))
	key := []byte("one")
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketLanes).Put(key, seal(key, (&lane{pos: event.Position{Seq: 2}}).append(nil)))
	}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	again, opened, err := Open(dir, fastOptions())
	if err != nil || opened.SetAside == "" {
		t.Fatalf("%+v %v", opened, err)
	}
	again.Close()
}
