package telemetry

import (
	"context"
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
	had      *prometheus.CounterVec
	idle     prometheus.Gauge
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
		had:      counter("sink_duplicate_events_total", "Delivered events that the receiver said it had already.", "sink"),
		idle:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "logferry_idle", Help: "1: this process reads and delivers nothing, another pod does."}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "logferry_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	start := gauge("start_timestamp_seconds", "When this process began.")
	start.Set(stamp(time.Now()))
	m.Registry.MustRegister(start, m.requests, m.latency, m.received, m.sends, m.sendTime, m.sent, m.cut, m.had, m.idle, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "logferry_" + name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "logferry_" + name, Help: help})
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

// Duplicates counts events that a receiver said it had already.
func (m *Metrics) Duplicates(sink string, events int) {
	m.had.WithLabelValues(sink).Add(float64(events))
}

// Idle says that this process stands by.
func (m *Metrics) Idle() { m.idle.Set(1) }

// Watch adds the pipeline's ledger and places to what is scraped.
func (m *Metrics) Watch(status func() pipeline.Status) {
	m.Registry.MustRegister(&collector{status: status})
}

// State adds how many transactions of the state file there were, and when an earlier state was found to be lost; zero: it was not.
func (m *Metrics) State(commits func() uint64, lost time.Time) {
	at := gauge("state_lost_timestamp_seconds", "When the state was found to be lost, for 30 days; 0: it was not.")
	at.Set(stamp(lost))
	m.Registry.MustRegister(at, prometheus.NewCounterFunc(
		prometheus.CounterOpts{Name: "logferry_state_commits_total", Help: "Transactions of the state file that were committed since the start."},
		func() float64 { return float64(commits()) }))
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
