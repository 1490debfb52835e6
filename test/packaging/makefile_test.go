package packaging

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	phony  = regexp.MustCompile(`(?m)^\.PHONY: (.*)$`)
	target = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):([^=].*)?$`)
	// What documents tell people to type: in a code span, or as a line of a block.
	asked = regexp.MustCompile("(?m)(?:`|^(?: {4,}|\t|\\$ ?)?|&& )make ([a-z][a-z0-9-]*)(?:[ `;]|$)")
)

// TestMakeHelp: what `make` prints has one line for each target, and all that is asked for is there.
func TestMakeHelp(t *testing.T) {
	text := read(t, "Makefile")
	declared := strings.Fields(phony.FindStringSubmatch(text)[1])
	var defined []string
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		defined = append(defined, m[1])
	}
	help := exec.Command("make", "-s", "--no-print-directory")
	help.Dir = root
	out, err := help.Output()
	if err != nil {
		t.Fatalf("make: %v", err)
	}
	for _, name := range declared {
		if n := len(regexp.MustCompile(`(?m)^  make `+name+` +\S.{10}`).FindAll(out, -1)); n != 1 {
			t.Errorf("make help has %d lines for %s: write `%[2]s: ## what it does` in the Makefile", n, name)
		}
		if !slices.Contains(defined, name) {
			t.Errorf("%s is in .PHONY and no target", name)
		}
	}
	for _, name := range defined {
		if !slices.Contains(declared, name) {
			t.Errorf("target %s is not in .PHONY", name)
		}
	}
	for _, name := range []string{"help", "bench", "fuzz", "kill", "chaos", "conservation", "mutants", "vuln", "image", "image-test", "sbom", "licences"} {
		if !slices.Contains(declared, name) {
			t.Errorf("there is no target %s", name)
		}
	}
	for line := range strings.Lines(string(out)) {
		if len(line) > 130 {
			t.Errorf("%d characters are too long for a line of help: %s", len(line), line)
		}
	}
}

// TestDocumentedTargets: each `make x` that a document names is there.
func TestDocumentedTargets(t *testing.T) {
	text, found := read(t, "Makefile"), 0
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		targets[m[1]] = true
	}
	files := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".ci/run", "Dockerfile", "deploy/helm/logferry/values.yaml"}
	for _, pattern := range []string{"docs/*.md", "deploy/*/*.md", "test/*/*.md", "configs/*.yaml"} {
		for _, path := range glob(t, pattern) {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, name)
		}
	}
	for _, file := range files {
		for _, m := range asked.FindAllStringSubmatch(read(t, file), -1) {
			found++
			if !targets[m[1]] {
				t.Errorf("%s names make %s, which is no target", file, m[1])
			}
		}
	}
	if found < 15 {
		t.Errorf("%d mentions of make were found: README and CONTRIBUTING have more", found)
	}
}
