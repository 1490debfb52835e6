package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestExitCodes: 0 done, 1 failed, 2 wrong usage or configuration. 3, not everything delivered, is wanted by other tests.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{})
	config := g.config(t, "c.yaml", "", "name: files\nfile: {path: "+g.file("out.ndjson")+"}")
	taken := g.config(t, "taken.yaml", "admin: {listen: "+strings.TrimPrefix(g.url, "http://")+"}", "name: files\nfile: {path: "+g.file("out.ndjson")+"}")
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no command", nil, 0, "Usage:"},
		{"help", []string{"run", "--help"}, 0, "--once"},
		{"version", []string{"version"}, 0, "logferry "},
		{"unknown command", []string{"fly"}, 2, "fly"},
		{"unknown command of a command", []string{"dlq", "fly"}, 2, "fly"},
		{"unknown flag", []string{"run", "--fast"}, 2, "--fast"},
		{"bad value of a flag", []string{"run", "-c", config, "--once", "--patience", "soon"}, 2, "soon"},
		{"an argument too many", []string{"check", config}, 2, config},
		{"no configuration", []string{"run"}, 2, "-c"},
		{"no such file", []string{"check", "-c", g.file("nowhere.yaml")}, 2, "nowhere.yaml"},
		{"status without state", []string{"status", "-c", config}, 2, "there is no state yet"},
		{"dlq without state", []string{"dlq", "list", "-c", config}, 2, "there is no state yet"},
		{"bad rate", []string{"demo", "--rate", "fast"}, 2, "10/s"},
		{"check", []string{"check", "-c", config}, 0, "the configuration is valid"},
		{"check by its other name", []string{"validate", "-c", config}, 0, "the configuration is valid"},
		{"address in use", []string{"run", "--once", "-c", taken}, 2, "admin.listen"},
		{"summary cannot be written", []string{"run", "--once", "-c", config, "--summary", g.file("no/folder/s.json")}, 1, "write summary"},
		{"done", []string{"run", "--once", "-c", config}, 0, `"complete":true`},
	} {
		t.Run(tt.name, func(t *testing.T) { logferry(t, tt.args...).wants(t, tt.code, tt.says) })
	}
}

// TestShippedConfigurations: what users start from is valid, and checking reads no secret and sends nothing.
func TestShippedConfigurations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no configuration", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { logferry(t, "check", "-c", file).wants(t, 0, "the configuration is valid") })
	}
}

// TestBrokenConfigurations: each fault is named with its line and a way out, before anything is touched.
func TestBrokenConfigurations(t *testing.T) {
	t.Parallel()
	const good = `state: {dir: STATE}
sources:
  - name: contoso
    entra:
      tenant: contoso.onmicrosoft.com
      auth: {client_id: app, client_secret_file: ./secret}
sinks:
  - name: archive
    file: {path: ./out.ndjson}
`
	for _, tt := range []struct {
		name, old, new string
		says           []string
	}{
		{"no YAML", "sinks:", "sinks: [", []string{"c.yaml:", "not YAML"}},
		{"a tab", "  - name: archive", "\t- name: archive", []string{"c.yaml:", "not YAML"}},
		{"empty", good, "", []string{"sources", "sinks"}},
		{"unknown key", "      tenant:", "      tennant: x\n      tenant:", []string{"c.yaml:5:7", "tennant"}},
		{"a key twice", "      tenant:", "      tenant: x\n      tenant:", []string{"c.yaml:6", "tenant"}},
		{"wrong type", "name: archive", "name: [archive]", []string{"c.yaml:8", "name"}},
		{"two auth ways", "client_secret_file: ./secret}", "client_secret_file: ./secret, certificate_file: ./cert.pem}", []string{"c.yaml:6", "certificate_file"}},
		{"secret in clear", "client_secret_file: ./secret", "client_secret: hunter2-hunter2", []string{"c.yaml:6", "client_secret_file", "refused"}},
		{"no auth", "      auth: {client_id: app, client_secret_file: ./secret}\n", "", []string{"client_id"}},
		{"no secret", ", client_secret_file: ./secret", "", []string{"client_secret_file", "missing"}},
		{"no such stream", "      auth:", "      streams: [signin]\n      auth:", []string{"signin", "c.yaml:6"}},
		{"two receivers in a sink", "    file:", "    stdout: {}\n    file:", []string{"exactly one receiver"}},
		{"no receiver in a sink", "    file: {path: ./out.ndjson}\n", "", []string{"says not where to send"}},
		{"a name twice", "sinks:\n", "sinks:\n  - {name: archive, stdout: {}}\n", []string{"archive", "twice"}},
		{"unknown schema", "    file:", "    schema: ecks\n    file:", []string{"ecks", "ecs"}},
		{"bad duration", "      auth:", "      poll: 5 parsecs\n      auth:", []string{"parsecs", "c.yaml:6"}},
		{"plain http to another machine", "      auth:", "      login_url: http://login.example.com\n      graph_url: https://graph.example.com\n      auth:", []string{"login_url", "https"}},
		{"a secret in a URL", "    file: {path: ./out.ndjson}", "    splunk: {endpoints: [\"https://u:hunter2-hunter2@splunk.example.com\"], token_file: t}", []string{"endpoints"}},
		{"unset variable", "tenant: contoso.onmicrosoft.com", "tenant: ${env:LOGFERRY_UNSET_VARIABLE}", []string{"LOGFERRY_UNSET_VARIABLE"}},
		{"three faults at once", "      tenant: contoso.onmicrosoft.com\n", "      poll: 1ms\n", []string{"(3 found)", "tenant", "poll", "lookback"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(good, tt.old) {
				t.Fatal("the test's own text does not hold what is to be replaced")
			}
			dir := t.TempDir()
			text := strings.Replace(good, tt.old, tt.new, 1)
			if strings.Contains(tt.name, "three") {
				text = strings.Replace(text, "poll: 1ms", "poll: 1ms\n      lookback: 1s", 1)
			}
			config, state := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "state")
			writeFile(t, config, strings.Replace(text, "STATE", state, 1))
			for _, command := range [][]string{{"check"}, {"run", "--once"}} {
				r := logferry(t, append(command, "-c", config)...)
				r.wants(t, 2, tt.says...)
				if r.stdout != "" || strings.Contains(r.stderr, "hunter2") {
					t.Errorf("stdout %q, stderr %q: errors belong to stderr, and without secrets", r.stdout, r.stderr)
				}
			}
			if _, err := os.Stat(state); !os.IsNotExist(err) {
				t.Errorf("the state folder was touched: %v", err)
			}
		})
	}
}
