package timeline

import (
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// Reader is where one reader stands, for people.
type Reader struct {
	Name string    `json:"name"`
	Pos  time.Time `json:"pos"`
	End  time.Time `json:"end,omitzero"`
}

// Readers tells where all stand.
func (l *Line) Readers() []Reader {
	var all []Reader
	for _, r := range l.readers {
		all = append(all, Reader{Name: r.name, Pos: r.pos, End: r.end})
	}
	return all
}

// Has tells whether there is a reader of that name.
func (l *Line) Has(reader string) bool { return l.find(reader) != nil }

// CompleteThrough is the time up to which all that the API showed has been read once, but for what is told of as a hole or a gap.
func (l *Line) CompleteThrough() time.Time {
	cursors := make([]event.Cursor, len(l.readers))
	for i, r := range l.readers {
		cursors[i] = l.cursor(r)
	}
	return CompleteThrough(cursors)
}

// CompleteThrough tells the same from saved cursors; zero if there are none.
func CompleteThrough(cursors []event.Cursor) time.Time {
	var through time.Time
	for _, c := range cursors {
		kind, _, _ := strings.Cut(c.Reader, "/")
		if kind != Reread && kind != Hole && (through.IsZero() || c.Pos.Before(through)) {
			through = c.Pos
		}
	}
	return through
}

// LookBack tells how far live looks back at the moment, and whether it trails at that age instead of reading up to now.
func (l *Line) LookBack() (look time.Duration, trails bool) {
	r := l.find(Live)
	return r.look, r.trail
}
