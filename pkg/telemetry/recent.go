package telemetry

import (
	"strings"
	"sync"
)

const (
	recentLines = 2000
	recentBytes = 512 << 10
	recentLine  = 16 << 10 // of one line; the rest is cut
)

// Recent keeps the last lines of a log in memory: the process writes them to stderr alone, and cannot read them from there again. It
// is bounded by number and by size.
type Recent struct {
	mu    sync.Mutex
	lines []string // the oldest first
	bytes int
}

// NewRecent makes an empty one.
func NewRecent() *Recent { return &Recent{} }

// Write takes one line. It never fails.
func (r *Recent) Write(p []byte) (int, error) {
	line := strings.TrimRight(string(p[:min(len(p), recentLine)]), "\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines, r.bytes = append(r.lines, line), r.bytes+len(line)
	for len(r.lines) > recentLines || r.bytes > recentBytes {
		r.bytes -= len(r.lines[0])
		r.lines[0] = ""
		r.lines = r.lines[1:]
	}
	return len(p), nil
}

// Lines gives them, the oldest first.
func (r *Recent) Lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.lines...)
}
