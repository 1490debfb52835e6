package e2e_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// twice runs a configuration to its end, lets 20 minutes of the service's time pass, and runs it again: what is late or has
// changed by then comes with the second run. It gives what was shown in both.
func (g *graph) twice(t *testing.T, config string) map[string]event.Record {
	t.Helper()
	g.run(t, config)
	first, newest := map[string]bool{}, time.Time{}
	for _, r := range g.shown(t) {
		first[r.Key.Stream+"/"+r.ID] = true
		if r.Time.After(newest) {
			newest = r.Time
		}
	}
	g.later(20 * time.Minute)
	updated, late := uint64(0), 0
	for _, s := range g.run(t, config).Streams {
		updated += s.Updated
	}
	want := g.shown(t)
	for _, r := range want {
		if r.Time.Before(newest) && !first[r.Key.Stream+"/"+r.ID] {
			late++
		}
	}
	if updated == 0 || late == 0 {
		t.Errorf("%d records changed and %d came late: the test proves too little", updated, late)
	}
	// Everything that the API has by now was shown: no reader has passed over a stretch.
	ids := map[string]bool{}
	for _, r := range want {
		ids[r.Key.Stream+"/"+r.ID] = true
	}
	for r := range g.Expected(g.base.Add(20 * time.Minute)) {
		before := r.Time.Before(g.base.Add(time.Minute - start)) // the start of the first run is a little later than the test's
		if r.ID != "" && !before && !ids[r.Stream+"/"+r.ID] {
			t.Errorf("record %s of %s from %s was never read", r.ID, r.Stream, r.Time)
		}
	}
	return want
}

// run runs a configuration to its end and holds the summary against itself.
func (g *graph) run(t *testing.T, config string) summary {
	t.Helper()
	s, _ := runOnce(t, config, 0)
	journalled := uint64(0)
	for _, name := range simulator.Streams() {
		st, ok := s.Streams["contoso/"+name]
		if !ok || st.Rows < st.New+st.Updated+st.Seen {
			t.Errorf("summary of stream %s: %+v", name, st)
		}
		journalled += st.New + st.Updated
	}
	for name, sink := range s.Sinks {
		if sink.Delivered != journalled || sink.Filtered+sink.Dead+sink.Pending != 0 {
			t.Errorf("summary of sink %s: %+v of %d", name, sink, journalled)
		}
	}
	return s
}

func TestFileAndStdout(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{})
	g.addOdd(t)
	config := g.config(t, "c.yaml", "",
		"name: files\nfile: {path: \""+g.file("out/{stream}.ndjson")+"\"}",
		"name: terminal\nstdout: {}")
	text := ""
	for range 2 {
		s, r := runOnce(t, config, 0)
		text += r.stdout
		if len(s.Sinks) != 2 {
			t.Errorf("sinks of the summary: %v", s.Sinks)
		}
		g.later(20 * time.Minute)
	}
	want := g.shown(t)
	compare(t, "file", want, fromFiles(t, g.file("out/*.ndjson")))
	compare(t, "stdout", want, fromStdout(t, text))
}

func TestRsyslog(t *testing.T) {
	t.Parallel()
	need(t, "rsyslogpeer")
	g := newGraph(t, simulator.Options{})
	g.addOdd(t)
	r := receive(t, "rsyslogpeer", g.file("peer"))
	config := g.config(t, "c.yaml", "",
		"name: plain\nsyslog: {address: tcp://"+r.Address+", max_message_bytes: 60KiB, app_name: plain}",
		"name: secure\nsyslog: {address: tls://"+r.TLSAddress+", max_message_bytes: 60KiB, app_name: secure, tls: {ca_file: "+r.CA+"}}",
		"name: short\nsyslog: {address: tcp://"+r.Address+", max_message_bytes: 2048, app_name: short}")
	want := g.twice(t, config)
	for _, sink := range [][2]string{{"tcp", "plain"}, {"tls", "secure"}, {"tcp", "short"}} {
		got := awaitSyslog(t, r, sink[0], sink[1], len(want))
		compare(t, "rsyslog "+sink[1], want, got)
		cut := 0
		for _, a := range got {
			if a.cut {
				cut++
			}
		}
		if (sink[1] == "short") != (cut > len(want)/2) || sink[1] != "short" && cut > 0 {
			t.Errorf("%s: %d of %d messages are cut", sink[1], cut, len(got))
		}
	}
}

func TestHEC(t *testing.T) {
	t.Parallel()
	need(t, "hecpeer")
	g := newGraph(t, simulator.Options{})
	g.addOdd(t)
	r := receive(t, "hecpeer", g.file("peer"))
	secure := receive(t, "hecpeer", g.file("peer-tls"), "-tls")
	token := g.file("token")
	writeFile(t, token, "11111111-2222-3333-4444-555555555555\n")
	block := "name: %[1]s\nschema: ecs\nsplunk: {endpoints: [%[2]s], token_file: " + token + ", source: %[1]s, compression: %[3]s%[4]s}"
	config := g.config(t, "c.yaml", "",
		fmt.Sprintf(block, "zipped", "http://"+r.Address, "gzip", ""),
		fmt.Sprintf(block, "plain", "http://"+r.Address, "none", ", batch: {events: 7}"),
		fmt.Sprintf(block, "secure", "https://"+secure.Address, "gzip", ", index: entra, tls: {ca_file: "+secure.CA+"}"))
	want := g.twice(t, config)
	compare(t, "HEC gzip", want, fromHEC(t, r, "zipped"))
	compare(t, "HEC plain", want, fromHEC(t, r, "plain"))
	compare(t, "HEC over TLS", want, fromHEC(t, secure, "secure"))
	for _, l := range lines[hecLine](t, secure.Out) {
		if l.Index != "entra" {
			t.Fatalf("index %q", l.Index)
		}
	}
}

