package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// logferry runs a command in this process.
func logferry(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		errs.WriteString(err.Error())
	}
	return exitCode(err), out.String(), errs.String()
}

// tenant is a simulated one, with a configuration that reads its audits into a file.
type tenant struct {
	*testing.T
	sim    *simulator.Server
	dir    string
	config string
	base   time.Time // what a record was made at
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	sim, err := simulator.New(simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := sim.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	dir, err := os.MkdirTemp("", "lf") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &tenant{T: t, sim: sim, dir: dir, config: filepath.Join(dir, "c.yaml"), base: time.Now().Add(-3 * time.Hour).Truncate(time.Hour)}
	text := fmt.Sprintf(`
state: {dir: %[1]q}
admin: {listen: "off"}
sources:
  - name: contoso
    entra:
      tenant: %[2]s
      login_url: %[3]s
      graph_url: %[3]s
      auth: {client_id: %[4]s, client_secret_file: %[5]q}
      streams: [audits]
      start: 5h
      reread: []
      budget: {requests: 1000, per: 1s}
sinks:
  - {name: one, schema: ecs, file: {path: %[6]q}}
  - {name: two, schema: ecs, file: {path: %[7]q}}
`, w.file("state"), simulator.DefaultDomain, l.URL, simulator.DefaultClientID, w.file("secret"), w.file("one.ndjson"), w.file("two.ndjson"))
	for name, content := range map[string]string{"c.yaml": text, "secret": simulator.DefaultClientSecret} {
		if err := os.WriteFile(w.file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *tenant) file(name string) string { return filepath.Join(w.dir, name) }

func (w *tenant) add(id string) {
	w.Helper()
	raw := fmt.Appendf(nil, `{"id":%q,"activityDateTime":%q,"activityDisplayName":"Update user"}`, id, w.base.UTC().Format(time.RFC3339))
	if err := w.sim.Add(simulator.Audits, simulator.Record{Raw: raw}); err != nil {
		w.Fatal(err)
	}
}

// runs expects an exit code and words on stdout or stderr.
func (w *tenant) runs(want int, words string, args ...string) string {
	w.Helper()
	code, stdout, stderr := logferry(w.Context(), append(args, "-c", w.config)...)
	if code != want || !strings.Contains(stdout+stderr, words) {
		w.Errorf("%q: exit code %d, want %d with %q\n%s%s", args, code, want, words, stdout, stderr)
	}
	return stdout
}

// lines is what a sink has got.
func (w *tenant) lines(sink string) []string {
	text, err := os.ReadFile(w.file(sink + ".ndjson"))
	if err != nil && !os.IsNotExist(err) {
		w.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// TestVerifyAndResend by the commands, while nobody runs and while somebody does.
func TestVerifyAndResend(t *testing.T) {
	w := newTenant(t)
	w.runs(2, "no state yet", "verify", "--from", "4h")
	w.add("a")
	w.add("b")
	w.runs(0, `"complete":true`, "run", "--once")
	w.runs(0, "of contoso/audits: 2 rows, 0 missing, 0 changed, 0 minutes differ", "verify", "--from", "4h")
	w.add("late")
	out := w.runs(3, "3 rows, 1 missing, 0 changed, 1 minutes differ", "verify", "--from", "4h", "--stream", "contoso/audits")
	if !strings.Contains(out, "missing late of "+when(w.base)) || !strings.Contains(out, when(w.base)+"  2") {
		t.Errorf("report:\n%s", out)
	}
	w.runs(2, "--from is missing", "verify")
	w.runs(2, "neither a duration nor a time", "verify", "--from", "lately")
	w.runs(2, "there is no stream contoso/x: there are contoso/audits", "verify", "--from", "4h", "--stream", "contoso/x")
	w.runs(2, "--sink is missing", "resend", "--from", "4h")
	w.runs(2, "no sink \"three\"", "resend", "--from", "4h", "--sink", "three")
	w.runs(0, nextRun, "verify", "--from", "4h", "--heal")
	w.runs(0, nextRun, "resend", "--from", "4h", "--sink", "two")
	w.runs(0, `"complete":true`, "run", "--once")
	if one, two := w.lines("one"), w.lines("two"); len(one) != 3 || len(two) != 6 || !strings.Contains(two[5], `"resent":true`) || strings.Contains(one[2], "resent") {
		t.Errorf("one got %d, two %d:\n%s", len(one), len(two), two)
	}
	// Now by the process that runs.
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan string, 1)
	go func() {
		code, _, stderr := logferry(ctx, "run", "-c", w.config)
		done <- fmt.Sprint(code, stderr)
	}()
	wait(t, "the process runs", func() bool {
		return telemetry.Ask(t.Context(), w.file("state"), "status", &pipeline.Status{}) == nil
	})
	w.add("later")
	var found pipeline.VerifyResult
	if err := json.Unmarshal([]byte(w.runs(0, `"healed"`, "verify", "--from", "4h", "--heal", "--json")), &found); err != nil || !found.Complete || found.Streams[0].Missing != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	var sent pipeline.ResendResult
	if err := json.Unmarshal([]byte(w.runs(0, `"sink": "one"`, "resend", "--from", "4h", "--sink", "one", "--json")), &sent); err != nil || sent.Streams[0].Resent != 4 {
		t.Errorf("%+v, %v", sent, err)
	}
	w.runs(2, "there is no stream contoso/x", "verify", "--from", "4h", "--stream", "contoso/x")
	wait(t, "all has arrived", func() bool { return len(w.lines("one")) == 8 && len(w.lines("two")) == 7 })
	stop()
	if end := <-done; !strings.HasPrefix(end, "0") {
		t.Errorf("run ended with %s", end)
	}
	w.runs(0, "4 rows, 0 missing", "verify", "--from", "4h")
}

// wait looks until something is true.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to pass that %s", what)
		}
	}
}

// TestVerifyReport: long lists are cut, with what is left of them.
func TestVerifyReport(t *testing.T) {
	from := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	s := pipeline.VerifiedStream{Stream: "contoso/audits", From: from, To: from.Add(24 * time.Hour), Rows: 1234, Missing: 2000, Changed: 1, Differ: 1500, Unclear: 7, Gone: 3, Notes: []string{"a note"}}
	for i := range 1000 {
		s.Minutes = append(s.Minutes, pipeline.VerifiedMinute{Start: from.Add(time.Duration(i) * time.Minute), Read: 1, Shown: 2, Unclear: i == 0})
		s.Records = append(s.Records, pipeline.VerifiedRecord{ID: fmt.Sprint("id-", i), Time: from, Changed: i == 1})
	}
	unread := pipeline.VerifiedStream{Stream: "contoso/signins.interactive", Err: "no licence"}
	var out bytes.Buffer
	if err := printVerified(&out, pipeline.VerifyResult{Streams: []pipeline.VerifiedStream{s, unread}}, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2026-01-31T08:00:00Z  1     2      0        0        unclear", "and 1450 more minutes", "contoso/audits: missing id-0 of 2026-01-31T08:00:00Z",
		"changed id-1 ", "id-49 ", "and 1951 more records", "contoso/audits: a note", "shows 3 rows fewer",
		"verified 86400 s of contoso/audits: 1234 rows, 2000 missing, 1 changed, 1500 minutes differ\n", "signins.interactive could not be verified: no licence\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 1+50+1+50+1+1+1+1+1 || strings.Contains(out.String(), "id-50") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
	if code := exitCode(app.ErrIncomplete); code != 3 {
		t.Errorf("exit code %d", code)
	}
}
