package app_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/telemetry"
)

var reloadSeeds = flag.Uint64("reload-seeds", 1, "how many times TestReloadUnderLoad runs, with other edits each")

// file is a configuration file that a test edits.
type file struct {
	filters, secret, poll, lookback, streams, budget, journal, level, reread string
	lanes                                                                    []string // YAML in braces, the name first
	more                                                                     string   // lines at the end
}

func (w *world) text(f file) string {
	text := fmt.Sprintf("state: {dir: %q, journal_max_bytes: %s}\nadmin: {listen: \"off\"}\nlog: {level: %s}\nsources:\n  - name: contoso\n    entra:\n"+
		"      tenant: %s\n      auth: {client_id: %s, client_secret_file: %q}\n      start: 30m\n      poll: %s\n      lookback: %s\n      reread: %s\n      streams: [%s]\n      budget: %s\n      filters: {%s}\nsinks:\n",
		w.path(w.state), f.journal, f.level, simulator.DefaultDomain, simulator.DefaultClientID, w.path(f.secret), f.poll, f.lookback, f.reread, f.streams, f.budget, f.filters)
	for _, s := range f.lanes {
		text += "  - {name: " + s + "}\n"
	}
	return text + f.more
}

// edited is a world whose pipeline runs on a file.
type edited struct {
	*world
	file
	hup  chan os.Signal
	said *lines
}

// lines is a log, as it was written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with gives the lines that hold all words.
func (l *lines) with(words ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			found = append(found, line)
		}
	}
	return found
}

