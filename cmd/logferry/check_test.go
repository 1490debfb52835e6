package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// TestCheckConnect: a line for each part, in columns; exit code 0 while all is well, 1 with what to mend.
func TestCheckConnect(t *testing.T) {
	w := newTenant(t)
	check := func(more ...string) (int, string, string) {
		return logferry(t.Context(), append([]string{"check", "-c", w.config}, more...)...)
	}
	code, out, errs := check()
	if code != 0 || !strings.Contains(out, "the configuration is valid") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, errs = check("--connect")
	const want = `ok  source contoso         signed in to ` + simulator.DefaultTenantID
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 4 || !strings.HasPrefix(out, want) {
		t.Errorf("exit %d:\n%s%s", code, out, errs)
	} else {
		for i, line := range lines {
			if at := strings.Index(line, map[int]string{0: "signed in", 1: "readable", 2: "the files", 3: "the files"}[i]); at != strings.Index(want, "signed in") {
				t.Errorf("not in its column: %s", line)
			}
		}
	}
	if _, err := os.Stat(w.file("one.ndjson")); err == nil {
		t.Error("check has written to a sink")
	}
	code, out, errs = check("--send-test")
	if text, err := os.ReadFile(w.file("one.ndjson")); code != 0 || err != nil || !strings.Contains(out, w.file("one.ndjson")) || !strings.Contains(string(text), "logferry test event") {
		t.Errorf("exit %d: %s%s%v", code, out, errs, err)
	}

	if err := os.WriteFile(w.file("secret"), []byte("wrong-canary+/"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = check("--connect")
	if code != 1 || !strings.Contains(out, "MEND  source contoso  sign in as app") || !strings.Contains(out, "the client secret is wrong") || !strings.Contains(errs, "1 of 3 parts need mending") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if strings.Contains(out+errs, "canary") {
		t.Error("the secret is shown")
	}
	code, out, _ = check("--connect", "--json")
	var lines []app.CheckLine
	if err := json.Unmarshal([]byte(out), &lines); err != nil || code != 1 || len(lines) != 3 || lines[0].OK || lines[0].Cause != "sign-in" || !lines[1].OK {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, _, errs = check("--json"); code != 2 || !strings.Contains(errs, "--connect") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestCheckBesideARun: it needs neither the state's lock nor the control socket, and does not write.
func TestCheckBesideARun(t *testing.T) {
	w := newTenant(t)
	w.add("Directory_1")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan string, 1)
	go func() {
		code, _, stderr := logferry(ctx, "run", "-c", w.config)
		done <- fmt.Sprint(code, stderr)
	}()
	defer func() {
		stop()
		if said := <-done; !strings.HasPrefix(said, "0") {
			t.Error(said)
		}
	}()
	wait(t, "the process runs", func() bool {
		return telemetry.Ask(t.Context(), w.file("state"), "status", &pipeline.Status{}) == nil
	})
	if code, out, errs := logferry(t.Context(), "check", "-c", w.config, "--connect"); code != 0 || !strings.Contains(out, "it has shown a record of") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// TestCheckSaysWhatASinkDoesNotGet, so that nobody looks for it there.
func TestCheckSaysWhatASinkDoesNotGet(t *testing.T) {
	code, out, errs := logferry(t.Context(), "check", "-c", "../../configs/routing.yaml")
	if code != 0 || !strings.Contains(out, "sink soc: elastic, schema ecs, all streams, less by where (3)\n") ||
		!strings.Contains(out, "sink archive: file, schema raw, all streams, less by drop_fields (5), less by hash_fields (6)\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
