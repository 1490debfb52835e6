package timeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// marked gives what the line has marked so, for whichever reader.
func marked(l *Line, kind event.MarkKind) (all stretches) {
	for _, m := range l.Marks() {
		if m.Kind == kind {
			all = all.with(stretch{m.From, m.To})
		}
	}
	return all
}

func ago(from, to time.Duration) stretch { return stretch{epoch.Add(-from), epoch.Add(-to)} }

func same(a, b stretches) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestLeavingOut: a re-reader that is behind the next older one's age goes on at its own, and what nobody has read at that age and
// nobody is yet to read for the first time is marked.
func TestLeavingOut(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(l *Line)
		want    stretches
	}{
		"nothing read":           {func(*Line) {}, stretches{ago(3*time.Hour, 30*time.Minute)}},
		"read by another":        {func(l *Line) { l.find("reread/30m0s").done = stretches{ago(2*time.Hour, time.Hour)} }, stretches{ago(3*time.Hour, 2*time.Hour), ago(time.Hour, 30*time.Minute)}},
		"to be caught up":        {func(l *Line) { l.closed(Catchup, epoch.Add(-2*time.Hour), epoch.Add(-time.Minute)) }, stretches{ago(3*time.Hour, 2*time.Hour)}},
		"caught up too early":    {caughtUp, stretches{ago(3*time.Hour, 2*time.Hour), ago(90*time.Minute, 70*time.Minute)}},
		"being caught up early":  {func(l *Line) { flying(l, 100*time.Minute) }, stretches{ago(3*time.Hour, 2*time.Hour), ago(70*time.Minute, time.Hour)}},
		"being caught up in age": {func(l *Line) { flying(l, 0) }, stretches{ago(3*time.Hour, 2*time.Hour)}},
	} {
		t.Run(name, func(t *testing.T) {
			l := behind(3*time.Hour, 2*time.Hour, 24*time.Hour)
			c.prepare(l)
			l.Wants(epoch, event.ClassLive)
			if at := position(t, l, "reread/30m0s"); !at.Equal(epoch.Add(-30 * time.Minute)) {
				t.Errorf("it goes on at %s behind", epoch.Sub(at))
			}
			if got := marked(l, event.Uncovered); !same(got, c.want) {
				t.Errorf("marked\n%v, want\n%v", got, c.want)
			}
			if m, ok := l.Unsaved(); !ok || len(m.Marks) != len(c.want) {
				t.Errorf("to be saved: %+v", m)
			}
		})
	}
}

// caughtUp leaves a catch-up reader that has read a stretch beyond its cursor when that was young.
func caughtUp(l *Line) {
	l.closed(Catchup, epoch.Add(-2*time.Hour), epoch.Add(-time.Minute))
	l.find(Catchup + "/1772359200").done = stretches{ago(90*time.Minute, 70*time.Minute)}
}

// flying leaves a catch-up reader whose only slice is under way since that long.
func flying(l *Line, since time.Duration) {
	l.closed(Catchup, epoch.Add(-2*time.Hour), epoch.Add(-time.Minute))
	r := l.find(Catchup + "/1772359200")
	r.flights = []*flight{{reader: r, span: ago(2*time.Hour, time.Hour), at: epoch.Add(-since)}}
	if since > 0 { // it was begun when all but the first stretch was younger than 30 minutes
		r.flights[0].at = epoch.Add(-40 * time.Minute)
	}
}

// TestLeavingOutWithSlicesUnderWay: they may wait for their turn for hours, and the reader with them. It goes on; what they read in
// the end is no longer left out.
func TestLeavingOutWithSlicesUnderWay(t *testing.T) {
	l := behind(119*time.Minute, 2*time.Hour, 24*time.Hour)
	l.find("reread/30m0s").length = 5 * time.Minute
	job := next30(t, l, epoch)
	now := epoch.Add(2 * time.Hour)
	l.Wants(now, event.ClassLive)
	if at := position(t, l, "reread/30m0s"); !at.Equal(now.Add(-30 * time.Minute)) {
		t.Errorf("it is %s behind", now.Sub(at))
	}
	want := stretches{{job.Slice.From, now.Add(-30 * time.Minute)}}
	if got := marked(l, event.Uncovered); !same(got, want) {
		t.Errorf("uncovered %v, want %v", got, want)
	}
	apply(l, job, now)
	want[0].from = job.Slice.To
	if got := marked(l, event.Uncovered); !same(got, want) {
		t.Errorf("after its slice uncovered is %v, want %v", got, want)
	}
}

func next30(t *testing.T, l *Line, now time.Time) Job {
	t.Helper()
	for {
		job, ok := take(l, now)
		if !ok {
			t.Fatal("reread/30m is not due")
		}
		if job.Slice.Reader == "reread/30m0s" {
			return job
		}
	}
}

// TestTheOldestNeverLeavesOut: what it leaves out nobody reads; only what the API has surely deleted it gives up.
func TestTheOldestNeverLeavesOut(t *testing.T) {
	l := behind(time.Hour, 3*time.Hour, 20*24*time.Hour)
	job, ok := l.Take(epoch, event.ClassBehind)
	if !ok || !job.Slice.From.Equal(epoch.Add(-20*24*time.Hour)) || len(marked(l, event.Uncovered)) > 0 {
		t.Errorf("the oldest reads %v first, marks %+v", job.Slice, l.Marks())
	}
	l = behind(time.Hour, 3*time.Hour, 40*24*time.Hour)
	job, _ = l.Take(epoch, event.ClassBehind)
	if want := (stretches{ago(40*24*time.Hour, mostKept)}); !job.Slice.From.Equal(epoch.Add(-mostKept)) || !same(marked(l, event.Uncovered), want) {
		t.Errorf("40 days behind the oldest reads %v first, marks %+v", job.Slice, l.Marks())
	}
}

