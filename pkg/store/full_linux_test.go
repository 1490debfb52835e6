package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// noisy makes a page that does not compress.
func noisy(seed uint64, records, size int) event.PageCommit {
	r := rand.New(rand.NewPCG(seed, 3))
	c := page(keyA)
	for i := range records {
		raw := make([]byte, size)
		for k := 0; k+8 <= size; k += 8 {
			copy(raw[k:], fmt.Sprintf("%08x", r.Uint32()))
		}
		c.Records = append(c.Records, event.Record{ID: fmt.Sprint(seed, "-", i), Time: noon.Add(time.Duration(seed) * time.Second), Digest: 1, Raw: raw})
	}
	return c
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		t.Skipf("mounting a small tmpfs is not allowed here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	s, _, err := Open(dir, Options{Now: fastOptions().Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	taken := uint64(0)
	for ; ; taken++ {
		if _, err = s.Append(bg, noisy(taken, 100, 8<<10)); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrNoSpace) || taken < 5 {
		t.Fatalf("after %d pages: %v", taken, err)
	}
	// Somebody else takes what is left of the disk: the lane has to get on with the file's own free pages.
	rest := filepath.Join(dir, "rest")
	f, err := os.Create(rest)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(bytes.Repeat([]byte{1}, 4096))
	}
	f.Close()
	if _, err := s.Append(bg, noisy(taken, 100, 8<<10)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("err is %v", err)
	}
	if _, err := s.Append(bg, noisy(0, 100, 8<<10)); err != nil {
		t.Errorf("a page without anything new: %v", err)
	}
	for seq := uint64(1); seq <= taken; seq++ {
		step := event.LaneStep{Sink: "one", To: event.Position{Seq: seq, Index: 50}, Counts: delivered(50)}
		if err := s.Step(bg, step); err != nil {
			t.Fatalf("step at seq %d of a full disk: %v", seq, err)
		}
		step.To = event.Position{Seq: seq + 1}
		if err := s.Step(bg, step); err != nil {
			t.Fatalf("step over seq %d of a full disk: %v", seq, err)
		}
	}
	for deadline := time.Now().Add(10 * fullPause); ; {
		if _, err = s.Append(bg, noisy(taken, 100, 8<<10)); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("it does not recover by itself: %v", err)
	}
	mustCheck(t, s)
}

// Who starts on a full disk has a backlog to deliver: nothing but new records needs space.
func TestStartOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		t.Skipf("mounting a small tmpfs is not allowed here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, noisy(1, 100, 8<<10))
	if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 1, Index: 50}, Counts: delivered(50)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(bytes.Repeat([]byte{1}, 4096))
	}
	f.Close()
	o := fastOptions()
	o.Version = "v2.0.0" // another one: its name is to be written
	s = open(t, dir, o)
	defer s.Close()
	if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: 2}, Counts: delivered(50)}); err != nil {
		t.Error(err)
	}
}

// A migration on a full disk works with the file's own free pages, or changes nothing and says what to do.
func TestMigrationOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Skipf("mounting a small tmpfs is not allowed here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	data, err := os.ReadFile(filepath.Join(format1(t), fileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	before, rest := content(t, dir), filepath.Join(dir, "rest")
	f, err := os.Create(rest)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(bytes.Repeat([]byte{1}, 4096))
	}
	f.Close()
	o := fastOptions()
	o.Version = "v2.0.0"
	s, _, err := Open(dir, o)
	if err == nil {
		mustCheck(t, s)
		s.Close()
	} else if format, _, _ := metaOf(t, dir); !errors.Is(err, ErrNoSpace) || format != 1 || content(t, dir) != before {
		t.Errorf("format %d, %v", format, err)
	}
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, o)
	mustCheck(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if format, _, _ := metaOf(t, dir); format != 2 || content(t, dir) != before {
		t.Errorf("afterwards format %d", format)
	}
}
