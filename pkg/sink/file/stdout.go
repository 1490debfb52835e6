package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// Options are what the configuration does not hold.
type Options struct {
	Writer io.Writer // where lines go; nil: standard output
}

// StdoutSink writes events as lines to standard output. A reader that does not read holds Send up beyond its context: a pipe
// cannot be interrupted.
type StdoutSink struct {
	mu     sync.Mutex
	w      io.Writer
	close  func() error
	closed bool
	torn   bool // the last line has no end
	buf    []byte
}

// NewStdout makes a sink for standard output.
func NewStdout(_ Stdout, opts Options) (*StdoutSink, error) {
	if opts.Writer != nil {
		return &StdoutSink{w: opts.Writer}, nil
	}
	f, err := standardOutput()
	if err != nil {
		return nil, fmt.Errorf("open standard output: %w", err)
	}
	return &StdoutSink{w: f, close: f.Close}, nil
}

// Limits tells the lane how to cut. It does not wait for full batches: somebody is looking.
func (s *StdoutSink) Limits() event.Limits {
	return event.Limits{Events: 1000, Bytes: 1 << 20, InFlight: 1}
}

// Send writes the events' bodies as lines, in one write. A broken pipe is Blocked; everything else is Retryable.
func (s *StdoutSink) Send(ctx context.Context, events []event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("write standard output: the sink is closed")
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write standard output: %w", err)
	}
	s.buf = s.buf[:0]
	if s.torn {
		s.buf = append(s.buf, '\n') // the half line cannot be taken back, but must not spoil the next one
	}
	for i := range events {
		s.buf = appendLine(s.buf, events[i].Body)
	}
	if len(events) == 0 {
		return nil
	}
	n, err := s.w.Write(s.buf)
	if n > 0 {
		s.torn = s.buf[n-1] != '\n'
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return fault.Block(fmt.Errorf("write standard output: %w: the program that read it has ended: start logferry and it again", err))
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("write standard output: disk is full: free space where it is redirected to: %w", err)
	}
	return fmt.Errorf("write standard output: %w", err)
}

// Close lets go of standard output. It is safe to call twice.
func (s *StdoutSink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.close == nil {
		s.closed = true
		return nil
	}
	s.closed = true
	return s.close()
}
