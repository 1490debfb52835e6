package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// further are the collections beyond sign-ins and audits, as their reference pages have them.
var further = []struct {
	stream, path, time string
	onlyBeta           bool
	takes, refuses     []string // operators on time
	first, most        int      // rows of a page: without $top, and at most
	role               string
	free               bool // a tenant without a premium licence has it
	ordered            bool // $orderby is taken
}{
	{Provisioning, "auditLogs/provisioning", "activityDateTime", false, []string{"eq", "gt", "lt"}, []string{"ge", "le", "ne"}, 1000, 1000, "AuditLog.Read.All", false, true},
	{RiskDetections, "identityProtection/riskDetections", "lastUpdatedDateTime", false, []string{"ge", "le"}, []string{"ne"}, 20, 500, "IdentityRiskEvent.Read.All", false, true},
	{RiskUsers, "identityProtection/riskyUsers", "riskLastUpdatedDateTime", false, []string{"ge", "le"}, []string{"ne"}, 20, 100, "IdentityRiskyUser.Read.All", false, true},
	{RiskServicePrincipals, "identityProtection/riskyServicePrincipals", "riskLastUpdatedDateTime", false, []string{"ge", "le"}, []string{"ne"}, 20, 100, "IdentityRiskyServicePrincipal.Read.All", false, false},
	{ServicePrincipalDetections, "identityProtection/servicePrincipalRiskDetections", "lastUpdatedDateTime", false, []string{"ge", "le"}, []string{"ne"}, 20, 100, "IdentityRiskEvent.Read.All", false, false},
	{Alerts, "security/alerts_v2", "lastUpdateDateTime", false, []string{"ge", "le"}, []string{"ne"}, 50, 50, "SecurityAlert.Read.All", true, false},
	{Incidents, "security/incidents", "lastUpdateDateTime", false, []string{"ge", "le"}, []string{"ne"}, 50, 50, "SecurityIncident.Read.All", true, false},
	{Attributes, "auditLogs/customSecurityAttributeAudits", "activityDateTime", true, []string{"eq", "ge", "le"}, []string{"gt", "lt"}, 100, 100, "CustomSecAttributeAuditLogs.Read.All", true, true},
}

// full makes 1200 records of each stream within an hour.
func full(clock *fixedClock) Options {
	o := Options{Now: clock.now, Trace: true}
	for _, stream := range AllStreams() {
		o.Generate = append(o.Generate, Generate{Stream: stream, Rate: 1. / 3, Since: epoch, Until: epoch.Add(time.Hour)})
	}
	return o
}

func TestFurtherStreams(t *testing.T) {
	if len(further)+len(Streams()) != len(AllStreams()) {
		t.Errorf("%d streams, want %d", len(AllStreams()), len(further)+len(Streams()))
	}
	u := newUser(t, full(&fixedClock{epoch.Add(2 * time.Hour)}))
	for _, c := range further {
		t.Run(c.stream, func(t *testing.T) {
			v1, beta := "/v1.0/"+c.path, "/beta/"+c.path
			own := beta
			if !c.onlyBeta {
				own = v1
			}
			status := func(address, want string) {
				t.Helper()
				resp, body := u.get(address)
				if want == "" && resp.StatusCode != 200 || want != "" && (resp.StatusCode != 400 || !strings.Contains(string(body), want)) {
					t.Errorf("%s: %d %.200s, want %q", address, resp.StatusCode, body, want)
				}
			}
			status(address(beta, ""), "")
			if status(address(own, ""), ""); c.onlyBeta {
				status(address(v1, ""), "Resource not found for the segment")
			}
			for _, op := range c.takes {
				status(address(own, c.time+" "+op+" 2026-03-01T00:00:00Z"), "")
			}
			for _, op := range c.refuses {
				status(address(own, c.time+" "+op+" 2026-03-01T00:00:00Z"), "Invalid filter clause")
			}
			if !strings.HasPrefix(c.path, "security/") { // those have a createdDateTime, only not as their order
				status(address(own, "createdDateTime ge 2026-03-01T00:00:00Z"), "Could not find a property named 'createdDateTime'")
			}
			status(address(own, "", fmt.Sprintf("$top=%d", c.most)), "")
			status(address(own, "", fmt.Sprintf("$top=%d", c.most+1)), "Invalid page size specified")
			if c.ordered {
				status(address(own, "", "$orderby="+c.time), "")
			} else {
				status(address(own, "", "$orderby="+c.time), "Invalid orderby clause")
			}
			page := u.page(address(own, ""))
			if len(page.Value) != c.first || page.Next == nil || !strings.HasPrefix(*page.Next, graphBase+own+"?") {
				t.Errorf("the first page has %d rows and leads to %v", len(page.Value), page.Next)
			}
			ids := u.pages(address(own, "", fmt.Sprintf("$top=%d", c.most)))
			if slices.Sort(ids); len(ids) != 1200 || len(slices.Compact(ids)) != 1200 {
				t.Errorf("%d rows over all pages", len(ids))
			}
		})
	}
}

