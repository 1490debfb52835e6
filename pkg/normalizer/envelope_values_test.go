package normalizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestEnvelopeMembers: what stands around the record.
func TestEnvelopeMembers(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, c := range []struct {
		stream, raw, member string
		want                any // nil: absent
	}{
		{"signins.interactive", `{"status":{"errorCode":0,"failureReason":"Other."}}`, "resultType", "0"},
		{"signins.interactive", `{"status":{"errorCode":0,"failureReason":"Other."}}`, "resultDescription", nil},
		{"signins.interactive", `{"status":{"errorCode":0}}`, "resultSignature", "SUCCESS"},
		{"signins.interactive", `{"status":{"errorCode":500121,"failureReason":"MFA denied"}}`, "resultType", "500121"},
		{"signins.interactive", `{"status":{"errorCode":50126,"failureReason":"Bad"}}`, "resultDescription", "Bad"},
		{"signins.interactive", `{"status":{"errorCode":50074}}`, "resultSignature", "FAILURE"},
		{"signins.interactive", `{}`, "resultSignature", "None"},
		{"signins.interactive", `{}`, "resultType", nil},
		{"signins.interactive", `{}`, "operationName", "Sign-in activity"},
		{"signins.interactive", `{}`, "Level", json.Number("4")},
		{"signins.interactive", `{}`, "durationMs", json.Number("0")},
		{"signins.interactive", `{"processingTimeInMilliseconds":223}`, "durationMs", json.Number("223")},
		{"signins.interactive", `{"processingTimeInMilliseconds":-1}`, "durationMs", json.Number("0")},
		{"signins.interactive", `{"createdDateTime":"2026-03-04T05:06:07.1234567Z"}`, "time", "2026-03-04T05:06:07.1234567Z"},
		{"signins.interactive", `{"createdDateTime":"yesterday"}`, "time", "2026-03-04T05:06:07Z"},
		{"signins.interactive", `{"location":{"countryOrRegion":"NL"}}`, "location", "NL"},
		{"signins.interactive", `{"userDisplayName":"A B"}`, "identity", "A B"},
		{"signins.interactive", `{"ipAddress":"203.0.113.7:443"}`, "callerIpAddress", "203.0.113.7:443"},
		{"signins.interactive", `{"correlationId":"c"}`, "correlationId", "c"},
		{"signins.interactive", `{}`, "category", "SignInLogs"},
		{"signins.noninteractive", `{}`, "category", "NonInteractiveUserSignInLogs"},
		{"signins.noninteractive", `{"signInEventTypes":["interactiveUser"]}`, "category", "SignInLogs"},
		{"signins.other", `{"isInteractive":false}`, "category", "NonInteractiveUserSignInLogs"},
		{"signins.other", `{}`, "category", "SignInLogs"},
		{"signins.serviceprincipal", `{"servicePrincipalName":"ci"}`, "category", "ServicePrincipalSignInLogs"},
		{"signins.serviceprincipal", `{"servicePrincipalName":"ci","userDisplayName":"x"}`, "identity", "ci"},
		{"signins.managedidentity", `{}`, "category", "ManagedIdentitySignInLogs"},
		{"signins.interactive", `{"tokenIssuerType":"ADFederationServices"}`, "category", "ADFSSignInLogs"},
		{"signins.interactive", `{}`, "resourceId", "/tenants/" + testTenant + "/providers/Microsoft.aadiam"},
		{"signins.interactive", `{}`, "tenantId", testTenant},
		{"audits", `{"activityDisplayName":"Update application – Certificates and secrets management "}`, "operationName", "Update application – Certificates and secrets management "},
		{"audits", `{"activityDisplayName":"hidden"}`, "operationName", nil},
		{"audits", `{"result":"failure","resultReason":"Not allowed"}`, "resultDescription", "Not allowed"},
		{"audits", `{"result":"failure"}`, "resultSignature", "None"},
		{"audits", `{"result":"failure"}`, "resultType", nil},
		{"audits", `{}`, "category", "AuditLogs"},
		{"audits", `{"initiatedBy":{"app":{"displayName":"Sync"}}}`, "identity", "Sync"},
		{"audits", `{"initiatedBy":{"user":{"displayName":"A B","ipAddress":"203.0.113.8"},"app":{"displayName":"Sync"}}}`, "identity", "A B"},
		{"audits", `{"initiatedBy":{"user":{"ipAddress":"203.0.113.8"}}}`, "callerIpAddress", "203.0.113.8"},
		{"risk.detections", `{"detectedDateTime":"2026-03-04T05:03:00Z"}`, "time", "2026-03-04T05:03:00Z"},
		{"risk.detections", `{"id":"d"}`, "correlationId", "d"},
		{"risk.detections", `{}`, "operationName", "User Risk Detection"},
		{"risk.users", `{}`, "category", "RiskyUsers"},
		{"provisioning", `{"provisioningStatusInfo":{"status":"failure"},"durationInMilliseconds":12,"changeId":"c"}`, "resultType", "Failure"},
		{"provisioning", `{"durationInMilliseconds":12}`, "durationMs", json.Number("12")},
		{"provisioning", `{"changeId":"c"}`, "correlationId", "c"},
		{"security.alerts", `{}`, "category", "security.alerts"},
		{"brand.new", `{}`, "category", "brand.new"},
	} {
		got := tree(t, normalized(t, n, newRecord(c.stream, []byte(c.raw)), envelopes["envelope"]))[c.member]
		if got != c.want {
			t.Errorf("%s %s: %s = %#v, want %#v", c.stream, c.raw, c.member, got, c.want)
		}
	}
}

