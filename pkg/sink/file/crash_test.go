package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/logferry/logferry/pkg/event"
)

// dying is a disk whose machine stops after so many steps. What was written and not synced by then is lost.
type dying struct {
	disk
	mu       sync.Mutex
	left     int
	unsynced map[string]bool
	log      []string
}

var errDead = errors.New("the machine has stopped")

func (d *dying) step(what, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, what+" "+strings.TrimLeft(filepath.Base(path), "0123456789"))
	d.left--
	if d.left == 0 {
		for path := range d.unsynced {
			os.Truncate(path, 5)
		}
	}
	if d.left <= 0 {
		return errDead
	}
	return nil
}

func (d *dying) open(path string) (handle, error) {
	if err := d.step("open", path); err != nil {
		return nil, err
	}
	return d.disk.open(path)
}

func (d *dying) create(path string) (handle, error) {
	if err := d.step("create", path); err != nil {
		return nil, err
	}
	h, err := d.disk.create(path)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.unsynced[path] = true
	d.mu.Unlock()
	return dyingFile{h.(*os.File), d}, nil
}

type dyingFile struct {
	*os.File
	disk *dying
}

func (f dyingFile) Write(b []byte) (int, error) {
	if err := f.disk.step("write", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f dyingFile) Sync() error {
	if err := f.disk.step("sync", f.Name()); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	delete(f.disk.unsynced, f.Name())
	return nil
}

func (d *dying) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unsynced[from] {
		delete(d.unsynced, from)
		d.unsynced[to] = true
	}
	return d.disk.rename(from, to)
}

func (d *dying) remove(path string) error {
	if err := d.step("remove", path); err != nil {
		return err
	}
	return d.disk.remove(path)
}

func (d *dying) syncDir(dir string) error {
	if err := d.step("syncdir", "x"); err != nil {
		return err
	}
	return d.disk.syncDir(dir)
}

// TestCrash stops the machine after each step of rotating and compressing, and starts again.
func TestCrash(t *testing.T) {
	const most = 8
	var log []string
	deaths := 0
	for at := 1; ; at++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "x")
		cfg := Config{Path: path, MaxBytes: 10, Keep: 20, Compress: "gzip"}
		s := newSink(t, cfg)
		d := &dying{disk: disk{mode: 0o600, sync: true}, left: at, unsynced: map[string]bool{}}
		s.files, s.zip.files = d, d
		sent := 0
		for ; sent < most && s.Send(t.Context(), []event.Event{newEvent("t", "s", fmt.Sprintf("ev-%d", sent))}) == nil; sent++ {
			settle(s)
		}
		s.Close()
		died := d.left <= 0
		ordered(t, path) // nothing half under a final name

		again := newSink(t, cfg)
		var want strings.Builder
		for i := range most {
			if i >= sent {
				mustSend(t, again, newEvent("t", "s", fmt.Sprintf("ev-%d", i)))
			}
			fmt.Fprintf(&want, "ev-%d\n", i)
		}
		mustSend(t, again, newEvent("t", "s", "last"))
		settle(again)
		if got := ordered(t, path); got != want.String()+"last\n" {
			t.Errorf("after a stop at step %d (%s) there is %q", at, d.log[len(d.log)-1], got)
		}
		for name := range tree(t, dir) {
			if name != "x" && filepath.Ext(name) != zipSuffix {
				t.Errorf("after a stop at step %d (%s) there is %s", at, d.log[len(d.log)-1], name)
			}
		}
		if !died {
			log = d.log
			break
		}
		deaths++
	}
	if deaths < 30 {
		t.Errorf("%d steps only", deaths)
	}
	i := slices.Index(log, "rename x.1.gz")
	if i < 0 || !slices.Equal(log[i-1:i+3], []string{"sync x.gz.tmp", "rename x.1.gz", "syncdir x", "remove x.1"}) {
		t.Errorf("the steps are %q", log)
	}
}
