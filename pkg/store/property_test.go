package store

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

var runs = flag.Int("runs", 200, "runs of the property test")

// world is the model of a store: what was journalled and what each lane has settled.
type world struct {
	t       *testing.T
	r       *rand.Rand
	dir     string
	s       *Store
	batches map[uint64]*event.Batch
	rows    map[event.StreamKey]event.PageCounts
	version map[string]event.Digest
	settled map[string]map[event.StreamKey]event.SinkCounts
	joined  map[string]map[event.StreamKey]uint64
	pos     map[string]event.Position
	letters map[uint64]*event.DeadLetter // as they should be kept
	highest uint64                       // id of a letter
	next    uint64
}

func TestLedgerAddsUp(t *testing.T) {
	for seed := range uint64(*runs) {
		w := &world{
			t: t, r: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), batches: map[uint64]*event.Batch{}, next: 1,
			rows: map[event.StreamKey]event.PageCounts{}, version: map[string]event.Digest{}, letters: map[uint64]*event.DeadLetter{},
			settled: map[string]map[event.StreamKey]event.SinkCounts{}, joined: map[string]map[event.StreamKey]uint64{},
			pos: map[string]event.Position{},
		}
		w.open("one", "two")
		for range 40 {
			switch n := w.r.IntN(26); {
			case n < 9:
				w.page()
			case n < 17:
				w.step()
			case n == 17:
				w.s.Close()
				w.open(slices.Sorted(maps.Keys(w.pos))...)
			case n == 18:
				w.damage()
			case n == 19:
				w.give()
			case n < 22:
				w.drop()
			case n == 22:
				w.unpark()
			case n < 25:
				w.settle()
			default:
				w.open("one", "two", "three")
			}
			w.compare(seed)
		}
		if err := w.s.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w.s.Close()
		if t.Failed() {
			return
		}
	}
}

func (w *world) open(sinks ...string) {
	if w.s == nil || w.s.Close() == nil {
		w.s = open(w.t, w.dir, fastOptions())
	}
	if err := w.s.Lanes(sinks, nil, nil); err != nil {
		w.t.Fatal(err)
	}
	for _, sink := range sinks {
		if _, ok := w.pos[sink]; !ok {
			w.pos[sink] = event.Position{Seq: w.next}
			w.settled[sink], w.joined[sink] = map[event.StreamKey]event.SinkCounts{}, map[event.StreamKey]uint64{}
		}
	}
}

func (w *world) page() {
	key := []event.StreamKey{keyA, keyB}[w.r.IntN(2)]
	c := page(key)
	c.Outside, c.DropUpdates = w.r.IntN(3), w.r.IntN(4) == 0
	c.Cursors = []event.Cursor{{Reader: "live", Pos: noon.Add(time.Duration(w.r.IntN(1000)) * time.Second)}}
	want := event.PageCounts{Outside: uint64(c.Outside), Rows: uint64(c.Outside)}
	switch w.r.IntN(8) {
	case 0:
		c.Force, c.Slice.Reader = true, "resend/one"
	case 1:
		c.Force, c.Slice.Reader = true, "verify"
	}
	for range w.r.IntN(30) {
		id, digest := w.r.IntN(200), event.Digest(w.r.IntN(3))
		name := fmt.Sprint(key.Stream, id)
		c.Records = append(c.Records, rec(name, noon.Add(time.Duration(id)*7*time.Second), digest))
		was, known := w.version[name]
		if !c.Force {
			w.version[name] = digest
		}
		want.Rows++
		switch {
		case c.Force && c.Slice.Reader == "verify":
			want.New++
		case c.Force:
			want.Resent++
		case !known:
			want.New++
		case was == digest:
			want.Seen++
		case c.DropUpdates:
			want.Suppressed++
		default:
			want.Updated++
		}
	}
	res := mustAppend(w.t, w.s, c)
	if res.PageCounts != want {
		w.t.Fatalf("page gives %+v, want %+v", res.PageCounts, want)
	}
	total := w.rows[key]
	total.Add(want)
	w.rows[key] = total
	if res.Batch != nil {
		w.batches[res.Batch.Seq] = res.Batch
		w.next = res.Batch.Seq + 1
		for sink := range w.pos {
			w.joined[sink][key] += uint64(len(res.Batch.Records))
		}
	}
}

