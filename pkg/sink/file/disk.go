package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

// filesystem is what the sink does with names. Tests have one whose disk is full, and one that dies.
type filesystem interface {
	open(path string) (handle, error)   // for appending; the file is made if there is none, and locked
	create(path string) (handle, error) // for writing anew
	rename(from, to string) error
	remove(path string) error
	syncDir(dir string) error // what was renamed there outlives a crash
}

// handle is what an appender needs of *os.File.
type handle interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
}

var (
	errNotFile = errors.New("it is not an ordinary file")
	errLocked  = errors.New("another process, or another sink, writes to it")
	errForeign = fmt.Errorf("its last line is unfinished and longer than %d MiB", maxTail>>20)
)

// disk is the opener of real files.
type disk struct {
	mode fs.FileMode
	sync bool
}

func (d disk) open(path string) (handle, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, err := os.Lstat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	// Reading is for finding the last line's end; with it, opening a FIFO does not wait for a reader either.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, d.mode)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err == nil && !info.Mode().IsRegular():
		err = errNotFile
	case err == nil:
		err = lock(f)
	}
	if err == nil && fresh && d.sync {
		err = d.syncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// create makes a file that is not for appending.
func (d disk) create(path string) (handle, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, d.mode)
}

func (disk) rename(from, to string) error { return os.Rename(from, to) }

func (disk) remove(path string) error { return os.Remove(path) }

func (disk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: this file system has no such thing
		return err
	}
	return nil
}

// appender is an open file that consists of whole lines.
type appender struct {
	handle
	size  int64
	begun time.Time // when its first line was written
	used  uint64    // number of the last Send that wrote to it
}

// maxTail is the longest line that mend cuts off: longer than any event, short enough to find out quickly that a file is
// none of ours.
const maxTail = 64 << 20

// mend cuts off an unfinished last line. A crash leaves one; its event was not reported as delivered and comes again.
func (a *appender) mend() error {
	info, err := a.Stat()
	if err != nil {
		return err
	}
	a.size, a.begun = info.Size(), born(a.handle, info)
	buf := make([]byte, 64<<10)
	for end := a.size; end > 0; {
		if a.size-end > maxTail {
			return errForeign
		}
		b := buf[:min(end, int64(len(buf)))]
		if _, err := a.ReadAt(b, end-int64(len(b))); err != nil {
			return err
		}
		end -= int64(len(b))
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return a.cut(end + int64(i) + 1)
		}
	}
	return a.cut(0)
}

func (a *appender) cut(size int64) error {
	if size == a.size {
		return nil
	}
	if err := a.Truncate(size); err != nil {
		return err
	}
	a.size = size
	return nil
}

// current tells whether path still names this file, and takes over its size: tools like logrotate move or empty files.
func (a *appender) current(path string) bool {
	ours, err := a.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	if err != nil || !os.SameFile(ours, named) {
		return false
	}
	a.size = ours.Size()
	return true
}

// write appends lines and brings them to the disk, or leaves the file as it was.
func (a *appender) write(lines []byte, sync bool) error {
	n, err := a.Write(lines)
	if err == nil && sync {
		err = a.Sync()
	}
	if err == nil {
		a.size += int64(n)
		return nil
	}
	if n > 0 {
		if cutErr := a.Truncate(a.size); cutErr != nil { // mend does it when the file is opened again
			err = fmt.Errorf("%w; then cut the unfinished line off: %w", err, cutErr)
		}
	}
	return err
}

func (a *appender) close() error { return a.Close() }

// judge gives err its class and says how to mend it.
func judge(path string, err error) error {
	block := func(hint string) error {
		return fault.Block(fmt.Errorf("write file %s: %w: %s", path, err, hint))
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("write file %s: disk is full: free space on %s: %w", path, filepath.Dir(path), err)
	case errors.Is(err, syscall.EROFS):
		return block("the file system is read-only: mount it writable or set another path")
	case errors.Is(err, fs.ErrPermission):
		return block("give the user that logferry runs as the right to write there, or set another path")
	case errors.Is(err, errNotFile), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return block("set path to the name of a file in a folder")
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP), errors.Is(err, errForeign):
		return block("set another path")
	case errors.Is(err, errLocked):
		return block("give every sink and every process a path of its own")
	}
	return fmt.Errorf("write file %s: %w", path, err)
}
