package store

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// format1 puts a file of format 1 into a folder. The last version that wrote that format has made it: two sinks, two streams with
// batches of forty pages, letters of each kind, filters, marks.
func format1(t testing.TB) (dir string) {
	t.Helper()
	f, err := os.Open("testdata/format1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// folderHash is of the names and contents of all that is in a folder.
func folderHash(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n", e.Name(), len(data))
		h.Write(data)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// content is of everything that a file holds but what meta says of its format.
func content(t testing.TB, dir string) string {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	h := sha256.New()
	if err := db.View(func(tx *bbolt.Tx) error { return hashBelow(h, tx, 0) }); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func hashBelow(w io.Writer, b bucketHolder, depth int) error {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if depth == 1 && (bytes.Equal(k, keyFormat) || bytes.Equal(k, keyWriter) || bytes.Equal(k, keyMigrate)) {
			continue
		}
		fmt.Fprintf(w, "%d %x %x\n", depth, k, v)
		if v == nil {
			in := b.Bucket(k)
			fmt.Fprintln(w, in.Sequence())
			if err := hashBelow(w, in, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// setMeta changes what a file says of its format.
func setMeta(t testing.TB, dir string, set func(meta *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return set(tx.Bucket(bucketMeta)) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func metaOf(t testing.TB, dir string) (format uint32, writer string, place []byte) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) (err error) {
		meta := tx.Bucket(bucketMeta)
		format, err = formatOf(meta)
		writer, place = writerOf(meta), bytes.Clone(meta.Get(keyMigrate))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return format, writer, place
}

func TestAFileOfFormat1(t *testing.T) {
	dir := format1(t)
	before := content(t, dir)
	if format, _, _ := metaOf(t, dir); format != 1 {
		t.Fatalf("the file has format %d", format)
	}
	o := fastOptions()
	o.Version = "v2.0.0"
	s, opened, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(opened, Opened{Migrated: 1}) {
		t.Errorf("opened: %+v", opened)
	}
	mustCheck(t, s)
	l, info := s.Ledger(), mustInfo(t, s)
	one, two := l[keyB].Sinks["one"], l[keyB].Sinks["two"]
	if l[keyA].New != 158 || l[keyB].New != 157 || one.Pending != 77 || one.Delivered != 80 || two.Pending != 88 || two.Dead != 9 {
		t.Errorf("ledger: %+v", l)
	}
	want := Info{Path: s.path(), Format: 2, Writer: "v2.0.0", Size: info.Size, Free: info.Free, Streams: 2,
		Journal: JournalUse{Batches: 20, Bytes: 5319, Most: 8 << 30, Next: 41},
		Seen:    SeenUse{IDs: 315, Bytes: info.Seen.Bytes, Minutes: 40}, Letters: 40, Lanes: info.Lanes}
	if !reflect.DeepEqual(info, want) {
		t.Errorf("info: %+v\nwant  %+v", info, want)
	}
	if lane := info.Lanes[1]; lane.Sink != "two" || lane.Dead != 18 || lane.Parked != 20 || lane.Returning != 2 || lane.Seq != 21 || lane.Pending != 180 {
		t.Errorf("lane: %+v", lane)
	}
	if got := s.Filter(keyA); got != "result eq 'failure'" || len(s.Marks(keyA)) != 1 || len(s.Cursors(keyA)) != 2 {
		t.Errorf("filter %q, marks %v, cursors %v", got, s.Marks(keyA), s.Cursors(keyA))
	}
	records := 0
	for seq := uint64(0); ; {
		b, err := s.Read(seq)
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			break
		}
		for _, r := range b.Records {
			if want := fmt.Sprintf(`{"id":%q,"v":%d}`, r.ID, b.Seq); string(r.Raw) != want {
				t.Errorf("record %s, want %s", r.Raw, want)
			}
			records++
		}
		seq = b.Seq + 1
	}
	if records != 158 {
		t.Errorf("%d records are pending", records)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if content(t, dir) != before {
		t.Error("the migration has changed what it carries")
	}
	if _, opened, err = Open(dir, o); err != nil || opened.Migrated != 0 {
		t.Errorf("the second time: %+v, %v", opened, err)
	}
}

func mustInfo(t testing.TB, s *Store) Info {
	t.Helper()
	info, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestANewerFileIsNotTouched(t *testing.T) {
	newer := func(meta *bbolt.Bucket) error { return meta.Put(keyFormat, sealFormat(3)) }
	tests := []struct {
		name string
		set  func(meta *bbolt.Bucket) error
		says string
	}{
		{"format", newer, "has format 3, and this version (v2.1.0) reads up to 2: a newer logferry (v3.0.0) wrote it, use that one or a later one; nothing was changed"},
		{"format, migration under way", func(meta *bbolt.Bucket) error {
			return errors.Join(newer(meta), meta.Put(keyMigrate, seal(keyMigrate, []byte("place"))))
		}, "has format 3"},
		{"needs", func(meta *bbolt.Bucket) error {
			return meta.Put(keyNeeds, seal(keyNeeds, []byte("zstd tiers")))
		}, "needs a version that knows zstd, tiers, which this one (v2.1.0) does not: a newer logferry (v3.0.0) wrote it"},
		{"needs nothing", func(meta *bbolt.Bucket) error { return meta.Put(keyNeeds, seal(keyNeeds, []byte(""))) }, ""},
		{"no writer", func(meta *bbolt.Bucket) error { return errors.Join(newer(meta), meta.Delete(keyWriter)) }, "reads up to 2: a newer logferry wrote it, use"},
	}
	for _, tt := range tests {
		for _, open := range []struct {
			name string
			it   func(dir string, o Options) error
		}{
			{"open", func(dir string, o Options) error {
				s, _, err := Open(dir, o)
				if err == nil {
					s.Close()
				}
				return err
			}},
			{"compact", func(dir string, o Options) error { _, err := Compact(bg, dir, o); return err }},
		} {
			t.Run(tt.name+"/"+open.name, func(t *testing.T) {
				dir := t.TempDir()
				o := fastOptions()
				o.Version = "v3.0.0"
				s := openWith(t, dir, o)
				mustAppend(t, s, page(keyA, rec("a", noon, 1)))
				s.Close()
				setMeta(t, dir, tt.set)
				// A suspect file is checked, a newer one is not even that.
				if err := os.WriteFile(filepath.Join(dir, markerName), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				before := folderHash(t, dir)
				o.Version = "v2.1.0"
				err := open.it(dir, o)
				var newer *FormatError
				if tt.says == "" {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if !errors.As(err, &newer) || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("err is %v, want %s", err, tt.says)
				}
				if folderHash(t, dir) != before {
					t.Error("the folder was changed")
				}
			})
		}
	}
}

// A newer version may migrate the file between this one's look at it and its lock.
func TestAFileThatGetsNewerMeanwhile(t *testing.T) {
	for _, set := range []func(meta *bbolt.Bucket) error{
		func(meta *bbolt.Bucket) error { return meta.Put(keyFormat, sealFormat(3)) },
		func(meta *bbolt.Bucket) error { return meta.Put(keyNeeds, seal(keyNeeds, []byte("zstd"))) },
	} {
		dir := format1(t)
		setMeta(t, dir, set)
		before := folderHash(t, dir)
		o := fastOptions()
		o.Version = "v2.1.0"
		s := newStore(dir, o)
		if err := s.openLocked(); err != nil {
			t.Fatal(err)
		}
		var newer *FormatError
		if err := s.judge(s.loadLocked()); !errors.As(err, &newer) {
			t.Errorf("err is %v", err)
		}
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
		if folderHash(t, dir) != before {
			t.Error("the folder was changed")
		}
	}
}

func openWith(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s := open(t, dir, o)
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// tallied is a step of the future for the test: it counts the letters of each sink anew, five in a part. A part that runs twice
// without its transaction, or a part that is left out, would show in the sum.
func tallied(tx *bbolt.Tx, place []byte) ([]byte, error) {
	sums, err := tx.CreateBucketIfNotExists([]byte("sums"))
	if err != nil {
		return nil, err
	}
	c := tx.Bucket(bucketDead).Cursor()
	k, v := c.First()
	if place != nil {
		k, v = c.Seek(place)
	}
	for n := 0; k != nil; k, v = c.Next() {
		if n++; n > 5 {
			return k, nil
		}
		h, _, err := decodeDead(k, v)
		if err != nil {
			return nil, err
		}
		old := sums.Get([]byte(h.letter.Sink))
		if err := sums.Put([]byte(h.letter.Sink), append(bytes.Clone(old), byte(h.letter.ID))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// climbTo3 migrates a file to a format that there is not yet.
func climbTo3(dir string, crash func(string)) (had uint32, err error) {
	s := newStore(dir, Options{Crash: crash})
	if s.db, err = bbolt.Open(s.path(), 0o600, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}); err != nil {
		return 0, err
	}
	had, err = s.climb([]migration{toFormat2, tallied})
	return had, errors.Join(err, s.db.Close())
}

// TestAMigrationIsKilled copies the folder at each moment around a commit, which is what a kill -9 there would leave, and goes on
// with the copy.
func TestAMigrationIsKilled(t *testing.T) {
	dir := format1(t)
	var copies []string
	if had, err := climbTo3(dir, func(string) { copies = append(copies, snapshot(t, dir)) }); had != 1 || err != nil {
		t.Fatalf("it had format %d, %v", had, err)
	}
	want := content(t, dir)
	// One part for format 2, and for format 3 eight of the forty letters, the last of which finds that there are no more.
	if len(copies) != 2*(1+8) {
		t.Fatalf("%d moments", len(copies))
	}
	for i, at := range copies {
		format, _, place := metaOf(t, at)
		if want := []uint32{1, 2, 2, 3}[min(3, i)]; format != want {
			t.Errorf("moment %d: format %d, want %d", i, format, want)
		}
		if underWay := i >= 3 && i < 17; underWay != (place != nil) {
			t.Errorf("moment %d: place %x", i, place)
		}
		if _, err := climbTo3(at, nil); err != nil {
			t.Fatal(err)
		}
		if format, _, place := metaOf(t, at); format != 3 || place != nil {
			t.Errorf("moment %d: afterwards format %d, place %x", i, format, place)
		}
		if content(t, at) != want {
			t.Errorf("moment %d: the content is another one", i)
		}
	}
}

// A failed step leaves everything as it was.
func TestAMigrationThatFails(t *testing.T) {
	dir := format1(t)
	before := content(t, dir)
	s := newStore(dir, fastOptions())
	var err error
	if s.db, err = bbolt.Open(s.path(), 0o600, &bbolt.Options{Timeout: lockTimeout}); err != nil {
		t.Fatal(err)
	}
	fails := func(tx *bbolt.Tx, _ []byte) ([]byte, error) {
		return nil, errors.Join(tx.DeleteBucket(bucketDead), errors.New("no"))
	}
	if _, err := s.climb([]migration{fails}); err == nil || !strings.Contains(err.Error(), "migrate state to format 2: ") {
		t.Errorf("err is %v", err)
	}
	s.db.Close()
	if format, _, place := metaOf(t, dir); format != 1 || place != nil || content(t, dir) != before {
		t.Errorf("format %d, place %x", format, place)
	}
}
