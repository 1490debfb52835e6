package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
)

// reading is the state of one stream. It is read from its end towards since, in one slice if that is possible.
type reading struct {
	*fetching
	name     string
	patience *patience

	to   time.Time     // what is younger has been read; zero: now
	span time.Duration // of a slice; 0: all that is left

	came    int              // new rows of the stream so far
	fresh   bool             // something new came in the present slice
	falling bool             // no row of it was younger than the one before
	first   time.Time        // of its first row
	oldest  time.Time        // of its rows, as long as they fall
	seen    map[uint64]int64 // id and digest -> second of the row's time, of what has been printed and may come again
}

// stream reads one stream.
func (f *fetching) stream(ctx context.Context, name string) error {
	r := &reading{fetching: f, name: name, patience: f.newPatience(), to: f.until, seen: map[uint64]int64{}}
	f.far = ", " + r.reached()
	for {
		s := r.slice()
		err := r.read(ctx, s)
		if r.fresh {
			r.patience.renew()
		}
		switch {
		case errors.Is(err, errEnough), isLocal(err):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && !s.From.After(f.since):
			return nil
		case err == nil:
			r.span *= 2
			r.goOn(s.From)
		default:
			if err := r.mend(ctx, s, err); err != nil {
				return r.explain(err)
			}
		}
	}
}

// slice is what to ask for next.
func (r *reading) slice() event.Slice {
	s := event.Slice{Stream: r.name, Reader: "fetch", Class: event.ClassBackfill, From: r.since, To: r.to, Top: r.pageSize()}
	if r.span > 0 {
		if from := r.end().Add(-r.span).Truncate(time.Second); from.After(r.since) {
			s.From = from
		}
	}
	return s
}

// end is where the next slice ends.
func (r *reading) end() time.Time {
	if r.to.IsZero() {
		return r.fetcher.Now()
	}
	return r.to
}

// pageSize is $top: for --top no more rows than needed, in pages of equal size; 0 for the API's own.
func (r *reading) pageSize() int {
	if r.left < 0 || len(r.plans[r.name].After) > 0 {
		return 0
	}
	full := r.fetcher.Page(r.name)
	pages := (r.left + full - 1) / full
	return (r.left + pages - 1) / pages
}

// read reads one slice and prints what is new in it.
func (r *reading) read(ctx context.Context, s event.Slice) error {
	r.fresh, r.falling, r.first, r.oldest = false, true, time.Time{}, time.Time{}
	for page, err := range r.fetcher.Fetch(ctx, s) {
		if err != nil {
			return err
		}
		if err := r.pages.failed(); err != nil {
			return &localError{err}
		}
		for i := range page.Records {
			if err := r.record(s, &page.Records[i]); err != nil {
				return r.out.last(err)
			}
		}
		if err := r.out.flush(); err != nil {
			return err
		}
		r.far = ", " + r.reached()
		r.say.progress("%d records%s", r.out.printed, r.far)
	}
	return nil
}

// record prints a record, unless it lies outside, was printed before, or is not wanted.
func (r *reading) record(s event.Slice, rec *event.Record) error {
	timed := rec.Flags&event.FlagNoTime == 0
	if timed {
		if rec.Time.Before(r.since) || !r.until.IsZero() && !rec.Time.Before(r.until) {
			r.out.outside++
			return nil
		}
		// The API's bounds are inclusive: what lies on the border of two slices belongs to the younger one.
		if rec.Time.Before(s.From) || !s.To.IsZero() && !rec.Time.Before(s.To) {
			return nil
		}
		switch {
		case r.first.IsZero():
			r.first, r.oldest = rec.Time, rec.Time
		case rec.Time.After(r.oldest):
			r.falling = false
		default:
			r.oldest = rec.Time
		}
	}
	key := version(rec)
	if _, again := r.seen[key]; again {
		return nil
	}
	r.seen[key] = rec.Time.Unix()
	r.fresh = true
	r.came++
	wanted, err := r.plans[r.name].Match(rec.Raw)
	if err != nil {
		return &localError{err}
	}
	if !wanted {
		return nil
	}
	if err := r.out.print(rec.Raw); err != nil {
		return err
	}
	if r.left--; r.left == 0 {
		return errEnough
	}
	return nil
}

// version is a record's id and content in one.
func version(rec *event.Record) uint64 {
	h := uint64(rec.Digest)
	for i := range len(rec.ID) { // FNV-1a
		h = (h ^ uint64(rec.ID[i])) * 1099511628211
	}
	return h
}

// fell tells whether the rows of the present slice came youngest first. That takes two of different seconds: one alone may as well
// be the oldest, with all others still to come.
func (r *reading) fell() bool {
	return r.falling && r.oldest.Before(r.first.Truncate(time.Second))
}

// reached says how far the stream is read: back to a time, or how many rows came where nothing says which are missing.
func (r *reading) reached() string {
	at := r.to
	if r.fell() {
		at = r.oldest
	}
	if at.Equal(r.until) {
		return fmt.Sprintf("%d rows of %s came", r.came, r.name)
	}
	return fmt.Sprintf("%s is read back to %s", r.name, at.Format(time.RFC3339))
}

// goOn takes what lies from to on for read. What was printed of the rows before it may come again.
func (r *reading) goOn(to time.Time) {
	r.to = to
	maps.DeleteFunc(r.seen, func(_ uint64, at int64) bool { return at >= r.to.Unix() })
}

// again is the end of what lies before the oldest row: that one's second is asked for once more.
func (r *reading) again() time.Time { return r.oldest.Truncate(time.Second).Add(time.Second) }

// mend prepares another try after an error, or gives the error back. What has been read in falling order is not asked for again.
func (r *reading) mend(ctx context.Context, s event.Slice, err error) error {
	if entra.TooOld(err) {
		return err
	}
	if kind := entra.KindOf(err); (kind == entra.KindPages || kind == entra.KindRows) && r.fresh && r.fell() {
		r.goOn(r.again()) // nothing is wrong: there are more than one slice takes
		return nil
	}
	if bad := r.patience.bear(ctx, r.say, r.name, err); bad != nil {
		return fmt.Errorf("%w; %s", bad, r.reached())
	}
	switch {
	case r.fresh && r.fell():
		r.goOn(r.again())
	case entra.HalveHint(err):
		to := s.To
		if to.IsZero() {
			to = r.fetcher.Now()
		}
		r.span = max(to.Sub(s.From)/2, time.Second)
	}
	return nil
}

// explain puts an error into the words of the command line.
func (r *reading) explain(err error) error {
	text := strings.ReplaceAll(err.Error(), "filters."+r.name, "--filter")
	if entra.TooOld(err) {
		text += ": write a later --since"
	}
	return &toldError{text, err}
}

// toldError is an error in other words.
type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string { return e.text }

// Unwrap gives the error as it was.
func (e *toldError) Unwrap() error { return e.err }

// observe tells of each request for a page, and of the file that received has made of it.
func (f *fetching) observe(r entra.Request) {
	if r.Stream == "" {
		return
	}
	reply := fmt.Sprintf("%d", r.Status)
	switch {
	case r.Status == 0:
		reply = "no reply"
	case r.Err == nil:
		reply += fmt.Sprintf(", %d rows", r.Rows)
	}
	f.say.line("GET %s: %s", r.URL, reply)
	if f.saved != "" {
		f.say.line("saved %s", f.saved)
		f.saved = ""
	}
}

// received saves a page.
func (f *fetching) received(r entra.Request, body []byte) {
	f.saved = f.pages.save(r, body, f.fetcher.Now())
}