func TestFurtherStreamsAreRefused(t *testing.T) {
	o := full(&fixedClock{epoch.Add(2 * time.Hour)})
	o.Tenants = []Tenant{{ID: DefaultTenantID, Domain: DefaultDomain}, {ID: "b", Domain: "free.example.com", Free: true, Unlicensed: []string{Incidents}}}
	for _, c := range further {
		o.Tenants = append(o.Tenants, Tenant{ID: c.stream, Domain: c.stream + ".example.com", Roles: slices.DeleteFunc(Roles(), func(r string) bool { return r == c.role })})
	}
	u := newUser(t, o)
	says := func(path string) (int, string) {
		resp, body := u.get(address("/beta/"+path, ""))
		return resp.StatusCode, string(body)
	}
	for _, c := range further {
		u.signIn(c.stream + ".example.com")
		if status, body := says(c.path); status != 403 || !strings.Contains(body, "Authentication_MSGraphPermissionMissing") || !strings.Contains(body, c.role) {
			t.Errorf("%s without %s: %d %s", c.stream, c.role, status, body)
		}
		u.signIn("free.example.com")
		want := 403
		if c.free && c.stream != Incidents {
			want = 200
		}
		if status, body := says(c.path); status != want || want == 403 && !strings.Contains(body, "premium license") {
			t.Errorf("%s without a licence: %d %.200s", c.stream, status, body)
		}
	}
}

// TestFurtherRecords holds what every made-up record has: an id of its own, its time, and the members that tell its stream.
func TestFurtherRecords(t *testing.T) {
	for n, stream := range AllStreams() {
		ids := map[string]bool{}
		for i := range int64(200) {
			at := epoch.Add(time.Duration(i) * time.Second)
			raw := AppendRecord(nil, stream, 7, i, at)
			var m members
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatalf("%s: %v\n%s", stream, err, raw)
			}
			if ids[m.ID] || m.ID == "" || m.time(n) != iso(at) || m.stream() != n {
				t.Fatalf("%s %d: id %q, time %q, taken for stream %d\n%s", stream, i, m.ID, m.time(n), m.stream(), raw)
			}
			ids[m.ID] = true
		}
	}
}

