package pipeline

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

// refilter makes sure that the streams' cursors hold for their filters. What a cursor has passed was read through another filter
// if the configuration has changed: records that it kept away would be missed. So the stream begins again like on a first run, or
// where its last reader stood if that is further back, because late records of that stretch are still to come. What is remembered
// is not shipped again. It is called before anything is read, once the service's time is known.
func (s *source) refilter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, journal := s.Now(), s.p.o.Journal
	for _, st := range s.streams {
		old := journal.Filter(st.key)
		if old == st.filter {
			continue
		}
		cfg, cursors := s.timing(st.key.Stream), journal.Cursors(st.key)
		cfg.Start.At = cfg.Start.Resolve(now)
		for _, c := range cursors {
			if c.Pos.Before(cfg.Start.At) {
				cfg.Start.At = c.Pos
			}
		}
		marks := doubtful(journal.Marks(st.key), cfg.Start.At, journal.Floor(st.key), now)
		st.line = timeline.New(st.key.Stream, cfg, now, nil, marks, time.Time{})
		if s.once {
			st.line.Drain()
		}
		st.anew = now
		s.log.Warn("the filter has changed: the stream begins again like on its first run, and what is remembered is not shipped again",
			zap.String("stream", st.key.Stream), zap.String("was", old), zap.String("is", st.filter), zap.Time("from", cfg.Start.At))
		s.saveNew(st, cursors)
	}
}

// saveNew saves all of a line that was just made: its cursors, for which filter they hold, and no more of those before it. It is one
// step, because cursors must not outlive their filter, nor be gone without a successor.
func (s *source) saveNew(st *stream, before []event.Cursor) {
	moves, _ := st.line.Unsaved()
	moves.Filter, moves.Marks = &st.filter, st.line.Marks()
	for _, c := range before {
		if !slices.ContainsFunc(moves.Cursors, func(x event.Cursor) bool { return x.Reader == c.Reader }) {
			moves.Remove = append(moves.Remove, c.Reader)
		}
	}
	s.p.o.Journal.SaveCursors(st.key, moves)
}

// doubtful adds to marks that what is found new between from and the floor may have been shipped before: its ids are forgotten.
func doubtful(marks []event.Mark, from, floor, now time.Time) []event.Mark {
	all := slices.Concat([]event.Mark{}, marks)
	if from.Before(floor) {
		all = append(all, event.Mark{Kind: event.Doubt, From: from, To: floor, At: now})
		slices.SortStableFunc(all, func(a, b event.Mark) int { return a.From.Compare(b.From) })
	}
	return all
}
