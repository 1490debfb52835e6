package file

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

func newEvent(tenant, stream, body string) event.Event {
	return event.Event{Body: []byte(body), Record: event.Record{
		Key:  event.StreamKey{Cloud: "global", Tenant: tenant, Stream: stream},
		Time: time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC),
	}}
}

func newSink(t testing.TB, cfg Config) *Sink {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustSend(t testing.TB, s *Sink, events ...event.Event) {
	t.Helper()
	if err := s.Send(t.Context(), events); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

// tree gives all files below dir with their content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		got[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantTree(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
}

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, Config{Path: filepath.Join(dir, "a", "{tenant}", "{family}-{stream}-{date}.ndjson")})
	mustSend(t, s,
		newEvent("t1", "signins.interactive", `{"n":1}`),
		newEvent("t2", "audits", `{"n":2}`),
		newEvent("t1", "signins.interactive", "{\n\"n\":\n3}"),
		newEvent("..", "../../etc/x", `{"n":4}`),
		newEvent("", "a\x00b\\c", `{"n":5}`),
		newEvent(".a", "/abs", `{"n":6}`),
		newEvent("...x", ".", `{"n":7}`),
	)
	wantTree(t, dir, map[string]string{
		"a/t1/signins-signins.interactive-2026-03-01.ndjson": "{\"n\":1}\n{ \"n\": 3}\n",
		"a/t2/audits-audits-2026-03-01.ndjson":               "{\"n\":2}\n",
		"a/__/___-___.._etc_x-2026-03-01.ndjson":             "{\"n\":4}\n",
		"a/_/a_b_c-a_b_c-2026-03-01.ndjson":                  "{\"n\":5}\n",
		"a/_a/_abs-_abs-2026-03-01.ndjson":                   "{\"n\":6}\n",
		"a/___x/_-_-2026-03-01.ndjson":                       "{\"n\":7}\n",
	})
	for path, want := range map[string]os.FileMode{"a": 0o700, "a/t2": 0o700, "a/t2/audits-audits-2026-03-01.ndjson": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %o, want %o", path, got, want)
		}
	}
}

// FuzzPlaces: whatever the values are, the file lies in the folder that the template gives it.
func FuzzPlaces(f *testing.F) {
	f.Add("..", "../../x")
	f.Add("", "")
	f.Add("\xff", ".\x2f.")
	f.Fuzz(func(t *testing.T, tenant, stream string) {
		s, err := New(Config{Path: "/base/{tenant}/{stream}"})
		if err != nil {
			t.Fatal(err)
		}
		path := string(s.appendPath(nil, &event.Record{Key: event.StreamKey{Tenant: tenant, Stream: stream}}))
		if filepath.Clean(path) != path || filepath.Dir(filepath.Dir(path)) != "/base" || strings.ContainsAny(path, "\x00\n") {
			t.Errorf("path is %q", path)
		}
	})
}

func TestMend(t *testing.T) {
	long := strings.Repeat("x", 200_000) // more than one read
	for _, tt := range []struct{ name, before, want string }{
		{"empty", "", "new\n"},
		{"whole", "one\n", "one\nnew\n"},
		{"half a line", "one\ntw", "one\nnew\n"},
		{"long half line", "one\n" + long, "one\nnew\n"},
		{"long lines", long + "\n" + long, long + "\nnew\n"},
		{"nothing but half a line", "tw", "new\n"},
		{"zeros that a power loss leaves", "one\n\x00\x00\x00", "one\nnew\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			mustSend(t, newSink(t, Config{Path: path}), newEvent("t", "s", "new"))
			if b, _ := os.ReadFile(path); string(b) != tt.want {
				t.Errorf("file is %.50q, want %.50q", b, tt.want)
			}
		})
	}
}

// TestMendSpares a file that cannot be ours from being emptied.
func TestMendSpares(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxTail+1<<20); err != nil { // sparse
		t.Fatal(err)
	}
	err := newSink(t, Config{Path: path}).Send(t.Context(), []event.Event{newEvent("t", "s", "new")})
	if fault.Of(err) != fault.Blocked {
		t.Errorf("error is %v", err)
	}
	if info, _ := os.Stat(path); info.Size() != maxTail+1<<20 {
		t.Errorf("the file has %d bytes left", info.Size())
	}
}

