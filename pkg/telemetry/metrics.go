package telemetry

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
)

// Metrics holds the Prometheus registry. What the ledger knows is read from it at each scrape, so the two cannot differ; what
// only passes by (requests, sends) is counted here.
type Metrics struct {
	Registry *prometheus.Registry
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	received *prometheus.CounterVec
	sends    *prometheus.CounterVec
	sendTime *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	cut      *prometheus.CounterVec
}

// NewMetrics makes the registry with the process's own metrics and the build's version.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		requests: counter("source_requests_total", "Requests to the API by status; 0 is no reply.", "source", "stream", "status"),
		latency:  histogram("source_request_duration_seconds", "Time from sending a request to having read its reply.", "source"),
		received: counter("source_received_bytes_total", "Bytes of reply bodies, decompressed.", "source"),
		sends:    counter("sink_sends_total", "Attempts to send a batch of events by result.", "sink", "result"),
		sendTime: histogram("sink_send_duration_seconds", "Time of one attempt to send.", "sink"),
		sent:     counter("sink_sent_bytes_total", "Bytes of event bodies in accepted batches, before compression.", "sink"),
		cut:      counter("sink_truncated_events_total", "Delivered events that were cut to the receiver's limit.", "sink"),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "logferry_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.Registry.MustRegister(m.requests, m.latency, m.received, m.sends, m.sendTime, m.sent, m.cut, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "logferry_" + name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "logferry_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.01, 3, 9)}, labels)
}

// Request counts one request to the API.
func (m *Metrics) Request(source, stream string, status, bytes int, took time.Duration) {
	m.requests.WithLabelValues(source, stream, strconv.Itoa(status)).Inc()
	m.latency.WithLabelValues(source).Observe(took.Seconds())
	m.received.WithLabelValues(source).Add(float64(bytes))
}

// Truncated counts events that a sink has cut to its receiver's limit.
func (m *Metrics) Truncated(sink string, events int) {
	m.cut.WithLabelValues(sink).Add(float64(events))
}

// Watch adds the pipeline's ledger and places to what is scraped.
func (m *Metrics) Watch(status func() pipeline.Status) {
	m.Registry.MustRegister(&collector{status: status})
}

// collector turns a Status into metrics.
type collector struct{ status func() pipeline.Status }

var (
	streamRows = desc("stream_rows_total", "Rows that the API has shown, by what became of them.", "stream", "state")
	through    = desc("stream_complete_through_timestamp_seconds", "Time up to which all that the API showed has been read once.", "stream")
	lastRecord = desc("stream_last_record_timestamp_seconds", "Time of the newest record read since the start.", "stream")
	sinkEvents = desc("sink_events_total", "Records that have got a verdict at the sink.", "sink", "verdict")
	pending    = desc("sink_pending_records", "Records in the journal that the sink has not got yet.", "sink")
	oldest     = desc("sink_oldest_pending_timestamp_seconds", "When the oldest pending record was read; 0: nothing is pending.", "sink")
	letters    = desc("sink_dead_letters", "Dead letters kept for the sink.", "sink")
	room       = desc("journal_room_bytes", "Free space of the journal.")
	fullIn     = desc("journal_full_seconds", "Time until the journal is full if it goes on growing as in the last ten minutes; +Inf: it does not grow, 0: it is full.")
	faults     = desc("faults", "Parts that do not work now, by whether only an operator can mend them.", "part", "blocked")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("logferry_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{streamRows, through, lastRecord, sinkEvents, pending, oldest, letters, room, fullIn, faults} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	st := c.status()
	for _, s := range st.Streams {
		count(streamRows, s.New, s.Name, "new")
		count(streamRows, s.Updated, s.Name, "updated")
		count(streamRows, s.Seen, s.Name, "seen")
		count(streamRows, s.Suppressed, s.Name, "suppressed")
		count(streamRows, s.Outside, s.Name, "outside")
		count(streamRows, s.Resent, s.Name, "resent")
		gauge(through, stamp(s.Through), s.Name)
		gauge(lastRecord, stamp(s.Last), s.Name)
	}
	for _, s := range st.Sinks {
		count(sinkEvents, s.Delivered, s.Name, "delivered")
		count(sinkEvents, s.Filtered, s.Name, "filtered")
		count(sinkEvents, s.Dead, s.Name, "dead")
		count(sinkEvents, s.Dropped, s.Name, "dropped")
		count(sinkEvents, s.Skipped, s.Name, "skipped")
		gauge(pending, float64(s.Pending), s.Name)
		gauge(oldest, stamp(s.Oldest), s.Name)
		gauge(letters, float64(s.Letters), s.Name)
	}
	gauge(room, float64(st.Room))
	gauge(fullIn, secondsLeft(st))
	named := map[string]bool{} // a part may have two faults, a metric has each set of labels once
	for _, f := range st.Faults {
		if blocked := strconv.FormatBool(f.Blocked); !named[f.Part+blocked] {
			named[f.Part+blocked] = true
			gauge(faults, 1, f.Part, blocked)
		}
	}
}

// secondsLeft is the time until the journal is full.
func secondsLeft(st pipeline.Status) float64 {
	if st.Room > 0 && st.FullIn == 0 {
		return math.Inf(1)
	}
	return time.Duration(st.FullIn).Seconds()
}

func stamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// Sink counts what a sink is asked to do.
func (m *Metrics) Sink(name string, s pipeline.Sink) pipeline.Sink {
	return &countedSink{Sink: s, name: name, m: m}
}

type countedSink struct {
	pipeline.Sink
	name string
	m    *Metrics
}

// Send passes on and counts.
func (c *countedSink) Send(ctx context.Context, events []event.Event) error {
	begun := time.Now()
	err := c.Sink.Send(ctx, events)
	c.m.sendTime.WithLabelValues(c.name).Observe(time.Since(begun).Seconds())
	result := "accepted"
	if err != nil {
		result = verdict(err)
	} else {
		size := 0
		for i := range events {
			size += len(events[i].Body)
		}
		c.m.sent.WithLabelValues(c.name).Add(float64(size))
	}
	c.m.sends.WithLabelValues(c.name, result).Inc()
	return err
}
