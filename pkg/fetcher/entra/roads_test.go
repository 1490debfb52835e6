package entra_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
	"github.com/logferry/logferry/pkg/secure"
)

// waysTo gives the auth block of each way to sign in, its credential in a file and known to the authority.
func waysTo(t *testing.T, a *authtest.Authority) map[string]auth.Config {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key, cert, err := authtest.Pair(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	trust := authtest.Trust{Issuer: "https://oidc.example.com", Subject: "s", Audience: "api://AzureADTokenExchange", Key: &key.PublicKey}
	a.Secret("a secret for roads")
	a.Register(cert)
	a.Federate(trust)
	a.Users, a.Every = 1, time.Second
	token := []byte(trust.Token(key, time.Now(), time.Now().Add(time.Hour)))
	return map[string]auth.Config{
		"secret":      {ClientID: authtest.Client, ClientSecretFile: write("secret", []byte("a secret for roads"))},
		"certificate": {ClientID: authtest.Client, CertificateFile: write("certificate", authtest.PEM(key, cert))},
		"federated":   {ClientID: authtest.Client, FederatedTokenFile: write("token", token)},
		"person":      {ClientID: authtest.Client, DeviceCode: &auth.DeviceCode{RefreshTokenFile: filepath.Join(dir, "refresh")}},
		"machine":     {ManagedIdentity: &auth.ManagedIdentity{}},
	}
}

// visit signs in and asks for one page. What the page says does not matter.
func visit(t *testing.T, a *authtest.Authority, cfg entra.Config, o entra.Options) error {
	t.Helper()
	cfg.Tenant, cfg.Streams = authtest.Tenant, []string{"audits"}
	o.Prompt = func(p auth.Prompt) { a.Enter(p.Code, nil) }
	f, err := entra.New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Tenant(t.Context()); err != nil {
		return err
	}
	for range f.Fetch(t.Context(), event.Slice{Stream: "audits", From: time.Now().Add(-time.Hour), To: time.Now()}) {
		break
	}
	return nil
}

// TestCloudsBelongTogether: where to sign in, what for and where to read belong together, whatever the way to sign in.
func TestCloudsBelongTogether(t *testing.T) {
	for _, c := range []struct {
		cfg          entra.Config
		login, graph string
	}{
		{entra.Config{}, "login.microsoftonline.com", "graph.microsoft.com"},
		{entra.Config{Cloud: "usgov"}, "login.microsoftonline.us", "graph.microsoft.us"},
		{entra.Config{Cloud: "usgov-dod"}, "login.microsoftonline.us", "dod-graph.microsoft.us"},
		{entra.Config{Cloud: "china"}, "login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"},
		{entra.Config{LoginURL: "https://login.example.com", GraphURL: "https://graph.example.com"}, "login.example.com", "graph.example.com"},
	} {
		a := &authtest.Authority{}
		for name, way := range waysTo(t, a) {
			if name == "person" {
				continue // waits a second before it asks; its addresses come from the same two options
			}
			t.Run(c.graph+"/"+name, func(t *testing.T) {
				t.Setenv("IDENTITY_ENDPOINT", "")
				before := len(a.Requests())
				c.cfg.Auth = way
				if err := visit(t, a, c.cfg, entra.Options{Transport: a}); err != nil {
					t.Fatal(err)
				}
				got := a.Requests()[before:]
				signIn, read := got[0], got[1]
				login, asked := c.login, strings.TrimSuffix(signIn.Form.Get("scope"), "/.default")
				if name == "machine" {
					login, asked = "169.254.169.254", signIn.Form.Get("resource")
				}
				if signIn.URL.Host != login || asked != "https://"+c.graph || read.URL.Host != c.graph {
					t.Errorf("signed in at %s for %s, read at %s", signIn.URL.Host, asked, read.URL.Host)
				}
			})
		}
	}
}

// recorder is a proxy that answers itself, as the hosts that it was asked for.
type recorder struct {
	http.Handler
	mu    sync.Mutex
	hosts []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.hosts = append(r.hosts, req.URL.Host)
	r.mu.Unlock()
	r.Handler.ServeHTTP(w, req)
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	hosts := slices.Compact(r.hosts)
	r.hosts = nil
	return hosts
}

// TestProxy: what leaves the machine goes through the proxy, whatever the way to sign in; what stays on it never does.
func TestProxy(t *testing.T) {
	a := &authtest.Authority{}
	proxy := &recorder{Handler: a}
	server, own := httptest.NewServer(proxy), httptest.NewServer(a)
	defer server.Close()
	defer own.Close()
	t.Setenv("IDENTITY_ENDPOINT", own.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", authtest.IdentityHeader)
	for name, way := range waysTo(t, a) {
		cfg := entra.Config{Auth: way, LoginURL: "http://login.example.com", GraphURL: "http://graph.example.com", Insecure: true, Proxy: server.URL}
		if err := visit(t, a, cfg, entra.Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := []string{"login.example.com", "graph.example.com"}
		if name == "machine" {
			want = want[1:]
		}
		if got := proxy.take(); !slices.Equal(got, want) {
			t.Errorf("%s: the proxy was asked for %v, want %v", name, got, want)
		}
	}
}

// TestPrivateAuthority: each way takes hosts whose certificates the operator's own CA has signed, and no others.
func TestPrivateAuthority(t *testing.T) {
	a := &authtest.Authority{}
	server := httptest.NewTLSServer(a)
	server.Config.ErrorLog = nil
	defer server.Close()
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", authtest.IdentityHeader)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, way := range waysTo(t, a) {
		if name == "person" {
			continue // waits a second; TestProxy has shown that it uses the same client
		}
		cfg := entra.Config{Auth: way, LoginURL: server.URL, GraphURL: server.URL}
		if err := visit(t, a, cfg, entra.Options{}); err == nil || name != "machine" && !strings.Contains(err.Error(), "tls.ca_file") {
			t.Errorf("%s without the CA: %v", name, err)
		}
		cfg.TLS = secure.TLS{CAFile: ca}
		if err := visit(t, a, cfg, entra.Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrongClockSignsIn: assertions bear the service's time, which the first refusal tells.
func TestWrongClockSignsIn(t *testing.T) {
	for _, off := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		a := &authtest.Authority{}
		cfg := entra.Config{Auth: waysTo(t, a)["certificate"]}
		if err := visit(t, a, cfg, entra.Options{Transport: a, Now: func() time.Time { return time.Now().Add(off) }}); err != nil {
			t.Errorf("off by %s: %v", off, err)
		}
	}
}

// TestCredentialOfSource: what the program shows of a credential.
func TestCredentialOfSource(t *testing.T) {
	a := &authtest.Authority{}
	for name, known := range map[string]bool{"certificate": true, "secret": false} {
		f, err := entra.New(entra.Config{Tenant: authtest.Tenant, Auth: waysTo(t, a)[name]}, entra.Options{Transport: a})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Tenant(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ends := f.Credential().Expires; ends.IsZero() == known {
			t.Errorf("%s ends at %s", name, ends)
		}
	}
}

// TestWorkloadIdentity: the webhook's variables are enough, and what is configured goes before them.
func TestWorkloadIdentity(t *testing.T) {
	env := map[string]string{"AZURE_TENANT_ID": "a-tenant", "AZURE_CLIENT_ID": "an-app", "AZURE_FEDERATED_TOKEN_FILE": "/token"}
	of := entra.Config{Auth: auth.Config{WorkloadIdentity: &auth.WorkloadIdentity{}}}
	for _, c := range []struct {
		host         string
		change       func(*entra.Config)
		cloud, login string
		sound        bool
	}{
		{"", nil, "", "", true},
		{"https://login.microsoftonline.com/", nil, "", "", true},
		{"https://login.microsoftonline.us/", nil, "usgov", "", true},
		{"https://login.microsoftonline.us/", func(c *entra.Config) { c.Cloud = "usgov-dod" }, "usgov-dod", "", true},
		{"https://login.partner.microsoftonline.cn", nil, "china", "", true},
		{"https://login.example.com/", nil, "", "https://login.example.com", false}, // graph_url is missing
		{"https://login.example.com/", func(c *entra.Config) { c.GraphURL = "https://graph.example.com" }, "", "https://login.example.com", true},
	} {
		env["AZURE_AUTHORITY_HOST"] = c.host
		cfg := of
		if c.change != nil {
			c.change(&cfg)
		}
		got := cfg.Environment(func(name string) string { return env[name] })
		if err := got.Validate(); got.Tenant != "a-tenant" || got.Auth.ClientID != "an-app" || got.Cloud != c.cloud || got.LoginURL != c.login || (err == nil) != c.sound {
			t.Errorf("%s: cloud %q, login_url %q, %v", c.host, got.Cloud, got.LoginURL, err)
		}
	}
	if err := of.Environment(func(string) string { return "" }).Validate(); err == nil || !strings.Contains(err.Error(), "AZURE_TENANT_ID") {
		t.Errorf("outside of a pod: %v", err)
	}
	if got := (entra.Config{}).Environment(func(name string) string { return env[name] }); got.Tenant != "" {
		t.Error("the variables are used without being asked for")
	}
}
