package route

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/normalizer"
)

func newFilter(t testing.TB, rules ...Rule) *Filter {
	t.Helper()
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	return NewFilter(rules, n)
}

const (
	failedSignIn = `{"id":"1","userPrincipalName":"Anna@contoso.com","userId":"u-1","appDisplayName":"Azure Portal","appId":"a-1","ipAddress":"192.0.2.7:443","clientAppUsed":"IMAP4",
		"resourceDisplayName":"Windows Azure Service Management API","riskLevelAggregated":"none","riskLevelDuringSignIn":"medium","status":{"errorCode":50126},"location":{"countryOrRegion":"DE"}}`
	goodSignIn = `{"id":"2","userPrincipalName":"ben@contoso.com","ipAddress":"2001:db8::9","riskLevelAggregated":"hidden","status":{"errorCode":0}}`
	asked      = `{"id":"3","status":{"errorCode":50074}}`
	noStatus   = `{"id":"4"}`
	audit      = `{"id":"5","result":"success","activityDisplayName":"Add member to role","category":"RoleManagement","initiatedBy":{"user":{"userPrincipalName":"anna@contoso.com","ipAddress":"192.0.2.7"}},
		"targetResources":[{"type":"Role","displayName":"Helpdesk \"2\""},{"type":"User","userPrincipalName":"break.glass@contoso.com"}]}`
	detection = `{"id":"6","riskLevel":"high","riskEventType":"leakedCredentials","userPrincipalName":"ben@contoso.com"}`
	alert     = `{"id":"7","severity":"low","title":"Unusual sign-in","category":"InitialAccess"}`
)

