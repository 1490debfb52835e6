package timeline

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func config(start time.Duration) Config {
	c := Default()
	c.Start = Start{Age: start}
	return c
}

// record is one that a service shows from appears on.
type record struct {
	time, appears time.Time
	found         time.Time
	times         int // how often a slice has covered it when it was to be seen
}

// world plays a service and a caller that reads slices in no time.
type world struct {
	t       *testing.T
	now     time.Time
	line    *Line
	records []*record
	saved   map[string]event.Cursor
}

func newWorld(t *testing.T, cfg Config) *world {
	w := &world{t: t, now: epoch, saved: map[string]event.Cursor{}}
	w.line = New("audits", cfg, w.now, nil, nil, time.Time{})
	w.save()
	return w
}

// take gives the next slice that is due, the classes in their order.
func take(l *Line, now time.Time) (Job, bool) {
	for class := range event.Classes {
		if job, ok := l.Take(now, class); ok {
			return job, true
		}
	}
	return Job{}, false
}

func (w *world) save() {
	m, _ := w.line.Unsaved()
	for _, c := range m.Cursors {
		w.saved[c.Reader] = c
	}
	for _, name := range m.Remove {
		delete(w.saved, name)
	}
}

func (w *world) restart(cfg Config) {
	var cursors []event.Cursor
	for _, c := range w.saved {
		cursors = append(cursors, c)
	}
	w.line = New("audits", cfg, w.now, cursors, nil, time.Time{})
	w.save()
}

// step reads all that is due, then lets d pass.
func (w *world) step(d time.Duration) {
	for {
		job, ok := take(w.line, w.now)
		w.save()
		if !ok {
			break
		}
		w.read(job)
	}
	w.now = w.now.Add(d)
}

func (w *world) read(job Job) {
	s := job.Slice
	if !s.To.IsZero() && s.To.After(w.now) {
		w.t.Fatalf("slice %v reaches beyond now %v", s, w.now)
	}
	rows := 0
	for _, r := range w.records {
		if r.appears.After(w.now) || r.time.Before(s.From) || !s.To.IsZero() && r.time.After(s.To) {
			continue
		}
		rows++
		r.times++
		if r.found.IsZero() {
			r.found = w.now
		}
	}
	m := w.line.Finish(job, w.now, w.now)
	for _, r := range w.records {
		if !r.found.IsZero() || !r.time.Before(m.Floor) || r.time.Before(w.line.start) {
			continue
		}
		if !r.appears.After(w.now) {
			w.t.Fatalf("the floor %v passed a record of %v that has been there since %v unread", m.Floor, r.time, r.appears)
		}
	}
	for _, c := range m.Cursors {
		w.saved[c.Reader] = c
	}
	for _, name := range m.Remove {
		delete(w.saved, name)
	}
	w.line.Apply(m, w.now, Outcome{Pages: 1, Rows: rows})
}

// TestLateRecordsAreFoundInTime: a record that appears a while after its time is found by the reader whose turn it is, no later
// than its age plus the larger of poll and min(age/4, 1 h).
func TestLateRecordsAreFoundInTime(t *testing.T) {
	cfg := config(time.Hour)
	w := newWorld(t, cfg)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		at := epoch.Add(time.Duration(rng.Int64N(int64(24 * time.Hour))))
		late := time.Duration(rng.Int64N(int64([]time.Duration{time.Minute, 20 * time.Minute, 3 * time.Hour, 71 * time.Hour}[rng.IntN(4)])))
		w.records = append(w.records, &record{time: at, appears: at.Add(late)})
	}
	for end := epoch.Add(100 * time.Hour); w.now.Before(end); {
		w.step(10 * time.Second)
	}
	for _, r := range w.records {
		late := r.appears.Sub(r.time)
		limit := deadline(cfg, late)
		if r.found.IsZero() {
			t.Fatalf("a record %s late was never found", late)
		}
		if took := r.found.Sub(r.time); took > limit+11*time.Second {
			t.Errorf("a record %s late was found after %s, want %s at most", late, took, limit)
		}
	}
}

// deadline is how long after its own time a record must have been found.
func deadline(cfg Config, late time.Duration) time.Duration {
	poll := cfg.Poll.Std()
	if late <= cfg.Lookback.Std()-poll {
		return late + poll
	}
	for _, a := range cfg.Reread {
		if age := a.Std(); late <= age {
			return age + max(poll, min(age/4, time.Hour))
		}
	}
	return 1 << 62
}

