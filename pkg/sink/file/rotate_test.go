package file

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// settle waits until nothing is compressed.
func settle(s *Sink) {
	s.zip.mu.Lock()
	running := s.zip.running
	s.zip.mu.Unlock()
	if running != nil {
		<-running
	}
}

// unzipped gives all files of dir with their content, compressed ones unpacked. Half a compressed file is an error.
func unzipped(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := tree(t, dir)
	for name, content := range all {
		if filepath.Ext(name) != zipSuffix {
			continue
		}
		zip, err := gzip.NewReader(strings.NewReader(content))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := io.ReadAll(zip)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = string(b)
	}
	return all
}

// ordered gives the content of all forms of path, the oldest first. A file in both forms counts once.
func ordered(t testing.TB, path string) string {
	t.Helper()
	all := unzipped(t, filepath.Dir(path))
	var out strings.Builder
	for i := 1000; i >= 0; i-- {
		name := filepath.Base(slot(path, i))
		plain, ok := all[name]
		if zip, both := all[name+zipSuffix]; both {
			if ok && zip != plain {
				t.Errorf("the two forms of %s differ", name)
			}
			plain = zip
		}
		out.WriteString(plain)
	}
	return out.String()
}

func TestCompress(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, Config{Path: filepath.Join(dir, "x"), MaxBytes: 10, Keep: 2, Compress: "gzip"})
	for i := range 7 {
		mustSend(t, s, newEvent("t", "s", fmt.Sprintf("ev-%d", i)))
		settle(s)
	}
	wantUnzipped(t, dir, map[string]string{"x": "ev-6\n", "x.1.gz": "ev-4\nev-5\n", "x.2.gz": "ev-2\nev-3\n"})

	s.Close()
	plain := newSink(t, Config{Path: filepath.Join(dir, "x"), MaxBytes: 5, Keep: 3}) // switched off: both forms count
	mustSend(t, plain, newEvent("t", "s", "ev-7"))
	wantUnzipped(t, dir, map[string]string{"x": "ev-7\n", "x.1": "ev-6\n", "x.2.gz": "ev-4\nev-5\n", "x.3.gz": "ev-2\nev-3\n"})
	mustSend(t, plain, newEvent("t", "s", "ev-8"))
	wantUnzipped(t, dir, map[string]string{"x": "ev-8\n", "x.1": "ev-7\n", "x.2": "ev-6\n", "x.3.gz": "ev-4\nev-5\n"})

	plain.Close()
	s = newSink(t, Config{Path: filepath.Join(dir, "x"), MaxBytes: 10, Keep: 3, Compress: "gzip"}) // and on again
	mustSend(t, s, newEvent("t", "s", "ev-9"))
	settle(s)
	wantUnzipped(t, dir, map[string]string{"x": "ev-8\nev-9\n", "x.1.gz": "ev-7\n", "x.2.gz": "ev-6\n", "x.3.gz": "ev-4\nev-5\n"})
}

func wantUnzipped(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := unzipped(t, dir)
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("there is %s", name)
		}
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s is %q, want %q", name, got[name], content)
		}
	}
}

func TestMaxAge(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	clock := time.Now()
	start := func() *Sink {
		s := newSink(t, Config{Path: path, MaxAge: field.Duration(time.Hour), Keep: 5})
		s.now = func() time.Time { return clock }
		return s
	}
	s := start()
	send := func(body string) { t.Helper(); mustSend(t, s, newEvent("t", "s", body)) }
	send("0")
	clock = clock.Add(59 * time.Minute)
	send("59")
	clock = clock.Add(2 * time.Minute)
	send("61")
	clock = clock.Add(24 * time.Hour) // quiet for a day
	send("later")
	wantTree(t, dir, map[string]string{"x.2": "0\n59\n", "x.1": "61\n", "x": "later\n"})
	os.Truncate(path, 0) // as copytruncate of logrotate does
	clock = clock.Add(2 * time.Hour)
	send("emptied")
	wantTree(t, dir, map[string]string{"x.2": "0\n59\n", "x.1": "61\n", "x": "emptied\n"})

	// A start does not make a file young.
	s.Close()
	clock = time.Now().Add(50 * time.Minute)
	s = start()
	send("more")
	wantTree(t, dir, map[string]string{"x.2": "0\n59\n", "x.1": "61\n", "x": "emptied\nmore\n"})
	s.Close()
	clock = time.Now().Add(70 * time.Minute)
	if err := os.Chtimes(path, clock, clock); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(path); err != nil {
		t.Fatal(err)
	} else if info, _ := f.Stat(); born(f, info).Equal(info.ModTime()) {
		t.Skip("the file system does not keep when a file was made: the last write before the start counts")
	}
	s = start()
	send("new")
	wantTree(t, dir, map[string]string{"x.3": "0\n59\n", "x.2": "61\n", "x.1": "emptied\nmore\n", "x": "new\n"})
}

