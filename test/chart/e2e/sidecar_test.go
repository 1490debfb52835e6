//go:build linux

package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testSidecar: the example of a pod with logferry at its side is accepted, and so are its pods. The example may be manifests, or
// charts, which are rendered as they come.
func testSidecar(t *testing.T) {
	t.Parallel()
	if !exists(sidecar) {
		t.Skip("there is no deploy/sidecar")
	}
	charts, manifests := examples(t)
	for _, dir := range charts {
		t.Run("chart-"+filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			ns := kube.namespace(t, "sidecar-chart-"+strings.ToLower(filepath.Base(dir)))
			kube.example(t, ns, kube.render(t, ns, withDependencies(t, dir), nil))
		})
	}
	for _, file := range manifests {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run("manifest-"+name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			kube.example(t, kube.namespace(t, "sidecar-"+strings.ToLower(name)), objects(t, string(text)))
		})
	}
	if len(charts)+len(manifests) == 0 {
		t.Error("deploy/sidecar holds no example")
	}
}

// example wants all objects to be accepted in a namespace, and logferry in the pods of one of them.
func (c *cluster) example(t *testing.T, namespace string, all []object) {
	t.Helper()
	native := false
	for _, o := range all {
		c.accepted(t, namespace, o)
		if o.text("kind") == "ServiceAccount" { // the pods need it to be there
			c.post(t, c.path(t, namespace, o), o)
		}
		for _, init := range o.at("spec", "template", "spec").list("initContainers") {
			native = native || init.text("restartPolicy") == "Always"
		}
	}
	for _, o := range all {
		c.pods(t, namespace, o)
	}
	if !native {
		t.Error("no pod has a native sidecar: an init container with restartPolicy Always")
	}
}

// examples finds charts, and the manifests that are no part of one.
func examples(t *testing.T) (charts, manifests []string) {
	t.Helper()
	err := filepath.WalkDir(sidecar, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && exists(filepath.Join(path, "Chart.yaml")):
			charts = append(charts, path)
			return filepath.SkipDir
		case !d.IsDir() && filepath.Ext(path) == ".yaml" && !strings.Contains(filepath.Base(path), "values"):
			manifests = append(manifests, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return charts, manifests
}

// withDependencies copies a chart and puts ours into it as helm dependency build would, which writes into the chart's folder.
func withDependencies(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(dir))
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(to, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if own := filepath.Join(to, "charts", "logferry"); strings.Contains(string(text), "dependencies:") && !exists(own) {
		if err := os.CopyFS(own, os.DirFS(chart)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
