package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// airy makes a state file of which most is free: all but the last batches are delivered and deleted, some have left letters.
func airy(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := openWith(t, dir, fastOptions())
	const batches, kept = 120, 8
	for i := range batches {
		c := page([]event.StreamKey{keyA, keyB}[i%2])
		for j := range 20 {
			r := rec(fmt.Sprint(i, "-", j), noon.Add(time.Duration(i)*time.Minute), 1)
			r.Raw = append(r.Raw, hiss(i*20+j)...)
			c.Records = append(c.Records, r)
		}
		c.Cursors = []event.Cursor{{Reader: "live", Pos: noon.Add(time.Duration(i) * time.Minute)}}
		mustAppend(t, s, c)
	}
	for seq := uint64(1); seq <= batches-kept; seq++ {
		b, err := s.Read(seq)
		if err != nil {
			t.Fatal(err)
		}
		step := event.LaneStep{Sink: "one", To: event.Position{Seq: seq + 1}, Counts: map[event.StreamKey]event.SinkCounts{b.Key: {Delivered: 20}}}
		if seq%10 == 0 {
			step.Counts[b.Key] = event.SinkCounts{Delivered: 19, Dead: 1}
			step.Dead = []event.DeadLetter{{At: noon, Reason: "refused", Record: b.Records[0]}}
		}
		mustStep(t, s, step)
	}
	if n, err := s.Drop(bg, event.LetterFilter{IDs: []uint64{11}}); n != 1 || err != nil { // the last: its number is not given again
		t.Fatal(n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hiss is what s2 leaves as it is.
func hiss(seed int) []byte {
	b := make([]byte, 512)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func filesOf(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestCompact(t *testing.T) {
	dir := airy(t)
	path := filepath.Join(dir, fileName)
	before, size := content(t, dir), sizeOf(t, path)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(path, 65532, 65531); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, fastOptions())
	free := mustInfo(t, s).Free
	s.Close()
	// What a compaction that was killed has left.
	if err := os.WriteFile(path+compactSuffix, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Compact(bg, dir, fastOptions())
	if err != nil {
		t.Fatal(err)
	}
	if c.Before != size || c.After != sizeOf(t, path) || c.After > size-free+2*compactAlloc || c.After > size/2 {
		t.Errorf("%+v; it had %d bytes, %d of them free, and has %d", c, size, free, sizeOf(t, path))
	}
	if content(t, dir) != before {
		t.Error("the content is another one")
	}
	if names := filesOf(t, dir); !slices.Equal(names, []string{recoveryName, fileName}) {
		t.Errorf("the folder has %v", names)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if st := info.Sys().(*syscall.Stat_t); os.Getuid() == 0 && (st.Uid != 65532 || st.Gid != 65531) {
		t.Errorf("owner %d:%d", st.Uid, st.Gid)
	}
	if c, err := Compact(bg, dir, fastOptions()); err != nil || c.Before != c.After || c.After != sizeOf(t, path) {
		t.Errorf("the second time: %+v, %v", c, err)
	}
	// It goes on as before.
	s = open(t, dir, fastOptions())
	if res := mustAppend(t, s, page(keyA, rec("0-3", noon, 1), rec("new", noon, 1))); res.Seen != 1 || res.New != 1 || res.Batch.Seq != 121 {
		t.Errorf("%+v", res)
	}
	mustCheck(t, s)
}

func TestCompactIsRefused(t *testing.T) {
	t.Run("while a process runs", func(t *testing.T) {
		dir := t.TempDir()
		openWith(t, dir, fastOptions())
		var locked *LockedError
		if _, err := Compact(bg, dir, fastOptions()); !errors.As(err, &locked) || locked.PID != os.Getpid() {
			t.Errorf("err is %v", err)
		}
	})
	t.Run("without a file", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := Compact(bg, dir, fastOptions()); !errors.Is(err, os.ErrNotExist) || len(filesOf(t, dir)) > 0 {
			t.Errorf("err is %v, the folder has %v", err, filesOf(t, dir))
		}
	})
	t.Run("of a damaged file", func(t *testing.T) {
		dir := airy(t)
		if err := os.Truncate(filepath.Join(dir, fileName), 20_000); err != nil {
			t.Fatal(err)
		}
		before := folderHash(t, dir)
		if _, err := Compact(bg, dir, fastOptions()); err == nil || !strings.Contains(err.Error(), "damaged state file") || folderHash(t, dir) != before {
			t.Errorf("err is %v, the folder has %v", err, filesOf(t, dir))
		}
	})
	t.Run("of a link", func(t *testing.T) {
		dir, link := airy(t), t.TempDir()
		if err := os.Symlink(filepath.Join(dir, fileName), filepath.Join(link, fileName)); err != nil {
			t.Fatal(err)
		}
		if _, err := Compact(bg, link, fastOptions()); err == nil || !strings.Contains(err.Error(), "compact it where it really is") {
			t.Errorf("err is %v", err)
		}
	})
	t.Run("when it is told to stop", func(t *testing.T) {
		dir := airy(t)
		before := content(t, dir)
		ctx, cancel := context.WithCancel(bg)
		o := fastOptions()
		o.Crash = func(string) { cancel() }
		if _, err := Compact(ctx, dir, o); !errors.Is(err, context.Canceled) || content(t, dir) != before {
			t.Errorf("err is %v", err)
		}
		if names := filesOf(t, dir); !slices.Equal(names, []string{recoveryName, fileName}) {
			t.Errorf("the folder has %v", names)
		}
	})
}

// A copy that is not the same is never put in the file's place. The copy is changed behind bbolt's back, as a failing disk does.
func TestCompactChecksTheCopy(t *testing.T) {
	places := map[string]func(t *testing.T, data []byte) int{
		"a page":   func(*testing.T, []byte) int { return 5*os.Getpagesize() + 10 },
		"a record": placeOfRecord,
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			dir := airy(t)
			path := filepath.Join(dir, fileName)
			before, size := content(t, dir), sizeOf(t, path)
			o := fastOptions()
			o.Crash = func(point string) {
				if point != "compact:copied" {
					return
				}
				data, err := os.ReadFile(path + compactSuffix)
				if err != nil {
					t.Fatal(err)
				}
				at := place(t, data)
				f, err := os.OpenFile(path+compactSuffix, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := f.WriteAt([]byte{data[at] ^ 0x11}, int64(at)); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Compact(bg, dir, o)
			if err == nil || !strings.Contains(err.Error(), "check the copy: ") || c.After != size {
				t.Errorf("%+v, err is %v", c, err)
			}
			if content(t, dir) != before || !slices.Equal(filesOf(t, dir), []string{recoveryName, fileName}) {
				t.Errorf("the folder has %v", filesOf(t, dir))
			}
		})
	}
}

// placeOfRecord finds the middle of a pending record, which neither bbolt nor the headers know.
func placeOfRecord(t *testing.T, data []byte) int {
	t.Helper()
	raw := hiss(118 * 20) // of one of the last batches
	for n := 64; n >= 16; n /= 2 {
		if at := strings.Index(string(data), string(raw[100:100+n])); at >= 0 {
			return at + n/2
		}
	}
	t.Fatal("the record is not in the file")
	return 0
}

// TestCompactOnASmallDisk has no room for the copy.
func TestCompactOnASmallDisk(t *testing.T) {
	from, dir := airy(t), t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		t.Skipf("mounting a small tmpfs is not allowed here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	copyFile(t, filepath.Join(from, fileName), filepath.Join(dir, fileName))
	if free, known := freeSpace(dir); !known || free > 24<<20-sizeOf(t, filepath.Join(from, fileName)) {
		t.Errorf("%d bytes are free", free)
	}
	rest, err := os.Create(filepath.Join(dir, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 64<<10); err == nil; {
		if free, _ := freeSpace(dir); free < 1<<20 {
			break
		}
		_, err = rest.Write(chunk)
	}
	if err := errors.Join(err, rest.Close()); err != nil {
		t.Fatal(err)
	}
	before := folderHash(t, dir)
	var small *SpaceError
	if _, err := Compact(bg, dir, fastOptions()); !errors.As(err, &small) || small.Free >= small.Need || folderHash(t, dir) != before {
		t.Errorf("err is %v, the folder has %v", err, filesOf(t, dir))
	}
}

// TestCompactIsSeenByWhoWaits opens the old file before the swap and gets its lock behind it: it must not go on with a file that
// has no name any more.
func TestCompactIsSeenByWhoWaits(t *testing.T) {
	dir := airy(t)
	path := filepath.Join(dir, fileName)
	isOpen := func() (n int) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && to == path {
				n++
			}
		}
		return n
	}
	waits := newStore(dir, fastOptions())
	got := make(chan error, 1)
	o := fastOptions()
	o.Crash = func(point string) {
		if point != "compact:checked" {
			return
		}
		before := isOpen()
		go func() { got <- waits.openLocked() }()
		for end := time.Now().Add(10 * time.Second); isOpen() == before && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	if _, err := Compact(bg, dir, o); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, errReplaced) || waits.db != nil {
		t.Errorf("err is %v", err)
	}
	if err := waits.openLocked(); err != nil {
		t.Fatalf("the second time: %v", err)
	}
	if err := waits.db.Close(); err != nil {
		t.Error(err)
	}
}

// Both files are locked while they change places.
func TestCompactHoldsBothFiles(t *testing.T) {
	dir := airy(t)
	locked := 0
	o := fastOptions()
	o.Crash = func(point string) {
		var e *LockedError
		if _, _, err := Open(dir, fastOptions()); !errors.As(err, &e) {
			t.Errorf("%s: err is %v", point, err)
		}
		locked++
	}
	if _, err := Compact(bg, dir, o); err != nil || locked != 3 {
		t.Errorf("%d times, %v", locked, err)
	}
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}
