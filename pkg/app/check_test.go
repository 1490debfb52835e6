package app_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/telemetry"
)

// found gives the line of a part.
func found(t *testing.T, lines []app.CheckLine, part string) app.CheckLine {
	t.Helper()
	for _, l := range lines {
		if l.Part == part {
			return l
		}
	}
	t.Fatalf("no line for %s: %+v", part, lines)
	return app.CheckLine{}
}

// TestCheckSources has each part of a tenant broken in turn: that part is named with what to grant or mend, all others are well.
func TestCheckSources(t *testing.T) {
	const audits = "stream contoso/audits"
	for name, c := range map[string]struct {
		rules  []simulator.Rule
		secret string // instead of the right one
		part   string // that is broken; "" for none
		says   []string
		cause  string
	}{
		"all is well": {},
		"wrong secret": {secret: "another-secret/+", part: "source contoso", cause: "sign-in",
			says: []string{"the client secret is wrong: client_secret_file must hold the secret's value"}},
		"missing role": {rules: []simulator.Rule{{Kind: simulator.NoRole, Stream: "audits"}}, part: audits, cause: "permission",
			says: []string{"grant the application permissions AuditLog.Read.All and Directory.Read.All", "ask a Privileged Role Administrator or a Global Administrator"}},
		"no licence": {rules: []simulator.Rule{{Kind: simulator.NoLicence, Stream: "audits"}}, part: audits, cause: "licence",
			says: []string{"needs a licence", "ask a Billing Administrator"}},
		"a flickering licence": {rules: []simulator.Rule{{Kind: simulator.NoLicence, Stream: "audits", Times: 2}}},
		"out of order":         {rules: []simulator.Rule{{Kind: simulator.ServerError, Stream: "audits", Status: 500}}, part: audits, says: []string{"http status 500"}},
		"throttled once":       {rules: []simulator.Rule{{Kind: simulator.Throttle, Stream: "audits", RetryAfter: "12.5", Times: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := newWorld(t, simulator.Options{Generate: generate(0.01, began.Add(-time.Hour), began), Script: &simulator.Script{Rules: c.rules},
					Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}}, "", "out")
				if c.secret != "" {
					w.write("secret", c.secret)
				}
				var out bytes.Buffer
				lines, err := app.Check(t.Context(), w.config([]string{"out"}), app.Options{Version: "1.2.3", Transport: w.wire, Stdout: &out}, false)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range lines {
					if l.OK != (l.Part != c.part) || l.Says == "" {
						t.Errorf("%+v", l)
					}
					if strings.Contains(l.Says, simulator.DefaultClientSecret) || c.secret != "" && strings.Contains(l.Says, c.secret) {
						t.Errorf("the secret is in %+v", l)
					}
				}
				if c.part != "" {
					l := found(t, lines, c.part)
					for _, says := range c.says {
						if !strings.Contains(l.Says, says) {
							t.Errorf("%q does not say %q", l.Says, says)
						}
					}
					if l.Cause != c.cause || l.RequestID == "" && l.Cause != "sign-in" || l.ClientRequestID == "" {
						t.Errorf("%+v, want cause %q and the ids of the request", l, c.cause)
					}
				} else if source := found(t, lines, "source contoso"); len(lines) != 7 || !strings.Contains(source.Says, "the token holds AuditLog.Read.All, Directory.Read.All") {
					t.Errorf("%+v", lines)
				}
				if out.Len() > 0 {
					t.Errorf("a sink got %q", out.String())
				}
				w.checkBudget()
				if _, err := os.Stat(w.path(w.state)); err == nil {
					t.Error("check has made a state folder")
				}
			})
		})
	}
}

// parse reads a configuration.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("test.yaml", []byte(text), n)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return cfg
}

