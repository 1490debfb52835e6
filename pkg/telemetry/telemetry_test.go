package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/pipeline"
)

func status(faults ...pipeline.Fault) func() pipeline.Status {
	return func() pipeline.Status {
		return pipeline.Status{
			Streams: []pipeline.StreamStatus{{Name: "contoso/audits", Through: time.Unix(1000, 0), PageCounts: event.PageCounts{Rows: 5, New: 3, Seen: 2}}},
			Sinks:   []pipeline.SinkStatus{{Name: "splunk", Pending: 7, SinkCounts: event.SinkCounts{Delivered: 3}}},
			Faults:  faults,
		}
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestProbesDoNotDependOnPeers(t *testing.T) {
	blocked := pipeline.Fault{Part: "stream contoso/audits", Blocked: true, Err: "the app lacks AuditLog.Read.All"}
	h := NewMetrics("test").AdminHandler(status(blocked))
	for _, path := range []string{"/livez", "/readyz"} {
		if code, _ := get(t, h, path); code != http.StatusOK {
			t.Errorf("%s is %d while a peer is blocked", path, code)
		}
	}
	if code, body := get(t, h, "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "AuditLog.Read.All") {
		t.Errorf("/healthz: %d %q", code, body)
	}
	passing := pipeline.Fault{Part: "sink splunk", Err: "connection refused"}
	if code, _ := get(t, NewMetrics("test").AdminHandler(status(passing)), "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz is %d for what mends itself", code)
	}
}

func TestMetricsShowTheLedger(t *testing.T) {
	m := NewMetrics("1.2.3")
	st := status(pipeline.Fault{Part: "sink splunk", Blocked: true}, pipeline.Fault{Part: "sink splunk", Blocked: true, Err: "another one"})
	m.Watch(st)
	m.Request("contoso", "audits", 200, 1000, time.Second)
	m.Truncated("relay", 2)
	m.Duplicates("elastic", 3)
	m.State(func() uint64 { return 7 }, time.Time{})
	_, body := get(t, m.AdminHandler(st), "/metrics")
	for _, want := range []string{
		`logferry_stream_rows_total{state="new",stream="contoso/audits"} 3`,
		`logferry_stream_complete_through_timestamp_seconds{stream="contoso/audits"} 1000`,
		`logferry_sink_events_total{sink="splunk",verdict="delivered"} 3`,
		`logferry_sink_pending_records{sink="splunk"} 7`,
		`logferry_faults{blocked="true",part="sink splunk"} 1`,
		`logferry_journal_full_seconds 0`,
		`logferry_source_requests_total{source="contoso",status="200",stream="audits"} 1`,
		`logferry_sink_truncated_events_total{sink="relay"} 2`,
		`logferry_sink_duplicate_events_total{sink="elastic"} 3`,
		`logferry_state_commits_total 7`,
		`logferry_build_info{version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// refusing is a sink that gives one error.
type refusing struct{ err error }

func (r refusing) Send(context.Context, []event.Event) error { return r.err }
func (r refusing) Limits() event.Limits                      { return event.Limits{Events: 3} }
func (r refusing) Close() error                              { return nil }

func TestSinkDecoratorPassesOnAndCounts(t *testing.T) {
	m := NewMetrics("test")
	down := fault.Block(errors.New("token disabled"))
	for _, err := range []error{nil, down} {
		s := m.Sink("splunk", refusing{err})
		if got := s.Send(t.Context(), []event.Event{{Body: []byte("12345")}}); got != err || s.Limits().Events != 3 {
			t.Errorf("the decorator changed %v to %v", err, got)
		}
	}
	_, body := get(t, m.AdminHandler(status()), "/metrics")
	for _, want := range []string{`logferry_sink_sends_total{result="accepted",sink="splunk"} 1`, `logferry_sink_sends_total{result="blocked",sink="splunk"} 1`, `logferry_sink_sent_bytes_total{sink="splunk"} 5`} {
		if !strings.Contains(body, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestControlSocket(t *testing.T) {
	short, err := os.MkdirTemp("", "lf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	long := filepath.Join(short, strings.Repeat("deep/", 30))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"short path": short, "path longer than a socket's address": long} {
		t.Run(name, func(t *testing.T) {
			var got pipeline.Status
			if err := Ask(t.Context(), dir, "status", &got); !errors.Is(err, ErrNotRunning) {
				t.Errorf("asking nobody: %v", err)
			}
			// What a killed process leaves behind must not be in the way.
			if err := os.WriteFile(filepath.Join(dir, SocketName), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			stop, err := Control(t.Context(), dir, map[string]func() (any, error){
				"status": func() (any, error) { return status()(), nil },
				"broken": func() (any, error) { return nil, errors.New("no such thing") },
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(filepath.Join(dir, SocketName)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("socket: %v, %v", info, err)
			}
			if err := Ask(t.Context(), dir, "status", &got); err != nil || len(got.Streams) != 1 || got.Sinks[0].Delivered != 3 {
				t.Errorf("status %+v, %v", got, err)
			}
			if err := Ask(t.Context(), dir, "broken", &got); err == nil || !strings.Contains(err.Error(), "no such thing") {
				t.Errorf("a refused question: %v", err)
			}
			stop()
			if err := Ask(t.Context(), dir, "status", &got); !errors.Is(err, ErrNotRunning) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		var out bytes.Buffer
		log, err := NewLogger(&out, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("hidden")
		log.Info("shown")
		if text := out.String(); strings.Contains(text, "hidden") || !strings.Contains(text, "shown") || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %q", format, text)
		}
	}
	if _, err := NewLogger(io.Discard, "loud", "json"); err == nil {
		t.Error("an unknown level was taken")
	}
}

func TestSecondsUntilTheJournalIsFull(t *testing.T) {
	for want, st := range map[string]pipeline.Status{
		"0":    {Room: -1},
		"+Inf": {Room: 1},
		"5400": {Room: 1, FullIn: event.Duration(90 * time.Minute)},
	} {
		m := NewMetrics("test")
		m.Watch(func() pipeline.Status { return st })
		if _, body := get(t, m.AdminHandler(status()), "/metrics"); !strings.Contains(body, "\nlogferry_journal_full_seconds "+want+"\n") {
			t.Errorf("no %s for %+v", want, st)
		}
	}
}

// TestNoOrdersToTheTerminalOverHTTP: what a peer says is on /healthz without what a terminal would take for an order.
func TestNoOrdersToTheTerminalOverHTTP(t *testing.T) {
	st := pipeline.Status{Faults: []pipeline.Fault{{Part: "sink splunk", Blocked: true, Err: "said \x1b]0;owned\x07\u009b2J"}}}
	w := httptest.NewRecorder()
	NewMetrics("test").AdminHandler(func() pipeline.Status { return st }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if text := w.Body.String(); w.Code != http.StatusServiceUnavailable || strings.ContainsAny(text, "\x1b\x07\u009b") || !strings.Contains(text, "owned") {
		t.Errorf("%d %q", w.Code, text)
	}
}
