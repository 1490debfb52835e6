package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

var errMapping = fault.Refuse(errors.New("mapper_parsing_exception"), "failed to parse field")

// refusing refuses each event of which bad is true.
func refusing(bad func(id string) bool) func([]string) error {
	return func(ids []string) error {
		failed := map[int]error{}
		for i, id := range ids {
			if bad(id) {
				failed[i] = errMapping
			}
		}
		if len(failed) > 0 {
			return fault.Some(failed)
		}
		return nil
	}
}

func all(string) bool { return true }

// signIns journals records of another stream, which is well.
func signIns(m *memory, first, n int) event.StreamKey {
	key := audits
	key.Stream = "signins.interactive"
	c := event.PageCommit{Key: key}
	for i := range n {
		c.Records = append(c.Records, event.Record{Key: key, ID: fmt.Sprintf("s%d", first+i), Raw: []byte("{}")})
	}
	m.Append(context.Background(), c)
	return key
}

// TestBreaker: too many refusals of a stream park what comes after, other streams pass, one is tried every minute, and when it is
// accepted the others follow. Nothing is lost on the way.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 300)
		signins := signIns(m, 0, 100)
		sink := &crowd{limits: event.Limits{Events: 50, InFlight: 2}}
		sink.reply = refusing(func(id string) bool { return id[0] != 's' })
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(30 * time.Second)
		dead, waiting, _ := m.states()
		if dead != breakerFirst || waiting != 300-breakerFirst || m.pos["x"].Seq != 3 || m.sums[signins].Delivered != 100 {
			t.Fatalf("%d dead, %d parked, the lane stands at %+v, %+v", dead, waiting, m.pos["x"], m.sums)
		}
		st := p.Status()
		if len(st.Faults) != 1 || !st.Faults[0].Blocked || st.Faults[0].Part != "sink x" || !strings.Contains(st.Faults[0].Err, "20 of the last 20 events were refused; its events are parked (280 wait) and one is tried every minute; the last refusal: mapper_parsing_exception") {
			t.Errorf("faults %+v", st.Faults)
		}
		if st.Sinks[0].Parked != 280 || st.Sinks[0].Pending != 280 {
			t.Errorf("%+v", st.Sinks[0])
		}
		before, _ := sink.count()
		pause(10 * time.Minute)
		after, _ := sink.count()
		if after-before != 10 {
			t.Errorf("%d probes in ten minutes", after-before)
		}
		var tried []string
		for _, s := range sink.sends[before:] {
			if len(s) != 1 || slices.Contains(tried, s[0]) {
				t.Errorf("probes %q", sink.sends[before:])
			}
			tried = append(tried, s[0])
		}
		sink.set(refusing(func(id string) bool { return id == "299" })) // mended, but for one
		pause(2 * time.Minute)
		dead, waiting, returning := m.states()
		if dead != breakerFirst+1 || waiting+returning != 0 || m.sums[audits].Delivered != 300-breakerFirst-1 || len(p.Status().Faults) != 0 {
			t.Errorf("%d dead, %d parked, %d returning, %+v, %+v", dead, waiting, returning, m.sums[audits], p.Status().Faults)
		}
		m.put(300, 10)
		p.ring.added.Broadcast()
		pause(time.Minute)
		stop()
		if m.sums[audits].Settled() != 310 || len(m.wrong) > 0 {
			t.Errorf("%+v, %q", m.sums[audits], m.wrong)
		}
	})
}

// TestRarelyRefused events park nothing: a fifth may be bad.
func TestRarelyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 1000)
		sink := &crowd{limits: event.Limits{Events: 50}, reply: refusing(func(id string) bool { return id[len(id)-1] == '5' || id[len(id)-1] == '9' })}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Minute)
		stop()
		if dead, waiting, _ := m.states(); dead != 200 || waiting != 0 {
			t.Errorf("%d dead, %d parked", dead, waiting)
		}
	})
}

