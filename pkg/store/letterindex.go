package store

import (
	"maps"
	"math"
	"slices"

	"github.com/logferry/logferry/pkg/event"
)

// letterIndex holds the ids of one lane's letters that are parked or returning, so that the oldest are found without a look at
// all the dead ones. The store's lock guards it, and it changes only once a transaction is committed: a letter that it names
// may be gone from the file already.
type letterIndex struct{ sets map[letterKind]*idSet }

func newLetterIndex() *letterIndex { return &letterIndex{map[letterKind]*idSet{}} }

type letterKind struct {
	state event.LetterState
	key   event.StreamKey
}

// after gives the n lowest ids above last of the kinds that are wanted.
func (x *letterIndex) after(last uint64, n int, wanted func(letterKind) bool) []uint64 {
	var ids []uint64
	for kind, set := range x.sets {
		if wanted(kind) {
			ids = append(ids, set.after(last, n)...)
		}
	}
	slices.Sort(ids)
	return ids[:min(n, len(ids))]
}

// change takes ids in, or out; low is the minute of the oldest of the records that come in.
func (x *letterIndex) change(kind letterKind, in bool, low uint32, ids []uint64) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	set := x.sets[kind]
	if set == nil {
		set = &idSet{low: math.MaxUint32}
		x.sets[kind] = set
	}
	if in {
		set.low = min(set.low, low)
		set.add(ids)
	} else {
		set.remove(ids)
	}
	if len(set.ids) == 0 {
		delete(x.sets, kind)
	}
}

func (x *letterIndex) equal(o *letterIndex) bool {
	return maps.EqualFunc(x.sets, o.sets, func(a, b *idSet) bool { return slices.Equal(a.ids, b.ids) })
}

// count adds the letters that are parked or returning to the lane's state.
func (l *lane) count(state *event.LaneState) {
	for kind, set := range l.index.sets {
		n := uint64(len(set.ids))
		state.Pending += n
		if kind.state == event.Returning {
			state.Returning += n
			continue
		}
		if state.Parked == nil {
			state.Parked = map[event.StreamKey]uint64{}
		}
		state.Parked[kind.key] = n
	}
}

// idSet is a set of ascending ids. What is usual is cheap: to add behind the last, and to remove the first.
type idSet struct {
	ids []uint64
	low uint32 // no record is of a minute before this one; it may be older than all of them
}

func (s *idSet) after(last uint64, n int) []uint64 {
	at, found := slices.BinarySearch(s.ids, last)
	if found {
		at++
	}
	return s.ids[at:min(at+n, len(s.ids))]
}

// add takes ascending ids, none of them twice.
func (s *idSet) add(ids []uint64) {
	at, _ := slices.BinarySearch(s.ids, ids[0])
	behind := slices.Clone(s.ids[at:])
	s.ids = s.ids[:at]
	for _, id := range ids {
		for len(behind) > 0 && behind[0] < id {
			s.ids, behind = append(s.ids, behind[0]), behind[1:]
		}
		if len(behind) > 0 && behind[0] == id {
			behind = behind[1:]
		}
		s.ids = append(s.ids, id)
	}
	s.ids = append(s.ids, behind...)
}

// remove takes ascending ids, whether they are there or not.
func (s *idSet) remove(ids []uint64) {
	from, _ := slices.BinarySearch(s.ids, ids[0])
	to, found := slices.BinarySearch(s.ids, ids[len(ids)-1])
	if found {
		to++
	}
	kept := s.ids[from:from]
	for _, id := range s.ids[from:to] {
		for len(ids) > 0 && ids[0] < id {
			ids = ids[1:]
		}
		if len(ids) == 0 || ids[0] != id {
			kept = append(kept, id)
		}
	}
	if from > len(s.ids)-to {
		s.ids = append(s.ids[:from+len(kept)], s.ids[to:]...)
		return
	}
	// What lies in front is the shorter part: it moves.
	gone := to - from - len(kept)
	copy(s.ids[from+gone:to], kept)
	copy(s.ids[gone:], s.ids[:from])
	s.ids = s.ids[gone:]
}

// indexRun is what a transaction will change in one set of a lane's index: ids that all come, or all go.
type indexRun struct {
	index *letterIndex
	kind  letterKind
	in    bool
	low   uint32
	ids   []uint64
}

// reindex notes that a letter comes into a state or leaves it.
func (t *txn) reindex(index *letterIndex, l *event.DeadLetter, in bool) {
	if l.State == event.Dead {
		return
	}
	kind, low := letterKind{l.State, l.Record.Key}, minuteOf(l.Record.Time)
	for i := len(t.runs) - 1; i >= 0; i-- { // as a rule there are one or two
		if r := &t.runs[i]; r.index == index && r.kind == kind {
			if r.in == in {
				r.low, r.ids = min(r.low, low), append(r.ids, l.ID)
				return
			}
			break
		}
	}
	t.runs = append(t.runs, indexRun{index, kind, in, low, []uint64{l.ID}})
}
