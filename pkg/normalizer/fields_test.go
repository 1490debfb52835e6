package normalizer

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

// fieldNotes say of schemas' fields what no tracing finds out, because it comes from outside of the record. They are for families in
// which no member leads to the field.
var fieldNotes = map[string]map[string]string{
	"ecs": {
		"cloud.account.id": "the tenant's id", "logferry.tenant": "the tenant's id", "logferry.stream": "the stream's name", "logferry.event_id": "of tenant, stream, id and content",
		"logferry.mapping": "the mapping's version", "event.created": "when the page was read", "event.id": "the record's id", "@timestamp": "the record's time",
	},
	"ocsf": {
		"cloud.account.uid": "the tenant's id", "metadata.tenant_uid": "the tenant's id", "metadata.log_name": "the stream's name", "metadata.uid": "`event_id`: of tenant, stream, id and content",
		"metadata.logged_time": "when the page was read", "metadata.original_event_uid": "the record's id", "time": "the record's time, in milliseconds", "unmapped.logferry.tenant": "the tenant's id",
		"unmapped.logferry.stream": "the stream's name", "unmapped.logferry.event_id": "of tenant, stream, id and content", "unmapped.logferry.mapping": "the mapping's version",
	},
	"cim": {
		"tenant": "the tenant's id", "vendor_account": "the tenant's id", "dest": "`entra:` and the tenant's id", "record_id": "the record's id", "time": "the record's time",
		"logferry.tenant": "the tenant's id", "logferry.stream": "the stream's name", "logferry.event_id": "of tenant, stream, id and content", "logferry.mapping": "the mapping's version",
	},
	"cef": {
		"rt": "the record's time", "externalId": "of tenant, stream, id and content", "deviceExternalId": "the tenant's id", "cat": "the stream's name", "flexString2": "the record's id",
		"cn2": "the mapping's version",
	},
	"leef": {
		"devTime": "the record's time", "eventId": "of tenant, stream, id and content", "tenant": "the tenant's id", "cat": "the stream's name", "recordId": "the record's id",
		"mapping": "the mapping's version",
	},
	"envelope": {
		"logferry.tenant": "the tenant's id", "logferry.stream": "the stream's name", "logferry.event_id": "of tenant, stream, id and content", "logferry.mapping": "the mapping's version",
		"tenantId": "the tenant's id", "properties.tenantId": "the tenant's id", "resourceId": "of the tenant's id",
	},
	"ecs-elastic": {
		"azure.tenant_id": "the tenant's id", "azure.signinlogs.properties.tenant_id": "the tenant's id", "azure.auditlogs.properties.tenantId": "the tenant's id",
		"azure.identityprotection.properties.tenant_id": "the tenant's id",
	},
}

// fieldIntros say what a table leaves out.
var fieldIntros = map[string]string{
	"envelope":    "\nMembers that stand in `properties` under their own names are left out.\n",
	"ecs-elastic": "\nThese are the fields of `profile: elastic` beyond [those of ecs](fields-ecs.md).\n",
}

// fieldWords are the fields with few values of our own, which the tables list.
var fieldWords = map[string][]string{
	"ocsf": {
		"class_uid", "class_name", "category_uid", "activity_id", "type_uid", "severity_id", "severity", "status_id", "action_id", "action", "disposition_id", "disposition", "auth_protocol_id",
		"auth_factors.factor_type_id", "authentication_token.type_id", "risk_level_id", "logon_type", "entity.type_id", "user.type_id", "user.type", "src_endpoint.os.type_id", "is_mfa",
		"unmapped.logferry.signin.result", "unmapped.logferry.signin.password_accepted", "unmapped.logferry.signin.mfa",
	},
	"cim":         {"action", "change_type", "object_category", "status", "severity", "user_type", "src_user_type", "logferry.signin.result", "logferry.signin.password_accepted", "logferry.signin.mfa"},
	"cef":         {"act", "outcome"},
	"leef":        {"action", "outcome", "sev"},
	"envelope":    {"category", "resultSignature", "properties.userType"},
	"ecs-elastic": {"azure.signinlogs.category", "azure.signinlogs.result_signature", "azure.signinlogs.properties.user_type"},
	"ecs":         {"event.category", "event.type", "event.outcome", "logferry.signin.result", "logferry.signin.password_accepted", "logferry.signin.mfa", "user.risk.static_level", "user_agent.os.type"},
}

// fieldUse is what is known of a field: which members it comes from, and which values it takes.
type fieldUse struct {
	from, values     map[string]bool
	different, lower bool // from the member's own text; from that in lower case
}

