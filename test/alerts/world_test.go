package alerts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// world is a simulated tenant, a state folder, a receiver, the app between them, and a Prometheus that scrapes it, all inside a
// synctest bubble: hours pass in milliseconds.
type world struct {
	*testing.T
	load    *load
	sim     *simulator.Server
	dir     string
	began   time.Time
	sink    *receiver
	ahead   atomic.Int64 // by how much the service's clock is ahead of the bubble's, ns
	unequal atomic.Bool  // the ledger has lost a record
	sign    http.RoundTripper

	auth    string // the auth block in one line; "": by secret
	app     *app.App
	halt    func() error
	target  bool               // Prometheus knows it
	idle    *telemetry.Metrics // of a process that idles instead
	beside  *telemetry.Metrics // of one that idles in another pod
	scrapes *scrapes
}

// newWorld makes the world of a load with these faults of the API; nothing runs yet.
func newWorld(t *testing.T, l *load, rules []simulator.Rule) *world {
	w := &world{T: t, load: l, dir: folder(t), began: time.Now(), sink: &receiver{}, target: true, scrapes: newScrapes()}
	o := l.options(w.began)
	o.Script, o.Now = &simulator.Script{Rules: rules}, w.now
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.sim = sim
	for _, add := range l.records {
		add(w)
	}
	w.write("secret", simulator.DefaultClientSecret)
	t.Cleanup(func() {
		w.stop()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// folder is one in memory, where the system has that.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "logferry-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (w *world) now() time.Time          { return time.Now().Add(time.Duration(w.ahead.Load())) }
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// text is the configuration.
func (w *world) text() string {
	auth := w.auth
	if auth == "" {
		auth = fmt.Sprintf("{client_id: %s, client_secret_file: %q}", simulator.DefaultClientID, w.path("secret"))
	}
	text := fmt.Sprintf("state: {dir: %q%s}\nadmin: {listen: \"off\"}\nsources:\n  - name: contoso\n    entra:\n      tenant: %s\n      auth: %s\n",
		w.path("state"), w.load.state, simulator.DefaultDomain, auth)
	for line := range strings.Lines(w.load.input) {
		text += "      " + strings.TrimSpace(line) + "\n"
	}
	return text + "sinks:\n  - {name: siem, schema: ecs, stdout: {}" + w.load.sink + "}\n"
}

func (w *world) config() *config.Config {
	n, err := normalizer.New()
	if err != nil {
		w.Fatal(err)
	}
	cfg, err := config.Parse("test.yaml", []byte(w.text()), n)
	if err != nil {
		w.Fatalf("%v\n%s", err, w.text())
	}
	return cfg
}

// start runs the app until stop.
func (w *world) start() {
	transport := w.sim.Client().Transport
	if w.sign != nil {
		transport = w.sign
	}
	w.write("test.yaml", w.text())
	files := []string{w.path("test.yaml")}
	texts, err := config.Read(files)
	if err != nil {
		w.Fatal(err)
	}
	a, err := app.New(w.config(), app.Options{
		Version: "test", Transport: transport, NoSync: true, NoControl: true, Reload: &app.Reload{Paths: files, Read: texts, Every: 10 * time.Second},
		Journal: func(j pipeline.Journal) pipeline.Journal { return ledger{j, w} },
		Sink: func(_ config.Sink, real pipeline.Sink) pipeline.Sink {
			if err := real.Close(); err != nil {
				w.Error(err)
			}
			return w.sink
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.app = a
	w.halt = func() error {
		cancel()
		return errors.Join(<-done, a.Close())
	}
}

func (w *world) stop() {
	if w.app == nil {
		return
	}
	w.app = nil
	if err := w.halt(); err != nil {
		w.Error(err)
	}
}

// restart takes two minutes, as it does where a pod has to be placed anew.
func (w *world) restart() {
	w.stop()
	w.until(w.passed() + 2*time.Minute)
	w.start()
}

func (w *world) passed() time.Duration { return time.Since(w.began) }

// until lets time pass to offset after the world's beginning, with a scrape at each whole multiple of every.
func (w *world) until(offset time.Duration) {
	for {
		next := w.passed().Truncate(every) + every
		if w.scrapes.n == 0 {
			next = 0
		}
		if next > offset {
			return
		}
		time.Sleep(next - w.passed())
		synctest.Wait()
		w.scrape()
	}
}

// receiver is the sink.
type receiver struct {
	mu   sync.Mutex
	says func(events []event.Event) error // nil: it takes everything
	got  int
}

func (r *receiver) Send(_ context.Context, events []event.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.says != nil {
		if err := r.says(events); err != nil {
			return err
		}
	}
	r.got += len(events)
	return nil
}

func (r *receiver) Limits() event.Limits { return event.Limits{Events: 100, Bytes: 1 << 20} }
func (r *receiver) Close() error         { return nil }

func (r *receiver) set(says func(events []event.Event) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.says = says
}

// always makes the receiver fail with err.
func always(err error) func([]event.Event) error {
	return func([]event.Event) error { return err }
}

// ledger is the state file, whose ledger may have lost a record.
type ledger struct {
	pipeline.Journal
	w *world
}

func (l ledger) Ledger() map[event.StreamKey]event.StreamLedger {
	all := l.Journal.Ledger()
	for key, s := range all {
		if c := s.Sinks["siem"]; l.w.unequal.Load() && key.Stream == simulator.Audits && c.Delivered > 0 {
			c.Delivered--
			s.Sinks["siem"] = c
		}
	}
	return all
}
