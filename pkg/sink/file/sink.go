package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// maxOpen bounds the open files. Those that were used last stay: the files of past days are closed in time.
const maxOpen = 64

// Sink appends events to files, one line each.
type Sink struct {
	path   event.Template
	limits event.Limits
	files  filesystem
	zip    *zipper       // nil: no rotation
	max    int64         // 0: a file may have any size
	age    time.Duration // 0: and any age
	now    func() time.Time
	sync   bool

	mu     sync.Mutex // held for a whole Send
	closed bool
	open   map[string]*appender
	sends  uint64 // counts Sends: the age of an appender

	name, lines []byte // scratch
}

// part is what one Send has for one file.
type part struct {
	path   string
	events []int // indexes into the batch
}

// New makes a sink. It touches no file.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	path, err := event.ParseTemplate(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("parse path: %w", err)
	}
	s := &Sink{
		path:   path,
		limits: cfg.Batch.limits(),
		files:  disk{mode: fs.FileMode(cfg.Mode), sync: cfg.Fsync == fsyncBatch},
		max:    int64(cfg.MaxBytes),
		age:    cfg.MaxAge.Std(),
		now:    time.Now,
		sync:   cfg.Fsync == fsyncBatch,
		open:   map[string]*appender{},
	}
	if cfg.rotates() {
		s.zip = newZipper(s.files, cfg.Keep, cfg.Compress == compressGzip)
	}
	return s, nil
}

// Limits tells the lane how to cut.
func (s *Sink) Limits() event.Limits { return s.limits }

// Send appends the events' bodies as lines, one write for each file, and syncs the files before it returns nil. What failed
// half way is cut off again, so that lines stay whole. Errors are
//   - Retryable: no space, I/O error
//   - Blocked: no permission, not a file, locked by another process: named with the way out
//   - Partial: some files failed, each of their events with the file's own error
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("write file: the sink is closed")
	}
	s.sends++
	var failed map[int]error
	var last error
	for _, p := range s.parts(events) {
		err := ctx.Err()
		if err == nil {
			err = s.append(p, events)
		}
		if err == nil {
			continue
		}
		last = err
		if failed == nil {
			failed = make(map[int]error)
		}
		for _, i := range p.events {
			failed[i] = err
		}
	}
	if last != nil && len(failed) < len(events) {
		return fault.Some(failed)
	}
	return last
}

// parts sorts events by file, in the order of first use.
func (s *Sink) parts(events []event.Event) []*part {
	var parts []*part
	byPath := make(map[string]*part)
	for i := range events {
		s.name = s.appendPath(s.name[:0], &events[i].Record)
		p := byPath[string(s.name)]
		if p == nil {
			p = &part{path: filepath.Clean(string(s.name))}
			byPath[string(s.name)] = p
			parts = append(parts, p)
		}
		p.events = append(p.events, i)
	}
	return parts
}

// appendPath appends the file's name for r. Values of placeholders stay within one folder's name: they come from the
// network, and "../../etc" must not leave the configured place.
func (s *Sink) appendPath(dst []byte, r *event.Record) []byte {
	safe := event.Record{Key: event.StreamKey{Tenant: safeName(r.Key.Tenant), Stream: safeName(r.Key.Stream)}, Time: r.Time}
	return s.path.Append(dst, &safe)
}

// safeName gives s without path separators, leading dots and control characters; never empty.
func safeName(s string) string {
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) }
	if s != "" && s[0] != '.' && strings.IndexFunc(s, odd) < 0 {
		return s
	}
	dots := true
	clean := strings.Map(func(r rune) rune {
		dots = dots && r == '.'
		if dots || odd(r) {
			return '_'
		}
		return r
	}, s)
	if clean == "" {
		return "_"
	}
	return clean
}

// appendLine appends body as one line. A line feed inside can only be white space of JSON, or text that must not break the
// line: it becomes a space.
func appendLine(dst, body []byte) []byte {
	start := len(dst)
	dst = append(dst, body...)
	for line := dst[start:]; ; {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return append(dst, '\n')
		}
		line[i] = ' '
		line = line[i+1:]
	}
}

// append writes p to its file. After an error the file is closed: it is opened and mended anew next time.
func (s *Sink) append(p *part, events []event.Event) error {
	s.lines = s.lines[:0]
	for _, i := range p.events {
		s.lines = appendLine(s.lines, events[i].Body)
	}
	a, err := s.appender(p.path)
	if err == nil && s.full(a, len(s.lines)) {
		delete(s.open, p.path)
		_ = a.close() // what it had is synced, or is cut off when it is opened again
		if err = s.zip.rotate(p.path); err == nil {
			a, err = s.appender(p.path)
		}
	}
	if err != nil {
		return judge(p.path, err)
	}
	if a.size == 0 {
		a.begun = s.now()
	}
	a.used = s.sends
	if err := a.write(s.lines, s.sync); err != nil {
		delete(s.open, p.path)
		_ = a.close()
		return judge(p.path, err)
	}
	return nil
}

// full tells whether a file has to be rotated before that many bytes go into it.
func (s *Sink) full(a *appender, bytes int) bool {
	return a.size > 0 && (s.max > 0 && a.size+int64(bytes) > s.max || s.age > 0 && s.now().Sub(a.begun) > s.age)
}

// appender gives the open file of that name. One that was moved or deleted by others is left alone and made anew.
func (s *Sink) appender(path string) (*appender, error) {
	if a := s.open[path]; a != nil {
		if a.current(path) {
			return a, nil
		}
		delete(s.open, path)
		_ = a.close()
	}
	if len(s.open) >= maxOpen {
		s.closeOldest()
	}
	h, err := s.files.open(path)
	if err != nil {
		return nil, err
	}
	a := &appender{handle: h}
	if err := a.mend(); err != nil {
		_ = a.close()
		return nil, err
	}
	s.open[path] = a
	if s.zip != nil {
		s.zip.look(path)
	}
	return a, nil
}

func (s *Sink) closeOldest() {
	oldest := ""
	for path, a := range s.open {
		if oldest == "" || a.used < s.open[oldest].used {
			oldest = path
		}
	}
	_ = s.open[oldest].close()
	delete(s.open, oldest)
}

// Close closes all files. It waits up to closeWait for a rotated one that is being compressed; the rest is left to the next start.
// It is safe to call twice.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for path, a := range s.open {
		if err := a.close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			errs = append(errs, fmt.Errorf("close file %s: %w", path, err))
		}
	}
	clear(s.open)
	if s.zip != nil {
		errs = append(errs, s.zip.close())
	}
	return errors.Join(errs...)
}
