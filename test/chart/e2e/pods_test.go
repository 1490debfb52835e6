//go:build linux

package e2e_test

import (
	"net/http"
	"strings"
	"testing"
)

// pods checks the pods that a workload would make, and their claims. Of a workload whose pods it will not allow, Pod Security warns
// at most; that it refuses them shows later, as events.
func (c *cluster) pods(t *testing.T, namespace string, workload object) {
	t.Helper()
	if workload.at("spec", "template")["spec"] == nil {
		return
	}
	for _, claim := range workload.at("spec").list("volumeClaimTemplates") {
		claim = claim.clone(t)
		claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
		c.accepted(t, namespace, claim)
	}
	pod := podOf(t, workload)
	if !c.accepted(t, namespace, pod) {
		return
	}
	for name, spoil := range spoils {
		other := pod.clone(t)
		spoil(other.at("spec"), other.at("spec").list("containers")[0])
		if r := c.dry(t, namespace, other); r.status != http.StatusForbidden || !strings.Contains(r.message(), "PodSecurity") {
			t.Errorf("%s with %s is not refused by Pod Security: %d %s", pod, name, r.status, r.message())
		}
	}
}

// podOf is the first pod of a workload as its controller would make it.
func podOf(t *testing.T, workload object) object {
	t.Helper()
	template := workload.at("spec", "template").clone(t)
	name := workload.at("metadata").text("name") + "-0"
	meta := template.at("metadata")
	meta["name"] = name
	spec := template.at("spec")
	volumes, _ := spec["volumes"].([]any)
	for _, claim := range workload.at("spec").list("volumeClaimTemplates") {
		volume := claim.at("metadata").text("name")
		volumes = append(volumes, map[string]any{
			"name": volume, "persistentVolumeClaim": map[string]any{"claimName": volume + "-" + name},
		})
	}
	spec["volumes"] = volumes
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any(meta), "spec": map[string]any(spec)}
}

// spoils make a pod one that must not run: if one of these got through, nothing would be proved by the pod that did.
var spoils = map[string]func(pod, container object){
	"no security context": func(pod, container object) {
		delete(pod, "securityContext")
		delete(container, "securityContext")
	},
	"privilege escalation": func(_, container object) {
		container.at("securityContext")["allowPrivilegeEscalation"] = true
	},
	"all its capabilities": func(_, container object) { delete(container.at("securityContext"), "capabilities") },
	"root":                 func(_, container object) { container.at("securityContext")["runAsUser"] = 0 },
	"a folder of the node": func(pod, _ object) {
		volumes, _ := pod["volumes"].([]any)
		pod["volumes"] = append(volumes, map[string]any{"name": "node", "hostPath": map[string]any{"path": "/var/log"}})
	},
	"the node's network": func(pod, _ object) { pod["hostNetwork"] = true },
}
