package normalizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
)

// flatOCSF gives an event's leaves by path, without the record.
func flatOCSF(t *testing.T, n *Normalizer, rec event.Record) map[string]any {
	t.Helper()
	out := ocsfBody(t, n, rec, map[string]string{"raw": "drop"})
	var tree map[string]any
	if err := json.Unmarshal(out, &tree); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	flat := map[string]any{}
	flatten(flat, "", tree)
	checkOCSF(t, readOCSFSchema(t), out, n.ocsfVersion())
	return flat
}

func (n *Normalizer) ocsfVersion() string {
	j := n.jobs.Get().(*job)
	defer n.jobs.Put(j)
	return j.tables.ocsfVersion()
}

// compare holds an event's leaves against JSON by path; "" wants the leaf absent.
func compare(t *testing.T, flat map[string]any, want map[string]string) {
	t.Helper()
	for path, value := range want {
		got := ""
		if v, ok := flat[path]; ok {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got = string(text)
		}
		if got != value {
			t.Errorf("%s = %s, want %s", path, got, value)
		}
	}
}

// TestOCSFStatus: an interrupt is neither success nor failure, and every number has its text.
func TestOCSFStatus(t *testing.T) {
	n, _ := newNormalizer(t)
	for raw, want := range map[string][3]string{
		`"status":{"errorCode":0}`:                           {`1`, `"Success"`, `"0"`},
		`"status":{"errorCode":50126,"failureReason":"Bad"}`: {`2`, `"Failure"`, `"50126"`},
		`"status":{"errorCode":50076}`:                       {`99`, `"Interrupted"`, `"50076"`},
		`"status":{"errorCode":50140}`:                       {`99`, `"Interrupted"`, `"50140"`},
		`"status":{"errorCode":7000215}`:                     {`2`, `"Failure"`, `"7000215"`},
		`"status":null`:                                      {`0`, `"Unknown"`, ``},
	} {
		flat := flatOCSF(t, n, newRecord("signins.interactive", []byte(`{"userId":"u","appId":"a",`+raw+`}`)))
		compare(t, flat, map[string]string{"class_uid": "3002", "status_id": want[0], "status": want[1], "status_code": want[2]})
	}
	for result, want := range map[string][2]string{
		`"success"`: {`1`, `"Success"`}, `"timeout"`: {`2`, `"Failure"`}, `"Failed"`: {`2`, `"Failure"`}, `"halfway"`: {`99`, `"halfway"`}, `null`: {`0`, `"Unknown"`}, `"unknownFutureValue"`: {`0`, `"Unknown"`},
	} {
		flat := flatOCSF(t, n, newRecord("audits", []byte(`{"activityDisplayName":"Add user","result":`+result+`,"targetResources":[{"type":"User","id":"u"}]}`)))
		compare(t, flat, map[string]string{"class_uid": "3001", "status_id": want[0], "status": want[1]})
	}
}

