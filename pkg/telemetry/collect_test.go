package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/timeline"
)

func mark(kind event.MarkKind, reader string, from, to int64, reason string) event.Mark {
	return event.Mark{Kind: kind, Reader: reader, From: time.Unix(from, 0), To: time.Unix(to, 0), Reason: reason}
}

// full is a status with everything in it.
func full() pipeline.Status {
	stream := pipeline.StreamStatus{
		Name: "contoso/audits", LookBack: 6 * time.Minute, Rate: 12.5,
		Readers: []timeline.Reader{{Name: "live"}, {Name: "reread/30m0s"}, {Name: "hole/17"}, {Name: "hole/99"}},
		Marks: []event.Mark{
			mark(event.Gap, "backfill", 0, 100, "it is older than what the API keeps"),
			mark(event.Gap, "catchup/7", 200, 300, "it is older than what the API keeps"),
			mark(event.Gap, "catchup/200", 250, 310, "the API refuses to go back that far"), // 50 s of it are the same
			mark(event.Uncovered, "reread/30m0s", 1000, 1040, "left to reread/2h0m0s"),
			mark(event.Uncovered, "reread/30m0s", 1100, 1102, "left to reread/2h0m0s"),
			mark(event.Doubt, "", 0, 5000, ""),
			mark(event.Skipped, "splunk", 60, 120, "the journal was full"),
		},
	}
	for i := range stream.Marks {
		stream.Marks[i].At = time.Unix(7000-int64(i), 0)
	}
	stream.Lateness.Counts[0], stream.Lateness.Counts[3], stream.Lateness.Counts[len(timeline.LateBounds)] = 5, 2, 1
	stream.Lateness.Sum = 90 * time.Hour
	source := pipeline.SourceStatus{Name: "contoso", Capacity: 0.5, Demand: 1.25, Apps: 3, ClockAhead: -90 * time.Second}
	source.CredentialExpires = time.Unix(1800000000, 0)
	source.Spent = pipeline.Spent{Paused: 1500 * time.Millisecond, Throttled: 4}
	source.Spent.Requests[event.ClassBehind], source.Spent.Waiting[event.ClassBackfill] = 17, 2
	return pipeline.Status{
		Streams:    []pipeline.StreamStatus{stream, {Name: "global/tid/audits"}}, // a source that is gone
		Sources:    []pipeline.SourceStatus{source},
		Sinks:      []pipeline.SinkStatus{{Name: "splunk", Paused: true}},
		Unbalanced: 3,
		Faults:     []pipeline.Fault{{Part: "journal"}},
	}
}

// metricsOf gives a registry in which every metric has a value.
func metricsOf(st pipeline.Status) *Metrics {
	m := NewMetrics("test")
	m.Watch(func() pipeline.Status { return st })
	m.State(func() uint64 { return 1 }, time.Unix(1700000000, 0))
	m.Reloads(func() (bool, time.Time) { return true, time.Now() })
	m.Request("contoso", "audits", 200, 1, time.Second)
	m.Truncated("splunk", 1)
	m.Duplicates("splunk", 1)
	m.Unknown(func(yield func(stream, member string, count uint64)) { yield("audits", "brandNew", 2) })
	_ = m.Sink("splunk", refusing{}).Send(context.Background(), []event.Event{{}})
	return m
}

