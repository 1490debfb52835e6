// Package packaging holds what is shipped beside the binary against the binary: every configuration that a user may copy must
// be accepted, and every file that a build names must be there.
package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/normalizer"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	return files
}

// accept fails unless logferry takes text as a whole configuration.
func accept(t *testing.T, name, text string) *config.Config {
	t.Helper()
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(name, []byte(text), n)
	if err != nil {
		t.Fatalf("not a valid configuration:\n%v", err)
	}
	return cfg
}

func TestConfigsAreAccepted(t *testing.T) {
	for _, file := range glob(t, "configs/*.yaml") {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) { accept(t, name, read(t, "configs/"+name)) })
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// TestDocumentedConfigsAreAccepted checks the YAML blocks of the README and of docs. A block without sources or without sinks
// is a part: it is completed with the missing half of configs/minimal.yaml.
func TestDocumentedConfigsAreAccepted(t *testing.T) {
	halves := strings.SplitAfter(read(t, "configs/minimal.yaml"), "\nsinks:\n")
	if len(halves) != 2 {
		t.Fatal("configs/minimal.yaml has no sinks block that follows its sources")
	}
	sources, sinks := strings.TrimSuffix(halves[0], "sinks:\n"), "sinks:\n"+halves[1]
	for _, line := range strings.SplitAfter(halves[0], "\n") {
		if strings.HasPrefix(line, "state:") {
			sources = strings.Replace(sources, line, "", 1)
		}
	}
	blocks := 0
	for _, file := range append(glob(t, "docs/*.md"), filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			block := m[1]
			if hasKey(block, "auth") || hasKey(block, "entra") {
				continue // a part of a source: package config checks those of docs/auth.md
			}
			if !hasKey(block, "sources") {
				block = sources + block
			}
			if !hasKey(block, "sinks") {
				block += sinks
			}
			blocks++
			accept(t, filepath.Base(file), block)
		}
	}
	if blocks == 0 {
		t.Error("no YAML block was found: the README has some")
	}
}

func hasKey(text, key string) bool { return regexp.MustCompile(`(?m)^` + key + `:`).MatchString(text) }

func TestDockerfileCopiesWhatTheBuildNeeds(t *testing.T) {
	file := read(t, "Dockerfile")
	for _, line := range []string{"GOOS=$TARGETOS GOARCH=$TARGETARCH deploy/image/rootfs.sh /rootfs", "FROM scratch", "USER 65532:65532", `ENTRYPOINT ["/logferry"]`} {
		if !strings.Contains(file, line) {
			t.Errorf("Dockerfile lacks %q", line)
		}
	}
	allowed := strings.Fields(read(t, ".dockerignore"))
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`).FindAllStringSubmatch(file, -1) {
		for path := range strings.FieldsSeq(m[1]) {
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("Dockerfile copies %s: %v", path, err)
			}
			if !slices.Contains(allowed, "!"+path) {
				t.Errorf("Dockerfile copies %s, which .dockerignore keeps from the builder", path)
			}
		}
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if goVersion == nil || !strings.Contains(file, "ARG GO="+goVersion[1]+"\n") {
		t.Errorf("Dockerfile does not build with the Go of go.mod, %v", goVersion)
	}
}

// TestLinksLeadSomewhere follows the relative links of the documents.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, file := range append(glob(t, "*.md"), glob(t, "docs/*.md")...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", filepath.Base(file), m[1], err)
			}
		}
	}
}
