package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/logferry/logferry/pkg/event"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Lanes makes the lanes those of names. A new one starts at the end: at what is read from now on. was maps a new name to the
// one that its lane had before. A lane that is not named is removed; while it has pending records (parked ones are) or dead
// letters only if it is in forget, else the error is an *AbandonedError and nothing was changed.
func (s *Store) Lanes(names []string, was map[string]string, forget []string) error {
	err := s.do(context.Background(), &request{durable: true, apply: func(t *txn) error {
		return t.setLanes(names, was, forget)
	}})
	if err != nil {
		return fmt.Errorf("set lanes: %w", err)
	}
	return nil
}

func (t *txn) setLanes(names []string, was map[string]string, forget []string) error {
	have := t.sinks()
	renamed := map[string]string{} // old -> new
	for _, name := range names {
		if name == "" {
			return errors.New("a sink has no name")
		}
		old := was[name]
		if old == "" || slices.Contains(have, name) || !slices.Contains(have, old) || slices.Contains(names, old) {
			continue
		}
		if other, ok := renamed[old]; ok {
			return fmt.Errorf("sinks %s and %s both were %s", other, name, old)
		}
		renamed[old] = name
	}
	var gone []string
	for _, old := range have {
		if slices.Contains(names, old) || renamed[old] != "" {
			continue
		}
		if err := t.abandoned(old); err != nil && !slices.Contains(forget, old) {
			return err
		}
		gone = append(gone, old)
	}
	for _, old := range sorted(renamed) {
		t.lanes[renamed[old]] = t.lane(old)
		t.removeLane(old, renamed[old])
	}
	for _, old := range gone {
		t.removeLane(old, "")
	}
	for _, name := range names {
		if t.lane(name) == nil {
			t.lanes[name] = &lane{pos: event.Position{Seq: t.nextSeq}, skipped: map[event.StreamKey]uint64{}, index: newLetterIndex()}
		}
	}
	return nil
}

func (t *txn) abandoned(sink string) error {
	l := t.lane(sink)
	e := &AbandonedError{Sink: sink, Dead: l.dead}
	for _, st := range t.allStreams() {
		c := st.sink(sink)
		e.Pending += c.parked + c.returning
	}
	t.entries(l.pos.Seq, func(b *entry) bool { e.Pending += b.rest(l.pos); return true })
	if e.Pending == 0 && e.Dead == 0 {
		return nil
	}
	return e
}

// allStreams gives clones of all streams: for the rare changes that touch each.
func (t *txn) allStreams() []*stream {
	for key := range t.s.streams {
		t.stream(key)
	}
	return slices.Collect(maps.Values(t.streams))
}

// removeLane takes a lane out, or moves its counts and dead letters to the name to.
func (t *txn) removeLane(sink, to string) {
	for _, st := range t.allStreams() {
		if c := *st.sink(sink); to != "" {
			c.sink = to
			*st.sink(to) = c
		}
		st.dropSink(sink)
		st.renameMarks(sink, to)
	}
	if err := t.renameDead(sink, to); err != nil {
		panic(err)
	}
	t.lanes[sink] = nil
}

// Step moves a lane: its place, what became of the records between and the letters are one transaction. The counts and the
// parked letters must be those of the records that are passed, else the error is a *StepError; where the letters would outgrow
// their limit it is a *LettersFullError. Nothing was changed then. A verdict on records that were skipped meanwhile (SkipOldest,
// Damaged) takes them back from there. It returns when the step is durable.
func (s *Store) Step(ctx context.Context, step event.LaneStep) error {
	size := 0
	for _, letters := range [][]event.DeadLetter{step.Dead, step.Parked} {
		for i := range letters {
			size += len(letters[i].Record.Raw)
		}
	}
	err := s.do(ctx, &request{point: "step", size: size, durable: true, apply: func(t *txn) error { return t.step(&step) }})
	if err != nil {
		return fmt.Errorf("step of lane %s: %w", step.Sink, err)
	}
	return nil
}

