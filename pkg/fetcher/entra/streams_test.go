package entra

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
)

// TestEveryRow holds each row of the table against what its first request of an hour is to be.
func TestEveryRow(t *testing.T) {
	base, _ := url.Parse("https://graph.microsoft.com")
	between := func(member string) string {
		return member + " ge 2026-01-01T00:00:00Z and " + member + " le 2026-01-01T01:00:00Z"
	}
	kind := func(name string) string {
		return between("createdDateTime") + " and signInEventTypes/any(t: t eq '" + name + "')"
	}
	want := map[string][3]string{
		"signins.interactive":              {"/beta/auditLogs/signIns", "1000", kind("interactiveUser")},
		"signins.noninteractive":           {"/beta/auditLogs/signIns", "1000", kind("nonInteractiveUser")},
		"signins.serviceprincipal":         {"/beta/auditLogs/signIns", "1000", kind("servicePrincipal")},
		"signins.managedidentity":          {"/beta/auditLogs/signIns", "1000", kind("managedIdentity")},
		"audits":                           {"/v1.0/auditLogs/directoryAudits", "1000", between("activityDateTime")},
		"provisioning":                     {"/v1.0/auditLogs/provisioning", "1000", "activityDateTime gt 2025-12-31T23:59:59Z and activityDateTime lt 2026-01-01T01:00:01Z"},
		"risk.detections":                  {"/v1.0/identityProtection/riskDetections", "500", between("lastUpdatedDateTime")},
		"risk.users":                       {"/v1.0/identityProtection/riskyUsers", "100", between("riskLastUpdatedDateTime")},
		"risk.serviceprincipals":           {"/v1.0/identityProtection/riskyServicePrincipals", "100", between("riskLastUpdatedDateTime")},
		"risk.serviceprincipal_detections": {"/v1.0/identityProtection/servicePrincipalRiskDetections", "100", between("lastUpdatedDateTime")},
		"security.alerts":                  {"/v1.0/security/alerts_v2", "50", between("lastUpdateDateTime")},
		"security.incidents":               {"/v1.0/security/incidents", "50", between("lastUpdateDateTime")},
		"attributes":                       {"/beta/auditLogs/customSecurityAttributeAudits", "100", between("activityDateTime")},
	}
	for _, row := range Table() {
		row, err := row.in("")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(row.firstURL(base, "", 0, event.Slice{From: from, To: from.Add(time.Hour)}))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if got := [3]string{u.Path, q.Get("$top"), q.Get("$filter")}; got != want[row.Name] || len(q) != 2 {
			t.Errorf("%s: %s", row.Name, cmp.Diff(want[row.Name], got))
		}
		delete(want, row.Name)
	}
	if len(want) > 0 {
		t.Errorf("the table lacks %v", want)
	}
}

// TestNamedRow: a row that a later release adds is switched on by its name alone, so that an upgrade changes nothing.
func TestNamedRow(t *testing.T) {
	old := table
	t.Cleanup(func() { table = old })
	table = append(slices.Clone(old), Stream{Name: "risk.agents", Named: true, Path: "identityProtection/riskyAgents", Version: beta, TimeMember: "lastModifiedDateTime",
		Lower: ge, Upper: le, Page: 100, Permission: "x", Licence: "x"})
	for pattern, want := range map[string]bool{"": false, "*": false, "risk.*": false, "risk.agent?": false, "risk.agents": true} {
		var patterns []string
		if pattern != "" {
			patterns = []string{pattern, "audits"}
		}
		names, err := Streams(patterns)
		if got := slices.Contains(names, "risk.agents"); got != want || (err != nil) != (pattern == "risk.agent?") {
			t.Errorf("%q switches it on: %t, %v", pattern, got, err)
		}
	}
	f := newFetcher(t, &api{}, testConfig(t, func(c *Config) { c.Streams = []string{"risk.agents"} }), Options{})
	if f.Page("risk.agents") != 100 || f.Apart("risk.agents") || f.Moves("risk.agents") {
		t.Error("a row is not all that a stream needs")
	}
}