// TestRotationLoad: whatever is sent, and however often the sink is closed and made anew, each line is there once and in order.
func TestRotationLoad(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		path := filepath.Join(t.TempDir(), "x")
		var want strings.Builder
		var s *Sink
		for n := 0; n < 2000; {
			if s == nil || random.IntN(20) == 0 {
				if s != nil {
					s.Close()
				}
				cfg := Config{Path: path, MaxBytes: 20_000, Keep: 1000, Fsync: "none", Compress: []string{"gzip", "none"}[min(1, random.IntN(4)/3)]}
				s = newSink(t, cfg)
			}
			var events []event.Event
			for range 1 + random.IntN(60) {
				body := fmt.Sprintf("%d %s", n, strings.Repeat("x", random.IntN(300)))
				events = append(events, newEvent("t", "s", body))
				want.WriteString(body + "\n")
				n++
			}
			mustSend(t, s, events...)
		}
		s.Close()
		if got := ordered(t, path); got != want.String() {
			t.Fatalf("seed %d: %d bytes are there, want %d", seed, len(got), want.Len())
		}
	}
}

// full is a disk with no room for compressed files.
type full struct {
	disk
	slow time.Duration
	made func() error // called when a file was created
	mu   sync.Mutex
	room bool
}

func (f *full) create(path string) (handle, error) {
	h, err := f.disk.create(path)
	if err != nil {
		return nil, err
	}
	if f.made != nil {
		if err := f.made(); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	return fullFile{h.(*os.File), f}, nil
}

type fullFile struct {
	*os.File
	disk *full
}

func (f fullFile) Write(b []byte) (int, error) {
	if f.disk.slow > 0 {
		<-time.After(f.disk.slow)
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if !f.disk.room {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, syscall.ENOSPC
	}
	return f.File.Write(b)
}

// TestNoRoomToCompress: events go on being delivered, the rotated files stay as they are, and are compressed when there is room.
func TestNoRoomToCompress(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, Config{Path: filepath.Join(dir, "x"), MaxBytes: 5, Keep: 5, Compress: "gzip"})
	f := &full{disk: disk{mode: 0o600, sync: true}}
	s.files, s.zip.files = f, f
	for i := range 3 {
		mustSend(t, s, newEvent("t", "s", fmt.Sprintf("ev-%d", i)))
		settle(s)
	}
	wantUnzipped(t, dir, map[string]string{"x": "ev-2\n", "x.1": "ev-1\n", "x.2": "ev-0\n"})
	f.mu.Lock()
	f.room = true
	f.mu.Unlock()
	mustSend(t, s, newEvent("t", "s", "ev-3"))
	settle(s)
	wantUnzipped(t, dir, map[string]string{"x": "ev-3\n", "x.1.gz": "ev-2\n", "x.2.gz": "ev-1\n", "x.3.gz": "ev-0\n"})
	f.mu.Lock()
	f.room = false
	f.mu.Unlock()
	mustSend(t, s, newEvent("t", "s", "ev-4"))
	settle(s)
	if err := s.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close says %v", err)
	}
}

