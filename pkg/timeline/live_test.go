package timeline

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// traffic is a stream of which live reads pages that take two seconds each, and a sample that is followed.
type traffic struct {
	*testing.T
	line   *Line
	now    time.Time
	rows   []*record
	looks  []time.Duration // one after the other
	trails []bool
}

func newTraffic(t *testing.T) *traffic {
	cfg := config(0)
	cfg.Reread = []field.Duration{field.Duration(24 * time.Hour)} // without any nothing could find what a shorter look-back misses
	x := &traffic{T: t, now: epoch, line: New("audits", cfg, epoch, nil, nil, time.Time{})}
	for at := epoch; at.Before(epoch.Add(9 * time.Hour)); at = at.Add(5 * time.Second) {
		x.rows = append(x.rows, &record{time: at, appears: at.Add(time.Duration(len(x.rows)%24) * 10 * time.Second)})
	}
	return x
}

// run lets live read for d, at that rate.
func (x *traffic) run(d time.Duration, rate float64) {
	for end := x.now.Add(d); x.now.Before(end); {
		job, ok := take(x.line, x.now)
		if !ok {
			x.now = x.now.Add(time.Second)
			continue
		}
		first, to := x.now, job.Slice.To
		if to.IsZero() {
			to = first
		}
		for _, r := range x.rows {
			if !r.appears.After(first) && !r.time.Before(job.Slice.From) && !r.time.After(to) {
				r.times++
			}
		}
		rows := int(rate * to.Sub(job.Slice.From).Seconds())
		pages := 1 + rows/fullPage
		x.now = x.now.Add(time.Duration(pages) * 2 * time.Second)
		x.line.Apply(x.line.Finish(job, first, x.now), x.now, Outcome{Pages: pages, Rows: rows})
		if job.reader.kind != Live { // what it had to leave behind while it did not know the load yet
			continue
		}
		look, trails := x.line.LookBack()
		if n := len(x.looks); n == 0 || x.looks[n-1] != look {
			x.looks = append(x.looks, look)
		}
		if n := len(x.trails); n == 0 || x.trails[n-1] != trails {
			x.trails = append(x.trails, trails)
		}
	}
}

// TestLiveFollowsTheLoad: it looks back less far, then trails, and comes back the same way; no record that appears within the
// least look-back is lost at any change.
func TestLiveFollowsTheLoad(t *testing.T) {
	x := newTraffic(t)
	if x.run(time.Hour, 10); !slices.Equal(x.looks, []time.Duration{15 * time.Minute}) {
		t.Errorf("in quiet look-back is %v", x.looks)
	}
	x.run(30*time.Minute, 50)
	x.run(time.Hour, 150)
	x.run(time.Hour, 240)
	x.run(2*time.Hour, 285)
	if look, trails := x.line.LookBack(); look != lookFirst || !trails {
		t.Errorf("under load it looks back %s, trails %v", look, trails)
	}
	falls := x.looks
	if !slices.IsSortedFunc(falls, func(a, b time.Duration) int { return int((b - a) / (5 * time.Second)) }) {
		t.Errorf("under rising load look-back is %v", falls)
	}
	x.run(3*time.Hour, 10)
	if rises := x.looks[len(falls)-1:]; !slices.IsSorted(rises) || rises[len(rises)-1] != 15*time.Minute || len(rises) < 4 {
		t.Errorf("under falling load look-back is %v", rises)
	}
	if !slices.Equal(x.trails, []bool{false, true, false}) {
		t.Errorf("it trails %v", x.trails)
	}
	for _, r := range x.rows {
		if r.appears.Before(epoch.Add(8*time.Hour)) && r.times == 0 {
			t.Errorf("the record of %s, shown %s later, was not read", r.time.Sub(epoch), r.appears.Sub(r.time))
		}
	}
}

// TestLengthOfSlices: quiet ones grow up to a day, those with many pages are halved, and all are whole seconds.
func TestLengthOfSlices(t *testing.T) {
	l, r := New("audits", config(0), epoch, nil, nil, time.Time{}), &reader{length: firstLength}
	for _, step := range []struct {
		o    Outcome
		want time.Duration
	}{
		{Outcome{1, 10}, 2 * time.Hour}, {Outcome{1, fullPage / 2}, 2 * time.Hour}, {Outcome{mostPages, 9000}, 2 * time.Hour},
		{Outcome{mostPages + 1, 11000}, time.Hour}, {Outcome{1, 0}, 2 * time.Hour}, {Outcome{1, 0}, 4 * time.Hour},
		{Outcome{1, 0}, 8 * time.Hour}, {Outcome{1, 0}, 16 * time.Hour}, {Outcome{1, 0}, mostLength}, {Outcome{1, 0}, mostLength},
	} {
		if l.resize(r, step.o); r.length != step.want {
			t.Fatalf("after %+v: %s, want %s", step.o, r.length, step.want)
		}
	}
	for range 20 {
		if l.resize(r, Outcome{Pages: 100}); r.length != r.length.Truncate(time.Second) || r.length < leastLength {
			t.Fatalf("halved to %s", r.length)
		}
	}
	l = New("audits", config(0), epoch, nil, nil, time.Time{})
	job := next(t, l, epoch, Live)
	for range 6 {
		l.Fail(job, epoch, 0, true)
		if look, _ := l.LookBack(); look != look.Truncate(time.Second) || look < leastLook {
			t.Fatalf("live looks back %s", look)
		}
	}
}

