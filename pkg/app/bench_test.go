//go:build unix

package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
)

// The benchmarks run the whole pipeline: pages over loopback, the state file with fsync, ECS with the record kept inside, a
// sink. Metrics, per iteration of benchRecords records:
//
//	cpu-s/million      user and system time of the pipeline alone
//	raw-cpu-s/million  the same with the simulated API and the receiver
//	cpu-s/GB           per 10^9 bytes of records as sent
//	events/s           by the clock, all processes on this machine together
//	anon-MiB           most anonymous memory; this test binary idles at about 6
const benchRecords = 100_000

// BenchmarkPagesToHEC: gzip is the default.
func BenchmarkPagesToHEC(b *testing.B) {
	for _, compression := range []string{"gzip", "none"} {
		b.Run(compression, func(b *testing.B) {
			benchPages(b, "schema: ecs\n    splunk: {endpoints: [$HEC], token_file: $DIR/secret, compression: "+compression+"}")
		})
	}
}

// BenchmarkPagesToKafka: lz4, as by default.
func BenchmarkPagesToKafka(b *testing.B) {
	benchPages(b, "kafka: {brokers: [$KAFKA], topic: entra, compression: lz4}")
}

// BenchmarkPagesToSyslog: RFC 5424 over plain TCP.
func BenchmarkPagesToSyslog(b *testing.B) {
	benchPages(b, "syslog: {address: tcp://$SYSLOG}")
}

// BenchmarkPagesToFile: with an fsync for each batch, as by default.
func BenchmarkPagesToFile(b *testing.B) {
	benchPages(b, "file: {path: $DIR/out.ndjson}")
}

// day is the stretch of time that the records of a benchmark fall into.
func day(records int) simulator.Generate {
	since := time.Now().Add(-26 * time.Hour).Truncate(time.Second)
	return simulator.Generate{Stream: simulator.Interactive, Rate: float64(records) / 86400, Since: since, Until: since.Add(24 * time.Hour)}
}

func benchPages(b *testing.B, sink string) {
	day := day(benchRecords)
	p := startPeers(b, day)
	m := meter{peers: p}
	for range b.N {
		dir := b.TempDir()
		cfg := configure(b, p, dir, day.Since, "1m", sink)
		m.start(b)
		s := once(b, cfg)
		m.stop(b)
		if got := s.Streams["contoso/signins.interactive"]; got.New != benchRecords || s.Sinks["sink"].Delivered != benchRecords {
			b.Fatalf("%+v", s)
		}
		os.RemoveAll(dir)
	}
	m.report(b)
}

// BenchmarkSeenRows reads what was read and delivered before: a look-back that reaches over all of it.
func BenchmarkSeenRows(b *testing.B) {
	day := day(benchRecords)
	p := startPeers(b, day)
	dir := b.TempDir()
	cfg := configure(b, p, dir, day.Since, "48h", "file: {path: $DIR/out.ndjson}")
	once(b, cfg)
	m := meter{peers: p}
	b.ResetTimer()
	for range b.N {
		m.start(b)
		s := once(b, cfg)
		m.stop(b)
		if got := s.Streams["contoso/signins.interactive"]; got.Seen != benchRecords || got.New != 0 {
			b.Fatalf("%+v", s)
		}
	}
	m.report(b)
}

const benchConfig = `
state: {dir: $DIR/state}
sources:
  - name: contoso
    entra:
      tenant: $TENANT
      login_url: $GRAPH
      graph_url: $GRAPH
      auth: {client_id: $CLIENT, client_secret_file: $DIR/secret}
      streams: [signins.interactive]
      start: $START
      lookback: $LOOKBACK
      reread: []
      budget: {requests: 100000, per: 10s}
sinks:
  - name: sink
    $SINK
admin: {listen: "off"}
`

// write puts the configuration of a run over the peers into dir and gives its text.
func write(tb testing.TB, p *peers, dir string, start time.Time, lookback, sink string) string {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		tb.Fatal(err)
	}
	text := strings.Replace(benchConfig, "$SINK", sink, 1)
	return strings.NewReplacer(
		"$DIR", dir, "$TENANT", simulator.DefaultDomain, "$CLIENT", simulator.DefaultClientID, "$START", start.UTC().Format(time.RFC3339), "$LOOKBACK", lookback,
		"$GRAPH", p.Graph, "$HEC", p.HEC, "$KAFKA", p.Kafka, "$SYSLOG", p.Syslog,
	).Replace(text)
}

func configure(tb testing.TB, p *peers, dir string, start time.Time, lookback, sink string) *config.Config {
	tb.Helper()
	n, err := normalizer.New()
	if err != nil {
		tb.Fatal(err)
	}
	cfg, err := config.Parse("bench.yaml", []byte(write(tb, p, dir, start, lookback, sink)), n)
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

func once(tb testing.TB, cfg *config.Config) pipeline.Summary {
	tb.Helper()
	a, err := app.New(cfg, app.Options{Version: "bench"})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := a.Once(context.Background(), time.Minute)
	if err != nil {
		tb.Fatal(err, s)
	}
	if err := a.Close(); err != nil {
		tb.Fatal(err)
	}
	return s
}

// meter sums up what the iterations use.
type meter struct {
	peers *peers
	own   time.Duration
	began time.Time
	took  time.Duration
	self  time.Duration
	rest  usage
	diff  usage
	watch *memoryWatch
	most  int64
}

func (m *meter) start(b *testing.B) {
	app.TuneMemory()
	debug.FreeOSMemory()
	m.watch = watchMemory(os.Getpid())
	m.rest, m.own, m.began = m.peers.used(b), processor(), time.Now()
}

func (m *meter) stop(b *testing.B) {
	m.self += processor() - m.own
	m.took += time.Since(m.began)
	now := m.peers.used(b)
	m.diff.CPU += now.CPU - m.rest.CPU
	m.diff.Rows += now.Rows - m.rest.Rows
	m.diff.Bytes += now.Bytes - m.rest.Bytes
	m.most = max(m.most, m.watch.stop())
}

func (m *meter) report(b *testing.B) {
	rows := float64(m.diff.Rows)
	b.ReportMetric(m.self.Seconds()/rows*1e6, "cpu-s/million")
	b.ReportMetric((m.self+m.diff.CPU).Seconds()/rows*1e6, "raw-cpu-s/million")
	b.ReportMetric(m.self.Seconds()/float64(m.diff.Bytes)*1e9, "cpu-s/GB")
	b.ReportMetric(rows/m.took.Seconds(), "events/s")
	if m.most > 0 {
		b.ReportMetric(float64(m.most)/(1<<20), "anon-MiB")
	}
}

// memoryWatch samples a process's anonymous memory (Linux; elsewhere it sees nothing).
type memoryWatch struct {
	quit chan struct{}
	most chan int64
}

func watchMemory(pid int) *memoryWatch {
	w := &memoryWatch{make(chan struct{}), make(chan int64)}
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var most int64
		for {
			most = max(most, anonymous(pid))
			select {
			case <-tick.C:
			case <-w.quit:
				w.most <- most
				return
			}
		}
	}()
	return w
}

// stop gives the most that was seen, in bytes.
func (w *memoryWatch) stop() int64 {
	close(w.quit)
	return <-w.most
}

// anonymous reads RssAnon of /proc/PID/status (proc(5)), in bytes; 0 where there is none.
func anonymous(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(text), "RssAnon:")
	var kib int64
	if !ok {
		return 0
	}
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0
	}
	return kib << 10
}
