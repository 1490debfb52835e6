package timeline

import (
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// reading begins n slices of a kind of reader at once.
func reading(t *testing.T, l *Line, now time.Time, kind string, n int) (jobs []Job) {
	t.Helper()
	for range n {
		jobs = append(jobs, next(t, l, now, kind))
	}
	return jobs
}

func apply(l *Line, job Job, now time.Time) Moves {
	m := l.Finish(job, now, now)
	l.Apply(m, now, Outcome{Pages: 1, Rows: fullPage / 2})
	return m
}

func position(t *testing.T, l *Line, name string) time.Time {
	t.Helper()
	for _, r := range l.Readers() {
		if r.Name == name {
			return r.Pos
		}
	}
	t.Fatalf("there is no %s: %+v", name, l.Readers())
	return time.Time{}
}

// TestSlicesEndInAnyOrder: what is saved is the end of the contiguous part, whichever slice ends first.
func TestSlicesEndInAnyOrder(t *testing.T) {
	start := epoch.Add(-10 * time.Hour)
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}} {
		l := New("audits", config(10*time.Hour), epoch, nil, nil, time.Time{})
		jobs := reading(t, l, epoch, Backfill, 4)
		done := [5]bool{}
		for _, i := range order {
			done[i] = true
			m := l.Finish(jobs[i], epoch, epoch)
			want := start
			for j := 0; done[j]; j++ {
				want = jobs[j].Slice.To
			}
			for _, c := range m.Cursors {
				if !c.Pos.Equal(want) {
					t.Errorf("order %v: after slice %d the cursor %v is saved, want %v", order, i, c.Pos, want)
				}
			}
			l.Apply(m, epoch, Outcome{Pages: 1, Rows: fullPage / 2})
			if got := position(t, l, Backfill); !got.Equal(want) || l.Floor().After(want) {
				t.Errorf("order %v: after slice %d the reader is at %v, floor %v, want %v", order, i, got, l.Floor(), want)
			}
		}
	}
}

// TestAFailureInTheMiddle: what failed is asked for again and nothing else, and after a restart no more than what was not saved.
func TestAFailureInTheMiddle(t *testing.T) {
	l := New("audits", config(10*time.Hour), epoch, nil, nil, time.Time{})
	saved := state{cursors: map[string]event.Cursor{}}
	first, _ := l.Unsaved()
	saved.move(first)
	jobs := reading(t, l, epoch, Backfill, 4)
	l.Fail(jobs[1], epoch, time.Minute, false)
	for _, i := range []int{3, 0, 2} {
		saved.move(apply(l, jobs[i], epoch).Moves)
	}
	if got := saved.cursors[Backfill].Pos; !got.Equal(jobs[1].Slice.From) {
		t.Fatalf("%v is saved, want %v", got, jobs[1].Slice.From)
	}
	again := reading(t, l, epoch.Add(time.Minute), Backfill, 2)
	if !again[0].Slice.From.Equal(jobs[1].Slice.From) || !again[0].Slice.To.Equal(jobs[1].Slice.To) || !again[1].Slice.From.Equal(jobs[3].Slice.To) {
		t.Errorf("asked for %v and %v, want what failed and what follows", again[0].Slice, again[1].Slice)
	}
	l = New("audits", config(10*time.Hour), epoch, []event.Cursor{saved.cursors[Live], saved.cursors[Backfill]}, nil, time.Time{})
	if job := next(t, l, epoch, Backfill); !job.Slice.From.Equal(jobs[1].Slice.From) {
		t.Errorf("after a restart %v is read", job.Slice)
	}
}

// behind is a line with re-readers of 30 minutes, 2 and 24 hours that stand at these ages.
func behind(ages ...time.Duration) *Line {
	cfg := config(0)
	cfg.Reread = []field.Duration{field.Duration(30 * time.Minute), field.Duration(2 * time.Hour), field.Duration(24 * time.Hour)}
	saved := []event.Cursor{{Reader: Live, Pos: epoch, Start: epoch.Add(-1000 * time.Hour)}}
	for i, age := range ages {
		saved = append(saved, event.Cursor{Reader: Reread + "/" + cfg.Reread[i].Std().String(), Pos: epoch.Add(-age), Slice: event.Duration(time.Hour)})
	}
	l := New("audits", cfg, epoch, saved, nil, time.Time{})
	l.Unsaved()
	return l
}

