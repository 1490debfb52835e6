package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/route"
)

const minimal = `
sources:
  - name: contoso
    entra:
      tenant: contoso.onmicrosoft.com
      auth: {client_id: 11111111-2222-3333-4444-555555555555, client_secret_file: /run/secrets/graph}
sinks:
  - name: console
    stdout: {}
`

func schemas(t testing.TB) Schemas {
	t.Helper()
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMinimalConfigurationHasTheDefaults(t *testing.T) {
	cfg, err := Parse("logferry.yaml", []byte(minimal), schemas(t))
	if err != nil {
		t.Fatal(err)
	}
	e := cfg.Sources[0].Entra
	if fmt.Sprint(e.Time.Reread) != "[30m 2h 1d 3d]" || e.Time.Poll.String() != "1m" || e.Time.Updates != "ship" {
		t.Errorf("time line %+v", e.Time)
	}
	if cfg.State.JournalMaxBytes != 8<<30 || cfg.State.DeadLettersMaxBytes != 1<<30 || cfg.Admin.Listen != "127.0.0.1:9797" || cfg.Sinks[0].SchemaName() != "ecs" {
		t.Errorf("defaults %+v", cfg)
	}
}

// TestFaults: each fault is found with its line and column, and says what to do.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		line           int
		want           string
	}{
		{"not YAML", "sinks:", "sinks: [", 7, "not YAML"},
		{"a tab", "    entra:", "\tentra:", 4, "not YAML"},
		{"unknown key", "      tenant:", "      tennant:", 5, "did you mean tenant"},
		{"unknown block", "sinks:", "sink:", 7, "did you mean sinks"},
		{"twice", "    stdout: {}", "    stdout: {}\n    stdout: {}", 10, "stdout"},
		{"a secret in clear", "client_secret_file: /run/secrets/graph", "client_secret: hunter2", 6, "client_secret_file"},
		{"two ways to sign in", "client_secret_file: /run/secrets/graph", "client_secret_file: /a, certificate_file: /b", 6, "certificate_file"},
		{"no way to sign in", ", client_secret_file: /run/secrets/graph", "", 6, "client_secret_file"},
		{"no sink's block", "    stdout: {}", "    paused: true", 8, "where to send"},
		{"two blocks", "    stdout: {}", "    stdout: {}\n    file: {path: ./x.ndjson}", 8, "exactly one"},
		{"no value", "      tenant: contoso.onmicrosoft.com", "      tenant:", 5, "no value"},
		{"wrong type", "      tenant: contoso.onmicrosoft.com", "      tenant: [a]", 5, "single value"},
		{"a list of one", "  - name: console\n    stdout: {}", "  name: console\n  stdout: {}", 8, "list"},
		{"a bad duration", "      tenant:", "      poll: fast\n      tenant:", 5, "duration"},
		{"a short poll", "      tenant:", "      poll: 10ms\n      tenant:", 5, "too short"},
		{"a bad size", "sources:", "state: {journal_max_bytes: lots}\nsources:", 2, "size"},
		{"no room for dead letters", "sources:", "state: {dead_letters_max_bytes: 1000}\nsources:", 2, "too small: 1MiB or more"},
		{"an unset variable", "contoso.onmicrosoft.com", "${env:LOGFERRY_TEST_UNSET}", 5, "LOGFERRY_TEST_UNSET is not set"},
		{"an anchor", "    stdout: {}", "    stdout: &x {}", 9, "anchors"},
		{"an unknown stream", "    stdout: {}", "    streams: [audit]\n    stdout: {}", 9, "matches no stream"},
		{"an unknown schema", "    stdout: {}", "    schema: xml\n    stdout: {}", 9, "xml"},
		{"an unknown option", "    stdout: {}", "    schema: {name: ecs, colour: red}\n    stdout: {}", 9, "colour"},
		{"an unknown option in a block", "    stdout: {}", "    schema:\n      name: ecs\n      colour: red\n    stdout: {}", 11, "colour"},
		{"a wrong value of an option", "    stdout: {}", "    schema:\n      name: cef\n      raw: maybe\n    stdout: {}", 11, "want one of drop, keep"},
		{"the second of two faulty options", "    stdout: {}", "    schema:\n      colour: red\n      raw: maybe\n      name: ecs\n    stdout: {}", 11, "want one of keep, drop"},
		{"a record that cannot be dropped", "    stdout: {}", "    schema:\n      name: envelope\n      raw: drop\n    stdout: {}", 11, "under properties"},
		{"a bad name", "name: console", "name: my console", 8, "letters, digits"},
		{"plain http", "      tenant:", "      login_url: http://login.example.com\n      graph_url: https://graph.example.com\n      tenant:", 5, "https"},
		{"unknown level", "sources:", "log: {level: loud}\nsources:", 2, "debug, info"},
		{"a stream read twice", "sinks:", `  - name: again
    entra:
      tenant: CONTOSO.onmicrosoft.com
      streams: [audits]
      auth: {client_id: 11111111-2222-3333-4444-555555555555, client_secret_file: /run/secrets/graph}
sinks:`, 9, "source contoso reads audits"},
		{"a data stream without @timestamp", "    stdout: {}", "    schema: raw\n    elastic: {endpoints: [\"https://es.example.com:9200\"]}", 9, "@timestamp"},
		{"a faulty http block", "    stdout: {}", "    http: {endpoints: [\"https://collector.example.com/in\"], headers: {X-Api-Key: x}}", 9, "secret_headers"},
		{"a faulty elastic block", "    stdout: {}", "    elastic: {endpoints: [\"https://es.example.com:9200\"], index: Entra}", 9, "lower case"},
		{"when_full", "    stdout: {}", "    when_full: drop\n    stdout: {}", 9, "wait (fetching waits, nothing is lost) or skip_oldest"},
		{"an unknown condition", "    stdout: {}", "    where:\n      - outcome: failure\n        users: anna\n    stdout: {}", 11, "did you mean user"},
		{"an unknown outcome", "    stdout: {}", "    where:\n      - risk: low\n        outcome: [failure,\n          failed]\n    stdout: {}", 12, "interrupted"},
		{"an unknown outcome alone", "    stdout: {}", "    where:\n      - risk: low\n        outcome: failed\n    stdout: {}", 11, "interrupted"},
		{"a rule that never holds", "    stdout: {}", "    where:\n      - streams: provisioning\n        risk: low\n    stdout: {}", 11, "never holds"},
		{"a rule for a stream that the sink does not take", "    stdout: {}", "    streams: [audits]\n    where:\n      - streams: signins.*\n    stdout: {}", 11, "no stream of this sink"},
		{"a condition without a value", "    stdout: {}", "    where:\n      - outcome: failure\n        user:\n    stdout: {}", 11, "no value"},
		{"fields without a value", "    stdout: {}", "    drop_fields:\n    stdout: {}", 9, "no value"},
		{"a number that is none", "    stdout: {}", "    where: {error_code: [50126, bad]}\n    stdout: {}", 9, "whole number"},
		{"the id dropped", "    stdout: {}", "    drop_fields:\n      - ipAddress\n      - id\n    stdout: {}", 11, "has to stay"},
		{"hashed without a key", "    stdout: {}", "    hash_fields: userPrincipalName\n    stdout: {}", 9, "hash_key_file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(minimal, tt.old, tt.new, 1)
			if text == minimal {
				t.Fatal("the case changes nothing")
			}
			_, err := Parse("logferry.yaml", []byte(text), schemas(t))
			var invalid *Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("taken, or another error: %v", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the secret: %v", err)
			}
			for _, p := range invalid.Problems {
				if p.Line == tt.line && strings.Contains(p.String(), tt.want) {
					return
				}
			}
			t.Errorf("want a fault in line %d that says %q, got:\n%v", tt.line, tt.want, err)
		})
	}
}

