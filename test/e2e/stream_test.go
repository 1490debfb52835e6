package e2e_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestStoppedWhileItStreams: records come all the time; SIGTERM ends the process in good order, and a later run goes on
// where it has stopped: everything once.
func TestStoppedWhileItStreams(t *testing.T) {
	t.Parallel()
	need(t, "rsyslogpeer", "kfakepeer")
	var made []simulator.Generate
	for _, stream := range simulator.Streams() {
		made = append(made, simulator.Generate{
			Stream: stream, Rate: 20, Since: time.Now().Add(-10 * time.Second), Lateness: simulator.Lateness{Median: 500 * time.Millisecond, P95: 2 * time.Second, Max: 3 * time.Second},
		})
	}
	g := newGraph(t, simulator.Options{Generate: made})
	relay := receive(t, "rsyslogpeer", g.file("rsyslog"))
	lake := receive(t, "kfakepeer", g.file("kfake"), "-topics", "entra")
	sinks := []string{
		"name: relay\nsyslog: {address: tcp://" + relay.Address + ", max_message_bytes: 60KiB, app_name: whole}",
		"name: short\nsyslog: {address: tcp://" + relay.Address + ", max_message_bytes: 2KiB, app_name: short}",
		"name: lake\nkafka: {brokers: [" + lake.Address + "], topic: entra}",
		"name: files\nfile: {path: " + g.file("out.ndjson") + "}",
	}
	config := g.write(t, "c.yaml", g.source("poll: 1s"), "admin: {listen: 127.0.0.1:0}", sinks...)
	p := begin(t, "run", "-c", config)
	admin := p.adminURL(t)
	eventually(t, func() error {
		if info, err := os.Stat(g.file("out.ndjson")); err != nil || info.Size() < 2<<20 {
			return fmt.Errorf("little has arrived: %v\n%s", err, tail(p.stderr.String(), 2000))
		}
		return nil
	})
	// What is cut to a receiver's limit is counted.
	eventually(t, func() error {
		if cut := metric(t, admin, `logferry_sink_truncated_events_total{sink="short"}`); cut < 100 {
			return fmt.Errorf("%v truncated events counted", cut)
		}
		return nil
	})
	if cut := metric(t, admin, `logferry_sink_truncated_events_total{sink="relay"}`); cut > 0 {
		t.Errorf("%v events of relay counted as truncated", cut)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(p.stderr.String(), 4000))
	}
	stopped := len(fromFiles(t, g.file("out.ndjson")))

	again := g.config(t, "again.yaml", "", sinks...)
	s, _ := runOnce(t, again, 0)
	want := g.shown(t)
	if stopped == 0 || s.Sinks["files"].Delivered == 0 {
		t.Errorf("%d events before the stop, then %+v", stopped, s.Sinks)
	}
	files := fromFiles(t, g.file("out.ndjson"))
	for i := range files {
		files[i].stream = "" // one file for all streams
	}
	compare(t, "files", want, files)
	compare(t, "lake", want, fromKafka(t, lake, "entra", userOf))
	for _, app := range []string{"whole", "short"} {
		compare(t, "relay "+app, want, awaitSyslog(t, relay, "tcp", app, len(want)))
	}
}
