package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
)

// Sources that share an app registration share its budget, and each shows all of it.
var (
	granted   = desc("source_budget_requests_total", "Requests that the source's budget has let go since the start, by class.", "source", "class")
	waiting   = desc("source_budget_waiting_requests", "Requests that wait for the source's budget, by class.", "source", "class")
	capacity  = desc("source_budget_capacity_requests_per_second", "Requests per second that the source's budget allows; 0: unknown.", "source")
	demand    = desc("source_budget_demand_requests_per_second", "Requests per second that all configured passes of the source take at least.", "source")
	apps      = desc("source_app_registrations_needed", "App registrations that all configured passes of the source need at its present load.", "source")
	throttled = desc("source_throttled_total", "Replies that asked for a pause.", "source")
	expiry    = desc("source_credential_expiry_timestamp_seconds", "When the source's credential ends; absent where nobody tells.", "source")
	paused    = desc("source_paused_seconds_total", "Time spent in pauses that the API has asked for.", "source")
	ahead     = desc("source_clock_ahead_seconds", "How far the service's clock is ahead of this machine's; 0 before the first sign-in.", "source")

	sourceDescs = []*prometheus.Desc{granted, waiting, capacity, demand, apps, throttled, paused, expiry, ahead}
)

func (to output) source(s *pipeline.SourceStatus) {
	for class := range event.Classes {
		to.count(granted, float64(s.Spent.Requests[class]), s.Name, class.String())
		to.gauge(waiting, float64(s.Spent.Waiting[class]), s.Name, class.String())
	}
	to.gauge(capacity, s.Capacity, s.Name)
	to.gauge(demand, s.Demand, s.Name)
	to.gauge(apps, float64(s.Apps), s.Name)
	to.count(throttled, float64(s.Spent.Throttled), s.Name)
	if !s.CredentialExpires.IsZero() {
		to.gauge(expiry, stamp(s.CredentialExpires), s.Name)
	}
	to.gauge(ahead, s.ClockAhead.Seconds(), s.Name)
	to.count(paused, s.Spent.Paused.Seconds(), s.Name)
}
