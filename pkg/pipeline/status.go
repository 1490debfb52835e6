package pipeline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

// Status is a picture of the whole, for people, metrics and health.
type Status struct {
	Started time.Time      `json:"started"`
	Now     time.Time      `json:"now"`
	Idle    string         `json:"idle,omitempty"` // why this process reads and delivers nothing; empty: it works
	Sources []SourceStatus `json:"sources,omitempty"`
	Streams []StreamStatus `json:"streams"`
	Sinks   []SinkStatus   `json:"sinks"`
	Room    int64          `json:"journal_room_bytes"`       // free space of the journal; 0 or less: fetching waits
	FullIn  event.Duration `json:"journal_full_in,omitzero"` // when the journal is full if it goes on growing as now; zero: it does not grow, or is full
	Faults  []Fault        `json:"faults,omitempty"`
	Loaded  time.Time      `json:"configuration_loaded,omitzero"` // when the configuration that runs was

	Unbalanced uint64 `json:"ledger_unbalanced_records,omitzero"` // by how many records the ledger does not add up: always 0
}

// Fault is something that keeps a part from working, in the words of who must mend it.
type Fault struct {
	Part    string    `json:"part"` // "source contoso", "stream contoso/audits", "sink splunk", "journal", "journal of sink splunk", "ledger", "configuration"
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
	// Marks are stretches with something to know: gaps, passes that were left out, what a sink has skipped.
	Marks    []event.Mark  `json:"marks,omitempty"`
	LookBack time.Duration `json:"look_back_ns,omitzero"` // of live now; less than configured under load
	Trails   bool          `json:"trails,omitempty"`      // live reads everything once, at the age of its look-back
	Rate     float64       `json:"records_per_second"`    // as live sees it; a moving average
	Filter   string        `json:"filter,omitempty"`      // the operator's, that its records are read with
	Anew     time.Time     `json:"begun_anew,omitzero"`   // when, since the start, it was begun like a first run because its filter had changed
	Lateness Lateness      `json:"lateness"`
	event.PageCounts
}

// Lateness tells how late the API has shown records since the start: how many by each bound.
type Lateness = timeline.Lateness

// SourceStatus is the budget of one source.
type SourceStatus struct {
	Name     string  `json:"name"`
	Capacity float64 `json:"capacity_requests_per_second"`
	Demand   float64 `json:"demand_requests_per_second"` // that all configured passes take at least
	Apps     int     `json:"app_registrations_needed"`
	Spent    Spent   `json:"spent"`

	ClockAhead time.Duration `json:"clock_ahead_ns"` // of the service, as far as that is known

	CredentialExpires time.Time `json:"credential_expires,omitzero"` // zero: not known
}

// Spent is how a budget is used.
type Spent struct {
	Requests  [event.Classes]uint64 `json:"requests"` // granted since the start, by class
	Waiting   [event.Classes]int    `json:"waiting"`
	Paused    time.Duration         `json:"paused_ns"` // because the service asked for it
	Throttled uint64                `json:"throttled"` // replies that asked for a pause
	Until     time.Time             `json:"paused_until,omitzero"`
}

// SinkStatus is one sink.
type SinkStatus struct {
	Name    string    `json:"name"`
	Pending uint64    `json:"pending"`
	Bytes   uint64    `json:"pending_bytes"`
	Oldest  time.Time `json:"oldest_pending,omitzero"` // when the oldest pending record was read
	Letters uint64    `json:"dead_letters"`            // kept now
	Paused  bool      `json:"paused,omitempty"`

	Parked      uint64 `json:"parked,omitempty"`       // of Pending: their streams wait because too much was refused
	Returning   uint64 `json:"returning,omitempty"`    // of Pending: dead letters and parked ones on their way again
	LetterBytes int64  `json:"letter_bytes,omitempty"` // that all letters take
	InFlight    int    `json:"in_flight"`              // Sends without an answer yet
	BatchEvents int    `json:"batch_events,omitempty"` // the most events that a Send takes at the moment; 0: no limit
	event.SinkCounts
}

// Status takes the picture.
func (p *Pipeline) Status() Status {
	ledger := p.o.Journal.Ledger()
	st := Status{Started: p.started, Now: time.Now(), Room: p.o.Journal.Room()}
	names := map[event.StreamKey]string{}
	sources, lanes := p.parts()
	for _, s := range sources {
		s.report(&st, ledger, names)
	}
	// Streams that are in the state file but in no source any more still count in the ledger.
	for key, l := range ledger {
		if _, known := names[key]; !known {
			st.Streams = append(st.Streams, StreamStatus{Name: key.String(), Key: key.String(), PageCounts: l.PageCounts})
		}
	}
	slices.SortFunc(st.Streams, func(a, b StreamStatus) int { return cmp.Compare(a.Name, b.Name) })
	states := map[string]event.LaneState{}
	for _, l := range p.o.Journal.LaneStates() {
		states[l.Sink] = l
	}
	for _, l := range lanes {
		state := states[l.outlet.Name]
		sink := SinkStatus{Name: l.outlet.Name, Pending: state.Pending, Bytes: state.Bytes, Oldest: state.Oldest, Letters: state.Dead, Paused: l.outlet.Paused,
			Returning: state.Returning, LetterBytes: state.Letters}
		for _, n := range state.Parked {
			sink.Parked += n
		}
		for _, stream := range ledger {
			sink.SinkCounts.Add(stream.Sinks[l.outlet.Name].SinkCounts)
		}
		l.report(&st, &sink)
		if !l.outlet.Paused { // then nothing is tried
			st.Faults = l.breakers.report(st.Faults, l.outlet.Name, state.Parked, names)
		}
		st.Sinks = append(st.Sinks, sink)
	}
	p.reportRoom(&st, lanes)
	p.balance(&st, ledger)
	return st
}

