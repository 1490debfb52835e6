package normalizer_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// TestRuleParityOfLiterals puts every activity and error code that published rules compare with into a record: both schemas
// must have it where the rules look, in the type and the letter case that they compare.
func TestRuleParityOfLiterals(t *testing.T) {
	rows, err := readCSV("testdata/rules/literals.csv", 2)
	if err != nil {
		t.Fatal(err)
	}
	base := map[string]parityRecord{}
	for _, record := range parityRecords(t) {
		base[record.name] = record
	}
	r := newRenderer(t)
	for _, row := range rows {
		kind, literal := row[0], row[1]
		name, member, checks := "audits-strong-auth-disabled", "activityDisplayName", activityChecks(literal)
		if kind == kindSignIn {
			name, member, checks = "signins.interactive-bad-password", "errorCode", codeChecks(literal)
		}
		record := base[name].with(t, member, literal)
		for schema, conditions := range checks {
			event, err := r.event(record.record, schema)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range conditions {
				c, err := parseCondition(text, lookupAny)
				if err != nil {
					t.Fatal(err)
				}
				if !c.holds(any(event)) {
					t.Errorf("%s %q: not %s", kind, literal, text)
				}
			}
		}
	}
	if len(rows) < 110 {
		t.Errorf("%d literals: the list is cut", len(rows))
	}
}

// with gives the record with another activity or error code.
func (p parityRecord) with(tb testing.TB, member, literal string) parityRecord {
	tb.Helper()
	object, err := decodeObject(p.record.Raw)
	if err != nil {
		tb.Fatal(err)
	}
	if status, ok := object["status"].(map[string]any); ok {
		status[member] = json.Number(literal)
	} else {
		object[member] = literal
	}
	raw, err := json.Marshal(object)
	if err != nil {
		tb.Fatal(err)
	}
	changed, err := newParityRecord(p.name, p.record.Key.Stream, raw)
	if err != nil {
		tb.Fatal(err)
	}
	return changed
}

// activityChecks are conditions by schema. Elastic's rules have a hyphen where the activity has a dash.
func activityChecks(activity string) map[string][]string {
	quoted, folded := strconv.Quote(activity), strconv.Quote(strings.ReplaceAll(activity, "–", "-"))
	return map[string][]string{
		schemaEnvelope: {"operationName == " + quoted, "properties.activityDisplayName == " + quoted, `category == "AuditLogs"`},
		schemaElastic:  {"azure.auditlogs.operation_name == " + folded, "event.action in (" + quoted + ", " + folded + ")"},
	}
}

// codeChecks are conditions by schema: as a text where rules compare texts, as a number where they compare numbers. To Elastic
// everything but 0 is a failure, what waits for the user included.
func codeChecks(code string) map[string][]string {
	outcome := "failure"
	if code == "0" {
		outcome = "success"
	}
	signature := strconv.Quote(strings.ToUpper(outcome))
	return map[string][]string{
		schemaEnvelope: {`resultType == "` + code + `"`, "properties.status.errorCode == " + code, "resultSignature == " + signature},
		schemaElastic: {
			`azure.signinlogs.result_type == "` + code + `"`, "azure.signinlogs.properties.status.error_code == " + code,
			"azure.signinlogs.result_signature == " + signature, `event.outcome == "` + outcome + `"`,
		},
	}
}
