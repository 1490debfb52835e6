package entra

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/field"
)

// fields lists the paths of all field errors in err; an error of another kind is a fault of its own.
func fields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var paths []string
		for _, e := range joined.Unwrap() {
			paths = append(paths, fields(t, e)...)
		}
		return paths
	}
	var f *field.Error
	if !errors.As(err, &f) {
		t.Errorf("%v is no field error", err)
		return nil
	}
	return []string{f.Path}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   []string
		says   string
	}{
		{"complete", nil, nil, ""},
		{"retention", func(c *Config) { c.Retention = field.Duration(time.Hour) }, []string{"retention"}, "1d or more"},
		{"all that is offered", func(c *Config) {
			c.Cloud, c.API, c.APIVersion, c.Streams = "usgov", "graph", "beta", []string{"*"}
			c.Filters = map[string]string{"audits": "result eq 'it''s (' and (x eq 1)"}
			c.Retention = field.Duration(24 * time.Hour)
			c.Budget, c.Proxy, c.Top = Budget{50, field.Duration(time.Minute)}, "http://proxy.example.com:3128", 10
		}, nil, ""},
		{"loopback", func(c *Config) { c.LoginURL, c.GraphURL = "http://127.0.0.1:1/", "http://127.0.0.1:1" }, nil, ""},
		{"empty", func(c *Config) { *c = Config{} }, []string{"tenant", "auth.client_id", "auth.client_secret_file"}, ""},
		{"tenant", func(c *Config) { c.Tenant = "a/../b" }, []string{"tenant"}, ""},
		{"common", func(c *Config) { c.Tenant = "Common" }, []string{"tenant"}, "no single directory"},
		{"cloud", func(c *Config) { c.Cloud = "mars" }, []string{"cloud"}, "global, usgov"},
		{"one host", func(c *Config) { c.GraphURL = "https://graph.example.com" }, []string{""}, "go together"},
		{"plain text", func(c *Config) {
			c.LoginURL, c.GraphURL = "https://login.example.com", "http://graph.example.com"
		}, []string{"graph_url"}, "insecure: true"},
		{"api", func(c *Config) { c.API = "soap" }, []string{"api"}, "use graph, or azuread"},
		{"version", func(c *Config) { c.APIVersion = "v2.0" }, []string{"api_version"}, ""},
		{"needs beta", func(c *Config) { c.APIVersion = "v1.0" }, []string{"streams", "streams", "streams"}, "signins.noninteractive needs beta"},
		{"attributes need beta", func(c *Config) { c.APIVersion, c.Streams = "v1.0", []string{"audits", "attributes", "risk.*"} }, []string{"streams"}, "attributes needs beta"},
		{"v1.0", func(c *Config) { c.APIVersion, c.Streams = "v1.0", []string{"signins.interactive", "audits"} }, nil, ""},
		{"streams", func(c *Config) { c.Streams = []string{"audits", "signin"} }, []string{"streams[1]"}, "signins.interactive"},
		{"filters", func(c *Config) {
			c.Filters = map[string]string{"audits": "a eq 1) or (b eq 2", "nothing": "x", "signins.interactive": " ", "provisioning": "a eq 'x", "risk.users": "(a"}
		}, []string{"filters.audits", "filters.nothing", "filters.provisioning", "filters.risk.users", "filters.signins.interactive"}, ""},
		{"literal secret", func(c *Config) { c.Auth.ClientSecret = "hunter2" }, []string{"auth.client_secret"}, "client_secret_file"},
		{"other ways", func(c *Config) {
			c.Auth.CertificateFile, c.Auth.FederatedTokenFile = "x", "y"
		}, []string{"auth.certificate_file", "auth.federated_token_file"}, "there is client_secret_file already"},
		{"no way", func(c *Config) { c.Auth.ClientSecretFile = "" }, []string{"auth.client_secret_file"}, ""},
		{"budget, top, tls, proxy", func(c *Config) {
			c.Budget.Requests, c.Top, c.TLS.CertFile, c.Proxy = -1, 5000, "x", "http://user:pass@proxy"
		}, []string{"budget.requests", "top", "proxy", "tls"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := testConfig(t, c.change).Validate()
			got := fields(t, err)
			slices.Sort(got)
			slices.Sort(c.want)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("faults (-want +got):\n%s%v", d, err)
			}
			if text := fmt.Sprint(err); c.says != "" && !strings.Contains(text, c.says) || strings.Contains(text, "hunter2") || strings.Contains(text, "pass@") {
				t.Errorf("error %q does not say %q, or says too much", text, c.says)
			}
		})
	}
}