func TestFurtherRecordsAreLoaded(t *testing.T) {
	var lines []byte
	for _, stream := range AllStreams() {
		lines = append(AppendRecord(lines, stream, 7, 1, epoch), '\n')
	}
	file := filepath.Join(t.TempDir(), "records.json")
	if err := os.WriteFile(file, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	u := newUser(t, Options{Now: (&fixedClock{epoch.Add(time.Hour)}).now})
	if n, err := u.server.LoadFile(file); n != len(AllStreams()) || err != nil {
		t.Fatal(n, err)
	}
	for row := range u.server.Expected(epoch.Add(time.Hour)) {
		lines = slices.Concat(lines, []byte(row.Stream+";"))
	}
	for _, c := range further {
		if p := u.page(address("/beta/"+c.path, "")); len(p.Value) != 1 || strings.Count(string(lines), c.stream+";") != 1 {
			t.Errorf("%s has %d rows", c.stream, len(p.Value))
		}
	}
}

// TestYoungMembers wants members of enumerations that are younger than the API's version hidden from clients that do not ask for them.
func TestYoungMembers(t *testing.T) {
	u := newUser(t, full(&fixedClock{epoch.Add(2 * time.Hour)}))
	for prefer, want := range map[string]bool{"": true, "include-unknown-enum-members": false} {
		req, err := http.NewRequest(http.MethodGet, address("/v1.0/security/alerts_v2", ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+u.token)
		req.Header.Set("Prefer", prefer)
		resp, err := u.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body := string(readAll(t, resp))
		if hidden, shown := strings.Contains(body, "unknownFutureValue"), strings.Contains(body, "microsoftSentinel"); hidden != want || shown == want {
			t.Errorf("Prefer %q: hidden %t, shown %t", prefer, hidden, shown)
		}
	}
}

// TestRecordsMove wants a record of a stream ordered by the last update once, at the time of its newest version.
func TestRecordsMove(t *testing.T) {
	clock := &fixedClock{epoch}
	o := Options{Now: clock.now, Trace: true, TokenLife: 24 * time.Hour}
	for _, c := range further {
		o.Generate = append(o.Generate, Generate{Stream: c.stream, Rate: 0.1, Since: epoch, Until: epoch.Add(time.Hour), Updates: Updates{Share: 0.4, After: 3 * time.Hour},
			Lateness: Lateness{Median: time.Minute, P95: 5 * time.Minute}})
	}
	u := newUser(t, o)
	own := Record{Raw: []byte(`{"id":"own","lastUpdatedDateTime":"2026-03-01T12:10:00Z","userId":"one"}`),
		Updates: []Update{{At: epoch.Add(time.Hour), Raw: []byte(`{"id":"own","lastUpdatedDateTime":"2026-03-01T13:00:00Z","userId":"two"}`)}}}
	if err := u.server.Add(RiskDetections, own); err != nil {
		t.Fatal(err)
	}
	moved := map[string]int{}
	for range 30 {
		clock.t = clock.t.Add(13 * time.Minute)
		want := map[string]map[string]time.Time{}
		for row := range u.server.Expected(clock.t) {
			if want[row.Stream] == nil {
				want[row.Stream] = map[string]time.Time{}
			}
			want[row.Stream][row.ID] = row.Time
			if moving(streamIndex(row.Stream)) && row.Version > 0 {
				moved[row.Stream]++
			}
		}
		for _, c := range further {
			got := map[string]bool{}
			// The hours one by one, in pages that do not fit.
			for from := epoch; from.Before(clock.t); from = from.Add(time.Hour) {
				lower, upper := "ge", "lt"
				switch c.stream {
				case Provisioning:
					lower = "gt"
				case Attributes:
					upper = "le"
				}
				filter := fmt.Sprintf("%s %s %s and %s %s %s", c.time, lower, from.Format(time.RFC3339), c.time, upper, from.Add(time.Hour).Format(time.RFC3339))
				for _, id := range u.pages(address("/beta/"+c.path, filter, "$top=17")) {
					at, ok := want[c.stream][id]
					if !ok || got[id] || at.Before(from) || !at.Before(from.Add(time.Hour)) {
						t.Fatalf("%s at %s: %s of %s lies in the hour from %s, or came twice", c.stream, clock.t, id, at, from)
					}
					got[id] = true
				}
			}
			if len(got) != len(want[c.stream]) {
				t.Fatalf("%s at %s: %d rows, want %d", c.stream, clock.t, len(got), len(want[c.stream]))
			}
		}
	}
	for _, c := range further {
		if (moved[c.stream] > 100) != moving(streamIndex(c.stream)) {
			t.Errorf("%d records of %s have moved", moved[c.stream], c.stream)
		}
	}
	if p := u.page(address("/v1.0/identityProtection/riskDetections", "userId eq 'two'")); len(p.Value) != 1 {
		t.Errorf("the changed record is found by its old content only")
	}
	for row := range u.server.Shown() {
		if row.ID == "own" && row.Version == 1 && row.Time.Equal(epoch.Add(time.Hour)) {
			return
		}
	}
	t.Error("the changed record was not noted as shown")
}

// TestRiskBudget throttles identity protection per tenant, whatever the client, and says nothing of when to come again.
func TestRiskBudget(t *testing.T) {
	now := epoch
	o := full(&fixedClock{epoch.Add(2 * time.Hour)})
	o.Monotonic, o.RiskBudget, o.Budget = func() time.Time { return now }, Budget{1, time.Second}, Budget{2, time.Second}
	u := newUser(t, o)
	for i, c := range []struct {
		path   string
		status int
	}{{"identityProtection/riskyUsers", 200}, {"identityProtection/riskDetections", 429}, {"security/incidents", 200}, {"auditLogs/provisioning", 200}} {
		resp, body := u.get(address("/v1.0/"+c.path, ""))
		if resp.StatusCode != c.status || resp.Header.Get("Retry-After") != "" {
			t.Errorf("request %d: %d %v %.100s", i, resp.StatusCode, resp.Header, body)
		}
	}
	now = now.Add(time.Second)
	if resp, _ := u.get(address("/v1.0/identityProtection/riskDetections", "")); resp.StatusCode != 200 {
		t.Errorf("a second later: %d", resp.StatusCode)
	}
	for caller, n := range u.server.Stats().Busiest {
		if n > 1 {
			t.Errorf("%v: %d reports, want the one", caller, n)
		}
	}
}