// TestGaps: what is read for the first time when the API may have deleted it is a gap, and that is saved before it is read.
func TestGaps(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct{ start, retention, from, gap time.Duration }{
		{5 * day, 0, 5 * day, 0}, {10 * day, 0, 10 * day, 7 * day}, {10 * day, 30 * day, 10 * day, 0}, {40 * day, 30 * day, 30 * day, 30 * day},
		{40 * day, 0, 30 * day, 7 * day}, {40 * day, 90 * day, 40 * day, 0}, {3 * day, day, 3 * day, day},
	} {
		cfg := config(c.start)
		cfg.Retention, cfg.Reread = c.retention, nil
		l := New("audits", cfg, epoch, nil, nil, time.Time{})
		first := next(t, l, epoch, Backfill)
		if m, ok := l.Unsaved(); c.gap > 0 && (!ok || len(m.Marks) == 0) {
			t.Errorf("%+v: the first slice is read before a gap is saved", c)
		}
		if !first.Slice.From.Equal(epoch.Add(-c.from)) {
			t.Errorf("%+v: the first slice is %v", c, first.Slice)
		}
		apply(l, first, epoch)
		for l.Has(Backfill) {
			apply(l, next(t, l, epoch, Backfill), epoch)
		}
		var want stretches
		if c.gap > 0 {
			want = stretches{ago(c.start, c.gap)}
		}
		if got := marked(l, event.Gap); !same(got, want) {
			t.Errorf("%+v: gaps %v, want %v", c, got, want)
		}
	}
}

// TestTooOld: where the API refuses a lower bound because of its age the reader goes on at what every licence has.
func TestTooOld(t *testing.T) {
	edge := epoch.Add(time.Minute - leastKept)
	cfg := config(10 * 24 * time.Hour)
	cfg.Retention = 30 * 24 * time.Hour
	l := New("audits", cfg, epoch, nil, nil, time.Time{})
	job := next(t, l, epoch, Backfill)
	l.Fail(job, epoch, time.Hour, false)
	l.TooOld(job, epoch)
	if want := (stretches{{epoch.Add(-10 * 24 * time.Hour), edge}}); !same(marked(l, event.Gap), want) {
		t.Errorf("gaps %v, want %v", marked(l, event.Gap), want)
	}
	if job := next(t, l, epoch, Backfill); !job.Slice.From.Equal(edge) {
		t.Errorf("then %v is read", job.Slice)
	}
	l = behind(time.Hour, 3*time.Hour, 10*24*time.Hour)
	job, _ = l.Take(epoch, event.ClassBehind)
	l.Fail(job, epoch, time.Hour, false)
	l.TooOld(job, epoch)
	if want := (stretches{{epoch.Add(-10 * 24 * time.Hour), edge}}); !same(marked(l, event.Uncovered), want) {
		t.Errorf("uncovered %v, want %v", marked(l, event.Uncovered), want)
	}
	if job, _ := l.Take(epoch, event.ClassBehind); !job.Slice.From.Equal(edge) {
		t.Errorf("then %v is read", job.Slice)
	}
}

// TestClockGoesBack: by less than its age, and a re-reader is set back all the same; only what may be forgotten is in doubt.
func TestClockGoesBack(t *testing.T) {
	for name, ages := range map[string][]field.Duration{"live alone": nil, "reread": {field.Duration(30 * time.Minute)}} {
		cfg := config(4 * time.Hour)
		cfg.Reread = ages
		w := newWorld(t, cfg)
		for range 1000 {
			w.step(10 * time.Second)
		}
		forgotten := w.line.purged
		w.now = w.now.Add(-80 * time.Minute)
		w.line.pausedTo = time.Time{}
		job, ok := take(w.line, w.now)
		if !ok || !w.line.Doubtful(job.Slice.From) || !w.line.Doubtful(forgotten.Add(-time.Second)) || w.line.Doubtful(forgotten.Add(time.Second)) {
			t.Errorf("%s: %v is read, doubts %v, forgotten below %v", name, job.Slice, w.line.doubts, forgotten)
		}
		if ages != nil && !position(t, w.line, "reread/30m0s").Equal(second(w.now.Add(-30*time.Minute))) {
			t.Errorf("%s: %+v at %v", name, w.line.Readers(), w.now)
		}
	}
}

// TestAWrongClockGivesNoCredit: what was begun by a clock that was ahead does not count for a reader that was set back.
func TestAWrongClockGivesNoCredit(t *testing.T) {
	cfg := config(time.Hour)
	cfg.Reread = nil
	ahead := epoch.Add(2 * time.Hour)
	saved := []event.Cursor{
		{Reader: Live, Pos: epoch.Add(110 * time.Minute), Start: epoch.Add(-time.Hour)},
		{Reader: "catchup/1", Pos: ahead, End: ahead.Add(time.Hour), Slice: event.Duration(time.Hour)},
	}
	l := New("audits", cfg, ahead, saved, nil, time.Time{})
	live := next(t, l, ahead, Live)
	l.find("catchup/1").end = epoch.Add(100 * time.Minute)
	l.find("catchup/1").pos = epoch.Add(90 * time.Minute)
	l.Wants(epoch, event.ClassCatchup)
	l.Apply(l.Finish(live, ahead, ahead), epoch, Outcome{Pages: 1})
	if r := l.find("catchup/1"); r == nil || !r.pos.Equal(epoch) || len(r.done) > 0 {
		t.Errorf("the catch-up is %+v", r)
	}
}
