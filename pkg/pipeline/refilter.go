package pipeline

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

// refilter makes sure that the stream's cursors hold for its filter, and gives where the stream begins if it has none. What its
// cursors have passed was read through another filter if the configuration has changed: records that it kept away would be
// missed. So the stream begins again like on a first run, or where its last reader stood if that is further back, because late
// records of that stretch are still to come. What is remembered is not shipped again. The source's mutex is held.
func (s *source) refilter(st *stream, start timeline.Start, now time.Time) timeline.Start {
	if s.Filter != nil {
		st.filter = s.Filter(st.key.Stream)
	}
	journal := s.p.o.Journal
	old, cursors := journal.Filter(st.key), journal.Cursors(st.key)
	if old == st.filter {
		return start
	}
	moves := event.Moves{Filter: &st.filter}
	if len(cursors) > 0 {
		start.At = start.Resolve(now)
		for _, c := range cursors {
			moves.Remove = append(moves.Remove, c.Reader)
			if c.Pos.Before(start.At) {
				start.At = c.Pos
			}
		}
		moves.Marks = doubtful(journal.Marks(st.key), start.At, journal.Floor(st.key), now)
		st.anew = now
		s.log.Warn("the filter has changed: the stream begins again like on its first run, and what is remembered is not shipped again",
			zap.String("stream", st.key.Stream), zap.String("was", old), zap.String("is", st.filter), zap.Time("from", start.At))
	}
	journal.SaveCursors(st.key, moves)
	return start
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