// TestParkedAtTheStart: what was parked before a restart waits on, and is tried at once.
func TestParkedAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 100)
		sink := &crowd{limits: event.Limits{Events: 50}, reply: refusing(all)}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		stop()
		m.put(100, 50)
		sends, _ := sink.count()
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink, Paused: true})
		pause(time.Hour)
		if now, _ := sink.count(); now != sends || len(p.Status().Faults) > 0 {
			t.Errorf("paused: %d sends, %+v", now-sends, p.Status().Faults)
		}
		stop()
		p, stop = start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		if now, _ := sink.count(); now != sends+1 || len(p.Status().Faults) != 1 {
			t.Errorf("%d sends after the restart, want the probe; %+v", now-sends, p.Status().Faults)
		}
		if _, waiting, _ := m.states(); waiting != 80+50 {
			t.Errorf("%d parked", waiting)
		}
		sink.set(nil)
		pause(time.Minute)
		stop()
		if dead, waiting, returning := m.states(); dead != 20 || waiting+returning != 0 || m.sums[audits].Settled() != 150 || len(m.wrong) > 0 {
			t.Errorf("%d dead, %d parked, %d returning, %+v, %q", dead, waiting, returning, m.sums, m.wrong)
		}
	})
}

// TestUnmappableRecordsParkTheirStream, too: the mapping is mended by an update, so the probe is rendered anew.
func TestUnmappableRecordsParkTheirStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		c := event.PageCommit{Key: audits}
		for range 50 {
			c.Records = append(c.Records, event.Record{Key: audits, ID: "unmappable", Raw: []byte("1")})
		}
		m.Append(t.Context(), c)
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: &crowd{}})
		pause(5 * time.Minute)
		if dead, waiting, _ := m.states(); dead != 20 || waiting != 30 || len(p.Status().Faults) != 1 {
			t.Errorf("%d dead, %d parked", dead, waiting)
		}
		m.mu.Lock()
		for i := range m.letters {
			m.letters[i].Record.ID = "mended"
		}
		m.mu.Unlock()
		pause(2 * time.Minute)
		stop()
		if dead, waiting, _ := m.states(); dead != 20 || waiting != 0 || m.sums[audits].Delivered != 30 {
			t.Errorf("%d dead, %d parked, %+v", dead, waiting, m.sums[audits])
		}
	})
}

// TestReturningLetters go beside the journal, each once, and end with a verdict: delivered, or dead again.
func TestReturningLetters(t *testing.T) {
	for _, inFlight := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory("x")
			m.put(0, 20)
			sink := &crowd{limits: event.Limits{Events: 50, InFlight: inFlight}, reply: refusing(func(id string) bool { return id >= "1" && id < "2" })}
			p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
			pause(time.Second)
			if dead, _, _ := m.states(); dead != 11 {
				t.Fatalf("%d dead", dead)
			}
			sink.set(refusing(func(id string) bool { return id == "13" }))
			for i := range 100 {
				m.put(1000+10*i, 10) // a backlog
			}
			p.ring.added.Broadcast()
			sink.mu.Lock()
			sink.delay = func([]string) time.Duration { return time.Second }
			sink.mu.Unlock()
			if n, err := p.Return(t.Context(), event.LetterFilter{Sink: "x"}); n != 11 || err != nil {
				t.Fatal(n, err)
			}
			pause(6 * time.Second)
			if dead, _, returning := m.states(); dead != 1 || returning != 0 {
				t.Errorf("beside the backlog %d are dead, %d returning", dead, returning)
			}
			if m.pos["x"].Seq < 10 {
				t.Error("the backlog waits for the letters")
			}
			pause(time.Minute)
			stop()
			if m.sums[audits].Settled() != 1020 || m.sums[audits].Dead != 1 || len(m.wrong) > 0 {
				t.Errorf("%+v, %q", m.sums[audits], m.wrong)
			}
			for id, n := range sink.got {
				if n != 1 {
					t.Errorf("event %s was stored %d times", id, n)
				}
			}
		})
	}
}

// TestALetterThatFailsForEver holds up neither the journal nor the other letters, though the sink takes one Send at a time.
func TestALetterThatFailsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 10)
		sink := &crowd{limits: event.Limits{Events: 50}, reply: refusing(all)}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		sink.set(func(ids []string) error {
			if slices.Contains(ids, "4") {
				return errDown
			}
			return nil
		})
		p.Return(t.Context(), event.LetterFilter{})
		for i := range 60 {
			m.put(100+i, 1)
			p.ring.added.Broadcast()
			pause(10 * time.Second)
		}
		if _, _, returning := m.states(); returning != 1 || m.sums[audits].Delivered != 60+9 {
			t.Errorf("%d returning, %+v", returning, m.sums[audits])
		}
		sink.set(nil)
		pause(20 * time.Minute)
		stop()
		if m.sums[audits].Delivered != 70 || len(m.wrong) > 0 {
			t.Errorf("%+v, %q", m.sums[audits], m.wrong)
		}
	})
}

