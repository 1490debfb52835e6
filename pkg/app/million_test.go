//go:build unix

package app_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/store"
)

var million = flag.Bool("million", false, "run TestMillion: a catch-up of a million records with the built binary")

// TestMillion has the built binary catch up with a million records of a day, four streams at once, and tells what that costs:
// go test ./pkg/app -run TestMillion -million -v
func TestMillion(t *testing.T) {
	if !*million {
		t.Skip("takes minutes: ask for it with -million")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "logferry")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/logferry/logferry/cmd/logferry").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	want := map[string]int{simulator.Interactive: 400_000, simulator.NonInteractive: 400_000, simulator.ServicePrincipal: 100_000, simulator.Audits: 100_000}
	var made []simulator.Generate
	for stream, records := range want {
		g := day(records)
		g.Stream = stream
		made = append(made, g)
	}
	graph, err := simulator.New(simulator.Options{Seed: 7, Generate: made, TokenLife: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	api, err := graph.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	hec := httptest.NewServer(http.HandlerFunc(discardHEC))
	defer hec.Close()

	text := write(t, &peers{Graph: api.URL, HEC: hec.URL}, dir, made[0].Since, "1m", "schema: ecs\n    splunk: {endpoints: [$HEC], token_file: $DIR/secret}")
	text = strings.Replace(text, "streams: [signins.interactive]", "streams: [signins.interactive, signins.noninteractive, signins.serviceprincipal, audits]", 1)
	config := filepath.Join(dir, "logferry.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(binary, "run", "--once", "-c", config)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watch := watchMemory(cmd.Process.Pid)
	err = cmd.Wait()
	took, anon := time.Since(began), watch.stop()
	if err != nil {
		t.Fatalf("run: %v: %s", err, stderr.String())
	}
	var s pipeline.Summary
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	for stream, records := range want {
		if got := s.Streams["contoso/"+stream]; got.New != uint64(records) {
			t.Errorf("%s: %+v, want %d new", stream, got, records)
		}
	}
	if got := s.Sinks["sink"]; !s.Complete || got.Delivered != 1_000_000 {
		t.Errorf("complete %v, %+v", s.Complete, got)
	}
	report(t, filepath.Join(dir, "state"), cmd.ProcessState, took, anon, graph.Stats().Bytes)
}

// report checks the ledger from the file and prints what the run has cost.
func report(t *testing.T, dir string, end *os.ProcessState, took time.Duration, anon, fetched int64) {
	t.Helper()
	file, err := os.Stat(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	st, _, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ledger := "adds up"
	if err := st.Check(); err != nil {
		ledger = "BROKEN"
		t.Error(err)
	}
	maxRSS := end.SysUsage().(*syscall.Rusage).Maxrss << 10 // in KiB on Linux
	fmt.Printf("a million records, %.2f GB: wall %.1fs, user %.1fs + sys %.1fs CPU, anonymous memory %.1f MiB at most, max RSS %.1f MiB (mapped state file included), state file %.1f MiB, ledger %s\n",
		float64(fetched)/1e9, took.Seconds(), end.UserTime().Seconds(), end.SystemTime().Seconds(), float64(anon)/mib, float64(maxRSS)/mib, float64(file.Size())/mib, ledger)
}
