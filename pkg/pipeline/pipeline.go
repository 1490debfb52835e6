// Package pipeline connects the stages: fetchers pull slices into the journal, lanes take records out of it, have them
// normalized and send them. It knows when to try again and what to count; it knows no protocol, no file and no clock service.
package pipeline

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

// Fetcher reads slices of the streams of one source.
type Fetcher interface {
	// Fetch yields the pages of s in whatever order the API has. It keeps no state; an error ends the slice, which stays open.
	Fetch(ctx context.Context, s event.Slice) iter.Seq2[event.Page, error]
}

// Normalizer renders records.
type Normalizer interface {
	// Normalize appends rec in schema to dst. An error is poison for this record alone.
	Normalize(dst []byte, rec event.Record, schema event.Schema) ([]byte, error)
}

// Sink delivers events.
type Sink interface {
	// Send tries once. nil: the peer has accepted every event. Otherwise an error of package fault. It never retries.
	Send(ctx context.Context, events []event.Event) error
	Limits() event.Limits // events, bytes, linger, requests in flight: the lane cuts to them
	Close() error
}

// Journal is the state file.
type Journal interface {
	// Append keeps a page. Where the disk is full, the error has a method NoSpace and nothing has changed.
	Append(ctx context.Context, c event.PageCommit) (event.PageResult, error)
	Read(seq uint64) (*event.Batch, error)
	Damaged(seq uint64) (event.Slice, error)
	// Step moves a lane. Where its letters would outgrow their limit, the error has a method LettersFull and nothing has changed.
	Step(ctx context.Context, s event.LaneStep) error
	// Letters gives the oldest n letters that f chooses, with their records.
	Letters(f event.LetterFilter, n int) ([]event.DeadLetter, error)
	// Return puts dead letters on their way again. Their lane finds them by their state.
	Return(ctx context.Context, f event.LetterFilter) (int, error)
	// Unpark puts the parked letters of a stream on their way again.
	Unpark(ctx context.Context, sink string, key event.StreamKey) (int, error)
	// Settle ends the way of letters that are parked or returning: their verdicts, durable.
	Settle(ctx context.Context, sink string, verdicts []event.Settled) error
	SaveCursors(key event.StreamKey, m event.Moves)
	Cursors(key event.StreamKey) []event.Cursor
	Filter(key event.StreamKey) string // that the cursors hold for
	Marks(key event.StreamKey) []event.Mark
	Tenant(cloud, configured string) (tid string, ok bool)
	SetTenant(cloud, configured, tid string) error
	Room() int64
	SkipOldest(sinks []string) ([]event.Skip, error)
	Ledger() map[event.StreamKey]event.StreamLedger
	LaneStates() []event.LaneState
	Compare(key event.StreamKey, version uint8, records []event.Record) ([]event.Comparison, error)
	Minutes(key event.StreamKey, from, to time.Time) ([]event.Minute, error)
	Floor(key event.StreamKey) time.Time
}

// Source is one tenant read with one app registration.
type Source struct {
	Name     string // the operator's label
	Cloud    string
	Tenant   string // as configured: id or verified domain
	Fetcher  Fetcher
	Identify func(ctx context.Context) (tid string, err error) // signs in and tells the tenant's GUID; afterwards Now is right
	Now      func() time.Time                                  // the service's clock
	Streams  []string
	Time     timeline.Config

	Smaller   func(error) bool                  // whether a smaller slice may help against this error; nil: never
	TooOld    func(error) bool                  // whether the API refuses the slice because it lies too far back; nil: never
	Retention func(stream string) time.Duration // how long the API keeps the stream's records for sure; nil: as timeline has it
	Page      func(stream string) int           // how many rows a full page of the stream has; nil: as timeline has it
	Moves     func(stream string) bool          // whether a changed record comes back with a later time; nil: none does
	Filter    func(stream string) string        // what the records are filtered by, "" for nothing; nil: by nothing
	Apart     func(stream string) bool          // whether the stream has a budget beside the one of Capacity; nil: none has
	Capacity  float64                           // requests per second that the budget allows; 0: unknown
	Spent     func() Spent                      // how that is used; nil: unknown
	// Credential tells when the credential ends, zero for not known, and what is to be mended though it works, as faults without a
	// part; nil: unknown.
	Credential func() (ends time.Time, wrong []Fault)
	Parallel   int // slices of a catch-up or backfill read at once; 0: 2

	DigestVersion uint8
}

