package normalizer

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

// The naive form of Elastic's names: a tree, a regular expression.
var smallThenCapitals = regexp.MustCompile(`([a-z])([A-Z]+)`)

func naiveSnake(name string) string {
	return strings.ToLower(smallThenCapitals.ReplaceAllString(name, "${1}_${2}"))
}

func TestSnakeCase(t *testing.T) {
	for name, want := range map[string]string{
		"ipAddress": "ip_address", "isMFA": "is_mfa", "riskEventTypes_v2": "risk_event_types_v2", "RequestSequence": "request_sequence", "userId": "user_id",
		"globalSecureAccessIpAddress": "global_secure_access_ip_address", "id": "id", "": "", "A": "a", "aBcD": "a_bc_d", "a1B": "a1b", "@odata.type": "@odata.type", "überÄhnlich": "überähnlich",
	} {
		if got := string(appendSnake(nil, []byte(name))); got != want || got != naiveSnake(name) {
			t.Errorf("%q gives %q, want %q, naive %q", name, got, want, naiveSnake(name))
		}
	}
}

// naiveNames are the names that are no snake case, by the object's own (snake-case) path; "" leaves out.
var naiveNames = map[string]string{
	"signins createdDateTime": "created_at", "signins processingTimeInMilliseconds": "processing_time_ms", "signins riskLevelDuringSignIn": "risk_level_during_signin",
	"signins location": "", "signins userAgent": "", "signins status.failureReason": "", "signins status.additionalDetails": "",
	"audits activityDateTime": "activity_datetime", "risk activityDateTime": "activity_datetime", "risk detectedDateTime": "detected_datetime",
	"risk lastUpdatedDateTime": "last_updated_datetime", "risk riskLastUpdatedDateTime": "risk_last_updated_datetime",
}

var (
	auditsInSnakeCase = []string{"activityDisplayName", "correlationId", "loggedByService", "operationType", "resultReason", "initiatedBy", "targetResources", "additionalDetails"}
	sentBelow         = []string{"risk location", "audits initiatedBy", "audits additionalDetails"}
)

// naiveElastic renames the value of the member path of a family.
func naiveElastic(family, path string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if value == nil || value == "" {
				continue
			}
			inner, name := strings.TrimPrefix(path+"."+key, "."), naiveSnake(key)
			top, _, _ := strings.Cut(inner, ".")
			if path == "" && family == "audits" && !slices.Contains(auditsInSnakeCase, key) || path != "" && naiveSent(family, top) {
				name = key
			}
			if other, ok := naiveNames[family+" "+inner]; ok {
				if name = other; name == "" {
					continue
				}
			}
			list, ok := value.([]any)
			switch {
			case ok && family == "audits" && inner == "targetResources":
				out[name] = naiveMap(family, inner, list, 25)
			case ok && family == "audits" && inner == "targetResources.modifiedProperties":
				out[name] = naiveMap(family, inner, list, 50)
			case ok && family == "signins" && inner == "authenticationProcessingDetails":
				out[name] = naivePairs(list)
			default:
				out[name] = naiveElastic(family, inner, value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = naiveElastic(family, path, v[i])
		}
		return out
	}
	return v
}

// naiveSent tells whether names below a member of the record's stay as they are.
func naiveSent(family, top string) bool {
	return slices.Contains(sentBelow, family+" "+top) || family == "audits" && !slices.Contains(auditsInSnakeCase, top)
}

func naiveMap(family, path string, list []any, most int) map[string]any {
	out := map[string]any{}
	for i := range min(len(list), most) {
		if list[i] != nil && list[i] != "" {
			out[strconv.Itoa(i)] = naiveElastic(family, path, list[i])
		}
	}
	return out
}

func naivePairs(list []any) map[string]any {
	out := map[string]any{}
	for _, e := range list {
		m, _ := e.(map[string]any)
		key, _ := m["key"].(string)
		if value := m["value"]; key != "" && value != nil && value != "" && out[key] == nil && len(out) < mostPairs {
			out[key] = value
		}
	}
	return out
}

var elasticLogs = map[string]string{"signins": "signinlogs", "audits": "auditlogs", "attributes": "auditlogs", "risk": "identityprotection"}

// checkElastic holds the profile's properties against the naive ones.
func checkElastic(t *testing.T, n *Normalizer, rec event.Record) {
	t.Helper()
	family := rec.Key.Family()
	log := elasticLogs[family]
	if family == "attributes" {
		family = "audits"
	}
	out := tree(t, normalized(t, n, rec, envelopes["elastic"]))
	if log == "" {
		if out["azure"] != nil {
			t.Fatalf("%s has azure: %v", family, out["azure"])
		}
		return
	}
	sent := tree(t, rec.Raw)
	want := naiveElastic(family, "", sent).(map[string]any)
	if family == "signins" {
		spellUserType(want, "user_type")
	}
	if id := sent["tenantId"]; id == nil || id == "" {
		name := "tenant_id"
		if family == "audits" {
			name = "tenantId"
		}
		want[name] = testTenant
	}
	got := out["azure"].(map[string]any)[log].(map[string]any)["properties"]
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Fatalf("record %s (-naive +got):\n%s", rec.Raw, diff)
	}
}

// TestElasticNames: the pass over the bytes names things as the naive form does, in all test records.
func TestElasticNames(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, rec := range testRecords(t) {
		if !isLegacy(t, rec) {
			checkElastic(t, n, rec)
		}
	}
}

// TestElasticFields: the fields that Elastic's rules name, as they name them.
func TestElasticFields(t *testing.T) {
	n, _ := newNormalizer(t)
	records := testRecords(t)
	for _, c := range []struct {
		record string
		fields map[string]any
	}{
		{"signins.interactive-success-mfa", map[string]any{
			"event.dataset": "azure.signinlogs", "event.outcome": "success", "event.action": "Sign-in activity", "azure.tenant_id": testTenant,
			"azure.correlation_id": "04040404-1111-4222-8333-000000000004", "azure.signinlogs.category": "SignInLogs", "azure.signinlogs.operation_name": "Sign-in activity",
			"azure.signinlogs.operation_version": "1.0", "azure.signinlogs.result_type": "0", "azure.signinlogs.result_signature": "SUCCESS", "azure.signinlogs.identity": "Test User One",
			"azure.signinlogs.properties.app_id": "03030303-1111-4222-8333-000000000003", "azure.signinlogs.properties.user_principal_name": "User.One@contoso.com",
			"azure.signinlogs.properties.status.error_code": json.Number("0"), "azure.signinlogs.properties.status.additional_details": nil,
			"azure.signinlogs.properties.created_at": "2026-03-04T05:06:07.1234567Z", "azure.signinlogs.properties.processing_time_ms": json.Number("223"),
			"azure.signinlogs.properties.risk_level_during_signin": "none", "azure.signinlogs.properties.user_agent": nil, "azure.signinlogs.properties.location.city": nil,
			"azure.signinlogs.properties.authentication_processing_details.Is CAE Token": "False", "azure.signinlogs.properties.service_principal_id": nil,
			"azure.signinlogs.properties.authentication_details[0].authentication_method": "Previously satisfied", "azure.signinlogs.properties.user_type": "Member",
			"azure.signinlogs.properties.device_detail.is_managed": true, "azure.signinlogs.properties.tenant_id": testTenant,
			"azure.signinlogs.properties.applied_conditional_access_policies[0].display_name": "Require MFA", "message": "MFA requirement satisfied by claim in the token",
		}},
		{"signins.interactive-interrupted-mfa", map[string]any{"event.outcome": "failure", "azure.signinlogs.result_signature": "FAILURE"}},
		{"signins.interactive-empty", map[string]any{"event.outcome": "success", "azure.signinlogs.result_type": nil}},
		{"audits-user-update", map[string]any{
			"event.dataset": "azure.auditlogs", "azure.auditlogs.category": "AuditLogs", "azure.auditlogs.operation_name": "Update user", "azure.auditlogs.result_description": "Not allowed",
			"azure.auditlogs.properties.initiated_by.user.userPrincipalName": "Admin@contoso.com", "azure.auditlogs.properties.initiated_by.user.ipAddress": "198.51.100.20",
			"azure.auditlogs.properties.initiated_by.app.servicePrincipalId": "20202020-1111-4222-8333-000000000020", "azure.auditlogs.properties.tenantId": testTenant,
			"azure.auditlogs.properties.target_resources.0.display_name": "User Two", "azure.auditlogs.properties.target_resources.0.modified_properties.3.new_value": "[false]",
			"azure.auditlogs.properties.target_resources.0.modified_properties.0.new_value": `["User.Two@contoso.com"]`, "azure.auditlogs.properties.additional_details[0].key": "User-Agent",
			"azure.auditlogs.properties.category": "UserManagement", "azure.auditlogs.properties.activity_display_name": "Update user",
			"azure.auditlogs.properties.activity_datetime": "2026-03-04T05:06:07.12Z", "azure.auditlogs.identity": "Lifecycle Service",
		}},
		{"audits-secret-en-dash", map[string]any{
			"azure.auditlogs.operation_name": "Update application - Certificates and secrets management", "event.action": "Update application – Certificates and secrets management",
		}},
		{"risk.detections-core", map[string]any{
			"event.dataset": "azure.identity_protection", "event.action": "User Risk Detection", "azure.identityprotection.properties.risk_state": "atRisk",
			"azure.identityprotection.properties.user_principal_name": "Finance.0004@contoso.com", "azure.identityprotection.properties.additional_info": `[{"Key":"userAgent","Value":"x"}]`,
		}},
		{"risk.users-core", map[string]any{"event.action": "Risky user", "azure.identityprotection.properties.risk_detail": "none"}},
	} {
		got := map[string]any{}
		flattenAll(got, "", tree(t, normalized(t, n, records[c.record], envelopes["elastic"])))
		for path, want := range c.fields {
			if got[path] != want {
				t.Errorf("%s: %s = %#v, want %#v", c.record, path, got[path], want)
			}
		}
	}
}

// TestElasticDoubled: a target that has its type twice gets it once.
func TestElasticDoubled(t *testing.T) {
	n, _ := newNormalizer(t)
	for target, want := range map[string]string{
		`"type":"Group","Type":"User"`: "Group",
		`"Type":"User","type":"Group"`: "Group",
		`"type":null,"Type":"User"`:    "User",
		`"Type":"User"`:                "User",
	} {
		body := normalized(t, n, newRecord("audits", []byte(`{"targetResources":[{`+target+`}]}`)), envelopes["elastic"])
		_, properties, _ := strings.Cut(string(body), `"target_resources":`)
		if strings.Count(properties, `"type":`) != 1 || !strings.Contains(properties, `"type":"`+want+`"`) {
			t.Errorf("%s became %s", target, properties)
		}
	}
}

// TestElasticIsBounded: lists that become fields by place are cut, so that no record makes thousands of fields in an index.
func TestElasticIsBounded(t *testing.T) {
	n, _ := newNormalizer(t)
	property := strings.TrimSuffix(strings.Repeat(`{"displayName":"p"},`, 60), ",")
	targets := strings.TrimSuffix(strings.Repeat(`{"id":"t","modifiedProperties":[`+property+`]},`, 30), ",")
	pairs := ""
	for i := range 60 {
		pairs += `{"key":"k` + strconv.Itoa(i) + `","value":"v"},{"key":"k0","value":"again"},`
	}
	audit := newRecord("audits", []byte(`{"targetResources":[`+targets+`]}`))
	signIn := newRecord("signins.interactive", []byte(`{"authenticationProcessingDetails":[`+strings.TrimSuffix(pairs, ",")+`]}`))
	checkElastic(t, n, audit)
	checkElastic(t, n, signIn)
	got := map[string]any{}
	flattenAll(got, "", tree(t, normalized(t, n, audit, envelopes["elastic"])))
	const at = "azure.auditlogs.properties.target_resources."
	if got[at+"24.modified_properties.49.display_name"] != "p" || got[at+"25.id"] != nil || got[at+"24.modified_properties.50.display_name"] != nil {
		t.Errorf("not 25 targets of 50 properties each: %d fields", len(got))
	}
}

// TestElasticOptions: Elastic's outcome of interrupted sign-ins is the profile's default, and can be changed.
func TestElasticOptions(t *testing.T) {
	n, _ := newNormalizer(t)
	rec := newRecord("signins.interactive", []byte(`{"status":{"errorCode":50076}}`))
	for _, c := range []struct{ choice, options, want string }{
		{"", "profile=elastic", "failure"}, {"failure", "profile=elastic", "failure"}, {"unknown", "interrupted_outcome=unknown,profile=elastic", "unknown"},
		{"success", "interrupted_outcome=success,profile=elastic", "success"},
	} {
		options := map[string]string{"profile": "elastic"}
		if c.choice != "" {
			options["interrupted_outcome"] = c.choice
		}
		schema, err := n.Schema("ecs", options)
		if err != nil || schema.Options != c.options {
			t.Fatalf("%v: %+v, %v", options, schema, err)
		}
		if got := flatEvent(t, n, rec, schema)["event.outcome"]; got != c.want {
			t.Errorf("%v: outcome %v, want %s", options, got, c.want)
		}
	}
}

// TestElasticIsECS: next to what is Elastic's, the event is ECS.
func TestElasticIsECS(t *testing.T) {
	n, _ := newNormalizer(t)
	fields := readECS(t)
	for name, rec := range testRecords(t) {
		flat := flatEvent(t, n, rec, envelopes["elastic"])
		for key := range flat {
			if strings.HasPrefix(key, "azure.") || key == "related.entity" {
				delete(flat, key)
			}
		}
		if checkECS(t, fields, flat); t.Failed() {
			t.Fatal(name)
		}
	}
}
