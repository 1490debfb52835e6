package normalizer

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in   string
		ip   string
		port uint16
	}{
		{"203.0.113.7", "203.0.113.7", 0},
		{"203.0.113.7:52113", "203.0.113.7", 52113},
		{"203.0.113.7:", "", 0},
		{"203.0.113.7:65536", "", 0},
		{"203.0.113.7:-1", "", 0},
		{"2001:db8::7", "2001:db8::7", 0},
		{"2001:DB8::7", "2001:db8::7", 0},
		{"[2001:db8::7]:443", "2001:db8::7", 443},
		{"[2001:db8::7]", "2001:db8::7", 0},
		{"[2001:db8::7", "", 0},
		{"[2001:db8::7]x", "", 0},
		{"::ffff:203.0.113.7", "203.0.113.7", 0},
		{"[::ffff:203.0.113.7]:80", "203.0.113.7", 80},
		{"fe80::1%eth0", "fe80::1", 0},
		{"::2001:db8:40:4002:91f2:a9b2:e09a:6fc6", "2001:db8:40:4002:91f2:a9b2:e09a:6fc6", 0},
		{"::1", "::1", 0},
		{"::", "::", 0},
		{"203.0.113.XXX", "", 0},
		{"PII Removed", "", 0},
		{"203.0.113", "", 0},
		{"203.0.113.007", "", 0},
		{":", "", 0},
		{"[", "", 0},
		{"[]", "", 0},
		{"%", "", 0},
		{"face", "", 0},
	} {
		got := parseAddress(text(c.in))
		var want netip.Addr
		if c.ip != "" {
			want = netip.MustParseAddr(c.ip)
		}
		if got.ip != want || got.port != c.port || string(got.text) != c.in {
			t.Errorf("%q: got %v port %d, want %v port %d", c.in, got.ip, got.port, want, c.port)
		}
	}
	if got := parseAddress(nil); got.text != nil || got.ip.IsValid() {
		t.Errorf("nothing: got %+v", got)
	}
}