func (t *txn) step(step *event.LaneStep) error {
	l := t.lane(step.Sink)
	if l == nil {
		return ErrUnknownSink
	}
	to, err := t.normal(step.To)
	if err != nil {
		return err
	}
	passed := t.between(l.pos, to)
	told, err := t.adds(step, l, passed)
	if err != nil {
		return err
	}
	letters, err := t.lettersOf(step, l)
	if err != nil {
		return err
	}
	for key, n := range told {
		c, counts := t.stream(key).sink(step.Sink), step.Counts[key]
		if late := n - passed[key]; late > 0 {
			l.skipped[key] -= late
			c.counts.Skipped -= late
		}
		counts.Dead = 0 // the letters themselves are counted
		c.counts.Add(counts)
	}
	if l.pos.Less(to) {
		l.pos = to
	}
	for i := range letters {
		if err := t.keep(&letters[i].deadHead, letters[i].raw); err != nil {
			panic(err)
		}
	}
	return nil
}

// lettersOf makes those of a step, if there is room for them. One step is taken whatever its letters' size when nothing else is
// kept, or a lane whose letters are larger than the limit would stand still for ever.
func (t *txn) lettersOf(step *event.LaneStep, l *lane) (all []letter, err error) {
	size := int64(0)
	for i := range step.Dead {
		all = append(all, t.letter(step.Dead[i], step.Sink, event.Dead))
	}
	for i := range step.Parked {
		all = append(all, t.letter(step.Parked[i], step.Sink, event.Parked))
	}
	for i := range all {
		size += all[i].stored()
	}
	if most := t.s.o.LettersMaxBytes; size > 0 && l.letters > 0 && l.letters+size > most {
		return nil, &LettersFullError{Sink: step.Sink, Bytes: l.letters + size, Limit: most}
	}
	return all, nil
}

// adds checks that the step's counts and letters are those of the records passed. It gives how many records of each stream the
// step speaks of.
func (t *txn) adds(step *event.LaneStep, l *lane, passed map[event.StreamKey]uint64) (map[event.StreamKey]uint64, error) {
	dead, told := map[event.StreamKey]uint64{}, map[event.StreamKey]uint64{}
	for i := range step.Dead {
		dead[step.Dead[i].Record.Key]++
	}
	for i := range step.Parked {
		told[step.Parked[i].Record.Key]++
	}
	for key, counts := range step.Counts {
		told[key] += counts.Settled()
		if counts.Dead != dead[key] {
			return nil, fmt.Errorf("step counts %d dead records of %s but brings %d", counts.Dead, key, dead[key])
		}
		delete(dead, key)
	}
	for key := range dead {
		return nil, fmt.Errorf("step brings dead records of %s but counts none", key)
	}
	for key, n := range passed {
		if told[key] < n {
			return nil, &StepError{Sink: step.Sink, Key: key, Passed: n, Settled: told[key]}
		}
	}
	for key, n := range told {
		if n > passed[key]+l.skipped[key] || t.s.streams[key] == nil {
			return nil, &StepError{Sink: step.Sink, Key: key, Passed: passed[key], Settled: n}
		}
	}
	return told, nil
}

// normal gives the form of a place in which Index lies inside of its batch.
func (t *txn) normal(p event.Position) (event.Position, error) {
	end := event.Position{Seq: t.nextSeq}
	if p.Index < 0 || end.Less(p) {
		return p, fmt.Errorf("place %d/%d lies outside of the journal, which ends before %d", p.Seq, p.Index, t.nextSeq)
	}
	if p.Index == 0 {
		return p, nil
	}
	next := event.Position{Seq: p.Seq + 1}
	t.entries(p.Seq, func(e *entry) bool {
		if e.seq == p.Seq && p.Index < int(e.records) {
			next = p
		}
		return false
	})
	return next, nil
}

// between counts the records from one place up to another, by stream.
func (t *txn) between(a, b event.Position) map[event.StreamKey]uint64 {
	n := map[event.StreamKey]uint64{}
	t.entries(a.Seq, func(e *entry) bool {
		if e.seq > b.Seq {
			return false
		}
		if passed := e.rest(a) - min(e.rest(a), e.rest(b)); passed > 0 {
			n[t.keyOf(e)] += passed
		}
		return true
	})
	return n
}

func (t *txn) keyOf(e *entry) event.StreamKey {
	if int(e.stream) < len(t.s.numbered) {
		return t.s.numbered[e.stream].key
	}
	return t.numbered(e.stream).key
}

func (t *txn) skip(sink string, l *lane, n map[event.StreamKey]uint64) {
	for key, n := range n {
		t.stream(key).sink(sink).counts.Skipped += n
		l.skipped[key] += n
	}
}
