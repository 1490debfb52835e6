package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// archive is the sink of the tests that are about the other end.
func (g *graph) archive() string {
	return "name: archive\nfile: {path: \"" + g.file("out/{stream}.ndjson") + "\"}"
}

func (g *graph) archived(t *testing.T) []arrival { return fromFiles(t, g.file("out/*.ndjson")) }

// TestSecretThatCannotBeRead: the message names the file, the source is blocked, nothing hangs; with the file it works.
func TestSecretThatCannotBeRead(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{})
	config := g.config(t, "c.yaml", "", g.archive())
	secret := g.file("client-secret")
	for name, spoil := range map[string]func() error{
		"missing":  func() error { return nil },
		"a folder": func() error { return os.Mkdir(secret, 0o700) },
		"empty":    func() error { return os.WriteFile(secret, []byte(" \n"), 0o600) },
	} {
		if err := os.RemoveAll(secret); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		logferry(t, "check", "-c", config).wants(t, 0) // reads no secret
		_, r := runOnce(t, config, 3)
		if !strings.Contains(r.stdout, secret) || !strings.Contains(r.stdout, `"blocked":true`) {
			t.Errorf("%s: the summary does not say what is wrong: %s", name, r.stdout)
		}
		if !strings.Contains(r.stderr, secret) {
			t.Errorf("%s: the log does not name the file: %s", name, r.stderr)
		}
	}
	if err := os.RemoveAll(secret); err != nil {
		t.Fatal(err)
	}
	writeFile(t, secret, g.secret)
	g.run(t, config)
	compare(t, "file", g.shown(t), g.archived(t))
}

// TestWrongSecret: the sign-in service's number is explained, and the secret is not told to anybody.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{})
	config := g.config(t, "c.yaml", "log: {level: debug}", g.archive())
	writeFile(t, g.file("client-secret"), "not-the-secret")
	_, r := runOnce(t, config, 3)
	for _, text := range []string{"AADSTS7000215", "the client secret is wrong", "client_secret_file"} {
		if !strings.Contains(r.stdout, text) || !strings.Contains(r.stderr, text) {
			t.Errorf("%q is missing in\n%s\n%s", text, r.stdout, r.stderr)
		}
	}
	if strings.Contains(r.stdout+r.stderr, "not-the-secret") {
		t.Error("the secret is in the log")
	}
	writeFile(t, g.file("client-secret"), g.secret)
	g.run(t, config)
}

// TestBadPages: faults on the way of a page delay it and lose nothing.
func TestBadPages(t *testing.T) {
	t.Parallel()
	for _, rule := range []simulator.Rule{
		{Kind: simulator.Garbage, Form: "html", Nth: []int{1, 4}},
		{Kind: simulator.Garbage, Form: "json", Nth: []int{2}},
		{Kind: simulator.Truncate, Form: "short", Nth: []int{3}},
		{Kind: simulator.Truncate, Form: "length", Nth: []int{1}},
		{Kind: simulator.Reset, Nth: []int{2, 3}},
		{Kind: simulator.Throttle, RetryAfter: "1.128", Nth: []int{2}},
		{Kind: simulator.ExpiredToken, Nth: []int{3}},
		{Kind: simulator.ServerError, Path: "oauth2", Nth: []int{1}},
	} {
		t.Run(string(rule.Kind)+rule.Form, func(t *testing.T) {
			t.Parallel()
			g := newGraph(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{rule}}})
			g.addOdd(t)
			config := g.config(t, "c.yaml", "", g.archive())
			want := g.twice(t, config)
			compare(t, "file", want, g.archived(t))
			if n := g.Stats().Faults[rule.Kind]; n < len(rule.Nth) {
				t.Errorf("%d faults served, want %d", n, len(rule.Nth))
			}
		})
	}
}