// TestEnvelopeProperties: the changes to the record, and what is no change.
func TestEnvelopeProperties(t *testing.T) {
	n, _ := newNormalizer(t)
	const tenant = `"tenantId":"` + testTenant + `"`
	for _, c := range []struct{ stream, schema, raw, want string }{
		{"signins.interactive", "envelope", `{}`, `{` + tenant + `}`},
		{"signins.interactive", "envelope", `{"a":null}`, `{` + tenant + `}`},
		{"signins.interactive", "envelope", `{"a":null,"b":1.50,"c":null,"d":"x\/y"}`, `{"b":1.50,"d":"x\/y",` + tenant + `}`},
		{"signins.interactive", "envelope", `{"b":{"c":null},"d":[null,{"e":null,"f":[{"g":null}]}],"h":null}`, `{"b":{},"d":[null,{"f":[{}]}],` + tenant + `}`},
		{"signins.interactive", "envelope", `{"userType":"member"}`, `{"userType":"Member",` + tenant + `}`},
		{"signins.interactive", "envelope", `{"a":1,"userType":"guest","b":2}`, `{"a":1,"userType":"Guest","b":2,` + tenant + `}`},
		{"signins.interactive", "envelope", `{"userType":"unheardOf","x":{"userType":"member"}}`, `{"userType":"unheardOf","x":{"userType":"member"},` + tenant + `}`},
		{"signins.interactive", "envelope", `{"tenantId":"mine"}`, `{"tenantId":"mine"}`},
		{"signins.interactive", "envelope", `{"tenantId":null}`, `{` + tenant + `}`},
		{"signins.interactive", "envelope", `{"a":1,"a":2}`, `{"a":1,"a":2,` + tenant + `}`},
		{"signins.interactive", "envelope-graph", `{"a":null,"userType":"member"}`, `{"a":null,"userType":"member",` + tenant + `}`},
		{"audits", "envelope", `{"result":"success","targetResources":[{"displayName":null,"modifiedProperties":[{"newValue":"\"Global Administrator\"","oldValue":null}]}]}`,
			`{"result":"success","targetResources":[{"modifiedProperties":[{"newValue":"\"Global Administrator\""}]}],` + tenant + `}`},
		{"risk.users", "envelope", `{"userType":"member","x":null}`, `{"userType":"member",` + tenant + `}`},
		{"signins.interactive", "envelope", `{"a":":null,\"b\":null,","b":null}`, `{"a":":null,\"b\":null,",` + tenant + `}`},
		{"signins.interactive", "envelope", "{ \"a\" : 1 ,\r\n\"b\" : null ,\n\"c\":[ 1,\n2 ] }", `{ "a" : 1,"c":[ 1, 2 ],` + tenant + `}`},
	} {
		out := string(normalized(t, n, newRecord(c.stream, []byte(c.raw)), envelopes[c.schema]))
		if _, got, _ := strings.Cut(out, `"properties":`); !strings.HasPrefix(got, c.want+`,"logferry":`) {
			t.Errorf("%s: got %s\nwant %s", c.raw, got, c.want)
		}
	}
}

