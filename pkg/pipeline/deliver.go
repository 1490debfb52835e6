package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
)

// queue puts runs back among those to be sent, which are in the order in which they came.
func (l *lane) queue(runs ...*run) {
	for _, r := range runs {
		at, _ := slices.BinarySearchFunc(l.todo, r, func(a, b *run) int {
			if a.c.n != b.c.n {
				return int(min(1, max(-1, int64(a.c.n)-int64(b.c.n))))
			}
			return a.first - b.first
		})
		l.todo = slices.Insert(l.todo, at, r)
	}
}

// send starts what may be started and tells how long it is until more may be; 0: until something happens.
func (l *lane) send(ctx context.Context) time.Duration {
	l.pace.ask(l.outlet.Sink.Limits())
	for ctx.Err() == nil && l.inFlight < l.pace.at() && l.unsaved.Load() == 0 {
		if l.pace.most == 1 && l.stepping && l.noRoom.Load() == 0 { // then what is sent twice after a crash is one Send at most
			return 0
		}
		now := time.Now()
		if wait := l.pace.until.Sub(now); wait > 0 {
			return wait
		}
		i, wait := l.pick(now)
		if i < 0 {
			return wait
		}
		r := l.todo[i]
		l.todo = slices.Delete(l.todo, i, i+1)
		if r = l.fit(r); r == nil {
			l.beginStep(ctx)
			continue
		}
		r.attempts++
		r.epoch = l.pace.epoch
		l.inFlight++
		go func() {
			err := l.outlet.Sink.Send(l.sending, r.events)
			if err == nil {
				l.p.o.Crash("lane:after-send")
			}
			l.results <- result{r, err}
		}()
	}
	return 0
}

// pick chooses what is sent next: the first that waits, but one that has failed often only after others have had their turn. A
// sink that takes one Send at a time gets the journal in its order, whatever happens. Where letters have no room, only letters go.
func (l *lane) pick(now time.Time) (best int, wait time.Duration) {
	best = -1
	journal, tooFar, noRoom := false, l.tooFar(), l.noRoom.Load() > 0
	for i, r := range l.todo {
		if noRoom && !r.c.letters {
			continue
		}
		if l.pace.most == 1 && !r.c.letters {
			if journal {
				continue
			}
			journal = true
		}
		if !r.c.letters && r.attempts == 0 && r.c.n >= tooFar {
			continue
		}
		if d := r.until.Sub(now); d > 0 {
			if wait == 0 || d < wait {
				wait = d
			}
			continue
		}
		if best < 0 || r.rank() < l.todo[best].rank() {
			best = i
		}
	}
	return best, wait
}

// fit leaves of a run what is to be sent now: nothing whose stream is parked, and no more than one Send takes. A run whose result
// is not known stays as it was.
func (l *lane) fit(r *run) *run {
	if r.fails > 0 || r.sick {
		return r
	}
	if !r.c.letters && l.breakers.any() {
		var left []int
		for i := range r.events {
			if key := r.events[i].Key; l.breakers.isOpen(key) {
				l.settle(r, i, parked, l.letter(r.c.record(r.place(i)), "parked: "+l.breakers.reason(key), "", r.attempts))
			} else {
				left = append(left, i)
			}
		}
		if len(left) == 0 {
			return nil
		}
		if len(left) < len(r.events) {
			r = r.part(left)
		}
	}
	if n := l.pace.fit(r.events); n < len(r.events) {
		first, rest := r.split(n)
		l.queue(rest)
		return first
	}
	return r
}

// settle notes what has become of an event.
func (l *lane) settle(r *run, i int, v verdict, why *event.DeadLetter) {
	row := &r.c.rows[r.place(i)]
	row.verdict, row.why = v, why
	r.c.open--
	l.park(r.c, v)
}

// park counts what is parked until a step has saved it.
func (l *lane) park(c *chunk, v verdict) {
	if v == parked && !c.letters {
		l.parking.Add(1)
	}
}

