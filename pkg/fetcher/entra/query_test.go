package entra

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

func TestFirstURL(t *testing.T) {
	hour := event.Slice{From: from, To: from.Add(time.Hour)}
	base, _ := url.Parse("https://graph.microsoft.com")
	for _, c := range []struct {
		stream, version, own string
		most                 int
		slice                event.Slice
		path, filter, top    string
	}{
		{"signins.interactive", "", "", 0, hour, "/beta/auditLogs/signIns",
			"createdDateTime ge 2026-01-01T00:00:00Z and createdDateTime le 2026-01-01T01:00:00Z and signInEventTypes/any(t: t eq 'interactiveUser')", "1000"},
		{"signins.managedidentity", "beta", "appId eq 'a''b'", 0, hour, "/beta/auditLogs/signIns",
			"(appId eq 'a''b') and createdDateTime ge 2026-01-01T00:00:00Z and createdDateTime le 2026-01-01T01:00:00Z and signInEventTypes/any(t: t eq 'managedIdentity')", "1000"},
		{"signins.interactive", "v1.0", "", 0, hour, "/v1.0/auditLogs/signIns", "createdDateTime ge 2026-01-01T00:00:00Z and createdDateTime le 2026-01-01T01:00:00Z", "1000"},
		{"audits", "", "a or b", 50, event.Slice{From: from.Add(1500 * time.Millisecond), Top: 100}, "/v1.0/auditLogs/directoryAudits", "(a or b) and activityDateTime ge 2026-01-01T00:00:01Z", "50"},
		{"audits", "", "", 0, event.Slice{From: from, To: from.Add(1500 * time.Millisecond), Top: 7}, "/v1.0/auditLogs/directoryAudits",
			"activityDateTime ge 2026-01-01T00:00:00Z and activityDateTime le 2026-01-01T00:00:02Z", "7"},
		{"provisioning", "", "", 0, hour, "/v1.0/auditLogs/provisioning", "activityDateTime gt 2025-12-31T23:59:59Z and activityDateTime lt 2026-01-01T01:00:01Z", "1000"},
		{"audits", "", "", 0, event.Slice{From: from.In(time.FixedZone("", 7200))}, "/v1.0/auditLogs/directoryAudits", "activityDateTime ge 2026-01-01T00:00:00Z", "1000"},
		{"risk.detections", "", "", 0, event.Slice{Top: 5000}, "/v1.0/identityProtection/riskDetections", "", "500"},
	} {
		row, _ := Lookup(c.stream)
		row, err := row.in(c.version)
		if err != nil {
			t.Fatal(err)
		}
		raw := row.firstURL(base, c.own, c.most, c.slice)
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); u.Path != c.path || q.Get("$filter") != c.filter || q.Get("$top") != c.top {
			t.Errorf("%s\n path %s\n filter %s\n want   %s\n top %s", raw, u.Path, q.Get("$filter"), c.filter, q.Get("$top"))
		}
		if strings.ContainsAny(raw, "+ '") || c.filter != "" && !strings.Contains(raw, "&$filter=") {
			t.Errorf("%s is not spelt as it should be", raw)
		}
	}
}

func TestCutTokens(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h/p?$top=5&$skiptoken=abc&$filter=x%20eq%201": "https://h/p?$top=5&$skiptoken=..&$filter=x%20eq%201",
		"https://h/p?%24SkipToken=abc==":                       "https://h/p?%24SkipToken=..",
		"https://h/p":                                          "https://h/p",
	} {
		u, _ := url.Parse(raw)
		if got := cutTokens(u); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestRequests looks at what leaves the house: two pages with the same headers, the link as it was given, and what Observe is told.
func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := "https://Graph.Microsoft.com:443/v1.0/auditLogs/directoryaudits?$filter=a%20b%2B&$skiptoken=9177_1"
		date := time.Date(2026, 5, 5, 5, 5, 5, 0, time.UTC)
		a := &api{}
		a.serve = func(r *http.Request) (*http.Response, error) {
			header := map[string]string{"Date": date.Format(http.TimeFormat), "Request-Id": "r-1", "X-Ms-Ags-Diagnostic": "{}"}
			if strings.Contains(r.URL.RawQuery, "skiptoken") {
				return respond(200, header, auditPage(2, 1, "")), nil
			}
			return respond(200, header, auditPage(0, 2, next)), nil
		}
		var told []Request
		f := newFetcher(t, a, testConfig(t, nil), Options{UserAgent: "logferry/1.2.3", Observe: func(r Request) { told = append(told, r) }})
		if now := f.Now(); !now.Equal(time.Now()) {
			t.Errorf("now is %s before the first reply", now)
		}
		pages, ids, err := all(t.Context(), f, auditSlice())
		if err != nil || pages != 2 || len(ids) != 3 {
			t.Fatalf("%d pages, %q, %v", pages, ids, err)
		}
		time.Sleep(time.Minute)
		if now := f.Now(); !now.Equal(date.Add(time.Minute)) {
			t.Errorf("now is %s, want a minute after %s", now, date)
		}
		guids := map[string]bool{}
		for _, r := range a.requests {
			h := r.Header
			if h.Get("Authorization") != "Bearer "+jwt(1) || h.Get("Prefer") != "include-unknown-enum-members" || h.Get("User-Agent") != "logferry/1.2.3" || len(h.Get("Client-Request-Id")) != 36 || h.Get("Accept-Encoding") != "" {
				t.Errorf("headers %v", h)
			}
			guids[h.Get("Client-Request-Id")] = true
		}
		if len(guids) != 2 || a.requests[1].URL.String() != next {
			t.Errorf("%d ids, link %s", len(guids), a.requests[1].URL)
		}
		if len(told) != 3 || told[0].Stream != "" || strings.Contains(told[2].URL, "9177") {
			t.Fatalf("told %+v", told)
		}
		got := told[2]
		got.ClientRequestID, got.URL, got.Bytes = "", "", 0
		if want := (Request{Stream: "audits", Reader: "live", Page: 2, Method: "GET", Status: 200, Waited: 2040 * time.Millisecond, Rows: 1, RequestID: "r-1", Diagnostic: "{}"}); got != want {
			t.Errorf("told %+v, want %+v", got, want)
		}
	})
}

func TestTenant(t *testing.T) {
	f := newFetcher(t, &api{}, testConfig(t, nil), Options{})
	tenant, err := f.Tenant(t.Context())
	roles, rolesErr := f.Roles(t.Context())
	if tenant != testTenant || err != nil || rolesErr != nil || len(roles) != 1 || f.Cloud() != "global" {
		t.Errorf("tenant %q %v, roles %q %v, cloud %q", tenant, err, roles, rolesErr, f.Cloud())
	}
	opaque := &api{token: func(*http.Request) (*http.Response, error) {
		return respond(200, nil, `{"token_type":"Bearer","expires_in":3599,"access_token":"opaque"}`), nil
	}}
	f = newFetcher(t, opaque, testConfig(t, func(c *Config) { c.Tenant = "Contoso.COM" }), Options{})
	if tenant, err := f.Tenant(t.Context()); tenant != "contoso.com" || err != nil {
		t.Errorf("tenant %q %v", tenant, err)
	}
}
