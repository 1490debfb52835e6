//go:build unix

package app_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/store"
)

var (
	manyTenants    = flag.Bool("tenants", false, "run TestTenantsProcess: a thousand quiet tenants in the built binary")
	manyTenantsFor = flag.Duration("tenants-for", 3*time.Minute, "how long TestTenantsProcess lets it run")
)

const (
	quietTenants = 1000
	quietRate    = 0.01 // records a second of one tenant, over its five streams
	quietPoll    = time.Minute
	mib          = 1 << 20
)

// TestTenantsProcess has the built binary read a thousand quiet tenants from a simulator in this process, asks it for its
// metrics every quarter of a minute as Prometheus would, and tells what that costs: make tenants
func TestTenantsProcess(t *testing.T) {
	if !*manyTenants {
		t.Skip("takes minutes: ask for it with -tenants")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "logferry")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/logferry/logferry/cmd/logferry").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	began := time.Now()
	graph, err := simulator.New(simulator.Options{Seed: 7, Tenants: simulator.Tenants(quietTenants), Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second},
		Generate: generate(quietRate/5, began.Add(-50*time.Minute), time.Time{})})
	if err != nil {
		t.Fatal(err)
	}
	clock := &pulse{server: graph}
	api := httptest.NewServer(clock)
	defer api.Close()
	got := &collected{at: map[string]time.Time{}}
	hec := httptest.NewServer(got)
	defer hec.Close()
	config := writeTenants(t, dir, api.URL, hec.URL)
	checked := checkConfig(t, binary, config)

	p := startTenants(t, binary, config)
	p.watch(t, *manyTenantsFor)
	end := time.Now()
	p.stop(t)
	delays := delays(t, graph, got, began.Add(quietPoll), end.Add(-quietPoll-10*time.Second))
	ledger := checkLedger(t, filepath.Join(dir, "state"))
	busiest, mean := clock.spread(0, time.Minute)
	_, steady := clock.spread(time.Minute, end.Sub(clock.first))

	p.judge(t, checked)
	if float64(busiest) > 3*mean {
		t.Errorf("%d requests in the busiest second of the first minute, %.1f on average", busiest, mean)
	}
	// Where the processor is short, a request may be held up between the limiter and the simulator by more than the margin.
	refused := graph.Stats().Throttled
	if float64(refused) > 0.05*mean {
		t.Errorf("the budget refused %d requests", refused)
	}
	if late := quantile(delays, 0.99); late > (quietPoll + 15*time.Second).Seconds() {
		t.Errorf("one record of a hundred came %.1f s after its time", late)
	}
	fmt.Printf("%d tenants of 5 streams, poll %s, for %s: anonymous memory %.1f MiB at most (%.1f at the end), %.0f goroutines at most (%.0f at the end), "+
		"CPU %.2f s a minute (%.2f in the first), %.1f commits/s, requests %.1f/s (first minute %.1f/s, busiest second %d, %d refused), "+
		"delay p50 %.1fs p99 %.1fs max %.1fs of %d records, configuration checked in %.2fs, scrape %d ms for %.1f MiB, ledger %s\n",
		quietTenants, quietPoll, manyTenantsFor, float64(p.anon)/mib, float64(p.rest)/mib, p.goroutines, p.resting,
		p.cpu, p.cpuFirst, p.commits, steady, mean, busiest, refused,
		quantile(delays, 0.5), quantile(delays, 0.99), quantile(delays, 1), len(delays), checked.Seconds(), p.scrape.Milliseconds(), float64(p.scraped)/mib, ledger)
}

// judge holds the process against what a thousand quiet tenants may cost.
func (p *process) judge(t *testing.T, checked time.Duration) {
	t.Helper()
	if p.anon > 256*mib {
		t.Errorf("%d MiB of anonymous memory, want less than 256", p.anon/mib)
	}
	if checked > 2*time.Second {
		t.Errorf("checking the configuration took %s", checked)
	}
	// On the first run each tenant has some slices that wait for its budget.
	if p.goroutines > 4*quietTenants || p.resting > 1.25*quietTenants {
		t.Errorf("%.0f goroutines at most, %.0f at the end", p.goroutines, p.resting)
	}
}