// fieldTables renders docs/fields-SCHEMA.md: for each family the fields, the members that they come from and their values. It is made
// by tracing the test records and every word of the API's enumerations through the mapping itself.
func fieldTables(t *testing.T, name string) string {
	t.Helper()
	n, _ := newNormalizer(t)
	var options map[string]string
	base, profile, ok := strings.Cut(name, "-")
	if ok {
		options = map[string]string{"profile": profile, "raw": "drop"}
	}
	schema, err := n.Schema(base, options)
	if err != nil {
		t.Fatal(err)
	}
	var records []event.Record
	for of, rec := range testRecords(t) {
		if base == "ecs" && !ok || !strings.HasSuffix(of, "-wrong-types") { // whose members stand where no member does
			records = append(records, rec)
		}
	}
	for _, row := range readTestTable(t, "testdata/enums.csv", 3) {
		records = append(records, newRecord(row[0], []byte(recordWith(row[1], row[2]))))
	}
	families := map[string]map[string]*fieldUse{}
	for _, rec := range records {
		of := rec.Key.Family()
		if families[of] == nil {
			families[of] = map[string]*fieldUse{}
		}
		traceFields(t, n, rec, schema, families[of])
	}
	var doc strings.Builder
	fmt.Fprintf(&doc, "# Fields of schema `%s`\n\nMade by `go test ./pkg/normalizer -run TestFieldTables -update` from the mapping itself: a member is in a row if the field changes when the\nmember is taken away. What no member changes is the same in every event, or comes from outside of the record.\n", name)
	doc.WriteString(fieldIntros[name])
	for _, family := range slices.Sorted(maps.Keys(families)) {
		fmt.Fprintf(&doc, "\n## %s\n\n| field | from | values |\n|---|---|---|\n", family)
		for _, field := range slices.Sorted(maps.Keys(families[family])) {
			u := families[family][field]
			if ok && !strings.HasPrefix(field, "azure.") && field != "related.entity" || base == "envelope" && field != "properties.userType" && u.sent(field) {
				continue
			}
			fmt.Fprintf(&doc, "| `%s` | %s | %s |\n", field, codes(u.from), u.say(fieldNotes[name][field], slices.Contains(fieldWords[name], field)))
		}
	}
	return doc.String()
}

// sent tells whether the field is below properties what the record's member of that path is.
func (u *fieldUse) sent(field string) bool {
	for from := range u.from {
		if !strings.HasPrefix("properties."+strings.ReplaceAll(from, "[]", "")+".", field+".") {
			return false
		}
	}
	return len(u.from) > 0
}

func codes(set map[string]bool) string {
	var list []string
	for _, s := range slices.Sorted(maps.Keys(set)) {
		list = append(list, "`"+s+"`")
	}
	return strings.Join(list, ", ")
}

func (u *fieldUse) say(note string, words bool) string {
	switch {
	case len(u.from) == 0 && note != "":
		return note
	case len(u.from) == 0, words:
		return codes(u.values)
	case !u.different:
		return "as sent"
	case !u.lower:
		return "in lower case"
	}
	return "derived"
}

// traceFields adds what one record shows.
func traceFields(t *testing.T, n *Normalizer, rec event.Record, schema event.Schema, into map[string]*fieldUse) {
	t.Helper()
	traced, err := n.Trace(rec, schema)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := n.Schema(schema.Name, map[string]string{"raw": "drop"}); err == nil && schema.Options == "" {
		schema = s
	}
	whole, err := n.fields(rec, schema)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string][]string{} // the values of the members that a field comes from
	for _, m := range traced {
		for _, field := range m.Fields {
			if into[field] == nil {
				into[field] = &fieldUse{from: map[string]bool{}, values: map[string]bool{}}
			}
			into[field].from[withoutIndex.ReplaceAllString(m.Member, "[]")] = true
			sources[field] = append(sources[field], `"`+strings.TrimSpace(strings.Trim(m.Value, `"`))+`"`)
		}
	}
	for field, value := range whole {
		if into[field] == nil {
			into[field] = &fieldUse{from: map[string]bool{}, values: map[string]bool{}}
		}
		u := into[field]
		for _, v := range strings.Split(strings.Trim(value, `"`), `" "`) { // the elements of a list
			u.values[v] = true
		}
		value = `"` + strings.Trim(value, `"`) + `"`
		if of := sources[field]; len(of) > 0 {
			u.different = u.different || !slices.Contains(of, value)
			u.lower = u.lower || !slices.ContainsFunc(of, func(s string) bool { return strings.ToLower(s) == value })
		}
	}
}

// TestFieldTables: the field tables in docs are those of the mapping.
func TestFieldTables(t *testing.T) {
	for _, name := range append(Schemas(), "ecs-elastic") {
		if name == "raw" {
			continue // it has the record's
		}
		file := filepath.Join("..", "..", "docs", "fields-"+name+".md")
		got := fieldTables(t, name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s is not what the mapping does; run this test with -update (-want +got):\n%s", file, diff)
		}
	}
}
