package chart

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/normalizer"
)

// good gives the values files that the chart is to take.
func good(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"values/*.yaml", "values/nocluster/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	files = slices.DeleteFunc(files, isBad)
	if len(files) < 5 {
		t.Fatalf("there are %d good values files, want 5", len(files))
	}
	return files
}

func isBad(file string) bool { return strings.HasPrefix(filepath.Base(file), "bad-") }

// TestGolden holds each render against the one that somebody has looked at, and asks Helm's linter.
func TestGolden(t *testing.T) {
	for _, file := range good(t) {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := helm(t, "lint", "--strict", chartDir, "-f", file); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			text, err := template(t, "-f", file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("golden", name), withoutAlerts(t, text))
		})
	}
}

// TestSidecarGolden does the same for the example of a sidecar. Its render is for those, too, who do not use Helm.
func TestSidecarGolden(t *testing.T) {
	t.Parallel()
	chart := withSidecar(t)
	if out, err := helm(t, "lint", "--strict", chart); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := templateOf(t, chart, "collector")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Dir(sidecarDir)+"/collector.yaml", "# Rendered from the chart beside it, as release collector.\n"+text)
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(strings.Split(read(t, path), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the render is not %s (-update renews it):\n%s", path, diff)
	}
}

// withoutAlerts leaves out the alerts, which TestAlerts looks at: a golden need not change with each of their words.
func withoutAlerts(t *testing.T, text string) string {
	t.Helper()
	return strings.ReplaceAll(text, indented(read(t, chartDir+"/files/alerts.yaml")), "  # as in files/alerts.yaml\n")
}

func indented(text string) string {
	lines := strings.SplitAfter(strings.TrimRight(text, "\n")+"\n", "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "")
}

// TestConfigsAreAccepted hands to logferry what the ConfigMaps hold, with the variables that the pod has.
func TestConfigsAreAccepted(t *testing.T) {
	schemas, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range good(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			all := render(t, "-f", file)
			for _, o := range all {
				for _, c := range o.workload.Template.Spec.Containers {
					for _, env := range c.Env {
						t.Setenv(env.Name, env.Value)
					}
				}
				if o.workload.Template.Metadata.Labels["azure.workload.identity/use"] == "true" { // what the webhook adds
					t.Setenv("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000000")
					t.Setenv("AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111")
					t.Setenv("AZURE_FEDERATED_TOKEN_FILE", tokenFile)
				}
			}
			cfg, err := config.Parse("logferry.yaml", []byte(only(t, all, "ConfigMap").Data["logferry.yaml"]), schemas)
			if err != nil {
				t.Fatalf("logferry does not take its configuration:\n%v", err)
			}
			if cfg.State.Dir != statePath || !strings.HasPrefix(cfg.Admin.Listen, ":") {
				t.Errorf("state is in %s and the probes at %s: want %s and a port of all addresses", cfg.State.Dir, cfg.Admin.Listen, statePath)
			}
		})
	}
}

// TestFilesAsValues: what stands in a configuration file means the same below config, but for octal numbers, which need quotes there.
func TestFilesAsValues(t *testing.T) {
	schemas, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, file := range files {
		text := read(t, file)
		if !strings.Contains(text, "dir: "+statePath) {
			continue
		}
		tried++
		want, err := config.Parse("file", []byte(text), schemas)
		if err != nil {
			t.Fatal(err)
		}
		values := "persistence: {size: 1Ti}\nconfig:\n" + indented(octal.ReplaceAllString(text, `mode: "$1"`))
		got, err := config.Parse("values", []byte(only(t, render(t, "-f", write(t, values)), "ConfigMap").Data["logferry.yaml"]), schemas)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want.Admin = got.Admin
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s means something else below config:\n%s", file, cmp.Diff(want.Sinks, got.Sinks))
		}
	}
	if tried < 5 {
		t.Errorf("%d files were tried, want 5", tried)
	}
}

var octal = regexp.MustCompile(`mode: (0[0-7]+)`)

// TestAlerts: the PrometheusRule holds the file of alerts as it is.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, err := template(t, "-f", "values/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := read(t, chartDir+"/files/alerts.yaml")
	if strings.Count(text, "\nspec:\n"+indented(alerts)) != 1 {
		t.Error("the render has no rule with the text of files/alerts.yaml")
	}
	var file map[string]any
	convert(t, only(t, decode(t, text), "PrometheusRule").Spec, &file)
	if groups, _ := file["groups"].([]any); len(file) != 1 || len(groups) == 0 {
		t.Errorf("the rule has %v: want groups alone", file)
	}
}

// TestRestart: a changed configuration changes the pod unless the running process is to take it.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, restart := range []string{"true", "false"} {
		pod := func(level string) workload {
			args := []string{"-f", "values/default.yaml", "--set", "podAnnotations.a=b,restartOnConfigChange=" + restart + ",config.log.level=" + level}
			return only(t, render(t, args...), "StatefulSet").workload
		}
		if changed := !cmp.Equal(pod("info"), pod("debug")); changed != (restart == "true") {
			t.Errorf("restartOnConfigChange %s: the pod's template changes with the configuration: %v", restart, changed)
		}
	}
}
