package store

import (
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// choice draws a filter, and what it should choose.
func (w *world) choice(states ...event.LetterState) (event.LetterFilter, func(*event.DeadLetter) bool) {
	f := event.LetterFilter{States: states}
	if w.r.IntN(2) == 0 {
		f.Sink = []string{"one", "two"}[w.r.IntN(2)]
	}
	if w.r.IntN(3) == 0 {
		f.Stream = []string{keyA.Stream, keyB.String(), "sign*"}[w.r.IntN(3)]
	}
	if w.r.IntN(3) == 0 {
		f.From = noon.Add(time.Duration(w.r.IntN(700)) * time.Second)
		f.To = f.From.Add(time.Duration(w.r.IntN(700)) * time.Second)
	}
	if w.r.IntN(4) == 0 {
		f.Reason = []string{"REFUS", "again", "breaker"}[w.r.IntN(3)]
	}
	for range w.r.IntN(4) * w.r.IntN(2) {
		f.IDs = append(f.IDs, 1+uint64(w.r.IntN(int(w.highest)+2)))
	}
	return f, func(l *event.DeadLetter) bool { return chosen(f, l) }
}

// chosen is what a filter means, in the plainest words.
func chosen(f event.LetterFilter, l *event.DeadLetter) bool {
	in := len(f.IDs) == 0
	for _, id := range f.IDs {
		in = in || id == l.ID
	}
	state := false
	for _, s := range f.States {
		state = state || s == l.State
	}
	stream := f.Stream == "" || f.Stream == l.Record.Key.Stream || f.Stream == l.Record.Key.String() || f.Stream == "sign*" && l.Record.Key.Family() == "signins"
	reason := map[string]string{"refused": "REFUS", "refused again": "REFUS again", "breaker": "breaker"}[l.Reason]
	return in && state && stream && (f.Sink == "" || f.Sink == l.Sink) && (f.Reason == "" || strings.Contains(reason, f.Reason)) &&
		(f.From.IsZero() || !l.Record.Time.Before(f.From) && l.Record.Time.Before(f.To))
}

func (w *world) give() {
	f, chooses := w.choice(event.Dead)
	again := func(l *event.DeadLetter) {
		total := w.settled[l.Sink][l.Record.Key]
		total.Dead--
		w.settled[l.Sink][l.Record.Key] = total
		l.State = event.Returning
	}
	w.changed(chooses, again, func() (int, error) { return w.s.Return(bg, f) })
}

func (w *world) drop() {
	states := []event.LetterState{event.Dead}
	if w.r.IntN(2) == 0 {
		states = []event.LetterState{event.Parked, event.Returning}
	}
	f, chooses := w.choice(states...)
	w.changed(chooses, func(l *event.DeadLetter) { w.settles(l, event.SinkCounts{Dropped: 1}) }, func() (int, error) { return w.s.Drop(bg, f) })
}

func (w *world) unpark() {
	is := func(l *event.DeadLetter) bool {
		return l.Sink == "one" && l.Record.Key == keyA && l.State == event.Parked
	}
	w.changed(is, func(l *event.DeadLetter) { l.State = event.Returning }, func() (int, error) { return w.s.Unpark(bg, "one", keyA) })
}

// changed compares the number, and does to the model what was done.
func (w *world) changed(is func(*event.DeadLetter) bool, do func(*event.DeadLetter), call func() (int, error)) {
	w.t.Helper()
	n, err := call()
	want := 0
	for _, l := range w.letters {
		if is(l) {
			do(l)
			want++
		}
	}
	if n != want || err != nil {
		w.t.Fatalf("%d letters are changed, want %d, %v", n, want, err)
	}
}

// settles ends a dead, parked or returning letter.
func (w *world) settles(l *event.DeadLetter, c event.SinkCounts) {
	total := w.settled[l.Sink][l.Record.Key]
	if l.State == event.Dead {
		total.Dead--
	}
	total.Add(c)
	w.settled[l.Sink][l.Record.Key] = total
	delete(w.letters, l.ID)
}

func (w *world) settle() {
	sink := []string{"one", "two"}[w.r.IntN(2)]
	all, err := w.s.Letters(event.LetterFilter{Sink: sink, States: []event.LetterState{event.Returning, event.Parked}}, w.r.IntN(20))
	if err != nil {
		w.t.Fatal(err)
	}
	verdicts := []event.Settled{{ID: w.highest + 1, Counts: event.SinkCounts{Delivered: 1}}}
	for _, l := range all {
		v, kept := event.Settled{ID: l.ID, Counts: event.SinkCounts{Delivered: 1}}, w.letters[l.ID]
		if w.r.IntN(3) == 0 {
			v.Counts, v.Again = event.SinkCounts{Dead: 1}, &event.DeadLetter{At: noon, Reason: "refused again"}
			total := w.settled[sink][kept.Record.Key]
			total.Dead++
			w.settled[sink][kept.Record.Key] = total
			kept.State, kept.Reason = event.Dead, "refused again"
		} else {
			w.settles(kept, v.Counts)
		}
		verdicts = append(verdicts, v)
	}
	if err := w.s.Settle(bg, sink, verdicts); err != nil {
		w.t.Fatal(err)
	}
}

func lettersIDs(all []event.DeadLetter) (ids []uint64) {
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	return ids
}