// TestOCSFSignIns: members that need more than copying. Each record has a user and an application besides.
func TestOCSFSignIns(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, c := range []struct {
		stream, raw string
		want        map[string]string
	}{
		{"interactive", `"status":{"errorCode":0},"authenticationRequirement":"multiFactorAuthentication"`, map[string]string{"is_mfa": "true"}},
		{"interactive", `"status":{"errorCode":0},"authenticationRequirement":"singleFactorAuthentication"`, map[string]string{"is_mfa": "false"}},
		{"interactive", `"status":{"errorCode":50126},"authenticationRequirement":"multiFactorAuthentication"`, map[string]string{"is_mfa": ""}},
		{"interactive", `"status":{"errorCode":50074},"authenticationRequirement":"multiFactorAuthentication","sessionId":"s"`, map[string]string{"is_mfa": "", "session.is_mfa": "", "session.uid": `"s"`}},
		{"interactive", `"status":{"errorCode":0}`, map[string]string{"is_mfa": ""}},
		{"interactive", `"conditionalAccessStatus":"success","status":{"errorCode":0}`, map[string]string{"action_id": "1", "disposition_id": "1", "disposition": `"Allowed"`}},
		{"interactive", `"conditionalAccessStatus":"success","status":{"errorCode":50126}`, map[string]string{"action_id": "", "disposition_id": ""}},
		{"interactive", `"conditionalAccessStatus":"failure","status":{"errorCode":53003}`, map[string]string{"action_id": "2", "disposition_id": "2", "action": `"Denied"`}},
		{"interactive", `"conditionalAccessStatus":"failure","status":{"errorCode":50076}`, map[string]string{"action_id": "99", "action": `"failure"`, "disposition_id": "23", "disposition": `"Challenge"`}},
		{"interactive", `"conditionalAccessStatus":"notApplied"`, map[string]string{"action_id": "", "disposition_id": ""}},
		{"interactive", `"authenticationProtocol":"deviceCode"`, map[string]string{"auth_protocol_id": "6", "auth_protocol": `"OAUTH 2.0"`, "unmapped.authenticationProtocol": `"deviceCode"`}},
		{"interactive", `"authenticationProtocol":"oAuth2,deviceCode"`, map[string]string{"auth_protocol_id": "6"}},
		{"interactive", `"authenticationProtocol":"wsTrust, saml20"`, map[string]string{"auth_protocol_id": "5", "auth_protocol": `"SAML"`}},
		{"interactive", `"authenticationProtocol":"wsTrust"`, map[string]string{"auth_protocol_id": "99", "auth_protocol": `"wsTrust"`}},
		{"interactive", `"authenticationProtocol":"none"`, map[string]string{"auth_protocol_id": ""}},
		{"interactive", `"incomingTokenType":"primaryRefreshToken"`, map[string]string{"authentication_token.type_id": "99", "authentication_token.type": `"primaryRefreshToken"`}},
		{"interactive", `"incomingTokenType":"saml11"`, map[string]string{"authentication_token.type_id": "5", "authentication_token.type": `"SAML Assertion"`}},
		{"interactive", `"incomingTokenType":"none"`, map[string]string{"authentication_token.type_id": ""}},
		{"interactive", `"riskLevelDuringSignIn":"high","riskState":"atRisk"`, map[string]string{"severity_id": "4", "risk_level_id": "3", "risk_level": `"High"`}},
		{"interactive", `"riskLevelDuringSignIn":"high","riskState":"dismissed"`, map[string]string{"severity_id": "1", "risk_level_id": "3"}},
		{"interactive", `"riskLevelDuringSignIn":"hidden","riskLevelAggregated":"hidden","riskState":"atRisk"`, map[string]string{"severity_id": "1", "risk_level_id": ""}},
		{"interactive", `"riskLevelAggregated":"extreme","riskState":"atRisk"`, map[string]string{"severity_id": "1", "risk_level_id": "99", "risk_level": `"extreme"`}},
		{"interactive", `"authenticationDetails":[{"authenticationMethod":"Password"},{"authenticationMethod":"Previously satisfied"},{"authenticationMethod":"OATH verification code","succeeded":false},{"authenticationMethod":"Kennwort"},{}]`,
			map[string]string{"auth_factors": `[{"factor_type":"Password","factor_type_id":11},{"factor_type":"OTP","factor_type_id":7,"is_totp":true},{"factor_type":"Kennwort","factor_type_id":99}]`}},
		{"interactive", `"authenticationDetails":[{"authenticationMethod":"Previously satisfied"}]`, map[string]string{"auth_factors": ""}},
		{"interactive", `"ipAddress":"203.0.113.9:443","deviceDetail":{"displayName":"PC"}`, map[string]string{"src_endpoint.ip": `"203.0.113.9"`, "src_endpoint.port": "443", "src_endpoint.name": `"PC"`, "src_endpoint.hostname": "", "device.name": `"PC"`}},
		{"interactive", `"ipAddress":"203.0.113.XXX","location":{"city":"C"}`, map[string]string{"src_endpoint.ip": "", "src_endpoint.location.city": ""}},
		{"interactive", `"ipAddress":"192.0.2.1","location":{"geoCoordinates":{"latitude":1,"longitude":2}}`, map[string]string{"src_endpoint.location.lat": "", "src_endpoint.ip": `"192.0.2.1"`}},
		{"interactive", `"ipAddress":"192.0.2.1","location":{"countryOrRegion":"Nowhere"}`, map[string]string{"src_endpoint.location.country": ""}},
		{"interactive", `"ipAddress":"192.0.2.1","ipAddressFromResourceProvider":"192.0.2.1","globalSecureAccessIpAddress":"192.0.2.2"`, map[string]string{"src_endpoint.intermediate_ips": `["192.0.2.2"]`}},
		{"interactive", `"ipAddress":"192.0.2.1","deviceDetail":{"operatingSystem":"Windows 10"}`, map[string]string{"src_endpoint.os.type_id": "100", "src_endpoint.os.type": `"Windows"`, "device.type_id": ""}},
		{"interactive", `"ipAddress":"192.0.2.1","deviceDetail":{"operatingSystem":"BeOS"}`, map[string]string{"src_endpoint.os.type_id": "99", "src_endpoint.os.type": `"BeOS"`}},
		{"interactive", `"resourceId":"r","resourceDisplayName":"R"`, map[string]string{"dst_endpoint.uid": `"r"`, "dst_endpoint.name": `"R"`, "dst_endpoint.svc_name": `"R"`}},
		{"interactive", `"userPrincipalName":"User.One_Example.com#EXT#@contoso.com"`, map[string]string{"user.name": `"user.one_example.com#ext#@contoso.com"`, "user.email_addr": "", "user.domain": `"contoso.com"`}},
		{"interactive", `"userPrincipalName":"a@localhost"`, map[string]string{"user.name": `"a@localhost"`, "user.email_addr": ""}},
		{"interactive", `"homeTenantId":"0e0e0e0e-1111-4222-8333-00000000000e"`, map[string]string{"user.org.uid": `"0e0e0e0e-1111-4222-8333-00000000000e"`}},
		{"interactive", `"homeTenantId":"` + testTenant + `"`, map[string]string{"user.org.uid": ""}},
		{"interactive", `"riskEventTypes_v2":["unfamiliarFeatures","hidden",null],"riskDetail":"none"`, map[string]string{"unmapped.riskEventTypes_v2": `["unfamiliarFeatures"]`, "risk_details": ""}},
		{"interactive", `"isInteractive":"true","flaggedForReview":false,"clientAppUsed":5`, map[string]string{"unmapped.isInteractive": "", "unmapped.flaggedForReview": "false", "unmapped.clientAppUsed": ""}},
		{"interactive", `"userId":null`, map[string]string{"class_uid": "0", "activity_name": `"Sign-in activity"`, "user.uid": ""}},
		{"interactive", `"appId":null`, map[string]string{"class_uid": "0", "observables": `[{"name":"user.uid","type":"User Object: uid","type_id":31,"value":"u"}]`}},
		{"interactive", `"appId":null,"resourceId":"r"`, map[string]string{"class_uid": "3002"}},
		{"serviceprincipal", `"userId":null,"servicePrincipalId":"sp","servicePrincipalCredentialKeyId":"k","clientCredentialType":"clientSecret"`,
			map[string]string{"user.uid": `"sp"`, "user.type_id": "4", "logon_type": `"servicePrincipal"`, "is_mfa": "", "user.programmatic_credentials": `[{"type":"clientSecret","uid":"k"}]`}},
	} {
		raw := `{"userId":"u","appId":"a",` + c.raw + `}`
		flat := flatOCSF(t, n, newRecord("signins."+c.stream, []byte(raw)))
		if compare(t, flat, c.want); t.Failed() {
			t.Fatalf("record %s\nevent %v", raw, flat)
		}
	}
}

