package sinktest

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// memory is sink and peer in one, correct unless a field says how it is broken.
type memory struct {
	mu     sync.Mutex
	mode   Mode
	got    []Received
	closed chan struct{}
	once   sync.Once
	flaws
}

type flaws struct {
	byIndex bool                                              // report marked events as a partial failure instead of poison
	broken  func(m *memory, events []event.Event, err *error) // changes the outcome of a Send
	deaf    bool                                              // Send does not end with its context or Close
	leak    bool
	fallen  bool // for broken to remember that it was
}

const memoryLimit = 2 << 20

func newMemory() *memory { return &memory{closed: make(chan struct{})} }

func (m *memory) Set(mode Mode) { m.mu.Lock(); m.mode = mode; m.mu.Unlock() }

func (m *memory) Received() []Received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Received(nil), m.got...)
}

func (m *memory) Drain() []Received {
	got := m.Received()
	m.mu.Lock()
	m.got = nil
	m.mu.Unlock()
	return got
}

func (m *memory) Limits() event.Limits {
	return event.Limits{Events: 100, Bytes: 1 << 20, InFlight: 3}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (m *memory) Send(ctx context.Context, events []event.Event) error {
	err := m.send(ctx, events)
	if m.broken != nil {
		m.broken(m, events, &err)
	}
	return err
}

func (m *memory) send(ctx context.Context, events []event.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.closed:
		return errors.New("closed")
	default:
	}
	if len(events) == 0 {
		return nil
	}
	if m.leak {
		go func() { <-time.After(time.Minute) }()
	}
	if failed := oversized(events); failed != nil {
		return fault.Some(failed)
	}
	switch m.mode {
	case Slow:
		m.mu.Unlock()
		err := m.wait(ctx, 100*time.Millisecond)
		m.mu.Lock()
		if err != nil {
			return err
		}
	case Busy, CutBefore:
		return errors.New("not now")
	case Deny:
		return fault.Block(errors.New("not you"))
	case Hang:
		m.mu.Unlock()
		defer m.mu.Lock()
		return m.wait(ctx, time.Hour)
	case RefuseMarked:
		failed := map[int]error{}
		for i, e := range events {
			if strings.Contains(string(e.Body), Marker) {
				failed[i] = fault.Refuse(errors.New("marked"), "")
			}
		}
		if len(failed) > 0 && !m.byIndex {
			return fault.Refuse(errors.New("one of them is marked"), "")
		}
		if len(failed) > 0 {
			for i, e := range events {
				if failed[i] == nil {
					m.store(e)
				}
			}
			return fault.Some(failed)
		}
	}
	for _, e := range events {
		m.store(e)
	}
	if m.mode == CutAfter || m.mode == CutDuring {
		return errors.New("cut")
	}
	return nil
}

func (m *memory) wait(ctx context.Context, d time.Duration) error {
	if m.deaf {
		<-time.After(patience + time.Second)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.closed:
		return errors.New("closed")
	}
}

// oversized has the others of a batch wait for the next Send.
func oversized(events []event.Event) (failed map[int]error) {
	for i, e := range events {
		if len(e.Body) > memoryLimit {
			failed = map[int]error{i: fault.Refuse(errors.New("too large"), "")}
		}
	}
	for i := range events {
		if failed != nil && failed[i] == nil {
			failed[i] = errors.New("not sent yet")
		}
	}
	return failed
}

func (m *memory) store(e event.Event) {
	m.got = append(m.got, Received{EventID: e.EventID.String(), Body: string(e.Body)})
}

func TestContractAcceptsCorrectSinks(t *testing.T) {
	for name, byIndex := range map[string]bool{"poison": false, "partial": true} {
		t.Run(name, func(t *testing.T) {
			Run(t, Harness{TooLarge: memoryLimit, New: func(*testing.T) (Sink, Peer) {
				m := newMemory()
				m.byIndex = byIndex
				return m, m
			}})
		})
	}
}

