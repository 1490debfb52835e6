package pipeline

import (
	"maps"
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
	"github.com/logferry/logferry/pkg/timeline"
)

// trouble is that of one reader.
type trouble struct {
	condition
	pacer *retry.Pacer
}

// told keeps what only people can mend from being said at each try, and by each reader: when which error was said.
type told map[string]time.Time

// blockedMost is the longest pause between two tries of a stream that only people can mend: few enough requests to cost nothing, and
// soon enough for what has mended itself, because services in trouble answer 401, 403 and 404, too.
const blockedMost = 10 * time.Minute

// retell is how often an error is said that has not changed.
const retell = 24 * time.Hour

// news tells whether err is to be said: it is new, or was said long ago.
func (t told) news(err error, now time.Time) bool {
	maps.DeleteFunc(t, func(_ string, at time.Time) bool { return now.Sub(at) >= retell })
	if _, said := t[err.Error()]; said {
		return false
	}
	t[err.Error()] = now
	return true
}

// condition is how a stream, a sign-in or a lane fares.
type condition struct {
	Blocked bool      // only an operator can mend it
	Err     string    // the last fault; "" when all is well
	Since   time.Time // of the first fault in a row
	Faults  int       // in a row
}

func (c *condition) fail(err error, now time.Time) {
	if c.Faults++; c.Faults == 1 {
		c.Since = now
	}
	c.Err, c.Blocked = err.Error(), fault.Of(err) == fault.Blocked
}

func (c *condition) ok() { *c = condition{} }

func (st *stream) trouble(reader string) *trouble {
	t := st.faulty[reader]
	if t == nil {
		t = &trouble{pacer: retry.New(retry.Options{First: time.Second, Most: 2 * time.Minute, FirstBlocked: time.Minute, Blocked: blockedMost})}
		st.faulty[reader] = t
	}
	return t
}

// well ends the trouble of a reader, and of those that are no more: others may have read what they were to read.
func (st *stream) well(reader string) {
	delete(st.faulty, reader)
	maps.DeleteFunc(st.faulty, func(name string, _ *trouble) bool { return !st.line.Has(name) })
}

// state sums the readers' troubles up: the worst one speaks for all.
func (st *stream) state() condition {
	var worst condition
	for _, reader := range slices.Sorted(maps.Keys(st.faulty)) {
		c := st.faulty[reader].condition
		if reader != timeline.Live {
			c.Err = reader + ": " + c.Err
		}
		if worst.Faults == 0 || c.Blocked && !worst.Blocked || c.Blocked == worst.Blocked && c.Since.Before(worst.Since) {
			worst = c
		}
	}
	return worst
}

// done tells whether everything up to the start of run --once has been read, or cannot be before an operator has acted.
func (s *source) done() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Blocked {
		return true
	}
	if len(s.streams) < len(s.Streams) {
		return false
	}
	for _, st := range s.streams {
		if !st.done() {
			return false
		}
	}
	return true
}

func (st *stream) done() bool {
	blocked := map[string]bool{}
	for reader, t := range st.faulty {
		blocked[reader] = t.Blocked
	}
	return st.line.Drained(blocked)
}

// stuck tells whether all that is not done has failed for patience, without a page in between.
func (s *source) stuck(patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Faults > 0 {
		return time.Since(s.state.Since) >= patience
	}
	if len(s.streams) < len(s.Streams) {
		return false
	}
	for _, st := range s.streams {
		if !st.done() && (len(st.faulty) == 0 || time.Since(st.moved) < patience) {
			return false
		}
	}
	return true
}
