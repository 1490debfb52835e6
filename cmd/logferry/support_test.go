package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// unpack gives the files of an archive, which lie in one folder.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || h.Mode != 0o600 {
			t.Fatalf("%s has mode %o, %v", h.Name, h.Mode, err)
		}
		folder, name, _ := strings.Cut(h.Name, "/")
		if !strings.HasPrefix(folder, "logferry-support-") || path.Clean(name) != name {
			t.Errorf("a file %s", h.Name)
		}
		files[name] = string(text)
	}
}

// canaries are planted in everything that must stay in the house.
const canary = "canary"

// plant gives the tenant a receiver that refuses every event and quotes it, and canaries in the configuration, in its comments, in the
// environment and in the files of secrets.
func (w *tenant) plant() {
	w.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/in" {
			rw.WriteHeader(http.StatusForbidden)
			fmt.Fprint(rw, `{"status":403,"error":{"type":"security_exception","reason":"refused is the value 'canary@contoso.com'"}}`)
			return
		}
		rw.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(rw, `{"error":"no","token":%q,"event":%s}`, r.Header.Get("Authorization"), body)
	}))
	w.Cleanup(receiver.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	l.Close()
	w.Setenv("LOGFERRY_TEST_VALUE", "canary-of-the-environment")
	text, err := os.ReadFile(w.config)
	if err != nil {
		w.Fatal(err)
	}
	more := strings.Replace(string(text), `admin: {listen: "off"}`, fmt.Sprintf("# https://user:canary-comment@example.com\nadmin: {listen: %q}\nlog: {level: debug}", l.Addr()), 1)
	more = strings.Replace(more, "state: {", "state: {shutdown_grace: 100ms, ", 1) // sink es never gets done
	more += fmt.Sprintf("  - name: own\n    http: {endpoints: [%q], compression: none, bearer_token_file: %q, headers: {X-Source: canary-of-a-header, X-Env: \"${env:LOGFERRY_TEST_VALUE}\"}}\n",
		receiver.URL+"/in", w.file("token"))
	more += fmt.Sprintf("  - {name: es, elastic: {endpoints: [%q], index: entra}}\n", receiver.URL)
	for name, content := range map[string]string{"c.yaml": more, "token": "canary-of-a-file"} {
		if err := os.WriteFile(w.file(name), []byte(content), 0o600); err != nil {
			w.Fatal(err)
		}
	}
	for i := range 3 {
		raw := fmt.Appendf(nil, `{"id":"Directory_%d","activityDateTime":%q,"activityDisplayName":"canary-of-a-record","initiatedBy":{"user":{"userPrincipalName":"canary@contoso.com","ipAddress":"192.0.2.77"}}}`,
			i, w.base.UTC().Format(time.RFC3339))
		if err := w.sim.Add(simulator.Audits, simulator.Record{Raw: raw}); err != nil {
			w.Fatal(err)
		}
	}
}

// spotless looks for what must not be in the archive.
func (w *tenant) spotless(files map[string]string) {
	w.Helper()
	for name, text := range files {
		for _, what := range []string{canary, simulator.DefaultClientSecret, "192.0.2.77"} {
			if at := strings.Index(text, what); at >= 0 {
				w.Errorf("%s has %s: %s", name, what, text[max(0, at-300):min(len(text), at+200)])
			}
		}
	}
}

