package normalizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

// The fields of the models, and which of them every event of the model has, as Splunk's own test tool for add-ons has them.
var (
	cimRequired = map[string][]string{
		"signins": {"action", "dest", "vendor_product"},
		"audits":  {"change_type", "dest", "dvc", "vendor_product"},
	}
	cimModels = map[string][]string{
		"signins": {"action", "app", "authentication_method", "authentication_service", "dest", "duration", "reason", "response_time", "signature", "signature_id", "src", "user", "user_agent",
			"user_id", "user_type", "vendor_account"},
		"audits": {"action", "change_type", "command", "dest", "dvc", "object", "object_attrs", "object_category", "object_id", "result", "src", "src_user", "src_user_type", "status", "user", "user_agent",
			"user_type", "vendor_account"},
	}
	// ours, named as fields of other models of Splunk's are where there is one
	cimOwn = []string{"time", "tenant", "record_id", "vendor_product", "reason_id", "user_name", "src_ip", "src_port", "src_nt_host", "src_dvc_id", "src_city", "src_region", "src_country", "src_lat", "src_long",
		"os", "app_id", "dest_id", "client_app", "session_id", "correlation_id", "risk_level", "risk_level_during_signin", "risk_state", "category", "role", "src_user_id", "src_user_name", "signature", "user_id",
		"severity", "app", "user", "user_type", "src", "dest", "vendor_account"}
	// Splunk's own fields, and the indexed ones of our sink: a member of such a name would change or double them
	cimTaken = []string{"host", "source", "sourcetype", "index", "linecount", "punct", "eventtype", "tag", "timestamp", "event_id", "stream", "_time", "_raw"}
	cimWords = map[string][]string{
		"action": {"success", "failure", "pending", "error", "created", "modified", "deleted", "updated", "read", "requested"}, "status": {"success", "failure"},
		"severity": {"informational", "low", "medium", "high"}, "user_type": {"member", "guest", "service"}, "src_user_type": {"service"}, "change_type": {"AAA", "configuration"},
	}
)

// checkCIM holds an event against what the models ask of it.
func checkCIM(t *testing.T, family string, m map[string]any) {
	t.Helper()
	for _, field := range cimRequired[family] {
		if m[field] == nil {
			t.Errorf("%s is missing", field)
		}
	}
	for field, v := range m {
		if strings.HasPrefix(field, "logferry.") {
			continue
		}
		if slices.Contains(cimTaken, field) || !slices.Contains(cimModels[family], field) && !slices.Contains(cimOwn, field) {
			t.Errorf("field %s is in no list", field)
		}
		text, isText := v.(string)
		if words := cimWords[field]; words != nil && !slices.Contains(words, text) {
			t.Errorf("%s is %q", field, text)
		}
		number := slices.Contains([]string{"src_lat", "src_long", "src_port", "duration", "response_time"}, field)
		if isText == number || isText && (text == "" || !says([]byte(text))) {
			t.Errorf("%s is %#v", field, v)
		}
		if quoteless := []string{"action", "object_attrs", "object_id", "object_path", "object_category"}; slices.Contains(quoteless, field) && strings.Contains(text, `"`) {
			t.Errorf("%s has a double quote: %s", field, text)
		}
	}
	if m["status"] == "failure" && m["result"] == nil {
		t.Error("a failure without a result")
	}
}

// modelOf is the family whose model a record's events follow, "" for none.
func modelOf(rec *event.Record) string {
	switch family := rec.Key.Family(); family {
	case "signins", "audits":
		return family
	case "attributes":
		return "audits"
	}
	return ""
}

var cimAlone = event.Schema{Name: "cim", Version: Version, Options: "raw=drop"}

func TestGoldenCIM(t *testing.T) {
	n, _ := newNormalizer(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			out, err := n.Normalize(nil, rec, cimAlone)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, out, "", " "); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got.WriteByte('\n')
			checkGolden(t, name+".cim.json", got.Bytes())
			checkCIM(t, modelOf(&rec), flatEvent(t, n, rec, cimAlone))
		})
	}
}

func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	golden := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("event differs from %s (-want +got):\n%s", golden, diff)
	}
}

// TestMutatedRecordsToCIM: whatever stands in a record, the event keeps the model's rules, and the record.
func TestMutatedRecordsToCIM(t *testing.T) {
	n, _ := newNormalizer(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, uint64(len(rec.Raw))))
			for round := range 100 {
				raw := mutated(t, r, rec)
				changed := newRecord(rec.Key.Stream, raw)
				out, err := n.Normalize(nil, changed, event.Schema{Name: "cim"})
				if err != nil || !json.Valid(out) || !bytes.HasSuffix(out, []byte(`,"raw":`+oneLine(raw)+`}`)) {
					t.Fatalf("round %d: %v\nrecord %s\nevent %s", round, err, raw, out)
				}
				if checkCIM(t, modelOf(&changed), flatEvent(t, n, changed, cimAlone)); t.Failed() {
					t.Fatalf("round %d\nrecord %s\nevent %s", round, raw, out)
				}
			}
		})
	}
}