// TestVanished takes away what is being compressed, the folder, or the right to make files.
func TestVanished(t *testing.T) {
	for name, c := range map[string]struct {
		made func(dir string) error
		want map[string]string
	}{
		"the file":   {func(dir string) error { return os.Remove(filepath.Join(dir, "x.1")) }, map[string]string{"x": "ev-2\n", "x.1.gz": "ev-1\n"}},
		"the folder": {os.RemoveAll, map[string]string{"x": "ev-2\n"}},
		"the right":  {func(string) error { return syscall.EACCES }, map[string]string{"x": "ev-2\n", "x.1.gz": "ev-1\n", "x.2.gz": "ev-0\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			s := newSink(t, Config{Path: filepath.Join(dir, "x"), MaxBytes: 5, Keep: 5, Compress: "gzip"})
			f := &full{disk: disk{mode: 0o600, sync: true}, room: true}
			once := false
			f.made = func() error {
				if once {
					return nil
				}
				once = true
				return c.made(dir)
			}
			s.files, s.zip.files = f, f
			for i := range 3 {
				mustSend(t, s, newEvent("t", "s", fmt.Sprintf("ev-%d", i)))
				settle(s)
			}
			wantUnzipped(t, dir, c.want)
		})
	}
}

// TestCloseWhileCompressing: a slow disk does not hold Close, nor Send, up for long; the file is compressed after the next start.
func TestCloseWhileCompressing(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Path: filepath.Join(dir, "x"), MaxBytes: 1 << 20, Keep: 5, Compress: "gzip"}
	noise := make([]byte, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = 'a' + byte(random.IntN(26))
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSink(t, cfg)
		f := &full{disk: disk{mode: 0o600, sync: true}, slow: 2 * time.Second, room: true}
		s.files, s.zip.files = f, f
		began := time.Now()
		mustSend(t, s, newEvent("t", "s", string(noise)))
		mustSend(t, s, newEvent("t", "s", "1"))
		mustSend(t, s, newEvent("t", "s", string(noise)))
		if took := time.Since(began); took > 0 {
			t.Errorf("Send took %s", took)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < closeWait || took > 3*closeWait {
			t.Errorf("Close took %s", took)
		}
	})
	got := tree(t, dir)
	if len(got) != 3 || got["x.2"] != string(noise)+"\n" || got["x.1"] != "1\n" {
		t.Errorf("%d files", len(got))
	}
	s := newSink(t, cfg)
	mustSend(t, s, newEvent("t", "s", "2"))
	settle(s)
	if got := unzipped(t, dir); len(got) != 4 || got["x.3.gz"] != string(noise)+"\n" || got["x.2.gz"] != "1\n" || got["x"] != "2\n" {
		t.Errorf("%d files", len(got))
	}
}

// TestSecondWriter leaves the rotated files, and the one in the making, to the process that has the file.
func TestSecondWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	one := newSink(t, Config{Path: path, MaxBytes: 5, Keep: 5})
	mustSend(t, one, newEvent("t", "s", "ev-0"))
	mustSend(t, one, newEvent("t", "s", "ev-1"))
	if err := os.WriteFile(path+tmpSuffix, []byte("in the making"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	two := newSink(t, Config{Path: path, MaxBytes: 5, Keep: 1, Compress: "gzip"})
	if err := two.Send(t.Context(), []event.Event{newEvent("t", "s", "ev-2")}); fault.Of(err) != fault.Blocked {
		t.Errorf("error is %v", err)
	}
	settle(two)
	wantTree(t, dir, before)
	one.Close()
	mustSend(t, two, newEvent("t", "s", "ev-2")) // what is left is cleared away
	settle(two)
	wantUnzipped(t, dir, map[string]string{"x": "ev-2\n", "x.1.gz": "ev-1\n"})
}

// TestContractRotated has the contract go over many files.
func TestContractRotated(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
			f := &rotated{faulty: faulty{disk: disk{mode: 0o600, sync: true}, path: filepath.Join(t.TempDir(), "x")}, t: t}
			s := newSink(t, Config{Path: f.path, MaxBytes: 300, Keep: 1000, Compress: "gzip"})
			s.files, s.zip.files, f.sink = f, &f.disk, s
			return s, f
		},
		Skip: map[string]string{
			"hang": waits, "close-while-sending": waits, "cut-during": "a file has no reply that could break off", "cut-replied": "as cut-during",
			"refuse-marked": "a file takes every line", "partial": "as refuse-marked", "too-large": "a file takes lines of any length",
			"stream": "TestContractFile, TestRotationLoad",
		},
	})
}

type rotated struct {
	faulty
	t    *testing.T
	sink *Sink
}

func (r *rotated) Received() []sinktest.Received {
	settle(r.sink)
	return lines(ordered(r.t, r.path))
}