func TestKfake(t *testing.T) {
	t.Parallel()
	need(t, "kfakepeer")
	g := newGraph(t, simulator.Options{})
	g.addOdd(t)
	r := receive(t, "kfakepeer", g.file("peer"), "-topics", "none-signins,none-audits,lz4", "-brokers", "2")
	secure := receive(t, "kfakepeer", g.file("peer-tls"), "-topics", "secure", "-tls")
	config := g.config(t, "c.yaml", "",
		"name: none\nkafka: {brokers: ["+r.Address+"], topic: \"none-{family}\", compression: none, key: none}",
		"name: lz4\nkafka: {brokers: ["+r.Address+"], topic: lz4, compression: lz4}",
		"name: secure\nkafka: {brokers: ["+secure.Address+"], topic: secure, tls: {ca_file: "+secure.CA+"}}")
	want := g.twice(t, config)
	compare(t, "kfake without compression", want, fromKafka(t, r, "none-signins,none-audits", nobody))
	compare(t, "kfake lz4", want, fromKafka(t, r, "lz4", userOf))
	compare(t, "kfake over TLS", want, fromKafka(t, secure, "secure", userOf, "-tls-ca", secure.CA))
}

func TestKafka(t *testing.T) {
	t.Parallel()
	need(t, "kafkapeer")
	g := newGraph(t, simulator.Options{})
	g.addOdd(t)
	r := receive(t, "kafkapeer", g.file("peer"), "-topics", "entra-signins,entra-audits", "-tls", "-sasl", "ferry:correct-horse")
	password := g.file("password")
	writeFile(t, password, "correct-horse")
	config := g.config(t, "c.yaml", "", "name: lake\nkafka: {brokers: ["+r.Address+"], topic: \"entra-{family}\", key: user, compression: lz4, "+
		"tls: {ca_file: "+r.CA+"}, sasl: {mechanism: scram-sha-512, username: ferry, password_file: "+password+"}}")
	want := g.twice(t, config)
	compare(t, "Apache Kafka", want, fromKafka(t, r, "entra-signins,entra-audits", userOf, "-tls-ca", r.CA, "-sasl", "ferry:correct-horse"))
}

// TestAllSinksOneOfThemDead: a sink that is dead for a whole run holds up nobody, and gets everything once when it lives.
func TestAllSinksOneOfThemDead(t *testing.T) {
	t.Parallel()
	need(t, "rsyslogpeer", "hecpeer", "kfakepeer")
	g := newGraph(t, simulator.Options{})
	g.addOdd(t)
	relay := receive(t, "rsyslogpeer", g.file("rsyslog"))
	lake := receive(t, "kfakepeer", g.file("kfake"), "-topics", "entra")
	dead := freeAddress(t)
	token := g.file("token")
	writeFile(t, token, "token")
	config := g.config(t, "c.yaml", "",
		"name: relay\nsyslog: {address: tcp://"+relay.Address+", max_message_bytes: 60KiB}",
		"name: lake\nkafka: {brokers: ["+lake.Address+"], topic: entra}",
		"name: splunk\nschema: ecs\nsplunk: {endpoints: [http://"+dead+"], token_file: "+token+"}",
		"name: files\nfile: {path: \""+g.file("out/{stream}.ndjson")+"\"}",
		"name: terminal\nschema: raw\nstdout: {}")
	s, r := runOnce(t, config, 3, "--patience", "2s")
	all := uint64(len(g.shown(t)))
	for name, sink := range s.Sinks {
		delivered, pending := all, uint64(0)
		if name == "splunk" {
			delivered, pending = 0, all
		}
		if sink.Delivered != delivered || sink.Pending != pending || sink.Dead != 0 {
			t.Errorf("sink %s after the first run: %+v of %d", name, sink, all)
		}
	}
	text := r.stdout

	_, port, err := net.SplitHostPort(dead)
	if err != nil {
		t.Fatal(err)
	}
	splunk := receive(t, "hecpeer", g.file("hec"), "-port", port)
	g.later(20 * time.Minute)
	_, r = runOnce(t, config, 0)
	text += r.stdout

	want := g.shown(t)
	compare(t, "splunk", want, fromHEC(t, splunk, "logferry"))
	compare(t, "lake", want, fromKafka(t, lake, "entra", userOf))
	compare(t, "files", want, fromFiles(t, g.file("out/*.ndjson")))
	compare(t, "relay", want, awaitSyslog(t, relay, "tcp", "logferry", len(want)))
	compareRaw(t, want, text)
}
