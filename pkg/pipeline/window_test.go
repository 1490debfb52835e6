package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// crowd is a Sink that takes several Sends at once. reply is asked under its mutex.
type crowd struct {
	mu     sync.Mutex
	limits event.Limits
	delay  func(ids []string) time.Duration
	reply  func(ids []string) error
	now    int // Sends
	most   int
	bytes  int
	mostB  int
	sends  [][]string
	got    map[string]int
	begun  []time.Time
}

func (c *crowd) Send(ctx context.Context, events []event.Event) error {
	var names []string
	size := 0
	for i := range events {
		names = append(names, events[i].ID)
		size += len(events[i].Body)
	}
	c.mu.Lock()
	c.now++
	c.bytes += size
	c.most, c.mostB = max(c.most, c.now), max(c.mostB, c.bytes)
	c.sends, c.begun = append(c.sends, names), append(c.begun, time.Now())
	delay := time.Duration(0)
	if c.delay != nil {
		delay = c.delay(names)
	}
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	c.bytes -= size
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var err error
	if c.reply != nil {
		err = c.reply(names)
	}
	if c.got == nil {
		c.got = map[string]int{}
	}
	for i, name := range names {
		if err == nil || fault.Of(err) == fault.Partial && fault.Failed(err)[i] == nil {
			c.got[name]++
		}
	}
	return err
}

func (c *crowd) Limits() event.Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}

func (c *crowd) Close() error { return nil }

func (c *crowd) set(reply func([]string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reply = reply
}

func (c *crowd) count() (sends, got int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sends), len(c.got)
}

var errDown = errors.New("http status 503")

// TestStepsOnlyOverWhatIsSettled: Sends end in any order and in any way, the process is stopped at any time. Each stop leaves the lane
// exactly where the settled ones end, and in the end each record has one verdict.
func TestStepsOnlyOverWhatIsSettled(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stepsOnlyOverWhatIsSettled(t, rand.New(rand.NewPCG(seed, 5))) })
		})
	}
}

func stepsOnlyOverWhatIsSettled(t *testing.T, rnd *rand.Rand) {
	const n = 300
	stops := rand.New(rand.NewPCG(rnd.Uint64(), 1))
	bad := map[string]bool{}
	for range rnd.IntN(4) {
		bad[fmt.Sprint(rnd.IntN(n))] = true
	}
	m := newMemory("x")
	for first := 0; first < n; {
		size := min(1+rnd.IntN(40), n-first)
		m.put(first, size)
		first += size
	}
	settled := map[string]bool{} // what the sink has told of
	calm := false
	sink := &crowd{limits: event.Limits{Events: 1 + rnd.IntN(30), InFlight: 1 + rnd.IntN(6)}}
	sink.delay = func([]string) time.Duration { return time.Duration(rnd.IntN(3000)) * time.Millisecond }
	sink.reply = func(ids []string) error {
		poison := slices.ContainsFunc(ids, func(id string) bool { return bad[id] })
		failed := map[int]error{}
		switch kind := rnd.IntN(10); {
		case !calm && kind < 2:
			return errDown
		case poison && len(ids) > 1 && kind < 6:
			return fault.Refuse(errors.New("one of these"), "")
		case !calm && kind == 7:
			return fault.After(time.Second, errDown)
		default:
			for i, id := range ids {
				switch {
				case bad[id]:
					failed[i] = fault.Refuse(errors.New("bad"), "")
					if len(ids) > 1 && rnd.IntN(2) == 0 {
						failed[i] = fault.Suspect(errors.New("bad"), "")
					} else {
						settled[id] = true
					}
				case !calm && kind == 8 && rnd.IntN(3) == 0:
					failed[i] = errDown
				default:
					settled[id] = true
				}
			}
		}
		if len(failed) > 0 {
			return fault.Some(failed)
		}
		return nil
	}
	for round := 0; m.pos["x"].Seq <= uint64(len(m.batches)); round++ {
		if round > 200 {
			t.Fatal("the lane does not get on")
		}
		calm = round > 20
		clear(settled) // of what lies behind a hole nothing is remembered
		from := m.pos["x"]
		p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: sink}}, Log: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { p.lanes[0].run(ctx); close(ended) }()
		time.Sleep(time.Duration(stops.IntN(8000)) * time.Millisecond)
		cancel()
		<-ended
		if want := prefix(m, from, settled); m.pos["x"] != want {
			t.Fatalf("stopped at %+v, what is settled ends at %+v", m.pos["x"], want)
		}
	}
	if sum := m.sums[audits]; len(m.wrong) > 0 || sum.Settled() != n || sum.Dead != uint64(len(bad)) || len(m.letters) != len(bad) {
		t.Errorf("%q; counts %+v, %d letters of %d bad ones", m.wrong, sum, len(m.letters), len(bad))
	}
	for i := range n {
		if id := fmt.Sprint(i); sink.got[id] == 0 && !bad[id] {
			t.Errorf("event %s never arrived", id)
		}
	}
}