// TestEnvelopeOfLegacy: records of Azure AD Graph stand in the envelope under the names of Microsoft Graph, and nothing is lost.
func TestEnvelopeOfLegacy(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, c := range []struct{ stream, raw, want string }{
		{"signins.interactive", `{"signinDateTime":"t","signinErrorCode":50126,"failureReason":"Bad","mfaResult":null,"loginStatus":"Failure"}`,
			`{"createdDateTime":"t","status":{"errorCode":50126,"failureReason":"Bad"},"loginStatus":"Failure"`},
		{"signins.interactive", `{"signinErrorCode":1,"status":{"errorCode":2}}`, `{"signinErrorCode":1,"status":{"errorCode":2}`},
		{"signins.interactive", `{"signinDateTime":"t","createdDateTime":"u"}`, `{"signinDateTime":"t","createdDateTime":"u"`},
		{"signins.interactive", `{"geoCoordinates":{"latitude":1.0},"location":{"city":"c","country":"US"}}`, `{"location":{"city":"c","countryOrRegion":"US","geoCoordinates":{"latitude":1.0}}`},
		{"signins.interactive", `{"geoCoordinates":{"latitude":1.0}}`, `{"location":{"geoCoordinates":{"latitude":1.0}}`},
		{"signins.interactive", `{"geoCoordinates":{"latitude":1.0},"location":{"geoCoordinates":{"latitude":2}}}`, `{"geoCoordinates":{"latitude":1.0},"location":{"geoCoordinates":{"latitude":2}}`},
		{"signins.interactive", `{"geoCoordinates":{"latitude":1.0},"location":"here"}`, `{"geoCoordinates":{"latitude":1.0},"location":"here"`},
		{"signins.interactive", `{"deviceInformation":"pc;Windows 10;Chrome 68;x"}`,
			`{"deviceInformation":"pc;Windows 10;Chrome 68;x","deviceDetail":{"operatingSystem":"Windows 10","browser":"Chrome 68","displayName":"pc"}`},
		{"signins.interactive", `{"mfaAuthMethod":"SMS","mfaAuthDetail":"+X"}`, `{"mfaDetail":{"authMethod":"SMS","authDetail":"+X"}`},
		{"audits", `{"activity":"Add user","activityResultStatus":"Success","componentOrSource":null,"source":"Core"}`, `{"activityDisplayName":"Add user","result":"Success","loggedByService":"Core"`},
		{"audits", `{"activity":"Add user","componentOrSource":"A","source":"B"}`, `{"activityDisplayName":"Add user","loggedByService":"A","source":"B"`},
		{"audits", `{"actorType":"User","actor":{"objectId":"o","name":"n","userPrincipalName":"u","ipAddress":"192.0.2.1"}}`,
			`{"actorType":"User","initiatedBy":{"user":{"id":"o","displayName":"n","userPrincipalName":"u","ipAddress":"192.0.2.1"}}`},
		{"audits", `{"actorType":"ServicePrincipal","actor":{"objectId":"o","name":"n"}}`, `{"actorType":"ServicePrincipal","initiatedBy":{"app":{"servicePrincipalId":"o","displayName":"n"}}`},
		{"audits", `{"targets":[{"targetResourceType":"User","objectId":"o","name":"n","modifiedProperties":[{"name":"p","newValue":"\"v\""}]}],"tenantId":"x"}`,
			`{"targetResources":[{"type":"User","id":"o","displayName":"n","modifiedProperties":[{"displayName":"p","newValue":"\"v\""}]}],"tenantId":"x"`},
	} {
		out := string(normalized(t, n, newRecord(c.stream, []byte(c.raw)), envelopes["envelope"]))
		if _, got, _ := strings.Cut(out, `"properties":`); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s\nwant %s", c.raw, got, c.want)
		}
	}
}

// TestEnvelopeOfRules: the paths by which rule sets for Splunk and Panther name what they look at.
func TestEnvelopeOfRules(t *testing.T) {
	n, _ := newNormalizer(t)
	records := testRecords(t)
	for _, c := range []struct {
		record string
		fields map[string]any
	}{
		{"signins.interactive-success-mfa", map[string]any{
			"properties.status.errorCode": json.Number("0"), "properties.ipAddress": "203.0.113.7", "resultSignature": "SUCCESS", "resultType": "0", "category": "SignInLogs",
			"operationName": "Sign-in activity", "properties.userPrincipalName": "User.One@contoso.com", "properties.appDisplayName": "Azure Portal", "properties.userType": "Member",
			"properties.authenticationDetails[0].succeeded": true, "properties.authenticationRequirement": "multiFactorAuthentication", "properties.isInteractive": true,
			"properties.status.additionalDetails": "MFA requirement satisfied by claim in the token", "properties.location.city": "Testville", "properties.riskState": "none",
			"properties.userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
			"tenantId":             testTenant, "logferry.stream": "signins.interactive", "properties.autonomousSystemNumber": json.Number("64496"),
		}},
		{"audits-user-update", map[string]any{
			"operationName": "Update user", "category": "AuditLogs", "properties.initiatedBy.user.userPrincipalName": "Admin@contoso.com", "properties.result": "Failed",
			"properties.targetResources[0].modifiedProperties[0].newValue": `["User.Two@contoso.com"]`, "properties.targetResources[0].displayName": "User Two",
			"properties.activityDisplayName": "Update user", "properties.initiatedBy.user.ipAddress": "198.51.100.20", "properties.targetResources[0].type": "User",
			"properties.additionalDetails[0].key": "User-Agent", "callerIpAddress": "198.51.100.20", "properties.userAgent": nil,
		}},
		{"risk.detections-core", map[string]any{"category": "UserRiskEvents", "properties.riskEventType": "unfamiliarFeatures", "properties.riskLevel": "medium"}},
	} {
		got := map[string]any{}
		flattenAll(got, "", tree(t, normalized(t, n, records[c.record], envelopes["envelope"])))
		for path, want := range c.fields {
			if got[path] != want {
				t.Errorf("%s: %s = %#v, want %#v", c.record, path, got[path], want)
			}
		}
	}
}

// flattenAll gives leaves by dotted path, elements of lists by place in brackets.
func flattenAll(into map[string]any, path string, v any) {
	dot := path
	if dot != "" {
		dot += "."
	}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			flattenAll(into, dot+key, value)
		}
	case []any:
		for i, value := range v {
			flattenAll(into, fmt.Sprintf("%s[%d]", path, i), value)
		}
	default:
		into[path] = v
	}
}
