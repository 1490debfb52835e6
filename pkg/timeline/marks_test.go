package timeline

import (
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// TestMarks: what touches is one mark, and when there are too many they say too much rather than too little.
func TestMarks(t *testing.T) {
	l := New("audits", config(0), epoch, nil, nil, time.Time{})
	hours := func(from, to int) stretch {
		return stretch{epoch.Add(time.Duration(from) * time.Hour), epoch.Add(time.Duration(to) * time.Hour)}
	}
	for _, s := range []stretch{hours(0, 1), hours(2, 3), hours(1, 2), hours(5, 6), hours(4, 7), hours(9, 9)} {
		l.mark(event.Gap, "backfill", s, "why", epoch)
	}
	if got := marked(l, event.Gap); len(l.Marks()) != 2 || !same(got, stretches{hours(0, 3), hours(4, 7)}) {
		t.Errorf("marks %v", got)
	}
	l.mark(event.Gap, "backfill", hours(3, 4), "another reason", epoch)
	if len(l.Marks()) != 3 {
		t.Errorf("marks of different reasons are one: %+v", l.Marks())
	}
	l.mark(event.Uncovered, "reread/30m0s", hours(2000, 2001), "", epoch.Add(2000*time.Hour))
	if len(l.Marks()) != 1 {
		t.Errorf("marks of months ago are still there: %+v", l.Marks())
	}
	for i := range 2 * mostMarks {
		l.mark(event.Uncovered, "reread/2h0m0s", hours(2*i, 2*i+1), "", epoch)
	}
	if len(l.Marks()) > mostMarks {
		t.Errorf("%d marks", len(l.Marks()))
	}
	left := marked(l, event.Uncovered)
	for i := range 2 * mostMarks {
		if len(left.outside(hours(2*i, 2*i+1))) > 0 {
			t.Fatalf("hour %d is not marked any more", 2*i)
		}
	}
}

// TestMarksSayWhenTheyGrew: what is said again of what is known is no news.
func TestMarksSayWhenTheyGrew(t *testing.T) {
	l := New("audits", config(0), epoch, nil, nil, time.Time{})
	for i, c := range []struct{ from, to, at int }{{10, 20, 0}, {12, 18, 0}, {10, 20, 0}, {20, 25, 3}, {11, 25, 3}, {5, 10, 5}} {
		l.mark(event.Gap, "hole", stretch{epoch.Add(time.Duration(c.from) * time.Minute), epoch.Add(time.Duration(c.to) * time.Minute)}, "why", epoch.Add(time.Duration(i)*time.Hour))
		if all := l.Marks(); len(all) != 1 || !all[0].At.Equal(epoch.Add(time.Duration(c.at)*time.Hour)) {
			t.Errorf("after %d: %+v", i, all)
		}
	}
}

// TestDoubtOutlivesARestart: the reader that it began with may be at its end long before the last one has gone by.
func TestDoubtOutlivesARestart(t *testing.T) {
	s := state{cursors: map[string]event.Cursor{}}
	save := func(l *Line) {
		m, _ := l.Unsaved()
		s.move(m)
	}
	l := New("audits", config(5*time.Hour), epoch, nil, nil, time.Time{})
	save(l)
	l.Repair(epoch.Add(-2*time.Hour), epoch.Add(-time.Hour), epoch)
	save(l)
	for l.find(Recovery+"/1772359200") != nil {
		s.move(apply(l, next(t, l, epoch, Recovery), epoch).Moves)
	}
	save(l)
	var cursors []event.Cursor
	for _, c := range s.cursors {
		cursors = append(cursors, c)
	}
	l = New("audits", config(5*time.Hour), epoch, cursors, s.marks, time.Time{})
	if !l.Doubtful(epoch.Add(-90*time.Minute)) || l.Doubtful(epoch.Add(-3*time.Hour)) {
		t.Errorf("after a restart the doubts are %v", l.doubts)
	}
	now := epoch
	for ; now.Before(epoch.Add(80 * time.Hour)); now = now.Add(time.Minute) {
		for {
			job, ok := take(l, now)
			if !ok {
				break
			}
			apply(l, job, now)
			l.Unsaved()
		}
	}
	if len(l.doubts)+len(marked(l, event.Doubt)) > 0 {
		t.Errorf("doubts %v, marks %+v after all have gone by", l.doubts, l.Marks())
	}
}