// TestFullDisk leaves whole lines, and only the full disk's events failed.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, Config{Path: filepath.Join(dir, "{stream}")})
	full := &faulty{disk: disk{mode: 0o600}}
	mustSend(t, s, newEvent("t", "good", "g1")) // is open before, and stays well
	s.files = full
	mustSend(t, s, newEvent("t", "bad", "b1"))
	full.Set(sinktest.Busy)

	err := s.Send(t.Context(), []event.Event{newEvent("t", "bad", "b2"), newEvent("t", "good", "g2"), newEvent("t", "bad", "b3")})
	failed := fault.Failed(err)
	if len(failed) != 2 || failed[0] == nil || failed[2] == nil {
		t.Fatalf("error is %v: %v", err, failed)
	}
	if fault.Of(failed[0]) != fault.Retryable || !strings.Contains(failed[0].Error(), "free space on "+dir) {
		t.Errorf("error is %v", failed[0])
	}
	wantTree(t, dir, map[string]string{"good": "g1\ng2\n", "bad": "b1\n"})

	full.Set(sinktest.Accept)
	mustSend(t, s, newEvent("t", "bad", "b2"), newEvent("t", "bad", "b3"))
	wantTree(t, dir, map[string]string{"good": "g1\ng2\n", "bad": "b1\nb2\nb3\n"})
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	s := newSink(t, Config{Path: path, MaxBytes: 10, Keep: 2})
	for i := range 7 {
		mustSend(t, s, newEvent("t", "s", fmt.Sprintf("ev-%d", i))) // 5 bytes with the line's end
	}
	wantTree(t, dir, map[string]string{"x": "ev-6\n", "x.1": "ev-4\nev-5\n", "x.2": "ev-2\nev-3\n"})

	if err := os.Remove(path + ".1"); err != nil { // as if a rotation was interrupted
		t.Fatal(err)
	}
	mustSend(t, s, newEvent("t", "s", "larger than a file"))
	wantTree(t, dir, map[string]string{"x": "larger than a file\n", "x.1": "ev-6\n", "x.2": "ev-2\nev-3\n"})
}

// TestMovedAway: logrotate and operators move and delete files under a writer.
func TestMovedAway(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	s := newSink(t, Config{Path: path})
	mustSend(t, s, newEvent("t", "s", "1"))
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, newEvent("t", "s", "2"))
	wantTree(t, dir, map[string]string{"x": "2\n", "x.old": "1\n"})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, newEvent("t", "s", "3"))
	wantTree(t, dir, map[string]string{"x": "3\n", "x.old": "1\n"})
}

func TestOpenFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, Config{Path: filepath.Join(dir, "{tenant}")})
	want := map[string]string{}
	for i := range 2*maxOpen + 1 {
		name := fmt.Sprint(i % (maxOpen + 20))
		mustSend(t, s, newEvent("kept", "s", "k"), newEvent(name, "s", "x"))
		want[name] += "x\n"
		want["kept"] += "k\n"
		if len(s.open) > maxOpen || s.open[filepath.Join(dir, "kept")] == nil {
			t.Fatalf("%d files are open, the busiest one: %v", len(s.open), s.open[filepath.Join(dir, "kept")])
		}
	}
	wantTree(t, dir, want)
}

func TestBlocked(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"folder", func(path string) error { return os.Mkdir(path, 0o700) }, "set path to the name of a file"},
		{"fifo", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "not an ordinary file"},
		{"below a file", func(path string) error { return os.WriteFile(filepath.Dir(path), nil, 0o600) }, "set path to the name of a file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			if tt.name == "below a file" {
				path = filepath.Join(path, "y")
			}
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			err := newSink(t, Config{Path: path}).Send(t.Context(), []event.Event{newEvent("t", "s", "1")})
			if fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v (%v)", err, fault.Of(err))
			}
		})
	}
	t.Run("second writer", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x")
		one, two := newSink(t, Config{Path: path}), newSink(t, Config{Path: path})
		mustSend(t, one, newEvent("t", "s", "1"))
		err := two.Send(t.Context(), []event.Event{newEvent("t", "s", "2")})
		if fault.Of(err) != fault.Blocked {
			t.Errorf("error is %v", err)
		}
		one.Close()
		mustSend(t, two, newEvent("t", "s", "2"))
	})
}

