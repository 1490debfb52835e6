package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/retry"
)

// world is a simulated tenant, a state folder and receivers, all inside a synctest bubble: hours pass in milliseconds. The
// pipeline on it may be started and stopped many times; what the receivers got stays.
type world struct {
	*testing.T
	sim   *simulator.Server
	wire  *wire
	dir   string
	sinks map[string]*receiver
	input string    // of the entra block, lines of YAML
	began time.Time // of the bubble

	app  *app.App
	stop func()
}

// newWorld makes a world with the named receivers; nothing runs yet.
func newWorld(t *testing.T, o simulator.Options, input string, sinks ...string) *world {
	t.Helper()
	o.Trace = true
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, sim: sim, dir: t.TempDir(), input: input, sinks: map[string]*receiver{}, began: time.Now(), stop: func() {}}
	w.wire = &wire{next: sim.Client().Transport}
	for _, name := range sinks {
		w.sinks[name] = &receiver{}
	}
	w.write("secret", simulator.DefaultClientSecret)
	// A Unix socket's Accept is no durable wait: with one in the bubble its clock would stand still. A folder in its place
	// makes the pipeline go without.
	if err := os.MkdirAll(w.path("state/control.sock/taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.stop()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

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
	text := fmt.Sprintf("state: {dir: %q, journal_max_bytes: 16MiB}\nadmin: {listen: \"off\"}\nsources:\n  - name: contoso\n    entra:\n"+
		"      tenant: %s\n      auth: {client_id: %s, client_secret_file: %q}\n", w.path("state"), simulator.DefaultDomain, simulator.DefaultClientID, w.path("secret"))
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

// open makes the pipeline, with the real sinks replaced by the receivers of their names.
func (w *world) open(sinks ...string) (*app.App, error) {
	w.Helper()
	return app.New(w.config(sinks), app.Options{Version: "test", Transport: w.wire, NoSync: true, Sink: func(s config.Sink, real pipeline.Sink) pipeline.Sink {
		if err := real.Close(); err != nil {
			w.Error(err)
		}
		return w.sinks[s.Name]
	}})
}

// start runs the pipeline until stop, which checks the ledger against the state file.
func (w *world) start(sinks ...string) {
	w.Helper()
	a, err := w.open(sinks...)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.app = a
	w.stop = func() {
		w.Helper()
		w.stop = func() {}
		cancel()
		err := <-done
		if err = errors.Join(err, a.Check(), a.Close()); err != nil {
			w.Error(err)
		}
	}
}

// until lets time pass to offset after the world's beginning, and what happens then come to rest.
func (w *world) until(offset time.Duration) {
	time.Sleep(time.Until(w.began.Add(offset)))
	synctest.Wait()
}

// within the budget of 5 report requests in any 10 s.
func (w *world) checkBudget() {
	w.Helper()
	for caller, n := range w.sim.Stats().Busiest {
		if n > 5 {
			w.Errorf("%d requests of %s in 10 s", n, caller.Client)
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

// arrival is one event at a receiver.
type arrival struct {
	event.Record        // Raw is nil
	Body         string // only where the receiver keeps it
	Event        event.ID
	At           time.Time
}

// rec names a record, whatever its version.
type rec struct{ stream, id string }

// receiver is a sink that remembers what it got.
type receiver struct {
	mu   sync.Mutex
	down error                            // while not nil, every Send fails with it
	says func(events []event.Event) error // what it says otherwise; nil: it takes everything
	keep bool                             // the bodies, too
	slow time.Duration                    // what each Send takes
	got  []arrival
	fail int // Sends refused
}

func (r *receiver) Send(ctx context.Context, events []event.Event) error {
	r.mu.Lock()
	slow := r.slow
	r.mu.Unlock()
	if retry.Sleep(ctx, slow) != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		r.fail++
		return r.down
	}
	var err error
	if r.says != nil {
		err = r.says(events)
	}
	failed := fault.Failed(err)
	if err != nil && failed == nil {
		return err
	}
	now := time.Now()
	for i := range events {
		if failed[i] != nil {
			continue
		}
		a := arrival{Record: events[i].Record, Event: events[i].EventID, At: now}
		// The event's memory belongs to the lane after Send.
		if a.ID, a.Raw = strings.Clone(a.ID), nil; r.keep {
			a.Body = string(events[i].Body)
		}
		r.got = append(r.got, a)
	}
	return err
}

func (r *receiver) Limits() event.Limits { return event.Limits{Events: 500, Bytes: 1 << 20} }
func (r *receiver) Close() error         { return nil }

// set makes the receiver fail with err from now on, or work again.
func (r *receiver) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

// pace sets what each Send takes from now on.
func (r *receiver) pace(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow = d
}

func (r *receiver) arrived() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) refused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fail
}

// byRecord gives the arrivals of each record in their order.
func (r *receiver) byRecord() map[rec][]arrival {
	all := map[rec][]arrival{}
	for _, a := range r.arrived() {
		k := rec{a.Key.Stream, a.ID}
		all[k] = append(all[k], a)
	}
	return all
}

// repeats counts the arrivals of an event that was there before.
func (r *receiver) repeats() (n int) {
	seen := map[event.ID]bool{}
	for _, a := range r.arrived() {
		if seen[a.Event] {
			n++
		}
		seen[a.Event] = true
	}
	return n
}

// wire is the way to the API: it notes each request, and those that were sent although a 429 had asked to wait.
type wire struct {
	next http.RoundTripper

	mu    sync.Mutex
	until time.Time
	early []string
	last  time.Time
	count int
}

// RoundTrip implements http.RoundTripper.
func (x *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	report := strings.Contains(strings.ToLower(req.URL.Path), "auditlogs")
	x.mu.Lock()
	if now := time.Now(); report {
		x.count++
		x.last = now
		if now.Before(x.until) {
			x.early = append(x.early, fmt.Sprintf("a request %s before the pause of a 429 is over", x.until.Sub(now)))
		}
	}
	x.mu.Unlock()
	res, err := x.next.RoundTrip(req)
	if err == nil && res.StatusCode == http.StatusTooManyRequests {
		if s, err := strconv.ParseFloat(res.Header.Get("Retry-After"), 64); err == nil {
			x.mu.Lock()
			x.until = time.Now().Add(time.Duration(s * float64(time.Second)))
			x.mu.Unlock()
		}
	}
	return res, err
}

func (x *wire) requests() (n int, last time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count, x.last
}

func (x *wire) tooEarly() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.early[:min(len(x.early), 3)]
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
