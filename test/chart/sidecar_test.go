package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestSidecar: a native sidecar that the pod does not wait for, and of which only that of the pod 0 polls.
func TestSidecar(t *testing.T) {
	text, err := templateOf(t, withSidecar(t), "collector")
	if err != nil {
		t.Fatal(err)
	}
	all := decode(t, text)
	w := only(t, all, "StatefulSet").workload
	spec := w.Template.Spec
	if w.Replicas < 2 || len(spec.InitContainers) != 1 {
		t.Fatalf("the example has %d replicas and %d init containers", w.Replicas, len(spec.InitContainers))
	}
	c := spec.InitContainers[0]
	if c.RestartPolicy != "Always" || c.ReadinessProbe != nil || c.StartupProbe != nil || c.LivenessProbe == nil {
		t.Errorf("restart policy %q, readiness %v, startup %v, liveness %v: want a native sidecar with a liveness probe alone",
			c.RestartPolicy, c.ReadinessProbe, c.StartupProbe, c.LivenessProbe)
	}
	if !slices.Equal(c.Args, []string{"run", "-c", "/etc/logferry", "--only-ordinal", "0"}) {
		t.Errorf("its arguments are %q", c.Args)
	}
	named := slices.ContainsFunc(c.Env, func(e variable) bool {
		return e.Name == "POD_NAME" && fmt.Sprint(e.ValueFrom) == "map[fieldRef:map[fieldPath:metadata.name]]"
	})
	if !named {
		t.Errorf("it is not told the pod's name: %+v", c.Env)
	}
	for _, v := range spec.Volumes {
		if _, is := v["emptyDir"]; is {
			t.Errorf("volume %v does not outlive the pod", v["name"])
		}
	}
	config := only(t, all, "ConfigMap").Metadata.Name
	if !slices.ContainsFunc(spec.Volumes, func(v map[string]any) bool { return fmt.Sprint(v["configMap"]) == "map[name:"+config+"]" }) {
		t.Errorf("no volume is of ConfigMap %s", config)
	}
	changed, err := templateOf(t, withSidecar(t), "collector", "--set", "logferry.config.log.level=debug")
	if err != nil {
		t.Fatal(err)
	}
	if maps.Equal(only(t, decode(t, changed), "StatefulSet").workload.Template.Metadata.Annotations, w.Template.Metadata.Annotations) {
		t.Error("a changed configuration leaves the pod's annotations as they are")
	}
	if _, err := templateOf(t, withSidecar(t), "collector", "--set", "logferry.sidecar.enabled=false"); err == nil || !strings.Contains(err.Error(), "sidecar.enabled") {
		t.Errorf("a sidecar beside a pod of logferry's own: %v", err)
	}
	if _, err := templateOf(t, withSidecar(t), "collector", "--set", "logferry.persistence.size=2Gi"); err == nil || !strings.Contains(err.Error(), "persistence.size") {
		t.Errorf("a sidecar with too small a claim: %v", err)
	}
}

// TestSidecarBringsNoPod: as a dependency the chart makes nothing that runs or that holds for a whole pod.
func TestSidecarBringsNoPod(t *testing.T) {
	var kinds []string
	for _, o := range render(t, "-f", "values/sidecar.yaml") {
		kinds = append(kinds, o.Kind)
	}
	if !slices.Equal(kinds, []string{"ConfigMap", "PodMonitor"}) {
		t.Errorf("it makes %v", kinds)
	}
}