func TestConfigYAML(t *testing.T) {
	var got Config
	err := yaml.UnmarshalWithOptions([]byte(`
tenant: contoso.onmicrosoft.com
cloud: china
api: graph
api_version: beta
auth: {managed_identity: {client_id: b}}
streams: [signins.*, audits]
filters: {audits: "result eq 'failure'"}
budget: {requests: 50, per: 10s}
retention: 90d
tls: {ca_file: ca.pem}
proxy: http://proxy:3128
insecure: true
top: 5
`), &got, yaml.Strict())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Tenant: "contoso.onmicrosoft.com", Cloud: "china", API: "graph", APIVersion: "beta",
		Auth:    auth.Config{ManagedIdentity: &auth.ManagedIdentity{ClientID: "b"}},
		Streams: []string{"signins.*", "audits"}, Filters: map[string]string{"audits": "result eq 'failure'"},
		Budget: Budget{50, field.Duration(10 * time.Second)}, Proxy: "http://proxy:3128", Insecure: true, Top: 5, Retention: field.Duration(90 * day)}
	want.TLS.CAFile = "ca.pem"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		cloud, login, graph         string
		name, at, signsInAt, ofType string
	}{
		{"", "", "", "global", "https://graph.microsoft.com", "https://login.microsoftonline.com", "https://graph.microsoft.com/.default"},
		{"usgov", "", "", "usgov", "https://graph.microsoft.us", "https://login.microsoftonline.us", "https://graph.microsoft.us/.default"},
		{"usgov-dod", "", "", "usgov-dod", "https://dod-graph.microsoft.us", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us/.default"},
		{"china", "", "", "china", "https://microsoftgraph.chinacloudapi.cn", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn/.default"},
		{"", "https://login.example.com/", "https://graph.example.com:8443/", "graph.example.com:8443", "https://graph.example.com:8443", "https://login.example.com", "https://graph.example.com:8443/.default"},
		{"global", "", "https://private.example.com", "global", "https://private.example.com", "https://login.microsoftonline.com", "https://graph.microsoft.com/.default"},
	} {
		p, err := Config{Cloud: c.cloud, LoginURL: c.login, GraphURL: c.graph}.place()
		if err != nil || p.name != c.name || p.graph.String() != c.at || p.login.String() != c.signsInAt || p.scope != c.ofType {
			t.Errorf("%+v: %+v %v", c, p, err)
		}
	}
}

func TestStreams(t *testing.T) {
	signIns := []string{"signins.interactive", "signins.noninteractive", "signins.serviceprincipal", "signins.managedidentity"}
	for _, c := range []struct{ patterns, want []string }{
		{nil, append(slices.Clone(signIns), "audits")},
		{[]string{"audits", "signins.*", "audits"}, append(slices.Clone(signIns), "audits")},
		{[]string{"security.incidents", "risk.*"}, []string{"risk.detections", "risk.users", "risk.serviceprincipals", "risk.serviceprincipal_detections", "security.incidents"}},
	} {
		got, err := Streams(c.patterns)
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("Streams(%q): %v %s", c.patterns, err, d)
		}
	}
	for pattern, want := range map[string]string{"[": "matches no stream", "audit": "matches no stream", "risk": "matches no stream"} {
		if _, err := Streams([]string{pattern}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Streams(%q): %v, want %q", pattern, err, want)
		}
	}
}

func TestRetention(t *testing.T) {
	table, own := newFetcher(t, &api{}, testConfig(t, nil), Options{}), newFetcher(t, &api{}, testConfig(t, func(c *Config) { c.Retention = field.Duration(90 * day) }), Options{})
	for stream, want := range map[string]time.Duration{"signins.interactive": 30 * day, "signins.managedidentity": 30 * day, "audits": 7 * day} {
		if got := table.Retention(stream); got != want {
			t.Errorf("%s is kept for %s, want %s", stream, got, want)
		}
		if got := own.Retention(stream); got != 90*day {
			t.Errorf("%s is kept for %s, whatever the configuration says", stream, got)
		}
	}
}

func TestPage(t *testing.T) {
	own, few := newFetcher(t, &api{}, testConfig(t, nil), Options{}), newFetcher(t, &api{}, testConfig(t, func(c *Config) { c.Top = 200 }), Options{})
	for _, stream := range []string{"audits", "signins.interactive"} {
		if own.Page(stream) != 1000 || few.Page(stream) != 200 {
			t.Errorf("%s has pages of %d and %d rows", stream, own.Page(stream), few.Page(stream))
		}
	}
}

// TestTable holds what every row of the table must have.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Table() {
		if seen[s.Name] || s.Path == "" || s.Version == "" || s.TimeMember == "" || s.Page < 1 || s.Page > 1000 || s.Permission == "" || s.Licence == "" || s.Retention != 0 && s.Retention <= shortRetention {
			t.Errorf("row %+v", s)
		}
		if (s.Lower == gt) != (s.Upper == lt) || s.Lower != gt && s.Lower != ge || s.Upper != lt && s.Upper != le {
			t.Errorf("operators of %s", s.Name)
		}
		seen[s.Name] = true
	}
}

// TestDefaultIsWhatLeavingOutMeans: what Default says, and what a configuration without these keys does.
func TestDefaultIsWhatLeavingOutMeans(t *testing.T) {
	written, left := Default(), Config{}
	names, err := left.StreamNames()
	want, err2 := written.StreamNames()
	if !slices.Equal(names, want) || len(want) != 5 || err != nil || err2 != nil {
		t.Errorf("streams %q, shown %q: %v, %v", names, want, err, err2)
	}
	if got, want := left.Budget.interval(), written.Budget.interval(); got != want || want != 2*time.Second {
		t.Errorf("a request every %s, shown %s", got, want)
	}
	place, err := left.place()
	shown, err2 := written.place()
	if err != nil || err2 != nil || place.name != shown.name || *place.login != *shown.login || *place.graph != *shown.graph || place.graph.Host != "graph.microsoft.com" {
		t.Errorf("place %+v, %v, shown %+v, %v", place, err, shown, err2)
	}
	if got, want := left.dialect().tokenPath, written.dialect().tokenPath; got != want {
		t.Errorf("token endpoint %s, shown %s", got, want)
	}
}