// TestOCSFTime: milliseconds of the record's own time; the year 1 and what cannot be read are no times.
func TestOCSFTime(t *testing.T) {
	n, _ := newNormalizer(t)
	for own, want := range map[string]string{
		"2026-03-04T05:06:07Z": "1772600767000", "2026-03-04T05:06:07.1Z": "1772600767100", "2024-02-29T23:59:59.9999999Z": "1709251199999", "2026-03-04T05:06:07.012345678Z": "1772600767012",
		"0001-01-01T00:00:00Z": "1772600767000", "yesterday": "1772600767000",
	} {
		flat := flatOCSF(t, n, newRecord("audits", []byte(`{"activityDateTime":"`+own+`"}`)))
		if got := fmt.Sprintf("%.0f", flat["time"]); got != want {
			t.Errorf("%s: time %s, want %s", own, got, want)
		}
	}
	rec := newRecord("audits", []byte(`{"activityDateTime":"0001-01-01T00:00:00Z"}`))
	rec.Flags = event.FlagNoTime | event.FlagUpdate | event.FlagUncertain | event.FlagNoID | event.FlagResent
	flat := flatOCSF(t, n, rec)
	compare(t, flat, map[string]string{"metadata.original_time": "", "metadata.uid": `"` + rec.EventID().String() + `"`, "metadata.tenant_uid": `"` + testTenant + `"`, "metadata.log_name": `"audits"`, "metadata.logged_time": "1772600880250",
		"unmapped.logferry.mapping": fmt.Sprint(Version), "unmapped.logferry.update": "true", "unmapped.logferry.uncertain": "true", "unmapped.logferry.resent": "true", "unmapped.logferry.no_id": "true", "unmapped.logferry.no_time": "true"})
}