// TestContractRefusesBrokenSinks breaks one promise at a time; the property of that name must see it.
func TestContractRefusesBrokenSinks(t *testing.T) {
	edit := func(f func(got []Received) []Received) func(*memory, []event.Event, *error) {
		return func(m *memory, _ []event.Event, _ *error) {
			m.mu.Lock()
			m.got = f(m.got)
			m.mu.Unlock()
		}
	}
	drop := edit(func(got []Received) []Received { return got[:max(0, len(got)-1)] })
	reclass := func(to error) func(*memory, []event.Event, *error) {
		return func(_ *memory, _ []event.Event, err *error) {
			if *err != nil {
				*err = to
			}
		}
	}
	swallow := reclass(nil)
	// twice stores what stands before the first event that fails, and has it sent again.
	twice := func(m *memory, events []event.Event, err *error) {
		if *err != nil {
			m.mu.Lock()
			m.store(events[0])
			m.mu.Unlock()
		}
	}
	blocked, poison := reclass(fault.Block(errors.New("x"))), reclass(fault.Refuse(errors.New("x"), ""))
	for _, c := range []struct {
		property, how string
		flaws         flaws
	}{
		{"batch", "loses an event", flaws{broken: drop}},
		{"batch", "doubles an event", flaws{broken: edit(func(got []Received) []Received { return append(got, got[len(got)-1]) })}},
		{"batch", "turns the order round", flaws{broken: edit(func(got []Received) []Received {
			got[0], got[1] = got[1], got[0]
			return got
		})}},
		{"single", "changes the id", flaws{broken: edit(func(got []Received) []Received { got[0].EventID = "x"; return got })}},
		{"empty", "makes a request", flaws{broken: func(_ *memory, _ []event.Event, err *error) { *err = errors.New("refused") }}},
		{"content", "replaces what is not ASCII", flaws{broken: edit(func(got []Received) []Received {
			for i := range got {
				got[i].Body = strings.ToValidUTF8(strings.ReplaceAll(got[i].Body, "\u2028", `\u2028`), "?")
			}
			return got
		})}},
		{"large", "cuts bodies", flaws{broken: edit(func(got []Received) []Received {
			got[0].Body = got[0].Body[:1<<19]
			return got
		})}},
		{"busy", "gives up", flaws{broken: poison}},
		{"busy", "hides it", flaws{broken: swallow}},
		{"deny", "retries", flaws{broken: reclass(errors.New("x"))}},
		{"cut-before", "hides it", flaws{broken: swallow}},
		{"cut-after", "hides it", flaws{broken: swallow}},
		{"cut-after", "blocks", flaws{broken: blocked}},
		{"cut-during", "hides it", flaws{broken: swallow}},
		{"cut-during", "gives up", flaws{broken: poison}},
		{"slow", "hides it", flaws{broken: swallow}},
		{"slow", "gives up", flaws{broken: poison}},
		{"slow", "loses an event", flaws{broken: drop}},
		{"cut-replied", "does not believe the reply", flaws{broken: func(m *memory, events []event.Event, err *error) {
			if events[0].ID[len(events[0].ID)-1] == '0' && !m.fallen { // once
				m.fallen, *err = true, errors.New("the connection is gone")
			}
		}}},
		{"cut-replied", "gives up", flaws{broken: func(_ *memory, _ []event.Event, err *error) { *err = fault.Block(errors.New("x")) }}},
		{"partial", "hides it", flaws{broken: swallow}},
		{"partial", "loses an innocent one", flaws{byIndex: true, broken: drop}},
		{"partial", "has stored what it sends again", flaws{broken: twice}},
		{"too-large", "sends it", flaws{broken: swallow}},
		{"too-large", "retries", flaws{broken: reclass(errors.New("x"))}},
		{"too-large", "loses an innocent one", flaws{broken: drop}},
		{"hang", "hides it", flaws{broken: swallow}},
		{"refuse-marked", "retries", flaws{broken: reclass(errors.New("x"))}},
		{"refuse-marked", "hides it", flaws{broken: swallow}},
		{"refuse-marked", "loses an innocent one", flaws{byIndex: true, broken: drop}},
		{"concurrent", "loses an event", flaws{broken: drop}},
		{"send-after-close", "sends", flaws{broken: swallow}},
		{"goroutines", "leaves some behind", flaws{leak: true}},
		{"stream", "loses an event", flaws{broken: drop}},
	} {
		t.Run(c.property+"/"+c.how, func(t *testing.T) {
			m := newMemory()
			m.flaws = c.flaws
			for _, p := range (Harness{TooLarge: memoryLimit}).properties() {
				if p.name == c.property && p.check(t, m, m) == nil {
					t.Errorf("the property %s does not see a sink that %s", c.property, c.how)
				}
			}
		})
	}
}

func TestContractSeesSinksThatHang(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the patience of the contract")
	}
	for name, check := range map[string]func(testing.TB, Sink, Peer) error{"hang": hang, "close-while-sending": closeWhileSending} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			m.deaf = true
			if check(t, m, m) == nil {
				t.Error("not seen")
			}
		})
	}
}

// script is a sink that answers with one error after the other.
type script struct {
	answers []error
	sizes   []int
}

func (s *script) Send(_ context.Context, events []event.Event) error {
	s.sizes = append(s.sizes, len(events))
	if len(s.answers) == 0 {
		return nil
	}
	err := s.answers[0]
	s.answers = s.answers[1:]
	return err
}
func (s *script) Limits() event.Limits { return event.Limits{Events: 4} }
func (s *script) Close() error         { return nil }

func TestDeliver(t *testing.T) {
	bad, later, denied := fault.Refuse(errors.New("bad"), ""), errors.New("later"), fault.Block(errors.New("denied"))
	for _, c := range []struct {
		name    string
		n       int
		answers []error
		sizes   []int
		poison  []int
		fails   bool
	}{
		{"nothing", 0, nil, nil, nil, false},
		{"cut to the limits", 9, nil, []int{4, 4, 1}, nil, false},
		{"halved until alone", 4, []error{bad, nil, bad, bad}, []int{4, 2, 2, 1, 1}, []int{2}, false},
		{"partial, some again", 4, []error{fault.Some(map[int]error{1: bad, 3: later})}, []int{4, 1}, []int{1}, false},
		{"partial without progress", 2, []error{fault.Some(map[int]error{0: later, 1: later})}, []int{2}, nil, true},
		{"partial of nothing", 2, []error{fault.Some(nil)}, []int{2}, nil, true},
		{"partial out of range", 2, []error{fault.Some(map[int]error{2: bad})}, []int{2}, nil, true},
		{"partial in a partial", 2, []error{fault.Some(map[int]error{0: fault.Some(nil)})}, []int{2}, nil, true},
		{"partial that blocks", 2, []error{fault.Some(map[int]error{0: denied})}, []int{2}, nil, true},
		{"stops at what only time mends", 8, []error{later}, []int{4}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{answers: c.answers}
			var events []event.Event
			for i := range c.n {
				events = append(events, newEvent(i, ""))
			}
			poison, err := Deliver(context.Background(), s, events)
			if (err != nil) != c.fails || !reflect.DeepEqual(poison, c.poison) || !reflect.DeepEqual(s.sizes, c.sizes) {
				t.Errorf("poison %v, error %v, sends of %v; want %v, %v, %v", poison, err, s.sizes, c.poison, c.fails, c.sizes)
			}
		})
	}
}
