package pipeline

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
)

const (
	mostInFlight = 16 << 20 // bytes of bodies between the reader and the lane's step
	leastRoom    = 1 << 20  // the reader goes on when there is so much
	mostWindow   = 64       // chunks there
	mostLetters  = 1 << 18  // bytes of a step: where there is no room for more, the lane stands before the first that has none, or nearly so
)

// lane takes records out of the journal for one sink, at the sink's pace. One goroutine renders and cuts the journal, one does so
// with the letters that are on their way again, and run alone knows what is sent, has its verdict, and may be stepped over.
type lane struct {
	outlet   *Outlet
	p        *Pipeline
	log      *zap.Logger
	start    event.Position
	draining chan struct{} // closed at shutdown: send what is there, wait for nothing more
	drained  sync.Once     // closes it
	halt     func()        // has it begin nothing new
	cut      func()        // breaks off what it sends, too
	ended    chan struct{} // closed when it has ended
	sending  context.Context
	had      inheritance

	// Of the reader.
	limits  event.Limits
	reading *retry.Pacer

	full    chan *chunk // rendered, to be sent; closed when there will be no more
	empty   chan *chunk // to be filled from the journal
	results chan result
	stepped chan error

	// Of run.
	window   []*chunk // of the journal, in order: what is not stepped over yet
	away     []*chunk // letters that are being sent
	free     []*chunk
	lent     bool // the reader has an empty chunk
	done     bool // the readers have
	count    uint64
	bytes    int    // of window and away
	todo     []*run // to be sent, in order
	sick     []*run // what has failed again and again while others passed
	inFlight int
	stepping bool
	step     event.LaneStep
	saving   int              // chunks that the step passes
	inStep   []event.Position // of the events in it that were delivered
	torn     bool             // a step was not saved: none may follow
	pace     pace

	unsaved  atomic.Int32  // steps and verdicts on letters that could not be saved yet: nothing is sent meanwhile
	noRoom   atomic.Int32  // steps that wait for room for their letters: letters are sent meanwhile, since that makes room
	parking  atomic.Int64  // parked letters that no step has saved yet
	awake    chan struct{} // wakes run
	breakers breakers

	mu     sync.Mutex
	state  condition // of sending
	unread condition // of reading the journal
	save   condition // of steps and of letters
	moved  time.Time // when the lane last got on
	given  givenUp
	shown  shown
	told   told
}

// shown is what run lets others see.
type shown struct {
	inFlight int
	events   int     // most of one Send at the moment; 0: no limit
	sick     []Fault // what waits although others pass
}

func newLane(p *Pipeline, o *Outlet, at event.LaneState) *lane {
	l := &lane{
		outlet: o, p: p, log: p.log.With(zap.String("sink", o.Name)), start: at.Pos, limits: o.Sink.Limits(),
		reading: retry.New(retry.Options{}), draining: make(chan struct{}), ended: make(chan struct{}),
		full: make(chan *chunk), empty: make(chan *chunk), results: make(chan result), stepped: make(chan error, 1), awake: make(chan struct{}, 1),
		pace: newPace(o.Sink.Limits()), moved: time.Now(), told: told{},
	}
	l.breakers.stand(at, time.Now())
	return l
}

// run works until ctx ends or, at shutdown, until nothing is left.
func (l *lane) run(ctx context.Context) {
	if l.outlet.Paused {
		return
	}
	if l.sending == nil {
		l.sending = ctx
	}
	var readers sync.WaitGroup
	readers.Go(func() { l.render(ctx) })
	readers.Go(func() { l.returns(ctx) })
	go func() {
		readers.Wait()
		close(l.full)
	}()
	for l.turn(ctx) {
	}
	l.end(ctx)
	for c := range l.full { // lets the readers end
		c.giveBack()
	}
}

// turn starts what may be started and takes in what comes next; false when the lane is done or ctx has ended.
func (l *lane) turn(ctx context.Context) bool {
	l.beginStep(ctx)
	wait := l.send(ctx)
	if ctx.Err() != nil || l.done && len(l.window)+len(l.away)+l.inFlight == 0 && !l.stepping {
		return false
	}
	l.show()
	var empty chan *chunk
	var next *chunk
	if l.roomy() {
		empty, next = l.empty, l.spare()
	}
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	full := l.full
	if l.done {
		full = nil
	}
	select {
	case c, ok := <-full:
		if l.done = !ok; ok {
			l.arrive(c)
		}
	case empty <- next:
		l.lent = true
		l.free = l.free[:max(0, len(l.free)-1)]
	case r := <-l.results:
		l.judge(ctx, r)
	case err := <-l.stepped:
		l.hasStepped(err)
	case <-due:
	case <-l.awake:
	case <-ctx.Done():
	}
	return true
}

// roomy tells whether the reader may go on: never farther ahead than is worth it, whatever memory there is.
func (l *lane) roomy() bool {
	if l.lent || l.done {
		return false
	}
	waiting := 0
	for _, c := range l.window {
		if c.open > 0 {
			waiting++
		}
	}
	return waiting <= l.pace.most && len(l.window) < mostWindow && (l.bytes == 0 || l.bytes+min(bytesOf(l.pace.limits), leastRoom) <= mostInFlight)
}

