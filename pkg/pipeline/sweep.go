package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
)

const (
	longestSweep  = time.Hour
	shortestSweep = time.Minute
	widestPage    = 1000 // rows; halved where not even the shortest slice can be read
)

// sweep reads a stretch of a stream slice by slice, as often as it takes, beside the stream's own readers and within their budget.
type sweep struct {
	*target
	reader string
	most   int  // rows of a slice that is longer than a minute: they are kept in memory
	writes bool // it fills the journal: it waits for room as fetchers do
	tell   func(Progress)
	rows   int

	// begin is called before a slice is asked for, page gets the rows of each page that lie in it, done is called at its end. A
	// slice whose reading has failed begins again, or a shorter one in its place. Rows are valid during the call.
	begin func(s event.Slice) error
	page  func(ctx context.Context, s event.Slice, rows []event.Record) error
	done  func(ctx context.Context, s event.Slice) error
}

var errTooManyRows = errors.New("the slice has too many rows, it is halved")

// run reads [from, to). It ends early with ctx, or when only an operator can mend what is wrong.
func (w *sweep) run(ctx context.Context, from, to time.Time) error {
	pacer := retry.New(retry.Options{First: time.Second, Most: 2 * time.Minute})
	length, top := longestSweep, 0
	for from.Before(to) {
		s := event.Slice{Stream: w.key.Stream, Reader: w.reader, Class: event.ClassBackfill, From: from, To: from.Add(length), Top: top}
		if s.To.After(to) {
			s.To = to
		}
		rows, err := w.slice(ctx, s)
		if err == nil {
			from, top = s.To, 0
			w.rows += rows
			pacer.Reset()
			if rows < w.most/4 {
				length = min(2*length, longestSweep)
			}
			w.tell(Progress{Stream: w.name, Through: from, To: to, Rows: w.rows})
			continue
		}
		if ctx.Err() != nil || fault.Of(err) == fault.Blocked {
			return err
		}
		tooMany := errors.Is(err, errTooManyRows)
		span := s.To.Sub(s.From)
		if tooMany || w.Smaller != nil && w.Smaller(err) {
			if span <= shortestSweep {
				top = max(cmp.Or(top, widestPage)/2, 1)
			}
			length = max((span / 2).Truncate(time.Minute), shortestSweep)
		}
		if tooMany {
			continue
		}
		w.log.Warn("reading a slice again failed", zap.String("stream", w.name), zap.Stringer("slice", s), zap.Error(err))
		w.tell(Progress{Stream: w.name, Through: from, To: to, Rows: w.rows, Err: err.Error()})
		if err := retry.Sleep(ctx, pacer.Next(err)); err != nil {
			return err
		}
	}
	return nil
}

// slice reads one slice and tells how many rows lay in it.
func (w *sweep) slice(ctx context.Context, s event.Slice) (n int, err error) {
	if err := w.wait(ctx); err != nil {
		return n, err
	}
	if err := w.begin(s); err != nil {
		return n, err
	}
	last := false
	for page, err := range w.Fetcher.Fetch(ctx, s) {
		if err != nil {
			return n, err
		}
		rows := w.inside(s, page.Records)
		if n += len(rows); n > w.most && s.To.Sub(s.From) > shortestSweep {
			return n, errTooManyRows
		}
		if err := w.page(ctx, s, rows); err != nil {
			return n, err
		}
		if last = page.Last; !last {
			if err := w.wait(ctx); err != nil {
				return n, err
			}
		}
	}
	if !last {
		return n, errors.New("read slice: it ended without a last page")
	}
	return n, w.done(ctx, s)
}

func (w *sweep) wait(ctx context.Context) error {
	if !w.writes {
		return ctx.Err()
	}
	if w.p.o.Idle && w.p.o.Journal.Room() <= 0 {
		return fault.Block(errors.New("the journal is full and nobody delivers: start logferry, then order it again"))
	}
	return w.waitForRoom(ctx)
}

// inside keeps the rows of [From, To): what the query gives beyond its ends belongs to another slice.
func (w *sweep) inside(s event.Slice, rows []event.Record) []event.Record {
	kept := rows[:0]
	for i := range rows {
		if r := &rows[i]; !r.Time.Before(s.From) && r.Time.Before(s.To) {
			r.Key = w.key
			kept = append(kept, *r)
		}
	}
	return kept
}

// append journals rows and wakes the lanes.
func (t *target) append(ctx context.Context, c event.PageCommit) (event.PageCounts, error) {
	c.Key, c.DigestVersion = t.key, t.DigestVersion
	res, err := t.p.append(ctx, c)
	return res.PageCounts, err
}
