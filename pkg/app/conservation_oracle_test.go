package app_test

import (
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
)

// flights are the events that a receiver had accepted when the pipeline ended, and that the lane did not know of: these are sent
// again, and no others.
type flights struct {
	*world
	open map[string]int // by receiver, all ends together
	calm bool           // the last end was a stop
}

// count compares what the receivers have with what the state file says that they have, at a start.
func (f *flights) count(status pipeline.Status) {
	f.Helper()
	for _, s := range status.Sinks {
		r := f.sinks[s.Name]
		n := len(r.arrived()) - f.open[s.Name] - int(s.Delivered)
		// A lane with one Send at once steps after each chunk, which is no more than a Send takes; with more at once it has twice as
		// many chunks sent and unsaved at most. At a stop it makes its step, unless it has to wait for the rest of a Send that was
		// accepted in part, or for one that was begun before.
		most := r.most
		if r.many > 1 {
			most *= 2 * r.many
		}
		if n < 0 || n > most || f.calm && n > 0 && s.Name != "flaky" && r.many <= 1 {
			f.Errorf("%s has %d events more than the state file knows of, %d in a Send, %d at once, stopped %v", s.Name, n, r.most, max(1, r.many), f.calm)
		}
		f.open[s.Name] += n
	}
	f.calm = false
}

// oracle is what the API has shown.
type oracle struct {
	shown    map[rec]int     // versions
	lost     map[rec]int     // those of them that a crash took along, while a later one was shown afterwards
	expected []simulator.Row // the records that the API shows now
	records  map[string]int  // those by stream
}

func (w *world) oracle() *oracle {
	o := &oracle{shown: map[rec]int{}, lost: map[rec]int{}, records: map[string]int{}}
	fleeting := map[rec]int{}
	for row := range w.sim.Shown() { // versions of a record in their order
		k := rec{row.Stream, row.ID}
		o.shown[k]++
		o.lost[k] = fleeting[k]
		for _, at := range w.crashes {
			if d := at.Sub(row.At); d >= 0 && d < time.Second {
				fleeting[k]++
				break
			}
		}
	}
	for row := range w.sim.Expected(w.now()) {
		o.expected = append(o.expected, row)
		o.records[row.Stream]++
	}
	return o
}

// balance compares what was shown, what was shipped and what the ledger says of it.
func (w *world) balance(f *fate, fly *flights) *figures {
	w.Helper()
	o, status, stats := w.oracle(), w.app.Status(), w.sim.Stats()
	sum := &figures{records: len(o.expected), crashes: len(w.crashes)}
	for _, n := range stats.Faults {
		sum.faults += n
	}
	for _, n := range stats.Requests {
		sum.requests += n
	}
	var pages event.PageCounts
	spoilt := 0
	for _, kind := range []simulator.Kind{simulator.NoID, simulator.NoTime, simulator.HugeRecord} {
		spoilt += stats.Faults[kind]
	}
	for _, s := range status.Streams {
		pages.Add(s.PageCounts)
	}
	for _, name := range receivers {
		lost := w.shipped(name, o, f.odd, spoilt, fly.open[name])
		if name == "good" {
			sum.lost = lost
		}
	}
	w.ledger(f, o, status, fly)
	sum.versions, sum.updates, sum.late, sum.rows = int(pages.Journalled()), int(pages.Updated), int(pages.Late), int(pages.Rows)
	for _, s := range status.Sinks {
		sum.dead += int(s.Dead)
		sum.repeats += fly.open[s.Name]
	}
	return sum
}

// shipped checks that a receiver has all that was shown and nothing else, and gives how many versions were lost with a crash.
func (w *world) shipped(name string, o *oracle, odd string, spoilt, open int) (lost int) {
	w.Helper()
	wrong, more, repeats := 0, 0, 0
	fail := func(format string, args ...any) {
		w.Helper()
		if wrong++; wrong <= 3 {
			w.Errorf(name+" "+format, args...)
		}
	}
	got, nameless := w.sinks[name].byRecord(), map[int64]bool{} // by time
	for k, arrivals := range w.sinks["good"].byRecord() {
		if k.stream == odd && arrivals[0].Flags&event.FlagNoID != 0 {
			nameless[arrivals[0].Time.UnixNano()] = true
		}
	}
	for _, row := range o.expected {
		k := rec{row.Stream, row.ID}
		switch {
		case len(got[k]) > 0 || name == "picky" && unwanted(row.ID):
		case nameless[row.Time.UnixNano()]:
			// Each time that it was shown where it belongs it was without its id.
		default:
			asked := w.wire.askedFor(row.Stream, row.Time, w.began)
			fail("lacks %s %s of %s, which appeared at %s; requests for it:\n  %s", row.Stream, row.ID, row.Time.Sub(w.began), row.At.Sub(w.began), strings.Join(asked, "\n  "))
		}
	}
	for k, arrivals := range got {
		n, shown := distinct(arrivals), o.shown[k]
		switch {
		case k.stream == odd: // a spoilt record is shipped as it was shown, and again as it is
			more += max(0, n-shown)
			continue
		case n > shown || n < shown-o.lost[k]:
			fail("has %s %s in %d versions, the API has shown %d", k.stream, k.id, n, shown)
		}
		lost += shown - n
		repeats += len(arrivals) - n
	}
	if more > spoilt {
		fail("has %d more of %s than was shown, %d were spoilt", more, odd, spoilt)
	}
	if repeats > open || odd == "" && repeats < open {
		fail("got %d events again, %d were on their way at a crash or stop", repeats, open)
	}
	if wrong > 3 {
		w.Errorf("%s: %d faults in all", name, wrong)
	}
	return lost
}

// ledger checks the ledger's sums.
func (w *world) ledger(f *fate, o *oracle, status pipeline.Status, fly *flights) {
	w.Helper()
	var sum event.PageCounts
	shipped := map[string]int{}
	for k, arrivals := range w.sinks["good"].byRecord() {
		shipped[k.stream] += distinct(arrivals)
	}
	for _, s := range status.Streams {
		sum.Add(s.PageCounts)
		name := strings.TrimPrefix(s.Name, "contoso/")
		records, versions := uint64(o.records[name]), uint64(shipped[name])
		if s.New < records || s.Journalled() < versions || name != f.odd && (s.New > records || s.Journalled() > versions) {
			w.Errorf("the ledger of %s has %d new and %d updated, the API has shown %d records, %d versions were shipped",
				name, s.New, s.Updated, records, versions)
		}
	}
	for _, s := range status.Sinks {
		if s.Delivered+s.Dead != sum.Journalled() || s.Pending > 0 || s.Name != "picky" && s.Dead > 0 {
			w.Errorf("of %d events sink %s has %+v, %d pending", sum.Journalled(), s.Name, s.SinkCounts, s.Pending)
		}
		if n := len(w.sinks[s.Name].arrived()) - fly.open[s.Name]; uint64(n) != s.Delivered {
			w.Errorf("the ledger says that %d were delivered to %s, it has %d", s.Delivered, s.Name, n)
		}
	}
}

// distinct counts the events among arrivals.
func distinct(arrivals []arrival) int {
	events := map[event.ID]bool{}
	for _, a := range arrivals {
		events[a.Event] = true
	}
	return len(events)
}
