package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

var audits = event.StreamKey{Cloud: "global", Tenant: "tid", Stream: "audits"}

// memory is a Journal without a file.
type memory struct {
	mu      sync.Mutex
	batches []*event.Batch
	steps   []event.LaneStep
	pos     map[string]event.Position
	cursors []event.Cursor
	room    int64
	refuse  error // of Append
	stepErr error // of Step
	unknown bool  // the tenant is not known before the first sign-in
	damaged map[uint64]bool
	readErr error // of Read
	letters []event.DeadLetter
	most    int // letters that there is room for; 0: any number
	sums    map[event.StreamKey]event.SinkCounts
	wrong   []string // steps and verdicts that do not add up
}

// damage is the error of a batch whose bytes have changed.
type damage struct {
	seq uint64
	key event.StreamKey
}

func (d damage) Error() string                     { return fmt.Sprintf("batch %d is damaged", d.seq) }
func (d damage) Damage() (uint64, event.StreamKey) { return d.seq, d.key }

func newMemory(sinks ...string) *memory {
	m := &memory{pos: map[string]event.Position{}, room: 1 << 30}
	for _, s := range sinks {
		m.pos[s] = event.Position{Seq: 1}
	}
	return m
}

func (m *memory) Append(_ context.Context, c event.PageCommit) (event.PageResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return event.PageResult{}, m.refuse
	}
	res := event.PageResult{PageCounts: event.PageCounts{Rows: uint64(len(c.Records) + c.Outside), New: uint64(len(c.Records)), Outside: uint64(c.Outside)}}
	if len(c.Records) > 0 {
		res.Batch = &event.Batch{Seq: uint64(len(m.batches) + 1), Key: c.Key, Slice: c.Slice, Records: slices.Clone(c.Records), Bytes: 100 * len(c.Records)}
		m.batches = append(m.batches, res.Batch)
	}
	m.cursors = append(m.cursors, c.Cursors...)
	return res, nil
}

func (m *memory) Read(seq uint64) (*event.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readErr != nil {
		return nil, m.readErr
	}
	for _, b := range m.batches {
		if b.Seq >= seq {
			if m.damaged[b.Seq] {
				return nil, damage{b.Seq, b.Key}
			}
			return b, nil
		}
	}
	return nil, nil
}

func (m *memory) Step(ctx context.Context, s event.LaneStep) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmp.Or(ctx.Err(), m.stepErr); err != nil {
		return err
	}
	if len(s.Dead)+len(s.Parked) > 0 && m.most > 0 && m.kept()+len(s.Dead)+len(s.Parked) > m.most {
		return lettersFullError{}
	}
	m.keep(s)
	s.Counts = maps.Clone(s.Counts)
	m.steps = append(m.steps, s)
	m.pos[s.Sink] = s.To
	return nil
}

func (m *memory) LaneStates() []event.LaneState {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []event.LaneState
	for name, pos := range m.pos {
		state := event.LaneState{Sink: name, Pos: pos, Parked: map[event.StreamKey]uint64{}}
		m.count(&state)
		for _, b := range m.batches {
			switch {
			case b.Seq > pos.Seq:
				state.Pending += uint64(len(b.Records))
			case b.Seq == pos.Seq:
				state.Pending += uint64(len(b.Records) - pos.Index)
			}
		}
		all = append(all, state)
	}
	return all
}

func (m *memory) Room() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.room
}

func (m *memory) setRoom(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = n
}

func (m *memory) moved() (cursors, batches int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.cursors), len(m.batches)
}

func (m *memory) Marks(event.StreamKey) []event.Mark { return nil }

func (m *memory) SaveCursors(event.StreamKey, event.Moves)       {}
func (m *memory) Tenant(string, string) (string, bool)           { return "tid", !m.unknown }
func (m *memory) SetTenant(string, string, string) error         { return nil }
func (m *memory) Ledger() map[event.StreamKey]event.StreamLedger { return nil }

func (m *memory) Filter(event.StreamKey) string { return "" }

func (m *memory) Cursors(event.StreamKey) []event.Cursor {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.cursors)
}

// Damaged takes a batch out.
func (m *memory) Damaged(seq uint64) (event.Slice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches = slices.DeleteFunc(m.batches, func(b *event.Batch) bool { return b.Seq == seq })
	return event.Slice{}, nil
}

// put journals n records whose ids are first, first+1, ..
func (m *memory) put(first, n int) {
	var c event.PageCommit
	c.Key = audits
	for i := range n {
		id := fmt.Sprint(first + i)
		c.Records = append(c.Records, event.Record{Key: audits, ID: id, Time: time.Now().Add(time.Duration(i)), Raw: []byte(`{"id":"` + id + `"}`)})
	}
	m.Append(context.Background(), c)
}

// plain renders a record as itself, but for two that it cannot.
type plain struct{}

func (plain) Normalize(dst []byte, r event.Record, _ event.Schema) ([]byte, error) {
	switch r.ID {
	case "unmappable":
		return dst, errors.New("no object")
	case "monstrous":
		panic("index out of range")
	}
	return append(dst, r.Raw...), nil
}

// recorder is a Sink that asks its script what to say.
type recorder struct {
	mu     sync.Mutex
	limits event.Limits
	script func(ids []string) error // nil: accept
	sends  [][]string
	stored []string
	closed bool
}

func (r *recorder) Send(_ context.Context, events []event.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for i := range events {
		if string(events[i].Body) != string(events[i].Raw) {
			return fmt.Errorf("body %q of record %q", events[i].Body, events[i].Raw)
		}
		ids = append(ids, events[i].ID)
	}
	r.sends = append(r.sends, ids)
	if r.script != nil {
		if err := r.script(ids); err != nil {
			return err
		}
	}
	r.stored = append(r.stored, ids...)
	return nil
}

func (r *recorder) Limits() event.Limits { return r.limits }

func (r *recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.stored)
}

// pages is a Fetcher that yields what its function gives for a slice.
type pages func(s event.Slice) []event.Page

func (p pages) Fetch(ctx context.Context, s event.Slice) iter.Seq2[event.Page, error] {
	return func(yield func(event.Page, error) bool) {
		for _, page := range p(s) {
			if ctx.Err() != nil {
				yield(event.Page{}, ctx.Err())
				return
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// start runs a pipeline over m until stop, which waits for its end.
func start(t *testing.T, m *memory, sources []Source, outlets ...Outlet) (p *Pipeline, stop func()) {
	t.Helper()
	p, err := New(Options{Journal: m, Normalizer: plain{}, Sources: sources, Outlets: outlets, Log: zap.NewNop(), Grace: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return p, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// contoso is a source of one stream that f serves.
func contoso(f Fetcher) Source {
	cfg := timeline.Default()
	cfg.Start = timeline.Start{}
	cfg.Reread = nil
	return Source{
		Name: "contoso", Cloud: "global", Tenant: "contoso.com", Fetcher: f, Streams: []string{"audits"}, Time: cfg,
		Now: time.Now, Identify: func(context.Context) (string, error) { return "tid", nil },
	}
}

func ids(first, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(first+i))
	}
	return all
}

// pause lets time pass in the bubble, and what happens in it come to rest.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