// judge takes in what a Send has given.
func (l *lane) judge(ctx context.Context, got result) {
	l.inFlight--
	r, err := got.run, got.err
	switch class := fault.Of(err); {
	case err == nil:
		l.accepted(r, 0, len(r.events))
		l.wentWell(r)
	case class == fault.Poison:
		l.poison(r, err)
	case class == fault.Partial:
		l.partly(ctx, r, err)
	default:
		l.failed(ctx, r, err, true)
	}
	l.finish(r.c)
}

func (l *lane) poison(r *run, err error) {
	l.recover(r)
	if fault.Oversized(err) {
		l.pace.tooLarge(r.events)
	}
	l.well()
	l.findSick()
	if len(r.events) == 1 {
		l.refuse(r, 0, err)
		return
	}
	a, b := r.split(len(r.events) / 2)
	l.queue(a, b)
}

// partly settles what a reply says about single events. One that is only suspected is sent once more, alone.
func (l *lane) partly(ctx context.Context, r *run, err error) {
	failed := fault.Failed(err)
	var left, soon []int
	var pause error
	good := 0 // where the events begin that were accepted in a row
	for i := range r.events {
		why, bad := failed[i]
		if !bad {
			continue
		}
		l.accepted(r, good, i)
		good = i + 1
		switch {
		case fault.AtOnce(why):
			soon = append(soon, i)
		case fault.Of(why) != fault.Poison:
			left, pause = append(left, i), worse(pause, why)
		case fault.Suspected(why) && len(r.events) > 1:
			l.queue(r.part([]int{i}))
		default:
			l.refuse(r, i, why)
		}
	}
	l.accepted(r, good, len(r.events))
	switch {
	case len(soon) == len(r.events): // nothing has come of it, and nothing would of the next try
		left, pause = soon, failed[soon[0]]
	case len(soon) > 0:
		l.queue(r.part(soon))
	}
	switch len(left) {
	case 0:
		l.recover(r)
		r.c.tried = true
		l.well()
		l.findSick()
	case len(r.events):
		l.failed(ctx, r, pause, true)
	default:
		l.recover(r)
		l.findSick()
		l.failed(ctx, r.part(left), pause, false)
	}
}

// worse gives the error that needs the longer pause: what is blocked before what the peer has set a time for, before the rest.
func worse(a, b error) error {
	if a == nil || fault.Of(b) == fault.Blocked || fault.Of(a) != fault.Blocked && fault.Pause(b) > fault.Pause(a) {
		return b
	}
	return a
}

// accepted settles the events [from, to) of a run.
func (l *lane) accepted(r *run, from, to int) {
	for i := from; i < to; {
		key, n := r.events[i].Key, 0
		for ; i < to && r.events[i].Key == key; i++ {
			l.settle(r, i, delivered, nil)
			n++
		}
		if !r.c.letters {
			l.breakers.took(key, n)
		}
	}
}

func (l *lane) refuse(r *run, i int, err error) {
	e := &r.events[i]
	why := l.letter(r.c.record(r.place(i)), err.Error(), fault.Reply(err), r.attempts)
	v := l.refusal(r.c, why)
	if v == refused {
		l.log.Warn("the sink refuses an event: it is kept as a dead letter", zap.String("stream", e.Key.String()), zap.String("id", e.ID), zap.Error(err))
	}
	l.settle(r, i, v, why)
}

// refusal tells what becomes of a record that is not taken: a dead letter, or parked, where its stream's breaker is open.
func (l *lane) refusal(c *chunk, why *event.DeadLetter) verdict {
	switch {
	case c.probe:
		return parked
	case c.letters:
		return refused
	}
	key := why.Record.Key
	was, is := l.breakers.refused(key, why.Reason, time.Now())
	if is && !was {
		l.log.Error("too many events of a stream are refused: from now on they are parked, and one is tried every minute",
			zap.String("stream", key.String()), zap.String("error", why.Reason))
		l.p.letters.Broadcast()
	}
	if was {
		return parked
	}
	return refused
}

