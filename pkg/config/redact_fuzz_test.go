package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRedact: whatever the file holds, the walk ends, and what stands under a key for secrets is not shown.
func FuzzRedact(f *testing.F) {
	for _, name := range []string{"minimal.yaml", "splunk.yaml", "kafka.yaml", "http.yaml", "routing.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../configs", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("sinks: [{name: a, splunk: {token: fuzzcanary}}]\n")
	f.Add("a: &b {c: d}\ne: *b\n? [x]\n: y\n- z")
	f.Fuzz(func(t *testing.T, text string) {
		r := &redactor{clean: strings.Clone}
		_ = r.file([]byte(text))
		if out := r.file([]byte("password: fuzzcanary\n" + text)); strings.Contains(out, "password: fuzzcanary") {
			t.Errorf("shown:\n%s", out)
		}
	})
}
