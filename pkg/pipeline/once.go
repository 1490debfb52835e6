package pipeline

import (
	"context"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/retry"
)

// Summary is what run --once tells at its end.
type Summary struct {
	Complete bool                     `json:"complete"`
	Streams  map[string]StreamSummary `json:"streams"`
	Sinks    map[string]SinkSummary   `json:"sinks"`
	Faults   []Fault                  `json:"faults,omitempty"`
}

// StreamSummary counts what this run has read of a stream.
type StreamSummary struct {
	Rows    uint64 `json:"rows"`
	New     uint64 `json:"new"`
	Updated uint64 `json:"updated"`
	Seen    uint64 `json:"seen"`
	Late    uint64 `json:"late"` // of New: found by a re-reader
}

// SinkSummary counts what this run has done at a sink, and what is left to be done.
type SinkSummary struct {
	Delivered uint64 `json:"delivered"`
	Filtered  uint64 `json:"filtered"`
	Dead      uint64 `json:"dead"`
	Pending   uint64 `json:"pending"`
}

// Once runs until every slice up to now is read, or cannot be before an operator has acted, or has failed for patience, and
// each lane is empty or has not got on for patience. It also ends with ctx, after the lanes' grace.
func (p *Pipeline) Once(ctx context.Context, patience time.Duration) (Summary, error) {
	before := p.Status()
	for i, s := range p.allSources() {
		s.once, s.delay = true, min(s.delay, time.Duration(i)*startEvery)
	}
	fetching, stopFetching := context.WithCancel(ctx)
	defer stopFetching()
	sending, stopSending := p.graceful(ctx)
	defer stopSending()
	read := make(chan bool, 1)
	go func() {
		read <- p.untilRead(fetching, patience)
		stopFetching()
		<-p.fetched // the pages in hand are journalled yet
		p.untilSent(sending, patience)
		stopSending()
	}()
	err := p.work(fetching, sending)
	return p.summary(before, <-read), err
}

const lookEvery = 50 * time.Millisecond

// untilRead waits until everything up to now has been read; false when ctx has ended before, when the API is not to be had,
// or when the journal is full and nobody takes from it.
func (p *Pipeline) untilRead(ctx context.Context, patience time.Duration) bool {
	hadRoom := time.Now()
	for !p.allRead() {
		full := p.o.Journal.Room() <= 0
		if !full {
			hadRoom = time.Now()
		}
		if full && p.idle(hadRoom, patience) || p.stuck(patience) || retry.Sleep(ctx, lookEvery) != nil {
			return p.allRead()
		}
	}
	return true
}

func (p *Pipeline) stuck(patience time.Duration) bool {
	for _, s := range p.allSources() {
		if !s.done() && !s.stuck(patience) {
			return false
		}
	}
	return true
}

// untilSent waits until each lane is empty or idle.
func (p *Pipeline) untilSent(ctx context.Context, patience time.Duration) {
	begun := time.Now()
	for !p.idle(begun, patience) && retry.Sleep(ctx, lookEvery) == nil {
	}
}

// idle tells whether each lane is empty, or paused, or has not got on for patience; a lane had nothing to do before since.
func (p *Pipeline) idle(since time.Time, patience time.Duration) bool {
	pending := map[string]uint64{}
	for _, l := range p.o.Journal.LaneStates() {
		pending[l.Sink] = l.Pending
	}
	for _, l := range p.allLanes() {
		l.mu.Lock()
		still := min(time.Since(l.moved), time.Since(since))
		l.mu.Unlock()
		if !l.outlet.Paused && pending[l.outlet.Name] > 0 && still < patience {
			return false
		}
	}
	return true
}

func (p *Pipeline) allRead() bool {
	for _, s := range p.allSources() {
		if !s.done() {
			return false
		}
	}
	return true
}

func (p *Pipeline) summary(before Status, read bool) Summary {
	after := p.Status()
	s := Summary{Complete: read && len(after.Blocked()) == 0, Streams: map[string]StreamSummary{}, Sinks: map[string]SinkSummary{}, Faults: after.Faults}
	then := map[string]event.PageCounts{}
	for _, st := range before.Streams {
		then[st.Key] = st.PageCounts
	}
	for _, st := range after.Streams {
		was := then[st.Key]
		s.Streams[st.Name] = StreamSummary{
			Rows: st.Rows - was.Rows, New: st.New - was.New, Updated: st.Updated - was.Updated, Seen: st.Seen - was.Seen, Late: st.Late - was.Late,
		}
	}
	sunk := map[string]event.SinkCounts{}
	for _, k := range before.Sinks {
		sunk[k.Name] = k.SinkCounts
	}
	for _, k := range after.Sinks {
		was := sunk[k.Name]
		s.Sinks[k.Name] = SinkSummary{Delivered: k.Delivered - was.Delivered, Filtered: k.Filtered - was.Filtered, Dead: k.Dead - min(k.Dead, was.Dead), Pending: k.Pending}
		if k.Pending > 0 || k.Dead > was.Dead {
			s.Complete = false
		}
	}
	for _, l := range p.allLanes() {
		l.mu.Lock()
		s.Complete = s.Complete && l.given.all == 0
		l.mu.Unlock()
	}
	return s
}
