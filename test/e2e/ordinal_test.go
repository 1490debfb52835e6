package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOnlyOrdinal: of three pods with one configuration, one reads and delivers. The others are alive and ready, say that they
// idle and why, and touch no state.
func TestOnlyOrdinal(t *testing.T) {
	t.Parallel()
	g := newSettled(t)
	config := g.file("pods.yaml")
	text := "state: {dir: \"" + g.dir + "/${env:POD_NAME}\"}\n" + g.source() +
		"sinks:\n  - name: archive\n    schema: raw\n    file: {path: \"" + g.dir + "/${env:POD_NAME}.ndjson\"}\nadmin: {listen: 127.0.0.1:0}\n"
	writeFile(t, config, text)
	pod := func(n int) []string { return []string{fmt.Sprintf("POD_NAME=shop-%d", n)} }
	run := []string{"run", "-c", config, "--only-ordinal", "1"}
	idle := []*process{beginWith(t, pod(0), run...), nil, beginWith(t, pod(2), run...)}
	for n, p := range idle {
		if p != nil {
			p.says(t, fmt.Sprintf("logferry idles: nothing is read and nothing is delivered here\",\"why\":\"--only-ordinal is 1, and this is shop-%d", n))
			p.adminURL(t)
		}
	}
	for row := range g.Shown() {
		t.Fatalf("a pod that idles has read %v", row)
	}
	works := beginWith(t, pod(1), run...)
	works.says(t, "this is the pod that works")
	eventually(t, func() error {
		if sent, err := os.ReadFile(g.file("shop-1.ndjson")); len(sent) == 0 {
			return fmt.Errorf("the pod that works has delivered nothing: %v", err)
		}
		return nil
	})
	if v := metric(t, works.adminURL(t), "logferry_idle"); v != 0 {
		t.Errorf("logferry_idle of the pod that works is %v", v)
	}
	for n, p := range idle {
		if p != nil {
			standsBy(t, p, config, filepath.Join(g.dir, fmt.Sprintf("shop-%d", n)), pod(n))
		}
	}
	works.signal(t, syscall.SIGTERM)
	if code := works.wait(t); code != 0 {
		t.Errorf("the pod that works ended with %d", code)
	}
}

// standsBy holds an idle process to all that it has to answer, then ends it.
func standsBy(t *testing.T, p *process, config, state string, pod []string) {
	t.Helper()
	admin := p.adminURL(t)
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		if status, body := get(t, admin+path); status != http.StatusOK {
			t.Errorf("%s of an idle pod: %d %s", path, status, body)
		}
	}
	_, metrics := get(t, admin+"/metrics")
	if metric(t, admin, "logferry_idle") != 1 || !strings.Contains(metrics, "\nlogferry_build_info{") || strings.Contains(metrics, "logferry_journal") {
		t.Errorf("metrics of an idle pod:\n%s", metrics)
	}
	ask := func(args ...string) result {
		q := beginWith(t, pod, append(args, "-c", config)...)
		code := q.wait(t)
		return result{code, q.stdout.String(), q.stderr.String()}
	}
	ask("status").wants(t, 0, "idle since ", "--only-ordinal is 1, and this is "+strings.TrimPrefix(pod[0], "POD_NAME="))
	var st struct{ Idle string }
	if r := ask("status", "--json"); json.Unmarshal([]byte(r.stdout), &st) != nil || st.Idle == "" {
		t.Errorf("status --json: %s", r.stdout)
	}
	ask("verify", "--from", "30m").wants(t, 2, "this process idles")
	if _, err := os.Stat(state + ".ndjson"); err == nil {
		t.Error("an idle pod has delivered")
	}
	p.signal(t, syscall.SIGHUP)
	if status, _ := get(t, admin+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz after SIGHUP: %d", status)
	}
	entries, err := os.ReadDir(state)
	if err != nil || len(entries) != 1 || entries[0].Name() != "control.sock" {
		t.Errorf("the state folder of an idle pod holds %v (%v)", entries, err)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 0 {
		t.Errorf("an idle pod ended with %d\n%s", code, p.stderr.String())
	}
	if entries, err := os.ReadDir(state); err != nil || len(entries) != 0 {
		t.Errorf("an idle pod has left %v (%v)", entries, err)
	}
}

// TestOnlyOrdinalRefused: what cannot be meant ends with 2 before anything runs, whatever pod it is.
func TestOnlyOrdinalRefused(t *testing.T) {
	t.Parallel()
	g := newSettled(t)
	config := g.config(t, "c.yaml", "", g.archive())
	writeFile(t, g.file("bad.yaml"), "sources: 7\n")
	for _, c := range []struct {
		pod  string
		args []string
		says string
	}{
		{"shop", []string{"-c", config, "--only-ordinal", "0"}, `POD_NAME "shop" does not end in a dash and a number`},
		{"shop-5d4f7c9b8-x2k4q", []string{"-c", config, "--only-ordinal", "0"}, "is no pod of a StatefulSet"},
		{"shop-0", []string{"-c", config, "--only-ordinal", "-1"}, "--only-ordinal"},
		{"shop-1", []string{"-c", config, "--only-ordinal", "0", "--once"}, "do not go together"},
		{"shop-1", []string{"-c", g.file("bad.yaml"), "--only-ordinal", "0"}, "sources"},
	} {
		p := beginWith(t, []string{"POD_NAME=" + c.pod}, append([]string{"run"}, c.args...)...)
		code := p.wait(t)
		result{code, p.stdout.String(), p.stderr.String()}.wants(t, 2, c.says)
	}
	for row := range g.Shown() {
		t.Fatalf("it has read %v", row)
	}
}
