package app

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/telemetry"
)

// TestUnknownMembers: what the mapping does not know is logged once by name, and counted each time.
func TestUnknownMembers(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	a := &App{log: zap.New(core), metrics: telemetry.NewMetrics("test")}
	n, err := a.normalizer()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := n.Schema("ecs", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		rec := event.Record{Key: event.StreamKey{Stream: "audits"}, Raw: []byte(`{"brandNew":1}`)}
		if _, err := n.Normalize(nil, rec, schema); err != nil {
			t.Fatal(err)
		}
	}
	entries := logs.All()
	if len(entries) != 1 || entries[0].ContextMap()["member"] != "brandNew" || entries[0].ContextMap()["stream"] != "audits" {
		t.Errorf("logged %v", entries)
	}
	families, err := a.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "logferry_normalizer_unknown_total" {
			if got := f.GetMetric()[0].GetCounter().GetValue(); got != 3 {
				t.Errorf("counted %v times", got)
			}
			return
		}
	}
	t.Error("there is no metric")
}
