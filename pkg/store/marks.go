package store

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

const (
	marksKept   = 31 * 24 * time.Hour // behind their end: no service keeps the records for longer
	skippedMost = 1000                // marks of kind Skipped of one stream
)

// Marks gives what is remembered about the stream's time line: first what Moves.Marks has set, in its order, then what was
// skipped, ordered by sink and time.
func (s *Store) Marks(key event.StreamKey) []event.Mark {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.streams[key]; st != nil {
		return slices.Clone(st.marks)
	}
	return nil
}

// Clones of a stream share its marks: whoever changes them makes a new slice.

// setMarks replaces all marks but those of kind Skipped.
func (st *stream) setMarks(marks []event.Mark) {
	var all []event.Mark
	for _, m := range marks {
		if m.Kind != event.Skipped {
			m.From, m.To, m.At = m.From.UTC().Round(0), m.To.UTC().Round(0), m.At.UTC().Round(0)
			all = append(all, m)
		}
	}
	st.marks = append(all, st.skipped()...)
}

// skipped gives the marks of kind Skipped, which stand behind the others.
func (st *stream) skipped() []event.Mark {
	i := slices.IndexFunc(st.marks, func(m event.Mark) bool { return m.Kind == event.Skipped })
	if i < 0 {
		return nil
	}
	return st.marks[i:]
}

// addSkipped notes stretches that a sink did not get. Those of one sink that lie within a minute of each other become one.
func (st *stream) addSkipped(added []event.Mark) {
	old := st.skipped()
	others := st.marks[:len(st.marks)-len(old)]
	all := slices.Concat(old, added)
	slices.SortStableFunc(all, func(a, b event.Mark) int {
		return cmp.Or(strings.Compare(a.Reader, b.Reader), a.From.Compare(b.From))
	})
	merged := all[:0]
	for _, m := range all {
		if n := len(merged); n > 0 && merged[n-1].Reader == m.Reader && !m.From.After(merged[n-1].To.Add(time.Minute)) {
			merged[n-1] = joined(merged[n-1], m)
		} else {
			merged = append(merged, m)
		}
	}
	st.marks = slices.Concat(others, fewer(merged, skippedMost))
}

// fewer joins the oldest marks of each sink until there are at most most: they then name more than was skipped, never less.
func fewer(marks []event.Mark, most int) []event.Mark {
	over := len(marks) - most
	if over <= 0 {
		return marks
	}
	slices.SortStableFunc(marks, func(a, b event.Mark) int { return a.From.Compare(b.From) })
	first := map[string]int{} // by sink: place of its oldest mark
	kept := marks[:0]
	for _, m := range marks {
		i, ok := first[m.Reader]
		switch {
		case ok && over > 0:
			kept[i] = joined(kept[i], m)
			over--
			continue
		case !ok:
			first[m.Reader] = len(kept)
		}
		kept = append(kept, m)
	}
	slices.SortStableFunc(kept, func(a, b event.Mark) int { return strings.Compare(a.Reader, b.Reader) })
	return kept
}

// joined is one mark over the stretches of both; a begins first.
func joined(a, b event.Mark) event.Mark {
	if b.To.After(a.To) {
		a.To = b.To
	}
	if b.At.After(a.At) {
		a.At = b.At
	}
	return a
}

// renameMarks makes what one sink has skipped that of the name to; "" forgets it.
func (st *stream) renameMarks(sink, to string) {
	var mine, rest []event.Mark
	for _, m := range st.marks {
		if m.Kind == event.Skipped && m.Reader == sink {
			m.Reader = to
			mine = append(mine, m)
		} else {
			rest = append(rest, m)
		}
	}
	st.marks = rest
	if to != "" {
		st.addSkipped(mine)
	}
}

// dropMarks forgets the marks that end before limit.
func (st *stream) dropMarks(limit time.Time) {
	old := func(m event.Mark) bool { return m.To.Before(limit) }
	if slices.ContainsFunc(st.marks, old) {
		st.marks = slices.DeleteFunc(slices.Clone(st.marks), old)
	}
}

// appendMarks puts the marks behind the cursors, where a version that does not know of them does not look. Without any there is
// nothing, unless more follows.
func appendMarks(b []byte, marks []event.Mark, more bool) []byte {
	if len(marks) == 0 && !more {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(marks)))
	for _, m := range marks {
		b = appendString(appendString(appendString(b, string(m.Kind)), m.Reader), m.Reason)
		b = appendTime(appendTime(appendTime(b, m.From), m.To), m.At)
	}
	return b
}

// marks decodes what appendMarks has made; a value of before there were marks ends here.
func (r *reader) marks() (marks []event.Mark) {
	if len(r.b) == 0 {
		return nil
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		m := event.Mark{Kind: event.MarkKind(r.string()), Reader: r.string(), Reason: r.string()}
		m.From, m.To, m.At = r.time(), r.time(), r.time()
		marks = append(marks, m)
	}
	return marks
}