// TestRoutes: lists of one may be written without the list.
func TestRoutes(t *testing.T) {
	text := strings.Replace(minimal, "    stdout: {}", `    where:
      streams: signins.*
      outcome: failure
      error_code: 50126
      ip: [192.0.2.0/24, 2001:db8::1]
      not: {user: breakglass@contoso.com}
    drop_fields: ipAddress
    hash_fields: [userPrincipalName, initiatedBy.user.userPrincipalName]
    hash_key_file: /run/secrets/hash-key
    stdout: {}`, 1)
	cfg, err := Parse("x.yaml", []byte(text), schemas(t))
	if err != nil {
		t.Fatal(err)
	}
	r := cfg.Sinks[0].Route
	want := "{[{[signins.*] {[failure]  [] [] [] [] [] [192.0.2.0/24 2001:db8::1] [] [] [50126]} {[]  [breakglass@contoso.com] [] [] [] [] [] [] [] []}}] [ipAddress] [userPrincipalName initiatedBy.user.userPrincipalName] /run/secrets/hash-key}"
	not := *r.Where[0].Not
	r.Where[0].Not = nil
	if got := strings.Replace(fmt.Sprint(r), "<nil>", fmt.Sprint(not), 1); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestTimesStay: the members that streams run along are not to be dropped, whatever is added to the table.
func TestTimesStay(t *testing.T) {
	for _, row := range entra.Table() {
		c := route.Config{DropFields: route.Words{row.TimeMember}}
		if err := c.Validate(nil); err == nil || !strings.Contains(err.Error(), "has to stay") {
			t.Errorf("%s of %s may be dropped: %v", row.TimeMember, row.Name, err)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse("x.yaml", []byte("stat: 1\nsources: [{name: a, entra: {poll: x, foo: 1}}]\nsinks: [{name: b, splunk: {bar: 2}}]\n"), schemas(t))
	for _, want := range []string{"x.yaml:1:1", "did you mean state", "poll", "foo", "bar"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported in: %v", want, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LOGFERRY_TEST_TENANT", "fabrikam.onmicrosoft.com: # [") // no YAML may come in this way
	text := strings.Replace(minimal, "name: console", "name: ${env:LOGFERRY_TEST_NONE:-fallback}", 1)
	cfg, err := Parse("x.yaml", []byte(text), schemas(t))
	if err != nil || cfg.Sinks[0].Name != "fallback" {
		t.Errorf("default: %v, %v", cfg, err)
	}
	_, err = Parse("x.yaml", []byte(strings.Replace(minimal, "contoso.onmicrosoft.com", "${env:LOGFERRY_TEST_TENANT}", 1)), schemas(t))
	if err == nil || !strings.Contains(err.Error(), "neither a GUID nor a domain") {
		t.Errorf("a value that looks like YAML: %v", err)
	}
}

func TestFilesAndFolders(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("10-sources.yaml", minimal)
	write("20-more.yml", "sinks: [{name: second, stdout: {}}]\n")
	write("notes.txt", "not: [yaml")
	if err := os.Mkdir(filepath.Join(dir, "old.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("old.yaml/40-old.yaml", "not: [yaml")
	cfg, err := Load([]string{dir}, schemas(t))
	if err != nil || len(cfg.Sinks) != 2 {
		t.Fatalf("%+v, %v", cfg, err)
	}
	extra := write("30-bad.yaml", "log: {level: info}\n---\nlog: {level: warn}\nsinks: [{name: second, stdout: {}}]\n")
	_, err = Load([]string{dir}, schemas(t))
	if err == nil || !strings.Contains(err.Error(), extra+":3:1") {
		t.Errorf("a block in two places: %v", err)
	}
	if err := os.WriteFile(extra, []byte("sinks: [{name: second, stdout: {}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Load([]string{dir}, schemas(t)); err == nil || !strings.Contains(err.Error(), "used twice") || !strings.Contains(err.Error(), extra) {
		t.Errorf("a name in two files: %v", err)
	}
	for _, paths := range [][]string{nil, {filepath.Join(dir, "gone.yaml")}, {t.TempDir()}} {
		if _, err := Load(paths, schemas(t)); err == nil {
			t.Errorf("%q was loaded", paths)
		}
	}
}

// TestColonsInFlowLists: the documented short forms hold host:port without quotes.
func TestColonsInFlowLists(t *testing.T) {
	text := minimal + `
  - name: lake
    kafka: {brokers: [k1.example.com:9092, "k2.example.com:9092", 192.0.2.1:9092], topic: "entra-{family}", tls: {}}
  - name: splunk
    splunk: {endpoints: [https://splunk.example.com:8088], token_file: /run/secrets/hec}
`
	cfg, err := Parse("x.yaml", []byte(text), schemas(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(cfg.Sinks[1].Kafka.Brokers, cfg.Sinks[2].Splunk.Endpoints[0]); got != "[k1.example.com:9092 k2.example.com:9092 192.0.2.1:9092]https://splunk.example.com:8088" {
		t.Errorf("read as %s", got)
	}
	if got := cfg.Sinks[1].SchemaName() + " " + cfg.Sinks[2].SchemaName(); got != "ecs envelope" {
		t.Errorf("default schemas of kafka and splunk: %s", got)
	}
	if _, err := Parse("x.yaml", []byte(strings.Replace(text, "k1.example.com:9092,", "k1: 9092,", 1)), schemas(t)); err == nil {
		t.Error("a mapping was taken for a broker")
	}
}

// TestSchemaOptions: what is written below schema reaches the normalizer, for each sink its own.
func TestSchemaOptions(t *testing.T) {
	for written, want := range map[string]string{
		"ecs": "ecs ", "{name: ecs}": "ecs ", "{name: ecs, raw: keep}": "ecs ", "{name: ecs, raw: drop}": "ecs raw=drop",
		"{name: cef, raw: keep}": "cef raw=keep", "{name: cef, raw: drop}": "cef ", "{raw: keep, name: leef}": "leef raw=keep", "{name: cim, raw: drop}": "cim raw=drop", "{name: ocsf, raw: drop}": "ocsf raw=drop",
		"{name: ecs, profile: elastic, interrupted_outcome: unknown}": "ecs interrupted_outcome=unknown,profile=elastic",
		"{name: envelope, case: graph}":                               "envelope case=graph",
	} {
		cfg, err := Parse("x.yaml", []byte(minimal+"  - {name: other, schema: "+written+", stdout: {}}\n"), schemas(t))
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		for i, want := range []string{"ecs ", want} {
			s := cfg.Sinks[i]
			if got, err := schemas(t).Schema(s.SchemaName(), s.Schema.Options); err != nil || got.Name+" "+got.Options != want {
				t.Errorf("%s: sink %s has %+v, %v, want %s", written, s.Name, got, err, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add("sources: [{entra: {reread: [1h, 2h], filters: {audits: \"x\"}, budget: {requests: 1, per: 1s}}}]")
	f.Add("sinks: [{kafka: {brokers: [a:1], tls: {}, sasl: {mechanism: plain}}, schema: {name: ecs, raw: drop}}]")
	f.Add("a: &b\n  - *b\n<<: 1\n")
	f.Add("--- !!map\n? x\n: y\n")
	n := schemas(f)
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Parse("fuzz.yaml", []byte(text), n)
		if (cfg == nil) == (err == nil) {
			t.Errorf("configuration %v with error %v", cfg, err)
		}
	})
}
