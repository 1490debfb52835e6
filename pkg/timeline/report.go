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

// CompleteThrough is the time up to which all that the API showed has been read once.
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
		if !strings.HasPrefix(c.Reader, Reread+"/") && (through.IsZero() || c.Pos.Before(through)) {
			through = c.Pos
		}
	}
	return through
}
