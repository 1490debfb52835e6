package pipeline

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
)

// fullness is what the pipeline knows of a journal that is full or will be.
type fullness struct {
	mu       sync.Mutex
	forecast forecast
	skip     condition // of SkipOldest
}

// givenUp is what a lane has skipped. The lane's mutex guards it.
type givenUp struct {
	to    event.Position // where it goes on
	all   uint64         // records since the start
	now   uint64         // records since since
	since time.Time      // zero: it skips nothing at the moment
}

func newFullness(o *Options) *fullness {
	return &fullness{forecast: forecast{most: o.JournalBytes}}
}

// skipping gives the sinks that give up their oldest records when the journal is full.
func (p *Pipeline) skipping() (names []string) {
	for _, l := range p.allLanes() {
		if l.outlet.SkipOldest {
			names = append(names, l.outlet.Name)
		}
	}
	return names
}

// makeRoom has the lanes that may do so give up their oldest records while the journal is full. It tells whether there are such
// lanes and there is room now.
func (p *Pipeline) makeRoom() bool {
	p.gate.enter() // no lane may go meanwhile
	defer p.gate.leave()
	skipping := p.skipping()
	if len(skipping) == 0 {
		return false
	}
	for {
		room := p.o.Journal.Room()
		if room > 0 {
			return true
		}
		skips, err := p.o.Journal.SkipOldest(skipping)
		p.skippable(err)
		for _, s := range skips {
			p.gaveUp(s)
		}
		// Without a skip it may still have deleted what all have passed.
		if err != nil || len(skips) == 0 && p.o.Journal.Room() <= room {
			return false
		}
		p.room.Broadcast()
	}
}

// skippable notes whether records can be skipped.
func (p *Pipeline) skippable(err error) {
	p.full.mu.Lock()
	defer p.full.mu.Unlock()
	if err == nil {
		p.full.skip.ok()
		return
	}
	if p.full.skip.fail(err, time.Now()); p.full.skip.Faults == 1 {
		p.log.Error("making room in the full journal failed, it is tried again", zap.Error(err))
	}
}

func (p *Pipeline) gaveUp(s event.Skip) {
	p.log.Warn("the journal is full: the sink's oldest records are skipped, it will not get them", zap.String("sink", s.Sink),
		zap.Uint64("records", s.Records), zap.Time("from", s.From), zap.Time("until", s.Until))
	for _, l := range p.allLanes() {
		if l.outlet.Name != s.Sink {
			continue
		}
		l.mu.Lock()
		if l.given.since.IsZero() {
			l.given.since = time.Now()
		}
		l.given.to = s.To
		l.given.all += s.Records
		l.given.now += s.Records
		l.mu.Unlock()
	}
}

// jump gives the place to go on from: at, unless the lane has skipped beyond it. What was rendered before is sent all the same.
func (l *lane) jump(at event.Position) event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Less(l.given.to) {
		return l.given.to
	}
	return at
}

// watchRoom looks once a minute how the journal fills.
func (p *Pipeline) watchRoom(ctx context.Context) {
	if p.o.JournalBytes == 0 {
		return
	}
	var most int64
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		room := p.o.Journal.Room()
		p.full.mu.Lock()
		most = p.full.forecast.most
		warn := p.full.forecast.look(time.Now(), room)
		p.full.mu.Unlock()
		if warn {
			p.warn()
		}
		// A skip makes less room than this: more means that the sinks have caught up.
		if room > most/8 {
			for _, l := range p.allLanes() {
				l.mu.Lock()
				l.given.now, l.given.since = 0, time.Time{}
				l.mu.Unlock()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Pipeline) warn() {
	st := p.Status()
	for _, f := range st.Faults {
		if f.Part == "journal" {
			p.log.Warn(f.Err, zap.Int64("room_bytes", st.Room))
			return
		}
	}
}

// reportRoom adds what is to be said of a journal that is full or will be.
func (p *Pipeline) reportRoom(st *Status, lanes []*lane) {
	p.full.mu.Lock()
	defer p.full.mu.Unlock()
	f := &p.full.forecast
	st.FullIn = event.Duration(f.left(st.Room))
	because, then := holder(st.Sinks, lanes)
	switch {
	case st.Room <= 0:
		since := f.since
		if since.IsZero() {
			since = st.Now
		}
		st.Faults = append(st.Faults, Fault{Part: "journal", Err: "the journal is full" + because + ": " + then, Since: since})
	case !f.since.IsZero():
		text := fmt.Sprintf("the journal is %d %% full%s", (f.most-st.Room)*100/f.most, because)
		if st.FullIn > 0 {
			text += " and will be full in " + roughly(time.Duration(st.FullIn)) + ": then " + then
		} else {
			text += " but does not grow; when it is full, " + then
		}
		st.Faults = append(st.Faults, Fault{Part: "journal", Err: text, Since: f.since})
	}
	st.Faults = p.full.skip.report(st.Faults, "journal")
	for _, l := range lanes {
		l.mu.Lock()
		if n := l.given.now; n > 0 {
			st.Faults = append(st.Faults, Fault{Part: "sink " + l.outlet.Name, Since: l.given.since,
				Err: fmt.Sprintf("skips the oldest records because the journal is full: %d records so far, since %s", n, l.given.since.UTC().Format(time.RFC3339))})
		}
		l.mu.Unlock()
	}
}

// holder names the sink that holds most of the journal, and what happens because of it when that is full. Of two that hold the
// same, one that waits counts: nothing is skipped beside it.
func holder(sinks []SinkStatus, lanes []*lane) (because, then string) {
	var most *lane
	bytes := uint64(0)
	for i, l := range lanes { // in the order of sinks
		if b := sinks[i].Bytes; b > bytes || b > 0 && b == bytes && !l.outlet.SkipOldest {
			most, bytes = l, b
		}
	}
	switch {
	case most == nil:
		return "", "fetching waits"
	case most.outlet.SkipOldest:
		return " because of sink " + most.outlet.Name, most.outlet.Name + " loses its oldest records"
	default:
		return " because of sink " + most.outlet.Name, "fetching waits"
	}
}

// roughly is a duration for people: 3h20m, 12 days.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}
