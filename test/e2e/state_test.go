package e2e_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// running starts a configuration and waits until everything that a settled graph has is in the archive.
func (g *graph) running(t *testing.T, config string) *process {
	t.Helper()
	all := 0
	for range g.Expected(g.base) {
		all++
	}
	p := begin(t, "run", "-c", config)
	eventually(t, func() error {
		if arrived := len(g.archived(t)); arrived < all {
			return fmt.Errorf("%d of %d records have arrived\n%s", arrived, all, tail(p.stderr.String(), 2000))
		}
		return nil
	})
	return p
}

// TestStateInUse: one process per state file; the other one says who has it. status and dlq ask that process.
func TestStateInUse(t *testing.T) {
	t.Parallel()
	g := newSettled(t)
	config := g.config(t, "c.yaml", "", g.archive())
	p := g.running(t, config)
	pid := strconv.Itoa(p.cmd.Process.Pid)
	for range 2 { // the loser must leave no trace that would mislead the next one
		logferry(t, "run", "--once", "-c", config).wants(t, 2, "state.db", "in use", "process "+pid)
	}
	status := logferry(t, "status", "-c", config)
	status.wants(t, 0, "running since", "contoso/audits", "contoso/signins.managedidentity", "archive")
	var st struct {
		Streams []struct {
			Name string `json:"name"`
			Rows uint64 `json:"rows"`
		} `json:"streams"`
		Sinks []struct {
			Name      string `json:"name"`
			Delivered uint64 `json:"delivered"`
			Pending   uint64 `json:"pending"`
		} `json:"sinks"`
	}
	read := func() {
		t.Helper()
		r := logferry(t, "status", "--json", "-c", config)
		r.wants(t, 0)
		if err := json.Unmarshal([]byte(r.stdout), &st); err != nil {
			t.Fatal(err)
		}
	}
	want := uint64(len(g.shown(t)))
	for _, when := range []string{"running", "stopped"} {
		if read(); len(st.Streams) != 5 || len(st.Sinks) != 1 || st.Sinks[0].Delivered != want || st.Sinks[0].Pending != 0 {
			t.Errorf("status while %s: %+v, want %d delivered", when, st, want)
		}
		if r := logferry(t, "dlq", "list", "-c", config); !strings.Contains(r.stderr, "there are none") {
			t.Errorf("dlq list: %q, %q", r.stdout, r.stderr)
		}
		if when == "running" {
			p.signal(t, syscall.SIGINT)
			if code := p.wait(t); code != 0 {
				t.Errorf("exit code %d after SIGINT\n%s", code, tail(p.stderr.String(), 3000))
			}
		}
	}
	logferry(t, "status", "-c", config).wants(t, 0, "not running", "archive")
	if _, err := os.Stat(filepath.Join(g.file("state"), "control.sock")); !os.IsNotExist(err) {
		t.Errorf("the control socket is left behind: %v", err)
	}
}

// TestNewerState: a state file of a later version is refused and stays as it is.
func TestNewerState(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{})
	config := g.config(t, "c.yaml", "", g.archive())
	g.run(t, config)
	file := filepath.Join(g.file("state"), "state.db")
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		key, value := []byte("format"), []byte{0, 0, 0, 99}
		sum := crc32.New(crc32.MakeTable(crc32.Castagnoli)) // each value ends with the checksum of its key and itself
		sum.Write(key)
		sum.Write(value)
		n := sum.Sum32()
		return tx.Bucket([]byte("meta")).Put(key, append(value, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"run", "--once"}, {"status"}, {"dlq", "list"}} {
		logferry(t, append(command, "-c", config)...).wants(t, 2, "format 99", "newer logferry")
	}
	after, err := os.ReadFile(file)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file was changed or moved: %v", err)
	}
	if aside, _ := filepath.Glob(file + ".damaged*"); len(aside) > 0 {
		t.Errorf("the file was set aside: %q", aside)
	}
}

// TestDeadLetters: what a receiver will not take is listed with the reason, and the run says that not all is delivered.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	g := newSettled(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	t.Cleanup(func() { l.Close() })
	readers.Go(func() { // a receiver that takes everything; TCP syslog has no replies
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			readers.Go(func() {
				defer conn.Close()
				io.Copy(io.Discard, conn)
			})
		}
	})
	config := g.config(t, "c.yaml", "", "name: relay\nschema: raw\nsyslog: {address: \"tcp://"+l.Addr().String()+"\", max_message_bytes: 2300, on_oversize: dead_letter}", g.archive())
	s, _ := runOnce(t, config, 3)
	want := g.shown(t)
	relay := s.Sinks["relay"]
	// A stream of which nothing fits is parked behind its first dead letters.
	if relay.Dead == 0 || relay.Delivered == 0 || relay.Pending == 0 || relay.Dead+relay.Delivered+relay.Pending != uint64(len(want)) {
		t.Fatalf("relay %+v of %d: audits fit into a message, sign-ins do not", relay, len(want))
	}
	r := logferry(t, "dlq", "list", "--json", "-c", config)
	r.wants(t, 0)
	listed := map[string]bool{}
	for _, letter := range decodeLines[struct{ Sink, Stream, Record, Reason string }](t, []byte(r.stdout)) {
		if letter.Sink != "relay" || !strings.Contains(letter.Reason, "max_message_bytes") {
			t.Errorf("dead letter %+v", letter)
		}
		listed[letter.Stream+"/"+letter.Record] = true
	}
	if uint64(len(listed)) != relay.Dead+relay.Pending {
		t.Errorf("%d letters are listed of %d dead and %d parked", len(listed), relay.Dead, relay.Pending)
	}
	compare(t, "file", want, g.archived(t))
	// The second run has nothing to do but to try parked ones in vain; the letters stay.
	runOnce(t, config, 3)
	if again := logferry(t, "dlq", "list", "--json", "-c", config); again.stdout != r.stdout {
		t.Error("the dead letters have changed")
	}
}

