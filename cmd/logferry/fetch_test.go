package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// fetches runs logferry fetch on the tenant, over loopback.
func (w *tenant) fetches(args ...string) (code int, stdout, stderr string) {
	w.Helper()
	text, err := os.ReadFile(w.config)
	if err != nil {
		w.Fatal(err)
	}
	_, url, _ := strings.Cut(string(text), "login_url: ")
	url, _, _ = strings.Cut(url, "\n")
	return logferry(w.Context(), append([]string{"fetch", "--login-url", url, "--graph-url", url, "--tenant", simulator.DefaultDomain,
		"--client-id", simulator.DefaultClientID, "--client-secret-file", w.file("secret"), "--stream", "audits"}, args...)...)
}

// TestFetch is the command over loopback: flags arrive where they belong, and exit codes say what came of it.
func TestFetch(t *testing.T) {
	w := newTenant(t)
	w.add("a")
	w.add("b")
	code, stdout, stderr := w.fetches("--since", "1d", "--save-pages", w.file("pages"))
	if code != 0 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stderr, "audits since 20") || !strings.Contains(stderr, "saved audit1.json") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for name, c := range map[string]struct {
		code  int
		words string
		args  []string
	}{
		"pages are there":    {2, "--force", []string{"--save-pages", w.file("pages")}},
		"unknown flag":       {2, "unknown flag", []string{"--sinec", "1d"}},
		"no positional":      {2, "unknown command", []string{"audits"}},
		"pasted filter":      {2, `--filter "activityDisplayName eq 'Update user'"`, []string{"--filter", "$filter=activityDisplayName eq 'Update user'"}},
		"empty filter":       {2, "--filter: it is empty", []string{"--filter", ""}},
		"empty typed filter": {2, "--activity: the value is empty", []string{"--activity", ""}},
		"wrong secret":       {1, "secret", []string{"--client-secret-file", w.config}},
	} {
		if code, stdout, stderr := w.fetches(c.args...); code != c.code || !strings.Contains(stderr, c.words) || stdout != "" {
			t.Errorf("%s: exit code %d\n%s%s", name, code, stdout, stderr)
		}
	}
}

// TestFetchRefusesSecrets on the command line, without repeating them.
func TestFetchRefusesSecrets(t *testing.T) {
	for _, args := range [][]string{{"--client-secret", "canary-secret"}, {"--client-secret=canary-secret"}} {
		code, stdout, stderr := logferry(t.Context(), append([]string{"fetch", "--tenant", "contoso.com", "--client-id", "x"}, args...)...)
		if code != 2 || !strings.Contains(stderr, "a secret on the command line") || strings.Contains(stdout+stderr, "canary") {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
	}
	_, help, _ := logferry(t.Context(), "fetch", "--help")
	if strings.Contains(help, "--client-secret ") {
		t.Error("the help offers it")
	}
}

// TestFetchIntoClosedPipe: `logferry fetch | head` ends as if nothing were wrong.
func TestFetchIntoClosedPipe(t *testing.T) {
	w := newTenant(t)
	w.add("a")
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer out.Close()
	args := []string{"fetch", "--stream", "audits", "--output", "pretty"}
	text, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	_, url, _ := strings.Cut(string(text), "login_url: ")
	url, _, _ = strings.Cut(url, "\n")
	cmd := root()
	cmd.SetArgs(append(args, "--login-url", url, "--graph-url", url, "--tenant", simulator.DefaultDomain, "--client-id", simulator.DefaultClientID, "--client-secret-file", w.file("secret")))
	var errs bytes.Buffer
	cmd.SetOut(out)
	cmd.SetErr(&errs)
	if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(errs.String(), "1 rows") {
		t.Errorf("%v\n%s", err, errs.String())
	}
}

// TestFetchAsksTheSocket: beside a running process requests come out of its budget, told over the control socket.
func TestFetchAsksTheSocket(t *testing.T) {
	w := newTenant(t)
	w.add("a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		code, _, _ := logferry(ctx, "run", "-c", w.config)
		done <- code
	}()
	defer func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("run ended with %d", code)
		}
	}()
	granted := func() float64 {
		var status struct {
			Sources []struct {
				Spent struct {
					Requests []float64 `json:"requests"`
				} `json:"spent"`
			} `json:"sources"`
		}
		_, stdout, _ := logferry(t.Context(), "status", "-c", w.config, "--json")
		if json.Unmarshal([]byte(stdout), &status) != nil || len(status.Sources) == 0 {
			return -1
		}
		n := 0.0
		for _, class := range status.Sources[0].Spent.Requests[4:] { // the class of fetch: backfill
			n += class
		}
		return n
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(w.file("state"), "control.sock")); err == nil && len(strings.Join(w.lines("one"), "")) > 0 {
			break
		}
	}
	before := granted()
	code, stdout, stderr := w.fetches("--state", w.file("state"))
	if code != 0 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, "out of the running process's budget") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if after := granted(); before < 0 || after <= before {
		t.Errorf("the process has granted %v requests before and %v after", before, after)
	}
	if _, _, stderr := w.fetches("--state", w.dir); !strings.Contains(stderr, "no logferry runs on --state") {
		t.Error(stderr)
	}
}
