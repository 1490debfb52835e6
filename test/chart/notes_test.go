package chart

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// notes renders NOTES.txt, which `helm template` leaves out.
func notes(t *testing.T, args ...string) string {
	t.Helper()
	chart := t.TempDir()
	if err := os.CopyFS(chart, os.DirFS(chartDir)); err != nil {
		t.Fatal(err)
	}
	wrapped := "kind: Notes\ndata:\n  text: |\n{{ include (print $.Template.BasePath \"/NOTES.txt\") . | indent 4 }}\n"
	if err := os.WriteFile(filepath.Join(chart, "templates", "wrapped.yaml"), []byte(wrapped), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := templateOf(t, chart, "demo", args...)
	if err != nil {
		t.Fatal(err)
	}
	return only(t, decode(t, text), "Notes").Data["text"]
}

func TestNotes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args            []string
		says, saysNever []string
	}{
		{
			[]string{"-f", "values/default.yaml"},
			[]string{"check -c /etc/logferry --connect", "status -c /etc/logferry", "demo-logferry-0", "claim state-demo-logferry-0", "podMonitor.enabled"},
			[]string{"WARNING", "network policy", "sidecar"},
		},
		{
			[]string{"-f", "values/full.yaml"},
			[]string{
				"WARNING", "config.sinks[3].http.secret_headers.X-Key: /run/secrets/collector/key", "config.sinks[3].http.oauth2.client_secret_file: /run/secrets/collector/secret",
				"port 9898", "taken by the running process", "kafka-1.example.com 9093",
			},
			[]string{"token_file:", "ca_file:", "certificate_file:", "podMonitor.enabled"},
		},
		{
			[]string{"-f", "values/sidecar.yaml"},
			[]string{"ConfigMap demo-logferry", "ordinal 0", "-c logferry -- /logferry status"},
			[]string{"rollout", "claim state-", "WARNING"},
		},
		{[]string{"-f", "values/projected.yaml"}, nil, []string{"WARNING"}},
	} {
		text := notes(t, c.args...)
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%q: the notes do not say %q:\n%s", c.args, want, text)
			}
		}
		for _, never := range c.saysNever {
			if strings.Contains(text, never) {
				t.Errorf("%q: the notes say %q:\n%s", c.args, never, text)
			}
		}
	}
}

var valuesBlock = regexp.MustCompile("(?ms)^```yaml values\n(.*?)^```$")

// TestDocumentedValues renders each block of values in the documents over the least that the chart takes.
func TestDocumentedValues(t *testing.T) {
	blocks := valuesBlock.FindAllStringSubmatch(read(t, "../../docs/kubernetes.md"), -1)
	if len(blocks) < 3 {
		t.Fatalf("docs/kubernetes.md has %d blocks of values, want 3", len(blocks))
	}
	for _, b := range blocks {
		if _, err := template(t, "-f", "values/default.yaml", "-f", write(t, b[1])); err != nil {
			t.Errorf("%v\n%s", err, b[1])
		}
	}
}
