package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestQueryRefusals(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	u := newUser(t, Options{Now: clock.now, Generate: all(0.1)})
	for _, tc := range []struct{ name, address, want string }{
		{"quoted date", signInsAt("createdDateTime ge '2026-03-01T00:00:00Z'"), "Invalid filter clause"},
		{"date without time", signInsAt("createdDateTime ge 2026-03-01"), `Invalid filter clause: Unrecognized date literal "2026-03-01".`},
		{"no such property", signInsAt("created ge 2026-03-01T00:00:00Z"), "Invalid filter clause: Could not find a property named 'created' on type 'microsoft.graph.signIn'."},
		{"case of a property", signInsAt("createddatetime ge 2026-03-01T00:00:00Z"), "Invalid filter clause: Could not find a property named 'createddatetime' on type 'microsoft.graph.signIn'."},
		{"property of the other report", address("/v1.0/auditLogs/directoryAudits", "createdDateTime ge 2026-03-01T00:00:00Z"),
			"Invalid filter clause: Could not find a property named 'createdDateTime' on type 'microsoft.graph.directoryAudit'."},
		{"kinds on v1.0", address("/v1.0/auditLogs/signIns", kindOf(NonInteractive)), "Invalid filter clause: Could not find a property named 'signInEventTypes' on type 'microsoft.graph.signIn'."},
		{"no such kind", signInsAt("signInEventTypes/any(t: t eq 'robot')"), "Invalid filter clause: The value 'robot' is not a member of 'signInEventTypes'."},
		{"open parenthesis", signInsAt("(createdDateTime ge 2026-03-01T00:00:00Z"), "Invalid filter clause: Syntax error: ')' expected, found ''."},
		{"open string", signInsAt("userId eq 'x"), "Invalid filter clause: There is an unterminated string literal at position 10."},
		{"trailing word", signInsAt("userId eq 'x' userId"), "Invalid filter clause: Syntax error at 'userId'."},
		{"ge on a text", signInsAt("userId ge 'x'"), "Invalid filter clause: operator 'ge' is not supported on 'userId'."},
		{"deep", signInsAt(strings.Repeat("(", 200)), "Invalid filter clause: The node count limit of '100' has been exceeded."},
		{"top too large", signInsAt("", "$top=1001"), "Invalid page size specified: '1001'. Must be between 1 and 1000 inclusive."},
		{"top zero", signInsAt("", "$top=0"), "Invalid page size specified: '0'. Must be between 1 and 1000 inclusive."},
		{"skip", signInsAt("", "$skip=10"), "Query option 'Skip' is not allowed. To allow it, set the 'AllowedQueryOptions' property on EnableQueryAttribute or QueryValidationSettings."},
		{"order by another property", signInsAt("", "$orderby=userId"), "Invalid orderby clause: 'userId'."},
		{"null token", signInsAt("", "$skiptoken="), "Invalid Skip Token, skip token is null"},
		{"forged token", signInsAt("", "$skiptoken=AAAA"), "Invalid Skip Token"},
		{"no such report", address("/beta/auditLogs/signUps", ""), "Resource not found for the segment 'signups'."},
	} {
		resp, body := u.get(tc.address)
		var p reply
		if err := json.Unmarshal(body, &p); err != nil || resp.StatusCode != 400 || p.Error.Message != tc.want {
			t.Errorf("%s: %d %q, want 400 %q", tc.name, resp.StatusCode, p.Error.Message, tc.want)
		}
	}
}