// TestSpoiledRows: rows that lack their id or their time on some replies, and a row of 5 MB, arrive as they were shown.
func TestSpoiledRows(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{
		{Kind: simulator.NoID, Stream: simulator.Interactive, Rows: 3, Nth: []int{1}},
		{Kind: simulator.NoTime, Stream: simulator.NonInteractive, Rows: 2, Nth: []int{1}},
		{Kind: simulator.HugeRecord, Stream: simulator.Audits, Nth: []int{1}},
	}}})
	config := g.config(t, "c.yaml", "", g.archive())
	g.run(t, config)
	want := g.shown(t)
	compare(t, "file", want, g.archived(t))
	noID, noTime, huge := 0, 0, 0
	for _, r := range want {
		if r.Flags&event.FlagNoID != 0 {
			noID++
		}
		if r.Flags&event.FlagNoTime != 0 {
			noTime++
		}
		if len(r.Raw) > 4<<20 {
			huge++
		}
	}
	if noID != 3 || noTime != 2 || huge != 1 {
		t.Errorf("shown: %d without id, %d without time, %d of 5 MB: the test proves too little", noID, noTime, huge)
	}
}

// TestTimelessRecords: a record that never says when it happened is placed where its slice begins. That place moves from
// slice to slice, and it must be known again all the same.
func TestTimelessRecords(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{})
	g.addTimeless(t)
	config := g.config(t, "c.yaml", "", g.archive())
	for range 4 {
		g.run(t, config)
		g.later(5 * time.Minute)
	}
	compare(t, "file", g.shown(t), g.archived(t))
}

// TestHugeRecord: a record of 5 MB goes whole where it can, is cut or set aside with its reason where it cannot, and holds up
// nobody.
func TestHugeRecord(t *testing.T) {
	t.Parallel()
	need(t, "rsyslogpeer", "hecpeer", "kfakepeer")
	g := newGraph(t, simulator.Options{})
	raw := fmt.Sprintf(`{"id":"huge","activityDateTime":"%s","activityDisplayName":"x","padding":"%s"}`,
		g.base.Add(-5*time.Minute).UTC().Format(time.RFC3339), bytes.Repeat([]byte("x"), 5_000_000))
	if err := g.Add(simulator.Audits, simulator.Record{Raw: []byte(raw)}); err != nil {
		t.Fatal(err)
	}
	relay := receive(t, "rsyslogpeer", g.file("rsyslog"))
	splunk := receive(t, "hecpeer", g.file("hec"))
	lake := receive(t, "kfakepeer", g.file("kfake"), "-topics", "entra")
	writeFile(t, g.file("token"), "token")
	config := g.config(t, "c.yaml", "", g.archive(),
		"name: relay\nsyslog: {address: tcp://"+relay.Address+", max_message_bytes: 60KiB}",
		"name: splunk\nschema: ecs\nsplunk: {endpoints: [http://"+splunk.Address+"], token_file: "+g.file("token")+"}",
		"name: lake\nkafka: {brokers: ["+lake.Address+"], topic: entra, compression: none}")
	s, _ := runOnce(t, config, 3)
	want := g.shown(t)
	compare(t, "file", want, g.archived(t))
	if s.Sinks["archive"].Delivered != uint64(len(want)) || s.Sinks["relay"].Delivered != uint64(len(want)) {
		t.Errorf("archive %+v, relay %+v", s.Sinks["archive"], s.Sinks["relay"])
	}
	letters := logferry(t, "dlq", "list", "--json", "-c", config)
	letters.wants(t, 0, "splunk", "huge", "max_event_bytes")
	for id, r := range want {
		if r.ID == "huge" {
			delete(want, id)
		}
	}
	compare(t, "splunk", want, fromHEC(t, splunk, "logferry"))
	if s.Sinks["splunk"].Dead != 1 || s.Sinks["splunk"].Pending != 0 {
		t.Errorf("splunk %+v", s.Sinks["splunk"])
	}
	// What the broker takes is its own affair: the record is there whole, or it is a dead letter with the broker's reason.
	got := fromKafka(t, lake, "entra", userOf)
	if s.Sinks["lake"].Dead == 1 {
		compare(t, "lake", want, got)
		letters.wants(t, 0, "lake")
	} else {
		compare(t, "lake", g.shown(t), got)
	}
}