// Outlet is one configured sink.
type Outlet struct {
	Name   string
	Was    string // the name that it had before, if what was journalled for that one alone is its now
	Sink   Sink
	Schema event.Schema
	Wants  func(event.StreamKey) bool // which streams; nil: all
	Paused bool                       // keeps its place and sends nothing
	// SkipOldest has it give up its oldest records when the journal is full; otherwise fetching waits for it.
	SkipOldest bool

	// Keep tells whether the sink is to get a record; nil: all. What it does not get is counted as filtered.
	Keep func(*event.Record) bool
	// Trim appends a record's raw form to dst without what the sink must not see. An error is poison for this record. nil: as it came.
	Trim func(dst []byte, r *event.Record) ([]byte, error)
	// Told gives what the sink has learned of delivered events since the last call: of Duplicates and Truncated only; nil: nothing.
	Told func() map[event.StreamKey]event.SinkCounts
}

func (o *Outlet) wants(key event.StreamKey) bool { return o.Wants == nil || o.Wants(key) }

// Options are what a Pipeline is made of.
type Options struct {
	Journal Journal
	// JournalBytes is the journal's Room when it is empty; 0: not known, then nothing is said before it is full.
	JournalBytes int64
	Normalizer   Normalizer
	Sources      []Source
	Outlets      []Outlet
	Log          *zap.Logger
	Ring         int                             // bytes of recent batches kept in memory; default 8 MiB
	Grace        time.Duration                   // for the lanes at shutdown; default 20s
	Lost         func(event.StreamKey) time.Time // after a loss of state: where to begin again; zero: nothing was lost
	Remembered   time.Duration                   // how long the journal keeps its counts per minute; 0: for ever
	Idle         bool                            // Run is never called, only orders are carried out: no sink takes anything
	Crash        func(point string)              // test hook; nil in production
}

// Pipeline is the running whole.
type Pipeline struct {
	o       Options
	log     *zap.Logger
	ring    *ring
	started time.Time
	room    *signal // lanes have made room
	letters *signal // letters were put on their way, or dropped
	full    *fullness
	fetched chan struct{} // closed when nothing more will be journalled

	mu      sync.RWMutex // guards the two: they are replaced, their elements never are
	sources []*source
	lanes   []*lane
	grace   atomic.Int64 // ns
	gate    gate         // passed by what is journalled, shut while lanes come and go

	begun    chan struct{} // closed when work has begun
	changing chan struct{} // holds one element while somebody uses the two
	fetching context.Context
	sending  context.Context // nil: work is over, or has not begun
}

// parts gives the sources and lanes of this moment.
func (p *Pipeline) parts() ([]*source, []*lane) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.sources, p.lanes
}

func (p *Pipeline) allSources() []*source {
	sources, _ := p.parts()
	return sources
}

func (p *Pipeline) allLanes() []*lane {
	_, lanes := p.parts()
	return lanes
}