// writeTenants writes a configuration with all tenants and gives its name.
func writeTenants(t *testing.T, dir, graph, hec string) string {
	t.Helper()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "state: {dir: %q}\nadmin: {listen: \"127.0.0.1:0\"}\nsinks:\n  - {name: hec, schema: ecs, splunk: {endpoints: [%q], token_file: %q, compression: none}}\nsources:\n",
		filepath.Join(dir, "state"), hec, secret)
	for _, tenant := range simulator.Tenants(quietTenants) {
		name, _, _ := strings.Cut(tenant.Domain, ".")
		fmt.Fprintf(&text, "  - name: %s\n    entra:\n      tenant: %s\n      login_url: %s\n      graph_url: %s\n      auth: {client_id: %s, client_secret_file: %q}\n      start: 1h\n      poll: %s\n",
			name, tenant.Domain, graph, graph, simulator.DefaultClientID, secret, quietPoll)
	}
	config := filepath.Join(dir, "logferry.yaml")
	if err := os.WriteFile(config, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// checkConfig gives how long `logferry check` takes.
func checkConfig(t *testing.T, binary, config string) time.Duration {
	t.Helper()
	began := time.Now()
	if out, err := exec.Command(binary, "check", "-c", config).CombinedOutput(); err != nil {
		t.Fatalf("check: %v: %.2000s", err, out)
	}
	return time.Since(began)
}

// process is the shipper under way, and what is known of it.
type process struct {
	cmd   *exec.Cmd
	log   *tail
	admin string

	anon, rest    int64   // bytes of anonymous memory: the most, and at the end
	goroutines    float64 // the most
	resting       float64 // goroutines at the end
	cpu, cpuFirst float64 // seconds a minute
	commits       float64 // a second
	scrape        time.Duration
	scraped       int
}

// startTenants starts `logferry run` and waits for its admin endpoint, whose address it logs.
func startTenants(t *testing.T, binary, config string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, "run", "-c", config), log: &tail{}}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it has ended by then unless the test has failed
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	lines := bufio.NewScanner(stderr)
	for p.admin == "" && lines.Scan() {
		var entry struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "admin endpoint" {
			p.admin = entry.URL
		}
		p.log.add(lines.Text())
	}
	if p.admin == "" {
		t.Fatalf("it does not start: %s", p.log)
	}
	go func() {
		for lines.Scan() {
			p.log.add(lines.Text())
		}
	}()
	return p
}

// watch looks on for d.
func (p *process) watch(t *testing.T, d time.Duration) {
	t.Helper()
	memory := watchMemory(p.cmd.Process.Pid)
	const every = 15 * time.Second
	var first map[string]float64
	began := time.Now()
	for {
		time.Sleep(every)
		ran := time.Since(began)
		asked := time.Now()
		m := p.metrics(t)
		p.scrape = max(p.scrape, time.Since(asked))
		p.resting = m["go_goroutines"]
		p.goroutines = max(p.goroutines, p.resting)
		if first == nil && ran >= time.Minute {
			first, p.cpuFirst = m, m["process_cpu_seconds_total"]/ran.Minutes()
			first["at"] = ran.Seconds()
		}
		if ran < d {
			continue
		}
		span := ran.Seconds() - first["at"]
		p.cpu = (m["process_cpu_seconds_total"] - first["process_cpu_seconds_total"]) / span * 60
		p.commits = (m["logferry_state_commits_total"] - first["logferry_state_commits_total"]) / span
		p.rest = anonymous(p.cmd.Process.Pid)
		p.anon = memory.stop()
		return
	}
}

// metrics scrapes the metrics that have no labels.
func (p *process) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	resp, err := http.Get(p.admin + "/metrics")
	if err != nil {
		t.Fatalf("%v: %s", err, p.log)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	p.scraped = len(text)
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	return values
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%v: %s", err, p.log)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("run: %v: %s", err, p.log)
	}
}

// tail keeps the last lines of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (l *tail) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines[max(0, len(l.lines)-9):], line)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// collected is a HEC that remembers when each record came.
type collected struct {
	mu    sync.Mutex
	at    map[string]time.Time // by record id
	again int
}

// ServeHTTP implements http.Handler.
func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	for events := json.NewDecoder(r.Body); ; {
		var e struct {
			Event struct{ Event struct{ ID string } }
		}
		if events.Decode(&e) != nil {
			break
		}
		c.mu.Lock()
		if _, there := c.at[e.Event.Event.ID]; there {
			c.again++
		}
		c.at[e.Event.Event.ID] = now
		c.mu.Unlock()
	}
	discardHEC(w, r)
}

// delays checks that every record up to until has come once, and gives how many seconds after its time those since from have
// come, in ascending order.
func delays(t *testing.T, graph *simulator.Server, got *collected, from, until time.Time) []float64 {
	t.Helper()
	got.mu.Lock()
	defer got.mu.Unlock()
	var all []float64
	missing := 0
	for row := range graph.Expected(until) {
		at, ok := got.at[row.ID]
		switch {
		case !ok:
			if missing++; missing <= 3 {
				t.Errorf("%s of %s, %s, has not come", row.ID, row.Tenant, row.Stream)
			}
		case row.Time.After(from):
			all = append(all, at.Sub(row.Time).Seconds())
		}
	}
	if missing+got.again > 0 || len(all) == 0 {
		t.Errorf("%d records are missing, %d came again, %d were timed", missing, got.again, len(all))
	}
	slices.Sort(all)
	return all
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

// checkLedger recounts the ledger of the file.
func checkLedger(t *testing.T, dir string) string {
	t.Helper()
	st, _, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Check(); err != nil {
		t.Error(err)
		return "BROKEN"
	}
	return "adds up"
}
