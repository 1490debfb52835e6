// Package chart holds the Helm chart, and the example of a chart that has logferry as a sidecar, against what they are to render.
package chart

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

const (
	helmVersion = "v3.22.0"
	chartDir    = "../../deploy/helm/logferry"
	sidecarDir  = "../../deploy/sidecar/collector"
	kubeVersion = "1.36.0" // what is rendered for
)

var update = flag.Bool("update", false, "write the goldens and the configuration's part of values.schema.json anew")

// build gives the path of Helm, which it builds once into the cache that the test receivers have.
var build = sync.OnceValues(func() (string, error) {
	base := os.Getenv("LOGFERRY_PEERS")
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		base = cache
	}
	bin := filepath.Join(base, "logferry-peers", "bin")
	helm := filepath.Join(bin, "helm-"+helmVersion)
	if _, err := os.Stat(helm); err == nil {
		return helm, nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	stage, err := os.MkdirTemp(bin, "stage")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(stage)
	install := exec.Command("go", "install", "-trimpath", "helm.sh/helm/v3/cmd/helm@"+helmVersion)
	install.Env = append(os.Environ(), "GOBIN="+stage, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build helm: %w: %s", err, bytes.TrimSpace(out))
	}
	// By rename: whoever looks at the same time finds all of it or nothing.
	return helm, os.Rename(filepath.Join(stage, "helm"), helm)
})

// helm runs Helm apart from the user's settings and clusters.
func helm(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	path, err := build()
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("Helm cannot be had: %v", err)
	}
	readInputs(t)
	home := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"HOME=" + home, "HELM_CACHE_HOME=" + home, "HELM_CONFIG_HOME=" + home, "HELM_DATA_HOME=" + home, "KUBECONFIG=" + filepath.Join(home, "none")}
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("helm %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), bad.String())
	}
	return out.String(), nil
}

// readInputs reads all that Helm is going to read: go test reuses an old result unless a file has changed that the test itself
// has opened.
var inputs sync.Once

func readInputs(t *testing.T) {
	t.Helper()
	inputs.Do(func() {
		for _, dir := range []string{chartDir, filepath.Dir(sidecarDir), "values"} {
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					_, err = os.ReadFile(path)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// template renders the chart as release demo in namespace soc.
func template(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return templateOf(t, chartDir, "demo", args...)
}

func templateOf(t *testing.T, chart, release string, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", release, chart, "--namespace", "soc", "--kube-version", kubeVersion}, args...)...)
}

// render is template for values that are to be taken.
func render(t *testing.T, args ...string) []object {
	t.Helper()
	text, err := template(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

// object is what every Kubernetes object has, and the parts of the kinds that are looked into.
type object struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name        string            `yaml:"name"`
		Annotations map[string]string `yaml:"annotations"`
		Labels      map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Data                         map[string]string `yaml:"data"`
	AutomountServiceAccountToken *bool             `yaml:"automountServiceAccountToken"`
	Spec                         map[string]any    `yaml:"spec"`

	workload workload
}

func decode(t *testing.T, text string) []object {
	t.Helper()
	var all []object
	for dec := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o object
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("decode the render: %v\n%s", err, text)
		}
		if o.Kind == "StatefulSet" {
			convert(t, o.Spec, &o.workload)
		}
		all = append(all, o)
	}
}

// convert reads a part of an object again, as a type.
func convert(t *testing.T, from, to any) {
	t.Helper()
	text, err := yaml.Marshal(from)
	if err == nil {
		err = yaml.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// only gives the one object of a kind.
func only(t *testing.T, all []object, kind string) object {
	t.Helper()
	var found []object
	for _, o := range all {
		if o.Kind == kind {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the render has %d of kind %s, want one", len(found), kind)
	}
	return found[0]
}

// withSidecar gives a copy of the example chart with its dependency, fetched as a user would.
func withSidecar(t *testing.T) string {
	t.Helper()
	deploy := t.TempDir()
	example := filepath.Join(deploy, "sidecar", "collector")
	for from, to := range map[string]string{chartDir: filepath.Join(deploy, "helm", "logferry"), sidecarDir: example} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(example, "charts")); err != nil {
		t.Fatal(err)
	}
	if _, err := helm(t, "dependency", "update", example); err != nil {
		t.Fatal(err)
	}
	return example
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write puts text into a file of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