func names(files map[string]string) (all []string) {
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestSupport(t *testing.T) {
	w := newTenant(t)
	w.plant()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan string, 1)
	go func() {
		code, _, stderr := logferry(ctx, "run", "-c", w.config)
		done <- fmt.Sprint(code, stderr)
	}()
	var status pipeline.Status
	wait(t, "the records are refused", func() bool {
		if telemetry.Ask(t.Context(), w.file("state"), "status", &status) != nil {
			return false
		}
		return slices.ContainsFunc(status.Sinks, func(s pipeline.SinkStatus) bool { return s.Name == "own" && s.Dead == 3 }) &&
			slices.ContainsFunc(status.Faults, func(f pipeline.Fault) bool { return f.Part == "sink es" })
	})
	archive := w.file("help.tar.gz")
	out := w.runs(0, "Look at it before you send it.", "support", "-o", archive)
	files := unpack(t, archive)
	w.spotless(files)
	want := []string{"about.txt", "check.txt", "config/01-c.yaml", "gaps.json", "log.txt", "metrics.txt", "state.json", "status.json"}
	if got := names(files); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v\n%s", got, want, out)
	}
	for _, name := range want {
		if !strings.Contains(out, "  "+name+" ") {
			t.Errorf("it does not tell of %s:\n%s", name, out)
		}
	}
	for name, words := range map[string][]string{
		"about.txt":        {"logferry dev", "go1.", "go.etcd.io/bbolt"},
		"check.txt":        {"sink own: http", "the configuration is valid"},
		"config/01-c.yaml": {"client_secret_file: " + w.file("secret"), "bearer_token_file: " + w.file("token"), "X-Source: <redacted>", "X-Env: <redacted>", "tenant: " + simulator.DefaultDomain},
		"log.txt":          {`"msg":"logferry starts"`, "kept as a dead letter", `replied with status 400 \"<left out>\"`, "$filter=activityDateTime"},
		"metrics.txt":      {`logferry_sink_dead_letters{sink="own"} 3`},
		"state.json":       {`"format": 2`, `"dead": 3`, `"sink": "own"`},
		"status.json":      {`"contoso/audits"`},
	} {
		for _, what := range words {
			if !strings.Contains(files[name], what) {
				t.Errorf("%s has no %q:\n%s", name, what, files[name][:min(len(files[name]), 3000)])
			}
		}
	}
	for _, name := range []string{"gaps.json", "state.json", "status.json"} {
		if !json.Valid([]byte(files[name])) {
			t.Errorf("%s is no JSON:\n%s", name, files[name])
		}
	}
	for line := range strings.Lines(files["log.txt"]) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is no JSON: %s", line)
		}
	}
	if info, err := os.Stat(archive); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	w.runs(2, "is there already", "support", "-o", archive)
	w.runs(0, "opened last by logferry "+Version(), "state", "info")
	w.runs(2, "is in use by process "+fmt.Sprint(os.Getpid()), "state", "compact")
	stop()
	end := <-done
	if !strings.HasPrefix(end, "0") {
		t.Errorf("run ended with %s", end)
	}
	if !strings.Contains(end, "canary-of-a-record") {
		t.Error("the log has no canary: this test proves nothing")
	}

	// The same when nobody runs.
	t.Chdir(t.TempDir())
	out = w.runs(0, "no logferry is running on this state folder", "support")
	archive, _, _ = strings.Cut(out, ",")
	files = unpack(t, archive)
	w.spotless(files)
	if got := names(files); !slices.Equal(got, []string{"about.txt", "check.txt", "config/01-c.yaml", "gaps.json", "state.json", "status.json"}) {
		t.Errorf("files %v", got)
	}
	if !strings.Contains(files["about.txt"], "missing: metrics.txt and log.txt: no logferry is running") || !strings.Contains(files["state.json"], `"dead": 3`) {
		t.Errorf("about:\n%s\nstate:\n%s", files["about.txt"], files["state.json"])
	}
}