// mutated gives a record's bytes with some values changed, and with texts in which each schema has something to escape.
func mutated(t *testing.T, r *rand.Rand, rec event.Record) []byte {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(rec.Raw, &tree); err != nil {
		t.Fatal(err)
	}
	for range r.IntN(6) {
		if m, ok := mutate(r, tree).(map[string]any); ok {
			tree = m
		}
	}
	if m, ok := roughen(r, tree).(map[string]any); ok {
		tree = m
	}
	return scribble(r, nil, tree)
}

// roughen adds what is hard to escape to a fifth of the texts.
func roughen(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			v[key] = roughen(r, v[key])
		}
	case []any:
		for i := range v {
			v[i] = roughen(r, v[i])
		}
	case string:
		if rough := []string{` a=b c=d`, `|`, `\`, `\=`, "\n", "\r\n", "\t", "x\ty=z", `"quoted"`, `a|b\|c`, "\u0000", "\u007f ", " ", `\n`, "é=ü|"}; r.IntN(5) == 0 {
			return v + rough[r.IntN(len(rough))] + v
		}
	}
	return v
}

// TestCIMValues: what the models' rules are about.
func TestCIMValues(t *testing.T) {
	n, _ := newNormalizer(t)
	const by = `"initiatedBy":{"user":{"id":"a1","userPrincipalName":"Admin@contoso.com"}}`
	for _, c := range []struct{ name, stream, raw, want string }{ // want: field=value, field= for absent
		{"an interrupt is pending", "signins.interactive", `{"status":{"errorCode":50076}}`, "action=pending signature_id=50076 reason_id=50076"},
		{"success", "signins.interactive", `{"status":{"errorCode":0,"failureReason":"Other."}}`, "action=success signature_id=0 reason_id= reason="},
		{"failure", "signins.interactive", `{"status":{"errorCode":50126,"failureReason":"No"}}`, "action=failure reason=No"},
		{"no status", "signins.interactive", `{}`, "action=error dest=entra:" + testTenant + " signature_id="},
		{"the last method", "signins.interactive", `{"authenticationDetails":[{"authenticationMethod":"Password"},{"authenticationMethod":"Text message"},{"authenticationMethod":"Previously satisfied"}]}`, "authentication_method=Text message"},
		{"no protocol", "signins.interactive", `{"authenticationProtocol":"none","processingTimeInMilliseconds":0}`, "authentication_service= duration="},
		{"protocol and time", "signins.interactive", `{"authenticationProtocol":"deviceCode","processingTimeInMilliseconds":1500}`, "authentication_service=deviceCode duration=1.5 response_time=1.5"},
		{"too long", "signins.interactive", `{"processingTimeInMilliseconds":3600001}`, "duration="},
		{"masked address", "signins.interactive", `{"ipAddress":"203.0.113.XXX"}`, "src=203.0.113.XXX src_ip="},
		{"service", "signins.serviceprincipal", `{"servicePrincipalId":"s1","servicePrincipalName":"Job"}`, "user=Job user_id=s1 user_type=service"},
		{"guest", "signins.interactive", `{"userPrincipalName":"G@fabrikam.example.com","userType":"Guest"}`, "user=g@fabrikam.example.com user_type=guest"},
		{"user is who was changed", "audits", `{` + by + `,"activityDisplayName":"Update user","targetResources":[{"type":"User","id":"u1","userPrincipalName":"User@contoso.com"}]}`, "user=user@contoso.com user_id=u1 src_user=admin@contoso.com src_user_id=a1 object=user@contoso.com object_category=user"},
		{"nobody was changed", "audits", `{` + by + `,"activityDisplayName":"Update policy","targetResources":[{"type":"Policy","id":"p1","displayName":"P"}]}`, "user=admin@contoso.com src_user=admin@contoso.com object=P object_id=p1 object_category=policy change_type=configuration"},
		{"a service got a role", "audits", `{` + by + `,"activityDisplayName":"Add member to role","targetResources":[{"type":"ServicePrincipal","id":"s1","displayName":"Job","modifiedProperties":[{"displayName":"Role.DisplayName","newValue":"\"Reader\""}]}]}`, "user=Job user_type=service object_attrs=role role=Reader action=modified"},
		{"an owner of an application", "audits", `{` + by + `,"activityDisplayName":"Add owner to application","targetResources":[{"type":"User","id":"u1","userPrincipalName":"o@contoso.com"},{"type":"Application","id":"x","displayName":"App"}]}`, "user=o@contoso.com object=App object_category=application"},
		{"a group, not its member", "audits", `{` + by + `,"activityDisplayName":"Add member to group","targetResources":[{"type":"User","id":"u1"},{"type":"Group","id":"g1","displayName":"G"}]}`, "user=u1 object=G object_id=g1 object_category=group"},
		{"a group that is no target", "audits", `{"activityDisplayName":"Add member to group","targetResources":[{"type":"User","id":"u1","modifiedProperties":[{"displayName":"Group.ObjectID","newValue":"\"g1\""}]}]}`, "user=u1 object=g1 object_id=g1 object_category=group"},
		{"no target of the kind", "audits", `{"activityDisplayName":"Add owner to application","targetResources":[{"type":"User","id":"u1"}]}`, "object=u1 object_category=user"},
		{"no type", "audits", `{"activityDisplayName":"Update policy","targetResources":[{"type":"Other","id":"p1"}]}`, "object=p1 object_category=policy"},
		{"a role and more", "audits", `{"targetResources":[{"type":"User","id":"u1","modifiedProperties":[{"displayName":"Role.DisplayName","newValue":"\"Reader\""},{"displayName":"Role.ObjectID"},{"displayName":"Reason"}]}]}`, "object_attrs=role,Reason role=Reader"},
		{"names of what was modified are no attribute", "audits", `{"targetResources":[{"type":"User","id":"u1","modifiedProperties":[{"displayName":"AccountEnabled"},{"displayName":"Included Updated Properties","newValue":"\"AccountEnabled\""}]}]}`, "object_attrs=AccountEnabled"},
		{"quotes", "audits", `{"targetResources":[{"type":"Other","id":"a\"b\\","modifiedProperties":[{"displayName":"say \"x\""},{"displayName":"B"},{"displayName":"B"}]}]}`, `object_id=a'b\ object_attrs=say 'x',B`},
		{"failure without a reason", "audits", `{"result":"timeout"}`, "status=failure result=timeout"},
		{"unknown type", "audits", `{"targetResources":[{"type":"NewThing","id":"x"}]}`, "object_category=newthing object=x"},
		{"no type at all", "audits", `{"targetResources":[{"type":"N/A","id":"x"}]}`, "object_category= object=x"},
		{"operation", "audits", `{"activityDisplayName":"Do x","operationType":"Delete"}`, "action=deleted change_type=AAA"},
		{"a tenant's name", "risk.users", `{"id":"u1","userPrincipalName":"U@contoso.com","riskLevel":"high"}`, "user=u@contoso.com user_id=u1 severity=high"},
	} {
		m := flatEvent(t, n, newRecord(c.stream, []byte(c.raw)), cimAlone)
		checkCIM(t, modelOf(&event.Record{Key: event.StreamKey{Stream: c.stream}}), m)
		for _, want := range wanted(c.want) {
			got := ""
			if v := m[want[0]]; v != nil {
				got = fmt.Sprint(v)
			}
			if got != want[1] {
				t.Errorf("%s: %s = %q, want %q", c.name, want[0], got, want[1])
			}
		}
		if t.Failed() {
			t.Fatalf("%s: %v", c.name, m)
		}
	}
}