// TestOCSFEnums: every member of the API's enumerations, in a record that is whole, gives a valid event.
func TestOCSFEnums(t *testing.T) {
	n, _ := newNormalizer(t)
	s := readOCSFSchema(t)
	rows := readTestTable(t, "testdata/enums.csv", 3)
	for _, row := range append(rows, unheardOf(rows)...) {
		raw := strings.Replace(recordWith(row[1], row[2]), `{"id":"x",`, `{"id":"x","userId":"u","appId":"a","ipAddress":"192.0.2.1",`, 1)
		if row[0] == "audits" {
			raw = strings.Replace(recordWith(row[1], row[2]), `{"id":"x",`, `{"id":"x","activityDisplayName":"Update policy",`, 1)
			raw = strings.Replace(raw, `[{`, `[{"id":"t","type":"Group",`, 1)
		}
		if checkOCSF(t, s, ocsfBody(t, n, newRecord(row[0], []byte(raw)), nil), "1.8.0"); t.Failed() {
			t.Fatalf("record %s", raw)
		}
	}
}

// TestOCSFNames: the captions are those of the schema.
func TestOCSFNames(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	s := readOCSFSchema(t)
	for class, name := range tables.ocsfNames.class {
		if got := s[fmt.Sprint(class)].attributes["class_uid"].enum[fmt.Sprint(class)]; got != name {
			t.Errorf("class %d is %q, want %q", class, name, got)
		}
	}
	for c, name := range tables.ocsfNames.activity {
		got := s[fmt.Sprint(c.class)].attributes["activity_id"].enum[fmt.Sprint(c.activity)]
		if got != name && c != (ocsfClass{3006, 9}) { // of 1.9
			t.Errorf("%v is %q, want %q", c, name, got)
		}
	}
	checked := 0
	for _, name := range []string{"status_id", "severity_id", "risk_level_id", "action_id", "disposition_id", "auth_protocol_id", "auth_factor.factor_type_id", "os.type_id", "managed_entity.type_id", "authentication_token.type_id", "observable.type_id"} {
		of, attribute, ok := strings.Cut(name, ".")
		if !ok {
			of, attribute = "3002", name
		}
		for id, caption := range *tables.ocsfNames.attribute(name) {
			checked++
			if got := s[of].attributes[attribute].enum[fmt.Sprint(id)]; got != caption {
				t.Errorf("%s %d is %q, want %q", name, id, caption, got)
			}
		}
	}
	if checked < 70 {
		t.Errorf("only %d captions", checked)
	}
}
