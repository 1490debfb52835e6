package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/retry"
)

// mostBatches bounds what one step passes: a full journal gets its room back while a lane passes what it does not want.
const mostBatches = 256

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

// take waits for a chunk that is free: so far the reader may go ahead of the sender.
func (l *lane) take(ctx context.Context, at event.Position) (*chunk, bool) {
	select {
	case c := <-l.empty:
		c.reset(at)
		l.limits = l.outlet.Sink.Limits()
		return c, true
	case <-ctx.Done():
		return nil, false
	}
}

// emit hands a chunk to the sender and takes an empty one.
func (l *lane) emit(ctx context.Context, c *chunk) (*chunk, bool) {
	at := c.to
	if !l.hand(ctx, c) {
		return nil, false
	}
	return l.take(ctx, at)
}

func (l *lane) hand(ctx context.Context, c *chunk) bool {
	c.bodies()
	select {
	case l.full <- c:
		return true
	case <-ctx.Done():
		return false
	}
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
	for _, s := range l.p.allSources() {
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
	if c.begun.IsZero() {
		c.begun = time.Now()
	}
	if !l.outlet.wants(b.Key) || !meantFor(b.Slice.Reader, l.outlet) {
		c.leaveOut(b.Key, len(b.Records)-index, 0)
		c.to = event.Position{Seq: b.Seq + 1}
		return c, true
	}
	var shared *rendering
	if e != nil && l.outlet.Trim == nil && l.p.ring.shares(l.outlet.Schema) {
		shared = e.rendered(l.p.o.Normalizer, l.outlet.Schema)
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
		l.put(c, &b.Records[i], row{at: event.Position{Seq: b.Seq, Index: i}}, shared, i)
		if l.limits.Bytes > 0 && c.bytes > l.limits.Bytes && len(c.events) > 1 {
			var ok bool
			if c, ok = l.carry(ctx, c); !ok {
				return nil, false
			}
		}
	}
	c.to = event.Position{Seq: b.Seq + 1}
	return c, true
}

// carry emits a chunk without its last event, which would make it too large, and begins the next one with that.
func (l *lane) carry(ctx context.Context, c *chunk) (*chunk, bool) {
	last := len(c.events) - 1
	ev, at, start, shared := c.events[last], c.rows[last], c.ends[last-1], c.shared[last]
	body := slices.Clone(c.buf[start:])
	if at.raw != nil {
		ev.Record.Raw = slices.Clone(ev.Record.Raw) // it lies in the chunk
	}
	c.events, c.rows, c.ends, c.shared = c.events[:last], c.rows[:last], c.ends[:last], c.shared[:last]
	c.bytes -= len(body) + len(ev.Body)
	c.to = at.at
	c, ok := l.emit(ctx, c)
	if !ok {
		return nil, false
	}
	c.begun = time.Now()
	c.buf = append(c.buf, body...)
	c.events, c.rows, c.shared, c.ends = append(c.events, ev), append(c.rows, at), append(c.shared, shared), append(c.ends, len(c.buf))
	c.bytes = len(c.buf) + len(ev.Body)
	return c, true
}

func (l *lane) isFull(c *chunk) bool {
	return l.limits.Events > 0 && len(c.events) >= l.limits.Events || c.bytes >= min(bytesOf(l.limits), c.room)
}

func bytesOf(limits event.Limits) int {
	if limits.Bytes > 0 {
		return min(limits.Bytes, mostInFlight)
	}
	return mostInFlight
}

// put renders one record into the chunk, or puts it aside.
func (l *lane) put(c *chunk, r *event.Record, at row, shared *rendering, i int) {
	if l.had.has(at.at) {
		c.aside = append(c.aside, aside{row: row{at: at.at, verdict: delivered}, before: len(c.events), key: r.Key, n: 1})
		return
	}
	if !l.outlet.keeps(r) {
		c.leaveOut(r.Key, 1, at.id)
		return
	}
	var err error
	own := *r
	if l.outlet.Keep != nil { // or the few that are kept hold whole batches in memory
		own.ID, own.Raw = strings.Clone(r.ID), slices.Clone(r.Raw)
	}
	ev := event.Event{Record: own}
	ev.EventID = ev.Record.Identify()
	before := len(c.buf)
	switch {
	case shared == nil:
		at.raw, err = l.render1(c, &ev.Record)
	case shared.errs != nil && shared.errs[i] != nil:
		err = shared.errs[i]
	case l.outlet.Keep != nil:
		c.buf = append(c.buf, shared.bodies[i]...)
	default:
		ev.Body = shared.bodies[i]
	}
	if err != nil {
		at.why = l.letter(own, "the record cannot be mapped: "+err.Error(), "", 0)
		c.aside = append(c.aside, aside{row: at, before: len(c.events), key: r.Key, n: 1})
		return
	}
	c.bytes += len(c.buf) - before + len(ev.Body)
	c.events = append(c.events, ev)
	c.rows = append(c.rows, at)
	c.ends = append(c.ends, len(c.buf))
	c.shared = append(c.shared, ev.Body != nil)
}

// render1 appends a record's body to the chunk. Where the outlet trims, the record's raw form becomes the trimmed one, and original
// is what it was.
func (l *lane) render1(c *chunk, r *event.Record) (original []byte, err error) {
	if l.outlet.Trim != nil {
		before := len(c.raws)
		raws, err := l.outlet.trim(c.raws, r)
		if err != nil {
			return nil, err
		}
		c.raws = raws
		original, r.Raw = r.Raw, raws[before:len(raws):len(raws)]
	}
	out, err := normalize(l.p.o.Normalizer, c.buf, *r, l.outlet.Schema)
	if err == nil {
		c.buf = out
	}
	return original, err
}

// keeps tells whether the sink is to get a record. One over which the filter stumbles it gets: what is filtered is filtered knowingly.
func (o *Outlet) keeps(r *event.Record) (kept bool) {
	if o.Keep == nil {
		return true
	}
	defer func() {
		if recover() != nil {
			kept = true
		}
	}()
	return o.Keep(r)
}

// trim turns a panic over one record into an error, as normalize does.
func (o *Outlet) trim(dst []byte, r *event.Record) (out []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = dst, fmt.Errorf("trimming panicked: %v", v)
		}
	}()
	return o.Trim(dst, r)
}

func (l *lane) letter(r event.Record, reason, reply string, attempts int) *event.DeadLetter {
	return &event.DeadLetter{Sink: l.outlet.Name, At: time.Now().UTC(), Reason: reason, Reply: reply, Attempts: attempts, Record: r}
}
