package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
)

// ErrEnding says that nothing is changed any more.
var ErrEnding = errors.New("the process is about to end")

// LeavingError says that an outlet cannot go, because records wait for it and it is not taking them.
type LeavingError struct {
	Sink    string
	Pending uint64
	Dead    uint64
}

func (e *LeavingError) Error() string {
	return fmt.Sprintf("sink %s has %d pending records and %d dead letters", e.Sink, e.Pending, e.Dead)
}

// mostLeave is how long fetching waits for a sink that is to go, so that it gets what is in the journal.
const mostLeave = 5 * time.Second

// Change is what the pipeline is to be from now on.
type Change struct {
	Sources []*Source // those of Options or of an earlier Change, the same pointers, go on undisturbed
	Outlets []*Outlet // the same
	Forget  []string  // names of outlets that may go although records wait for them

	Grace        time.Duration // as in Options
	JournalBytes int64         // as in Options
	// Commit makes the state file's lanes those of Outlets. Nobody journals meanwhile, and the lanes of outlets that come, go or
	// change stand still.
	Commit func() error
}

// changing is a Change under way.
type changing struct {
	Change
	p       *Pipeline
	sources []*source // that stop
	lanes   []*lane   // that stop because their outlet is another now, its name included
	leaving []*lane   // that stop because their outlet is gone
}

