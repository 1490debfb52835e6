package pipeline

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
)

// deliver sends a chunk until each of its events has a verdict, then moves the lane. An error means that ctx has ended before:
// then nothing has moved.
func (l *lane) deliver(ctx context.Context, c *chunk) error {
	// todo holds runs of events that are yet without a verdict, in order. A run is sent again exactly as it was after an unknown
	// result: nothing is added, because a peer that has taken it already must be able to tell.
	todo := [][]event.Event{c.events}
	attempts := 0
	for len(todo) > 0 {
		run := todo[0]
		if len(run) == 0 {
			todo = todo[1:]
			continue
		}
		attempts++
		err := l.outlet.Sink.Send(ctx, run)
		if err == nil {
			l.p.o.Crash("lane:after-send")
			l.delivered(c, run)
			todo = todo[1:]
			l.well()
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		again, pause := l.judge(c, run, err, attempts)
		todo = append(again, todo[1:]...)
		if pause != nil {
			if err := l.rest(ctx, "sending failed, the same events are sent again", pause); err != nil {
				return err
			}
		}
	}
	return l.step(ctx, c)
}

// judge settles what err says about a run and gives what is left to be sent; pause is the error to wait for, if any.
func (l *lane) judge(c *chunk, run []event.Event, err error, attempts int) (again [][]event.Event, pause error) {
	switch fault.Of(err) {
	case fault.Poison:
		if len(run) == 1 {
			l.refused(c, &run[0], err, attempts)
			return nil, nil
		}
		half := len(run) / 2
		return [][]event.Event{run[:half:half], run[half:]}, nil
	case fault.Partial:
		failed := fault.Failed(err)
		var left []event.Event
		for i := range run {
			why, bad := failed[i]
			switch {
			case !bad:
				l.delivered(c, run[i:i+1])
			case fault.Of(why) == fault.Poison:
				l.refused(c, &run[i], why, attempts)
			default:
				left, pause = append(left, run[i]), worse(pause, why)
			}
		}
		if len(left) == 0 {
			return nil, nil
		}
		return [][]event.Event{left}, pause
	default:
		return [][]event.Event{run}, err
	}
}

// worse gives the error that needs the longer pause: what is blocked before what the peer has set a time for, before the rest.
func worse(a, b error) error {
	if a == nil || fault.Of(b) == fault.Blocked || fault.Of(a) != fault.Blocked && fault.Pause(b) > fault.Pause(a) {
		return b
	}
	return a
}

func (l *lane) delivered(c *chunk, events []event.Event) {
	for i := 0; i < len(events); {
		key, n := events[i].Key, 1
		for i+n < len(events) && events[i+n].Key == key {
			n++
		}
		c.count(key, event.SinkCounts{Delivered: uint64(n)})
		i += n
	}
}

func (l *lane) refused(c *chunk, e *event.Event, err error, attempts int) {
	l.log.Warn("the sink refuses an event: it is kept as a dead letter", zap.String("stream", e.Key.String()), zap.String("id", e.ID), zap.Error(err))
	c.dead = append(c.dead, l.letter(&e.Record, err.Error(), fault.Reply(err), attempts))
	c.count(e.Key, event.SinkCounts{Dead: 1})
}

// rest waits after an error, and shows it while it lasts.
func (l *lane) rest(ctx context.Context, what string, err error) error {
	pause := l.pacer.Next(err)
	l.mu.Lock()
	l.state.fail(err, time.Now())
	blocked := l.state.Blocked
	l.mu.Unlock()
	level := l.log.Warn
	if blocked {
		level = l.log.Error
	}
	level(what, zap.Error(err), zap.Bool("blocked", blocked), zap.Duration("pause", pause))
	return retry.Sleep(ctx, pause)
}

func (l *lane) well() {
	l.pacer.Reset()
	l.mu.Lock()
	if l.state.Faults > 0 {
		l.log.Info("it works again", zap.Duration("after", time.Since(l.state.Since)))
	}
	l.state.ok()
	l.mu.Unlock()
}

// step moves the lane behind the chunk, for as long as that takes: what the sink has must not be sent again.
func (l *lane) step(ctx context.Context, c *chunk) error {
	if l.outlet.Told != nil {
		for key, n := range l.outlet.Told() {
			c.count(key, event.SinkCounts{Duplicates: n.Duplicates, Truncated: n.Truncated})
		}
	}
	s := event.LaneStep{Sink: l.outlet.Name, To: c.to, Counts: c.counts, Dead: slices.Clip(c.dead)}
	for {
		// Not even the end of ctx comes between a Send and its step.
		err := l.p.o.Journal.Step(context.WithoutCancel(ctx), s)
		if err == nil {
			l.well()
			l.mu.Lock()
			l.moved = time.Now()
			l.mu.Unlock()
			l.p.room.Broadcast()
			return nil
		}
		if err := l.rest(ctx, "saving what was delivered failed, it is tried again; nothing else is sent before", err); err != nil {
			return err
		}
	}
}
