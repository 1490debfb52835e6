package pipeline

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

const (
	lettersAtOnce = 256
	lookForOthers = time.Minute      // how often letters are looked for that nobody has told of
	postpone      = 10 * time.Minute // what a letter waits that fails while others pass
)

// Return puts dead letters on their way again: through today's mapping to the sink that they fell out of. It tells how many.
func (p *Pipeline) Return(ctx context.Context, f event.LetterFilter) (int, error) {
	n, err := p.o.Journal.Return(ctx, f)
	p.LettersChanged() // some may be on their way before an error
	return n, err
}

// LettersChanged has the lanes look at their letters: some were put on their way or dropped.
func (p *Pipeline) LettersChanged() { p.letters.Broadcast() }

// lettersFull names what nobody but an operator can do.
func lettersFull(sink string, err error) error {
	return fault.Block(fmt.Errorf("the dead letters of sink %s fill the room that they have, and nothing new is sent: %w: mend what they were refused for "+
		"(logferry dlq list --sink %s); then parked ones return by themselves, and dead ones by logferry dlq replay. Or give them up by logferry dlq drop, or raise the limit", sink, err, sink))
}

// letters is what the lane's reader of letters knows.
type letters struct {
	*lane
	c         *chunk
	postponed map[uint64]time.Time // until when
	failing   bool                 // the last look at them failed
}

// returns sends the letters that are on their way again, and one of each parked stream every minute, until ctx ends or, at
// shutdown, nothing is left that can be sent.
func (l *lane) returns(ctx context.Context) {
	ls := &letters{lane: l, c: &chunk{letters: true, room: mostInFlight, done: make(chan struct{}, 1)}, postponed: map[uint64]time.Time{}}
	for ctx.Err() == nil {
		changed := l.p.letters.C()
		ls.failing = false
		ls.strays(ctx)
		key, turn, at := l.breakers.due(time.Now())
		due := !at.IsZero() && !at.After(time.Now())
		if due {
			ls.probe(ctx, key, turn)
		}
		if ls.some(ctx) || due && !ls.failing {
			continue
		}
		wait := lookForOthers
		if !at.IsZero() {
			wait = max(time.Second, min(wait, time.Until(at)))
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
		case <-l.draining:
			t.Stop()
			return
		}
		t.Stop()
	}
}

// look gives the oldest n letters that f chooses.
func (ls *letters) look(f event.LetterFilter, n int) []event.DeadLetter {
	f.Sink = ls.outlet.Name
	found, err := ls.p.o.Journal.Letters(f, n)
	if err != nil {
		ls.failing = true
		ls.tell("reading the letters failed, it is tried again", err, lookForOthers)
	}
	return found
}

// some sends the oldest letters that are on their way again; false when there are none.
func (ls *letters) some(ctx context.Context) bool {
	now := time.Now()
	ls.fresh()
	for _, d := range ls.look(event.LetterFilter{States: []event.LetterState{event.Returning}}, lettersAtOnce+len(ls.postponed)) {
		if until, ok := ls.postponed[d.ID]; ok && now.Before(until) {
			continue
		}
		delete(ls.postponed, d.ID)
		ls.add(&d)
	}
	if len(ls.c.rows)+len(ls.c.aside) == 0 {
		return false
	}
	if !ls.through(ctx) {
		return false
	}
	for i := range ls.c.rows {
		if r := &ls.c.rows[i]; r.verdict == postponed {
			ls.postponed[r.id] = time.Now().Add(postpone)
		}
	}
	return true
}

func (ls *letters) fresh() { ls.c.reset(event.Position{}) }

// add renders a letter anew: the mapping, the filter and what is trimmed may have changed since.
func (ls *letters) add(d *event.DeadLetter) {
	at := row{id: d.ID}
	if !ls.outlet.wants(d.Record.Key) {
		ls.c.leaveOut(d.Record.Key, 1, d.ID)
		return
	}
	ls.put(ls.c, &d.Record, at, nil, 0)
}

// through has the letters sent and saves their verdicts. It tells whether all is done that could be.
func (ls *letters) through(ctx context.Context) bool {
	if !ls.hand(ctx, ls.c) {
		return false
	}
	<-ls.c.done
	verdicts := ls.c.settled()
	if len(verdicts) == 0 {
		return ctx.Err() == nil
	}
	err := ls.persist(ctx, "saving what became of letters failed, it is tried again; nothing else is sent before", func() error {
		return ls.p.o.Journal.Settle(context.WithoutCancel(ctx), ls.outlet.Name, verdicts)
	})
	if ls.noRoom.Load() > 0 { // there may be some now
		ls.p.letters.Broadcast()
	}
	return err == nil
}

// probe tries one of the parked letters of a stream. When it is accepted the others follow.
func (ls *letters) probe(ctx context.Context, key event.StreamKey, turn int) {
	parkedOnes := event.LetterFilter{Stream: key.String(), States: []event.LetterState{event.Parked}}
	var found []event.DeadLetter
	at := 0
	if parkedOnes.From = ls.breakers.fresh(key, turn); !parkedOnes.From.IsZero() {
		found = ls.look(parkedOnes, 1)
	}
	if len(found) == 0 {
		parkedOnes.From, at = time.Time{}, turn
		found = ls.look(parkedOnes, turn+1)
	}
	switch {
	case ls.failing, len(found) == 0 && ls.parking.Load() > 0: // the latter are not written yet
		ls.breakers.probed(key, turn, "", time.Now().Add(probeEvery))
		return
	case len(found) == 0:
		ls.log.Info("nothing of a parked stream is left: its events are sent again", zap.String("stream", key.String()))
		ls.breakers.shut(key)
		return
	case len(found) <= at:
		turn, at = 0, 0
	}
	ls.fresh()
	ls.c.probe = true
	defer func() { ls.c.probe = false }()
	ls.add(&found[at])
	if !ls.through(ctx) {
		return
	}
	switch v, why := ls.c.only(); v {
	case delivered:
		ls.log.Info("a parked event was accepted: the others of its stream follow", zap.String("stream", key.String()))
		ls.breakers.shut(key)
		ls.unpark(ctx, key)
	case filtered:
		ls.breakers.probed(key, turn, "", time.Now())
	case parked:
		ls.breakers.probed(key, turn+1, why.Reason, time.Now().Add(probeEvery))
	default:
		ls.breakers.probed(key, turn+1, "", time.Now().Add(probeEvery))
	}
}

// only gives what became of the one letter.
func (c *chunk) only() (verdict, *event.DeadLetter) {
	if len(c.rows) > 0 {
		return c.rows[0].verdict, c.rows[0].why
	}
	return c.aside[0].verdict, c.aside[0].why
}

// unpark sends the parked letters of a stream on their way. Where that fails they are found later, by strays.
func (ls *letters) unpark(ctx context.Context, key event.StreamKey) {
	if _, err := ls.p.o.Journal.Unpark(ctx, ls.outlet.Name, key); err != nil && ctx.Err() == nil {
		ls.failing = true
		ls.tell("sending parked events on their way failed, it is tried again", err, lookForOthers)
	}
}

// strays finds letters that were parked while their stream's breaker was being shut.
func (ls *letters) strays(ctx context.Context) {
	for _, state := range ls.p.o.Journal.LaneStates() {
		if state.Sink != ls.outlet.Name {
			continue
		}
		for key, n := range state.Parked {
			if n > 0 && !ls.breakers.isOpen(key) {
				ls.unpark(ctx, key)
			}
		}
	}
}