// balance counts what the ledger lacks. It looks at the ledger alone, which is of one moment; the rest of the status is of a later one.
func (p *Pipeline) balance(st *Status, ledger map[event.StreamKey]event.StreamLedger) {
	var wrong []string
	for key, l := range ledger {
		rows, sinks := l.Unbalanced()
		if st.Unbalanced += rows; rows > 0 {
			wrong = append(wrong, fmt.Sprintf("%d rows of %s", rows, key))
		}
		for sink, n := range sinks {
			st.Unbalanced += n
			wrong = append(wrong, fmt.Sprintf("%d records of %s at sink %s", n, key, sink))
		}
	}
	if len(wrong) == 0 {
		return
	}
	slices.Sort(wrong)
	text := strings.Join(wrong[:min(len(wrong), 5)], ", ")
	st.Faults = append(st.Faults, Fault{Part: "ledger", Err: "it does not add up, which is a fault of logferry's own: " + text, Since: st.Now, Times: 1})
}

func (l *lane) report(st *Status, sink *SinkStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sink.InFlight, sink.BatchEvents = l.shown.inFlight, l.shown.events
	st.Faults = l.state.report(st.Faults, "sink "+l.outlet.Name)
	st.Faults = l.save.report(st.Faults, "sink "+l.outlet.Name)
	st.Faults = append(st.Faults, l.shown.sick...)
	st.Faults = l.unread.report(st.Faults, "journal of sink "+l.outlet.Name)
}

func (s *source) report(st *Status, ledger map[event.StreamKey]event.StreamLedger, names map[event.StreamKey]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Faults = s.state.report(st.Faults, "source "+s.Name)
	for _, x := range s.streams {
		name := s.Name + "/" + x.key.Stream
		names[x.key] = name
		look, trails := x.line.LookBack()
		st.Streams = append(st.Streams, StreamStatus{
			Name: name, Key: x.key.String(), Through: x.line.CompleteThrough(), Last: x.last, Readers: x.line.Readers(),
			Marks: append(x.line.Marks(), skipped(s.p.o.Journal.Marks(x.key))...), LookBack: look, Trails: trails, Rate: x.line.Rate(), Filter: x.filter, Anew: x.anew,
			Lateness: x.line.Lateness(), PageCounts: ledger[x.key].PageCounts,
		})
		st.Faults = x.state().report(st.Faults, "stream "+name)
		if time.Since(x.stormy) < stormLasts {
			st.Faults = x.storm.report(st.Faults, "updates of stream "+name)
		}
		for _, hole := range x.line.Holes() {
			st.Faults = append(st.Faults, Fault{Part: "stream " + name, Err: hole.String(), Since: hole.Since})
		}
	}
	st.Sources = append(st.Sources, s.budget(&st.Faults))
}

// skipped gives the marks that are the state file's own.
func skipped(marks []event.Mark) []event.Mark {
	return slices.DeleteFunc(marks, func(m event.Mark) bool { return m.Kind != event.Skipped })
}

// budget tells how the budget is used, and forecasts. The source's mutex is held.
func (s *source) budget(faults *[]Fault) SourceStatus {
	st := SourceStatus{Name: s.Name, Capacity: s.Capacity, Apps: 1, ClockAhead: time.Until(s.Now())}
	if s.Spent != nil {
		st.Spent = s.Spent()
	}
	if s.Credential != nil {
		var wrong []Fault
		st.CredentialExpires, wrong = s.Credential()
		for _, f := range wrong {
			f.Part = "source " + s.Name
			*faults = append(*faults, f)
		}
	}
	var left time.Time
	for _, x := range s.streams {
		if !s.apart(x) {
			st.Demand += x.line.Demand()
		}
		left = later(left, x.line.LeftOut())
	}
	if s.Capacity > 0 {
		st.Apps = max(1, int(math.Ceil(st.Demand/s.Capacity)))
	}
	if now := s.Now(); st.Apps > 1 && now.Sub(left) < day {
		*faults = append(*faults, Fault{Part: "source " + s.Name, Since: left, Err: fmt.Sprintf(
			"this tenant exceeds one app registration; it needs %d: all configured passes take %.2f requests a second, the budget has %.2f, and stretches get fewer passes than configured (more sources with an app of their own for some of the streams, or fewer ages under reread)",
			st.Apps, st.Demand, s.Capacity)})
	}
	return st
}

const day = 24 * time.Hour

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
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