// Change makes the running pipeline another one. Parts that are no more the same stop as at shutdown: what was read is journalled, and
// what a sink is just taking has Grace to end. Their successors go on where they stood. After an error all is as it was before.
func (p *Pipeline) Change(ctx context.Context, change Change) error {
	select {
	case <-p.begun:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.changing <- struct{}{}
	defer func() { <-p.changing }()
	if p.fetching == nil || p.fetching.Err() != nil {
		return ErrEnding
	}
	c := p.compare(change)
	if err := c.mayLeave(); err != nil {
		return err
	}
	c.stop()
	p.gate.close()
	c.leave()
	p.o.Crash("reload:stopped")
	err := p.fetching.Err()
	if err != nil {
		err = ErrEnding
	} else {
		err = c.Commit()
	}
	if err == nil {
		p.o.Crash("reload:committed")
		err = c.replace()
	} else {
		c.restore()
	}
	p.gate.open()
	c.start(err == nil)
	return err
}

// compare finds what stops.
func (p *Pipeline) compare(change Change) *changing {
	c := &changing{Change: change, p: p}
	sources, lanes := p.parts()
	for _, s := range sources {
		if !slices.Contains(c.Sources, s.Source) {
			c.sources = append(c.sources, s)
		}
	}
	for _, l := range lanes {
		switch {
		case slices.Contains(c.Outlets, l.outlet):
		case c.heir(l.outlet.Name) != nil:
			c.lanes = append(c.lanes, l)
		default:
			c.leaving = append(c.leaving, l)
		}
	}
	return c
}

// heir gives the outlet that goes on in the place of the one of that name; nil for none. One that has a place keeps it, whatever other
// name it once had.
func (c *changing) heir(name string) *Outlet {
	for _, o := range c.Outlets {
		if o.Name == name {
			return o
		}
	}
	lanes := c.p.allLanes()
	for _, o := range c.Outlets {
		if o.Was == name && !slices.ContainsFunc(lanes, func(l *lane) bool { return l.outlet.Name == o.Name }) {
			return o
		}
	}
	return nil
}

// mayLeave refuses early what has no prospect, before anything is disturbed.
func (c *changing) mayLeave() error {
	for _, state := range c.p.o.Journal.LaneStates() {
		i := slices.IndexFunc(c.leaving, func(l *lane) bool { return l.outlet.Name == state.Sink })
		if i < 0 || c.forgets(state.Sink) {
			continue
		}
		l := c.leaving[i]
		l.mu.Lock()
		stands := l.outlet.Paused || l.state.Faults > 0 || l.save.Faults > 0
		l.mu.Unlock()
		if state.Dead > 0 || parkedOf(state) > 0 || state.Pending > 0 && stands {
			return &LeavingError{Sink: state.Sink, Pending: state.Pending, Dead: state.Dead}
		}
	}
	return nil
}

// parkedOf counts letters that wait for their stream's breaker: that may take days.
func parkedOf(state event.LaneState) (n uint64) {
	for _, of := range state.Parked {
		n += of
	}
	return n
}

func (c *changing) forgets(name string) bool { return slices.Contains(c.Forget, name) }

// stop ends the sources, and the lanes that have an heir. Others go on journalling.
func (c *changing) stop() {
	for _, s := range c.sources {
		s.stop()
	}
	for _, s := range c.sources {
		<-s.ended
	}
	c.p.stopLanes(c.lanes)
}

// leave has the sinks that go take what is in the journal, now that nothing is added to it.
func (c *changing) leave() {
	t := time.NewTimer(mostLeave)
	defer t.Stop()
	for _, l := range c.leaving {
		if c.forgets(l.outlet.Name) {
			l.halt()
		} else {
			l.drain()
		}
	}
	for _, l := range c.leaving {
		select {
		case <-l.ended:
			continue
		case <-t.C:
		case <-c.p.fetching.Done():
		}
		break
	}
	c.p.stopLanes(c.leaving)
}

// stopLanes has lanes begin nothing new, and waits for what they have begun: for the grace, then it is broken off.
func (p *Pipeline) stopLanes(lanes []*lane) {
	for _, l := range lanes {
		l.halt()
	}
	cut := time.AfterFunc(time.Duration(p.grace.Load()), func() {
		for _, l := range lanes {
			l.cut()
		}
	})
	defer cut.Stop()
	late := time.AfterFunc(time.Duration(p.grace.Load())+mostLeave, func() {
		for _, l := range lanes {
			select {
			case <-l.ended:
			default:
				l.log.Error("the sink does not end a Send that was broken off, and the change of the configuration waits for that: is what it writes to read by nobody?")
			}
		}
	})
	defer late.Stop()
	for _, l := range lanes {
		<-l.ended
	}
}

// replace puts the new parts beside those that stay. An error means that the state file lacks a lane, which Commit has made.
func (c *changing) replace() error {
	p := c.p
	was, lanesWere := p.parts()
	places := p.places()
	var lanes []*lane
	for _, o := range c.Outlets {
		at, ok := places[o.Name]
		if !ok {
			c.restore()
			return errors.New("sink " + o.Name + " has no lane in the state file")
		}
		i := slices.IndexFunc(lanesWere, func(l *lane) bool { return l.outlet == o })
		if i >= 0 {
			lanes = append(lanes, lanesWere[i])
			continue
		}
		l := newLane(p, o, at)
		for _, old := range c.lanes {
			if c.heir(old.outlet.Name) == o {
				l.had = old.bequeath(at.Pos)
			}
		}
		lanes = append(lanes, l)
	}
	var sources []*source
	for i, x := range c.Sources {
		if at := slices.IndexFunc(was, func(s *source) bool { return s.Source == x }); at >= 0 {
			sources = append(sources, was[at])
			continue
		}
		s := newSource(p, x)
		s.delay = time.Duration(i) * x.Time.Poll.Std() / time.Duration(max(len(c.Sources), startShares))
		sources = append(sources, s)
	}
	p.grace.Store(int64(c.Grace))
	p.full.mu.Lock()
	p.full.forecast.most = c.JournalBytes
	p.full.mu.Unlock()
	p.put(sources, lanes)
	return nil
}

// restore makes anew what was stopped.
func (c *changing) restore() {
	sources, lanes := c.p.parts()
	sources, lanes = slices.Clone(sources), slices.Clone(lanes)
	places := c.p.places()
	for i, s := range sources {
		if slices.Contains(c.sources, s) {
			sources[i] = newSource(c.p, s.Source)
		}
	}
	for i, l := range lanes {
		if slices.Contains(c.lanes, l) || slices.Contains(c.leaving, l) {
			at := places[l.outlet.Name]
			lanes[i] = newLane(c.p, l.outlet, at)
			lanes[i].had = l.bequeath(at.Pos)
		}
	}
	c.p.put(sources, lanes)
}

func (p *Pipeline) places() map[string]event.LaneState {
	places := map[string]event.LaneState{}
	for _, l := range p.o.Journal.LaneStates() {
		places[l.Sink] = l
	}
	return places
}

func (p *Pipeline) put(sources []*source, lanes []*lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sources, p.lanes = sources, lanes
	p.ring.share(sharedSchemas(lanes))
}

// start starts what was made. Sinks that were replaced are closed before, because theirs may be the same file.
func (c *changing) start(replaced bool) {
	if replaced {
		for _, l := range slices.Concat(c.lanes, c.leaving) {
			if err := l.outlet.Sink.Close(); err != nil {
				l.log.Warn("closing the sink failed", zap.Error(err))
			}
		}
	}
	sources, lanes := c.p.parts()
	for _, l := range lanes {
		if l.halt == nil {
			c.p.startLane(l)
		}
	}
	for _, s := range sources {
		if s.stop == nil {
			c.p.startSource(s)
		}
	}
}

func (p *Pipeline) startSource(s *source) {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(p.fetching)
	go func() {
		defer close(s.ended)
		s.run(ctx)
	}()
}

func (p *Pipeline) startLane(l *lane) {
	var ctx context.Context
	l.sending, l.cut = context.WithCancel(p.sending)
	ctx, l.halt = context.WithCancel(l.sending)
	go func() {
		defer close(l.ended)
		l.run(ctx)
		l.cut()
	}()
}

// drain has the lane send what is there and end.
func (l *lane) drain() { l.drained.Do(func() { close(l.draining) }) }
