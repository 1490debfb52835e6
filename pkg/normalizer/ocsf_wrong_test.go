package normalizer

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestNotOCSF: the validator refuses what OCSF does not allow; each document is a good one with one member changed.
func TestNotOCSF(t *testing.T) {
	n, _ := newNormalizer(t)
	s := readOCSFSchema(t)
	records := testRecords(t)
	good := func(name string) map[string]any {
		var tree map[string]any
		if err := json.Unmarshal(ocsfBody(t, n, records[name], nil), &tree); err != nil {
			t.Fatal(err)
		}
		return tree
	}
	const signIn, audit, role = "signins.interactive-success-mfa", "audits-user-into-group", "audits-role-assignment"
	for _, c := range []struct{ record, path, value, want string }{ // value: JSON; "" takes the member away
		{signIn, "class_uid", `"3002"`, "class_uid is 3002"},
		{signIn, "class_uid", `4001`, "class_uid is 4001"},
		{signIn, "class_uid", `3007`, "not one of 1.8.0"},
		{signIn, "class_name", `"Logon"`, "class_name"},
		{signIn, "category_uid", `4`, "category_uid is 4"},
		{signIn, "activity_id", `"1"`, "not of type integer_t"},
		{signIn, "activity_id", `8`, "not in the enumeration"},
		{signIn, "activity_id", ``, "activity_id is required"},
		{signIn, "activity_name", ``, "without activity_name"},
		{signIn, "type_uid", `300202`, "type_uid is 300202"},
		{signIn, "severity_id", ``, "severity_id is required"},
		{signIn, "severity", `"Low"`, `want "Informational"`},
		{signIn, "status", ``, "without status"},
		{signIn, "status", `"Failure"`, `want "Success"`},
		{signIn, "status_id", `3`, "not in the enumeration"},
		{signIn, "status_code", `0`, "not of type string_t"},
		{signIn, "time", `"2026-03-04T05:06:07Z"`, "not of type timestamp_t"},
		{signIn, "time", `1772600767`, "not of type timestamp_t"},
		{signIn, "time", `1772600767123.5`, "not of type timestamp_t"},
		{signIn, "time", ``, "time is required"},
		{signIn, "is_mfa", `"true"`, "not of type boolean_t"},
		{signIn, "user", ``, "user is required"},
		{signIn, "user", `{"full_name":"x"}`, "0 of [account name uid]"},
		{signIn, "user.name", `""`, "not of type username_t"},
		{signIn, "user.email_addr", `"a@localhost"`, "not of type email_t"},
		{signIn, "user.type", `"Admin"`, `want "User"`},
		{signIn, "src_endpoint", `{"port":1}`, "0 of [ip"},
		{signIn, "src_endpoint.ip", `"PII Removed"`, "not of type ip_t"},
		{signIn, "src_endpoint.port", `70000`, "not of type port_t"},
		{signIn, "src_endpoint.os", `"Windows"`, "want an object"},
		{signIn, "src_endpoint.os.name", ``, "name is required"},
		{signIn, "src_endpoint.location", `{"lat":1,"long":2}`, "0 of [city"},
		{signIn, "src_endpoint.intermediate_ips", `"192.0.2.1"`, "list: false"},
		{signIn, "device.type_id", ``, "type_id is required"},
		{signIn, "metadata.profiles", `["cloud","security_control"]`, "of profile host"},
		{signIn, "metadata.profiles", `["host","security_control"]`, "of profile cloud"},
		{signIn, "metadata.product", ``, "product is required"},
		{signIn, "metadata.version", `"1.7.0"`, "metadata.version"},
		{signIn, "metadata.extra", `1`, "no attribute"},
		{signIn, "cloud", ``, "cloud is required"},
		{signIn, "cloud.account", `{"type_id":6,"type":"Azure AD Account"}`, "0 of [name uid]"},
		{signIn, "raw_data", `{"id":"x"}`, "not of type string_t"},
		{signIn, "unmapped", `"x"`, "want an object"},
		{signIn, "message", `"hidden"`, "says nothing"},
		{signIn, "group", `{"name":"x"}`, "no attribute of 3002"},
		{signIn, "auth_factors", `{"factor_type_id":11,"factor_type":"Password"}`, "list: false"},
		{signIn, "auth_factors", `[{"factor_type":"Password"}]`, "factor_type_id is required"},
		{signIn, "auth_factors", `[]`, "is empty"},
		{signIn, "session", `{}`, "session. is empty"},
		{signIn, "session.issuer", `{"a":1}`, "not of type string_t"},
		{signIn, "logon_process", `{"name":"x"}`, "not in the test data"},
		{audit, "group", ``, "group is required"},
		{audit, "group", `{"type":"x"}`, "0 of [name uid]"},
		{audit, "actor", `{"app_uid":5}`, "not of type string_t"},
		{role, "privileges", ``, "privileges is required"},
		{role, "privileges", `"Reader"`, "list: false"},
	} {
		doc := good(c.record)
		if faults := s.check(doc, "1.8.0"); len(faults) > 0 {
			t.Fatalf("the good one: %v", faults)
		}
		path := strings.Split(c.path, ".")
		in := doc
		for _, name := range path[:len(path)-1] {
			in = in[name].(map[string]any)
		}
		name := path[len(path)-1]
		delete(in, name)
		if c.value != "" {
			var v any
			if err := json.Unmarshal([]byte(c.value), &v); err != nil {
				t.Fatal(err)
			}
			in[name] = v
		}
		if faults := s.check(doc, "1.8.0"); !strings.Contains(strings.Join(faults, "; "), c.want) {
			t.Errorf("%s = %s: got %q, want a fault with %q", c.path, c.value, faults, c.want)
		}
	}
	doc := good(signIn)
	delete(doc, "service")
	if faults := s.check(doc, "1.8.0"); len(faults) > 0 {
		t.Errorf("a destination alone: %v", faults)
	}
	if delete(doc, "dst_endpoint"); len(s.check(doc, "1.8.0")) == 0 {
		t.Error("neither service nor destination, and no fault")
	}
}