// New wires the stages; nothing runs yet.
func New(o Options) (*Pipeline, error) {
	if len(o.Outlets) == 0 {
		return nil, errors.New("start pipeline: there is no sink")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Ring <= 0 {
		o.Ring = 8 << 20
	}
	if o.Grace <= 0 {
		o.Grace = 20 * time.Second
	}
	if o.Crash == nil {
		o.Crash = func(string) {}
	}
	if o.Lost == nil {
		o.Lost = func(event.StreamKey) time.Time { return time.Time{} }
	}
	p := &Pipeline{o: o, log: o.Log, room: newSignal(), letters: newSignal(), fetched: make(chan struct{}), begun: make(chan struct{}), changing: make(chan struct{}, 1), started: time.Now()}
	p.grace.Store(int64(o.Grace))
	p.ring = newRing(o.Ring)
	for i := range o.Sources {
		s := newSource(p, &o.Sources[i])
		s.delay = time.Duration(i) * s.Time.Poll.Std() / time.Duration(max(len(o.Sources), startShares))
		p.sources = append(p.sources, s)
	}
	places := p.places()
	for i := range o.Outlets {
		at, ok := places[o.Outlets[i].Name]
		if !ok {
			return nil, errors.New("start pipeline: sink " + o.Outlets[i].Name + " has no lane in the state file")
		}
		p.lanes = append(p.lanes, newLane(p, &o.Outlets[i], at))
	}
	p.ring.share(sharedSchemas(p.lanes))
	p.full = newFullness(&o)
	return p, nil
}

// The starts of many sources are spread over the whole poll, because each asks in the rhythm in which it began. The first ones
// begin a share of the poll apart, so that a handful need not wait for each other.
const startShares = 100

// startEvery is the most that two sources begin apart where each is read only once.
const startEvery = 50 * time.Millisecond

// sharedSchemas gives the schemas that more than one sink wants: their renderings are worth keeping.
func sharedSchemas(lanes []*lane) map[event.Schema]bool {
	shared, once := map[event.Schema]bool{}, map[event.Schema]bool{}
	for _, l := range lanes {
		o := l.outlet
		if o.Trim != nil { // its renderings are of other records
			continue
		}
		if once[o.Schema] {
			shared[o.Schema] = true
		}
		once[o.Schema] = true
	}
	return shared
}

// Run works until ctx ends. Then the fetchers stop, what they have read is journalled, and the lanes have Grace to send the
// rest. Correctness never depends on that: shutdown is a crash with less work for the next start.
func (p *Pipeline) Run(ctx context.Context) error {
	sending, stop := p.graceful(ctx)
	defer stop()
	return p.work(ctx, sending)
}

// graceful gives a context that ends Grace after ctx.
func (p *Pipeline) graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	cancel := context.AfterFunc(ctx, func() {
		t := time.NewTimer(time.Duration(p.grace.Load()))
		defer t.Stop()
		select {
		case <-t.C:
			stopSending()
		case <-sending.Done():
		}
	})
	return sending, func() {
		cancel()
		stopSending()
	}
}

// work fetches until fetching ends, then sends what is left until it is sent or sending ends.
func (p *Pipeline) work(fetching, sending context.Context) error {
	p.changing <- struct{}{}
	p.fetching, p.sending = fetching, sending
	sources, lanes := p.parts()
	for _, s := range sources {
		p.startSource(s)
	}
	for _, l := range lanes {
		p.startLane(l)
	}
	close(p.begun)
	<-p.changing
	var watching sync.WaitGroup
	watching.Go(func() { p.watchRoom(fetching) })
	<-fetching.Done()
	p.changing <- struct{}{} // what is being changed comes to its end first
	p.fetching, p.sending = nil, nil
	<-p.changing
	sources, lanes = p.parts()
	for _, s := range sources {
		<-s.ended
	}
	watching.Wait()
	close(p.fetched)
	for _, l := range lanes {
		l.drain()
	}
	for _, l := range lanes {
		<-l.ended
	}
	return p.closeSinks()
}

func (p *Pipeline) closeSinks() error {
	var faults []error
	for _, l := range p.allLanes() {
		if err := l.outlet.Sink.Close(); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// signal wakes all who wait: a broadcast that can be selected on.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

// C is closed at the next Broadcast. Take it before looking at what is waited for.
func (s *signal) C() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

// Broadcast wakes everybody.
func (s *signal) Broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}