// TestStdoutBroken runs itself with a standard output that nobody reads any more: the process must live and say so.
func TestStdoutBroken(t *testing.T) {
	if os.Getenv("LOGFERRY_TEST_STDOUT") != "" {
		s, err := NewStdout(Stdout{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Send(t.Context(), []event.Event{newEvent("t", "s", "1")})
		fmt.Fprintln(os.Stderr, fault.Of(err), err)
		os.Exit(0)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStdoutBroken$")
	cmd.Env = append(os.Environ(), "LOGFERRY_TEST_STDOUT=1")
	cmd.Stdout, cmd.Stderr = w, &stderr
	err = cmd.Run()
	if got := stderr.String(); err != nil || !strings.HasPrefix(got, "blocked write standard output: ") || !strings.Contains(got, "start logferry and it again") {
		t.Errorf("%v: %q", err, got)
	}
}

// TestStdoutTorn keeps the line after a half one whole.
func TestStdoutTorn(t *testing.T) {
	w := &short{room: 3}
	s, err := NewStdout(Stdout{}, Options{Writer: w})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []event.Event{newEvent("t", "s", "12345")}); fault.Of(err) != fault.Retryable || err == nil {
		t.Errorf("error is %v", err)
	}
	w.room = 100
	if err := s.Send(t.Context(), []event.Event{newEvent("t", "s", "12345")}); err != nil {
		t.Fatal(err)
	}
	if got := string(w.got); got != "123\n12345\n" {
		t.Errorf("output is %q", got)
	}
}

type short struct {
	room int
	got  []byte
}

func (w *short) Write(b []byte) (int, error) {
	n := min(w.room, len(b))
	w.got = append(w.got, b[:n]...)
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string // the fields at fault
	}{
		{"smallest", Config{Path: "x"}, nil},
		{"full", Config{Path: "./out/{tenant}/{date}", Fsync: "none", MaxBytes: 1 << 30, Keep: 10, Mode: 0o640}, nil},
		{"empty", Config{}, []string{"path"}},
		{"folder", Config{Path: "out/"}, []string{"path"}},
		{"wrong placeholder", Config{Path: "{user}"}, []string{"path"}},
		{"all wrong", Config{Path: "x", Fsync: "always", MaxBytes: 1, Mode: 600, Batch: Batch{Events: -1}}, []string{"fsync", "mode", "keep", "batch.events"}},
		{"mode without write", Config{Path: "x", Mode: 0o444}, []string{"mode"}},
		{"by age", Config{Path: "x", MaxAge: field.Duration(24 * time.Hour), Compress: "gzip", Keep: 7}, nil},
		{"by age, wrong", Config{Path: "x", MaxAge: field.Duration(time.Second), Compress: "zip"}, []string{"keep", "max_age", "compress"}},
		{"nothing to compress", Config{Path: "x", Compress: "gzip"}, []string{"compress"}},
		{"keep alone", Config{Path: "x", Keep: 1}, []string{"max_bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			if err := tt.cfg.Validate(); err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					path, _, _ := strings.Cut(line, ":")
					got = append(got, path)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("fields at fault are %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMode(t *testing.T) {
	for text, want := range map[string]Mode{"0640": 0o640, "640": 0o640, "0o600": 0o600} {
		var m Mode
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%s is %o, %v", text, m, err)
		}
		if b, _ := m.MarshalText(); m.UnmarshalText(b) != nil || m != want {
			t.Errorf("%s is written as %s", text, b)
		}
	}
	for _, text := range []string{"0680", "rw", "-1", ""} {
		var m Mode
		if m.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is taken as %o", text, m)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	s := newSink(b, Config{Path: filepath.Join(b.TempDir(), "{stream}"), Fsync: "none"})
	var events []event.Event
	for range 500 {
		events = append(events, newEvent("t", "s", strings.Repeat("x", 2800)))
	}
	b.ReportAllocs()
	for b.Loop() {
		mustSend(b, s, events...)
		os.Truncate(filepath.Join(filepath.Dir(string(s.appendPath(nil, &events[0].Record))), "s"), 0)
	}
}