// TestLettersFull: the lane is blocked, nothing more is sent, nothing is lost, and it goes on when there is room.
func TestLettersFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.most = 3
		m.put(0, 5)
		m.put(5, 45)
		sink := &crowd{limits: event.Limits{Events: 5}, reply: refusing(func(id string) bool { return id < "3" && len(id) == 1 || id == "7" })}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(10 * time.Minute)
		sends, _ := sink.count()
		faults := p.Status().Faults
		if sends != 2 || m.pos["x"] != (event.Position{Seq: 2}) || len(faults) != 1 || !faults[0].Blocked ||
			!strings.Contains(faults[0].Err, "the dead letters of sink x fill the room that they have") || !strings.Contains(faults[0].Err, "logferry dlq drop") {
			t.Fatalf("%d sends, the lane stands at %+v, faults %+v", sends, m.pos["x"], faults)
		}
		m.mu.Lock()
		m.most = 10
		m.mu.Unlock()
		p.LettersChanged()
		pause(time.Second)
		stop()
		if len(m.letters) != 4 || m.sums[audits].Settled() != 50 || len(m.wrong) > 0 || len(p.Status().Faults) > 0 {
			t.Errorf("%d letters, %+v, %q, %+v", len(m.letters), m.sums[audits], m.wrong, p.Status().Faults)
		}
		for id, n := range sink.got {
			if n != 1 {
				t.Errorf("event %s was stored %d times", id, n)
			}
		}
	})
}

// TestLettersMakeRoom: a lane whose letters are full sends those that it has, once what they were refused for is mended: parked ones by
// itself, dead ones when somebody puts them on their way. That makes room, and the lane goes on.
func TestLettersMakeRoom(t *testing.T) {
	for _, inFlight := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory("x")
			m.most = 95
			sink := &crowd{limits: event.Limits{Events: 10, InFlight: inFlight}, reply: refusing(all)}
			p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
			for i := range 13 {
				m.put(10*i, 10)
				p.ring.added.Broadcast()
				pause(time.Second)
			}
			pause(10 * time.Minute)
			if dead, waiting, _ := m.states(); dead != 20 || waiting != 70 || m.pos["x"].Seq != 10 {
				t.Fatalf("%d in flight: %d dead, %d parked, the lane stands at %+v", inFlight, dead, waiting, m.pos["x"])
			}
			sink.set(nil)
			pause(2 * time.Minute)
			if m.sums[audits].Delivered != 110 || len(p.Status().Faults) > 0 {
				t.Errorf("%d in flight: %+v, %+v", inFlight, m.sums[audits], p.Status().Faults)
			}
			stop()

			m.most, m.letters = 3, m.letters[:0]
			m.put(200, 10)
			sink.set(refusing(func(id string) bool { return slices.Contains([]string{"200", "201", "217", "218", "219"}, id) }))
			p, stop = start(t, m, nil, Outlet{Name: "x", Sink: sink})
			pause(time.Minute)
			m.put(210, 10)
			p.ring.added.Broadcast()
			pause(10 * time.Minute)
			sink.set(nil)
			faults := p.Status().Faults
			if n, err := p.Return(t.Context(), event.LetterFilter{}); n != 2 || err != nil || len(faults) != 1 {
				t.Errorf("%d in flight: %d letters return, %v, %+v", inFlight, n, err, faults)
			}
			pause(2 * time.Minute)
			stop()
			if dead, _, returning := m.states(); dead != 3 || returning != 0 || m.sums[audits].Delivered != 127 || len(m.wrong) > 0 || len(p.Status().Faults) > 0 {
				t.Errorf("%d in flight: %d dead, %d returning, %+v, %q, %+v", inFlight, dead, returning, m.sums[audits], m.wrong, p.Status().Faults)
			}
		})
	}
}

// TestOnceSendsLettersToo, and is not complete while some are parked.
func TestOnceSendsLettersToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 30)
		sink := &crowd{reply: refusing(all)}
		once := func() Summary {
			p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: sink}}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.Once(t.Context(), time.Minute)
			if err != nil {
				t.Error(err)
			}
			return s
		}
		if s := once(); s.Complete || s.Sinks["x"].Pending != 10 {
			t.Errorf("%+v", s)
		}
		if _, waiting, _ := m.states(); waiting != 10 {
			t.Errorf("%d parked", waiting)
		}
		sink.set(nil)
		m.Return(t.Context(), event.LetterFilter{})
		if s := once(); !s.Complete || s.Sinks["x"].Pending != 0 || m.sums[audits].Delivered != 30 {
			t.Errorf("%+v, %+v", s, m.sums)
		}
	})
}
