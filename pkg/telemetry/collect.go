package telemetry

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/logferry/logferry/pkg/pipeline"
)

// collector turns a Status into metrics.
type collector struct{ status func() pipeline.Status }

var (
	sinkEvents = desc("sink_events_total", "Records that have got a verdict at the sink.", "sink", "verdict")
	pending    = desc("sink_pending_records", "Records in the journal that the sink has not got yet.", "sink")
	oldest     = desc("sink_oldest_pending_timestamp_seconds", "When the oldest pending record was read; 0: nothing is pending.", "sink")
	letters    = desc("sink_dead_letters", "Dead letters kept for the sink.", "sink")
	parked     = desc("sink_parked_records", "Pending records whose stream waits because the sink has refused too many of it.", "sink")
	returning  = desc("sink_returning_records", "Pending records that were dead letters or parked and are on their way again.", "sink")
	letterSize = desc("sink_letter_bytes", "What the dead, parked and returning letters of the sink take in the state file.", "sink")
	room       = desc("journal_room_bytes", "Free space of the journal.")
	fullIn     = desc("journal_full_seconds", "Time until the journal is full if it goes on growing as in the last ten minutes; +Inf: it does not grow, 0: it is full.")
	held       = desc("sink_paused", "1: the configuration has paused the sink, which keeps its place; else 0.", "sink")
	unbalanced = desc("ledger_unbalanced_records", "By how many records the ledger does not add up, counted in one picture of it: always 0.")
	faults     = desc("faults", "Parts that do not work now, by whether only an operator can mend them.", "part", "blocked")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("logferry_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, descs := range [][]*prometheus.Desc{streamDescs, sourceDescs, {sinkEvents, pending, oldest, letters, parked, returning, letterSize, held, room, fullIn, unbalanced, faults}} {
		for _, d := range descs {
			ch <- d
		}
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st, to := c.status(), output(ch)
	// A set of labels that comes twice would make the whole scrape fail.
	type part struct{ kind, name string }
	named := make(map[part]bool, len(st.Streams)+len(st.Sources))
	first := func(kind, name string) bool {
		p := part{kind, utf8(name)}
		known := named[p]
		named[p] = true
		return !known
	}
	for i := range st.Streams {
		if s := &st.Streams[i]; first("stream", s.Name) {
			to.stream(s)
		}
	}
	for i := range st.Sources {
		if s := &st.Sources[i]; first("source", s.Name) {
			to.source(s)
		}
	}
	for i := range st.Sinks {
		if s := &st.Sinks[i]; first("sink", s.Name) {
			to.sink(s)
		}
	}
	to.gauge(room, float64(st.Room))
	to.gauge(fullIn, secondsLeft(st))
	to.gauge(unbalanced, float64(st.Unbalanced))
	for _, f := range st.Faults { // a part may have two of them
		if blocked := strconv.FormatBool(f.Blocked); first("fault "+blocked, f.Part) {
			to.gauge(faults, 1, f.Part, blocked)
		}
	}
}

// output takes metrics on their way to a scrape.
type output chan<- prometheus.Metric

func (to output) count(d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, valid(labels)...)
}

func (to output) gauge(d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, valid(labels)...)
}

func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = utf8(l)
	}
	return labels
}

// utf8 mends a name: one in the state file may be anything, and a label that is not UTF-8 would make the whole scrape fail.
func utf8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (to output) sink(s *pipeline.SinkStatus) {
	to.count(sinkEvents, float64(s.Delivered), s.Name, "delivered")
	to.count(sinkEvents, float64(s.Filtered), s.Name, "filtered")
	to.count(sinkEvents, float64(s.Dead), s.Name, "dead")
	to.count(sinkEvents, float64(s.Dropped), s.Name, "dropped")
	to.count(sinkEvents, float64(s.Skipped), s.Name, "skipped")
	to.gauge(pending, float64(s.Pending), s.Name)
	to.gauge(oldest, stamp(s.Oldest), s.Name)
	to.gauge(letters, float64(s.Letters), s.Name)
	to.gauge(parked, float64(s.Parked), s.Name)
	to.gauge(returning, float64(s.Returning), s.Name)
	to.gauge(letterSize, float64(s.LetterBytes), s.Name)
	to.gauge(held, truth(s.Paused), s.Name)
}

// secondsLeft is the time until the journal is full.
func secondsLeft(st pipeline.Status) float64 {
	if st.Room > 0 && st.FullIn == 0 {
		return math.Inf(1)
	}
	return time.Duration(st.FullIn).Seconds()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func stamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