// prefix gives the place of the first record from a place on that is not settled.
func prefix(m *memory, from event.Position, settled map[string]bool) event.Position {
	for _, b := range m.batches {
		for i, r := range b.Records {
			if at := (event.Position{Seq: b.Seq, Index: i}); !at.Less(from) && !settled[r.ID] {
				return at
			}
		}
	}
	return event.Position{Seq: uint64(len(m.batches) + 1)}
}

// TestOneAtATimeKeepsTheOrder, whatever fails.
func TestOneAtATimeKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 200)
		rnd := rand.New(rand.NewPCG(1, 2))
		sink := &crowd{limits: event.Limits{Events: 7}}
		next := 0
		sink.reply = func(ids []string) error {
			if ids[0] != fmt.Sprint(next) {
				t.Errorf("sent from %s on, want %d", ids[0], next)
			}
			if rnd.IntN(3) == 0 {
				return errDown
			}
			next += len(ids)
			return nil
		}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Hour)
		stop()
		if next != 200 || sink.most != 1 {
			t.Errorf("%d accepted, %d at once", next, sink.most)
		}
	})
}

// TestOneThatFailsForEver holds up itself: others pass up to the bound, it is cut out, named, and tried for ever.
func TestOneThatFailsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 400)
		sink := &crowd{limits: event.Limits{Events: 16, InFlight: 2}}
		sink.reply = func(ids []string) error {
			if slices.Contains(ids, "5") {
				return errors.New("http status 500")
			}
			return nil
		}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(20 * time.Minute)
		if _, got := sink.count(); got != 399 {
			t.Errorf("%d of 400 arrived beside one that fails", got)
		}
		faults := p.Status().Faults
		if len(faults) != 1 || faults[0].Blocked || !strings.Contains(faults[0].Err, "event 5 of global/tid/audits: failed ") {
			t.Errorf("faults %+v", faults)
		}
		if m.pos["x"] != (event.Position{Seq: 1, Index: 5}) || len(m.letters) != 0 {
			t.Errorf("the lane stands at %+v, %d letters", m.pos["x"], len(m.letters))
		}
		sink.set(nil)
		pause(time.Minute)
		if faults := p.Status().Faults; m.pos["x"] != (event.Position{Seq: 2}) || len(faults) > 0 {
			t.Errorf("mended: the lane stands at %+v, faults %+v", m.pos["x"], faults)
		}
		stop()
		if len(m.wrong) > 0 {
			t.Error(m.wrong)
		}
	})
}

// TestASuspectIsTriedAlone before it is a dead letter.
func TestASuspectIsTriedAlone(t *testing.T) {
	for _, guilty := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory("x")
			m.put(0, 10)
			sink := &crowd{limits: event.Limits{Events: 10}}
			sink.reply = func(ids []string) error {
				failed := map[int]error{}
				for i, id := range ids {
					if id == "4" && (len(ids) > 1 || guilty) {
						failed[i] = fault.Suspect(errors.New("invalid event number"), "said the peer")
					} else if len(ids) == 10 && i > 4 {
						failed[i] = errDown
					}
				}
				if len(failed) > 0 {
					return fault.Some(failed)
				}
				return nil
			}
			_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
			pause(time.Minute)
			stop()
			want := [][]string{ids(0, 10), {"4"}, ids(5, 5)}
			if !slices.EqualFunc(sink.sends, want, slices.Equal) {
				t.Errorf("sent %q, want %q", sink.sends, want)
			}
			if dead, _, _ := m.states(); (dead == 1) != guilty || m.sums[audits].Settled() != 10 {
				t.Errorf("%d dead, guilty %v, %+v", dead, guilty, m.sums)
			}
		})
	}
}

// TestAStopInAPartialAcceptance repeats nothing of what was accepted.
func TestAStopInAPartialAcceptance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 10)
		sink := &crowd{limits: event.Limits{Events: 10}}
		sink.reply = func(ids []string) error {
			failed := map[int]error{}
			for i, id := range ids {
				if id >= "6" {
					failed[i] = errDown
				}
			}
			return fault.Some(failed)
		}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		if m.pos["x"] != (event.Position{Seq: 1, Index: 6}) {
			t.Errorf("during the pause the lane stands at %+v", m.pos["x"])
		}
		stop()
		sink.set(nil)
		_, stop = start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		stop()
		for id, n := range sink.got {
			if n != 1 {
				t.Errorf("event %s was stored %d times", id, n)
			}
		}
		if len(sink.got) != 10 || len(m.wrong) > 0 {
			t.Errorf("%d arrived; %q", len(sink.got), m.wrong)
		}
	})
}
