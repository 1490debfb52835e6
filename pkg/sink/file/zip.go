package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// closeWait is how long Close waits for the file that is being compressed. After that it stays as it is for the next start.
const closeWait = 5 * time.Second

// zipper compresses rotated files in the background, one after the other. A file has its compressed form under the final name only
// when that is whole and on the disk, and loses its own name after that: a crash leaves the one, or the other, or both and alike.
type zipper struct {
	files filesystem
	keep  int
	on    bool // false: only what a crash has left is cleared away

	names sync.Mutex // held while rotated files change their names

	mu      sync.Mutex
	todo    []string      // files whose rotated ones are to be looked at
	running chan struct{} // closed when the goroutine ends; nil: there is none
	closed  bool
	failed  error // of the last file; nil once one went well
	abort   context.Context
	cancel  context.CancelFunc
}

func newZipper(files filesystem, keep int, on bool) *zipper {
	z := &zipper{files: files, keep: keep, on: on}
	z.abort, z.cancel = context.WithCancel(context.Background())
	return z
}

// rotate frees the name path.
func (z *zipper) rotate(path string) error {
	z.names.Lock()
	defer z.names.Unlock()
	return rotate(z.files, path, z.keep)
}

// look has the rotated files of path compressed, and what a crash has left of that finished or removed. The caller has the lock of path,
// so nobody else does.
func (z *zipper) look(path string) {
	if !exists(path+tmpSuffix) && (!z.on || z.plain(path) == 0) {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed {
		return
	}
	if !slices.Contains(z.todo, path) {
		z.todo = append(z.todo, path)
	}
	if z.running == nil {
		z.running = make(chan struct{})
		go z.run(z.running)
	}
}

func (z *zipper) run(done chan struct{}) {
	defer close(done)
	for {
		z.mu.Lock()
		if len(z.todo) == 0 || z.closed {
			z.running = nil
			z.mu.Unlock()
			return
		}
		path := z.todo[0]
		z.todo = z.todo[1:]
		z.mu.Unlock()
		err := z.all(path)
		z.mu.Lock()
		z.failed = err
		z.mu.Unlock()
	}
}

// plain is the highest number of a rotated file that is not compressed; 0 if there is none.
func (z *zipper) plain(path string) int {
	last := 0
	for i := 1; i <= z.keep && taken(path, i); i++ {
		if info, err := os.Lstat(slot(path, i)); err == nil && info.Mode().IsRegular() {
			last = i
		}
	}
	return last
}

// all compresses the rotated files of path, the oldest first. What fails is tried again when the file rotates or is opened next.
func (z *zipper) all(path string) error {
	tmp := path + tmpSuffix
	for z.on && z.abort.Err() == nil {
		z.names.Lock()
		var from *os.File
		var err error
		i := z.plain(path)
		if i > 0 {
			from, err = os.Open(slot(path, i))
		}
		z.names.Unlock()
		if err == nil && i > 0 {
			err = z.one(path, tmp, from)
		}
		if err != nil {
			_ = z.files.remove(tmp)
			return fmt.Errorf("compress %s: %w", slot(path, i), err)
		}
		if i == 0 {
			break
		}
	}
	if err := z.files.remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what a crash has left: %w", err)
	}
	return nil
}

// one compresses a rotated file and puts the result in its place, wherever that is by then.
func (z *zipper) one(path, tmp string, from *os.File) error {
	defer from.Close()
	if err := z.write(tmp, from); err != nil {
		return err
	}
	z.names.Lock()
	defer z.names.Unlock()
	name, err := z.find(path, from)
	if err != nil || name == "" {
		return err // deleted by keep, or moved by somebody else
	}
	if err := z.files.rename(tmp, name+zipSuffix); err != nil {
		return err
	}
	if err := z.files.syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return z.files.remove(name)
}

// write makes the compressed form, which is on the disk when it returns nil.
func (z *zipper) write(tmp string, from io.Reader) (err error) {
	out, err := z.files.create(tmp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	zip := gzip.NewWriter(out)
	if _, err := io.CopyBuffer(onlyWriter{zip}, abortable{from, z.abort}, make([]byte, 64<<10)); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return out.Sync()
}

// find gives the name that a rotated file has now; "" if it has none any more.
func (z *zipper) find(path string, f *os.File) (string, error) {
	ours, err := f.Stat()
	if err != nil {
		return "", err
	}
	for i := 1; i <= z.keep; i++ {
		if info, err := os.Lstat(slot(path, i)); err == nil && os.SameFile(ours, info) {
			return slot(path, i), nil
		}
	}
	return "", nil
}

// onlyWriter and abortable hide what else they can from io.CopyBuffer, which would pass the buffer, or the end, by.
type onlyWriter struct{ io.Writer }

type abortable struct {
	io.Reader
	abort context.Context
}

func (r abortable) Read(p []byte) (int, error) {
	if err := r.abort.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// close waits a while for the file in hand, and then gives it up: it stays as it was. An error is that of the last file, if it was not
// given up.
func (z *zipper) close() error {
	z.mu.Lock()
	z.closed = true
	running := z.running
	z.mu.Unlock()
	defer z.cancel()
	if running != nil {
		late := time.AfterFunc(closeWait, z.cancel)
		defer late.Stop()
		<-running
	}
	if errors.Is(z.failed, context.Canceled) {
		return nil
	}
	return z.failed
}
