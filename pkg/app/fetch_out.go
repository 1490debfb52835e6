package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// records prints them.
type records struct {
	w       *bufio.Writer // nil: nothing is printed
	pretty  bool
	line    bytes.Buffer
	printed int
	outside int // rows that the API has given although they lie outside of the window
}

func newRecords(w io.Writer, output string) (*records, error) {
	switch output {
	case "ndjson", "pretty":
		return &records{w: bufio.NewWriterSize(w, 64<<10), pretty: output == "pretty"}, nil
	case "none":
		return &records{}, nil
	}
	return nil, fmt.Errorf("%w: --output: %q is unknown: ndjson, pretty or none", ErrUsage, output)
}

// print writes one record: the API's own bytes in a line, or indented. errEnough says that nobody reads any more.
func (r *records) print(raw []byte) error {
	r.printed++
	if r.w == nil {
		return nil
	}
	if r.pretty || bytes.ContainsAny(raw, "\r\n") {
		r.line.Reset()
		layout := json.Compact
		if r.pretty {
			layout = func(dst *bytes.Buffer, src []byte) error { return json.Indent(dst, src, "", "  ") }
		}
		if err := layout(&r.line, raw); err != nil {
			return &localError{fmt.Errorf("print record: %w", err)}
		}
		raw = r.line.Bytes()
	}
	_, err := r.w.Write(raw)
	if err == nil {
		err = r.w.WriteByte('\n')
	}
	return closed(err)
}

func (r *records) flush() error {
	if r.w == nil {
		return nil
	}
	return closed(r.w.Flush())
}

// last writes out what is left after err has ended the reading. A fault of this machine is told first: whoever has enough has
// to have it all.
func (r *records) last(err error) error {
	if flushed := r.flush(); isLocal(flushed) {
		return flushed
	}
	return err
}

// closed judges a failed write: head and its like close their end when they have enough.
func closed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return errEnough
	}
	return &localError{fmt.Errorf("write records: %w", err)}
}

// localError is a fault of this machine, which no other try at the API mends.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *localError) Unwrap() error { return e.err }

func isLocal(err error) bool {
	var local *localError
	return errors.As(err, &local)
}

// summary says what came of it.
func (r *records) summary() string {
	s := fmt.Sprintf("%d records", r.printed)
	if r.outside > 0 {
		s += fmt.Sprintf(", %d rows outside of the window were dropped", r.outside)
	}
	return s
}

// speech is what is said on stderr. On a terminal the last line may be one of progress, which the next replaces.
type speech struct {
	w        io.Writer
	terminal bool
	shown    bool
}

func (s *speech) line(format string, args ...any) {
	s.clear()
	fmt.Fprintf(s.w, format+"\n", args...)
}

func (s *speech) progress(format string, args ...any) {
	if !s.terminal {
		return
	}
	s.clear()
	fmt.Fprintf(s.w, format, args...)
	s.shown = true
}

func (s *speech) clear() {
	if s.shown {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.shown = false
	}
}