// edit begins with a file of these sinks; every is between two looks at it.
func edit(t *testing.T, o simulator.Options, every time.Duration, receivers, sinks []string) *edited {
	t.Helper()
	e := &edited{world: newWorld(t, o, "", receivers...), hup: make(chan os.Signal, 1), said: &lines{}}
	e.file = file{secret: "secret", poll: "1m", lookback: "5m", reread: "[30m]", streams: "signins.*, audits", budget: "{}", journal: "16MiB", level: "info", lanes: sinks}
	log, relog, err := telemetry.NewChangingLogger(e.said, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	e.log = log
	e.write("c.yaml", e.text(e.file))
	e.reload = &app.Reload{Paths: []string{e.path("c.yaml")}, Now: e.hup, Every: every, Log: func(l config.Log) error { return relog(l.Level, l.Format) }}
	return e
}

// begin starts the pipeline on what the file says now.
func (e *edited) begin() {
	e.Helper()
	var err error
	if e.reload.Read, err = config.Read(e.reload.Paths); err != nil {
		e.Fatal(err)
	}
	n, err := normalizer.New()
	if err != nil {
		e.Fatal(err)
	}
	cfg, err := config.Join(e.reload.Read, n)
	if err != nil {
		e.Fatal(err)
	}
	a, err := e.openWith(cfg)
	if err != nil {
		e.Fatal(err)
	}
	e.run(a)
}

// order has the file read now.
func (e *edited) order() {
	e.hup <- syscall.SIGHUP
	e.rest(time.Second)
}

// rest lets time pass.
func (e *edited) rest(d time.Duration) {
	time.Sleep(d)
	e.settle()
}

// put writes f and has it read.
func (e *edited) put(f file) {
	e.Helper()
	e.write("c.yaml", e.text(f))
	e.order()
}

// took checks that f was taken.
func (e *edited) took(f file) {
	e.Helper()
	e.put(f)
	if why := e.fault("configuration"); why != "" {
		e.Errorf("refused: %s", why)
	}
	e.file = f
}

// refusal gives why f was refused, and puts back what runs.
func (e *edited) refusal(f file) string {
	e.Helper()
	e.put(f)
	why := e.fault("configuration")
	e.write("c.yaml", e.text(e.file))
	e.order()
	if again := e.fault("configuration"); again != "" {
		e.Errorf("after it was put back: %s", again)
	}
	return why
}

// flaky fails before it takes anything, or takes some.
func flaky(seed uint64) *receiver {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &receiver{many: 4, most: 7, says: func(events []event.Event) error {
		switch rng.IntN(4) {
		case 0:
			return errors.New("connection reset before anything was sent")
		case 1:
			failed := map[int]error{}
			for i := range events {
				if rng.IntN(3) == 0 {
					failed[i] = errors.New("the shard is moving")
				}
			}
			if len(failed) > 0 && len(failed) < len(events) {
				return fault.Some(failed)
			}
		}
		return nil
	}}
}

// changes are good edits of a file.
type changes struct {
	*rand.Rand
	e      *edited
	guests int
	nomad  int
	times  map[string]int
}

// next gives an edit and its name.
func (c *changes) next(f file) (file, string) {
	f.lanes = slices.Clone(f.lanes)
	find := func(name string) int {
		return slices.IndexFunc(f.lanes, func(s string) bool { return strings.HasPrefix(s, name) })
	}
	pick := func(of ...string) string { return of[c.IntN(len(of))] }
	replace := func(name, with string) { f.lanes[find(name)] = with }
	guest := find("guest")
	kinds := map[string]func(){
		"a sink is added": func() {
			c.guests++
			name := fmt.Sprintf("guest%d", c.guests)
			c.e.sinks[name] = &receiver{}
			f.lanes = append(f.lanes, name+", schema: raw, stdout: {}")
		},
		"a sink is removed": func() {
			if guest >= 0 {
				f.lanes = slices.Delete(f.lanes, guest, guest+1)
			}
		},
		"a sink is renamed": func() {
			c.nomad++
			name := fmt.Sprintf("nomad%d", c.nomad)
			c.e.sinks[name] = c.e.sinks["nomad0"]
			replace("nomad", fmt.Sprintf("%s, was: nomad%d, schema: raw, stdout: {}", name, c.nomad-1))
		},
		"the poll":        func() { f.poll = pick("20s", "30s", "1m", "90s") },
		"the look-back":   func() { f.lookback = pick("3m", "5m", "10m") },
		"the streams":     func() { f.streams = pick("signins.*, audits", "signins.*", "signins.interactive, audits") },
		"the schema":      func() { replace("flaky", "flaky, stdout: {}, schema: "+pick("raw", "ecs", "cef", "ocsf", "envelope")) },
		"another schema":  func() { replace("slow", "slow, stdout: {}, schema: "+pick("raw", "ecs", "cef")) },
		"the secret":      func() { f.secret = c.move(f.secret) },
		"the budget":      func() { f.budget = pick("{}", "{requests: 4, per: 10s}", "{requests: 3, per: 10s}") },
		"the journal":     func() { f.journal = pick("16MiB", "20MiB", "32MiB") },
		"the log's level": func() { f.level = pick("info", "debug", "warn") },
		"the re-readers":  func() { f.reread = pick("[30m]", "[20m, 1h]") },
		"the filters":     func() { f.filters = pick("", `audits: "activityDateTime ge 1999-01-01T00:00:00Z"`) },
	}
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[c.IntN(len(names))]
	kinds[name]()
	c.times[name]++
	return f, name
}

// move puts the secret into another file.
func (c *changes) move(from string) string {
	to := map[string]string{"secret": "moved", "moved": "secret"}[from]
	c.e.write(to, simulator.DefaultClientSecret)
	return to
}

// spoiled are bad files, each with what is to be said of it. taken is an address that somebody else listens on.
func (c *changes) spoiled(f file, taken string) (text, why string) {
	f.lanes = slices.Clone(f.lanes)
	good := c.e.text(f)
	switch c.IntN(9) {
	case 0:
		return good + "  - {name: open, stdout: {\n", "not YAML"
	case 1:
		f.lanes = append(f.lanes, "odd, stdout: {}, colour: red")
		return c.e.text(f), "colour"
	case 2:
		f.secret = "nowhere"
		return c.e.text(f), "client_secret_file"
	case 3:
		return strings.Replace(good, c.e.path(c.e.state), c.e.path("elsewhere"), 1), "state.dir"
	case 4:
		at := slices.IndexFunc(f.lanes, func(s string) bool { return strings.HasPrefix(s, "stuck") })
		f.lanes = slices.Delete(f.lanes, at, at+1)
		return c.e.text(f), "--forget-sink stuck"
	case 5:
		f.lanes = append(f.lanes, f.lanes[0])
		return c.e.text(f), "used twice"
	case 6:
		return strings.Replace(good, `"off"`, `"`+taken+`"`, 1), "admin.listen"
	case 7:
		f.lanes = append(f.lanes, "new, splunk: {endpoints: [\"https://splunk.example.com:8088\"], token_file: /nowhere/token}")
		return c.e.text(f), "token_file"
	}
	f.lanes = append(f.lanes, "one, was: stuck, stdout: {}", "two, was: stuck, stdout: {}")
	f.lanes = slices.DeleteFunc(f.lanes, func(s string) bool { return strings.HasPrefix(s, "stuck") })
	return c.e.text(f), "both were stuck"
}

// TestReloadUnderLoad edits a running configuration a hundred times, half of that with faults: no record is lost, none is repeated,
// the ledger adds up, and each fault is told.
func TestReloadUnderLoad(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for seed := range *reloadSeeds {
		synctest.Test(t, func(t *testing.T) { reloadUnderLoad(t, seed, taken.Addr().String()) })
	}
}

func reloadUnderLoad(t *testing.T, seed uint64, taken string) {
	const half = 50
	began := time.Now()
	o := simulator.Options{Seed: seed + 1, Generate: generate(0.12, began.Add(-10*time.Minute), began.Add(100*time.Minute))}
	for i := range o.Generate {
		o.Generate[i].Lateness = simulator.Lateness{Median: 5 * time.Second, P95: time.Minute, Max: 4 * time.Minute}
	}
	e := edit(t, o, 5*time.Second, []string{"steady", "slow", "stuck", "nomad0"}, []string{
		"steady, schema: raw, stdout: {}", "slow, schema: raw, stdout: {}", "flaky, schema: raw, stdout: {}", "stuck, schema: raw, stdout: {}", "nomad0, schema: raw, stdout: {}",
	})
	e.sinks["flaky"] = flaky(seed)
	e.sinks["slow"].most, e.sinks["slow"].slow, e.sinks["slow"].late = 20, time.Second, 2*time.Second
	e.sinks["stuck"].set(fault.Block(errors.New("the token is unknown")))
	e.begin()
	e.rest(2 * time.Minute)
	before := runtime.NumGoroutine()

	rng := rand.New(rand.NewPCG(seed, 2))
	c := &changes{Rand: rng, e: e, times: map[string]int{}}
	plan := rng.Perm(2 * half)
	refusals, last := 0, ""
	for n, kind := range plan {
		e.rest(time.Duration(rng.Int64N(int64(30 * time.Second))))
		runs := e.app.Status().Loaded
		text, why, what := "", "", ""
		next := e.file
		if kind < half {
			next, what = c.next(e.file)
			text = e.text(next)
		} else {
			text, why = c.spoiled(e.file, taken)
		}
		if rng.IntN(3) == 0 { // half of it is there when somebody looks
			e.write("c.yaml", text[:len(text)*2/3])
			e.rest(4 * time.Second)
			e.write("c.yaml", text)
			e.rest(time.Minute)
		} else {
			e.write("c.yaml", text)
			e.order()
			e.rest(8 * time.Second)
		}
		status := e.fault("configuration")
		switch {
		case why == "" && status != "":
			t.Errorf("%d: %s is refused: %s", n, what, status)
		case why != "" && !strings.Contains(status, why):
			t.Errorf("%d: a bad file should be refused for %q: %q", n, why, status)
		case why != "" && e.app.Status().Loaded != runs:
			t.Errorf("%d: a bad file (%s) was taken", n, why)
		}
		if why == "" {
			e.file = next
		} else if text != last {
			refusals++
		}
		last = text
	}
	// At the end everything is read by all, and what is stuck is given its way.
	e.file.streams = "signins.*, audits"
	e.file.poll, e.file.reread = "1m", "[30m]"
	e.took(e.file)
	e.sinks["stuck"].set(nil)
	e.until(3 * time.Hour)
	if now, lanes := runtime.NumGoroutine(), 8*len(e.file.lanes); now > before+lanes {
		t.Errorf("%d goroutines after the changes, %d before", now, before)
	}
	e.stop()
	for _, name := range []string{"steady", "slow", "flaky", "stuck", "nomad0"} {
		records, _ := e.complete(name)
		t.Logf("seed %d: %s has %d records", seed, name, records)
	}
	for i := range c.guests {
		if n := e.sinks[fmt.Sprintf("guest%d", i+1)].repeats(); n > 0 {
			t.Errorf("guest%d got %d events again", i+1, n)
		}
	}
	if said := len(e.said.with("is refused")); said < refusals {
		t.Errorf("%d refusals are in the log, of %d", said, refusals)
	}
	t.Logf("seed %d: %v", seed, c.times)
}