// wanted splits "field=value field=value"; values may have blanks.
func wanted(s string) (list [][2]string) {
	for i, m := range textField.FindAllStringSubmatchIndex(s, -1) {
		if i > 0 {
			list[i-1][1] = strings.TrimSuffix(s[:m[0]][len(list[i-1][1]):], " ")
		}
		list = append(list, [2]string{s[m[2]:m[3]], s[:m[1]]})
	}
	last := len(list) - 1
	list[last][1] = s[len(list[last][1]):]
	return list
}

// TestCIMFlags: what is special about a record is told in every schema.
func TestCIMFlags(t *testing.T) {
	n, _ := newNormalizer(t)
	for stream, raw := range map[string]string{"signins.interactive": `{}`, "audits": `{}`, "risk.users": `{}`} {
		rec := newRecord(stream, []byte(raw))
		rec.Flags = event.FlagUpdate | event.FlagUncertain | event.FlagNoTime | event.FlagNoID | event.FlagResent
		m := flatEvent(t, n, rec, cimAlone)
		for _, key := range []string{"update", "uncertain", "no_time", "no_id", "resent"} {
			if m["logferry."+key] != true {
				t.Errorf("%s: logferry.%s = %v", stream, key, m["logferry."+key])
			}
		}
		if m["logferry.event_id"] != rec.EventID().String() || m["logferry.stream"] != stream || m["tenant"] != testTenant || m["logferry.mapping"] != float64(Version) || m["record_id"] != rec.ID {
			t.Errorf("%s: %v", stream, m)
		}
	}
}