// failed sees to it that a run is sent again, after a pause of the lane or, where others pass, of its own.
func (l *lane) failed(ctx context.Context, r *run, err error, whole bool) {
	now := time.Now()
	r.c.tried, r.err = true, err
	if whole {
		r.fails++
	}
	if ctx.Err() != nil { // it says nothing of the sink
		return
	}
	if r.sick {
		l.again(r, now)
		return
	}
	l.queue(r)
	if r.epoch != l.pace.epoch {
		l.pace.failedToo(err, now)
		return
	}
	pause := l.pace.failed(err, whole, now)
	l.mu.Lock()
	l.state.fail(err, now)
	l.mu.Unlock()
	what := "sending failed, the same events are sent again"
	if !whole {
		what = "some events were not accepted yet, these are sent again"
	}
	l.tell(what, err, pause)
}

// again paces what fails alone. A pause that the peer asks for is the lane's, and then others go first. If it goes on failing it is
// cut in two, to find out what it is; of letters, one is left for another time.
func (l *lane) again(r *run, now time.Time) {
	pause := r.pacer.Next(r.err)
	if fault.Of(r.err) == fault.Retryable {
		l.pace.wait(fault.Pause(r.err), now)
		pause = max(pause, 2*fault.Pause(r.err))
	}
	r.until = now.Add(pause)
	if !r.named { // only now: before others passed it may have failed with all the rest
		r.named = true
		l.log.Warn("events fail while others pass: they are tried again apart", zap.Stringer("what", r))
	}
	switch {
	case r.fails < sickAfter || len(r.events) == 1 && !r.c.letters || l.pace.most == 1 && !r.c.letters:
		l.queue(r)
	case len(r.events) == 1:
		l.recover(r)
		l.settle(r, 0, postponed, nil)
	default:
		l.recover(r)
		a, b := r.split(len(r.events) / 2)
		for _, half := range []*run{a, b} {
			half.err, half.named = r.err, true
			l.ails(half, now)
			l.queue(half)
		}
	}
}

func (l *lane) ails(r *run, now time.Time) {
	r.sick, r.since, r.fails, r.pacer = true, now, 0, retry.New(retry.Options{})
	l.sick = append(l.sick, r)
}

// recover takes a run out of those that wait for themselves.
func (l *lane) recover(r *run) {
	if r.sick {
		l.sick = slices.DeleteFunc(l.sick, func(other *run) bool { return other == r })
	}
}

// wentWell ends the trouble that there was.
func (l *lane) wentWell(r *run) {
	l.recover(r)
	if r.epoch != l.pace.epoch {
		return
	}
	l.pace.wentWell()
	l.well()
	l.findSick()
}

// findSick takes note, now that others have had an answer, of what has failed often: it fails alone.
func (l *lane) findSick() {
	for _, other := range l.todo {
		if other.fails >= sickAfter && !other.sick {
			l.ails(other, time.Now())
		}
	}
}

func (l *lane) well() {
	l.mu.Lock()
	if l.state.Faults > 0 {
		l.log.Info("it works again", zap.Duration("after", time.Since(l.state.Since)))
		clear(l.told)
	}
	l.state.ok()
	l.mu.Unlock()
}

// tell says an error once, and again when it has not been said for long. Numbers, such as those of ports, do not make it another one.
func (l *lane) tell(what string, err error, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	without := strings.NewReplacer("0", "", "1", "", "2", "", "3", "", "4", "", "5", "", "6", "", "7", "", "8", "", "9", "")
	blocked := fault.Of(err) == fault.Blocked
	level := l.log.Warn
	switch {
	case !l.told.news(errors.New(what+without.Replace(err.Error())), time.Now()):
		level = l.log.Debug
	case blocked:
		level = l.log.Error
	}
	level(what, zap.Error(err), zap.Bool("blocked", blocked), zap.Duration("pause", pause))
}
