package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
)

// world is a simulated tenant, a state folder and receivers, all inside a synctest bubble: hours pass in milliseconds. The
// pipeline on it may be started and stopped many times; what the receivers got stays.
type world struct {
	*testing.T
	sim   *simulator.Server
	wire  *wire
	dir   string
	state string // the folder's name in dir
	more  string // of the state block, behind a comma
	sinks map[string]*receiver
	input string       // of the entra block, lines of YAML
	auth  string       // the auth block in one line
	began time.Time    // of the bubble
	ahead atomic.Int64 // by how much the service's clock is ahead of the bubble's, ns

	log     *zap.Logger // nil: none
	reload  *app.Reload // nil: none
	forget  []string
	sunk    int // sinks made
	app     *app.App
	stop    func()
	alive   *life
	trap    atomic.Pointer[trap] // where the running pipeline is to crash
	dead    sync.WaitGroup       // crashed pipelines that have not ended yet
	crashes []time.Time          // by the service's clock
}

// newWorld makes a world with the named receivers; nothing runs yet.
func newWorld(t *testing.T, o simulator.Options, input string, sinks ...string) *world {
	t.Helper()
	w := &world{T: t, dir: folder(t), state: "state", input: input, sinks: map[string]*receiver{}, began: time.Now(), stop: func() {}}
	o.Trace, o.Now = true, w.now
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.sim, w.wire = sim, &wire{next: sim.Client().Transport, clock: w.now}
	for _, name := range sinks {
		w.sinks[name] = &receiver{}
	}
	w.write("secret", simulator.DefaultClientSecret)
	w.auth = fmt.Sprintf("{client_id: %s, client_secret_file: %q}", simulator.DefaultClientID, w.path("secret"))
	t.Cleanup(func() {
		w.stop()
		w.dead.Wait()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// folder gives a folder that goes with the test, in memory where the system has that and nobody wants it elsewhere: the files of
// a simulated week are written in a second.
func folder(t *testing.T) string {
	t.Helper()
	if os.Getenv("TMPDIR") != "" {
		return t.TempDir()
	}
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

// now is the service's clock: the bubble's, and what it was put ahead by.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// suspend lets the service's clock go on while this machine's, timers included, stands still.
func (w *world) suspend(d time.Duration) { w.ahead.Add(int64(d)) }

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// config is the configuration with these sinks; one is a name with more of its keys behind a comma.
func (w *world) config(sinks []string) *config.Config {
	w.Helper()
	text := fmt.Sprintf("state: {dir: %q, journal_max_bytes: 16MiB%s}\nadmin: {listen: \"off\"}\nsources:\n  - name: contoso\n    entra:\n"+
		"      tenant: %s\n      auth: %s\n", w.path(w.state), w.more, simulator.DefaultDomain, w.auth)
	for line := range strings.Lines(w.input) {
		text += "      " + strings.TrimSpace(line) + "\n"
	}
	if !strings.Contains(w.input, "poll:") {
		text += fmt.Sprintf("      poll: %s\n", poll)
	}
	text += "sinks:\n"
	for _, s := range sinks {
		text += "  - {schema: raw, stdout: {}, name: " + s + "}\n"
	}
	n, err := normalizer.New()
	if err != nil {
		w.Fatal(err)
	}
	cfg, err := config.Parse("test.yaml", []byte(text), n)
	if err != nil {
		w.Fatalf("%v\n%s", err, text)
	}
	return cfg
}

// life is one run of the pipeline. When it ends by a crash the process is dead at once: what it still does, because nobody can
// kill a goroutine, reaches neither the API nor a receiver.
type life struct {
	context.Context
	end context.CancelFunc
}

func (l *life) over() bool { return l.Err() != nil }

// forever is a life without an end.
var forever = &life{context.Background(), func() {}}

var errDead = errors.New("this process is dead")

// open makes the pipeline, with the real sinks replaced by the receivers of their names.
func (w *world) open(sinks ...string) (*app.App, error) {
	w.Helper()
	return w.openWith(w.config(sinks))
}

func (w *world) openWith(cfg *config.Config) (*app.App, error) {
	ctx, end := context.WithCancel(context.Background())
	l := &life{ctx, end}
	w.alive = l
	if forgetsPauses {
		w.wire.forget()
	}
	return app.New(cfg, app.Options{
		Reload: w.reload, Forget: w.forget, Version: "test", Transport: cable{w.wire, l}, NoSync: true, NoControl: true, Log: w.log,
		Crash: func(point string) { w.pass(l, point) },
		Sink: func(s config.Sink, real pipeline.Sink) pipeline.Sink {
			w.sunk++
			if err := real.Close(); err != nil {
				w.Error(err)
			}
			return outlet{w.sinks[s.Name], l}
		},
	})
}

// start runs the pipeline with these sinks until stop.
func (w *world) start(sinks ...string) {
	w.Helper()
	a, err := w.open(sinks...)
	if err != nil {
		w.Fatal(err)
	}
	w.run(a)
}

// run is start for a pipeline that open has made.
func (w *world) run(a *app.App) {
	l, folder := w.alive, w.path(w.state)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.app = a
	w.stop = func() {
		w.Helper()
		w.stop = func() {}
		cancel()
		if l.over() {
			w.dead.Go(func() {
				_ = errors.Join(<-done, a.Close(), os.RemoveAll(folder)) // what it says is nobody's business any more
			})
			return
		}
		err := <-done
		if err = errors.Join(err, a.Check(), a.Close()); err != nil {
			w.Error(err)
		}
		l.end()
	}
}

// until lets time pass to offset after the world's beginning, and what happens then come to rest.
func (w *world) until(offset time.Duration) {
	time.Sleep(w.began.Add(offset).Sub(w.now()))
	w.settle()
}

// settle lets what happens now come to rest.
func (w *world) settle() { synctest.Wait() }

// within the budget of 5 report requests in any 10 s.
func (w *world) checkBudget() {
	w.Helper()
	for caller, n := range w.sim.Stats().Busiest {
		if n > 5 {
			w.Errorf("%d requests of %s in 10 s: %s", n, caller.Client, strings.Join(w.wire.busiest(5), "\n  "))
		}
	}
	for _, early := range w.wire.tooEarly() {
		w.Error(early)
	}
}

// fault gives what the status says about a part, "" if nothing.
func (w *world) fault(part string) string {
	for _, f := range w.app.Status().Faults {
		if f.Part == part {
			return f.Err
		}
	}
	return ""
}

// record is a small record of a stream.
func record(stream, id string, at time.Time, more string) []byte {
	stamp := at.UTC().Format("2006-01-02T15:04:05.0000000Z")
	if stream == simulator.Audits {
		return fmt.Appendf(nil, `{"id":%q,"activityDateTime":%q,"activityDisplayName":"Update user"%s}`, id, stamp, more)
	}
	kind := map[string]string{
		simulator.Interactive: "interactiveUser", simulator.NonInteractive: "nonInteractiveUser",
		simulator.ServicePrincipal: "servicePrincipal", simulator.ManagedIdentity: "managedIdentity",
	}[stream]
	return fmt.Appendf(nil, `{"id":%q,"createdDateTime":%q,"signInEventTypes":[%q]%s}`, id, stamp, kind, more)
}

// add puts a record into the tenant.
func (w *world) add(stream string, r simulator.Record) {
	w.Helper()
	if err := w.sim.Add(stream, r); err != nil {
		w.Fatal(err)
	}
}

// generate makes up records of all streams.
func generate(rate float64, since, until time.Time) (all []simulator.Generate) {
	for _, s := range simulator.Streams() {
		all = append(all, simulator.Generate{Stream: s, Rate: rate, Since: since, Until: until})
	}
	return all
}

// complete checks that a receiver has every record that the API shows now, in all the versions that it has shown, each once.
func (w *world) complete(sink string) (records, versions int) {
	w.Helper()
	if n := w.sinks[sink].repeats(); n > 0 {
		w.Errorf("%s got %d events again", sink, n)
	}
	return w.versions(sink)
}

// versions is complete for a receiver that may have got some of them twice.
func (w *world) versions(sink string) (records, versions int) {
	w.Helper()
	got, shown := w.sinks[sink].byRecord(), map[rec]int{}
	for row := range w.sim.Shown() {
		shown[rec{row.Stream, row.ID}]++
		versions++
	}
	missing, wrong := 0, 0
	for row := range w.sim.Expected(time.Now()) {
		records++
		k := rec{row.Stream, row.ID}
		if len(got[k]) == 0 {
			if missing++; missing <= 3 {
				w.Errorf("%s lacks %s %s of %s, which appeared at %s", sink, row.Stream, row.ID, row.Time.Sub(w.began), row.At.Sub(w.began))
			}
			continue
		}
		events := map[event.ID]bool{}
		for _, a := range got[k] {
			events[a.Event] = true
		}
		if n := len(events); n != shown[k] {
			if wrong++; wrong <= 3 {
				w.Errorf("%s has %s %s in %d versions, the API has shown %d", sink, row.Stream, row.ID, n, shown[k])
			}
		}
	}
	if n := len(w.sinks[sink].arrived()) - w.sinks[sink].repeats(); n != versions {
		w.Errorf("%s got %d events, the API has shown %d", sink, n, versions)
	}
	if missing+wrong > 0 {
		w.Errorf("%s: of %d records %d are missing and %d have not come in each version", sink, records, missing, wrong)
	}
	return records, versions
}
