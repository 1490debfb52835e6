package telemetry

import "github.com/prometheus/client_golang/prometheus"

// unknown exposes how often records had what the mapping does not know.
type unknown struct {
	each func(yield func(stream, member string, count uint64))
}

var unknownTotal = desc("normalizer_unknown_total", "Records with a member or word that the mapping does not know.", "stream", "member")

// Unknown adds the counts of what the mapping does not know to what is scraped. Each pair of stream and member comes once.
func (m *Metrics) Unknown(each func(yield func(stream, member string, count uint64))) {
	m.Registry.MustRegister(unknown{each})
}

// Describe implements prometheus.Collector.
func (unknown) Describe(ch chan<- *prometheus.Desc) { ch <- unknownTotal }

// Collect implements prometheus.Collector.
func (u unknown) Collect(ch chan<- prometheus.Metric) {
	u.each(func(stream, member string, count uint64) {
		ch <- prometheus.MustNewConstMetric(unknownTotal, prometheus.CounterValue, float64(count), utf8(stream), utf8(member))
	})
}