// TestOnceWithAClockThatGoesBack: the seconds between its first reply and the others must not make a slice without bounds.
func TestOnceWithAClockThatGoesBack(t *testing.T) {
	w := newWorld(t, config(time.Hour))
	w.step(time.Minute)
	w.line.Drain()
	w.read(next(t, w.line, w.now, Live))
	for back := 5; back >= 0; back-- {
		now := w.now.Add(-time.Duration(back) * time.Second)
		for {
			job, ok := take(w.line, now)
			if !ok {
				break
			}
			if !job.Slice.From.Before(job.Slice.To) && job.reader.kind != Live {
				t.Fatalf("%s reads %s", job.Slice.Reader, job.Slice)
			}
			w.line.Apply(w.line.Finish(job, now, now), now, Outcome{Pages: 1})
		}
		for class := range event.Classes {
			if _, ok := w.line.Wants(now, class); ok {
				t.Fatalf("a slice of class %v is wanted, but there is none", class)
			}
		}
	}
	for range 3 {
		w.step(time.Second)
	}
	if !w.line.Drained(nil) {
		t.Errorf("not drained: %+v, edge %v", w.line.Readers(), w.line.edge)
	}
}

// TestNextToNothing: the rate of a stream that has gone quiet falls for ever, and what is reckoned from it stays within bounds.
func TestNextToNothing(t *testing.T) {
	l := New("audits", config(0), epoch, nil, nil, time.Time{})
	for _, rate := range []float64{0, 1e-300, 1e-12, 1e-6} {
		l.load.rate = rate
		if d := l.worth(worthPages); d != mostLength {
			t.Errorf("at %g records a second eight pages are worth %s", rate, d)
		}
		if look := (crowd{once: rate, page: 2}).look(time.Minute); look < 20*time.Hour {
			t.Errorf("at %g records a second look-back is %s", rate, look)
		}
	}
}

// TestTrailingBeginsOnlyOnceFurtherBack: a stretch that live has left behind before it could begin to trail is the catch-up's; live
// itself must not go back to where it would have begun, because the ids of what lies there may be forgotten by then.
func TestTrailingBeginsOnlyOnceFurtherBack(t *testing.T) {
	l := New("audits", config(0), epoch, nil, nil, time.Time{})
	l.start = epoch.Add(-24 * time.Hour)
	r := l.find(Live)
	r.pos, r.fresh, r.trail, r.again = epoch, false, true, epoch.Add(-r.look)
	now := epoch.Add(3 * time.Hour)
	if job, ok := l.Take(now, event.ClassCatchup); !ok || !job.Slice.From.Equal(epoch.Add(-15*time.Minute)) {
		t.Errorf("the catch-up begins with %v", job.Slice)
	}
	now = now.Add(5 * time.Minute)
	if job, ok := l.Take(now, event.ClassLive); !ok || job.Slice.From.Before(epoch.Add(2*time.Hour)) {
		t.Errorf("live reads %v", job.Slice)
	}
}

// TestFewRowsAPage: what is reckoned in pages follows the size of the stream's.
func TestFewRowsAPage(t *testing.T) {
	demand := map[int]float64{}
	for _, page := range []int{0, 50} {
		cfg := config(time.Hour)
		cfg.Page = page
		l := New("security.alerts", cfg, epoch, nil, nil, time.Time{})
		l.load.rate = 2
		rows := cmp.Or(page, fullPage)
		if d, want := l.worth(worthPages), time.Duration(worthPages*rows/2)*time.Second; d != want {
			t.Errorf("%d rows a page: eight pages are %s, want %s", rows, d, want)
		}
		l.load.rate = 0
		idle := l.Demand()
		l.load.rate = 2
		demand[rows] = l.Demand() - idle
		l.fit(l.find(Live), time.Second, Outcome{Pages: 1, Rows: 1})
		Share(10, []*Line{l})
		job := next(t, l, epoch, Backfill)
		job.reader.length, job.flight.span.to = leastLength, job.flight.span.from.Add(leastLength)
		if l.Fail(job, epoch, 0, true); job.reader.top != rows/2 {
			t.Errorf("a page of %d rows was halved to %d", rows, job.reader.top)
		}
		if l.resize(job.reader, Outcome{Pages: 1}); job.reader.top != 0 {
			t.Errorf("pages of %d rows grow to %d", rows, job.reader.top)
		}
		job.reader.length = time.Hour
		if l.resize(job.reader, Outcome{Pages: 1, Rows: 26}); (job.reader.length > time.Hour) != (rows > 50) {
			t.Errorf("%d rows a page: after 26 rows in an hour the next slice is %s", rows, job.reader.length)
		}
		if once, want := l.crowd.once, 2/float64(rows)/(9.5-idle-demand[rows]*4/5); once < want*0.9 || once > want*1.1 {
			t.Errorf("%d rows a page: live takes %.5f of its share, want %.5f", rows, once, want)
		}
	}
	if ratio := demand[50] / demand[fullPage]; ratio < 19.9 || ratio > 20.1 {
		t.Errorf("a twentieth of the rows a page costs %.1f times the requests", ratio)
	}
}