func TestOutageIsCaughtUp(t *testing.T) {
	for name, down := range map[string]func(w *world){
		"process runs on": func(*world) {},
		"process restarts": func(w *world) {
			w.restart(config(time.Hour))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, config(time.Hour))
			for range 100 {
				w.step(10 * time.Second)
			}
			gone := w.now
			for i := range 5 * 3600 / 20 {
				at := gone.Add(time.Duration(i) * 20 * time.Second)
				w.records = append(w.records, &record{time: at, appears: at})
			}
			w.now = gone.Add(5 * time.Hour)
			down(w)
			w.step(time.Second)
			fresh := w.records[len(w.records)-1]
			if fresh.found.IsZero() {
				t.Error("the newest record waits for the catch-up")
			}
			for range 60 {
				w.step(10 * time.Second)
			}
			for _, r := range w.records {
				if r.found.IsZero() {
					t.Fatalf("the record of %v, in the outage, was not found", r.time)
				}
			}
			for _, r := range w.line.readers {
				if r.kind == Catchup {
					t.Errorf("the catch-up %v has no end", r.name)
				}
			}
		})
	}
}

func TestFirstRunReadsFromStart(t *testing.T) {
	w := newWorld(t, config(48*time.Hour))
	for i := range 48 {
		at := epoch.Add(-time.Duration(i)*time.Hour - time.Minute)
		w.records = append(w.records, &record{time: at, appears: at})
	}
	older := &record{time: epoch.Add(-49 * time.Hour), appears: epoch.Add(-49 * time.Hour)}
	w.records = append(w.records, older)
	for range 10 {
		w.step(10 * time.Second)
	}
	for _, r := range w.records[:48] {
		if r.found.IsZero() {
			t.Errorf("the record of %v was not found", r.time)
		}
	}
	if !older.found.IsZero() {
		t.Error("a record from before the start was read")
	}
}

// TestFailedSliceStaysOpen: a cursor moves only over complete slices.
func TestFailedSliceStaysOpen(t *testing.T) {
	l := New("audits", config(10*time.Hour), epoch, nil, nil, time.Time{})
	var failed []event.Slice
	for range 10 {
		job, ok := take(l, epoch)
		if !ok {
			break
		}
		failed = append(failed, job.Slice)
		l.Fail(job, epoch, time.Minute, false)
	}
	if len(failed) != 2 {
		t.Fatalf("%d readers were due, want live and backfill", len(failed))
	}
	now := epoch.Add(time.Minute)
	for i := range failed {
		job, ok := take(l, now)
		if !ok || !job.Slice.From.Equal(failed[i].From) {
			t.Errorf("slice %v was not opened again: %v", failed[i], job.Slice)
		}
	}
}

func TestSliceIsHalvedThenThePage(t *testing.T) {
	l := New("audits", config(10*time.Hour), epoch, nil, nil, time.Time{})
	var lengths []time.Duration
	tops := map[int]bool{}
	for now := epoch; now.Before(epoch.Add(100 * time.Minute)); now = now.Add(time.Second) {
		job, ok := take(l, now)
		if !ok {
			continue
		}
		if job.reader.kind == Live {
			l.Apply(l.Finish(job, now, now), now, Outcome{Pages: 1})
			continue
		}
		if job.reader.kind == Backfill {
			lengths = append(lengths, job.Slice.To.Sub(job.Slice.From))
			tops[job.Slice.Top] = true
		}
		l.Fail(job, now, time.Minute, true)
	}
	if lengths[0] != time.Hour || lengths[1] != 30*time.Minute || lengths[len(lengths)-1] != time.Second {
		t.Errorf("slices of %v, want an hour halved down to a second", lengths)
	}
	if !tops[500] || !tops[1] {
		t.Errorf("page sizes %v, want 500 down to 1", tops)
	}
}

func TestCursorAheadOfTheClockIsSetBack(t *testing.T) {
	saved := []event.Cursor{{Reader: Live, Pos: epoch.Add(3 * time.Hour)}}
	l := New("audits", config(time.Hour), epoch, saved, nil, time.Time{})
	job, ok := take(l, epoch)
	if !ok || job.Slice.From.After(epoch) {
		t.Fatalf("slice %v begins in the future", job.Slice)
	}
	if len(l.Notes()) == 0 {
		t.Error("nothing was reported")
	}
}

