//go:build linux

package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestChart has everything that needs the cluster: its parts run side by side once the definitions are there.
func TestChart(t *testing.T) {
	kube.define(t, filepath.Join(kube.tools, "crds"))
	t.Run("install", testInstall)
	t.Run("upgrade", testUpgrade)
	t.Run("refused", testRefused)
	t.Run("sidecar", testSidecar)
}

// testInstall: what the chart makes of each values file is accepted to the last field, can be installed, and is where it said;
// the pods that would come of it are allowed where only restricted ones are. The same again is an upgrade that changes nothing.
func testInstall(t *testing.T) {
	t.Parallel()
	var seen kinds
	t.Cleanup(func() { seen.complete(t) }) // behind all parts
	for name, files := range valuesFiles(t, false) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := kube.namespace(t, "install-"+strings.ToLower(name))
			all := kube.render(t, ns, chart, files)
			for _, o := range all {
				seen.Store(o.text("kind"), true)
				kube.accepted(t, ns, o)
			}
			args := withValues([]string{release, chart, "--namespace", ns}, files...)
			kube.mustHelm(t, append([]string{"install"}, args...)...)
			before := kube.stored(t, ns, all)
			// Behind the installation, because the pods' service account must be there.
			for _, o := range all {
				kube.pods(t, ns, o)
			}
			kube.mustHelm(t, append([]string{"upgrade"}, args...)...)
			for name, generation := range kube.stored(t, ns, all) {
				if before[name] != generation {
					t.Errorf("%s: an upgrade to the same values restarts its pods: generation %v, was %v", name, generation, before[name])
				}
			}
			t.Logf("%d objects: %v", len(all), all)
		})
	}
}

// kinds are those of the objects that were tried.
type kinds struct{ sync.Map }

// unknown are kinds whose definition is too large to fetch: values that ask for them stand apart, and only their text is checked.
var unknown = []string{"CiliumNetworkPolicy"}

// complete wants each kind that the chart can make to have been tried.
func (k *kinds) complete(t *testing.T) {
	templates, err := filepath.Glob(filepath.Join(chart, "templates", "*.yaml"))
	if err != nil || len(templates) == 0 {
		t.Errorf("the chart has no templates: %v", err)
	}
	for _, file := range templates {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^kind: (\w+)`).FindAllSubmatch(text, -1) {
			kind := string(found[1])
			if _, ok := k.Load(kind); !ok && !slices.Contains(unknown, kind) {
				t.Errorf("no values file makes a %s, which %s can", kind, filepath.Base(file))
			}
		}
	}
}

// stored wants the objects to be there and gives the generations of those that make pods, which grow with each change of what
// they shall be.
func (c *cluster) stored(t *testing.T, namespace string, all []object) map[string]any {
	t.Helper()
	generations := map[string]any{}
	for _, o := range all {
		if _, hook := o.at("metadata", "annotations")["helm.sh/hook"]; hook {
			continue
		}
		r, err := c.do(http.MethodGet, c.path(t, namespace, o)+"/"+o.at("metadata").text("name"), "", nil)
		if err != nil || r.status != http.StatusOK {
			t.Errorf("%s is not there: %d %s %v", o, r.status, r.message(), err)
			continue
		}
		if o.at("spec", "template")["spec"] == nil {
			continue
		}
		generations[o.String()] = objects(t, string(r.body))[0].at("metadata")["generation"]
	}
	return generations
}

// testUpgrade installs what the chart's former release made, then upgrades to this one. What Kubernetes does not allow to be
// changed in a StatefulSet (its selector, its service's name, its claims) would fail here, and at every user's.
func testUpgrade(t *testing.T) {
	t.Parallel()
	former, err := os.ReadFile("testdata/former.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, old, new string
		says           string // "": it is upgraded
	}{
		{name: "from the former release"},
		{"from another service name", "serviceName: demo-logferry", "serviceName: other", "updates to statefulset spec"},
		{"from another claim", "storage: 10Gi", "storage: 11Gi", "updates to statefulset spec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := string(former)
			if c.says != "" {
				text = strings.Replace(text, c.old, c.new, 1)
				if text == string(former) {
					t.Fatalf("testdata/former.yaml has no %q", c.old)
				}
			}
			ns := kube.namespace(t, "upgrade-"+strings.ReplaceAll(c.name, " ", "-"))
			kube.mustHelm(t, "install", release, chartOf(t, text), "--namespace", ns)
			_, said, err := kube.helm(t, withValues([]string{"upgrade", release, chart, "--namespace", ns}, plain()...)...)
			switch {
			case c.says == "" && err != nil:
				t.Errorf("the upgrade fails: %s", said)
			case c.says != "" && (err == nil || !strings.Contains(said, c.says)):
				t.Errorf("the upgrade is not refused with %q, so it would not be seen if ours were: %v %s", c.says, err, said)
			}
		})
	}
}

// chartOf makes a chart that renders to exactly this manifest.
func chartOf(t *testing.T, manifest string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "templates"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "Chart.yaml"), "apiVersion: v2\nname: logferry\nversion: 0.0.1\n")
	writeFile(t, filepath.Join(dir, "manifest.txt"), manifest)
	writeFile(t, filepath.Join(dir, "templates", "all.yaml"), "{{ .Files.Get \"manifest.txt\" }}\n")
	return dir
}

// testRefused: bad values come to nothing, whoever has to notice: those of ../values, and one of each kind from here.
func testRefused(t *testing.T) {
	t.Parallel()
	for name, files := range valuesFiles(t, true) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by, said := kube.refused(t, kube.namespace(t, "refused-"+name), chart, files...)
			t.Logf("refused by %s: %s", by, short(said))
		})
	}
	for _, c := range []struct {
		name string
		by   []refusal
		says string
	}{
		{"unknown-key", []refusal{bySchema}, "replicaz"},
		{"small-claim", []refusal{byTemplate, bySchema}, "persistence"},
		{"limit-below-request", []refusal{byServer}, "must be less than or equal to memory limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if !slices.Contains(c.by, byServer) && !exists(filepath.Join(chart, "values.schema.json")) {
				t.Skip("the chart has no values.schema.json")
			}
			by, said := kube.refused(t, kube.namespace(t, "refused-"+c.name), chart, append(plain(), filepath.Join("testdata", c.name+".yaml"))...)
			if !slices.Contains(c.by, by) || !strings.Contains(said, c.says) {
				t.Errorf("refused by %s, want %s with %q: %s", by, c.by, c.says, said)
			}
		})
	}
}

func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), 300)]
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
