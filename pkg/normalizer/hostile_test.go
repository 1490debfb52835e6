package normalizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/event"
)

// TestHostileRecords: records that nobody should send give a valid event of ECS all the same, or an error; nothing hangs.
func TestHostileRecords(t *testing.T) {
	const big = 1 << 20
	long := strings.Repeat("a", 5*big)
	many := func(element string) string {
		return strings.TrimSuffix(strings.Repeat(element+",", big/len(element)), ",")
	}
	nested := func(depth int) string { return strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth) }
	for _, c := range []struct{ name, stream, raw, key, want string }{ // want: JSON of key; "" for absent
		{"long texts", "signins.interactive", `{"userPrincipalName":"` + strings.ToUpper(long) + `@contoso.com","userAgent":"` + long + `","ipAddress":"` + long + `"}`, "source.ip", ``},
		{"long escaped text", "audits", `{"activityDisplayName":"` + strings.Repeat(`\u0041`, big/6) + `"}`, "event.type", `["info"]`},
		{"long address", "signins.interactive", `{"ipAddress":"` + strings.Repeat("::", big/2) + `"}`, "source.ip", ``},
		{"long number", "signins.interactive", `{"status":{"errorCode":` + strings.Repeat("1", big) + `}}`, "event.code", ``},
		{"long coordinate", "signins.interactive", `{"location":{"geoCoordinates":{"latitude":1.` + strings.Repeat("1", big) + `,"longitude":1}}}`, "source.geo.location", ``},
		{"coordinate past floats", "signins.interactive", `{"location":{"geoCoordinates":{"latitude":1e999,"longitude":1}}}`, "source.geo.location", ``},
		{"many policies", "signins.interactive", `{"appliedConditionalAccessPolicies":[` + many(`{"result":"success"}`) + `,{"id":"p","result":"failure"}]}`, "rule.id", `"p"`},
		{"many targets", "audits", `{"targetResources":[` + many(`{"type":"User","id":"1"}`) + `,{"type":"Group","id":"g"}]}`, "group.id", `"g"`},
		{"many properties", "audits", `{"targetResources":[{"type":"User","modifiedProperties":[` + many(`{"displayName":"Role.DisplayName","newValue":"\"R\""}`) + `]}]}`, "logferry.role.name", `"R"`},
		{"property of brackets", "audits", `{"targetResources":[{"type":"User","modifiedProperties":[{"displayName":"Role.DisplayName","newValue":"` + nested(big/2) + `"}]}]}`, "event.kind", `"event"`},
		{"property of quotes", "audits", `{"targetResources":[{"type":"User","modifiedProperties":[{"displayName":"Role.DisplayName","newValue":"` + strings.Repeat(`\"`, big/2) + `"}]}]}`, "event.kind", `"event"`},
		{"many members", "audits", `{` + many(`"id":"x"`) + `}`, "event.id", `"x"`},
		{"the last of a member counts", "signins.interactive", `{"userId":"1","userId":"2","ipAddress":"192.0.2.1","ipAddress":null}`, "user.id", `"2"`},
		{"a later null takes back", "signins.interactive", `{"ipAddress":"192.0.2.1","ipAddress":null}`, "source.ip", ``},
		{"a later null takes back a list", "signins.interactive", `{"servicePrincipalName":"Job","userId":"u","signInEventTypes":["servicePrincipal"],"signInEventTypes":null}`, "user.id", `"u"`},
		{"a later object is another one", "signins.interactive", `{"location":{"city":"A","state":"B"},"location":{"city":"C"}}`, "source.geo.region_name", ``},
		{"targets twice", "audits", `{"targetResources":[{"type":"User","id":"1"}],"targetResources":[{"type":"User","id":"2"}]}`, "user.target.id", `"2"`},
		{"NUL", "signins.interactive", `{"userAgent":"a\u0000b"}`, "user_agent.original", `"a\u0000b"`},
		{"half a surrogate", "signins.interactive", `{"userPrincipalName":"\ud800A@contoso.com"}`, "user.name", `"` + "\ufffd" + `a@contoso.com"`},
		{"surrogates the wrong way round", "audits", `{"activityDisplayName":"\udc00\ud800"}`, "event.action", `"` + "\ufffd\ufffd" + `"`},
		{"a pair of surrogates", "audits", `{"activityDisplayName":"\ud83d\ude00"}`, "event.action", `"😀"`},
		{"markup", "signins.interactive", `{"userAgent":"\"},\"event\":{\"outcome\":\"success"}`, "event.outcome", `"unknown"`},
		{"members of our own", "audits", `{"event":{"outcome":"success"},"logferry":{"update":true},"entra":1}`, "event.outcome", `"unknown"`},
		{"depth that is read", "audits", `{"x":` + nested(60) + `}`, "event.kind", `"event"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, ecs := newNormalizer(t)
			rec := newRecord(c.stream, []byte(c.raw))
			checkHostile(t, n, rec, ecs)
			if got := eventValue(t, n, rec, withoutRecord, c.key); got != c.want {
				t.Errorf("%s = %.200s, want %s", c.key, got, c.want)
			}
		})
	}
}

// checkHostile holds an event against what every event must be.
func checkHostile(t *testing.T, n *Normalizer, rec event.Record, schema event.Schema) {
	t.Helper()
	out, err := n.Normalize(nil, rec, schema)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out) || !utf8.Valid(out) {
		t.Fatalf("not valid: %.500q", out)
	}
	if !strings.HasSuffix(string(out), `,"entra":`+string(rec.Raw)+`}`) {
		t.Error("the record is not kept as sent")
	}
	checkECS(t, readECS(t), flatEvent(t, n, rec, withoutRecord))
}

// withoutRecord is for records that encoding/json cannot read: it knows no number beyond float64.
var withoutRecord = event.Schema{Name: "ecs", Version: Version, Options: "raw=drop"}

// TestActorAndTarget: who did it comes from initiatedBy alone, whom it was done to from targetResources alone.
func TestActorAndTarget(t *testing.T) {
	n, ecs := newNormalizer(t)
	for name, rec := range testRecords(t) {
		if rec.Key.Stream != "audits" {
			continue
		}
		var audit struct {
			InitiatedBy     any `json:"initiatedBy"`
			TargetResources any `json:"targetResources"`
			Actor           any `json:"actor"` // Azure AD Graph's names
			Targets         any `json:"targets"`
		}
		if json.Unmarshal(rec.Raw, &audit) != nil {
			continue // initiatedBy and targetResources are of any type; nothing else fails
		}
		by, to := strings.ToLower(fmt.Sprint(audit.InitiatedBy, audit.Actor)), strings.ToLower(fmt.Sprint(audit.TargetResources, audit.Targets))
		for key, v := range flatEvent(t, n, rec, ecs) {
			where := ""
			switch key {
			case "user.id", "user.name", "user.full_name", "service.id", "service.name", "source.address":
				where = by
			case "user.target.id", "user.target.name", "user.target.full_name", "group.id", "group.name", "service.target.id", "service.target.name":
				where = to
			default:
				continue
			}
			value := strings.ToLower(v.(string))
			embedded := strings.ReplaceAll(value, `"`, `\"`) // as JSON within modifiedProperties has it
			if !strings.Contains(where, value) && !strings.Contains(where, embedded) {
				t.Errorf("%s: %s = %v is not in %s", name, key, v, where)
			}
		}
	}
}
