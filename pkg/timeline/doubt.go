package timeline

import (
	"slices"
	"time"
)

// stretch is [from, to).
type stretch struct{ from, to time.Time }

// doubt notes that what is new in [from, to) may have been shipped before: the state has forgotten what had been read there.
func (l *Line) doubt(from, to time.Time) { l.doubts = append(l.doubts, stretch{from, to}) }

// Doubtful tells whether a record of time t that is found new may have been shipped before, whichever reader finds it: not only
// a recovery reader passes a stretch that was forgotten, live does within its look-back, and re-readers do when its age comes.
func (l *Line) Doubtful(t time.Time) bool {
	return slices.ContainsFunc(l.doubts, func(s stretch) bool { return !t.Before(s.from) && t.Before(s.to) })
}

// settle ends the doubt about what every reader is past.
func (l *Line) settle() {
	if len(l.doubts) == 0 {
		return
	}
	floor := l.Floor()
	l.doubts = slices.DeleteFunc(l.doubts, func(s stretch) bool { return s.to.Before(floor) })
}