// TestSinksComeAndGo: a sink with pending records cannot disappear by mistake; it can be renamed, or given up by name.
func TestSinksComeAndGo(t *testing.T) {
	t.Parallel()
	g := newSettled(t)
	dead := freeAddress(t)
	writeFile(t, g.file("token"), "token")
	with := g.config(t, "with.yaml", "", g.archive(), "name: old\nsplunk: {endpoints: [http://"+dead+"], token_file: "+g.file("token")+"}")
	s, _ := runOnce(t, with, 3, "--patience", "1s")
	want := g.shown(t)
	if s.Sinks["old"].Pending != uint64(len(want)) {
		t.Fatalf("%+v", s.Sinks)
	}
	without := g.config(t, "without.yaml", "", g.archive())
	logferry(t, "run", "--once", "-c", without).wants(t, 2, "sink old", strconv.Itoa(len(want))+" pending records", "was: old", "--forget-sink old")

	// Renamed, and sent somewhere else: the new one gets what the old one had not.
	renamed := g.config(t, "renamed.yaml", "", g.archive(), "name: new\nwas: old\nfile: {path: \""+g.file("new/{stream}.ndjson")+"\"}")
	s, _ = runOnce(t, renamed, 0)
	if s.Sinks["new"].Delivered != uint64(len(want)) {
		t.Errorf("%+v", s.Sinks)
	}
	compare(t, "renamed", want, fromFiles(t, g.file("new/*.ndjson")))
	runOnce(t, without, 0) // nothing is pending: it may go

	// A sink that is new starts at the end. Given up by name, what it has not got is gone.
	g.later(10 * time.Minute)
	s, _ = runOnce(t, with, 3, "--patience", "1s")
	if n := s.Sinks["old"].Pending; n == 0 || n > uint64(len(want)/2) {
		t.Errorf("%d pending for a sink that has just joined, %d were read before", n, len(want))
	}
	logferry(t, "run", "--once", "-c", without).wants(t, 2, "--forget-sink old")
	logferry(t, "run", "--once", "-c", without, "--forget-sink", "other").wants(t, 2, "--forget-sink old")
	runOnce(t, without, 0, "--forget-sink", "old")
	runOnce(t, without, 0)
	compare(t, "file", g.shown(t), g.archived(t))
}

// TestAdmin: the probes do not depend on peers, /healthz does, and the metrics show what the ledger knows.
func TestAdmin(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.NoRole, Stream: simulator.Audits}}}})
	config := g.config(t, "c.yaml", "admin: {listen: 127.0.0.1:0}", g.archive())
	p := begin(t, "run", "-c", config)
	admin := p.adminURL(t)
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := get(t, admin+path); status != http.StatusOK || strings.TrimSpace(body) != "ok" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	eventually(t, func() error {
		status, body := get(t, admin+"/healthz")
		if status != http.StatusServiceUnavailable || !strings.Contains(body, "AuditLog.Read.All") || !strings.Contains(body, "stream contoso/audits") {
			return fmt.Errorf("/healthz: %d %q", status, body)
		}
		return nil
	})
	// One sick stream holds up only itself.
	eventually(t, func() error {
		delivered := metric(t, admin, `logferry_sink_events_total{sink="archive",verdict="delivered"}`)
		fresh := 0.0
		for _, stream := range simulator.Streams() {
			fresh += metric(t, admin, `logferry_stream_rows_total{state="new",stream="contoso/`+stream+`"}`)
		}
		if delivered < 400 || delivered != fresh || metric(t, admin, `logferry_sink_pending_records{sink="archive"}`) != 0 {
			return fmt.Errorf("%v delivered of %v", delivered, fresh)
		}
		return nil
	})
	if metric(t, admin, `logferry_faults{blocked="true",part="stream contoso/audits"}`) != 1 {
		t.Error("the blocked stream is not in the metrics")
	}
	if status, _ := get(t, admin+"/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d while a stream is blocked", status)
	}
	if status, _ := get(t, admin+"/status"); status != http.StatusNotFound {
		t.Errorf("/status over TCP: %d", status)
	}
	logferry(t, "status", "-c", config).wants(t, 0, "WHAT IS WRONG", "AuditLog.Read.All", "needs somebody to mend it")
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
