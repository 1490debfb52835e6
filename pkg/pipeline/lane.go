package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/retry"
)

// lane takes records out of the journal for one sink, at the sink's pace: one goroutine renders and cuts, one sends.
type lane struct {
	outlet   *Outlet
	p        *Pipeline
	log      *zap.Logger
	limits   event.Limits
	start    event.Position
	pacer    *retry.Pacer  // of the sender
	reading  *retry.Pacer  // of the journal's reader
	draining chan struct{} // closed at shutdown: send what is there, wait for nothing more
	full     chan *chunk   // rendered, to be sent
	empty    chan *chunk   // sent, to be used again

	mu     sync.Mutex
	state  condition
	unread condition // of reading the journal
	moved  time.Time // when the lane last got on
	given  givenUp
}

// chunk is what one Send takes, with what was settled without the sink: filtered records and those that cannot be rendered.
type chunk struct {
	events []event.Event
	ends   []int // of the bodies in buf; only until they are sliced
	buf    []byte
	shared []bool // whether the body belongs to the ring
	from   event.Position
	to     event.Position
	counts map[event.StreamKey]event.SinkCounts
	dead   []event.DeadLetter
	bytes  int
	begun  time.Time // when its first record came: lingering counts from there
}

// mostBatches bounds what one step passes: a full journal gets its room back while a lane passes what it does not want.
const mostBatches = 256

func newLane(p *Pipeline, o *Outlet, at event.Position) *lane {
	l := &lane{
		outlet: o, p: p, log: p.log.With(zap.String("sink", o.Name)), limits: o.Sink.Limits(), start: at,
		pacer: retry.New(retry.Options{}), reading: retry.New(retry.Options{}),
		draining: make(chan struct{}), full: make(chan *chunk), empty: make(chan *chunk, 2), moved: time.Now(),
	}
	for range cap(l.empty) {
		l.empty <- &chunk{counts: map[event.StreamKey]event.SinkCounts{}}
	}
	return l
}

func (c *chunk) reset(at event.Position) {
	clear(c.counts)
	clear(c.events) // lets go of the batches that the records alias
	c.events, c.ends, c.shared, c.buf, c.dead, c.bytes = c.events[:0], c.ends[:0], c.shared[:0], c.buf[:0], nil, 0
	c.from, c.to, c.begun = at, at, time.Time{}
}

func (c *chunk) blank() bool { return c.from == c.to }

func (c *chunk) count(key event.StreamKey, n event.SinkCounts) {
	sum := c.counts[key]
	sum.Add(n)
	c.counts[key] = sum
}

// bodies makes the events' bodies slices of the chunk's buffer, now that it grows no more.
func (c *chunk) bodies() {
	start := 0
	for i, end := range c.ends {
		if !c.shared[i] {
			c.events[i].Body = c.buf[start:end:end]
		}
		start = end
	}
}

func (l *lane) run(ctx context.Context) {
	if l.outlet.Paused {
		return
	}
	var rendering sync.WaitGroup
	rendering.Go(func() {
		defer close(l.full)
		l.render(ctx)
	})
	for c := range l.full {
		if l.deliver(ctx, c) != nil {
			break
		}
		l.empty <- c
	}
	for range l.full { // lets render end
	}
	rendering.Wait()
}

// render turns the journal into chunks until ctx ends, or, at shutdown, until nothing is left.
func (l *lane) render(ctx context.Context) {
	at := l.start
	c, ok := l.take(ctx, at)
	for ok {
		added := l.p.ring.added.C()
		at = l.jump(at)
		e, batch, err := l.batch(at.Seq)
		if err == nil && l.unread.Faults > 0 { // written by this goroutine alone
			l.reading.Reset()
			l.readable(nil)
		}
		switch {
		case err != nil:
			l.log.Error("reading the journal failed, trying again", zap.Error(err))
			l.readable(err)
			ok = retry.Sleep(ctx, l.reading.Next(err)) == nil
		case batch == nil && c.blank():
			ok = l.await(ctx, added)
		case batch == nil:
			if l.linger(ctx, added, c) {
				c, ok = l.emit(ctx, c)
			}
		default:
			if batch.Seq != at.Seq {
				at = event.Position{Seq: batch.Seq}
			}
			c, ok = l.fill(ctx, c, e, batch, at.Index)
			at = event.Position{Seq: batch.Seq + 1}
			if ok && c.to.Seq-c.from.Seq >= mostBatches {
				c, ok = l.emit(ctx, c)
			}
		}
	}
}

// readable notes whether the journal could be read.
func (l *lane) readable(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.unread.ok()
	} else {
		l.unread.fail(err, time.Now())
	}
}

// take waits for a chunk that is free.
func (l *lane) take(ctx context.Context, at event.Position) (*chunk, bool) {
	select {
	case c := <-l.empty:
		c.reset(at)
		return c, true
	case <-ctx.Done():
		return nil, false
	}
}

