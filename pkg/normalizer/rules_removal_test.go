package normalizer_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rankedField is a line of ranked.csv.
type rankedField struct{ kind, rank, field, schemas, of, path string }

func readRankedFields(tb testing.TB) []rankedField {
	tb.Helper()
	rows, err := readCSV("testdata/rules/ranked.csv", 6)
	if err != nil {
		tb.Fatal(err)
	}
	var out []rankedField
	for _, row := range rows {
		out = append(out, rankedField{row[0], row[1], row[2], row[3], row[4], row[5]})
	}
	return out
}

// remove takes the member at path out of a decoded object; a list on the way stands for each of its elements.
func remove(at any, path []string) {
	switch v := at.(type) {
	case []any:
		for _, element := range v {
			remove(element, path)
		}
	case map[string]any:
		if len(path) == 1 {
			delete(v, path[0])
			return
		}
		remove(v[path[0]], path[1:])
	}
}

// without gives the events of the records as they are when the field is missing.
func (f *rankedField) without(tb testing.TB, r *renderer, records []parityRecord) []parityEvent {
	tb.Helper()
	var changed []parityRecord
	for _, record := range records {
		if record.kind != f.kind {
			continue
		}
		switch f.of {
		case "tenant":
			record.record.Key.Tenant = ""
		case "record":
			record = record.without(tb, f.path, record.record.Key.Stream)
		case "kind":
			record = record.without(tb, f.path, streamOfNoKind)
		}
		changed = append(changed, record)
	}
	events := r.events(tb, changed)
	if f.of == "event" {
		for _, e := range events {
			for _, path := range strings.Fields(f.path) {
				remove(e.event, strings.Split(path, "."))
			}
		}
	}
	return events
}

// streamOfNoKind is the stream that holds sign-ins of every kind where the API cannot tell them apart.
const streamOfNoKind = "signins.interactive"

// without gives the record without a member, as one of stream.
func (p parityRecord) without(tb testing.TB, path, stream string) parityRecord {
	tb.Helper()
	object, err := decodeObject(p.record.Raw)
	if err != nil {
		tb.Fatal(err)
	}
	remove(object, strings.Split(path, "."))
	raw, err := json.Marshal(object)
	if err != nil {
		tb.Fatal(err)
	}
	changed, err := newParityRecord(p.name, stream, raw)
	if err != nil {
		tb.Fatal(err)
	}
	return changed
}

// TestRuleParityByTheRecordsOwnWords reads all sign-ins from one stream: what kind they are is still in the records.
func TestRuleParityByTheRecordsOwnWords(t *testing.T) {
	var records []parityRecord
	for _, record := range parityRecords(t) {
		if record.kind == kindSignIn {
			record.record.Key.Stream = streamOfNoKind
			records = append(records, record)
		}
	}
	events := newRenderer(t).events(t, records)
	rules := parityRules(t)
	for i := range rules {
		if r := &rules[i]; r.kind == kindSignIn {
			if got, want := fired(r, events), slices.Sorted(slices.Values(r.fires)); !slices.Equal(got, want) {
				t.Errorf("%s:%d: %s fires on %v, want %v", r.file, r.line, r.id, got, want)
			}
		}
	}
}

// TestRuleParityOfEachField takes the members that rules read most away, one after the other: if no condition fell silent, the
// conditions would prove nothing about that member.
func TestRuleParityOfEachField(t *testing.T) {
	rules, records, r := parityRules(t), parityRecords(t), newRenderer(t)
	before := r.events(t, records)
	counts := map[string]int{}
	for _, field := range readRankedFields(t) {
		counts[field.kind]++
		if field.rank != fmt.Sprint(counts[field.kind]) {
			t.Errorf("%s %s has rank %s, want %d", field.kind, field.field, field.rank, counts[field.kind])
		}
		after := field.without(t, r, records)
		silenced := map[string][]string{} // by schema
		for i := range rules {
			if rule := &rules[i]; rule.kind == field.kind && silences(fired(rule, before), fired(rule, after)) {
				silenced[rule.schema] = append(silenced[rule.schema], rule.id)
			}
		}
		t.Logf("without %s %s, %s, silent: %s", field.kind, field.rank, field.field,
			strings.Join(slices.Concat(silenced[schemaEnvelope], silenced[schemaElastic]), ", "))
		for schema := range strings.FieldsSeq(field.schemas) {
			if len(silenced[schema]) == 0 {
				t.Errorf("%s: without %s %s no condition falls silent", schema, field.kind, field.field)
			}
		}
	}
	if counts[kindSignIn] != 30 || counts[kindAudit] != 20 {
		t.Errorf("%v fields, want 30 of sign-ins and 20 of audits", counts)
	}
}

// silences tells whether a record on which a condition fired is gone.
func silences(before, after []string) bool {
	return slices.ContainsFunc(before, func(name string) bool { return !slices.Contains(after, name) })
}

// TestRuleParityOfEachPath holds that every path which published rules read leads to a value in an event of ours, whether a
// condition of ours stands for those rules or not.
func TestRuleParityOfEachPath(t *testing.T) {
	names, err := readFieldNames()
	if err != nil {
		t.Fatal(err)
	}
	events := newRenderer(t).events(t, parityRecords(t))
	nowhere := 0
	for _, n := range names.all {
		if n.where == "-" {
			nowhere++
			continue
		}
		exists := condition{op: "exists", where: steps(n.where)}
		if !slices.ContainsFunc(events, func(e parityEvent) bool {
			return (e.schema == schemaElastic) == (n.dialect == "elastic") && (n.kind == "*" || n.kind == e.kind) && exists.holds(e.event)
		}) {
			t.Errorf("%s, %s: no event has %s", n.dialect, n.kind, n.where)
		}
	}
	t.Logf("%d of %d paths lead to a value; no event can have the other %d", len(names.all)-nowhere, len(names.all), nowhere)
}