// tooFar gives the number of the first chunk that is not begun yet: when the process dies, what was sent behind the lane's place is
// sent again, so that is kept short, unless there is something that the others must not wait for.
func (l *lane) tooFar() uint64 {
	if at := max(0, 2*l.pace.most-l.saving); len(l.sick) == 0 && at < len(l.window) {
		return l.window[at].n
	}
	return math.MaxUint64
}

// spare gives a chunk to be filled.
func (l *lane) spare() *chunk {
	if len(l.free) == 0 {
		l.free = append(l.free, &chunk{})
	}
	c := l.free[len(l.free)-1]
	c.room = mostInFlight - l.bytes
	return c
}

// arrive takes a chunk in. Records that could not be rendered speak of a fault of the mapping as those that are refused do.
func (l *lane) arrive(c *chunk) {
	l.count++
	c.n = l.count
	for i := range c.aside {
		if a := &c.aside[i]; a.why != nil {
			a.verdict = l.refusal(c, a.why)
			l.park(c, a.verdict)
		}
	}
	l.bytes += c.bytes
	if c.letters {
		l.away = append(l.away, c)
	} else {
		l.lent = false
		l.window = append(l.window, c)
	}
	if len(c.events) > 0 {
		l.queue(&run{c: c, events: c.events})
	}
	l.finish(c)
}

// finish gives letters back of which each has a verdict.
func (l *lane) finish(c *chunk) {
	if !c.letters || c.open > 0 {
		return
	}
	for i, other := range l.away {
		if other == c {
			l.away = append(l.away[:i], l.away[i+1:]...)
			l.bytes -= c.bytes
			c.giveBack()
			return
		}
	}
}

func (c *chunk) giveBack() {
	if c.letters {
		c.done <- struct{}{}
	}
}

// beginStep moves the lane over the events that have a verdict, up to the first that has none. Inside of a chunk it stops only
// when a Send of that has failed: what was accepted is not to be repeated, whatever ends the process.
func (l *lane) beginStep(ctx context.Context) {
	if l.stepping || l.torn || len(l.window) == 0 {
		return
	}
	if head := l.window[0]; !head.movable(ctx.Err() != nil) {
		return
	}
	l.step = event.LaneStep{Sink: l.outlet.Name, Counts: map[event.StreamKey]event.SinkCounts{}}
	whole, room := 0, mostLetters
	l.inStep = l.inStep[:0]
	for _, c := range l.window {
		from := c.passed
		all := c.pass(&l.step, &room)
		l.inStep = c.delivered(l.inStep, from, c.passed)
		if !all {
			break
		}
		whole++
	}
	if l.outlet.Told != nil {
		for key, n := range l.outlet.Told() {
			sum := l.step.Counts[key]
			sum.Add(event.SinkCounts{Duplicates: n.Duplicates, Truncated: n.Truncated})
			l.step.Counts[key] = sum
		}
	}
	l.retire(whole)
	l.stepping, l.saving = true, whole
	go func() { l.stepped <- l.write(ctx, l.step) }()
}

// retire takes the first chunks out of the window. What a step needs of them it has.
func (l *lane) retire(n int) {
	for _, c := range l.window[:n] {
		l.bytes -= c.bytes
		if len(l.free) <= l.pace.most {
			c.reset(event.Position{})
			l.free = append(l.free, c)
		}
	}
	l.window = append(l.window[:0], l.window[n:]...)
}

// hasStepped goes on after a step. An error means that ctx has ended before it could be saved.
func (l *lane) hasStepped(err error) {
	l.stepping, l.saving = false, 0
	l.parking.Add(-int64(len(l.step.Parked)))
	if err != nil {
		l.torn = true // nothing may be stepped over behind what was not saved
		return
	}
	l.had.passed(l.step.To)
	shut := false
	for i := range l.step.Parked {
		shut = !l.breakers.parked(&l.step.Parked[i].Record) || shut
	}
	if shut {
		l.p.letters.Broadcast()
	}
	l.p.room.Broadcast()
}

// write moves the lane in the state file, for as long as that takes: what the sink has must not be sent again.
func (l *lane) write(ctx context.Context, s event.LaneStep) error {
	return l.persist(ctx, "saving what was delivered failed, it is tried again; nothing else is sent before", func() error {
		// Not even the end of ctx comes between a Send and its step.
		return l.p.o.Journal.Step(context.WithoutCancel(ctx), s)
	})
}

// end waits for the Sends that are under way, because what the sink has still counts, and steps over what is settled.
func (l *lane) end(ctx context.Context) {
	for l.inFlight > 0 {
		l.judge(ctx, <-l.results)
	}
	if l.stepping {
		l.hasStepped(<-l.stepped)
	}
	for l.beginStep(ctx); l.stepping; l.beginStep(ctx) {
		l.hasStepped(<-l.stepped)
	}
	for _, c := range l.away {
		c.giveBack()
	}
	l.show()
}

// show lets others see how the lane fares.
func (l *lane) show() {
	var sick []Fault
	for _, r := range l.sick {
		if r.named {
			sick = append(sick, Fault{Part: "sink " + l.outlet.Name, Blocked: fault.Of(r.err) == fault.Blocked, Err: r.String(), Since: r.since, Times: r.attempts})
		}
	}
	l.mu.Lock()
	l.shown = shown{inFlight: l.inFlight, events: l.pace.events(), sick: sick}
	l.mu.Unlock()
}
