package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const legacyBase = "https://graph.windows.net"

// legacyUser is a client with a token of the older endpoint for the older API.
func legacyUser(t testing.TB, opts Options) *user {
	t.Helper()
	u := newUser(t, opts)
	u.token = u.legacyToken(url.Values{"resource": {legacyBase}})
	return u
}

// legacyToken signs in at the older endpoint, with more in the form.
func (u *user) legacyToken(more url.Values) string {
	u.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {DefaultClientID}, "client_secret": {DefaultClientSecret}}
	for k, v := range more {
		form[k] = v
	}
	resp, err := u.client.PostForm("https://login.windows.net/"+DefaultDomain+"/oauth2/token?api-version=1.0", form)
	if err != nil {
		u.t.Fatal(err)
	}
	var reply struct {
		AccessToken string `json:"access_token"`
		Life        string `json:"expires_in"`
	}
	if err := json.Unmarshal(readAll(u.t, resp), &reply); err != nil || resp.StatusCode != 200 || reply.Life == "" {
		u.t.Fatalf("sign in: %d %v, expires_in %q", resp.StatusCode, err, reply.Life)
	}
	return reply.AccessToken
}

// legacyAt is an address of the older API; filter "" asks for everything.
func legacyAt(report, filter string, more ...string) string {
	options := append([]string{"api-version=beta"}, more...)
	if filter != "" {
		options = append(options, "$filter="+filter)
	}
	return legacyBase + "/" + DefaultDomain + "/activities/" + report + "?" + strings.Join(options, "&")
}

// refusal reads the error body of OData 3.
func refusal(t testing.TB, body []byte) (code, message string) {
	t.Helper()
	var p struct {
		Error struct {
			Code    string
			Message struct{ Lang, Value string }
		} `json:"odata.error"`
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Error.Message.Lang != "en" {
		t.Errorf("no error of OData 3: %s", body)
	}
	return p.Error.Code, p.Error.Message.Value
}

const upnOfActor = "actor/Microsoft.ActiveDirectory.DataService.PublicApi.Model.Reporting.AuditLog.ActorUserEntity/userPrincipalName"
const upnOfTarget = "t/Microsoft.ActiveDirectory.DataService.PublicApi.Model.Reporting.AuditLog.TargetResourceUserEntity/userPrincipalName"

// TestLegacyTaken has each example of the references, and the operators that they name.
func TestLegacyTaken(t *testing.T) {
	u := legacyUser(t, Options{})
	for report, filters := range map[string][]string{
		"signinEvents": {
			"", "signinDateTime+eq+2016-04-25T23:59:00Z", "signinDateTime+ge+2016-07-01T17:05:21Z+and+signinDateTime+le+2016-07-07T17:05:21Z",
			"signinDateTime%20gt%202016-07-01T17:05:21.1234567Z", "signinDateTime+lt+2016-07-01T17:05:21Z",
			"userId+eq+'00000000-0000-0000-0000-000000000000'", "userPrincipalName+eq+'finance.0001@contoso.com'",
			"appId+eq+'00000000-0000-0000-0000-000000000000'", "appDisplayName+eq+'Azure+Portal'", "loginStatus+eq+'1'", "loginStatus eq '0'",
			"(userId+eq+'x'+or+appId+eq+'y')+and+signinDateTime+ge+2016-07-01T17:05:21Z",
		},
		"audit": {
			"activityDate%20gt%202017-01-09", "activityDate+ge+2017-01-09T00:00:00Z+and+activityDate+le+2017-01-10", "activityDate+eq+2017-01-09T01:02:03Z",
			"activityDate+lt+2017-01-09", "category+eq+'SSPR'", "activityStatus+eq+-1", "activityStatus+eq+0", "activityType+eq+'User'",
			"activity+eq+'Add+application'+or+contains(activity,+'Application')+or+startsWith(activity,+'Add')",
			"actor/name+eq+'test'+or+contains(actor/name,+'test')+or+startswith(actor/name,+'test')", "actor/objectId+eq+'00000000-0000-0000-0000-000000000000'",
			"targets/any(t:+t/name+eq+'some+name')", "targets/any(t:+contains(t/name,+'some'))", "targets/any(x:x/objectId+eq+'y')",
			"targets/any(t+:+t/objectId+eq+'00000000-0000-0000-0000-000000000000')",
			"startsWith(" + upnOfActor + ",'abc')", upnOfActor + "+eq+'abc'", "targets/any(t:+startswith(" + upnOfTarget + ",'abc'))", "targets/any(t:+" + upnOfTarget + "+eq+'abc')",
		},
	} {
		for _, filter := range filters {
			address := legacyAt(report, strings.ReplaceAll(filter, " ", "%20"))
			if resp, body := u.get(address); resp.StatusCode != 200 {
				t.Errorf("%s: %d %s", address, resp.StatusCode, body)
			}
		}
	}
	for _, address := range []string{
		legacyAt("signinEvents", "signinDateTime+ge+2016-07-01T17:05:21Z+and+signinDateTime+le+2016-07-07T00:00:00Z", "$top=10"),
		legacyAt("audit", "", "filter=activityDate+gt+2017-01-09", "%60$filter=x"), // how shells have spoilt the samples: no filter at all
		strings.Replace(legacyAt("audit", ""), DefaultDomain, DefaultTenantID, 1),
	} {
		if resp, body := u.get(address); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", address, resp.StatusCode, body)
		}
	}
}

