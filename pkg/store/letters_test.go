package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// stepOf passes a batch whose records are all dead, or all parked.
func stepOf(t testing.TB, s *Store, sink string, seq uint64, state event.LetterState) event.LaneStep {
	t.Helper()
	b, err := s.Read(seq)
	if err != nil || b == nil {
		t.Fatal(b, err)
	}
	step := event.LaneStep{Sink: sink, To: event.Position{Seq: seq + 1}, Counts: map[event.StreamKey]event.SinkCounts{}}
	for i, r := range b.Records {
		l := event.DeadLetter{At: noon, Reason: fmt.Sprintf("Refused, %d", i), Reply: strings.Repeat("é", 2000), Attempts: 3, Record: r}
		if state == event.Parked {
			step.Parked = append(step.Parked, l)
			continue
		}
		step.Dead = append(step.Dead, l)
	}
	if n := uint64(len(step.Dead)); n > 0 {
		step.Counts[b.Key] = event.SinkCounts{Dead: n}
	}
	return step
}

func mustStep(t testing.TB, s *Store, step event.LaneStep) {
	t.Helper()
	if err := s.Step(bg, step); err != nil {
		t.Fatal(err)
	}
}

// stand is what there is of a stream at a sink in short: dead, parked, returning, pending, then delivered, dropped.
func stand(s *Store, sink string, key event.StreamKey) string {
	for _, l := range s.LaneStates() {
		if l.Sink == sink {
			c := s.Ledger()[key].Sinks[sink]
			return fmt.Sprintf("%d dead %d parked %d returning, %d pending %d delivered %d dropped", l.Dead, l.Parked[key], l.Returning, c.Pending, c.Delivered, c.Dropped)
		}
	}
	return "no lane"
}

func states(s ...event.LetterState) event.LetterFilter { return event.LetterFilter{States: s} }

// TestLetters takes letters through all their states, and opens the file anew after each change.
func TestLetters(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one", "other"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, names := range []string{"abcd", "ef"} {
		c := page(keyA)
		for i, r := range names {
			c.Records = append(c.Records, rec(string(r), noon.Add(time.Duration(i)*time.Second), 1))
		}
		mustAppend(t, s, c)
	}
	sink := "one"
	change := func(name, want string, do func() (int, error), n int) {
		t.Helper()
		if got, err := do(); got != n || err != nil {
			t.Fatalf("%s: %d letters, %v; want %d", name, got, err, n)
		}
		mustCheck(t, s)
		for range 2 {
			if got := stand(s, sink, keyA); got != want {
				t.Fatalf("%s: %s, want %s", name, got, want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, fastOptions())
		}
	}
	change("dead", "4 dead 0 parked 0 returning, 2 pending 0 delivered 0 dropped", func() (int, error) {
		return 4, s.Step(bg, stepOf(t, s, "one", 1, event.Dead))
	}, 4)
	change("parked", "4 dead 2 parked 0 returning, 2 pending 0 delivered 0 dropped", func() (int, error) {
		return 2, s.Step(bg, stepOf(t, s, "one", 2, event.Parked))
	}, 2)
	mustStep(t, s, stepOf(t, s, "other", 1, event.Dead)) // of which nothing must become anything
	if err := s.Lanes([]string{"other"}, nil, nil); err == nil || !strings.Contains(err.Error(), "2 pending records and 4 dead letters") {
		t.Fatalf("a sink with letters is forgotten: %v", err)
	}
	sink = "uno"
	change("renamed", "4 dead 2 parked 0 returning, 2 pending 0 delivered 0 dropped", func() (int, error) {
		return 0, s.Lanes([]string{"other", "uno"}, map[string]string{"uno": "one"}, nil)
	}, 0)
	change("drop by id", "3 dead 2 parked 0 returning, 2 pending 0 delivered 1 dropped", func() (int, error) {
		return s.Drop(bg, event.LetterFilter{Sink: "uno", IDs: []uint64{1, 1, 5, 99}}) // 5 is parked
	}, 1)
	change("replay", "1 dead 2 parked 2 returning, 4 pending 0 delivered 1 dropped", func() (int, error) {
		return s.Return(bg, event.LetterFilter{Sink: "uno", From: noon.Add(2 * time.Second)})
	}, 2)
	change("unpark", "1 dead 0 parked 4 returning, 4 pending 0 delivered 1 dropped", func() (int, error) { return s.Unpark(bg, "uno", keyA) }, 2)
	change("settle", "2 dead 0 parked 1 returning, 1 pending 2 delivered 1 dropped", func() (int, error) {
		return 0, s.Settle(bg, "uno", []event.Settled{
			{ID: 3, Counts: event.SinkCounts{Delivered: 1, Duplicates: 1}},
			{ID: 4, Counts: event.SinkCounts{Dead: 1}, Again: &event.DeadLetter{At: noon.Add(time.Hour), Reason: "still refused", Attempts: 4}},
			{ID: 5, Counts: event.SinkCounts{Delivered: 1}},
			{ID: 1, Counts: event.SinkCounts{Delivered: 1}}, // dropped meanwhile
			{ID: 2, Counts: event.SinkCounts{Delivered: 1}}, // dead
			{ID: 7, Counts: event.SinkCounts{Delivered: 1}}, // of another sink
		})
	}, 0)
	var again []event.DeadLetter
	for l, err := range s.AllLetters(event.LetterFilter{Sink: "uno", Reason: "STILL", Stream: "signins.*"}) {
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, l)
	}
	if len(again) != 1 || again[0].ID != 4 || again[0].Attempts != 4 || !again[0].At.Equal(noon.Add(time.Hour)) || again[0].Record.ID != "d" {
		t.Fatalf("dead again: %+v", again)
	}
	change("drop what returns", "2 dead 0 parked 0 returning, 0 pending 2 delivered 2 dropped", func() (int, error) {
		return s.Drop(bg, event.LetterFilter{Sink: "uno", States: []event.LetterState{event.Returning}})
	}, 1)
	change("forgotten", "no lane", func() (int, error) { return 0, s.Lanes([]string{"other"}, nil, []string{"uno"}) }, 0)
	if n, err := s.CountLetters(event.LetterFilter{}); n != 4 || err != nil {
		t.Errorf("%d letters are left, %v; want those of the other sink", n, err)
	}
	s.Close()
}

