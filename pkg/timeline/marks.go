package timeline

import (
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

const (
	markLife  = 31 * 24 * time.Hour // for which a mark is shown
	mostMarks = 500                 // of a line: beyond that the oldest two of a kind become one
)

// marks is what is to be remembered about stretches of the line, ascending by their beginnings.
type marks struct {
	all     []event.Mark
	changed bool
}

// unsaved gives all marks if they have changed since the last call, else nil.
func (m *marks) unsaved() []event.Mark {
	if !m.changed {
		return nil
	}
	m.changed = false
	return append([]event.Mark{}, m.all...)
}

func alike(a, b event.Mark) bool {
	return a.Kind == b.Kind && a.Reader == b.Reader && a.Reason == b.Reason
}

// mark notes s; what touches a mark of the same meaning becomes one with it.
func (l *Line) mark(kind event.MarkKind, reader string, s stretch, why string, now time.Time) {
	if s.empty() {
		return
	}
	m := &l.marks
	x := event.Mark{Kind: kind, Reader: reader, From: s.from, To: s.to, Reason: why, At: second(now)}
	m.all = slices.DeleteFunc(m.all, func(y event.Mark) bool {
		if now.Sub(y.To) > markLife {
			return true
		}
		if !alike(x, y) || y.From.After(x.To) || y.To.Before(x.From) {
			return false
		}
		if !s.from.Before(y.From) && !s.to.After(y.To) { // it is said again of what is known
			x.At = y.At
		}
		x.From, x.To = earlier(x.From, y.From), later(x.To, y.To)
		return true
	})
	m.all = append(m.all, x)
	slices.SortStableFunc(m.all, func(a, b event.Mark) int { return a.From.Compare(b.From) })
	if len(m.all) > mostMarks {
		m.join()
	}
	m.changed = true
	if kind != event.Doubt {
		l.leftOut = now
	}
}

// unmark takes s out of the marks of a kind and reader.
func (l *Line) unmark(kind event.MarkKind, reader string, s stretch) {
	if s.empty() {
		return
	}
	var kept []event.Mark
	for _, m := range l.marks.all {
		if m.Kind != kind || m.Reader != reader || !m.From.Before(s.to) || !s.from.Before(m.To) {
			kept = append(kept, m)
			continue
		}
		l.marks.changed = true
		for _, part := range (stretches{s}).outside(stretch{m.From, m.To}) {
			m.From, m.To = part.from, part.to
			kept = append(kept, m)
		}
	}
	l.marks.all = kept
}

// join makes the oldest mark and the next one like it one, with what lies between: too much is better than too little.
func (m *marks) join() {
	for i := range m.all {
		for j := i + 1; j < len(m.all); j++ {
			if alike(m.all[i], m.all[j]) {
				m.all[i].To, m.all[i].At = later(m.all[i].To, m.all[j].To), later(m.all[i].At, m.all[j].At)
				m.all = slices.Delete(m.all, j, j+1)
				return
			}
		}
	}
	m.all = m.all[1:]
}

// Marks gives what is to be remembered about stretches of the line, ascending.
func (l *Line) Marks() []event.Mark { return slices.Clone(l.marks.all) }

// doubt notes that what is new in [from, to) may have been shipped before: the state has forgotten what had been read there.
func (l *Line) doubt(from, to, now time.Time) {
	l.mark(event.Doubt, "", stretch{from, to}, "", now)
	l.doubts = l.doubts.with(stretch{from, to})
}

// Doubtful tells whether a record of time t that is found new may have been shipped before, whichever reader finds it: not only
// a recovery reader passes a stretch that was forgotten, live does within its look-back, and re-readers do when its age comes.
func (l *Line) Doubtful(t time.Time) bool {
	for _, s := range l.doubts {
		if s.contains(t) {
			return true
		}
	}
	return false
}

// settle ends the doubt about what every reader is past.
func (l *Line) settle() {
	if len(l.doubts) == 0 {
		return
	}
	floor := l.Floor()
	if l.doubts[0].to.After(floor) {
		return
	}
	l.doubts = l.doubts.above(floor)
	l.marks.all = slices.DeleteFunc(l.marks.all, func(m event.Mark) bool { return m.Kind == event.Doubt && !m.To.After(floor) })
	l.marks.changed = true
}