func TestQueryResults(t *testing.T) {
	clock := &fixedClock{epoch.Add(100 * time.Second)}
	u := newUser(t, Options{Now: clock.now, Generate: all(1)})
	// Five records a stream with chosen times, long before the generated ones.
	for _, stream := range Streams() {
		name := "createdDateTime"
		if stream == Audits {
			name = "activityDateTime"
		}
		for i := range 5 {
			raw := fmt.Sprintf(`{"id":"%s-%d","%s":"2026-02-01T00:00:0%d.5Z","userId":"u%d","userPrincipalName":"It's.%d@contoso.com"}`, stream, i, name, i, i%2, i)
			if err := u.server.Add(stream, Record{Raw: []byte(raw)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	const feb = "createdDateTime lt 2026-02-02T00:00:00Z"
	audits := func(filter string, more ...string) string {
		return address("/v1.0/AUDITLOGS/directoryaudits", filter, more...)
	}
	for _, tc := range []struct{ name, address, want string }{
		{"newest first", signInsAt(feb), "interactive 4 3 2 1 0"},
		{"ascending", signInsAt(feb, "$orderby=createdDateTime+asc"), "interactive 0 1 2 3 4"},
		{"ascending is orderby's own default", signInsAt(feb, "%24orderby=createdDateTime"), "interactive 0 1 2 3 4"},
		{"v1.0", address("/v1.0/auditLogs/signIns", feb), "interactive 4 3 2 1 0"},
		{"pages", signInsAt(feb, "$top=2"), "interactive 4 3 2 1 0"},
		{"page as long as the list", signInsAt(feb, "$top=5"), "interactive 4 3 2 1 0"},
		{"ge", signInsAt(feb + " and createdDateTime ge 2026-02-01T00:00:02.5Z"), "interactive 4 3 2"},
		{"gt", signInsAt(feb + " and createdDateTime gt 2026-02-01T00:00:02.5Z"), "interactive 4 3"},
		{"le", signInsAt("createdDateTime le 2026-02-01T00:00:02.5000000Z"), "interactive 2 1 0"},
		{"lt", signInsAt("createdDateTime lt 2026-02-01T00:00:02.5Z"), "interactive 1 0"},
		{"eq", signInsAt("createdDateTime eq 2026-02-01T00:00:02.50Z"), "interactive 2"},
		{"or of times", signInsAt("(createdDateTime lt 2026-02-01T00:00:01Z) or ((createdDateTime gt 2026-02-01T00:00:04Z) and " + feb + ")"), "interactive 4 0"},
		{"and binds closer", signInsAt("userId eq 'u1' and " + feb + " or createdDateTime eq 2026-02-01T00:00:02.5Z"), "interactive 3 2 1"},
		{"offset", signInsAt("createdDateTime le 2026-02-01T01:00:01.5+01:00"), "interactive 1 0"},
		{"no overlap", signInsAt("createdDateTime le 2026-02-01T00:00:01Z and createdDateTime ge 2026-02-01T00:00:03Z"), ""},
		{"kind", signInsAt(kindOf(ManagedIdentity) + " and " + feb), "managedidentity 4 3 2 1 0"},
		{"two kinds", signInsAt("signInEventTypes/any(t:t eq 'interactiveUser' or t eq 'nonInteractiveUser') and createdDateTime lt 2026-02-01T00:00:02Z"),
			"noninteractive 1 interactive 1 noninteractive 0 interactive 0"},
		{"colon alone", signInsAt("signInEventTypes/any(t : t eq 'managedIdentity') and " + feb), "managedidentity 4 3 2 1 0"},
		{"not interactive", signInsAt("createdDateTime lt 2026-02-01T00:00:01Z and signInEventTypes/any(x: x ne 'interactiveUser')"), "managedidentity 0 serviceprincipal 0 noninteractive 0"},
		{"text", signInsAt(feb + " and userId eq 'U1'"), "interactive 3 1"},
		{"quote in a text", signInsAt(feb + " and userPrincipalName eq 'it''s.3@contoso.com'"), "interactive 3"},
		{"startswith", signInsAt("startsWith(userPrincipalName,'it''s.2') and " + feb), "interactive 2"},
		{"id", signInsAt("id eq 'signins.interactive-2'"), "interactive 2"},
		{"audits", audits("activityDateTime lt 2026-02-01T00:00:02Z"), "audits 1 0"},
		{"unknown option", signInsAt(feb, "$filtre=x", "$count=true", "daterange=3"), "interactive 4 3 2 1 0"},
	} {
		got, last := "", ""
		for _, id := range u.pages(tc.address) {
			stream, number, _ := strings.Cut(strings.TrimPrefix(id, "signins."), "-")
			if stream != last || strings.Contains(tc.want, " noninteractive") || strings.Contains(tc.want, " serviceprincipal") {
				got += " " + stream
			}
			got, last = got+" "+number, stream
		}
		if strings.TrimSpace(got) != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
	if n := len(u.pages(signInsAt(""))); n < 104 || n > 106 {
		t.Errorf("without a filter: %d rows, want 105", n)
	}
}

// TestFiltersOnMadeUpRecords holds the properties that filters read against those that are printed.
func TestFiltersOnMadeUpRecords(t *testing.T) {
	clock := &fixedClock{epoch.Add(300 * time.Second)}
	u := newUser(t, Options{Now: clock.now, Generate: all(1)})
	for stream, of := range map[string]*collection{Interactive: signIns, ServicePrincipal: signIns, ManagedIdentity: signIns, Audits: directoryAudits} {
		path, filter := "/v1.0/auditLogs/directoryAudits", ""
		if of == signIns {
			path, filter = "/beta/auditLogs/signIns", kindOf(stream)
		}
		for _, raw := range u.page(address(path, filter, "$top=20")).Value {
			var m members
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			for _, name := range of.properties {
				value := m.property(name)
				if value == "" {
					continue
				}
				clause := name + " eq '" + strings.ReplaceAll(value, "'", "''") + "'"
				if filter != "" {
					clause = filter + " and " + clause
				}
				if ids := strings.Join(u.pages(address(path, clause)), " "); !strings.Contains(ids, m.ID) {
					t.Errorf("%s: %s finds %q, want %s among them", stream, clause, ids, m.ID)
				}
			}
		}
	}
}

func TestNextLinkRepeatsTheOptionsAndHoldsForThemAlone(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	u := newUser(t, Options{Now: clock.now, Generate: all(0.1)})
	filter := "createdDateTime ge 2026-03-01T12:00:00Z"
	next := *u.page(signInsAt(filter, "$top=5", "note=a%26b")).Next
	for _, part := range []string{"https://graph.example.com/beta/auditLogs/signIns?", "$filter=createdDateTime+ge+2026-03-01T12%3A00%3A00Z", "$top=5", "note=a%26b", "$skiptoken="} {
		if !strings.Contains(next, part) {
			t.Errorf("nextLink %s lacks %s", next, part)
		}
	}
	for _, change := range []string{"$top=5|$top=6", "12%3A00|11%3A00", "/beta/|/v1.0/"} {
		old, new, _ := strings.Cut(change, "|")
		if resp, body := u.get(strings.Replace(next, old, new, 1)); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %.100s, want 400", change, resp.StatusCode, body)
		}
	}
}

// FuzzFilter looks for panics and for rows that pass a filter outside of the bounds that were taken from it.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		"createdDateTime ge 2026-03-01T12:00:00Z and createdDateTime le 2026-03-01T13:00:00.1234567Z",
		"signInEventTypes/any(t: t eq 'interactiveUser' or t ne 'managedIdentity')", "(userId eq 'a''b') or (startswith(appId,'x'))",
		"(", "any(", "'", "createdDateTime ge", "signInEventTypes/any(t:", "/any", "startswith(,", "createdDateTime eq 0001-01-01T00:00:00Z",
	} {
		f.Add(text, int64(17400000000000000))
	}
	rec := &members{UserID: "a'b", AppID: "xyz"}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		for _, of := range []*collection{signIns, directoryAudits} {
			n, err := parseFilter(text, of, true)
			if err != nil {
				continue
			}
			lo, hi := n.bounds()
			bits, _ := n.streams()
			for stream := range streamAudits {
				for _, when := range []int64{at, lo, hi} {
					if n.match(when, stream, rec) && (when < lo || when > hi || bits&(1<<stream) == 0) {
						t.Fatalf("%q takes %d of stream %d outside of [%d, %d] %b", text, when, stream, lo, hi, bits)
					}
				}
			}
		}
	})
}
