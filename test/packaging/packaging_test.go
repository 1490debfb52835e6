// Package packaging holds what is shipped beside the binary against the binary: every configuration that a user may copy must
// be accepted, and every file that a build or a chart names must be there.
package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

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

// values are the parts of values.yaml that the configuration and its secrets come from.
type values struct {
	Config  map[string]any `yaml:"config"`
	Secrets []struct {
		Name      string `yaml:"name"`
		MountPath string `yaml:"mountPath"`
	} `yaml:"secrets"`
}

func chartValues(t *testing.T) values {
	t.Helper()
	var v values
	if err := yaml.Unmarshal([]byte(read(t, "deploy/helm/logferry/values.yaml")), &v); err != nil {
		t.Fatalf("values.yaml: %v", err)
	}
	return v
}

func TestChartConfigIsAccepted(t *testing.T) {
	text, err := yaml.Marshal(chartValues(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	cfg := accept(t, "values.yaml", string(text)+"admin: {listen: 0.0.0.0:9797}\nstate: {dir: /var/lib/logferry}\n")
	if len(cfg.Sources) == 0 || len(cfg.Sinks) == 0 {
		t.Errorf("config has %d sources and %d sinks, want an example of each", len(cfg.Sources), len(cfg.Sinks))
	}
}

// TestChartMountsTheSecretsThatItsConfigNames keeps the example in values.yaml whole.
func TestChartMountsTheSecretsThatItsConfigNames(t *testing.T) {
	v := chartValues(t)
	cfg := v.Config
	text, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile(`_file: (\S+)`).FindAllStringSubmatch(string(text), -1)
	if len(files) == 0 {
		t.Fatal("config names no secret file")
	}
	for _, m := range files {
		dir := filepath.Dir(m[1])
		mounted := false
		for _, s := range v.Secrets {
			mounted = mounted || s.MountPath == dir && s.Name != ""
		}
		if !mounted {
			t.Errorf("config names %s, and no entry of secrets is mounted at %s", m[1], dir)
		}
	}
}

var valuePath = regexp.MustCompile(`\.Values\.([A-Za-z.]+)`)

// TestChartTemplatesUseWhatValuesHas finds misspelt values without rendering: Helm renders an unknown one as nothing.
func TestChartTemplatesUseWhatValuesHas(t *testing.T) {
	var all map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "deploy/helm/logferry/values.yaml")), &all); err != nil {
		t.Fatalf("values.yaml: %v", err)
	}
	used := map[string]bool{}
	for _, file := range glob(t, "deploy/helm/logferry/templates/*") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "{{") != strings.Count(string(text), "}}") {
			t.Errorf("%s has an action without its end", filepath.Base(file))
		}
		for _, m := range valuePath.FindAllStringSubmatch(string(text), -1) {
			at := any(all)
			for key := range strings.SplitSeq(m[1], ".") {
				block, _ := at.(map[string]any)
				value, ok := block[key]
				if !ok {
					t.Errorf("%s uses .Values.%s, which values.yaml does not have", filepath.Base(file), m[1])
				}
				at = value
			}
			key, _, _ := strings.Cut(m[1], ".")
			used[key] = true
		}
	}
	for key := range all {
		if !used[key] {
			t.Errorf("values.yaml has %s, which no template uses", key)
		}
	}
}

// TestChartMeetsTheRestrictedStandard looks for what a namespace that enforces the restricted Pod Security Standard asks for.
// Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
func TestChartMeetsTheRestrictedStandard(t *testing.T) {
	pod := read(t, "deploy/helm/logferry/templates/statefulset.yaml")
	for _, line := range []string{
		"runAsNonRoot: true", "allowPrivilegeEscalation: false", "readOnlyRootFilesystem: true", "drop: [ALL]", "type: RuntimeDefault",
		"replicas: 1", "path: /livez", "path: /readyz", "checksum/config:",
	} {
		if !strings.Contains(pod, line) {
			t.Errorf("statefulset.yaml lacks %q", line)
		}
	}
}

func TestDockerfileCopiesWhatTheBuildNeeds(t *testing.T) {
	file := read(t, "Dockerfile")
	for _, line := range []string{"CGO_ENABLED=0", "-trimpath", "-X main.version=$VERSION", "FROM scratch", "ca-certificates.crt", "USER 65532:65532", `ENTRYPOINT ["/logferry"]`} {
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
	if goVersion == nil || !strings.Contains(file, "golang:"+goVersion[1]) {
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
