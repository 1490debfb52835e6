package pipeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

// Status is a picture of the whole, for people, metrics and health.
type Status struct {
	Started time.Time      `json:"started"`
	Now     time.Time      `json:"now"`
	Streams []StreamStatus `json:"streams"`
	Sinks   []SinkStatus   `json:"sinks"`
	Room    int64          `json:"journal_room_bytes"` // free space of the journal; 0 or less: fetching waits
	Faults  []Fault        `json:"faults,omitempty"`
}

// Fault is something that keeps a part from working, in the words of who must mend it.
type Fault struct {
	Part    string    `json:"part"` // "source contoso", "stream contoso/audits", "sink splunk", "journal", "journal of sink splunk"
	Blocked bool      `json:"blocked"`
	Err     string    `json:"error"`
	Since   time.Time `json:"since"`
	Times   int       `json:"times"`
}

// StreamStatus is one stream.
type StreamStatus struct {
	Name    string            `json:"name"` // contoso/audits
	Key     string            `json:"key"`
	Through time.Time         `json:"complete_through"` // up to here all that the API showed has been read once
	Last    time.Time         `json:"last_record,omitzero"`
	Readers []timeline.Reader `json:"readers"`
	event.PageCounts
}

// SinkStatus is one sink.
type SinkStatus struct {
	Name    string    `json:"name"`
	Pending uint64    `json:"pending"`
	Bytes   uint64    `json:"pending_bytes"`
	Oldest  time.Time `json:"oldest_pending,omitzero"` // when the oldest pending record was read
	Letters uint64    `json:"dead_letters"`            // kept now
	Paused  bool      `json:"paused,omitempty"`
	event.SinkCounts
}

// Status takes the picture.
func (p *Pipeline) Status() Status {
	ledger := p.o.Journal.Ledger()
	st := Status{Started: p.started, Now: time.Now(), Room: p.o.Journal.Room()}
	names := map[event.StreamKey]string{}
	for _, s := range p.sources {
		st.Streams, st.Faults = s.report(st.Streams, st.Faults, ledger, names)
	}
	// Streams that are in the state file but in no source any more still count in the ledger.
	for key, l := range ledger {
		if _, known := names[key]; !known {
			st.Streams = append(st.Streams, StreamStatus{Name: key.String(), Key: key.String(), PageCounts: l.PageCounts})
		}
	}
	slices.SortFunc(st.Streams, func(a, b StreamStatus) int { return cmp.Compare(a.Name, b.Name) })
	if st.Room <= 0 {
		st.Faults = append(st.Faults, Fault{Part: "journal", Err: "the journal is full: fetching waits until a sink has taken what is pending", Since: st.Now})
	}
	states := map[string]event.LaneState{}
	for _, l := range p.o.Journal.LaneStates() {
		states[l.Sink] = l
	}
	for _, l := range p.lanes {
		state := states[l.outlet.Name]
		sink := SinkStatus{Name: l.outlet.Name, Pending: state.Pending, Bytes: state.Bytes, Oldest: state.Oldest, Letters: state.Dead, Paused: l.outlet.Paused}
		for _, stream := range ledger {
			sink.SinkCounts.Add(stream.Sinks[l.outlet.Name].SinkCounts)
		}
		st.Sinks = append(st.Sinks, sink)
		l.mu.Lock()
		st.Faults = l.state.report(st.Faults, "sink "+l.outlet.Name)
		st.Faults = l.unread.report(st.Faults, "journal of sink "+l.outlet.Name)
		l.mu.Unlock()
	}
	return st
}

func (s *source) report(streams []StreamStatus, faults []Fault, ledger map[event.StreamKey]event.StreamLedger, names map[event.StreamKey]string) ([]StreamStatus, []Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults = s.state.report(faults, "source "+s.Name)
	for _, st := range s.streams {
		name := s.Name + "/" + st.key.Stream
		names[st.key] = name
		streams = append(streams, StreamStatus{
			Name: name, Key: st.key.String(), Through: st.line.CompleteThrough(), Last: st.last,
			Readers: st.line.Readers(), PageCounts: ledger[st.key].PageCounts,
		})
		faults = st.state().report(faults, "stream "+name)
	}
	return streams, faults
}

func (c condition) report(faults []Fault, part string) []Fault {
	if c.Faults == 0 {
		return faults
	}
	return append(faults, Fault{Part: part, Blocked: c.Blocked, Err: c.Err, Since: c.Since, Times: c.Faults})
}

// Blocked gives the faults that only an operator can mend.
func (s Status) Blocked() []Fault {
	return slices.DeleteFunc(slices.Clone(s.Faults), func(f Fault) bool { return !f.Blocked })
}
