package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
)

// everything is a load whose world has all that can be told of a stream and of a source.
var everything = &load{
	name: "everything", input: "start: 40d\nreread: [30m, 2h]\nstreams: [audits]\ntop: 7", state: large.state, sink: losing.sink,
	options: large.options, records: large.records,
}

// TestMetricsTable holds the table of docs/metrics.md against what is scraped from two processes in which each metric has a value:
// the same names, types, labels and units, and no more on either side.
func TestMetricsTable(t *testing.T) {
	var s *scrapes
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, everything, []simulator.Rule{{Kind: simulator.ServerError, Stream: simulator.Audits, From: time.Hour, Until: 210 * time.Minute}})
		w.audit("odd", w.began, `,"brandNewMember":"x"`)
		w.certificate(10 * 24 * time.Hour)
		w.sink.set(always(io.ErrUnexpectedEOF))
		w.start()
		for w.passed() < 7*time.Hour {
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			w.scrape()
		}
		s = w.scrapes
	})
	receivers(t, s)
	var exposed []string
	for family, labels := range s.labels {
		all := []string{}
		for l := range labels {
			all = append(all, l)
		}
		slices.Sort(all)
		exposed = append(exposed, fmt.Sprint(family, " ", s.types[family], " ", all))
	}
	told := documented(t)
	slices.Sort(exposed)
	slices.Sort(told)
	if diff := cmp.Diff(exposed, told); diff != "" {
		t.Errorf("docs/metrics.md (+) and the process (-) differ:\n%s", diff)
	}
}

// receivers adds what is scraped from a process with two real sinks: one has to cut its events, the other's receiver says that it has
// them already.
func receivers(t *testing.T, s *scrapes) {
	relay, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	go func() {
		for conn, err := relay.Accept(); err == nil; conn, err = relay.Accept() {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	cluster := httptest.NewServer(http.HandlerFunc(hasAll))
	defer cluster.Close()
	sim, err := simulator.New(simulator.Options{Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 1, Size: 4000, Since: time.Now().Add(-time.Minute)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sim.Close() }()
	w := &world{T: t, dir: t.TempDir()}
	w.write("secret", simulator.DefaultClientSecret)
	w.write("key", "key")
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("test.yaml", fmt.Appendf(nil, `state: {dir: %q}
admin: {listen: "off"}
sources:
  - name: contoso
    entra: {tenant: %s, streams: [audits], auth: {client_id: %s, client_secret_file: %q}}
sinks:
  - {name: relay, syslog: {address: "tcp://%s", max_message_bytes: 2048, on_oversize: truncate}}
  - {name: cluster, elastic: {endpoints: [%q], compression: none, api_key_file: %q}}
`, w.path("state"), simulator.DefaultDomain, simulator.DefaultClientID, w.path("secret"), relay.Addr(), cluster.URL, w.path("key")), n)
	if err != nil {
		t.Fatal(err)
	}
	w.app, err = app.New(cfg, app.Options{Version: "test", Transport: sim.Client().Transport, NoSync: true, NoControl: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.app.Run(ctx) }()
	w.scrapes = s
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if w.scrape(); len(s.labels["logferry_sink_truncated_events_total"]) > 0 && len(s.labels["logferry_sink_duplicate_events_total"]) > 0 {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := w.app.Close(); err != nil {
		t.Error(err)
	}
}

// hasAll is a cluster that has each document already.
func hasAll(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	body, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/_bulk") {
		fmt.Fprint(w, `{"version":{"number":"8.15.0"}}`)
		return
	}
	var items []map[string]any
	for line := range strings.Lines(string(body)) {
		var action struct {
			Create *struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		if json.Unmarshal([]byte(line), &action) == nil && action.Create != nil {
			items = append(items, map[string]any{"create": map[string]any{"_id": action.Create.ID, "_index": "x", "status": 409,
				"error": map[string]any{"type": "version_conflict_engine_exception", "reason": "document already exists"}}})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": true, "took": 1, "items": items})
}