func TestIsUTC(t *testing.T) {
	for in, want := range map[string]bool{
		"2026-03-04T05:06:07Z":            true,
		"2026-03-04T05:06:07.1Z":          true,
		"2026-03-04T05:06:07.1234567Z":    true,
		"2026-03-04T05:06:07.123456789Z":  true,
		"2026-03-04T05:06:07.1234567890Z": false,
		"2026-03-04T05:06:07.Z":           false,
		"2026-03-04T05:06:07,1Z":          false,
		"2026-03-04T05:06:07.12x4Z":       false,
		"2024-02-29T00:00:00Z":            true,
		"2026-02-29T00:00:00Z":            false,
		"1900-02-29T00:00:00Z":            false,
		"2000-02-29T00:00:00Z":            true,
		"2026-04-31T00:00:00Z":            false,
		"2026-13-01T00:00:00Z":            false,
		"2026-00-01T00:00:00Z":            false,
		"2026-01-00T00:00:00Z":            false,
		"2026-01-01T24:00:00Z":            false,
		"2026-01-01T00:60:00Z":            false,
		"2026-01-01T00:00:60Z":            false,
		"2026-03-04T05:06:07+00:00":       false,
		"2026-03-04T5:06:07Z":             false,
		"2026-03-04 05:06:07Z":            false,
		"":                                false,
		"Z":                               false,
	} {
		if got := isUTC(text(in)); got != want {
			t.Errorf("isUTC(%q) = %v", in, got)
		}
		if _, err := time.Parse(time.RFC3339, in); want && err != nil {
			t.Errorf("%q: package time disagrees: %v", in, err)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ in, want string }{ // JSON value; text, "" for absent
		{`"a"`, `a`},
		{`" a b "`, `a b`},
		{`"\ta\n"`, `a`},
		{`"\u00e9\"\u0001"`, `é\"\u0001`},
		{`"\u0041\/B"`, `A/B`},
		{`"\u00a0x\u00a0"`, `x`},
		{`""`, ``}, {`" "`, ``}, {`"\n \t"`, ``},
		{`"hidden"`, ``}, {`"h\u0069dden"`, ``}, {`"unknownFutureValue"`, ``}, {`"Unknown"`, ``}, {`"unknown "`, ``},
		{`"00000000-0000-0000-0000-000000000000"`, ``},
		{`"Hidden group"`, `Hidden group`},
		{`null`, ``}, {`1`, ``}, {`true`, ``}, {`["a"]`, ``}, {`{"a":"b"}`, ``},
	} {
		s := scanner{Reader: jsonscan.Reader{Buf: []byte(c.in)}}
		if got := s.text(); string(got) != c.want || (got == nil) != (c.want == "") || !s.End() {
			t.Errorf("%s: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestLower(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`user.one@contoso.com`, `user.one@contoso.com`},
		{`User.ONE@Contoso.com`, `user.one@contoso.com`},
		{`Ünal@contoso.com`, `ünal@contoso.com`},
		{`A\"B\\C\u0001`, `a\"b\\c\u0001`},
	} {
		var s scanner
		if got := s.lower(text(c.in)); string(got) != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestEmbedded(t *testing.T) {
	for _, c := range []struct{ in, want string }{ // the value before it is put into a JSON string; text, "" for absent
		{`"x"`, `x`},
		{`"Say \"x\""`, `Say \"x\"`},
		{`["x"]`, `x`},
		{`[ "x" ]`, `x`},
		{`["x","y"]`, ``}, {`[]`, ``}, {`[true]`, ``}, {`[["x"]]`, ``},
		{`{"a":"b"}`, ``},
		{`""`, ``}, {``, ``}, {`[""]`, ``}, {`"hidden"`, ``},
		{`DirectorySync`, `DirectorySync`},
		{`true`, `true`},
		{`"cut short`, `\"cut short`},
		{`"a" b"`, `\"a\" b\"`},
		{`[broken]`, `[broken]`},
		{`{broken}`, `{broken}`},
		{`"`, `\"`},
		{`\`, `\\`},
	} {
		quoted := jsonscan.AppendString(nil, c.in)
		var s scanner
		if got := s.embedded(quoted[1 : len(quoted)-1]); string(got) != c.want {
			t.Errorf("%s: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestBrowserVersion(t *testing.T) {
	for in, want := range map[string][2]string{
		"Chrome 139.0.0":       {"Chrome", "139.0.0"},
		"Mobile Safari 16.6":   {"Mobile Safari", "16.6"},
		"Rich Client 4.40.0.0": {"Rich Client", "4.40.0.0"},
		"Rich Client":          {"Rich Client", ""},
		"Edge":                 {"Edge", ""},
		"":                     {"", ""},
	} {
		if name, version := browserVersion(text(in)); string(name) != want[0] || string(version) != want[1] {
			t.Errorf("%q: got %q %q", in, name, version)
		}
	}
}

// TestSignInValues holds the value maps against small records.
func TestSignInValues(t *testing.T) {
	n, ecs := newNormalizer(t)
	for _, c := range []struct{ name, raw, key, want string }{ // want: JSON; "" for absent
		{"codes above a million", `{"status":{"errorCode":7000222}}`, "logferry.signin.result", `"failure"`},
		{"unlisted code", `{"status":{"errorCode":12345}}`, "event.outcome", `"failure"`},
		{"unlisted code says nothing of the password", `{"status":{"errorCode":12345}}`, "logferry.signin.password_accepted", ``},
		{"success says nothing of the password", `{"status":{"errorCode":0}}`, "logferry.signin.password_accepted", ``},
		{"success by a password", `{"status":{"errorCode":0},"authenticationDetails":[{"authenticationMethod":"Password","succeeded":false},{"succeeded":true,"authenticationMethod":"Password"}]}`, "logferry.signin.password_accepted", `true`},
		{"success by a passkey", `{"status":{"errorCode":0},"authenticationDetails":[{"authenticationMethod":"Passkey (device-bound)","succeeded":true}]}`, "logferry.signin.password_accepted", ``},
		{"success by a token", `{"status":{"errorCode":0},"authenticationDetails":[{"authenticationMethod":"Previously satisfied","succeeded":true}]}`, "logferry.signin.password_accepted", ``},
		{"interrupt behind a password", `{"status":{"errorCode":50097},"authenticationDetails":[{"authenticationMethod":"Password","succeeded":true}]}`, "logferry.signin.password_accepted", `true`},
		{"password step that failed", `{"status":{"errorCode":50097},"authenticationDetails":[{"authenticationMethod":"Password","succeeded":false}]}`, "logferry.signin.password_accepted", ``},
		{"success as text is none", `{"status":{"errorCode":50097},"authenticationDetails":[{"authenticationMethod":"Password","succeeded":"true"},null,7,[]]}`, "logferry.signin.password_accepted", ``},
		{"code before steps", `{"status":{"errorCode":50126},"authenticationDetails":[{"authenticationMethod":"Password","succeeded":true}]}`, "logferry.signin.password_accepted", `false`},
		{"interrupt is no failure", `{"status":{"errorCode":50140}}`, "event.outcome", `"unknown"`},
		{"interrupt is no start", `{"status":{"errorCode":50140}}`, "event.type", `["info"]`},
		{"service has no factor", `{"status":{"errorCode":0},"authenticationRequirement":"singleFactorAuthentication","servicePrincipalId":"s"}`, "logferry.signin.mfa", ``},
		{"service has no password", `{"status":{"errorCode":7000215},"servicePrincipalId":"s"}`, "logferry.signin.password_accepted", ``},
		{"locked", `{"status":{"errorCode":50053}}`, "logferry.signin.password_accepted", `false`},
		{"no status is not success", `{"status":{}}`, "event.outcome", `"unknown"`},
		{"code as text counts as absent", `{"status":{"errorCode":"0"}}`, "event.outcome", `"unknown"`},
		{"fraction is no code", `{"status":{"errorCode":0.5}}`, "event.code", ``},
		{"reason of a success", `{"status":{"errorCode":0,"failureReason":"Other."}}`, "event.reason", ``},
		{"details alone", `{"status":{"errorCode":1,"additionalDetails":"d"}}`, "message", `"d"`},
		{"both", `{"status":{"errorCode":1,"failureReason":"r","additionalDetails":"d"}}`, "message", `"r (d)"`},
		{"mfa by text", `{"status":{"errorCode":0,"additionalDetails":"MFA completed in Azure AD"}}`, "logferry.signin.mfa", `true`},
		{"mfa unknown in v1.0", `{"status":{"errorCode":0}}`, "logferry.signin.mfa", ``},
		{"mfa asked, not done", `{"status":{"errorCode":50074},"authenticationRequirement":"multiFactorAuthentication"}`, "logferry.signin.mfa", ``},
		{"no second factor", `{"status":{"errorCode":0},"authenticationRequirement":"singleFactorAuthentication"}`, "logferry.signin.mfa", `false`},
		{"risk word of the future", `{"riskLevelAggregated":"severe"}`, "user.risk.static_level", `"severe"`},
		{"risk hidden", `{"riskLevelAggregated":"hidden"}`, "user.risk.static_level", ``},
		{"country by name", `{"location":{"countryOrRegion":"Netherlands"}}`, "source.geo.country_iso_code", ``},
		{"country in lower case", `{"location":{"countryOrRegion":"nl"}}`, "source.geo.country_iso_code", `"NL"`},
		{"half a coordinate", `{"location":{"geoCoordinates":{"latitude":1}}}`, "source.geo.location", ``},
		{"zero latitude alone is a place", `{"location":{"geoCoordinates":{"latitude":0,"longitude":9.5}}}`, "source.geo.location", `{"lat":0,"lon":9.5}`},
		{"nowhere", `{"location":{"geoCoordinates":{"latitude":0.0,"longitude":-0}}}`, "source.geo.location", ``},
		{"off the globe", `{"location":{"geoCoordinates":{"latitude":1,"longitude":181}}}`, "source.geo.location", ``},
		{"text coordinates", `{"location":{"geoCoordinates":{"latitude":"1","longitude":"2"}}}`, "source.geo.location", ``},
		{"our own tenant", `{"homeTenantId":"` + strings.ToUpper(testTenant) + `"}`, "organization.id", ``},
		{"user without a domain", `{"userPrincipalName":"Someone"}`, "user.domain", ``},
		{"user without a domain has a name", `{"userPrincipalName":"Someone"}`, "user.name", `"someone"`},
		{"at sign at the end", `{"userPrincipalName":"x@"}`, "user.email", ``},
		{"service by the stream alone", `{"servicePrincipalName":"Job","userId":"u","signInEventTypes":["servicePrincipal"]}`, "user.name", `"Job"`},
		{"user with a service principal", `{"servicePrincipalName":"Job","userId":"u"}`, "user.id", `"u"`},
		{"service without a name", `{"appDisplayName":"App","signInEventTypes":["managedIdentity"]}`, "user.name", `"App"`},
		{"nobody", `{"appDisplayName":"App"}`, "user.name", ``},
		{"negative duration", `{"processingTimeInMilliseconds":-1}`, "event.duration", ``},
		{"endless duration", `{"processingTimeInMilliseconds":99999999999999}`, "event.duration", ``},
		{"android", `{"deviceDetail":{"operatingSystem":"Android 14"}}`, "user_agent.os.type", `"android"`},
		{"ipad", `{"deviceDetail":{"operatingSystem":"iPadOS 17"}}`, "user_agent.os.type", `"ios"`},
		{"windows phone", `{"deviceDetail":{"operatingSystem":"Windows Phone 10"}}`, "user_agent.os.type", ``},
		{"mac", `{"deviceDetail":{"operatingSystem":"Mac OS"}}`, "user_agent.os.type", `"macos"`},
		{"other system", `{"deviceDetail":{"operatingSystem":"Plan 9"}}`, "user_agent.os.type", ``},
	} {
		if got := eventValue(t, n, newRecord("signins.interactive", []byte(c.raw)), ecs, c.key); got != c.want {
			t.Errorf("%s: %s = %s, want %s", c.name, c.key, got, c.want)
		}
	}
}

// TestAuditValues holds what is derived of an audit against small records.
func TestAuditValues(t *testing.T) {
	n, ecs := newNormalizer(t)
	const mail = `"modifiedProperties":[{"displayName":"Mail","oldValue":"[\"a@contoso.com\"]","newValue":"[\"a@contoso.com\"]"}]`
	for _, c := range []struct{ name, raw, key, want string }{ // want: JSON; "" for absent
		{"unlisted policy", `{"activityDisplayName":"x","operationType":"Update","targetResources":[{"type":"User"},{"type":"Policy"}]}`, "event.category", `["configuration"]`},
		{"unlisted policy has no principal", `{"activityDisplayName":"x","operationType":"Update","targetResources":[{"type":"User"},{"type":"Policy"}]}`, "event.type", `["change"]`},
		{"unlisted group", `{"operationType":"Delete","targetResources":[{"type":"Group"}]}`, "event.type", `["group","deletion"]`},
		{"unlisted operation", `{"operationType":"Ponder"}`, "event.type", `["info"]`},
		{"role of a service counts as a user's", `{"activityDisplayName":"Add member to role","targetResources":[{"type":"ServicePrincipal"}]}`, "event.type", `["user","admin","change"]`},
		{"role of a group", `{"activityDisplayName":"Add member to role","targetResources":[{"type":"Role"},{"type":"Group"}]}`, "event.type", `["group","admin","change"]`},
		{"role that nobody holds", `{"activityDisplayName":"Add role definition","operationType":"Add","targetResources":[{"type":"Role","displayName":"R"}]}`, "user.changes.roles", ``},
		{"settings of a role", `{"activityDisplayName":"Update role setting in PIM","targetResources":[{"type":"Role","displayName":"R"},{"type":"User"}]}`, "user.changes.roles", ``},
		{"unlisted change of a role", `{"activityDisplayName":"x","operationType":"Assign","targetResources":[{"type":"Role","displayName":"R"},{"type":"User"}]}`, "user.changes.roles", `["R"]`},
		{"both names of a renamed user are related", `{"activityDisplayName":"Update user","targetResources":[{"type":"User","userPrincipalName":"A@contoso.com","modifiedProperties":[{"displayName":"UserPrincipalName","oldValue":"[\"A@contoso.com\"]","newValue":"[\"B@contoso.com\"]"}]}]}`, "related.user", `["a@contoso.com","b@contoso.com"]`},
		{"group's name from its target", `{"targetResources":[{"type":"Group","id":"1","displayName":"A"},{"type":"Group","id":"2","displayName":"B","modifiedProperties":[{"displayName":"Group.ObjectID","newValue":"\"1\""}]}]}`, "group.name", `"A"`},
		{"group's id from its target", `{"targetResources":[{"type":"Group","id":"2","displayName":"B"},{"type":"Group","id":"1","displayName":"A"},{"type":"User","modifiedProperties":[{"displayName":"Group.DisplayName","newValue":"\"A\""}]}]}`, "group.id", `"1"`},
		{"mail as before", `{"activityDisplayName":"Update user","targetResources":[{"type":"User",` + mail + `}]}`, "user.changes.email", ``},
		{"new user has no changes", `{"activityDisplayName":"Add user","targetResources":[{"type":"User","modifiedProperties":[{"displayName":"Mail","newValue":"\"a@contoso.com\""}]}]}`, "user.changes.email", ``},
		{"failed", `{"result":"FAILED"}`, "event.outcome", `"failure"`},
		{"future word", `{"result":"unknownFutureValue"}`, "event.outcome", `"unknown"`},
		{"user agent member before detail", `{"userAgent":"a","additionalDetails":[{"key":"User-Agent","value":"b"}]}`, "user_agent.original", `"a"`},
		{"empty user is no actor", `{"initiatedBy":{"user":{"id":"` + zeroGUID + `"},"app":{"servicePrincipalId":"1","servicePrincipalName":"n"}}}`, "user.name", `"n"`},
		{"members of targets are related", `{"targetResources":[{"type":"User","id":"1"},{"type":"User","id":"2"},{"type":"User","id":"1"}]}`, "related.user", `["1","2"]`},
	} {
		if got := eventValue(t, n, newRecord("audits", []byte(c.raw)), ecs, c.key); got != c.want {
			t.Errorf("%s: %s = %s, want %s", c.name, c.key, got, c.want)
		}
	}
}

// eventValue gives one field of rec's event as JSON, "" if it is absent.
func eventValue(t *testing.T, n *Normalizer, rec event.Record, schema event.Schema, key string) string {
	t.Helper()
	v, ok := flatEvent(t, n, rec, schema)[key]
	if !ok {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMonsterIsForgotten(t *testing.T) {
	n, ecs := newNormalizer(t)
	raw := `{"activityDisplayName":"` + strings.Repeat(`\u0041`, mostArena) + `","targetResources":[` + strings.Repeat(`{},`, mostTargets) + `{}]}`
	j := n.jobs.New().(*job)
	rec := newRecord("audits", []byte(raw))
	if _, err := j.render(nil, &rec, ecs); err != nil {
		t.Fatal(err)
	}
	j.reset()
	if cap(j.arena) > mostArena || cap(j.scratch) > mostArena || cap(j.audit.targets) > mostTargets || j.Buf != nil || j.out.buf != nil {
		t.Errorf("kept: arena %d, scratch %d, targets %d bytes", cap(j.arena), cap(j.scratch), cap(j.audit.targets))
	}
}

func TestForeignTenantBehindADomain(t *testing.T) {
	m := signIn{homeTenantID: text("a"), resourceTenantID: text("A")}
	if got := m.foreignTenant("contoso.com"); got != nil {
		t.Errorf("home and resource are one tenant: got %s", got)
	}
	m.resourceTenantID = text("b")
	if got := m.foreignTenant("contoso.com"); string(got) != "a" {
		t.Errorf("got %q", got)
	}
}