// TestLettersAreKeptAsSent: every part of a letter comes back, and a long reply is cut between two characters.
func TestLettersAreKeptAsSent(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	defer s.Close()
	appendPages(t, s, "a b")
	step := stepOf(t, s, "one", 1, event.Dead)
	mustStep(t, s, step)
	got, err := s.Letters(event.LetterFilter{}, 9)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	l, want := got[1], step.Dead[1]
	if len(l.Reply) != replyMost || l.Reply != want.Reply[:replyMost] || l.Reason != want.Reason || l.Attempts != 3 || !l.At.Equal(noon) || l.Sink != "one" || l.State != event.Dead {
		t.Errorf("letter %+v", l)
	}
	if r, w := l.Record, want.Record; string(r.Raw) != string(w.Raw) || r.ID != w.ID || r.Time != w.Time || r.Read != w.Read || r.Digest != w.Digest || r.Key != w.Key {
		t.Errorf("record %+v, want %+v", r, w)
	}
	if got := cutReply("a" + strings.Repeat("é", replyMost)); len(got) != replyMost-1 {
		t.Errorf("a reply is cut to %d bytes", len(got))
	}
}

// TestStateBytes: what earlier versions have written is read as it was meant, and theirs is what is written.
func TestStateBytes(t *testing.T) {
	for state, want := range map[event.LetterState]byte{event.Dead: 0, event.Returning: 1, event.Parked: 2} {
		h := deadHead{letter: event.DeadLetter{ID: 7, Sink: "one", State: state, Record: event.Record{Key: keyA}}}
		b := h.append(nil)
		back, _, err := decodeDead(seqKey(7), seal(seqKey(7), b))
		if b[4] != want || err != nil || back.letter.State != state {
			t.Errorf("%s is byte %d and comes back as %s, %v", state, b[4], back.letter.State, err)
		}
		b[4] = 3
		if _, _, err := decodeDead(seqKey(7), seal(seqKey(7), b[:len(b):len(b)])); err == nil {
			t.Error("state 3 is taken")
		}
	}
}

// TestParkedStep: parked records are passed, and are pending still.
func TestParkedStep(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	defer s.Close()
	appendPages(t, s, "a b c")
	step := stepOf(t, s, "one", 1, event.Parked)
	var bad *StepError
	short := step
	short.Parked = step.Parked[:2]
	if err := s.Step(bg, short); !errors.As(err, &bad) || bad.Passed != 3 || bad.Settled != 2 {
		t.Errorf("two of three: %v", err)
	}
	long := step
	long.Counts = delivered(1)
	if err := s.Step(bg, long); !errors.As(err, &bad) || bad.Settled != 4 {
		t.Errorf("four of three: %v", err)
	}
	step.Parked, step.Counts = step.Parked[1:], delivered(1)
	mustStep(t, s, step)
	if got, want := stand(s, "one", keyA), "0 dead 2 parked 0 returning, 2 pending 1 delivered 0 dropped"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	mustCheck(t, s)
	// A batch that was taken out meanwhile: what is parked late is taken back from what was skipped.
	appendPages(t, s, "d e")
	step = stepOf(t, s, "one", 2, event.Parked)
	if _, err := s.Damaged(2); err != nil {
		t.Fatal(err)
	}
	mustStep(t, s, step)
	if c := s.Ledger()[keyA].Sinks["one"]; c.Skipped != 0 || c.Pending != 4 {
		t.Errorf("late: %+v", c)
	}
	mustCheck(t, s)
}