func TestKeep(t *testing.T) {
	records := map[string][2]string{
		"failed": {"signins.interactive", failedSignIn}, "good": {"signins.interactive", goodSignIn}, "asked": {"signins.noninteractive", asked},
		"none": {"signins.interactive", noStatus}, "audit": {"audits", audit}, "detection": {"risk.detections", detection}, "alert": {"security.alerts", alert},
	}
	signIns := Words{"signins.*"}
	for _, tt := range []struct {
		name  string
		rules []Rule
		want  string // the records that are kept
	}{
		{"failures", []Rule{{Conditions: Conditions{Outcome: Words{"failure"}}}}, "failed"},
		{"what is not named is kept whole", []Rule{{Streams: signIns, Conditions: Conditions{Outcome: Words{"failure"}}}}, "alert audit detection failed"},
		{"either of two rules", []Rule{{Conditions: Conditions{Outcome: Words{"failure"}}}, {Conditions: Conditions{Risk: "high"}}}, "detection failed"},
		{"two streams, two rules", []Rule{{Streams: signIns, Conditions: Conditions{Outcome: Words{"failure"}}}, {Streams: Words{"audits"}, Conditions: Conditions{Category: Words{"policy"}}}}, "alert detection failed"},
		{"a rule does not hold in streams that it does not name", []Rule{{Streams: signIns, Conditions: Conditions{Outcome: Words{"failure"}}}, {Streams: Words{"audits"}, Conditions: Conditions{Outcome: Words{"success"}}}}, "alert audit detection failed"},
		{"both of two conditions", []Rule{{Conditions: Conditions{Outcome: Words{"failure"}, Risk: "high"}}}, ""},
		{"interrupted is not a failure", []Rule{{Streams: signIns, Conditions: Conditions{Outcome: Words{"interrupted", "unknown"}}}}, "alert asked audit detection none"},
		{"risk", []Rule{{Conditions: Conditions{Risk: "low"}}}, "alert detection failed"},
		{"risk medium", []Rule{{Conditions: Conditions{Risk: "medium"}}}, "detection failed"},
		{"user", []Rule{{Conditions: Conditions{User: Words{"ANNA@*", "x"}}}}, "audit failed"},
		{"user by id", []Rule{{Conditions: Conditions{User: Words{"U-1"}}}}, "failed"},
		{"target", []Rule{{Conditions: Conditions{Target: Words{"break.glass@*"}}}}, "audit"},
		{"target with escapes", []Rule{{Conditions: Conditions{Target: Words{`helpdesk "?"`}}}}, "audit"},
		{"resource", []Rule{{Conditions: Conditions{Target: Words{"windows azure *"}}}}, "failed"},
		{"app", []Rule{{Conditions: Conditions{App: Words{"azure portal"}}}}, "failed"},
		{"activity", []Rule{{Conditions: Conditions{Activity: Words{"*member to role*", "leakedcredentials"}}}}, "audit detection"},
		{"category", []Rule{{Conditions: Conditions{Category: Words{"rolemanagement", "initialaccess"}}}}, "alert audit"},
		{"address", []Rule{{Conditions: Conditions{IP: Words{"192.0.2.7"}}}}, "audit failed"},
		{"network", []Rule{{Conditions: Conditions{IP: Words{"2001:db8::/32"}}}}, "good"},
		{"address by pattern", []Rule{{Conditions: Conditions{IP: Words{"192.0.2.?"}}}}, "audit failed"},
		{"country", []Rule{{Conditions: Conditions{Country: Words{"de"}}}}, "failed"},
		{"client", []Rule{{Conditions: Conditions{ClientApp: Words{"imap*"}}}}, "failed"},
		{"error code", []Rule{{Conditions: Conditions{ErrorCode: Codes{0, 50126}}}}, "failed good"},
		{"not", []Rule{{Conditions: Conditions{Outcome: Words{"failure", "success"}}, Not: &Conditions{User: Words{"anna@*"}}}}, "good"},
		{"not only when all of it holds", []Rule{{Conditions: Conditions{User: Words{"*"}}, Not: &Conditions{User: Words{"anna@*"}, Outcome: Words{"failure"}}}}, "audit detection good"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, tt.rules...)
			var kept []string
			for name, r := range records {
				if rec := newRecord(r[0], []byte(r[1])); f.Keep(&rec) {
					kept = append(kept, name)
				}
			}
			slices.Sort(kept)
			if got := strings.Join(kept, " "); got != tt.want {
				t.Errorf("kept %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUnreadableIsKept: it becomes a dead letter with a reason.
func TestUnreadableIsKept(t *testing.T) {
	f := newFilter(t, Rule{Conditions: Conditions{Outcome: Words{"failure"}}})
	for _, raw := range []string{"", "null", "[]", `{"a":`, `"x"`} {
		for _, stream := range []string{"signins.interactive", "audits", "provisioning"} {
			if rec := newRecord(stream, []byte(raw)); !f.Keep(&rec) {
				t.Errorf("%s %q is filtered", stream, raw)
			}
		}
	}
	if NewFilter(nil, nil) != nil {
		t.Error("a filter without rules")
	}
}

// pick takes some of the words.
func pick(r *rand.Rand, words ...string) Words {
	if r.IntN(3) > 0 {
		return nil
	}
	out := Words{words[r.IntN(len(words))]}
	if r.IntN(2) == 0 {
		out = append(out, words[r.IntN(len(words))])
	}
	return out
}

func randomConditions(r *rand.Rand) Conditions {
	c := Conditions{
		Outcome: pick(r, outcomes...), User: pick(r, "anna@*", "*", "u-1", "*é?@*", "BEN@contoso.com"), App: pick(r, "Azure*", "a-1"),
		IP: pick(r, "192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "192.0.*", "*redacted*"), Country: pick(r, "DE", "?R"),
		Activity: pick(r, "Add*", "*user*"), Category: pick(r, "UserManagement", "*"), ClientApp: pick(r, "IMAP4", "*client*"),
		Target: pick(r, "*graph*", "ben@*"),
	}
	if r.IntN(3) == 0 {
		c.Risk = levels[r.IntN(3)]
	}
	if r.IntN(4) == 0 {
		c.ErrorCode = Codes{[]int64{0, 50126, 50074}[r.IntN(3)]}
	}
	return c
}

func randomRecord(r *rand.Rand) (stream string, raw []byte) {
	one := func(words ...any) any { return words[r.IntN(len(words))] }
	user := func() any {
		return one("Anna@contoso.com", "ben@contoso.com", "renée@contoso.com", "", "hidden", nil, 5, "a\"\\b@x", "00000000-0000-0000-0000-000000000000")
	}
	address := func() any {
		return one("192.0.2.7", "192.0.2.7:443", "2001:DB8::9", "redacted by policy", nil, "", "198.51.100.9")
	}
	m := map[string]any{"id": "1"}
	switch stream = one("signins.interactive", "signins.serviceprincipal", "audits", "risk.detections", "provisioning").(string); stream {
	case "audits":
		m["result"], m["activityDisplayName"], m["category"] = one("success", "Failure", "failed", "timeout", "unknownFutureValue", nil, "odd"), one("Add user", "Update user", nil), one("UserManagement", "Policy", "")
		m["initiatedBy"] = one(nil, map[string]any{"user": map[string]any{"userPrincipalName": user(), "id": user(), "ipAddress": address()}}, map[string]any{"app": map[string]any{"displayName": "Azure X", "appId": "a-1", "servicePrincipalName": user()}})
		m["targetResources"] = []any{map[string]any{"displayName": user()}, map[string]any{"userPrincipalName": user(), "id": "u-1"}}
	case "risk.detections":
		m["riskLevel"], m["userPrincipalName"], m["ipAddress"], m["riskEventType"] = one("low", "hidden", "none", "high", nil), user(), address(), one("Additional user", nil)
	case "provisioning":
		m["category"] = "UserManagement"
	default:
		m["userPrincipalName"], m["userId"], m["servicePrincipalName"] = user(), user(), user()
		m["riskLevelAggregated"], m["riskLevelDuringSignIn"] = one("low", "medium", "none", nil), one("high", "hidden", "none", nil)
		m["status"] = one(nil, map[string]any{"errorCode": one(0, 50126, 50074, 987654, "0", nil)})
		m["ipAddress"], m["clientAppUsed"], m["appDisplayName"], m["appId"], m["resourceDisplayName"] = address(), one("IMAP4", "Mobile Apps and Desktop clients", ""), one("Azure Portal", nil), one("a-1", nil), one("Microsoft Graph", nil)
		m["location"] = one(nil, map[string]any{"countryOrRegion": one("DE", "FR", "")})
	}
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return stream, raw
}

// naive is what a condition looks at, read by encoding/json.
func naive(stream string, raw []byte) (outcome string, risk int, code any, texts map[string][]string) {
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		panic(err)
	}
	get := func(path ...string) (found []string) {
		var walk func(v any, path []string)
		walk = func(v any, path []string) {
			switch v := v.(type) {
			case []any:
				for _, e := range v {
					walk(e, path)
				}
			case map[string]any:
				if len(path) > 0 {
					walk(v[path[0]], path[1:])
				}
			case string:
				if len(path) == 0 && !slices.Contains([]string{"", "hidden", "unknownFutureValue", "00000000-0000-0000-0000-000000000000"}, v) {
					found = append(found, v)
				}
			}
		}
		walk(m, path)
		return found
	}
	family, _, _ := strings.Cut(stream, ".")
	switch family {
	case "signins":
		outcome = "unknown"
		status, _ := m["status"].(map[string]any)
		if c, ok := status["errorCode"].(float64); ok {
			code, outcome = int64(c), "failure"
			switch c {
			case 0:
				outcome = "success"
			case 50074:
				outcome = "interrupted"
			}
		}
		texts = map[string][]string{"user": slices.Concat(get("userPrincipalName"), get("userId"), get("servicePrincipalName")), "app": slices.Concat(get("appDisplayName"), get("appId")),
			"ip": get("ipAddress"), "country": get("location", "countryOrRegion"), "client_app": get("clientAppUsed"), "target": get("resourceDisplayName")}
	case "audits":
		outcome = "unknown"
		switch strings.ToLower(fmt.Sprint(m["result"])) {
		case "success":
			outcome = "success"
		case "failure", "failed", "timeout":
			outcome = "failure"
		}
		texts = map[string][]string{"user": slices.Concat(get("initiatedBy", "user", "userPrincipalName"), get("initiatedBy", "user", "id"), get("initiatedBy", "app", "servicePrincipalName")),
			"app": slices.Concat(get("initiatedBy", "app", "displayName"), get("initiatedBy", "app", "appId")), "ip": get("initiatedBy", "user", "ipAddress"), "activity": get("activityDisplayName"),
			"category": get("category"), "target": slices.Concat(get("targetResources", "displayName"), get("targetResources", "userPrincipalName"), get("targetResources", "id"))}
	default:
		texts = map[string][]string{"user": get("userPrincipalName"), "ip": get("ipAddress"), "activity": get("riskEventType"), "category": get("category")}
	}
	if family != "audits" {
		for _, l := range slices.Concat(get("riskLevel"), get("riskLevelAggregated"), get("riskLevelDuringSignIn")) {
			risk = max(risk, 1+slices.Index(levels, l))
		}
	}
	return outcome, risk, code, texts
}

func naiveHold(c Conditions, stream string, raw []byte) bool {
	outcome, risk, code, texts := naive(stream, raw)
	if c.Outcome != nil && !slices.Contains(c.Outcome, outcome) || c.Risk != "" && risk < 1+slices.Index(levels, c.Risk) {
		return false
	}
	if n, ok := code.(int64); c.ErrorCode != nil && (!ok || !slices.Contains(c.ErrorCode, n)) {
		return false
	}
	for _, w := range c.words() {
		if *w.words == nil || w.name == "outcome" {
			continue
		}
		ok := false
		for _, text := range texts[w.name] {
			for _, pattern := range *w.words {
				ok = ok || naiveMatch(w.name, pattern, text)
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

func naiveMatch(name, pattern, text string) bool {
	if name == "ip" {
		text = strings.TrimSuffix(text, ":443")
		if a, err := netip.ParseAddr(text); err == nil {
			if p, err := netip.ParsePrefix(pattern); err == nil {
				return p.Contains(a)
			}
		}
	}
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("(?is)^" + expr + "$").MatchString(text)
}

func TestKeepRandom(t *testing.T) {
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	kept, filtered := 0, 0
	for seed := range uint64(2_000) {
		r := rand.New(rand.NewPCG(seed, 3))
		var rules Rules
		for range 1 + r.IntN(3) {
			rule := Rule{Streams: pick(r, "signins.*", "audits", "*", "risk.detections"), Conditions: randomConditions(r)}
			if r.IntN(3) == 0 {
				not := randomConditions(r)
				rule.Not = &not
			}
			rules = append(rules, rule)
		}
		f := NewFilter(rules, n)
		for range 10 {
			stream, raw := randomRecord(r)
			named, want := false, false
			for _, rule := range rules {
				names := rule.Streams == nil || slices.ContainsFunc(rule.Streams, func(p string) bool { ok, _ := path.Match(p, stream); return ok })
				named = named || names
				want = want || names && naiveHold(rule.Conditions, stream, raw) && (rule.Not == nil || !naiveHold(*rule.Not, stream, raw))
			}
			rec := newRecord(stream, raw)
			if got := f.Keep(&rec); got != (want || !named) {
				t.Fatalf("seed %d: kept %v\n%+v\n%s %s", seed, got, rules, stream, raw)
			} else if got {
				kept++
			} else {
				filtered++
			}
		}
	}
	t.Logf("%d kept, %d filtered", kept, filtered)
	if kept < 2000 || filtered < 2000 {
		t.Error("the cases are one-sided")
	}
}

func TestMatch(t *testing.T) {
	for _, pattern := range []string{"", "*", "?", "a", "a*", "*a", "*a*b*", "a?b", "**", "a**b", "*é", "?é*", "*ab", "k*"} {
		for _, text := range []string{"", "a", "b", "ab", "aab", "axb", "AXXB", "É", "xÉ", "éé", "abab", "abx", "K", "[a", "a/b"} {
			if got, want := match(pattern, []byte(text)), naiveMatch("", pattern, text); got != want {
				t.Errorf("%q and %q: %v, want %v", pattern, text, got, want)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	all := []string{"signins.interactive", "signins.noninteractive", "audits", "provisioning", "risk.users"}
	streams := func(p string) (names []string) {
		for _, s := range all {
			if ok, err := path.Match(p, s); ok && err == nil {
				names = append(names, s)
			}
		}
		return names
	}
	rule := func(c Conditions) Config { return Config{Where: Rules{{Conditions: c}}} }
	for _, tt := range []struct {
		c    Config
		want string // "" for none
	}{
		{Config{}, ""},
		{Config{Where: Rules{{Streams: Words{"audits"}}}, DropFields: Words{"a", "b.c[]"}, HashFields: Words{"d", "a.x"}, HashKeyFile: "k"}, ""},
		{rule(Conditions{Outcome: Words{"failure"}, Risk: "low", IP: Words{"192.0.2.0/24", "2001:db8::1", "192.*"}, Country: Words{"DE"}, ErrorCode: Codes{1}}), ""},
		{Config{Where: Rules{}}, "where: has no rule"},
		{Config{Where: Rules{{}}}, "where[0]: says nothing"},
		{Config{Where: Rules{{Not: &Conditions{}}}}, "where[0].not: says nothing"},
		{Config{Where: Rules{{Streams: Words{"audits", "signin.*"}}}}, "where[0].streams[1]: \"signin.*\" matches no stream"},
		{Config{Where: Rules{{Streams: Words{"provisioning"}, Conditions: Conditions{Outcome: Words{"failure"}}}}}, "where[0].outcome: never holds"},
		{rule(Conditions{Country: Words{"DE"}, Category: Words{"x"}}), "never holds"},
		{rule(Conditions{Outcome: Words{"failed"}}), "where[0].outcome[0]: \"failed\" is unknown: failure, success"},
		{rule(Conditions{Risk: "none"}), "where[0].risk: \"none\" is unknown: low, medium, high"},
		{rule(Conditions{User: Words{"a", " "}}), "where[0].user[1]: is empty"},
		{rule(Conditions{User: Words{}}), "where[0].user: is an empty list"},
		{rule(Conditions{ErrorCode: Codes{}}), "where[0].error_code: is an empty list"},
		{rule(Conditions{IP: Words{"10.0.0.0/33"}}), "where[0].ip[0]: \"10.0.0.0/33\" is not a network"},
		{rule(Conditions{IP: Words{"office"}}), "where[0].ip[0]: \"office\" is not an address"},
		{rule(Conditions{Country: Words{"Germany"}}), "where[0].country[0]"},
		{Config{DropFields: Words{}}, "drop_fields: is an empty list"},
		{Config{DropFields: Words{"a", "a[]"}}, "drop_fields[1]: a[] stands here twice"},
		{Config{DropFields: Words{"id"}}, "drop_fields[0]: id has to stay"},
		{Config{DropFields: Words{"CreatedDatetime"}}, "createdDateTime has to stay"},
		{Config{HashFields: Words{"lastUpdateDateTime"}, HashKeyFile: "k"}, "hash_fields[0]: lastUpdateDateTime has to stay"},
		{Config{DropFields: Words{"$.ipAddress"}}, "drop_fields[0]: \"$.ipAddress\" is not a path"},
		{Config{DropFields: Words{"a..b"}}, "is not a path"},
		{Config{DropFields: Words{"a[0]"}}, "is not a path"},
		{Config{DropFields: Words{"a.*"}}, "is not a path"},
		{Config{DropFields: Words{"user name"}}, "is not a path"},
		{Config{DropFields: Words{"a"}, HashFields: Words{"A"}, HashKeyFile: "k"}, "hash_fields[0]: A is in drop_fields, too"},
		{Config{HashFields: Words{"a"}}, "hash_fields: needs hash_key_file"},
		{Config{HashKeyFile: "k"}, "hash_key_file: is of no use"},
	} {
		err := tt.c.Validate(streams)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v\nwant %q", tt.c, err, tt.want)
		}
	}
}

func TestKeepDoesNotAllocate(t *testing.T) {
	f := newFilter(t, Rule{Streams: Words{"signins.*"}, Conditions: Conditions{Outcome: Words{"failure"}, IP: Words{"192.0.2.*"}}}, Rule{Conditions: Conditions{User: Words{"*admin*"}}})
	rec := samples(t)["signins.interactive-success-mfa"]
	if n := leastAllocs(func() { f.Keep(&rec) }); n > 0 {
		t.Errorf("%v allocations for a record", n)
	}
}

func BenchmarkKeep(b *testing.B) {
	f := newFilter(b, Rule{Streams: Words{"signins.*"}, Conditions: Conditions{Outcome: Words{"failure"}}}, Rule{Streams: Words{"signins.*"}, Conditions: Conditions{Risk: "medium"}})
	rec := samples(b)["signins.interactive-success-mfa"]
	b.SetBytes(int64(len(rec.Raw)))
	b.ReportAllocs()
	for b.Loop() {
		f.Keep(&rec)
	}
}
