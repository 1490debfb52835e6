package chart

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	statePath = "/var/lib/logferry"
	tokenFile = "/var/run/secrets/azure/tokens/azure-identity-token"
)

// workload is the part of a StatefulSet's spec that is looked into.
type workload struct {
	Replicas             int    `yaml:"replicas"`
	ServiceName          string `yaml:"serviceName"`
	Template             pod    `yaml:"template"`
	VolumeClaimTemplates []struct {
		Metadata struct {
			Name string `yaml:"name"`
		} `yaml:"metadata"`
	} `yaml:"volumeClaimTemplates"`
	Selector struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	} `yaml:"selector"`
}

type pod struct {
	Metadata struct {
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	Spec podSpec `yaml:"spec"`
}

type podSpec struct {
	HostNetwork                  bool             `yaml:"hostNetwork"`
	HostPID                      bool             `yaml:"hostPID"`
	HostIPC                      bool             `yaml:"hostIPC"`
	AutomountServiceAccountToken *bool            `yaml:"automountServiceAccountToken"`
	SecurityContext              securityContext  `yaml:"securityContext"`
	InitContainers               []container      `yaml:"initContainers"`
	Containers                   []container      `yaml:"containers"`
	Volumes                      []map[string]any `yaml:"volumes"`
}

type container struct {
	Name            string          `yaml:"name"`
	Args            []string        `yaml:"args"`
	RestartPolicy   string          `yaml:"restartPolicy"`
	SecurityContext securityContext `yaml:"securityContext"`
	Ports           []port          `yaml:"ports"`
	Env             []variable      `yaml:"env"`
	VolumeMounts    []mount         `yaml:"volumeMounts"`
	StartupProbe    *probe          `yaml:"startupProbe"`
	LivenessProbe   *probe          `yaml:"livenessProbe"`
	ReadinessProbe  *probe          `yaml:"readinessProbe"`
}

type port struct {
	HostPort int `yaml:"hostPort"`
}

type variable struct {
	Name      string         `yaml:"name"`
	Value     string         `yaml:"value"`
	ValueFrom map[string]any `yaml:"valueFrom"`
}

type mount struct {
	Name      string `yaml:"name"`
	MountPath string `yaml:"mountPath"`
}

type probe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
}