// TestLegacyRefused has a wrong form of everything.
func TestLegacyRefused(t *testing.T) {
	clock := &fixedClock{epoch}
	u := legacyUser(t, Options{Now: clock.now, OldestBound: 30 * 24 * time.Hour})
	for _, c := range []struct{ address, code, says string }{
		{legacyBase + "/contoso.onmicrosoft.com/activities/audit", "Request_DataContractVersionMissing", "is missing"},
		{legacyBase + "/contoso.onmicrosoft.com/activities/audit?api-version=1.6", "Request_InvalidDataContractVersion", "is invalid"},
		{legacyBase + "/fabrikam.com/activities/audit?api-version=beta", "Request_BadRequest", "Invalid domain name"},
		{legacyAt("signinevents", ""), "Request_BadRequest", "segment 'signinevents'"},
		{legacyAt("signIns", ""), "Request_BadRequest", "segment 'signIns'"},
		{strings.Replace(legacyAt("audit", ""), "activities", "Activities", 1), "Request_BadRequest", "segment 'audit'"},
		{legacyAt("audit", "", "$orderby=activityDate"), "Request_UnsupportedQuery", "'$orderby'"},
		{legacyAt("audit", "", "$skip=5"), "Request_UnsupportedQuery", "'$skip'"},
		{legacyAt("audit", "", "$Filter=activityDate+gt+2017-01-09"), "Request_UnsupportedQuery", "'$Filter'"},
		{legacyAt("audit", "", "$top=0"), "Request_BadRequest", "'0' for $top"},
		{legacyAt("audit", "", "%24skiptoken=1339686058"), "Request_BadRequest", "Invalid Skip Token"},
		{legacyAt("audit", "", "%24skiptoken=-1339686058"), "Request_BadRequest", "Invalid Skip Token"},
		{legacyAt("audit", "", "%24skiptoken="), "Request_BadRequest", "Invalid Skip Token"},
		{legacyAt("signinEvents", "signinDateTime+ge+2016-07-01T17:05:21Z"), "Request_UnsupportedQuery", "too far back"},
		{legacyAt("signinEvents", "signinDateTime+ge+2026-07-01"), "Request_UnsupportedQuery", "A time in UTC"},
		{legacyAt("signinEvents", "signinDateTime+ge+'2026-07-01T17:05:21Z'"), "Request_UnsupportedQuery", "A time in UTC"},
		{legacyAt("signinEvents", "signinDateTime+ge+2026-07-01T17:05:21%2B02:00"), "Request_UnsupportedQuery", "A time in UTC"},
		{legacyAt("signinEvents", "signinDateTime+ne+2026-07-01T17:05:21Z"), "Request_UnsupportedQuery", "operator 'ne'"},
		{legacyAt("signinEvents", "SigninDateTime+ge+2026-07-01T17:05:21Z"), "Request_UnsupportedQuery", "named 'SigninDateTime'"},
		{legacyAt("signinEvents", "createdDateTime+ge+2026-07-01T17:05:21Z"), "Request_UnsupportedQuery", "named 'createdDateTime'"},
		{legacyAt("signinEvents", "activityDate+ge+2026-07-01T17:05:21Z"), "Request_UnsupportedQuery", "named 'activityDate'"},
		{legacyAt("signinEvents", "userID+eq+'x'"), "Request_UnsupportedQuery", "named 'userID'"},
		{legacyAt("signinEvents", "ipAddress+eq+'192.0.2.1'"), "Request_UnsupportedQuery", "named 'ipAddress'"},
		{legacyAt("signinEvents", "userId+eq+%E2%80%99x%E2%80%99"), "Request_UnsupportedQuery", "string literal"},
		{legacyAt("signinEvents", "userId+ne+'x'"), "Request_UnsupportedQuery", "operator 'ne'"},
		{legacyAt("signinEvents", "startsWith(userPrincipalName,'x')"), "Request_UnsupportedQuery", "operator 'startsWith'"},
		{legacyAt("signinEvents", "contains(appDisplayName,'x')"), "Request_UnsupportedQuery", "operator 'contains'"},
		{legacyAt("signinEvents", "loginStatus+eq+0"), "Request_UnsupportedQuery", "string literal"},
		{legacyAt("signinEvents", "loginStatus+eq+'success'"), "Request_UnsupportedQuery", "'0' or '1'"},
		{legacyAt("signinEvents", "targets/any(t:+t/name+eq+'x')"), "Request_UnsupportedQuery", "targets/any"},
		{legacyAt("audit", "activityStatus+eq+'0'"), "Request_UnsupportedQuery", "without quotes"},
		{legacyAt("audit", "activityStatus+eq+1"), "Request_UnsupportedQuery", "0 or -1"},
		{legacyAt("audit", "activityStatus+ge+0"), "Request_UnsupportedQuery", "operator 'ge'"},
		{legacyAt("audit", "Category+eq+'SSPR'"), "Request_UnsupportedQuery", "named 'Category'"},
		{legacyAt("audit", "contains(category,'SSPR')"), "Request_UnsupportedQuery", "operator 'contains'"},
		{legacyAt("audit", "contains(activityType,'User')"), "Request_UnsupportedQuery", "operator 'contains'"},
		{legacyAt("audit", "Contains(activity,'x')"), "Request_UnsupportedQuery", "named 'Contains'"},
		{legacyAt("audit", "contains(activity+'x')"), "Request_UnsupportedQuery", "',' expected"},
		{legacyAt("audit", "contains(actor/objectId,'x')"), "Request_UnsupportedQuery", "operator 'contains'"},
		{legacyAt("audit", "contains("+upnOfActor+",'x')"), "Request_UnsupportedQuery", "operator 'contains'"},
		{legacyAt("audit", "actor/userPrincipalName+eq+'x'"), "Request_UnsupportedQuery", "named 'actor/userPrincipalName'"},
		{legacyAt("audit", "actor/objectid+eq+'x'"), "Request_UnsupportedQuery", "named 'actor/objectid'"},
		{legacyAt("audit", "targets/name+eq+'x'"), "Request_UnsupportedQuery", "named 'targets/name'"},
		{legacyAt("audit", "targets/any(t:+name+eq+'x')"), "Request_UnsupportedQuery", "named 'name'"},
		{legacyAt("audit", "targets/any(t:+u/name+eq+'x')"), "Request_UnsupportedQuery", "named 'u/name'"},
		{legacyAt("audit", "targets/any(t:+targets/name+eq+'x')"), "Request_UnsupportedQuery", "named 'targets/name'"},
		{legacyAt("audit", "targets/any(t:+t/name+eq+'x'"), "Request_UnsupportedQuery", "')' expected"},
		{legacyAt("audit", "targets/any(t/name+eq+'x')"), "Request_UnsupportedQuery", "range variable"},
		{legacyAt("audit", "targets/any(t:+t/"+castActor+"/userPrincipalName+eq+'x')"), "Request_UnsupportedQuery", "named 't/Microsoft"},
		{legacyAt("audit", "activityDate+gt+2026-02-28+activity"), "Request_UnsupportedQuery", "Syntax error at 'activity'"},
		{legacyAt("audit", "activity+eq+'x"), "Request_UnsupportedQuery", "unterminated"},
	} {
		resp, body := u.get(c.address)
		if code, message := refusal(t, body); resp.StatusCode != 400 || code != c.code || !strings.Contains(message, c.says) {
			t.Errorf("%s: %d %s: %q, want 400 %s: %q", c.address, resp.StatusCode, code, message, c.code, c.says)
		}
	}
}

