package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDeepFilters compares what filters on members of members give with what they say, on made-up and on added records.
func TestDeepFilters(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	u := newUser(t, Options{Now: clock.now, Generate: []Generate{{Stream: Audits, Rate: 0.1, Since: epoch}, {Stream: Interactive, Rate: 0.1, Since: epoch}}})
	added := map[string]string{
		Audits:      `{"id":"a","activityDateTime":"2026-03-01T12:00:00Z","initiatedBy":{"user":{"displayName":"Audrey"}},"targetResources":[{"id":"t1","displayName":"One"},{"id":"t2","displayName":"Two"}]}`,
		Interactive: `{"id":"s","createdDateTime":"2026-03-01T12:00:00Z","status":{"errorCode":50126}}`,
	}
	for stream, raw := range added {
		if err := u.server.Add(stream, Record{Raw: []byte(raw), Time: epoch.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	type row struct {
		ID     string
		Status struct{ ErrorCode int }
		By     struct{ User struct{ DisplayName string } } `json:"initiatedBy"`
		Of     []struct{ ID, DisplayName string }          `json:"targetResources"`
	}
	// ask gives the ids that a filter lets through, and the rows of all.
	ask := func(path, filter string) (ids map[string]bool, all []row) {
		t.Helper()
		_, body := u.get(address(path, filter, "$top=1000"))
		var page struct{ Value []row }
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatalf("%s: %s", filter, body)
		}
		ids = map[string]bool{}
		for _, r := range page.Value {
			ids[r.ID] = true
		}
		return ids, page.Value
	}
	const audits, signIns = "/v1.0/auditLogs/directoryAudits", "/v1.0/auditLogs/signIns"
	_, rows := ask(audits, "")
	target, name := rows[5].Of[0].ID, rows[5].Of[0].DisplayName
	for _, c := range []struct {
		path, filter string
		takes        func(r row) bool
	}{
		{signIns, "status/errorCode eq 0", func(r row) bool { return r.Status.ErrorCode == 0 }},
		{signIns, "status/errorCode eq 50126", func(r row) bool { return r.Status.ErrorCode == 50126 }},
		{audits, "initiatedBy/user/displayName eq 'audrey'", func(r row) bool { return r.By.User.DisplayName == "Audrey" }},
		{audits, "targetResources/any(t: t/id eq 't2')", func(r row) bool { return r.ID == "a" }},
		{audits, "targetResources/any(x:x/id eq '" + target + "')", func(r row) bool { return len(r.Of) > 0 && r.Of[0].ID == target }},
		{audits, "targetResources/any(t: startswith(t/displayName, 'Tw') or t/displayName eq '" + name + "')", func(r row) bool {
			return r.ID == "a" || len(r.Of) > 0 && r.Of[0].DisplayName == name
		}},
	} {
		got, _ := ask(c.path, c.filter)
		_, all := ask(c.path, "")
		want := 0
		for _, r := range all {
			if takes := c.takes(r); takes != got[r.ID] {
				t.Errorf("%s: %s is there: %v", c.filter, r.ID, got[r.ID])
			} else if takes {
				want++
			}
		}
		if want == 0 || want == len(all) || len(got) != want {
			t.Errorf("%s: %d rows of %d, want %d", c.filter, len(got), len(all), want)
		}
	}
	for path, filters := range map[string][]string{
		signIns: {"status/errorCode eq '0'", "status/errorCode ge 1", "startswith(status/errorCode,'5')", "status/ErrorCode eq 0", "targetResources/any(t: t/id eq 'x')"},
		audits: {"targetResources/id eq 'x'", "targetResources/any(t: id eq 'x')", "targetResources/any(t: t/type eq 'User')", "targetResources/any(t/id eq 'x')",
			"targetResources/any(t: t/id eq 'x'", "targetresources/any(t: t/id eq 'x')", "t/id eq 'x'", "status/errorCode eq 0"},
	} {
		for _, filter := range filters {
			if resp, body := u.get(address(path, filter)); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "Invalid filter clause") {
				t.Errorf("%s: %d %.200s", filter, resp.StatusCode, body)
			}
		}
	}
}