func TestMetricsShowTimeLineAndBudget(t *testing.T) {
	_, body := get(t, metricsOf(full()).AdminHandler(full), "/metrics")
	for _, want := range []string{
		`logferry_normalizer_unknown_total{member="brandNew",stream="audits"} 2`,
		`logferry_stream_lateness_seconds_bucket{stream="contoso/audits",le="60"} 5`,
		`logferry_stream_lateness_seconds_bucket{stream="contoso/audits",le="180"} 5`,
		`logferry_stream_lateness_seconds_bucket{stream="contoso/audits",le="300"} 7`,
		`logferry_stream_lateness_seconds_bucket{stream="contoso/audits",le="259200"} 7`,
		`logferry_stream_lateness_seconds_bucket{stream="contoso/audits",le="+Inf"} 8`,
		`logferry_stream_lateness_seconds_count{stream="contoso/audits"} 8`,
		`logferry_stream_lateness_seconds_sum{stream="contoso/audits"} 324000`,
		`logferry_stream_lookback_seconds{stream="contoso/audits"} 360`,
		`logferry_stream_records_per_second{stream="contoso/audits"} 12.5`,
		`logferry_stream_holes{stream="contoso/audits"} 2`,
		`logferry_stream_gap_seconds{reader="backfill",stream="contoso/audits"} 100`,
		`logferry_stream_gap_seconds{reader="catchup",stream="contoso/audits"} 110`,
		`logferry_stream_uncovered_seconds{reader="reread/30m0s",stream="contoso/audits"} 42`,
		`logferry_stream_skipped_seconds{sink="splunk",stream="contoso/audits"} 60`,
		`logferry_stream_marked_timestamp_seconds{kind="gap",reader="catchup",stream="contoso/audits"} 6999`,
		`logferry_stream_marked_timestamp_seconds{kind="uncovered",reader="reread/30m0s",stream="contoso/audits"} 6997`,
		`logferry_stream_marked_timestamp_seconds{kind="skipped",reader="splunk",stream="contoso/audits"} 6994`,
		`logferry_ledger_unbalanced_records 3`,
		`logferry_sink_paused{sink="splunk"} 1`,
		`logferry_source_clock_ahead_seconds{source="contoso"} -90`,
		`logferry_state_lost_timestamp_seconds 1.7e+09`,
		`logferry_source_budget_requests_total{class="behind",source="contoso"} 17`,
		`logferry_source_budget_requests_total{class="live",source="contoso"} 0`,
		`logferry_source_budget_waiting_requests{class="backfill",source="contoso"} 2`,
		`logferry_source_budget_capacity_requests_per_second{source="contoso"} 0.5`,
		`logferry_source_budget_demand_requests_per_second{source="contoso"} 1.25`,
		`logferry_source_app_registrations_needed{source="contoso"} 3`,
		`logferry_source_credential_expiry_timestamp_seconds{source="contoso"} 1.8e+09`,
		`logferry_source_throttled_total{source="contoso"} 4`,
		`logferry_source_paused_seconds_total{source="contoso"} 1.5`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	for _, no := range []string{`logferry_stream_lookback_seconds{stream="global/tid/audits"}`, "older than", "reason="} {
		if strings.Contains(body, no) {
			t.Errorf("there is %s", no)
		}
	}
	if t.Failed() {
		t.Log(regexp.MustCompile(`(?m)^(#|go_|process_).*\n`).ReplaceAllString(body, ""))
	}
}

// TestScrapeNeverFails: whatever the status says twice or in unreadable letters.
func TestScrapeNeverFails(t *testing.T) {
	odd := full()
	odd.Streams = append(odd.Streams, odd.Streams[0], pipeline.StreamStatus{Name: "\xff", Marks: []event.Mark{
		mark(event.Gap, "\xfe/1", 0, 10, ""), mark(event.Gap, "\xfd/1", 0, 10, ""), mark(event.Skipped, "s", 20, 10, ""), {Kind: "of a later version", Reader: "live"},
	}}, pipeline.StreamStatus{Name: "\xfe"})
	odd.Sources = append(odd.Sources, odd.Sources[0])
	odd.Sinks = append(odd.Sinks, odd.Sinks[0])
	odd.Faults = append(odd.Faults, odd.Faults[0], pipeline.Fault{Part: "stream \xff"})
	for name, st := range map[string]pipeline.Status{"empty": {}, "odd": odd} {
		if code, body := get(t, metricsOf(st).AdminHandler(full), "/metrics"); code != http.StatusOK {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

func TestMetricNamesAreClean(t *testing.T) {
	families, err := metricsOf(full()).Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(families) < 40 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestMetricsAreDocumented: the table in docs/metrics.md has each metric of ours with its type and its labels, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, exposed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(logferry_\\w+)` \\| (\\w+) \\| [^|]+ \\|([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		labels := strings.Split(strings.NewReplacer("`", "", " ", "").Replace(row[3]), ",")
		slices.Sort(labels)
		told = append(told, fmt.Sprint(row[1], " ", row[2], " ", labels))
	}
	families, err := metricsOf(full()).Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "logferry_") {
			continue
		}
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if len(labels) == 0 {
			labels = []string{""}
		}
		exposed = append(exposed, fmt.Sprint(f.GetName(), " ", strings.ToLower(f.GetType().String()), " ", labels))
	}
	slices.Sort(told)
	if diff := cmp.Diff(exposed, told); diff != "" {
		t.Errorf("docs/metrics.md (+) and the process (-) differ:\n%s", diff)
	}
}

// BenchmarkScrape: a thousand tenants of five streams.
func BenchmarkScrape(b *testing.B) {
	var st pipeline.Status
	one := full()
	for i := range 1000 {
		source := one.Sources[0]
		source.Name = fmt.Sprint("tenant", i)
		st.Sources = append(st.Sources, source)
		for j := range 5 {
			stream := one.Streams[0]
			stream.Name = fmt.Sprint(source.Name, "/stream", j)
			if i%10 > 0 {
				stream.Marks = nil
			}
			st.Streams = append(st.Streams, stream)
		}
	}
	h := metricsOf(st).AdminHandler(full)
	b.ReportAllocs()
	for b.Loop() {
		w := &discarded{head: http.Header{}}
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		b.ReportMetric(float64(w.n), "bytes/scrape")
	}
}

// discarded is a reply that nobody keeps.
type discarded struct {
	head http.Header
	n    int
}

func (d *discarded) Header() http.Header         { return d.head }
func (d *discarded) WriteHeader(int)             {}
func (d *discarded) Write(p []byte) (int, error) { d.n += len(p); return io.Discard.Write(p) }
