package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// TestFullOfParkedLetters: letters that fill their room are sent all the same once the sink takes them, whether a probe finds that out
// or an operator returns them. Nobody has to drop anything.
func TestFullOfParkedLetters(t *testing.T) {
	for _, inFlight := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory("x")
			m.most = 100
			for i := range 30 {
				m.put(10*i, 10)
			}
			sink := &crowd{limits: event.Limits{Events: 10, InFlight: inFlight}, reply: refusing(all)}
			p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
			pause(10 * time.Minute)
			faults := p.Status().Faults
			if !slices.ContainsFunc(faults, func(f Fault) bool { return strings.Contains(f.Err, "fill the room") }) {
				t.Errorf("faults %+v", faults)
			}
			if sent := len(sink.sends); sent < 10 || slices.ContainsFunc(sink.sends[max(0, sent-8):], func(ids []string) bool { return len(ids) != 1 }) {
				t.Errorf("one letter each minute is to be sent while there is no room: %q", sink.sends)
			}
			sink.set(nil)
			pause(time.Hour)
			if dead, parked, returning := m.states(); dead != breakerFirst || parked+returning != 0 || m.sums[audits].Delivered != 300-breakerFirst {
				t.Errorf("mended: %d dead, %d parked, %d returning, %+v, %+v", dead, parked, returning, m.sums, p.Status().Faults)
			}
			stop()
			if len(m.wrong) > 0 {
				t.Error(m.wrong)
			}
			for id, n := range sink.got {
				if n != 1 {
					t.Errorf("event %s was stored %d times", id, n)
				}
			}
		})
	}
}

// TestFullOfDeadLetters: what is returned leaves its room to what waits for it.
func TestFullOfDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.most = 3
		m.put(0, 5)
		m.put(5, 45)
		sink := &crowd{limits: event.Limits{Events: 5}, reply: refusing(func(id string) bool { return id < "3" && len(id) == 1 || id == "7" })}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(10 * time.Minute)
		if m.pos["x"] != (event.Position{Seq: 2}) {
			t.Fatalf("the lane stands at %+v", m.pos["x"])
		}
		sink.set(refusing(func(id string) bool { return id == "7" }))
		if n, err := p.Return(t.Context(), event.LetterFilter{Sink: "x"}); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		pause(time.Second)
		stop()
		if dead, _, returning := m.states(); dead != 1 || returning != 0 || m.sums[audits].Settled() != 50 || len(m.wrong) > 0 || len(p.Status().Faults) > 0 {
			t.Errorf("%d dead, %d returning, %+v, %q, %+v", dead, returning, m.sums[audits], m.wrong, p.Status().Faults)
		}
	})
}

// deaf is a Sink that finishes its Send whatever ends meanwhile.
type deaf struct{ *crowd }

func (d deaf) Send(_ context.Context, events []event.Event) error {
	return d.crowd.Send(context.Background(), events)
}

// TestLettersAreSavedInPortions, at a stop too, so that they fill their room nearly to the last byte.
func TestLettersAreSavedInPortions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		raw := []byte(`"` + strings.Repeat("x", 1<<17) + `"`)
		c := event.PageCommit{Key: audits}
		for i := range 20 {
			c.Records = append(c.Records, event.Record{Key: audits, ID: fmt.Sprint(i), Raw: raw})
		}
		c.Records[3].ID, c.Records[9].ID = "unmappable", "unmappable"
		m.Append(t.Context(), c)
		sink := &crowd{reply: refusing(all), delay: func([]string) time.Duration { return time.Second }}
		p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: deaf{sink}}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		p.lanes[0].run(ctx)
		if m.pos["x"] != (event.Position{Seq: 2}) || len(m.letters) != 20 || len(m.wrong) > 0 {
			t.Errorf("stopped at %+v with %d letters, %q", m.pos["x"], len(m.letters), m.wrong)
		}
		for _, s := range m.steps {
			if len(s.Dead)+len(s.Parked) > 2 {
				t.Errorf("a step of %d letters", len(s.Dead)+len(s.Parked))
			}
		}
	})
}

// TestBlockedBesideOthers: a letter, or an event, that only an operator can help does not keep the others from passing.
func TestBlockedBesideOthers(t *testing.T) {
	errIndex := fault.Block(errors.New("index_not_found"))
	for _, busy := range []error{errIndex, fault.After(time.Second, errDown)} {
		for _, inFlight := range []int{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("x")
				m.put(0, 10)
				sink := &crowd{limits: event.Limits{Events: 50, InFlight: inFlight}, reply: refusing(all)}
				p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
				pause(time.Second)
				sink.set(func(ids []string) error {
					if slices.Contains(ids, "4") {
						return busy
					}
					return nil
				})
				p.Return(t.Context(), event.LetterFilter{})
				blocked := false
				for i := range 400 {
					m.put(100+i, 1)
					p.ring.added.Broadcast()
					pause(10 * time.Second)
					if i > 300 {
						for _, f := range p.Status().Faults {
							blocked = blocked || f.Blocked
						}
					}
				}
				pause(time.Minute)
				if _, _, returning := m.states(); returning != 1 || m.sums[audits].Delivered < 300 { // a try of it may pause the rest
					t.Errorf("%v: %d returning, %+v", busy, returning, m.sums[audits])
				}
				if blocked != (fault.Of(busy) == fault.Blocked) {
					t.Errorf("%v: blocked %v in the status", busy, blocked)
				}
				sink.set(nil)
				pause(2 * time.Hour)
				stop()
				if m.sums[audits].Delivered != 410 || len(m.wrong) > 0 {
					t.Errorf("%+v, %q", m.sums[audits], m.wrong)
				}
			})
		}
	}
}

