package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

var action = regexp.MustCompile(`^\{"create":.*"_id":"([^"]+)"`)

// TestSinksOverHTTP: the http sink delivers through the whole program, and the ledger knows what a cluster said it had already.
func TestSinksOverHTTP(t *testing.T) {
	began := time.Now()
	sim, err := simulator.New(simulator.Options{Generate: generate(0.02, began.Add(-time.Hour), began)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	var mu sync.Mutex
	lines, known := 0, 0
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/in" {
			text, _ := io.ReadAll(r.Body)
			lines += strings.Count(string(text), "\n")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		var items []string
		in := bufio.NewScanner(r.Body)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			if m := action.FindSubmatch(in.Bytes()); m != nil {
				items = append(items, fmt.Sprintf(`{"create":{"_id":%q,"status":409,"error":{"type":"version_conflict_engine_exception"}}}`, m[1]))
			}
		}
		known += len(items)
		fmt.Fprintf(w, `{"errors":true,"items":[%s]}`, strings.Join(items, ","))
	}))
	t.Cleanup(peer.Close)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, fmt.Sprintf(`
state: {dir: %[1]q}
admin: {listen: "off"}
sources:
  - name: contoso
    entra: {tenant: %[2]s, start: 1h, budget: {requests: 1000, per: 1s}, auth: {client_id: %[3]s, client_secret_file: %[4]q}}
sinks:
  - {name: collector, http: {endpoints: ["%[5]s/in"], compression: none}}
  - {name: cluster, elastic: {endpoints: ["%[5]s"], compression: none}}
`, filepath.Join(dir, "state"), simulator.DefaultDomain, simulator.DefaultClientID, filepath.Join(dir, "secret"), peer.URL))
	a, err := app.New(cfg, app.Options{Version: "test", Transport: sim.Client().Transport, NoSync: true, NoControl: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s, err := a.Once(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err, s)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := int(s.Sinks["collector"].Delivered); n == 0 || lines != n || known != n || int(s.Sinks["cluster"].Delivered) != n {
		t.Errorf("the collector got %d lines, the cluster %d events: %+v", lines, known, s)
	}
	for _, sink := range a.Status().Sinks {
		if want := map[string]int{"collector": 0, "cluster": known}[sink.Name]; int(sink.Duplicates) != want {
			t.Errorf("the ledger of %s has %d duplicates, want %d", sink.Name, sink.Duplicates, want)
		}
	}
}