// TestCredit: a slice counts for each reader whose age what it has read had when it was asked for, and for no other.
func TestCredit(t *testing.T) {
	l := behind(110*time.Minute, 4*time.Hour, 24*time.Hour)
	l.closed(Catchup, epoch.Add(-3*time.Hour), epoch.Add(-10*time.Minute))
	l.find(Catchup + "/1772355600").length = 4 * time.Hour
	job, ok := l.Take(epoch, event.ClassCatchup)
	if !ok {
		t.Fatal("the catch-up is not due")
	}
	apply(l, job, epoch)
	if at := position(t, l, "reread/30m0s"); !at.Equal(epoch.Add(-30 * time.Minute)) {
		t.Errorf("reread/30m is %s behind, want 30m", epoch.Sub(at))
	}
	if at := position(t, l, "reread/2h0m0s"); !at.Equal(epoch.Add(-4 * time.Hour)) {
		t.Errorf("reread/2h is %s behind although a stretch before the credit is open", epoch.Sub(at))
	}
	job, _ = l.Take(epoch, event.ClassBehind)
	if s := job.Slice; s.Reader != "reread/2h0m0s" || !s.From.Equal(epoch.Add(-4*time.Hour)) || !s.To.Equal(epoch.Add(-3*time.Hour)) {
		t.Errorf("then %s of %s is read, want what the catch-up did not", s, s.Reader)
	}
	apply(l, job, epoch)
	if at := position(t, l, "reread/2h0m0s"); !at.Equal(epoch.Add(-2 * time.Hour)) {
		t.Errorf("reread/2h is %s behind after it", epoch.Sub(at))
	}
}

// TestWhatWasBegunBeforeARepairDoesNotCount: its rows may be among those that are damaged.
func TestWhatWasBegunBeforeARepairDoesNotCount(t *testing.T) {
	from, to := epoch.Add(-4*time.Hour), epoch.Add(-time.Hour)
	for name, kind := range map[string]string{"another reader's": Backfill, "its own": Recovery} {
		t.Run(name, func(t *testing.T) {
			l := New("audits", config(4*time.Hour), epoch, nil, nil, time.Time{})
			if kind == Recovery {
				l.Repair(from, to, epoch)
			}
			jobs := reading(t, l, epoch, kind, 2)
			l.Repair(from, to, epoch)
			apply(l, jobs[1], epoch)
			apply(l, jobs[0], epoch)
			if job := next(t, l, epoch, Recovery); !job.Slice.From.Equal(from) {
				t.Errorf("after the repair %v is read, want it from %v on", job.Slice, from)
			}
		})
	}
}

// TestFloorCountsSlicesUnderWay: credit may take a reader past its own slices, which still show rows from before.
func TestFloorCountsSlicesUnderWay(t *testing.T) {
	l := New("audits", Config{Poll: field.Duration(time.Minute), Lookback: field.Duration(15 * time.Minute), Start: Start{Age: 4 * time.Hour}}, epoch, nil, nil, time.Time{})
	l.Unsaved()
	old := next(t, l, epoch, Backfill)
	l.Repair(epoch.Add(-4*time.Hour), epoch, epoch)
	for l.find(Recovery+"/1772352000") != nil {
		apply(l, next(t, l, epoch.Add(time.Minute), Recovery), epoch.Add(time.Minute))
	}
	l.Unsaved()
	if at := position(t, l, Backfill); !at.After(old.Slice.To) || l.Floor().After(old.Slice.From) {
		t.Errorf("backfill is at %v, the floor %v above its slice %v", at, l.Floor(), old.Slice)
	}
}