// TestBudgetClasses: reports, identity protection and security have a limit each; a refusal pauses the streams of its own alone.
func TestBudgetClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		at, refuse := map[string][]time.Time{}, ""
		a := &api{serve: func(r *http.Request) (*http.Response, error) {
			group := strings.Split(r.URL.Path, "/")[2]
			mu.Lock()
			defer mu.Unlock()
			at[group] = append(at[group], time.Now())
			if group == refuse {
				return respond(429, map[string]string{"Retry-After": "100"}, graphBody("TooManyRequests", "later")), nil
			}
			return respond(200, nil, `{"value":[]}`), nil
		}}
		shared := NewShared()
		all13 := func(c *Config) { c.Streams = []string{"*"} }
		one := newFetcher(t, a, testConfig(t, all13), Options{Shared: shared})
		two := newFetcher(t, a, testConfig(t, func(c *Config) { all13(c); c.Auth.ClientID = "another" }), Options{Shared: shared})
		if one.limits[identityProtection] != two.limits[identityProtection] || one.limits[security] == two.limits[security] || one.limits[reports] == two.limits[reports] {
			t.Error("identity protection counts per tenant, the others per app")
		}
		read := func(f *Fetcher, times int) {
			var group sync.WaitGroup
			for _, row := range Table() {
				for range times {
					group.Go(func() {
						_, _, _ = all(t.Context(), f, event.Slice{Stream: row.Name, From: from, To: from.Add(time.Hour)})
					})
				}
			}
			group.Wait()
		}
		read(one, 4)
		for group, want := range map[string]time.Duration{"auditLogs": 2040 * time.Millisecond, "identityProtection": 1020 * time.Millisecond, "security": 408 * time.Millisecond} {
			for i := 1; i < len(at[group]); i++ {
				if d := at[group][i].Sub(at[group][i-1]); d != want {
					t.Errorf("request %d of %s came %s after the one before, want %s", i, group, d, want)
				}
			}
		}
		granted := one.Budget().Granted
		if n := granted[event.ClassLive]; n != 4*uint64(len(table)) || one.Budget().Interval != 2040*time.Millisecond {
			t.Errorf("%d requests granted", n)
		}

		refuse = "identityProtection"
		_, _, err := all(t.Context(), one, event.Slice{Stream: "risk.users", From: from, To: from.Add(time.Hour)})
		if KindOf(err) != KindThrottled || fault.Pause(err) != 100*time.Second {
			t.Fatal(err)
		}
		begin := time.Now()
		for _, stream := range []string{"audits", "security.alerts"} {
			if _, _, err := all(t.Context(), one, event.Slice{Stream: stream, From: from, To: from.Add(time.Hour)}); err != nil || time.Since(begin) > 5*time.Second {
				t.Errorf("%s waited %s for a pause that is not its own: %v", stream, time.Since(begin), err)
			}
		}
		refuse = ""
		if _, _, err := all(t.Context(), two, event.Slice{Stream: "risk.detections", From: from, To: from.Add(time.Hour)}); err != nil || time.Since(begin) < 99*time.Second {
			t.Errorf("another app in the tenant asked %s after the refusal: %v", time.Since(begin), err)
		}
	})
}

// TestClassSpacing: the configuration's budget is that of the reports, and makes the other classes faster but never slower.
func TestClassSpacing(t *testing.T) {
	for _, c := range []struct {
		own                     Budget
		reports, risk, security time.Duration
	}{
		{Budget{}, 2 * time.Second, time.Second, 400 * time.Millisecond},
		{Budget{1, field.Duration(10 * time.Second)}, 10 * time.Second, time.Second, 400 * time.Millisecond},
		{Budget{100, field.Duration(time.Second)}, 10 * time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond},
	} {
		if got := [3]time.Duration{reports.spacing(c.own), identityProtection.spacing(c.own), security.spacing(c.own)}; got != [3]time.Duration{c.reports, c.risk, c.security} {
			t.Errorf("%+v: %v", c.own, got)
		}
	}
}

// TestMovingRows are exactly those whose time member is a last update.
func TestMovingRows(t *testing.T) {
	for _, row := range Table() {
		if row.Moves != strings.Contains(strings.ToLower(row.TimeMember), "lastupdate") {
			t.Errorf("%s moves: %t", row.Name, row.Moves)
		}
		if wants := strings.HasPrefix(row.Path, "identityProtection/"); (row.Budget == identityProtection) != wants {
			t.Errorf("%s counts against budget %d", row.Name, row.Budget)
		}
		if wants := strings.HasPrefix(row.Path, "security/"); (row.Budget == security) != wants {
			t.Errorf("%s counts against budget %d", row.Name, row.Budget)
		}
	}
}

// TestVolatileMembers: a member that says nothing new when it changes makes no other version of a record, in its rows alone.
func TestVolatileMembers(t *testing.T) {
	for _, c := range []struct {
		stream, time string
		same         bool
	}{
		{"risk.users", "riskLastUpdatedDateTime", true},
		{"risk.serviceprincipals", "riskLastUpdatedDateTime", true},
		{"audits", "activityDateTime", false},
	} {
		page := func(processing string) string {
			return `{"value":[{"id":"1","` + c.time + `":"2026-01-01T00:00:01Z","isProcessing":` + processing + `}]}`
		}
		synctest.Test(t, func(t *testing.T) {
			body := page("true")
			a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, body), nil }}
			f := newFetcher(t, a, testConfig(t, func(c *Config) { c.Streams = []string{"risk.*", "audits"} }), Options{})
			var digests []event.Digest
			for _, body = range []string{page("true"), page("false")} {
				for p, err := range f.Fetch(t.Context(), event.Slice{Stream: c.stream, From: from, To: from.Add(time.Hour)}) {
					if err != nil {
						t.Fatal(err)
					}
					digests = append(digests, p.Records[0].Digest)
				}
			}
			if len(digests) != 2 || (digests[0] == digests[1]) != c.same {
				t.Errorf("%s: %x", c.stream, digests)
			}
		})
	}
}