type securityContext struct {
	RunAsNonRoot             *bool  `yaml:"runAsNonRoot"`
	RunAsUser                *int   `yaml:"runAsUser"`
	FSGroup                  *int   `yaml:"fsGroup"`
	Privileged               bool   `yaml:"privileged"`
	AllowPrivilegeEscalation *bool  `yaml:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool   `yaml:"readOnlyRootFilesystem"`
	ProcMount                string `yaml:"procMount"`
	Capabilities             struct {
		Add  []string `yaml:"add"`
		Drop []string `yaml:"drop"`
	} `yaml:"capabilities"`
	SeccompProfile struct {
		Type string `yaml:"type"`
	} `yaml:"seccompProfile"`
	SELinuxOptions map[string]any   `yaml:"seLinuxOptions"`
	WindowsOptions map[string]any   `yaml:"windowsOptions"`
	Sysctls        []map[string]any `yaml:"sysctls"`
}

// restricted gives what in a pod breaks the restricted Pod Security Standard.
// Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
func restricted(p podSpec) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if p.HostNetwork || p.HostPID || p.HostIPC {
		bad("uses the host's namespaces")
	}
	if len(p.SecurityContext.Sysctls) > 0 {
		bad("sets sysctls")
	}
	volumes := []string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
	for _, v := range p.Volumes {
		for kind := range v {
			if kind != "name" && !slices.Contains(volumes, kind) {
				bad("volume %v is of kind %s", v["name"], kind)
			}
		}
	}
	isTrue := func(b *bool) bool { return b != nil && *b }
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		s := c.SecurityContext
		if s.Privileged || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
			bad("%s may gain privileges", c.Name)
		}
		if !slices.Contains(s.Capabilities.Drop, "ALL") || slices.ContainsFunc(s.Capabilities.Add, func(name string) bool { return name != "NET_BIND_SERVICE" }) {
			bad("%s has capabilities", c.Name)
		}
		if !isTrue(s.RunAsNonRoot) && (s.RunAsNonRoot != nil || !isTrue(p.SecurityContext.RunAsNonRoot)) {
			bad("%s may run as root", c.Name)
		}
		for _, user := range []*int{s.RunAsUser, p.SecurityContext.RunAsUser} {
			if user != nil && *user == 0 {
				bad("%s runs as root", c.Name)
			}
		}
		profile := s.SeccompProfile.Type
		if profile == "" {
			profile = p.SecurityContext.SeccompProfile.Type
		}
		if profile != "RuntimeDefault" && profile != "Localhost" {
			bad("%s has seccomp profile %q", c.Name, profile)
		}
		if (s.ProcMount != "" && s.ProcMount != "Default") || s.SELinuxOptions != nil || s.WindowsOptions != nil {
			bad("%s sets procMount, SELinux or Windows options", c.Name)
		}
		if slices.ContainsFunc(c.Ports, func(p port) bool { return p.HostPort != 0 }) {
			bad("%s takes a port of the host", c.Name)
		}
	}
	return faults
}

// TestPods looks at each pod that the values files and the example of a sidecar make.
func TestPods(t *testing.T) {
	all := map[string][]object{}
	for _, file := range good(t) {
		all[file] = render(t, "-f", file)
	}
	text, err := templateOf(t, withSidecar(t), "collector")
	if err != nil {
		t.Fatal(err)
	}
	all["sidecar"] = decode(t, text)
	pods := 0
	for name, objects := range all {
		for _, o := range objects {
			if o.Kind == "ServiceAccount" && (o.AutomountServiceAccountToken == nil || *o.AutomountServiceAccountToken) {
				t.Errorf("%s: the service account mounts its token", name)
			}
			if o.Kind != "StatefulSet" {
				continue
			}
			pods++
			spec := o.workload.Template.Spec
			for _, fault := range restricted(spec) {
				t.Errorf("%s: the restricted standard refuses it: %s", name, fault)
			}
			if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
				t.Errorf("%s: the pod mounts its service account's token", name)
			}
			if spec.SecurityContext.FSGroup == nil {
				t.Errorf("%s: without fsGroup logferry cannot write to its claim", name)
			}
			checkState(t, name, o.workload)
		}
	}
	if pods < 5 {
		t.Errorf("%d pods were looked at, want 5", pods)
	}
}

// checkState: the state is on the pod's own claim, logferry's root file system is read-only.
func checkState(t *testing.T, name string, w workload) {
	t.Helper()
	spec := w.Template.Spec
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if c.Name != "logferry" {
			continue
		}
		if !c.SecurityContext.ReadOnlyRootFilesystem {
			t.Errorf("%s: logferry can write to its root file system", name)
		}
		state := ""
		for _, m := range c.VolumeMounts {
			if path.Clean(m.MountPath) == statePath {
				state = m.Name
			}
		}
		claimed := false
		for _, claim := range w.VolumeClaimTemplates {
			claimed = claimed || claim.Metadata.Name == state
		}
		shadowed := slices.ContainsFunc(spec.Volumes, func(v map[string]any) bool { return v["name"] == state })
		if state == "" || !claimed || shadowed {
			t.Errorf("%s: the state is on volume %q, which is not a claim of the pod's own", name, state)
		}
		return
	}
	t.Errorf("%s: no container is named logferry", name)
}

// TestRestrictedSees makes sure that the check above is one.
func TestRestrictedSees(t *testing.T) {
	for want, spoil := range map[string]func(*podSpec){
		"privileges":    func(p *podSpec) { p.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil },
		"capabilities":  func(p *podSpec) { p.Containers[0].SecurityContext.Capabilities.Drop = nil },
		"seccomp":       func(p *podSpec) { p.Containers[0].SecurityContext.SeccompProfile.Type = "Unconfined" },
		"as root":       func(p *podSpec) { p.Containers[0].SecurityContext.RunAsUser = new(int) },
		"may run as":    func(p *podSpec) { p.Containers[0].SecurityContext.RunAsNonRoot = new(bool) },
		"namespaces":    func(p *podSpec) { p.HostNetwork = true },
		"kind hostPath": func(p *podSpec) { p.Volumes = append(p.Volumes, map[string]any{"name": "x", "hostPath": nil}) },
	} {
		spec := only(t, render(t, "-f", "values/default.yaml"), "StatefulSet").workload.Template.Spec
		spoil(&spec)
		if faults := restricted(spec); len(faults) != 1 || !strings.Contains(faults[0], want) {
			t.Errorf("%s: found %q", want, faults)
		}
	}
}

// TestOnePod: one replica with probes that do not depend on a peer.
func TestOnePod(t *testing.T) {
	w := only(t, render(t, "-f", "values/default.yaml"), "StatefulSet").workload
	c := w.Template.Spec.Containers[0]
	if w.Replicas != 1 || !slices.Equal(c.Args, []string{"run", "-c", "/etc/logferry"}) {
		t.Errorf("%d replicas of %q", w.Replicas, c.Args)
	}
	for want, p := range map[string]*probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe, "/livez ": c.StartupProbe} {
		if p == nil || p.HTTPGet.Path != strings.TrimSpace(want) || p.HTTPGet.Port != "admin" {
			t.Errorf("probe %+v, want one of %s", p, want)
		}
	}
}

// TestReleases: two releases in one namespace share no object and select no pod of the other.
func TestReleases(t *testing.T) {
	named := map[string]string{}
	labels, selectors := map[string]map[string]string{}, map[string]map[string]string{}
	for _, release := range []string{"logferry", "logferry-2", "soc"} {
		text, err := templateOf(t, chartDir, release, "-f", "values/default.yaml", "--set", "podMonitor.enabled=true,networkPolicy.enabled=true")
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range decode(t, text) {
			key := o.Kind + "/" + o.Metadata.Name
			if other, taken := named[key]; taken {
				t.Errorf("releases %s and %s both make %s", other, release, key)
			}
			named[key] = release
			if o.Kind == "StatefulSet" {
				labels[release], selectors[release] = o.workload.Template.Metadata.Labels, o.workload.Selector.MatchLabels
			}
		}
	}
	for a, selector := range selectors {
		for b, pod := range labels {
			matches := true
			for key, value := range selector {
				matches = matches && pod[key] == value
			}
			if matches != (a == b) {
				t.Errorf("the selector of %s takes the pod of %s: %v", a, b, matches)
			}
		}
	}
}

// TestWorkloadIdentity: both ways put the token at the same path.
func TestWorkloadIdentity(t *testing.T) {
	all := render(t, "-f", "values/webhook.yaml")
	account, spec := only(t, all, "ServiceAccount"), only(t, all, "StatefulSet").workload.Template
	if account.Metadata.Annotations["azure.workload.identity/client-id"] != "00000000-0000-0000-0000-000000000000" || spec.Metadata.Labels["azure.workload.identity/use"] != "true" {
		t.Errorf("the webhook would not see it: %v, %v", account.Metadata.Annotations, spec.Metadata.Labels)
	}
	all = render(t, "-f", "values/projected.yaml")
	spec = only(t, all, "StatefulSet").workload.Template
	if spec.Metadata.Labels["azure.workload.identity/use"] != "" {
		t.Error("the webhook would see it, too")
	}
	env := map[string]string{}
	for _, e := range spec.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if env["AZURE_FEDERATED_TOKEN_FILE"] != tokenFile || env["AZURE_CLIENT_ID"] == "" {
		t.Errorf("the variables are %v", env)
	}
	mounted := slices.Contains(spec.Spec.Containers[0].VolumeMounts, mount{"token", path.Dir(tokenFile)})
	volume := fmt.Sprint(spec.Spec.Volumes)
	if !mounted || !strings.Contains(volume, "audience:api://AzureADTokenExchange") || !strings.Contains(volume, "path:"+path.Base(tokenFile)) {
		t.Errorf("no token is at %s: %s", tokenFile, volume)
	}
}