// TestLegacyAccess has who may read what.
func TestLegacyAccess(t *testing.T) {
	app := url.Values{"resource": {legacyBase}}
	for _, c := range []struct {
		name           string
		tenant         Tenant
		token          url.Values // nil: a user's
		signIns, audit int
	}{
		{"app", Tenant{}, app, 200, 200},
		{"with a slash", Tenant{}, url.Values{"resource": {legacyBase + "/"}}, 200, 200},
		{"no resource", Tenant{}, url.Values{}, 401, 401},
		{"scope alone", Tenant{}, url.Values{"scope": {legacyBase + "/.default"}}, 401, 401},
		{"another resource", Tenant{}, url.Values{"resource": {"https://graph.microsoft.com"}}, 401, 401},
		{"no role", Tenant{NoReader: true}, app, 403, 200},
		{"neither role nor consent", Tenant{NoReader: true, Roles: []string{}}, app, 403, 403},
		{"no licence", Tenant{Free: true}, app, 403, 200},
		{"EU, app", Tenant{EU: true}, app, 200, 403},
		{"EU, user", Tenant{EU: true}, nil, 200, 200},
	} {
		c.tenant.ID, c.tenant.Domain = DefaultTenantID, DefaultDomain
		u := newUser(t, Options{Tenants: []Tenant{c.tenant}})
		if c.token != nil {
			u.token = u.legacyToken(c.token)
		} else {
			var err error
			if u.token, err = u.server.UserToken(DefaultDomain, AzureADGraph); err != nil {
				t.Fatal(err)
			}
		}
		for report, want := range map[string]int{"signinEvents": c.signIns, "audit": c.audit} {
			if resp, body := u.get(legacyAt(report, "")); resp.StatusCode != want {
				t.Errorf("%s, %s: %d, want %d: %s", c.name, report, resp.StatusCode, want, body)
			} else if want != 200 {
				refusal(t, body)
			}
		}
	}
	u := newUser(t, Options{})
	if resp, _ := u.get(legacyAt("audit", "")); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token for Microsoft Graph: %d", resp.StatusCode)
	}
	if resp, err := u.client.Post(legacyAt("audit", ""), "", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", resp, err)
	}
	if _, err := u.server.UserToken("fabrikam.com", AzureADGraph); err == nil {
		t.Error("a user of no tenant got a token")
	}
}