// TestCheckSinks: sinks that cannot be reached are named with their reason, the others are tried without writing; a test event says
// what it is, is found where the line says, and shows no secret.
func TestCheckSinks(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := gone.Addr().String()
	gone.Close()
	sim, err := simulator.New(simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	dir := t.TempDir()
	const canary = "canary+secret/%"
	for name, text := range map[string]string{"secret": simulator.DefaultClientSecret, "token": canary} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := parse(t, fmt.Sprintf(`
state: {dir: %[1]q}
admin: {listen: "off"}
sources:
  - name: contoso
    entra: {tenant: %[2]s, streams: [audits], budget: {requests: 1000, per: 1s}, auth: {client_id: %[3]s, client_secret_file: %[4]q}}
sinks:
  - {name: archive, schema: raw, file: {path: %[5]q}}
  - {name: mapped, file: {path: %[6]q}}
  - {name: console, schema: raw, stdout: {}}
  - {name: trimmed, schema: raw, drop_fields: [ipAddress], file: {path: %[10]q}}
  - {name: quiet, streams: [signins.*], schema: raw, file: {path: %[7]q}}
  - {name: splunk, splunk: {endpoints: ["http://%[8]s"], token_file: %[9]q}}
  - {name: collector, http: {endpoints: ["http://%[8]s"], bearer_token_file: %[9]q}}
  - {name: lake, kafka: {brokers: ["%[8]s"], topic: "entra-{family}", timeout: 3s}}
  - {name: relay, syslog: {address: "tcp://%[8]s"}}
`, filepath.Join(dir, "state"), simulator.DefaultDomain, simulator.DefaultClientID, filepath.Join(dir, "secret"), filepath.Join(dir, "{family}", "{stream}.ndjson"),
		filepath.Join(dir, "mapped.ndjson"), filepath.Join(dir, "quiet.ndjson"), closed, filepath.Join(dir, "token"), filepath.Join(dir, "trimmed.ndjson")))
	for _, send := range []bool{false, true} {
		var out bytes.Buffer
		lines, err := app.Check(t.Context(), cfg, app.Options{Version: "1.2.3", Transport: sim.Client().Transport, Stdout: &out}, send)
		if err != nil {
			t.Fatal(err)
		}
		for part, says := range map[string]string{"sink splunk": "connection refused", "sink collector": "connection refused", "sink lake": "connection refused", "sink relay": "connection refused"} {
			if l := found(t, lines, part); l.OK || !strings.Contains(l.Says, says) {
				t.Errorf("%+v, want %q", l, says)
			}
		}
		for _, l := range lines {
			for _, secret := range []string{canary, simulator.DefaultClientSecret} {
				for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
					if strings.Contains(l.Says, form) {
						t.Errorf("the secret is in %+v", l)
					}
				}
			}
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*", "*.ndjson"))
		more, _ := filepath.Glob(filepath.Join(dir, "*.ndjson"))
		if files = append(files, more...); !send {
			if len(files) > 0 || out.Len() > 0 {
				t.Errorf("without --send-test %v were made and %q was written", files, out.String())
			}
			continue
		}
		if b, err := os.ReadFile(filepath.Join(dir, "trimmed.ndjson")); err != nil || bytes.Contains(b, []byte("192.0.2.1")) || !bytes.Contains(b, []byte("nobody@example.com")) {
			t.Errorf("%v: the test event is %s", err, b)
		}
		for part, where := range map[string]string{"sink archive": filepath.Join(dir, "audits", "audits.ndjson"), "sink mapped": filepath.Join(dir, "mapped.ndjson"), "sink console": ""} {
			l, text := found(t, lines, part), out.String()
			if where != "" {
				b, err := os.ReadFile(where)
				if err != nil {
					t.Error(err)
				}
				text = string(b)
			}
			if !l.OK || !strings.Contains(l.Says, where) || strings.Count(text, "\n") != 1 {
				t.Errorf("%+v: %q", l, text)
			}
			for _, clear := range []string{"test event of logferry", `"eventKind":"test"`, "nobody@example.com", "192.0.2.1"} {
				if !strings.Contains(text, clear) {
					t.Errorf("%s: the event %s does not have %s", part, text, clear)
				}
			}
			if _, id, _ := strings.Cut(l.Says, `for "`); !strings.Contains(text, strings.Split(id, `"`)[0]) {
				t.Errorf("%s: %q is not in %s", part, l.Says, text)
			}
		}
		if l := found(t, lines, "sink quiet"); !l.OK || !strings.Contains(l.Says, "no stream goes there") {
			t.Errorf("%+v", l)
		}
	}
}

// TestFailedRequestsAreLogged with the ids that Microsoft's support asks for, at the level that is on by default; others are not.
func TestFailedRequestsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.NoRole, Stream: "audits"}}}}, "streams: [audits, signins.interactive]", "out")
		var text bytes.Buffer
		log, err := telemetry.NewLogger(&text, "info", "json")
		if err != nil {
			t.Fatal(err)
		}
		w.log = log
		diagnosed := w.wire.next
		w.wire.next = transport(func(r *http.Request) (*http.Response, error) {
			resp, err := diagnosed.RoundTrip(r)
			if err == nil {
				resp.Header.Set("X-Ms-Ags-Diagnostic", `{"ServerInfo":"there"}`)
			}
			return resp, err
		})
		w.start("out")
		w.until(26 * time.Hour)
		w.stop()
		failed, told := 0, 0
		for l := range strings.Lines(text.String()) {
			switch {
			case strings.Contains(l, `"msg":"request failed"`):
				failed++
				for _, want := range []string{`"request_id":"`, `"client_request_id":"`, `"diagnostic":"{\"ServerInfo\":\"there\"}"`, `"stream":"audits"`, `"status":403`} {
					if !strings.Contains(l, want) || strings.Contains(l, `_id":""`) {
						t.Fatalf("%s does not have %s", l, want)
					}
				}
			case strings.Contains(l, `"level":"error"`):
				told++
				if !strings.Contains(l, "may not read audits") {
					t.Error(l)
				}
			case strings.Contains(l, `"msg":"request"`):
				t.Fatalf("at level info: %s", l)
			}
		}
		if failed < 120 || failed > 220 {
			t.Errorf("%d requests of a blocked stream in 26 hours", failed)
		}
		if told != 2 {
			t.Errorf("told %d times at level error, want once and again after a day", told)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }
