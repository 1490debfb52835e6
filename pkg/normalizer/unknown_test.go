package normalizer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// unknownOf renders a record twice and gives what was told and how often it counts.
func unknownOf(t *testing.T, stream, raw string) (told []string, counts map[string]uint64) {
	t.Helper()
	n, err := NewWith(Options{Unknown: func(of, name string) {
		if of != stream {
			t.Errorf("told of stream %q", of)
		}
		told = append(told, name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ecs, err := n.Schema("ecs", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := n.Normalize(nil, newRecord(stream, []byte(raw)), ecs); err != nil {
			t.Fatal(err)
		}
	}
	counts = map[string]uint64{}
	for _, u := range n.Unknown() {
		counts[u.Name] = u.Count
	}
	return told, counts
}

func TestUnknown(t *testing.T) {
	const signins, audits = "signins.interactive", "audits"
	for _, c := range []struct{ stream, raw, want string }{ // want: what is told, "" for nothing
		{signins, `{"brandNew":1}`, "brandNew"},
		{signins, `{"brandN\u0065w":null}`, "brandNew"},
		{signins, `{"status":{"subCode":1}}`, "status.subCode"},
		{signins, `{"location":{"geoCoordinates":{"accuracy":1}}}`, "location.geoCoordinates.accuracy"},
		{signins, `{"deviceDetail":{"colour":"red"},"brandNew":{"colour":1}}`, "deviceDetail.colour brandNew"},
		{signins, `{"authenticationDetails":[{},{"factor":1}]}`, "authenticationDetails.factor"},
		{signins, `{"appliedConditionalAccessPolicies":[{"result":"maybe"}]}`, "appliedConditionalAccessPolicies.result=maybe"},
		{signins, `{"riskState":"atLargeRisk"}`, "riskState=atLargeRisk"},
		{signins, `{"riskState":"atRi\u0073k","riskDetail":"hidden","riskLevelAggregated":"","userType":null,"tokenIssuerType":7}`, ""},
		{signins, `{"authenticationProtocol":"oAuth2,deviceCode, carrierPigeon"}`, "authenticationProtocol=carrierPigeon"},
		{signins, `{"signInEventTypes":["interactiveUser","robot"]}`, "signInEventTypes=robot"},
		{signins, `{"crossTenantAccessType":"b2bCollaboration,passthrough"}`, ""},
		{signins, `{"tokenProtectionStatusDetails":{"brandNew":1},"riskEventTypes_v2":["brandNew"],"appDisplayName":"brand new"}`, ""},
		{audits, `{"result":"undecided","resultReason":"brand new"}`, "result=undecided"},
		{audits, `{"initiatedBy":{"robot":{}}}`, "initiatedBy.robot"},
		{audits, `{"targetResources":[{"type":"Robot","modifiedProperties":[{"displayName":"x","why":""}]}]}`, "targetResources.modifiedProperties.why targetResources.type=Robot"},
		{"risk.users", `{"brandNew":1}`, ""},
	} {
		told, counts := unknownOf(t, c.stream, c.raw)
		want := strings.Fields(c.want)
		if !slices.Equal(told, want) {
			t.Errorf("%s: told %q, want %q", c.raw, told, want)
		}
		for _, name := range want {
			if counts[name] != 2 {
				t.Errorf("%s: %s counts %d", c.raw, name, counts[name])
			}
		}
	}
}

// TestTestRecordsAreKnown: the tables know what the test records hold, which are after the documented shapes, but for what is odd on purpose.
func TestTestRecordsAreKnown(t *testing.T) {
	for name, rec := range testRecords(t) {
		if told, _ := unknownOf(t, rec.Key.Stream, string(rec.Raw)); len(told) > 0 && !strings.HasSuffix(name, "wrong-types") {
			t.Errorf("%s: not known: %q", name, told)
		}
	}
}

// TestUnknownIsBounded: whoever sends records chooses the names.
func TestUnknownIsBounded(t *testing.T) {
	var raw strings.Builder
	raw.WriteString(`{"id":"x"`)
	for i := range 10 * mostUnknown {
		fmt.Fprintf(&raw, `,"m%d":1`, i)
	}
	raw.WriteString(`,"` + strings.Repeat("é", 1000) + `":1}`)
	told, counts := unknownOf(t, "audits", raw.String())
	if len(told) != mostUnknown || len(counts) != mostUnknown+1 || counts[otherUnknown] != 2*(9*mostUnknown+1) {
		t.Errorf("told %d, %d names, other %d", len(told), len(counts), counts[otherUnknown])
	}
	told, _ = unknownOf(t, "audits", `{"`+strings.Repeat("é", 1000)+`":1}`)
	if len(told) != 1 || told[0] != strings.Repeat("é", longestUnknown/2) {
		t.Errorf("told %q", told)
	}
}

func TestKnownCostsNothing(t *testing.T) {
	n, ecs := newNormalizer(t)
	rec := newRecord("signins.interactive", []byte(`{"brandNew":1,"riskState":"newWord","status":{"sub":1}}`))
	buf := make([]byte, 0, 64<<10)
	if got := testing.AllocsPerRun(100, func() { buf, _ = n.Normalize(buf[:0], rec, ecs) }); got != 0 {
		t.Errorf("%v allocations per record of which something was told before", got)
	}
}