// TestSickWhenItsStreamIsParked: what fails alone is not named for ever when its stream's breaker opens at that moment.
func TestSickWhenItsStreamIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 300)
		sink := &crowd{limits: event.Limits{Events: 30, InFlight: 2}}
		refuse := refusing(all)
		sink.set(func(ids []string) error {
			if slices.Contains(ids, "5") {
				return errDown
			}
			return refuse(ids)
		})
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(5 * time.Minute)
		m.mu.Lock()
		for _, d := range m.letters {
			if d.Record.ID == "5" {
				t.Error("an event whose result is not known is parked")
			}
		}
		m.mu.Unlock()
		sink.set(nil)
		pause(time.Hour)
		if faults := p.Status().Faults; len(faults) > 0 {
			t.Errorf("faults %+v", faults)
		}
		stop()
		if sum := m.sums[audits]; sum.Settled() != 300 || sum.Delivered == 0 || len(m.wrong) > 0 {
			t.Errorf("%+v, %q", sum, m.wrong)
		}
	})
}

// TestParkedBehindBadOnes: however many of the oldest parked events are bad for ever, the stream goes on once the new ones are good.
func TestParkedBehindBadOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 200)
		sink := &crowd{limits: event.Limits{Events: 20}, reply: refusing(func(id string) bool { return len(id) < 4 })}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(2 * time.Hour)
		m.put(1000, 10)
		p.ring.added.Broadcast()
		pause(5 * time.Minute)
		stop()
		if dead, parked, returning := m.states(); dead != 200 || parked+returning != 0 || m.sums[audits].Delivered != 10 || len(m.wrong) > 0 {
			t.Errorf("%d dead, %d parked, %d returning, %+v, %q", dead, parked, returning, m.sums, m.wrong)
		}
	})
}

// wide is a journal of large batches, made as they are read.
type wide struct {
	*memory
	batches int
}

func (s wide) Read(seq uint64) (*event.Batch, error) {
	if seq > uint64(s.batches) {
		return nil, nil
	}
	const size = 1 << 20
	buf := make([]byte, size)
	b := &event.Batch{Seq: seq, Key: audits, Bytes: size}
	for i := range 16 {
		raw := buf[i*size/16 : (i+1)*size/16]
		copy(raw, fmt.Sprintf(`{"id":"%d"}`, i))
		b.Records = append(b.Records, event.Record{Key: audits, ID: fmt.Sprint(16*int(seq) + i), Raw: raw[:10:10]})
	}
	return b, nil
}

// TestRarelyKeptRecordsLetTheirBatchGo: a sink that gets one record of each batch does not hold all batches in memory.
func TestRarelyKeptRecordsLetTheirBatchGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wide{newMemory("x"), 200}
		sink := &crowd{delay: func([]string) time.Duration { return time.Hour }}
		keep := func(r *event.Record) bool { return strings.HasSuffix(r.ID, "6") }
		p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: sink, Keep: keep}}})
		if err != nil {
			t.Fatal(err)
		}
		go p.lanes[0].run(t.Context())
		pause(time.Minute)
		var mem runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&mem)
		if sends, _ := sink.count(); sends != 1 || len(sink.sends[0]) < 100 || mem.HeapAlloc > 50<<20 {
			t.Errorf("%d sends, %d MiB are held", sends, mem.HeapAlloc>>20)
		}
		close(p.lanes[0].draining)
		pause(10 * time.Hour)
	})
}

// TestOnceWithLettersDropped meanwhile: fewer are dead at its end than at its beginning.
func TestOnceWithLettersDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := counted{newMemory("x")}
		m.put(0, 10)
		sink := &crowd{reply: refusing(all)}
		_, stop := start(t, m.memory, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		stop()
		sink.set(nil)
		m.put(10, 10)
		sink.delay = func([]string) time.Duration { return time.Minute }
		p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: sink}}})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { m.turn("x", "", event.Dead, gone) })
		s, err := p.Once(t.Context(), time.Hour)
		if k := s.Sinks["x"]; err != nil || !s.Complete || k.Dead != 0 || k.Delivered != 10 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// counted is a journal with a ledger.
type counted struct{ *memory }

func (c counted) Ledger() map[event.StreamKey]event.StreamLedger {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := map[event.StreamKey]event.StreamLedger{}
	for key, n := range c.sums {
		l[key] = event.StreamLedger{Sinks: map[string]event.SinkLedger{"x": {SinkCounts: n}}}
	}
	return l
}
