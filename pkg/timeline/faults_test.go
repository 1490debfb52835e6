package timeline

import (
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// next gives the next job of a kind of reader; jobs of others are finished on the way.
func next(t *testing.T, l *Line, now time.Time, kind string) Job {
	t.Helper()
	for range 100 {
		job, ok := take(l, now)
		if !ok {
			break
		}
		if job.reader.kind == kind {
			return job
		}
		l.Apply(l.Finish(job, now, now), now, Outcome{Pages: 1})
	}
	t.Fatalf("no job of %s is due", kind)
	return Job{}
}

// TestAStretchThatIsDamagedTwiceIsReadTwice: a second repair begins at the beginning, wherever the first one has got.
func TestAStretchThatIsDamagedTwiceIsReadTwice(t *testing.T) {
	from, to := epoch.Add(-5*time.Hour), epoch.Add(-2*time.Hour)
	for name, again := range map[string]func(l *Line){
		"between two slices": func(l *Line) {
			job := next(t, l, epoch, Recovery)
			l.Apply(l.Finish(job, epoch, epoch), epoch, Outcome{Pages: 1})
			l.Repair(from, to, epoch)
		},
		"while a slice is read": func(l *Line) {
			job := next(t, l, epoch, Recovery)
			l.Repair(from, to, epoch)
			m := l.Finish(job, epoch, epoch)
			if m.Floor.After(from) {
				t.Errorf("the slice under way lets the ids below %v be forgotten", m.Floor)
			}
			l.Apply(m, epoch, Outcome{Pages: 1})
		},
		"while the last page is committed": func(l *Line) {
			job := next(t, l, epoch, Recovery)
			m := l.Finish(job, epoch, epoch)
			l.Repair(from, to, epoch)
			l.Apply(m, epoch, Outcome{Pages: 1})
		},
		"while a slice fails": func(l *Line) {
			job := next(t, l, epoch, Recovery)
			l.Apply(l.Finish(job, epoch, epoch), epoch, Outcome{Pages: 1})
			job = next(t, l, epoch, Recovery)
			l.Repair(from, to, epoch)
			l.Fail(job, epoch, 0, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := New("audits", config(0), epoch, nil, nil, time.Time{})
			l.Repair(from, to, epoch)
			again(l)
			unsaved, _ := l.Unsaved()
			saved := false
			for _, c := range unsaved.Cursors {
				saved = saved || c.Pos.Equal(from) && !c.End.Before(to)
			}
			if !saved {
				t.Errorf("the second repair is not saved: %+v", unsaved)
			}
			if job := next(t, l, epoch, Recovery); !job.Slice.From.Equal(from) {
				t.Errorf("after the second damage %v is read, want it from %v on", job.Slice, from)
			}
		})
	}
}

// TestAStreamThatFailsForDaysLeavesOneStretch: each time that live gives up a stretch, the reader of the one before goes on to
// its end; a stream without a licence must not fill the state with readers.
func TestAStreamThatFailsForDaysLeavesOneStretch(t *testing.T) {
	w := newWorld(t, config(0))
	w.step(time.Minute)
	gone := w.now
	for w.now.Before(gone.Add(72 * time.Hour)) {
		for {
			job, ok := take(w.line, w.now)
			w.save()
			if !ok {
				break
			}
			w.line.Fail(job, w.now, 5*time.Minute, false)
		}
		w.now = w.now.Add(time.Minute)
	}
	if n := len(w.saved); n > 8 {
		t.Errorf("%d cursors after three days of failures", n)
	}
	for at := gone; at.Before(w.now); at = at.Add(time.Hour) {
		w.records = append(w.records, &record{time: at, appears: at})
	}
	w.restart(config(0))
	for range 100 {
		w.step(10 * time.Second)
	}
	for _, r := range w.records {
		if r.found.IsZero() {
			t.Errorf("the record of %v was not found", r.time)
		}
	}
}

// TestRereaderKeepsItsAge: a slice that was made by a clock that went ahead moves its reader no further than its age by the
// clock that is right again; what appears in between is still to be found.
func TestRereaderKeepsItsAge(t *testing.T) {
	cfg := config(0)
	cfg.Reread = []field.Duration{field.Duration(72 * time.Hour)}
	saved := []event.Cursor{
		{Reader: Live, Pos: epoch, Start: epoch.Add(-1000 * time.Hour)},
		{Reader: "reread/72h0m0s", Pos: epoch.Add(-73 * time.Hour), Slice: event.Duration(24 * time.Hour)},
	}
	l := New("audits", cfg, epoch, saved, nil, time.Time{})
	job := next(t, l, epoch.Add(48*time.Hour), Reread)
	if m := l.Finish(job, epoch, epoch); m.Cursors[0].Pos.After(epoch.Add(-72 * time.Hour)) {
		t.Errorf("the cursor moved to %v, younger than its age", epoch.Sub(m.Cursors[0].Pos))
	}
	if m := l.Finish(job, epoch.Add(-10*time.Hour), epoch.Add(-10*time.Hour)); m.Cursors[0].Pos.Before(job.Slice.From) {
		t.Errorf("the cursor moved back to %v", m.Cursors[0].Pos)
	}
}

// TestANewAgeDoubtsWhatIsForgotten: an older age that is added reads where the seen ids are gone: what it finds says so.
func TestANewAgeDoubtsWhatIsForgotten(t *testing.T) {
	cfg := config(100 * time.Hour)
	cfg.Reread = []field.Duration{field.Duration(30 * time.Minute)}
	w := newWorld(t, cfg)
	for range 1000 {
		w.step(10 * time.Second)
	}
	cfg.Reread = append(cfg.Reread, field.Duration(72*time.Hour))
	w.restart(cfg)
	if !w.line.Doubtful(w.now.Add(-50 * time.Hour)) {
		t.Error("a record that was shipped days ago would come again unmarked")
	}
	if w.line.Doubtful(w.now.Add(-10 * time.Minute)) {
		t.Error("what is still remembered is marked too")
	}
	if len(w.line.Notes()) == 0 {
		t.Error("nothing was reported")
	}
}

// TestAClosedReaderWaitsForItsEnd: a stretch that reaches beyond now is not read second by second: each is a request.
func TestAClosedReaderWaitsForItsEnd(t *testing.T) {
	cfg := config(0)
	cfg.Reread = nil
	l := New("audits", cfg, epoch, nil, nil, time.Time{})
	l.Repair(epoch.Add(-time.Minute), epoch.Add(10*time.Minute), epoch)
	n := 0
	for now := epoch; now.Before(epoch.Add(12 * time.Minute)); now = now.Add(time.Second) {
		if job, ok := take(l, now); ok {
			if job.reader.kind == Recovery {
				n++
			}
			l.Apply(l.Finish(job, now, now), now, Outcome{Pages: 1})
		}
	}
	if n < 2 || n > 15 || len(l.Readers()) != 1 {
		t.Errorf("%d slices for ten minutes, readers %+v", n, l.Readers())
	}
}

// TestARereaderAheadOfTheClockGoesBackToItsAge: while the clock was days ahead it passed a stretch in which nothing was yet.
func TestARereaderAheadOfTheClockGoesBackToItsAge(t *testing.T) {
	saved := []event.Cursor{
		{Reader: Live, Pos: epoch.Add(200 * time.Hour), Start: epoch.Add(-10 * time.Hour)},
		{Reader: "reread/2h0m0s", Pos: epoch.Add(198 * time.Hour)},
		{Reader: "reread/24h0m0s", Pos: epoch.Add(176 * time.Hour)},
	}
	cfg := config(0)
	cfg.Reread = []field.Duration{field.Duration(2 * time.Hour), field.Duration(24 * time.Hour)}
	l := New("audits", cfg, epoch, saved, nil, time.Time{})
	next(t, l, epoch, Live)
	want := map[string]time.Time{"reread/2h0m0s": epoch.Add(-2 * time.Hour), "reread/24h0m0s": epoch.Add(-10 * time.Hour)}
	for _, r := range l.Readers() {
		if at, ok := want[r.Name]; ok && !r.Pos.Equal(at) {
			t.Errorf("%s was set back to %v, want %v", r.Name, r.Pos, at)
		}
	}
	if !l.Doubtful(epoch.Add(-5 * time.Hour)) {
		t.Error("what comes again is not marked uncertain")
	}
}

// TestPauseByAWrongClock: while the clock is ahead for a moment a reader fails and rests. When it is right again, so is the pause.
func TestPauseByAWrongClock(t *testing.T) {
	for name, fails := range map[string]func(l *Line, wrong time.Time){
		"the stream": func(l *Line, wrong time.Time) {
			job, _ := l.Take(epoch, event.ClassLive)
			l.Fail(job, wrong, time.Minute, false)
			l.Pause(wrong, 2*time.Minute)
		},
		"a reader": func(l *Line, wrong time.Time) { l.Fail(next(t, l, epoch, Backfill), wrong, time.Second, false) },
	} {
		l := New("audits", config(10*time.Hour), epoch, nil, nil, time.Time{})
		l.Unsaved()
		fails(l, epoch.Add(90*24*time.Hour))
		kinds := map[string]int{}
		for now := epoch; now.Before(epoch.Add(24 * time.Hour)); now = now.Add(time.Minute) {
			for job, ok := take(l, now); ok; job, ok = take(l, now) {
				kinds[job.reader.kind]++
				l.Apply(l.Finish(job, now, now), now, Outcome{Pages: 1})
			}
		}
		if kinds[Backfill] == 0 || kinds[Live] < 1000 || kinds[Reread] == 0 {
			t.Errorf("%s failed while the clock was wrong: in the day after it was read %v times", name, kinds)
		}
	}
}