func TestLossOfState(t *testing.T) {
	lost := epoch.Add(-30 * time.Hour)
	l := New("audits", config(time.Hour), epoch, nil, nil, lost)
	seen := map[bool]event.Slice{}
	for range 5 {
		if job, ok := take(l, epoch); ok && seen[job.Uncertain].From.IsZero() {
			seen[job.Uncertain] = job.Slice
		}
	}
	if s, ok := seen[true]; !ok || !s.From.Equal(lost) {
		t.Errorf("slices %v: want an uncertain one from %v", seen, lost)
	}
}

func TestOnceReadsShortSlicesAndEnds(t *testing.T) {
	w := newWorld(t, config(time.Hour))
	w.step(time.Minute)
	w.line.Drain()
	late := &record{time: epoch.Add(-29*time.Minute - 30*time.Second), appears: epoch.Add(30 * time.Second)}
	w.records = append(w.records, late)
	if w.line.Drained(nil) {
		t.Fatal("drained before anything was read")
	}
	for range 3 {
		w.step(time.Second)
	}
	if !w.line.Drained(nil) {
		t.Errorf("not drained: %+v", w.line.Readers())
	}
	if late.found.IsZero() {
		t.Error("the short slice of a re-reader was left out")
	}
}

func TestAgesFollowTheConfiguration(t *testing.T) {
	w := newWorld(t, config(time.Hour))
	cfg := config(time.Hour)
	cfg.Reread = []field.Duration{field.Duration(time.Hour)}
	w.restart(cfg)
	for name := range w.saved {
		if name == "reread/30m0s" {
			t.Error("the cursor of an age that is gone was kept")
		}
	}
	if _, ok := w.saved["reread/1h0m0s"]; !ok {
		t.Error("the new age has no cursor")
	}
}

// TestAnEarlierStartIsNotIgnoredInSilence: start counts on the first run only, and who changes it is told.
func TestAnEarlierStartIsNotIgnoredInSilence(t *testing.T) {
	w := newWorld(t, config(time.Hour))
	w.step(time.Minute)
	for start, want := range map[Start]int{{At: epoch.Add(-48 * time.Hour)}: 1, {At: epoch}: 0, {Age: time.Hour}: 0} {
		cfg := config(time.Hour)
		cfg.Start = start
		w.restart(cfg)
		if notes := w.line.Notes(); len(notes) != want {
			t.Errorf("start %+v: notes %q, want %d", start, notes, want)
		}
	}
}

func TestStart(t *testing.T) {
	for text, want := range map[string]time.Time{
		"24h": epoch.Add(-24 * time.Hour), "7d": epoch.Add(-7 * 24 * time.Hour), "2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T08:00:00+02:00": time.Date(2026, 1, 31, 6, 0, 0, 0, time.UTC), "2027-01-01": epoch,
	} {
		var s Start
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := s.Resolve(epoch); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	var s Start
	if s.UnmarshalText([]byte("yesterday")) == nil {
		t.Error("yesterday is a start")
	}
}

// TestAYoungerAgeBeginsWhereTheOldOnesStood: what no re-reader has read when the ages change has its pass by the new ones.
func TestAYoungerAgeBeginsWhereTheOldOnesStood(t *testing.T) {
	age := func(minutes time.Duration) field.Duration { return field.Duration(minutes * time.Minute) }
	begins := func(l *Line, name string) time.Duration { return epoch.Sub(l.find(name).pos) }
	saved := []event.Cursor{{Reader: Live, Pos: epoch, Start: epoch.Add(-24 * time.Hour)},
		{Reader: "reread/30m0s", Pos: epoch.Add(-32 * time.Minute)}, {Reader: "reread/2h0m0s", Pos: epoch.Add(-130 * time.Minute)}}
	for _, c := range []struct {
		ages []field.Duration
		name string
		want time.Duration
	}{
		{[]field.Duration{age(20)}, "reread/20m0s", 32 * time.Minute},
		{[]field.Duration{age(20), age(30), age(120)}, "reread/20m0s", 32 * time.Minute},
		{[]field.Duration{age(60)}, "reread/1h0m0s", time.Hour},
		{[]field.Duration{age(30), age(180)}, "reread/3h0m0s", 3 * time.Hour},
	} {
		cfg := config(time.Hour)
		cfg.Reread = c.ages
		if got := begins(New("audits", cfg, epoch, saved, nil, time.Time{}), c.name); got != c.want {
			t.Errorf("%v: %s begins %s back, want %s", c.ages, c.name, got, c.want)
		}
	}
}