// TestLegacyPages follows the links to the end: 1,000 rows a page, negative tokens, the ids of Microsoft Graph's records.
func TestLegacyPages(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	u := legacyUser(t, Options{Now: clock.now, Generate: all(1)})
	var want []string
	for row := range u.server.Expected(clock.now()) {
		if row.Stream == Interactive {
			want = append(want, row.ID)
		}
	}
	slices.Reverse(want)
	link := regexp.MustCompile(`^https://graph\.windows\.net/contoso\.onmicrosoft\.com/activities/signinEvents\?api-version=beta(&%24filter=[^&$]*)?&%24skiptoken=-[0-9]+$`)
	for _, filter := range []string{"", "signinDateTime+ge+2026-01-01T00:00:00Z"} {
		address, got, sizes := legacyAt("signinEvents", filter), []string(nil), []int(nil)
		for address != "" {
			p := u.page(address)
			got, sizes = append(got, idsOf(t, p.Value)...), append(sizes, len(p.Value))
			if address = ""; p.Next != nil {
				if address = *p.Next; !link.MatchString(address) {
					t.Errorf("link %s", address)
				}
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(sizes[:3], []int{1000, 1000, 1000}) {
			t.Errorf("%d rows in pages of %v, want %d", len(got), sizes, len(want))
		}
	}
	// A token is good for the query that it comes from.
	next := u.page(legacyAt("signinEvents", "")).Next
	if resp, _ := u.get(strings.Replace(*next, "signinEvents", "audit", 1)); resp.StatusCode != 400 {
		t.Errorf("a token of another report: %d", resp.StatusCode)
	}
}

// TestLegacySilence: a query's bounds end it without a word, over pages, and for sign-ins alone.
func TestLegacySilence(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	u := legacyUser(t, Options{Now: clock.now, Generate: all(1), SilentAfter: 2500})
	for _, c := range []struct {
		address string
		want    int
	}{
		{legacyAt("signinEvents", ""), 2500},
		{legacyAt("signinEvents", "", "$top=3000"), 2500},
		{legacyAt("signinEvents", "", "$top=10"), 10},
		{legacyAt("audit", ""), 3600},
		{legacyAt("audit", "", "$top=1500"), 1500},
	} {
		if got := len(u.pages(c.address)); got != c.want {
			t.Errorf("%s: %d rows, want %d", c.address, got, c.want)
		}
	}
}
