// Package chaos lets all sinks deliver at once to receivers that fail at random, while the process ends and begins again in between,
// and compares what the state file says with what the receivers have: event by event.
package chaos

import (
	"bufio"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/sink/collector"
	"github.com/logferry/logferry/pkg/sink/elastic"
	"github.com/logferry/logferry/pkg/sink/file"
	"github.com/logferry/logferry/pkg/sink/kafka"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/splunk"
	"github.com/logferry/logferry/pkg/sink/syslog"
	"github.com/logferry/logferry/pkg/store"
)

var (
	events = flag.Int("events", 300_000, "records that every sink is to get")
	seed   = flag.Uint64("seed", 1, "of the faults")
)

const lives = 4 // of the process; the last one ends by itself

// rig is the receivers, and what makes the sinks.
type rig struct {
	world *world
	dir   string
	all   []*receiver
}

// receiver is one of them with the sink that sends to it.
type receiver struct {
	*received
	dice *dice
	sink func() (pipeline.Sink, error)
	read func() // takes in what is only read at the end; nil: nothing
}

func TestChaos(t *testing.T) {
	began := time.Now()
	w := newWorld(*events)
	r := newRig(t, w)
	rng := rand.New(rand.NewPCG(*seed, 0))
	for life := 1; ; life++ {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if life < lives {
			// Scaled with the work, so that an end comes in the middle of it.
			ctx, cancel = context.WithTimeout(ctx, time.Duration((0.5+rng.Float64())*float64(w.n)/150_000*float64(time.Second)))
		}
		summary := r.live(t, ctx)
		cancel()
		if life >= lives {
			if !summary.Complete && summary.Faults != nil {
				t.Errorf("the last life has left something: %+v", summary.Faults)
			}
			break
		}
	}
	r.check(t, began)
}

