package chart

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// calls gives what the network policy says that logferry calls, as "HOST PORT".
func calls(t *testing.T, all []object) []string {
	t.Helper()
	return strings.Split(only(t, all, "NetworkPolicy").Metadata.Annotations["logferry/calls"], ", ")
}

// TestPolicyKnowsTheClouds holds the chart's table of hosts against the code's: each cloud of each API, by itself.
func TestPolicyKnowsTheClouds(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\t"([a-z-]+)": +\{"https://([a-z.-]+)", "https://([a-z.-]+)"\},$`)
	clouds := 0
	for api, file := range map[string]string{"graph": "config.go", "azuread": "legacy.go"} {
		for _, m := range row.FindAllStringSubmatch(read(t, "../../pkg/fetcher/entra/"+file), -1) {
			clouds++
			values := write(t, strings.Replace(read(t, "values/default.yaml"), "      entra:\n", fmt.Sprintf("      entra:\n        api: %s\n        cloud: %s\n", api, m[1]), 1))
			want := []string{m[2] + " 443", m[3] + " 443", "splunk.example.com 8088"}
			slices.Sort(want)
			if got := calls(t, render(t, "-f", values, "--set", "networkPolicy.enabled=true")); !slices.Equal(got, want) {
				t.Errorf("cloud %s of %s: the policy is for %q, want %q", m[1], api, got, want)
			}
		}
	}
	if clouds != 7 {
		t.Errorf("the code has %d clouds in the two tables, want 7", clouds)
	}
}

// TestPolicyReadsAddresses: host and port of everything that the configuration may name.
func TestPolicyReadsAddresses(t *testing.T) {
	values := write(t, `
networkPolicy: {enabled: true}
env: [{name: https_proxy, value: "http://h0.example.com:3128"}, {name: NO_PROXY, value: .svc}]
config:
  sources:
    - {name: a, entra: {tenant: a.example.com, login_url: "https://h1.example.com", graph_url: "https://h2.example.com:8443/graph", auth: &app {client_id: x, certificate_file: /x}}}
    - {name: b, entra: {tenant: b.example.com, proxy: "socks5://h3.example.com", auth: *app}}
  sinks:
    - {name: a, http: {endpoints: ["https://h4.example.com?x=1:2", "http://h5.example.com/a:b", "https://[2001:db8::4]:8443/x", "https://[2001:db8::5]"]}}
    - {name: b, kafka: {brokers: ["h6.example.com:9092", "192.0.2.1:9093", "[2001:db8::6]:9094"], topic: x}}
    - {name: c, syslog: {address: "tls://h7.example.com"}}
    - {name: d, syslog: {address: "tcp://h8.example.com:514"}}
    - {name: e, splunk: {endpoints: ["https://not-called.example.com"], token_file: /x, proxy: "http://h9.example.com:8080"}}
    - {name: f, http: {endpoints: ["http://localhost:1", "http://127.0.0.1:2", "http://[::1]:3"]}}
    - name: g
      http:
        endpoints: ["https://${env:HOST:-h10.example.com}:${env:PORT:-81}/x"]
        oauth2: {client_id: x, client_secret_file: /x, token_url: "https://h11.example.com/token"}
`)
	want := []string{
		"h0.example.com 3128", "h1.example.com 443", "h2.example.com 8443", "h3.example.com 1080", "h4.example.com 443", "h5.example.com 80",
		"2001:db8::4 8443", "2001:db8::5 443", "h6.example.com 9092", "192.0.2.1 9093", "2001:db8::6 9094", "h7.example.com 6514", "h8.example.com 514",
		"h9.example.com 8080", "h10.example.com 81", "h11.example.com 443",
	}
	slices.Sort(want)
	all := render(t, "-f", values)
	if got := calls(t, all); !slices.Equal(got, want) {
		t.Errorf("the policy is for\n%q, want\n%q", got, want)
	}
	// Names become ports to everywhere, addresses rules of their own.
	var spec struct {
		PolicyTypes []string `yaml:"policyTypes"`
		Ingress     []any    `yaml:"ingress"`
		Egress      []struct {
			To    []map[string]map[string]string `yaml:"to"`
			Ports []struct {
				Port     int    `yaml:"port"`
				Protocol string `yaml:"protocol"`
			} `yaml:"ports"`
		} `yaml:"egress"`
	}
	convert(t, only(t, all, "NetworkPolicy").Spec, &spec)
	if !slices.Equal(spec.PolicyTypes, []string{"Ingress", "Egress"}) || len(spec.Ingress) != 0 {
		t.Errorf("the policy is one of %q and lets in %v: want both and nobody", spec.PolicyTypes, spec.Ingress)
	}
	var open, addressed []string
	for _, rule := range spec.Egress {
		for _, p := range rule.Ports {
			if rule.To == nil {
				open = append(open, fmt.Sprint(p.Port, p.Protocol))
			} else {
				addressed = append(addressed, fmt.Sprint(rule.To[0]["ipBlock"]["cidr"], " ", p.Port))
			}
		}
	}
	slices.Sort(open)
	if wantOpen := []string{"1080TCP", "3128TCP", "443TCP", "514TCP", "53TCP", "53UDP", "6514TCP", "8080TCP", "80TCP", "81TCP", "8443TCP", "9092TCP"}; !slices.Equal(open, wantOpen) {
		t.Errorf("open to everywhere are %q, want %q", open, wantOpen)
	}
	if wantAddressed := []string{"192.0.2.1/32 9093", "2001:db8::4/128 8443", "2001:db8::5/128 443", "2001:db8::6/128 9094"}; !slices.Equal(addressed, wantAddressed) {
		t.Errorf("open to addresses are %q, want %q", addressed, wantAddressed)
	}
}

// TestCiliumGuardsWhatGoesOut: a plain policy that also allowed egress would make the one by names worthless.
func TestCiliumGuardsWhatGoesOut(t *testing.T) {
	all := render(t, "-f", "values/nocluster/cilium.yaml")
	if types := fmt.Sprint(only(t, all, "NetworkPolicy").Spec["policyTypes"]); types != "[Ingress]" {
		t.Errorf("the plain policy is one of %s, want Ingress alone", types)
	}
	text := fmt.Sprint(only(t, all, "CiliumNetworkPolicy").Spec["egress"])
	for _, want := range []string{"login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn", "elastic.example.com", "toEntities:[cluster]", "169.254.169.254/32"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not allowed: %s", want, text)
		}
	}
	if strings.Contains(text, "0.0.0.0") || strings.Contains(text, "world") {
		t.Errorf("everything is allowed: %s", text)
	}
}
