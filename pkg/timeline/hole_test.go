package timeline

import (
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// sick is a service that cannot show one second, or nothing at all, and the line that reads it.
type sick struct {
	*testing.T
	line  *Line
	now   time.Time
	saved state
	bad   stretch
	down  bool
	asked []time.Time // when the hole was asked for
}

func newSick(t *testing.T) *sick {
	cfg := config(3 * time.Hour)
	cfg.Reread = nil
	at := epoch.Add(-2 * time.Hour)
	s := &sick{T: t, now: epoch, bad: stretch{at, at.Add(time.Second)}, saved: state{cursors: map[string]event.Cursor{}}}
	s.line = New("audits", cfg, epoch, nil, nil, time.Time{})
	return s
}

func (s *sick) save() {
	if m, ok := s.line.Unsaved(); ok {
		s.saved.move(m)
	}
}

func (s *sick) restart() {
	var cursors []event.Cursor
	for _, c := range s.saved.cursors {
		cursors = append(cursors, c)
	}
	s.line = New("audits", s.line.cfg, s.now, cursors, s.saved.marks, time.Time{})
}

// run lets d pass.
func (s *sick) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(10 * time.Second) {
		for {
			job, ok := take(s.line, s.now)
			s.save()
			if !ok {
				break
			}
			if job.reader.kind == Hole {
				s.asked = append(s.asked, s.now)
			}
			span := job.Slice
			if s.down || !s.bad.from.Before(span.From) && (span.To.IsZero() || s.bad.from.Before(span.To)) {
				if s.line.Fail(job, s.now, 5*time.Minute, true) {
					s.line.Hasten(job, s.now, time.Second)
				}
				continue
			}
			m := s.line.Finish(job, s.now, s.now)
			s.saved.move(m.Moves)
			s.line.Apply(m, s.now, Outcome{Pages: 1})
		}
		s.save()
	}
}

// becomes lets the bad second become a hole.
func (s *sick) becomes() {
	s.Helper()
	for range 3 * 60 {
		if s.run(time.Minute); len(s.line.Holes()) > 0 {
			return
		}
	}
	s.Fatalf("no hole after three hours: %+v", s.line.Readers())
}

// TestHole: a second that cannot be read holds its reader up for an hour, not for ever; that needs a proof that the service works
// otherwise.
func TestHole(t *testing.T) {
	s := newSick(t)
	if s.run(time.Hour); len(s.line.Holes()) > 0 {
		t.Fatal("a hole within the first hour")
	}
	s.becomes()
	if h := s.line.Holes(); len(h) != 1 || !h[0].From.Equal(s.bad.from) || !h[0].To.Equal(s.bad.to) || s.now.Sub(h[0].Since) < time.Hour {
		t.Fatalf("holes %+v at %v, want the bad second", h, s.now)
	}
	s.run(10 * time.Minute)
	if s.line.Has(Backfill) {
		t.Errorf("backfill does not go on beside the hole: %+v", s.line.Readers())
	}
	s.asked = nil
	s.run(24 * time.Hour)
	if n := len(s.asked); n < 5 || n > 10 {
		t.Errorf("the hole was tried %d times in a day", n)
	}
	s.restart()
	if h := s.line.Holes(); len(h) != 1 || s.line.Has(Backfill) {
		t.Fatalf("after a restart: holes %+v, readers %+v", h, s.line.Readers())
	}
	s.bad = stretch{}
	s.run(7 * time.Hour)
	if len(s.line.Holes())+len(s.line.Marks())+len(s.saved.cursors) != 1 {
		t.Errorf("the hole can be read, but there are holes %+v, marks %+v, cursors %+v", s.line.Holes(), s.line.Marks(), s.saved.cursors)
	}
}

func TestNoHoleInAGeneralOutage(t *testing.T) {
	s := newSick(t)
	s.run(2 * time.Minute)
	s.down = true
	if s.run(8 * time.Hour); len(s.line.Holes()) > 0 {
		t.Errorf("the service was down, and there are holes: %+v", s.line.Holes())
	}
}

// TestAHoleBecomesAGap: once the API has surely deleted it.
func TestAHoleBecomesAGap(t *testing.T) {
	s := newSick(t)
	s.becomes()
	s.now = s.bad.from.Add(mostKept - time.Hour)
	if s.run(time.Minute); len(s.line.Holes()) != 1 {
		t.Fatal("the hole was given up too early")
	}
	s.now = s.bad.from.Add(mostKept + time.Minute)
	s.run(time.Minute)
	if len(s.line.Holes()) > 0 {
		t.Fatal("the hole is still there")
	}
	for _, m := range s.saved.marks {
		if m.Kind == event.Gap && !m.From.After(s.bad.from) && !m.To.Before(s.bad.to) {
			return
		}
	}
	t.Errorf("no gap is marked: %+v", s.saved.marks)
}

// TestNoCursorPassesAHoleThatIsNotSaved: a crash between would lose the hole.
func TestNoCursorPassesAHoleThatIsNotSaved(t *testing.T) {
	s := newSick(t)
	s.run(90 * time.Second)
	s.save()
	l := s.line
	l.closed(Recovery, epoch.Add(-150*time.Minute), s.bad.from)
	s.save()
	job := next(t, l, s.now, Recovery)
	l.find(Recovery + "/1772357400").end = epoch.Add(-time.Hour) // it was damaged further on meanwhile
	l.closed(Hole, s.bad.from, s.bad.to)
	if m := l.Finish(job, s.now, s.now); len(m.Cursors) > 0 && m.Cursors[0].Pos.After(s.bad.from) {
		t.Errorf("the cursor %v is saved beyond the hole", m.Cursors[0].Pos)
	}
}

// TestAHoleDoesNotGrow: others pass over it, and with a clock that goes back behind it they would pass over what is good.
func TestAHoleDoesNotGrow(t *testing.T) {
	s := newSick(t)
	s.becomes()
	s.now = s.bad.from.Add(-10 * time.Minute)
	s.run(time.Minute)
	if h := s.line.Holes(); len(h) != 1 || !h[0].From.Equal(s.bad.from) {
		t.Errorf("holes %+v, want the bad second", h)
	}
}