func (w *world) step() {
	sinks := slices.Sorted(maps.Keys(w.pos))
	sink := sinks[w.r.IntN(len(sinks))]
	step := event.LaneStep{Sink: sink, Counts: map[event.StreamKey]event.SinkCounts{}}
	at := w.pos[sink]
	for range w.r.IntN(60) {
		b := w.batches[at.Seq]
		if b == nil && at.Seq < w.next {
			at = event.Position{Seq: at.Seq + 1}
			continue
		}
		if b == nil {
			break
		}
		c := step.Counts[b.Key]
		switch w.r.IntN(5) {
		case 0:
			c.Dead++
			step.Dead = append(step.Dead, event.DeadLetter{At: noon, Reason: "refused", Record: b.Records[at.Index]})
		case 1:
			step.Parked = append(step.Parked, event.DeadLetter{At: noon, Reason: "breaker", Record: b.Records[at.Index]})
		case 2:
			c.Filtered++
		default:
			c.Delivered++
		}
		step.Counts[b.Key] = c
		if at.Index++; at.Index == len(b.Records) {
			at = event.Position{Seq: at.Seq + 1}
		}
	}
	step.To = at
	if err := w.s.Step(bg, step); err != nil {
		w.t.Fatal(err)
	}
	w.pos[sink] = at
	for state, letters := range [][]event.DeadLetter{event.Dead: step.Dead, event.Parked: step.Parked} {
		for _, l := range letters {
			w.highest++
			l.ID, l.Sink, l.State = w.highest, sink, event.LetterState(state)
			w.letters[l.ID] = &l
		}
	}
	for key, c := range step.Counts {
		total := w.settled[sink][key]
		total.Add(c)
		w.settled[sink][key] = total
	}
}

func (w *world) damage() {
	b, err := w.s.Read(w.next - uint64(w.r.IntN(4)))
	if err != nil {
		w.t.Fatal(err)
	}
	if b == nil {
		return
	}
	if _, err := w.s.Damaged(b.Seq); err != nil {
		w.t.Fatal(err)
	}
	delete(w.batches, b.Seq)
	for sink, pos := range w.pos {
		e := entry{seq: b.Seq, records: uint32(len(b.Records))}
		c := w.settled[sink][b.Key]
		c.Skipped += e.rest(pos)
		w.settled[sink][b.Key] = c
		if pos.Seq == b.Seq {
			w.pos[sink] = event.Position{Seq: b.Seq + 1}
		}
	}
	first, last := minuteOf(b.Records[0].Time), minuteOf(b.Records[len(b.Records)-1].Time)
	for id := range 200 {
		if m := minuteOf(noon.Add(time.Duration(id) * 7 * time.Second)); m >= first && m <= last {
			delete(w.version, fmt.Sprint(b.Key.Stream, id))
		}
	}
}

func (w *world) compare(seed uint64) {
	w.t.Helper()
	ledger := w.s.Ledger()
	for key, want := range w.rows {
		if got := ledger[key].PageCounts; got != want {
			w.t.Fatalf("seed %d: %s has %+v, want %+v", seed, key, got, want)
		}
		for sink := range w.pos {
			got, settled := ledger[key].Sinks[sink], w.settled[sink][key]
			var pending uint64
			for _, b := range w.batches {
				if b.Key == key {
					e := entry{seq: b.Seq, records: uint32(len(b.Records))}
					pending += e.rest(w.pos[sink])
				}
			}
			for _, l := range w.letters {
				if l.Sink == sink && l.Record.Key == key && l.State != event.Dead {
					pending++
				}
			}
			if got.SinkCounts != settled || got.Pending != pending || got.Joined != w.joined[sink][key] || got.Joined != got.Settled()+got.Pending {
				w.t.Fatalf("seed %d: %s at %s has %+v, want %+v, %d pending of %d", seed, key, sink, got, settled, pending, w.joined[sink][key])
			}
		}
	}
	for _, l := range w.s.LaneStates() {
		want := event.LaneState{Sink: l.Sink}
		for _, kept := range w.letters {
			switch {
			case kept.Sink != l.Sink:
			case kept.State == event.Dead:
				want.Dead++
			case kept.State == event.Returning:
				want.Returning++
			default:
				if want.Parked == nil {
					want.Parked = map[event.StreamKey]uint64{}
				}
				want.Parked[kept.Record.Key]++
			}
		}
		if l.Dead != want.Dead || l.Returning != want.Returning || !maps.Equal(l.Parked, want.Parked) {
			w.t.Fatalf("seed %d: lane %+v, want %+v", seed, l, want)
		}
		var ids []uint64
		for _, id := range slices.Sorted(maps.Keys(w.letters)) {
			if kept := w.letters[id]; kept.Sink == l.Sink && kept.State == event.Returning {
				ids = append(ids, id)
			}
		}
		got, err := w.s.Letters(event.LetterFilter{Sink: l.Sink, States: []event.LetterState{event.Returning}}, 3)
		if err != nil || !slices.Equal(lettersIDs(got), ids[:min(3, len(ids))]) {
			w.t.Fatalf("seed %d: %s returns %v, want the first of %v, %v", seed, l.Sink, lettersIDs(got), ids, err)
		}
	}
}
