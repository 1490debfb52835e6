package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSchemaCommand: it prints what lies in configs.
func TestSchemaCommand(t *testing.T) {
	for _, c := range []struct {
		file string
		args []string
	}{{"logferry.schema.json", []string{"schema"}}, {"reference.yaml", []string{"schema", "--yaml"}}} {
		want, err := os.ReadFile(filepath.Join("../../configs", c.file))
		if err != nil {
			t.Fatal(err)
		}
		if code, out, errs := logferry(t.Context(), c.args...); code != 0 || out != string(want) || errs != "" {
			t.Errorf("%q: exit %d, %d bytes, want the %d of %s: %s", c.args, code, len(out), len(want), c.file, errs)
		}
	}
	if code, _, _ := logferry(t.Context(), "schema", "x"); code != 2 {
		t.Errorf("an argument: exit %d", code)
	}
}

// TestCheckTakesTheConfigs: check finds nothing in the configurations that are there to be copied.
func TestCheckTakesTheConfigs(t *testing.T) {
	files, err := filepath.Glob("../../configs/*")
	if err != nil || len(files) < 12 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".json" {
			continue
		}
		code, out, errs := logferry(t.Context(), "check", "-c", file)
		if code != 0 || !strings.HasSuffix(out, "the configuration is valid\n") || errs != "" {
			t.Errorf("%s: exit %d: %s%s", file, code, out, errs)
		}
	}
}