// live is one process, from opening the state file to closing it.
func (r *rig) live(t *testing.T, ctx context.Context) pipeline.Summary {
	t.Helper()
	st, _, err := store.Open(filepath.Join(r.dir, "state"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	ecs, err := n.Schema("ecs", nil)
	if err != nil {
		t.Fatal(err)
	}
	o := pipeline.Options{Journal: st, JournalBytes: 8 << 30, Normalizer: n, Sources: []pipeline.Source{r.world.source()}, Grace: time.Millisecond}
	var names []string
	for _, to := range r.all {
		sink, err := to.sink()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, to.name)
		o.Outlets = append(o.Outlets, pipeline.Outlet{Name: to.name, Sink: sink, Schema: ecs})
	}
	if err := st.Lanes(names, nil, nil); err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.New(o)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := p.Once(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Check(); err != nil {
		t.Error(err)
	}
	return summary
}

func newRig(t *testing.T, w *world) *rig {
	r := &rig{world: w, dir: t.TempDir()}
	secret := filepath.Join(r.dir, "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	schema := event.Schema{Name: "ecs", Version: normalizer.Version}
	r.splunk("splunk", newHEC(t, *seed, 1, newReceived(w, "splunk", true), true), "off", secret, schema)
	r.splunk("hec", newHEC(t, *seed, 2, newReceived(w, "hec", true), false), "if_offered", secret, schema)
	r.splunk("acked", newAckHEC(t, *seed, 3, newReceived(w, "acked", true)), "required", secret, schema)
	bulk := newBulk(t, *seed, 4, newReceived(w, "elastic", true))
	r.add(bulk.received, bulk.dice, func() (pipeline.Sink, error) {
		return elastic.New(elastic.Config{Common: at(bulk), APIKeyFile: secret}, schema, elastic.Options{})
	})
	http := newCollector(t, *seed, 5, newReceived(w, "http", true))
	r.add(http.received, http.dice, func() (pipeline.Sink, error) {
		return collector.New(collector.Config{Common: at(http), BearerTokenFile: secret}, schema, collector.Options{})
	})
	broker := newBroker(t, *seed, 6, newReceived(w, "kafka", true))
	r.add(broker.received, broker.dice, func() (pipeline.Sink, error) {
		return kafka.New(kafka.Config{Brokers: []string{broker.address}, Topic: "entra-{family}"}, kafka.Options{Schema: schema})
	})
	relay := newRelay(t, *seed, 7, newReceived(w, "syslog", false))
	r.add(relay.received, relay.dice, func() (pipeline.Sink, error) {
		return syslog.New(syslog.Config{Address: relay.address}, syslog.Options{})
	})
	out := &pipe{dice: newDice(*seed, 8), received: newReceived(w, "stdout", false)}
	r.add(out.received, out.dice, func() (pipeline.Sink, error) {
		return file.NewStdout(file.Stdout{}, file.Options{Writer: out})
	})
	r.file(t)
	return r
}

func (r *rig) add(got *received, d *dice, sink func() (pipeline.Sink, error)) *receiver {
	to := &receiver{received: got, dice: d, sink: sink}
	r.all = append(r.all, to)
	return to
}

// at is the endpoint of a receiver, with the patience of a test.
func at(w *web) post.Common {
	return post.Common{Endpoints: []string{w.url}, Timeout: field.Duration(10 * time.Second)}
}

func (r *rig) splunk(name string, h *web, ack, token string, schema event.Schema) {
	r.add(h.received, h.dice, func() (pipeline.Sink, error) {
		to := at(h)
		if ack == "required" { // a Send waits for the next question, a second at most
			to.Batch = post.Batch{Events: 2500, Bytes: 4 << 20}
		}
		return splunk.New(splunk.Config{Common: to, TokenFile: token, Ack: ack, AckTimeout: field.Duration(10 * time.Second)}, schema, splunk.Options{})
	})
}

// file reads what was written when all is over.
func (r *rig) file(t *testing.T) {
	got := newReceived(r.world, "file", false)
	dir := filepath.Join(r.dir, "out")
	r.add(got, newDice(*seed, 9), func() (pipeline.Sink, error) {
		return file.New(file.Config{Path: filepath.Join(dir, "{stream}.ndjson"), MaxBytes: 32 << 20, Keep: 1000, Compress: "gzip"})
	}).read = func() {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no file was written: %v", err)
		}
		for _, path := range files {
			readLines(t, path, func(line []byte) { got.put(idIn(line), line) })
		}
	}
}

func readLines(t *testing.T, path string, line func([]byte)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := io.Reader(f)
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// check holds the ledger and the dead letters against what the receivers have.
func (r *rig) check(t *testing.T, began time.Time) {
	t.Helper()
	took := time.Since(began)
	st, _, err := store.Open(filepath.Join(r.dir, "state"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	sums := map[string]event.SinkCounts{}
	pending := map[string]uint64{}
	for _, stream := range st.Ledger() {
		if int(stream.Journalled()) != r.world.n/len(streams) {
			t.Errorf("a stream has journalled %d records of %d", stream.Journalled(), r.world.n/len(streams))
		}
		for sink, l := range stream.Sinks {
			sum := sums[sink]
			sum.Add(l.SinkCounts)
			sums[sink], pending[sink] = sum, pending[sink]+l.Pending
		}
	}
	letters := map[string]map[event.ID]bool{}
	all, err := st.Letters(event.LetterFilter{}, len(r.all)*r.world.n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if letters[all[i].Sink] == nil {
			letters[all[i].Sink] = map[event.ID]bool{}
		}
		letters[all[i].Sink][all[i].Record.EventID()] = true
	}
	served, dead, repeats := 0, 0, ""
	for _, to := range r.all {
		if to.read != nil {
			to.read()
		}
		to.agree(t, sums[to.name], pending[to.name], letters[to.name])
		for _, n := range to.dice.served {
			served += n
		}
		dead += len(letters[to.name])
		repeats += fmt.Sprintf(" %s=%d", to.name, to.repeats)
		t.Logf("%s: %d stored, %d of them repeats, the last one %s after the start, faults: %s", to.name, to.stored, to.repeats,
			to.last.Sub(began).Round(time.Second), list(to.dice.served))
	}
	if !t.Failed() {
		fmt.Printf("chaos: %d records to %d sinks in %d lives, %d faults served, %d dead letters, repeats%s, ledger and receivers agree, %s, seed %d\n",
			r.world.n, len(r.all), lives, served, dead, repeats, took.Round(time.Second), *seed)
	}
}

func list(served map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(served)) {
		all = append(all, fmt.Sprintf("%s %d", name, served[name]))
	}
	return strings.Join(all, ", ")
}

// agree compares one receiver with its lane.
func (to *receiver) agree(t *testing.T, sum event.SinkCounts, pending uint64, letters map[event.ID]bool) {
	t.Helper()
	for _, f := range to.faults {
		t.Errorf("%s: %s", to.name, f)
	}
	refused := 0
	if to.picky {
		refused = to.world.marked()
	}
	if want := uint64(to.world.n - refused); sum.Delivered != want || sum.Dead != uint64(refused) || pending != 0 || sum.Settled() != uint64(to.world.n) {
		t.Errorf("%s: the ledger has %+v, %d pending; want %d delivered, %d dead", to.name, sum, pending, want, refused)
	}
	if len(letters) != refused {
		t.Errorf("%s: %d dead letters, want %d", to.name, len(letters), refused)
	}
	wrong := 0
	for id, i := range to.world.ids {
		bad := to.picky && marked(i)
		if has := to.counts[i] > 0; has == bad || letters[id] != bad {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: record %d (marked %v): stored %d times, dead letter %v", to.name, i, marked(i), to.counts[i], letters[id])
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d records are not where the ledger has them", to.name, wrong)
	}
	to.bounded(t)
}

// bounded holds the repeats to what is in order: a request whose sender was not told of its end is made again, as is what was under way
// at the end of a life.
func (to *receiver) bounded(t *testing.T) {
	t.Helper()
	const most = 2500 // events in a request
	switch to.name {
	case "elastic":
		if to.repeats > 0 {
			t.Errorf("elastic: %d events are stored twice", to.repeats)
		}
	case "splunk", "hec", "acked", "http", "kafka":
		if bound := (to.dice.unknown + lives*inFlight) * most; to.repeats > bound {
			t.Errorf("%s: %d repeats, %d requests had an unknown end: %d at most", to.name, to.repeats, to.dice.unknown, bound)
		}
	}
}

const inFlight = 8
