package entra

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestLegacyFaults has what this API refuses in its own words.
func TestLegacyFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		tenant  simulator.Tenant
		streams map[string]string // what the refusal says
	}{
		{"no role", simulator.Tenant{NoReader: true}, map[string]string{"signins.interactive": "not in the directory role Security Reader", "audits": ""}},
		{"EU", simulator.Tenant{EU: true}, map[string]string{"signins.interactive": "", "audits": "sign in as a user there (auth.device_code)"}},
		{"no licence", simulator.Tenant{Free: true}, map[string]string{"signins.interactive": "the licence is Microsoft Entra ID P1 or P2", "audits": ""}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c.tenant.ID, c.tenant.Domain = simulator.DefaultTenantID, simulator.DefaultDomain
			_, f, slice := legacyWorld(t, 0.1, simulator.Options{Tenants: []simulator.Tenant{c.tenant}}, nil)
			for stream, says := range c.streams {
				slice.Stream = stream
				_, ids, err := all(t.Context(), f, slice)
				if says == "" && (err != nil || len(ids) < 300) {
					t.Errorf("%s, %s: %d records, %v", c.name, stream, len(ids), err)
				}
				if says != "" && ((KindOf(err) == KindLicence) != (c.name == "no licence") || (fault.Of(err) == fault.Blocked) != (KindOf(err) == KindAccess) || !strings.Contains(err.Error(), says)) {
					t.Errorf("%s, %s: %v", c.name, stream, err)
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		_, f, slice := legacyWorld(t, 0.1, simulator.Options{OldestBound: 8 * day}, nil)
		slice.Stream, slice.From = "audits", slice.From.Add(-9*day)
		if _, _, err := all(t.Context(), f, slice); !TooOld(err) {
			t.Errorf("older than what is kept: %v", err)
		}
	})
	odata := func(message string) string {
		return `{"odata.error":{"code":"Request_X","message":{"lang":"en","value":"` + message + `"}}}`
	}
	for _, c := range []struct {
		status     int
		body, says string
		kind       Kind
		class      fault.Class
	}{
		{404, "", "Azure AD Graph is retired, write api: graph", KindAccess, fault.Blocked},
		{410, "", "Azure AD Graph is retired, write api: graph", KindAccess, fault.Blocked},
		{401, odata("expired"), "a fresh access token was refused", KindAccess, fault.Blocked},
		{403, odata("no"), "Security Reader", KindAccess, fault.Blocked},
		{400, odata("Invalid filter clause: x"), "Request_X: Invalid filter clause: x", KindFilter, fault.Blocked},
		{400, odata("Invalid Skip Token"), "the page token is no longer good", KindToken, fault.Retryable},
		{400, `{"error":{"code":"Request_X","message":{"lang":"en","value":"in another shell"}}}`, "Request_X: in another shell", KindRequest, fault.Retryable},
		{400, `{"odata.error":{}}`, "odata.error", KindRequest, fault.Retryable}, // quoted as it came
		{500, odata("busy"), "Request_X: busy", KindServer, fault.Retryable},
		{429, odata("later"), "Request_X: later", KindThrottled, fault.Retryable},
		{200, odata("within the page"), "beside the rows", KindBody, fault.Retryable},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(c.status, nil, c.body), nil }}
			f := newFetcher(t, a, legacyConfig(t, nil), Options{})
			_, _, err := all(t.Context(), f, auditSlice())
			if KindOf(err) != c.kind || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%d %s: kind %q, class %s: %v", c.status, c.body, KindOf(err), fault.Of(err), err)
			}
		})
	}
}

// TestLegacyPageFaults meets the simulator's faults on the second page, as TestSimulatorFaults does for Microsoft Graph.
func TestLegacyPageFaults(t *testing.T) {
	for _, c := range []struct {
		rule simulator.Rule
		kind Kind // "": the slice is read to its end
	}{
		{simulator.Rule{Kind: simulator.ExpiredToken, Nth: []int{1}}, ""},
		{simulator.Rule{Kind: simulator.EmptyPage, Nth: []int{1}}, ""},
		{simulator.Rule{Kind: simulator.DuplicateAcross, Rows: 3, Nth: []int{1}}, ""},
		{simulator.Rule{Kind: simulator.NoID}, ""},
		{simulator.Rule{Kind: simulator.NoTime}, ""},
		{simulator.Rule{Kind: simulator.OutsideRows, Rows: 2}, ""},
		{simulator.Rule{Kind: simulator.ExpiredLink}, KindToken},
		{simulator.Rule{Kind: simulator.EmptyLink}, KindToken},
		{simulator.Rule{Kind: simulator.LoopLink}, KindLoop},
		{simulator.Rule{Kind: simulator.ForeignLink}, KindLink},
		{simulator.Rule{Kind: simulator.Throttle, RetryAfter: "2.128"}, KindThrottled},
		{simulator.Rule{Kind: simulator.ServerError}, KindServer},
		{simulator.Rule{Kind: simulator.NoLicence}, KindLicence},
		{simulator.Rule{Kind: simulator.NoRole}, KindAccess},
		{simulator.Rule{Kind: simulator.Garbage}, KindBody},
		{simulator.Rule{Kind: simulator.Truncate}, KindTruncated},
	} {
		t.Run(string(c.rule.Kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.rule.Page = "next"
				_, f, slice := legacyWorld(t, 0.5, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{c.rule}}}, nil)
				slice.Stream = "audits"
				_, ids, err := all(t.Context(), f, slice)
				if KindOf(err) != c.kind || c.kind == "" && len(ids) < 1790 {
					t.Errorf("kind %q after %d rows, want %q: %v", KindOf(err), len(ids), c.kind, err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		rule := simulator.Rule{Kind: simulator.IgnoreFilter}
		_, f, slice := legacyWorld(t, 0.5, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{rule}}}, nil)
		slice.Stream, slice.To = "signins.interactive", slice.From.Add(time.Minute)
		if _, _, err := all(t.Context(), f, slice); KindOf(err) != KindFilter {
			t.Errorf("an ignored filter: %v", err)
		}
	})
}