// TestCIMActorAndTarget: src_user comes from initiatedBy alone, the object from targetResources.
func TestCIMActorAndTarget(t *testing.T) {
	n, _ := newNormalizer(t)
	for name, rec := range testRecords(t) {
		var audit struct{ InitiatedBy, Actor, TargetResources, Targets any }
		if rec.Key.Family() != "audits" || json.Unmarshal(rec.Raw, &audit) != nil {
			continue
		}
		by, to := strings.ToLower(fmt.Sprint(audit.InitiatedBy, audit.Actor)), strings.ToLower(fmt.Sprint(audit.TargetResources, audit.Targets))
		m := flatEvent(t, n, rec, cimAlone)
		for key, where := range map[string]string{"src_user": by, "src_user_id": by, "src": by, "object_id": to, "object": to} {
			v, _ := m[key].(string)
			if value := strings.ToLower(v); !strings.Contains(where, value) && !strings.Contains(where, strings.ReplaceAll(value, `"`, `\"`)) {
				t.Errorf("%s: %s = %v is not in %s", name, key, v, where)
			}
		}
	}
}

// TestEnumsToCIMAndLines: every word of the API's enumerations keeps the model's rules, and one that nobody knows is seen only where a field takes
// any word.
func TestEnumsToCIMAndLines(t *testing.T) {
	n, _ := newNormalizer(t)
	rows := readTestTable(t, "testdata/enums.csv", 3)
	for _, row := range append(rows, unheardOf(rows)...) {
		rec := newRecord(row[0], []byte(recordWith(row[1], row[2])))
		m := flatEvent(t, n, rec, cimAlone)
		checkCIM(t, modelOf(&rec), m)
		for field, v := range m {
			if open := []string{"risk_level", "risk_level_during_signin", "authentication_service", "client_app", "signature", "category"}; v == "unheardOf" && !slices.Contains(open, field) {
				t.Errorf("%s = %v", field, v)
			}
		}
		if checkLines(t, n, rec); t.Failed() {
			t.Fatalf("record %s", rec.Raw)
		}
	}
}

// TestHostileRecordsToCIMAndLines: what is huge takes neither long nor much room in the fields.
func TestHostileRecordsToCIMAndLines(t *testing.T) {
	n, _ := newNormalizer(t)
	many := func(element string) string { return strings.TrimSuffix(strings.Repeat(element+",", 20_000), ",") }
	for stream, raws := range map[string][]string{
		"audits": {
			`{"targetResources":[` + many(`{"type":"Group","id":"g"}`) + `,{"type":"User","id":"u"}]}`,
			`{"targetResources":[{"type":"User","id":"u","modifiedProperties":[` + many(`{"displayName":"A\"","newValue":"1"}`) + `]}]}`,
			`{"activityDisplayName":"` + strings.Repeat(`\u003d|`, 50_000) + `","resultReason":"` + strings.Repeat(`\\`, 50_000) + `"}`,
		},
		"signins.interactive": {
			`{"userPrincipalName":"` + strings.Repeat("Ä=", 100_000) + `","userAgent":"` + strings.Repeat(`\t`, 50_000) + `","authenticationDetails":[` + many(`{"authenticationMethod":"Text message"}`) + `]}`,
			`{"ipAddress":"` + strings.Repeat("::", 50_000) + `","deviceDetail":{"displayName":"\u0000\u0000"}}`,
		},
	} {
		for _, raw := range raws {
			rec := newRecord(stream, []byte(raw))
			checkCIM(t, modelOf(&rec), flatEvent(t, n, rec, cimAlone))
			checkLines(t, n, rec)
		}
	}
}

// TestTextsAndCIMDoNotAllocate into a buffer that is used again.
func TestTextsAndCIMDoNotAllocate(t *testing.T) {
	n, _ := newNormalizer(t)
	buf := make([]byte, 0, 64<<10)
	for name, rec := range testRecords(t) {
		for _, schema := range []event.Schema{{Name: "cim"}, cimAlone, {Name: "cef"}, {Name: "leef"}, {Name: "cef", Options: "raw=keep"}, {Name: "leef", Options: "raw=keep"}} {
			if got := testing.AllocsPerRun(50, func() { buf, _ = n.Normalize(buf[:0], rec, schema) }); got != 0 {
				t.Errorf("%s to %s: %v allocations per record", name, schema.Name, got)
			}
		}
	}
}