// TestSupportOfABrokenConfiguration: who cannot start needs help most.
func TestSupportOfABrokenConfiguration(t *testing.T) {
	w := newTenant(t)
	t.Setenv("LOGFERRY_TEST_VALUE", "canary-of-the-environment")
	for name, text := range map[string]string{
		"quoted":      "log: {level: \"${env:LOGFERRY_TEST_VALUE}\"}\n",
		"unknown key": "sinks:\n  - {name: a, splunk: {endpoints: [\"https://u:canary-word1@s.example.com\"], token: canary-token1, token_file: canary-file-1}}\n",
		"no scheme":   "sinks:\n  - {name: a, kafka: {brokers: [\"u:canary-word1@k1:9092\"], topic: x}}\n",
		"apostrophe":  "sinks:\n  - {name: a, splunk: {endpoints: [\"https://u:canary'word1@s.example.com\"], token_file: /x}}\n",
		"blank":       "sinks:\n  - {name: a, splunk: {endpoints: [\"https://u:canary word1@s.example.com\"], token_file: /x}}\n",
		"address":     "sinks:\n  - {name: a, http: {endpoints: [\"https://s.example.com/v1/canary84jfskjalsk48fjska==\"]}}\n",
		"no variable": "sinks:\n  - {name: a, splunk: {token_file: \"${env:A-B:-canary word}\"}}\n",
		"glued":       "sinks:\n  - {name: a, splunk: {token_file: \"${env:LOGFERRY_TEST_VALUE}canary-word1\"}}\n",
		"lines":       "sinks:\n  - name: a\n    splunk:\n      token_file: |\n        canary-line1\n        canary-line2\n",
		"no block":    "sinks:\n  - canary-word1\n",
		"no key":      "canary word1\n",
		"quotes":      "sinks:\n  - {name: a, splunk: {token_file: 'ab\"c<canary1'}}\nlog: {level: 'ab\"c<canary1'}\n",
		"no YAML":     "sinks: [\n  token: canary-broken-1\n   x: {",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			archive := t.TempDir() + "/a.tar.gz"
			code, out, errs := logferry(t.Context(), "support", "-c", w.config, "-o", archive)
			if code != 0 || !strings.Contains(out, "the configuration is not valid") {
				t.Fatalf("exit code %d\n%s%s", code, out, errs)
			}
			files := unpack(t, archive)
			w.spotless(files)
			if !strings.Contains(files["check.txt"], "c.yaml:") {
				t.Errorf("check:\n%s", files["check.txt"])
			}
		})
	}
	w.runs(2, "no such file", "support", "-c", w.file("none.yaml"))
}

// TestState shows and compacts the file of a tenant while nobody runs.
func TestState(t *testing.T) {
	w := newTenant(t)
	w.runs(2, "there is no state yet", "state", "info")
	w.runs(2, "there is no state yet", "state", "compact")
	w.add("a")
	w.runs(0, `"complete":true`, "run", "--once")
	w.kill("mapping")
	out := w.runs(0, "format   2, opened last by logferry "+Version(), "state", "info")
	for _, want := range []string{"of 1 streams, ", "letters  1\n", "one   3/0       0        0      -       1     0       0", "two   3/0"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var before, after app.StateReport
	if err := json.Unmarshal([]byte(w.runs(0, "", "state", "info", "--json")), &before); err != nil {
		t.Fatal(err)
	}
	w.runs(0, " bytes", "state", "compact")
	if err := json.Unmarshal([]byte(w.runs(0, "", "state", "info", "--json")), &after); err != nil {
		t.Fatal(err)
	}
	if before.State.Letters != 1 || after.State.Letters != 1 || after.State.Seen != before.State.Seen || after.State.Size > before.State.Size {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	w.runs(0, "1 letter is dropped", "dlq", "drop", "--all")

	// A damaged file is the next run's to set aside.
	file := w.file("state/state.db")
	if err := os.Truncate(file, 20_000); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"state", "info"}, {"dlq", "list"}} {
		w.runs(2, "damaged state file: ", args...)
	}
	w.runs(1, "damaged state file: ", "state", "compact")
	out = w.runs(0, "missing", "support", "-o", w.file("a.tar.gz"))
	if !strings.Contains(out, "state.json: wrong usage or configuration: open state: ") {
		t.Errorf("support:\n%s", out)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != 20_000 {
		t.Errorf("%v, %v", info, err)
	}
}
