package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reloads adds whether the last change of the configuration was taken, and when the one that runs was loaded.
func (m *Metrics) Reloads(last func() (taken bool, loaded time.Time)) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "logferry_config_last_reload_successful", Help: "1: the configuration that runs is that of the files; 0: a changed one was refused, /healthz tells why."},
		func() float64 {
			if taken, _ := last(); taken {
				return 1
			}
			return 0
		}), prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "logferry_config_last_reload_success_timestamp_seconds", Help: "When the configuration that runs was loaded."},
		func() float64 {
			_, loaded := last()
			return stamp(loaded)
		}))
}

// Forget takes out what was counted of sources and sinks that are no more.
func (m *Metrics) Forget(sources, sinks []string) {
	for _, name := range sources {
		of := prometheus.Labels{"source": name}
		m.requests.DeletePartialMatch(of)
		m.latency.DeletePartialMatch(of)
		m.received.DeletePartialMatch(of)
	}
	for _, name := range sinks {
		of := prometheus.Labels{"sink": name}
		m.sends.DeletePartialMatch(of)
		m.sendTime.DeletePartialMatch(of)
		m.sent.DeletePartialMatch(of)
		m.cut.DeletePartialMatch(of)
		m.had.DeletePartialMatch(of)
	}
}
