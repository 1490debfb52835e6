//go:build linux

package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Where the repository keeps what is under test.
const (
	chart   = "../../../deploy/helm/logferry"
	values  = "../values"
	sidecar = "../../../deploy/sidecar"
)

// release is the name under which the chart is installed, in each case's own namespace.
const release = "demo"

// helm runs it against the cluster and gives what it printed on stdout, and on stderr.
func (c *cluster) helm(t *testing.T, args ...string) (out, said string, err error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(c.tools, "helm"), args...)
	home := filepath.Join(c.dir, "helm")
	// Helm reads more than twenty HELM_ variables; none of whoever runs this may count.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HELM_") })
	cmd.Env = append(cmd.Env, "KUBECONFIG="+c.kubeconfig, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// mustHelm wants it to do so without an error and without a word of warning.
func (c *cluster) mustHelm(t *testing.T, args ...string) (out string) {
	t.Helper()
	out, said, err := c.helm(t, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	if strings.TrimSpace(said) != "" {
		t.Errorf("helm %s warns: %s", strings.Join(args, " "), said)
	}
	return out
}

func withValues(args []string, files ...string) []string {
	for _, f := range files {
		args = append(args, "--values", f)
	}
	return args
}

// plain is the least that the chart can be installed with: none where what it comes with is enough.
func plain() []string {
	if f := filepath.Join(values, "default.yaml"); exists(f) {
		return []string{f}
	}
	return nil
}

// refusal is who says no.
type refusal string

const (
	bySchema   refusal = "the chart's schema"
	byTemplate refusal = "the chart's templates"
	byServer   refusal = "the API server"
)

// refused wants an installation to fail, and gives who has refused it with which words.
func (c *cluster) refused(t *testing.T, namespace, chart string, files ...string) (by refusal, said string) {
	t.Helper()
	_, said, err := c.helm(t, withValues([]string{"install", release, chart, "--namespace", namespace}, files...)...)
	switch {
	case err == nil:
		t.Fatalf("%s is installed, and must not be", files)
	case strings.Contains(said, "specifications of the schema"):
		return bySchema, said
	case strings.Contains(said, "execution error at"), strings.Contains(said, "error calling fail"):
		return byTemplate, said
	case strings.Contains(said, "is invalid"), strings.Contains(said, "is forbidden"), strings.Contains(said, "admission"), strings.Contains(said, "denied"):
		return byServer, said
	}
	t.Fatalf("%s fails, but not because of what it says: %s", files, said)
	return "", ""
}

// valuesFiles gives the values files of ../values by their names; the bad ones or the good ones. Of a chart that has none there is
// one case, "chart": what it comes with.
func valuesFiles(t *testing.T, bad bool) map[string][]string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(values, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]string{}
	for _, f := range found {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		if strings.HasPrefix(name, "bad-") == bad {
			files[name] = []string{f}
		}
	}
	if len(found) == 0 && !bad {
		files["chart"] = nil
	}
	return files
}

// render gives the chart's objects for these values, as they would be sent to this cluster.
func (c *cluster) render(t *testing.T, namespace, chart string, files []string) []object {
	t.Helper()
	args := withValues([]string{"template", release, chart, "--namespace", namespace, "--validate"}, files...)
	return objects(t, c.mustHelm(t, args...))
}
