package app_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestFetchFlags: what is wrong with the flags is said in their names, and nothing is sent.
func TestFetchFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{})
		good := w.order
		for want, change := range map[string]func(o *app.FetchOrder){
			"--tenant: missing":                   func(o *app.FetchOrder) { o.Tenant = "" },
			"--client-id: missing":                func(o *app.FetchOrder) { o.ClientID = "" },
			"--client-secret-file: missing":       func(o *app.FetchOrder) { o.ClientSecretFile = "" },
			"--cloud: \"mars\"":                   func(o *app.FetchOrder) { o.Cloud = "mars" },
			"--stream: \"x*\" matches no stream":  func(o *app.FetchOrder) { o.Streams = []string{"x*"} },
			"--output: \"xml\"":                   func(o *app.FetchOrder) { o.Output = "xml" },
			"--top: -1":                           func(o *app.FetchOrder) { o.Top = -1 },
			"--since: \"yesterday\"":              func(o *app.FetchOrder) { o.Since = "yesterday" },
			"--since: 2000-01-02T00:00:00Z lies":  func(o *app.FetchOrder) { o.Since = "2000-01-02" },
			"--until: \"now-ish\"":                func(o *app.FetchOrder) { o.Until = "now-ish" },
			"nothing lies between":                func(o *app.FetchOrder) { o.Since, o.Until = "1h", "2h" },
			"--category is not a field of signin": func(o *app.FetchOrder) { o.Where = map[string]string{"category": "x"} },
			"--status: \"ok\"":                    func(o *app.FetchOrder) { o.Where = map[string]string{"status": "ok"} },
			"several ways to sign in":             func(o *app.FetchOrder) { o.CertificateFile = "x" },
			"--login-url and --graph-url go":      func(o *app.FetchOrder) { o.LoginURL = "https://login.example.com" },
		} {
			w.order = good
			change(&w.order)
			if err := w.fetch(); !errors.Is(err, app.ErrUsage) || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q: %v", want, err)
			}
		}
		if len(w.bodies.uris) > 0 {
			t.Errorf("asked for %s", w.bodies.uris)
		}
	})
}

// TestFetchEnvironment: the variables that Azure's tools know stand in for flags.
func TestFetchEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{})
		env := map[string]string{"AZURE_TENANT_ID": simulator.DefaultTenantID, "AZURE_CLIENT_ID": simulator.DefaultClientID}
		w.o.Env = func(name string) string { return env[name] }
		w.order.Tenant, w.order.ClientID = "", ""
		for host, want := range map[string]string{
			"": "graph.microsoft.com", "https://login.microsoftonline.us/": "graph.microsoft.us", "https://login.microsoftonline.com": "graph.microsoft.com",
			"https://login.partner.microsoftonline.cn/": "microsoftgraph.chinacloudapi.cn",
		} {
			env["AZURE_AUTHORITY_HOST"] = host
			w.bodies.uris = nil
			if err := w.fetch(); err != nil || len(w.bodies.uris) != 1 || !strings.HasPrefix(w.bodies.uris[0], "https://"+want+"/") {
				t.Errorf("%s: %v, %s", host, err, w.bodies.uris)
			}
		}
		w.order.ClientSecretFile = ""
		env["AZURE_CLIENT_SECRET"] = fetchCanary
		if err := w.fetch(); err == nil || !strings.Contains(err.Error(), "AZURE_CLIENT_SECRET is not read") || strings.Contains(err.Error(), fetchCanary) {
			t.Error(err)
		}
	})
}

// TestFetchShowsNoSecret: neither the client secret nor a token of either kind is in what is printed, said or saved, but for
// the page tokens in the pages themselves.
func TestFetchShowsNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 1), Script: &simulator.Script{Rules: []simulator.Rule{
			{Kind: simulator.ExpiredLink, Page: "next", Nth: []int{2}}, {Kind: simulator.ServerError, Nth: []int{2}, Body: fetchCanary[:3]}}}})
		w.order.Streams, w.order.SavePages = []string{"audits"}, filepath.Join(w.dir, "pages")
		err := w.fetch()
		if err != nil {
			t.Fatal(err)
		}
		shown := map[string]string{"stdout": w.out.String(), "stderr": w.errs.String(), "manifest": w.read("pages/manifest.json")}
		skip := map[string]bool{}
		for _, uri := range w.bodies.uris {
			u, _ := url.Parse(uri)
			if token := u.Query().Get("$skiptoken"); token != "" {
				skip[token] = true
			}
		}
		if len(skip) == 0 {
			t.Fatal("no page token was used")
		}
		w.lacks(shown, slices.Collect(maps.Keys(skip))...)
		for _, page := range w.manifest().Pages {
			shown[page.File] = w.read("pages/" + page.File)
		}
		w.lacks(shown, append(w.bodies.tokens, fetchCanary)...)
	})
}

// lacks searches for secrets, as they are and encoded.
func (w *fetchWorld) lacks(shown map[string]string, secrets ...string) {
	w.Helper()
	for _, secret := range secrets {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret), url.PathEscape(secret)} {
			for where, text := range shown {
				if strings.Contains(text, form) {
					w.Errorf("%s shows %s", where, form)
				}
			}
		}
	}
}

// TestFetchDates: a bare date is midnight UTC wherever the machine stands.
func TestFetchDates(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	for _, zone := range []string{"Pacific/Auckland", "America/Los_Angeles", "UTC"} {
		where, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		time.Local = where
		for since, want := range map[string]string{
			"1999-12-29": "1999-12-29T00:00:00Z", "7d": "1999-12-25T00:00:00Z", "5m": "1999-12-31T23:55:00Z",
			"1999-12-29T10:00:00+13:00": "1999-12-28T21:00:00Z", "1999-12-29T10:00:00Z": "1999-12-29T10:00:00Z",
		} {
			synctest.Test(t, func(t *testing.T) {
				w := newFetchWorld(t, simulator.Options{})
				w.order.Since = since
				if err := w.fetch(); err != nil {
					t.Fatal(err)
				}
				w.says("signins.interactive since " + want + "\n")
				if got := w.bodies.filters(); !strings.HasPrefix(got[0], "createdDateTime ge "+want+" and ") {
					t.Errorf("--since %s in %s: %s", since, zone, got)
				}
			})
		}
	}
}
