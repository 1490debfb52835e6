package file

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/sink/sinktest"
)

const waits = "a file or a pipe cannot be interrupted: it answers or the machine is sick"

func TestContractFile(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
			f := &faulty{disk: disk{mode: 0o600, sync: true}, path: filepath.Join(t.TempDir(), "out", "signins.interactive.ndjson")}
			s, err := New(Config{Path: filepath.Join(filepath.Dir(f.path), "{stream}.ndjson")})
			if err != nil {
				t.Fatal(err)
			}
			s.files = f
			return s, f
		},
		Skip: map[string]string{
			"hang": waits, "close-while-sending": waits,
			"refuse-marked": "a file takes every line", "partial": "as refuse-marked", "too-large": "a file takes lines of any length",
			"cut-during": "a file has no reply that could break off", "cut-replied": "as cut-during",
		},
	})
}

// faulty is a disk with faults.
type faulty struct {
	disk
	path string
	mu   sync.Mutex
	mode sinktest.Mode
}

type faultyFile struct {
	*os.File
	disk *faulty
}

func (f *faulty) open(path string) (handle, error) {
	if f.now() == sinktest.Deny {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}
	}
	h, err := f.disk.open(path)
	if err != nil {
		return nil, err
	}
	return faultyFile{h.(*os.File), f}, nil
}

func (f faultyFile) Write(b []byte) (int, error) {
	switch f.disk.now() {
	case sinktest.Busy:
		n, _ := f.File.Write(b[:2*len(b)/3])
		return n, syscall.ENOSPC
	case sinktest.CutBefore:
		return 0, syscall.EIO
	case sinktest.Slow:
		return drip(f.File, b)
	}
	return f.File.Write(b)
}

// drip writes byte by byte.
func drip(w io.Writer, b []byte) (int, error) {
	for i := range b {
		<-time.After(100 * time.Microsecond)
		if _, err := w.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func (f faultyFile) Sync() error {
	if f.disk.now() == sinktest.CutAfter {
		return syscall.EIO
	}
	return f.File.Sync()
}

func (f *faulty) now() sinktest.Mode {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mode
}

func (f *faulty) Set(m sinktest.Mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = m
}

func (f *faulty) Received() []sinktest.Received {
	b, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		panic(err)
	}
	return lines(string(b))
}

// Drain empties the file under the sink, as logrotate does with copytruncate.
func (f *faulty) Drain() []sinktest.Received {
	all := f.Received()
	if err := os.Truncate(f.path, 0); err != nil {
		panic(err)
	}
	return all
}

func lines(s string) []sinktest.Received {
	var all []sinktest.Received
	for line := range strings.Lines(s) {
		if body, ended := strings.CutSuffix(line, "\n"); ended {
			all = append(all, sinktest.Received{Body: body})
		} else {
			panic("half a line: " + line)
		}
	}
	return all
}

func TestContractStdout(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
			p := &pipe{}
			s, err := NewStdout(Stdout{}, Options{Writer: p})
			if err != nil {
				t.Fatal(err)
			}
			return s, p
		},
		Skip: map[string]string{"hang": waits, "close-while-sending": waits, "refuse-marked": "a pipe takes every line", "partial": "as refuse-marked",
			"too-large": "a pipe takes lines of any length", "cut-during": "a pipe has no reply that could break off", "cut-replied": "as cut-during"},
	})
}

// pipe is a standard output with faults.
type pipe struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	mode sinktest.Mode
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.mode {
	case sinktest.Busy, sinktest.CutBefore:
		return 0, syscall.EIO
	case sinktest.Deny:
		return 0, syscall.EPIPE
	case sinktest.CutAfter:
		p.buf.Write(b)
		return 0, syscall.EIO
	case sinktest.Slow:
		return drip(&p.buf, b)
	}
	return p.buf.Write(b)
}

func (p *pipe) Set(m sinktest.Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
}

func (p *pipe) Received() []sinktest.Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return lines(p.buf.String())
}

func (p *pipe) Drain() []sinktest.Received {
	all := p.Received()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf.Reset()
	return all
}
