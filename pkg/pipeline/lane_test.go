package pipeline

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// TestVerdicts: whatever a sink says about a Send, every record ends with one verdict, in order, and the lane moves only then.
func TestVerdicts(t *testing.T) {
	down := errors.New("connection reset")
	bad := fault.Refuse(errors.New("bad event"), "said the peer")
	poison := func(marks ...string) func([]string) error {
		return func(ids []string) error {
			for _, m := range marks {
				if slices.Contains(ids, m) {
					return bad
				}
			}
			return nil
		}
	}
	once := func(err func(ids []string) error) func([]string) error {
		asked := false
		return func(ids []string) error {
			if asked {
				return nil
			}
			asked = true
			return err(ids)
		}
	}
	for _, tt := range []struct {
		name   string
		script func(ids []string) error
		want   []string
		dead   []string
	}{
		{"all accepted", nil, ids(0, 10), nil},
		{"unknown result, then accepted", once(func([]string) error { return down }), ids(0, 10), nil},
		{"blocked, then mended", once(func([]string) error { return fault.Block(down) }), ids(0, 10), nil},
		{"the first is poison", poison("0"), ids(1, 9), []string{"0"}},
		{"the last is poison", poison("9"), ids(0, 9), []string{"9"}},
		{"two are poison", poison("3", "4"), []string{"0", "1", "2", "5", "6", "7", "8", "9"}, []string{"3", "4"}},
		{"all are poison", func([]string) error { return bad }, nil, ids(0, 10)},
		{"partial: one poison, the rest accepted", once(func([]string) error { return fault.Some(map[int]error{7: bad}) }), nil, []string{"7"}},
		{"partial: two again", once(func([]string) error { return fault.Some(map[int]error{1: down, 4: down}) }), []string{"1", "4"}, nil},
		{"partial: poison and again", once(func([]string) error { return fault.Some(map[int]error{1: bad, 4: down}) }), []string{"4"}, []string{"1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("x")
				m.put(0, 10)
				sink := &recorder{script: tt.script}
				_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
				pause(10 * time.Minute)
				stop()
				if got := sink.got(); !slices.Equal(got, tt.want) {
					t.Errorf("accepted %q, want %q; sends %q", got, tt.want, sink.sends)
				}
				var dead []string
				var sum event.SinkCounts
				for _, s := range m.steps {
					for _, d := range s.Dead {
						dead = append(dead, d.Record.ID)
						if d.Reason == "" || d.Reply != "said the peer" || d.Attempts == 0 {
							t.Errorf("dead letter %+v", d)
						}
					}
					sum.Add(s.Counts[audits])
				}
				if !slices.Equal(dead, tt.dead) || sum.Dead != uint64(len(tt.dead)) || sum.Settled() != 10 {
					t.Errorf("dead %q, counts %+v; want %q of 10", dead, sum, tt.dead)
				}
				if m.pos["x"] != (event.Position{Seq: 2}) {
					t.Errorf("the lane stands at %+v", m.pos["x"])
				}
			})
		})
	}
}

// TestUnknownResultIsSentAgainAsItWas: nothing is added and the order is kept, although more has come in the meantime.
func TestUnknownResultIsSentAgainAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 3)
		up := false
		sink := &recorder{limits: event.Limits{Events: 5}, script: func([]string) error {
			if up {
				return nil
			}
			return errors.New("timeout")
		}}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Minute)
		m.put(3, 3)
		p.ring.added.Broadcast()
		pause(time.Minute)
		if len(sink.sends) < 5 || len(m.steps) != 0 {
			t.Fatalf("%d sends, %d steps while the sink was down", len(sink.sends), len(m.steps))
		}
		for _, s := range sink.sends {
			if !slices.Equal(s, ids(0, 3)) {
				t.Fatalf("sent %q, want the same as before", s)
			}
		}
		sink.mu.Lock()
		up = true
		sink.mu.Unlock()
		pause(time.Minute)
		stop()
		if got := sink.got(); !slices.Equal(got, ids(0, 6)) {
			t.Errorf("accepted %q", got)
		}
	})
}

func TestLaneCutsToTheSinksLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("events", "bytes")
		for i := range 10 {
			m.put(10*i, 10)
		}
		byEvents := &recorder{limits: event.Limits{Events: 7, Linger: time.Second}}
		byBytes := &recorder{limits: event.Limits{Bytes: 30}}
		_, stop := start(t, m, nil, Outlet{Name: "events", Sink: byEvents}, Outlet{Name: "bytes", Sink: byBytes})
		pause(10 * time.Second)
		stop()
		for i, s := range byEvents.sends {
			if len(s) != 7 && i != len(byEvents.sends)-1 {
				t.Errorf("send %d has %d events, want 7", i, len(s))
			}
		}
		for _, s := range byBytes.sends {
			if len(s) > 4 {
				t.Errorf("a send has %d events of 10 bytes, the limit is 30", len(s))
			}
		}
		if !slices.Equal(byEvents.got(), ids(0, 100)) || !slices.Equal(byBytes.got(), ids(0, 100)) {
			t.Error("not every record came once and in order")
		}
	})
}

func TestUnmappableRecordIsADeadLetterAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x", "y")
		m.put(0, 2)
		m.Append(t.Context(), event.PageCommit{Key: audits, Records: []event.Record{{Key: audits, ID: "unmappable", Raw: []byte("1")}, {Key: audits, ID: "monstrous", Raw: []byte("{}")}}})
		m.put(2, 2)
		x, y := &recorder{}, &recorder{} // equal schemas: the rendering is shared
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: x}, Outlet{Name: "y", Sink: y})
		for _, b := range m.batches {
			p.ring.add(b)
		}
		pause(time.Second)
		stop()
		dead := 0
		for _, s := range m.steps {
			dead += len(s.Dead)
		}
		if dead != 4 || !slices.Equal(x.got(), ids(0, 4)) || !slices.Equal(y.got(), ids(0, 4)) {
			t.Errorf("%d dead letters; accepted %q and %q", dead, x.got(), y.got())
		}
	})
}

func TestWhatTheSinkTellsStandsInTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 5)
		told := map[event.StreamKey]event.SinkCounts{audits: {Truncated: 2, Duplicates: 1}}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: &recorder{}, Told: func() map[event.StreamKey]event.SinkCounts {
			defer func() { told = nil }()
			return told
		}})
		pause(time.Second)
		stop()
		if got := m.steps[0].Counts[audits]; got.Truncated != 2 || got.Duplicates != 1 || got.Delivered != 5 {
			t.Errorf("counts %+v", got)
		}
	})
}

func TestFilteredAndPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("none", "paused")
		m.put(0, 5)
		none, paused := &recorder{}, &recorder{}
		_, stop := start(t, m, nil,
			Outlet{Name: "none", Sink: none, Wants: func(event.StreamKey) bool { return false }},
			Outlet{Name: "paused", Sink: paused, Paused: true})
		pause(time.Minute)
		stop()
		if len(none.sends)+len(paused.sends) != 0 {
			t.Errorf("sent %q and %q", none.sends, paused.sends)
		}
		if m.pos["none"].Seq != 2 || m.steps[0].Counts[audits].Filtered != 5 {
			t.Errorf("filtered lane at %+v, %+v", m.pos["none"], m.steps)
		}
		if m.pos["paused"].Seq != 1 {
			t.Error("a paused lane has moved")
		}
	})
}

// TestShutdown: what is journalled is sent; a sink that does not answer holds the end up no longer than the grace.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("well", "dead")
		m.put(0, 500)
		well := &recorder{limits: event.Limits{Events: 10, Linger: time.Hour}}
		dead := &recorder{script: func([]string) error { return errors.New("down") }}
		_, stop := start(t, m, nil, Outlet{Name: "well", Sink: well}, Outlet{Name: "dead", Sink: dead})
		begun := time.Now()
		stop()
		if took := time.Since(begun); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("shutdown took %v, the grace is 20 s", took)
		}
		if len(well.got()) != 500 || !well.closed || !dead.closed {
			t.Errorf("%d of 500 sent, closed %v %v", len(well.got()), well.closed, dead.closed)
		}
		if m.pos["dead"].Seq != 1 {
			t.Error("the dead sink's lane has moved")
		}
	})
}