// emit hands a chunk to the sender and takes an empty one.
func (l *lane) emit(ctx context.Context, c *chunk) (*chunk, bool) {
	c.bodies()
	at := c.to
	select {
	case l.full <- c:
	case <-ctx.Done():
		return nil, false
	}
	return l.take(ctx, at)
}

// linger waits for more records, so that a Send is worth its request; true when the time is over and the chunk is to go.
func (l *lane) linger(ctx context.Context, added <-chan struct{}, c *chunk) bool {
	t := time.NewTimer(l.limits.Linger - time.Since(c.begun))
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.draining:
	case <-ctx.Done():
	case <-added:
		return false
	}
	return true
}

// await rests until the journal has more; false when there will be no more.
func (l *lane) await(ctx context.Context, added <-chan struct{}) bool {
	select {
	case <-added:
		return true
	case <-ctx.Done():
		return false
	case <-l.draining:
	}
	select { // both may have come at once: the last batch is sent yet
	case <-added:
		return true
	default:
		return false
	}
}

// batch gives the batch at seq or the next one behind it; nil when there is none yet. A damaged one is passed over after its
// slice was handed to its reader again.
func (l *lane) batch(seq uint64) (*entry, *event.Batch, error) {
	if e := l.p.ring.get(seq); e != nil {
		return e, e.batch, nil
	}
	for {
		b, err := l.p.o.Journal.Read(seq)
		var damaged interface {
			error
			Damage() (seq uint64, key event.StreamKey)
		}
		if !errors.As(err, &damaged) {
			return nil, b, err
		}
		at, key := damaged.Damage()
		slice, lost := l.p.o.Journal.Damaged(at)
		if lost != nil {
			return nil, nil, errors.Join(err, lost)
		}
		l.repair(key, slice, err)
	}
}

// repair has the slice of a damaged batch read again. Where its stream is not read at the moment the state file remembers it.
func (l *lane) repair(key event.StreamKey, slice event.Slice, damaged error) {
	for _, s := range l.p.sources {
		if s.repair(key, slice) {
			l.log.Error("a batch of the journal is damaged: its slice is read again", zap.Error(damaged), zap.Stringer("slice", slice))
			return
		}
	}
	l.log.Error("a batch of the journal is damaged: its slice is read again as soon as its stream is read",
		zap.Error(damaged), zap.Stringer("stream", key), zap.Stringer("slice", slice))
}

// fill puts the records of a batch from index on into chunks and emits those that are full.
func (l *lane) fill(ctx context.Context, c *chunk, e *entry, b *event.Batch, index int) (*chunk, bool) {
	var shared *rendering
	if e != nil && l.p.ring.shared[l.outlet.Schema] {
		shared = e.rendered(l.p.o.Normalizer, l.outlet.Schema)
	}
	if c.begun.IsZero() {
		c.begun = time.Now()
	}
	wanted := l.outlet.wants(b.Key) && meantFor(b.Slice.Reader, l.outlet.Name)
	if !wanted {
		c.count(b.Key, event.SinkCounts{Filtered: uint64(len(b.Records) - index)})
		c.to = event.Position{Seq: b.Seq + 1}
		return c, true
	}
	for i := index; i < len(b.Records); i++ {
		if l.isFull(c) {
			c.to = event.Position{Seq: b.Seq, Index: i}
			var ok bool
			if c, ok = l.emit(ctx, c); !ok {
				return nil, false
			}
			c.begun = time.Now()
		}
		l.put(c, &b.Records[i], shared, i)
	}
	c.to = event.Position{Seq: b.Seq + 1}
	return c, true
}

func (l *lane) isFull(c *chunk) bool {
	return l.limits.Events > 0 && len(c.events) >= l.limits.Events || l.limits.Bytes > 0 && c.bytes >= l.limits.Bytes
}

// put renders one record into the chunk.
func (l *lane) put(c *chunk, r *event.Record, shared *rendering, i int) {
	var err error
	ev := event.Event{Record: *r}
	before := len(c.buf)
	switch {
	case shared == nil:
		var out []byte
		if out, err = normalize(l.p.o.Normalizer, c.buf, *r, l.outlet.Schema); err == nil {
			c.buf = out
		}
	case shared.errs != nil && shared.errs[i] != nil:
		err = shared.errs[i]
	default:
		ev.Body = shared.bodies[i]
	}
	if err != nil {
		c.dead = append(c.dead, l.letter(r, "the record cannot be mapped: "+err.Error(), "", 0))
		c.count(r.Key, event.SinkCounts{Dead: 1})
		return
	}
	ev.EventID = ev.Record.EventID()
	c.bytes += len(c.buf) - before + len(ev.Body)
	c.events = append(c.events, ev)
	c.ends = append(c.ends, len(c.buf))
	c.shared = append(c.shared, shared != nil)
}

func (l *lane) letter(r *event.Record, reason, reply string, attempts int) event.DeadLetter {
	return event.DeadLetter{Sink: l.outlet.Name, At: time.Now().UTC(), Reason: reason, Reply: reply, Attempts: attempts, Record: *r}
}