// noise is text that does not compress.
func noise(seed byte) string {
	r := rand.New(rand.NewPCG(uint64(seed), 3))
	text := make([]byte, 1200)
	for i := range text {
		text[i] = byte('0' + r.IntN(75))
	}
	return strings.ReplaceAll(string(text), `\`, "")
}

// TestLettersFull: at the limit a step changes nothing; room comes by what is dropped or delivered. A verdict needs none, and one
// step is taken whatever its size where nothing else is kept.
func TestLettersFull(t *testing.T) {
	o := fastOptions()
	o.LettersMaxBytes = 1000
	s := withLanes(t, o, "one", "other")
	defer s.Close()
	for _, id := range []string{"a", "b", "c"} {
		r := rec(id, noon, 1)
		r.Raw = fmt.Appendf(nil, `{"id":%q,"x":%q}`, id, noise(id[0]))
		mustAppend(t, s, page(keyA, r))
	}
	letters := func() int64 { return s.LaneStates()[0].Letters }
	steps := map[uint64]event.LaneStep{}
	for seq := range uint64(3) {
		steps[seq+1] = stepOf(t, s, "one", seq+1, event.Dead)
	}
	mustStep(t, s, steps[1])
	if letters() <= o.LettersMaxBytes {
		t.Fatalf("a letter of %d bytes is to be above the limit", letters())
	}
	for range 2 {
		before := letters()
		err := s.Step(bg, steps[2])
		var full interface{ LettersFull() }
		var e *LettersFullError
		if !errors.As(err, &full) || !errors.As(err, &e) || e.Sink != "one" || e.Limit != 1000 || e.Bytes <= before {
			t.Fatalf("err is %v", err)
		}
		if got := stand(s, "one", keyA); got != "1 dead 0 parked 0 returning, 2 pending 0 delivered 0 dropped" || letters() != before || s.LaneStates()[0].Pos != steps[1].To {
			t.Fatalf("something was changed: %s", got)
		}
		mustCheck(t, s)
	}
	parked := stepOf(t, s, "one", 2, event.Parked)
	if err := s.Step(bg, parked); err == nil {
		t.Error("parked letters pass the limit")
	}
	mustStep(t, s, stepOf(t, s, "other", 1, event.Dead)) // each sink has a limit of its own
	if n, err := s.Return(bg, event.LetterFilter{Sink: "one"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	again := &event.DeadLetter{At: noon, Reason: strings.Repeat("much longer ", 50)}
	if err := s.Settle(bg, "one", []event.Settled{{ID: 1, Counts: event.SinkCounts{Dead: 1}, Again: again}}); err != nil {
		t.Errorf("a verdict was refused: %v", err)
	}
	if n, err := s.Drop(bg, event.LetterFilter{Sink: "one"}); n != 1 || err != nil || letters() != 0 {
		t.Fatal(n, err, letters())
	}
	mustStep(t, s, steps[2])
	mustCheck(t, s)
	// A step without letters is none of the limit's business.
	mustStep(t, s, event.LaneStep{Sink: "one", To: event.Position{Seq: 4}, Counts: delivered(1)})
}

// spoil changes a byte of a letter's record in the file.
func spoil(t *testing.T, s *Store, ids ...uint64) {
	t.Helper()
	err := s.do(bg, &request{durable: true, apply: func(t *txn) error {
		b := t.tx.Bucket(bucketDead)
		for _, id := range ids {
			v := slices.Clone(b.Get(seqKey(id)))
			v[len(v)-1] ^= 1
			if err := b.Put(seqKey(id), v); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedLetter: it is listed with its fault, cannot be sent again, can be dropped, and holds up no other.
func TestDamagedLetter(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	defer s.Close()
	appendPages(t, s, "a b c d", "e f")
	mustStep(t, s, stepOf(t, s, "one", 1, event.Dead))
	spoil(t, s, 2)
	listed, faulty := 0, uint64(0)
	for l, err := range s.AllLetters(event.LetterFilter{}) {
		listed++
		if err != nil {
			faulty = l.ID
		}
	}
	if listed != 4 || faulty != 2 {
		t.Errorf("%d letters, %d is faulty", listed, faulty)
	}
	var bad *DamagedLettersError
	if n, err := s.Return(bg, event.LetterFilter{}); n != 3 || !errors.As(err, &bad) || !slices.Equal(bad.IDs, []uint64{2}) {
		t.Errorf("%d, %v", n, err)
	}
	if got := stand(s, "one", keyA); got != "1 dead 0 parked 3 returning, 5 pending 0 delivered 0 dropped" {
		t.Error(got)
	}
	// What is damaged on its way is dead.
	spoil(t, s, 1, 4)
	all, err := s.Letters(event.LetterFilter{Sink: "one", States: []event.LetterState{event.Returning}}, 2)
	if err != nil || !slices.Equal(lettersIDs(all), []uint64{3}) {
		t.Errorf("returning: %v, %v", lettersIDs(all), err)
	}
	if got := stand(s, "one", keyA); got != "3 dead 0 parked 1 returning, 3 pending 0 delivered 0 dropped" {
		t.Error(got)
	}
	mustCheck(t, s)
	if n, err := s.CountLetters(event.LetterFilter{Reason: "the disk has changed"}); n != 2 || err != nil {
		t.Errorf("%d say so, %v", n, err)
	}
	if n, err := s.Drop(bg, event.LetterFilter{}); n != 3 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	mustCheck(t, s)
}
