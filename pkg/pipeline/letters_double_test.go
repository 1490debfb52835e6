package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/logferry/logferry/pkg/event"
)

type lettersFullError struct{}

func (lettersFullError) Error() string { return "its letters take 3 of 3" }
func (lettersFullError) LettersFull()  {}

// keep takes a step's letters, and checks its counts against the records that it passes. The mutex is held.
func (m *memory) keep(s event.LaneStep) {
	if m.sums == nil {
		m.sums = map[event.StreamKey]event.SinkCounts{}
	}
	passed := map[event.StreamKey]uint64{}
	for _, b := range m.batches {
		for i, r := range b.Records {
			at := event.Position{Seq: b.Seq, Index: i}
			if !at.Less(m.pos[s.Sink]) && at.Less(s.To) {
				passed[r.Key]++
			}
		}
	}
	for key, c := range s.Counts {
		sum := m.sums[key]
		sum.Add(c)
		m.sums[key] = sum
		passed[key] -= c.Settled()
	}
	for _, d := range s.Parked {
		passed[d.Record.Key]--
	}
	for key, n := range passed {
		if n != 0 {
			m.wrong = append(m.wrong, fmt.Sprintf("step to %+v: %d more records of %s passed than settled", s.To, int64(n), key))
		}
	}
	add := func(all []event.DeadLetter, state event.LetterState) {
		for _, d := range all {
			d.ID, d.State, d.Sink = uint64(len(m.letters)+1), state, s.Sink
			m.letters = append(m.letters, d)
		}
	}
	add(s.Dead, event.Dead)
	add(s.Parked, event.Parked)
}

const gone event.LetterState = 99 // settled or dropped

// kept counts the letters that take room. The mutex is held.
func (m *memory) kept() (n int) {
	for _, d := range m.letters {
		if d.State != gone {
			n++
		}
	}
	return n
}

func (m *memory) count(state *event.LaneState) {
	for _, d := range m.letters {
		switch {
		case d.Sink != state.Sink:
		case d.State == event.Dead:
			state.Dead++
		case d.State == event.Parked:
			state.Parked[d.Record.Key]++
			state.Pending++
		case d.State == event.Returning:
			state.Returning++
			state.Pending++
		}
	}
}

func (m *memory) Letters(f event.LetterFilter, n int) (found []event.DeadLetter, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.letters {
		if d.Sink == f.Sink && slices.Contains(f.States, d.State) && (f.Stream == "" || f.Stream == d.Record.Key.String()) && !d.Record.Time.Before(f.From) && len(found) < n {
			found = append(found, d)
		}
	}
	return found, nil
}

// turn changes the state of all letters of a sink that have one.
func (m *memory) turn(sink, stream string, from, to event.LetterState) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for i := range m.letters {
		if d := &m.letters[i]; (sink == "" || d.Sink == sink) && d.State == from && (stream == "" || d.Record.Key.String() == stream) {
			d.State = to
			n++
			if sum := m.sums[d.Record.Key]; from == event.Dead {
				sum.Dead--
				m.sums[d.Record.Key] = sum
			}
		}
	}
	return n
}

func (m *memory) Return(_ context.Context, f event.LetterFilter) (int, error) {
	return m.turn(f.Sink, f.Stream, event.Dead, event.Returning), nil
}

func (m *memory) Unpark(_ context.Context, sink string, key event.StreamKey) (int, error) {
	return m.turn(sink, key.String(), event.Parked, event.Returning), nil
}

func (m *memory) Settle(_ context.Context, sink string, verdicts []event.Settled) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range verdicts {
		d := &m.letters[v.ID-1]
		if d.Sink != sink || d.State != event.Parked && d.State != event.Returning || v.Counts.Settled() != 1 || (v.Again != nil) != (v.Counts.Dead == 1) {
			m.wrong = append(m.wrong, fmt.Sprintf("verdict %+v on letter %+v", v, d))
		}
		sum := m.sums[d.Record.Key]
		sum.Add(v.Counts)
		m.sums[d.Record.Key] = sum
		if d.State = gone; v.Again != nil {
			d.State, d.Reason = event.Dead, v.Again.Reason
		}
	}
	return nil
}

// states tells how many letters there are in each state.
func (m *memory) states() (dead, parked, returning int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.letters {
		switch d.State {
		case event.Dead:
			dead++
		case event.Parked:
			parked++
		case event.Returning:
			returning++
		}
	}
	return dead, parked, returning
}
