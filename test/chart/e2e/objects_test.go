//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// object is a Kubernetes object as it stands in a manifest.
type object map[string]any

// at gives what stands under a path of keys; an empty object where nothing does.
func (o object) at(path ...string) object {
	for _, key := range path {
		next, _ := o[key].(map[string]any)
		o = next
	}
	if o == nil {
		o = object{}
	}
	return o
}

func (o object) text(key string) string {
	s, _ := o[key].(string)
	return s
}

// list gives the objects of a list.
func (o object) list(key string) (all []object) {
	items, _ := o[key].([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func (o object) String() string { return o.text("kind") + " " + o.at("metadata").text("name") }

// clone is a copy that shares nothing.
func (o object) clone(t *testing.T) (other object) {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &other)
	}
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// objects reads a manifest.
func objects(t *testing.T, manifest string) (all []object) {
	t.Helper()
	for _, text := range strings.Split("\n"+manifest, "\n---") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(text), &o); err != nil {
			t.Fatalf("the manifest is no YAML: %v\n%s", err, text)
		}
		if o == nil {
			continue // comments only
		}
		if o.text("kind") == "List" {
			all = append(all, o.list("items")...)
			continue
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		t.Fatal("the manifest holds no object")
	}
	return all
}

// resource is one kind of objects as the API server offers it.
type resource struct {
	Name       string
	Kind       string
	Namespaced bool
}

// path is where objects of o's kind are made.
func (c *cluster) path(t *testing.T, namespace string, o object) string {
	t.Helper()
	version := o.text("apiVersion")
	base := "/apis/" + version
	if !strings.Contains(version, "/") {
		base = "/api/" + version
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resources[version] == nil {
		r, err := c.do(http.MethodGet, base, "", nil)
		var list struct{ Resources []resource }
		if err == nil && r.status == http.StatusOK {
			err = json.Unmarshal(r.body, &list)
		}
		if err != nil || r.status != http.StatusOK {
			t.Fatalf("%s: the API server does not know %s: %d %v", o, version, r.status, err)
		}
		c.resources[version] = list.Resources
	}
	for _, r := range c.resources[version] {
		if r.Kind == o.text("kind") && !strings.Contains(r.Name, "/") {
			if r.Namespaced {
				base += "/namespaces/" + namespace
			}
			return base + "/" + r.Name
		}
	}
	t.Fatalf("%s: the API server knows no such kind in %s", o, version)
	return ""
}

// dry asks the API server to make an object, to the last check and without keeping it. A field that it does not know is an error.
func (c *cluster) dry(t *testing.T, namespace string, o object) reply {
	t.Helper()
	return c.post(t, c.path(t, namespace, o)+"?dryRun=All&fieldValidation=Strict", o)
}

func (c *cluster) post(t *testing.T, path string, o object) reply {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.do(http.MethodPost, path, "application/json", text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// accepted wants an object to be one that the API server takes without a warning.
func (c *cluster) accepted(t *testing.T, namespace string, o object) bool {
	t.Helper()
	r := c.dry(t, namespace, o)
	switch {
	case r.status != http.StatusCreated:
		t.Errorf("%s is refused: %d %s", o, r.status, r.message())
	case len(r.warnings) > 0:
		t.Errorf("%s gets warnings: %q", o, r.warnings)
	default:
		return true
	}
	return false
}

// namespace makes one in which only restricted pods are allowed.
func (c *cluster) namespace(t *testing.T, name string) string {
	t.Helper()
	labels := map[string]any{}
	for _, mode := range []string{"enforce", "warn", "audit"} {
		labels["pod-security.kubernetes.io/"+mode] = "restricted"
	}
	r := c.post(t, "/api/v1/namespaces", object{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels},
	})
	if r.status != http.StatusCreated {
		t.Fatalf("make namespace %s: %d %s", name, r.status, r.message())
	}
	// What the controllers make in every namespace, which are not here.
	r = c.post(t, "/api/v1/namespaces/"+name+"/serviceaccounts", object{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "default"},
	})
	if r.status != http.StatusCreated {
		t.Fatalf("make the default service account in %s: %d %s", name, r.status, r.message())
	}
	return name
}

// define makes the custom resource definitions of all files of a folder and waits until they can be used.
func (c *cluster) define(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions in %s: %v", dir, err)
	}
	const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects(t, string(text)) {
			if r := c.post(t, path, o); r.status != http.StatusCreated {
				t.Fatalf("define %s: %d %s", o, r.status, r.message())
			}
			spec, name := o.at("spec"), o.at("metadata").text("name")
			use := fmt.Sprintf("/apis/%s/%s/%s", spec.text("group"), spec.list("versions")[0].text("name"), spec.at("names").text("plural"))
			eventually(t, func() error {
				r, err := c.do(http.MethodGet, use, "", nil)
				if err == nil && r.status != http.StatusOK {
					err = fmt.Errorf("%s: %d %s", name, r.status, r.message())
				}
				return err
			})
		}
	}
}

// eventually calls check until it returns nil: another process cannot be waited for in any other way.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}
