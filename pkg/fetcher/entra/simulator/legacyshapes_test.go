package simulator

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// madeUp are options with an hour of records, most of which have changed: an interrupted sign-in that has succeeded is a success
// to filters, too.
func madeUp() Options {
	clock := &fixedClock{epoch.Add(time.Hour)}
	made := all(0.1)
	for i := range made {
		made[i].Updates = Updates{Share: 0.9, After: time.Minute}
	}
	return Options{Now: clock.now, Generate: made}
}

// decoded gives the rows of a page.
func (u *user) decoded(address string) (rows []map[string]any) {
	u.t.Helper()
	for _, raw := range u.page(address).Value {
		var row map[string]any
		if err := json.Unmarshal(raw, &row); err != nil {
			u.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// TestLegacyShapes holds the generated records against Microsoft Graph's.
func TestLegacyShapes(t *testing.T) {
	u := legacyUser(t, madeUp())
	signIns, theirs := u.decoded(legacyAt("signinEvents", "")), newUser(t, madeUp()).decoded(signInsAt(""))
	if len(signIns) < 350 || len(signIns) != len(theirs) {
		t.Fatalf("%d rows, Microsoft Graph has %d", len(signIns), len(theirs))
	}
	for i, row := range signIns {
		status := theirs[i]["status"].(map[string]any)
		for mine, want := range map[string]any{"id": theirs[i]["id"], "signinDateTime": theirs[i]["createdDateTime"], "userId": theirs[i]["userId"],
			"signinErrorCode": status["errorCode"], "loginStatus": choice(status["errorCode"] == 0.0, "Success", "Failure")} {
			if row[mine] != want {
				t.Errorf("%s: %v, want %v", mine, row[mine], want)
			}
		}
		when, err := time.Parse(time.RFC3339Nano, row["signinDateTime"].(string))
		if ms := int64(row["signinDateTimeInMillis"].(float64)); err != nil || when.UnixMilli() != ms || len(row["signinDateTime"].(string)) != 28 {
			t.Errorf("%v is not %d ms: %v", row["signinDateTime"], ms, err)
		}
		if n := strings.Count(row["deviceInformation"].(string), ";"); n != 3 {
			t.Errorf("deviceInformation %v", row["deviceInformation"])
		}
	}
	for _, row := range u.decoded(legacyAt("audit", "")) {
		actor, targets := row["actor"].(map[string]any), row["targets"].([]any)
		if row["activityDate"] == nil || len(targets) == 0 || actor["@odata.type"] == nil || !strings.HasPrefix(row["id"].(string), "Directory_") {
			t.Errorf("audit %v", row)
		}
	}
}

// TestLegacyFilters holds what filters find against what the records say.
func TestLegacyFilters(t *testing.T) {
	u := legacyUser(t, madeUp())
	signIns, audits := u.decoded(legacyAt("signinEvents", "")), u.decoded(legacyAt("audit", ""))
	actorUPN, targetName := "", ""
	for _, row := range audits {
		actor, targets := row["actor"].(map[string]any), row["targets"].([]any)
		if upn, ok := actor["userPrincipalName"].(string); ok && upn != "" {
			actorUPN = upn
		}
		for _, target := range targets {
			if name, ok := target.(map[string]any)["name"].(string); ok && name != "" {
				targetName = name
			}
		}
	}
	count := func(rows []map[string]any, want func(map[string]any) bool) (n int) {
		for _, row := range rows {
			if want(row) {
				n++
			}
		}
		return n
	}
	is := func(member string, value any) func(map[string]any) bool {
		return func(row map[string]any) bool { return row[member] == value }
	}
	for _, c := range []struct {
		report, filter string
		want           int
	}{
		{"signinEvents", "loginStatus eq '0'", count(signIns, is("loginStatus", "Success"))},
		{"signinEvents", "loginStatus eq '1'", count(signIns, is("loginStatus", "Failure"))},
		{"signinEvents", "appDisplayName eq 'Azure Portal'", count(signIns, is("appDisplayName", "Azure Portal"))},
		{"signinEvents", fmt.Sprintf("userId eq '%s'", signIns[0]["userId"]), count(signIns, is("userId", signIns[0]["userId"]))},
		{"audit", "activityStatus eq -1", count(audits, is("activityResultStatus", "Failure"))},
		{"audit", "activityType eq 'Group'", count(audits, is("activityType", "Group"))},
		{"audit", "activityType eq 'group'", 0},
		{"audit", "category eq 'Directory'", len(audits)},
		{"audit", "activity eq 'Update user'", count(audits, is("activity", "Update user"))},
		{"audit", "contains(activity,'user')", count(audits, func(row map[string]any) bool { return strings.Contains(row["activity"].(string), "user") })},
		{"audit", "startsWith(activity,'add')", 0},
		{"audit", "startsWith(actor/name,'" + strings.ToUpper(audits[0]["actor"].(map[string]any)["name"].(string)) + "')",
			count(audits, func(row map[string]any) bool {
				return row["actor"].(map[string]any)["name"] == audits[0]["actor"].(map[string]any)["name"]
			})},
		{"audit", upnOfActor + " eq '" + strings.ToUpper(actorUPN) + "'", count(audits, func(row map[string]any) bool { return row["actor"].(map[string]any)["userPrincipalName"] == actorUPN })},
		{"audit", "targets/any(t: t/name eq '" + targetName + "')", count(audits, func(row map[string]any) bool {
			return slices.ContainsFunc(row["targets"].([]any), func(target any) bool { return target.(map[string]any)["name"] == targetName })
		})},
	} {
		address := legacyAt(c.report, url.QueryEscape(c.filter))
		if got := len(u.pages(address)); got != c.want || c.want == 0 && !strings.Contains(c.filter, "group") && !strings.Contains(c.filter, "'add'") {
			t.Errorf("%s: %d rows, want %d", c.filter, got, c.want)
		}
	}
}

// TestLegacyRecords serves records of a test's own in the older shape.
func TestLegacyRecords(t *testing.T) {
	u := legacyUser(t, Options{})
	for _, raw := range []string{
		`{"id":"1","activityDate":"2026-02-01T00:00:01.1234567Z","activity":"Add user","activityType":"User","category":"Directory","activityResultStatus":"Success",` +
			`"actor":{"name":"Finance 0001","objectId":"a","userPrincipalName":"finance.0001@contoso.com"},"targets":[{"name":"Sales 0001","objectId":"b"},{"objectId":"c","userPrincipalName":"sales.0001@contoso.com"}]}`,
		`{"id":"2","activityDate":"2026-02-01T00:00:02Z","activity":"Delete user"}`,
	} {
		if err := u.server.Add(Audits, Record{Raw: []byte(raw)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.server.Add(Interactive, Record{Raw: []byte(`{"id":"3","signinDateTime":"2026-02-01T00:00:02Z","loginStatus":"Failure"}`)}); err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string]string{
		"activity eq 'Add user'": "1", "contains(activity,'user')": "2 1", "activityStatus eq 0": "1", "activityType eq 'User'": "1", "category eq 'Directory'": "1",
		"actor/name eq 'FINANCE 0001'": "1", "actor/objectId eq 'A'": "1", upnOfActor + " eq 'finance.0001@contoso.com'": "1",
		"targets/any(t: t/objectId eq 'c')": "1", "targets/any(t: t/name eq 'sales 0001')": "1", "targets/any(t: startsWith(" + upnOfTarget + ",'sales'))": "1",
		"activityDate gt 2026-02-01T00:00:01.1234567Z": "2", "activityDate eq 2026-02-01T00:00:01.1234567Z": "1",
	} {
		if got := strings.Join(u.pages(legacyAt("audit", url.QueryEscape(filter))), " "); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	if got := u.pages(legacyAt("signinEvents", "loginStatus+eq+'1'")); len(got) != 1 {
		t.Errorf("failed sign-ins: %q", got)
	}
}
