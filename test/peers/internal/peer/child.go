package peer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// grace is how long a child may take to end after SIGTERM.
const grace = 20 * time.Second

// Child is a server process that this one minds.
type Child struct {
	PID  int
	Done <-chan error // one value once the process has ended, nil if ctx was done by then

	log string
}

// StartChild runs argv with its output appended to the file log. The process gets SIGTERM when ctx is done, SIGKILL
// if it is still there after 20 s or if this process dies first.
func StartChild(ctx context.Context, log string, argv ...string) (*Child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", argv[0], err)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan error, 1)
	go func() {
		// The kernel sends the death signal when the thread that started the child ends, so that thread must stay.
		runtime.LockOSThread()
		defer out.Close()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		if ctx.Err() != nil {
			err = nil
		} else {
			err = fmt.Errorf("%s ended by itself: %v; last lines of %s:\n%s", argv[0], err, log, tail(log))
		}
		done <- err
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return &Child{PID: cmd.Process.Pid, Done: done, log: log}, nil
}

// Await calls check every 50 ms until it returns nil, the child ends, ctx is done or the limit is over.
func (c *Child) Await(ctx context.Context, limit time.Duration, check func() error) error {
	deadline := time.After(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case err := <-c.Done:
			if err == nil {
				err = ctx.Err()
			}
			return err
		case <-deadline:
			return fmt.Errorf("wait %s for the server: %w; last lines of %s:\n%s", limit, err, c.log, tail(c.log))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tail returns at most the last 2 KB of a file.
func tail(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 2048 {
		f.Seek(-2048, io.SeekEnd)
	}
	b, _ := io.ReadAll(f)
	return bytes.TrimSpace(b)
}

// FreePorts returns n TCP ports of 127.0.0.1 that were free a moment ago.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find free port: %w", err)
		}
		defer l.Close() // only at the end, or the same port may come twice
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Loopback returns 127.0.0.1:port.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// List splits a flag value at commas; an empty one has no elements.
func List(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}
