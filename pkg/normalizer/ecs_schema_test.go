package normalizer

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// ecsSchema is what ECS 9.4 says: all its fields, and the values of those that have a list.
type ecsSchema struct {
	fields map[string]ecsField
	values map[string][]string // by field
	types  map[string][]string // event.type by event.category
}

type ecsField struct {
	kind string
	list bool
}

func readTestTable(tb testing.TB, file string, columns int) [][]string {
	tb.Helper()
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment, r.FieldsPerRecord = '#', columns
	rows, err := r.ReadAll()
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return rows[1:]
}

func readECS(tb testing.TB) ecsSchema {
	tb.Helper()
	s := ecsSchema{map[string]ecsField{}, map[string][]string{}, map[string][]string{}}
	for _, row := range readTestTable(tb, "testdata/ecs_fields.csv", 3) {
		s.fields[row[0]] = ecsField{row[1], row[2] == "yes"}
	}
	for _, row := range readTestTable(tb, "testdata/ecs_values.csv", 3) {
		if row[2] != "" {
			s.types[row[2]] = append(s.types[row[2]], row[1])
			continue
		}
		s.values[row[0]] = append(s.values[row[0]], row[1])
	}
	if len(s.fields) != 2605 || len(s.values["event.kind"]) != 8 || len(s.values["event.category"]) != 20 || len(s.values["event.type"]) != 18 || len(s.values["event.outcome"]) != 3 {
		tb.Fatalf("testdata is not ECS 9.4.0: %d fields", len(s.fields))
	}
	return s
}

// ownFields are the members of "logferry" and their JSON types.
var ownFields = map[string]any{
	"logferry.stream": "", "logferry.tenant": "", "logferry.event_id": "", "logferry.mapping": 0.0,
	"logferry.update": true, "logferry.uncertain": true, "logferry.resent": true, "logferry.no_id": true, "logferry.no_time": true,
	"logferry.signin.result": "", "logferry.signin.password_accepted": true, "logferry.signin.mfa": true,
	"logferry.role.name": "", "logferry.role.id": "", "logferry.role.template_id": "",
}

// check holds a flattened event, without the record itself, against the schema and gives what is wrong with it.
func (s ecsSchema) check(event map[string]any) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for name, v := range event {
		if own, ok := ownFields[name]; ok {
			if typeName(own) != typeName(v) {
				fault("%s = %v (%T): want %T", name, v, v, own)
			}
			continue
		}
		f, ok := s.fields[name]
		if !ok {
			fault("%s is no field of ECS", name)
			continue
		}
		values := []any{v}
		if list, isList := v.([]any); isList != f.list {
			fault("%s = %v: list: %v, want %v", name, v, isList, f.list)
			continue
		} else if isList {
			if values = list; len(list) == 0 {
				fault("%s is empty", name)
			}
		}
		for _, v := range values {
			if !fits(f.kind, v) {
				fault("%s = %v: not of type %s", name, v, f.kind)
			}
			text, isText := v.(string)
			if allowed := s.values[name]; allowed != nil && !slices.Contains(allowed, text) {
				fault("%s = %v: want one of %v", name, v, allowed)
			} else if isText && allowed == nil && !says([]byte(text)) {
				fault("%s = %q says nothing", name, text)
			}
		}
	}
	for _, name := range []string{"@timestamp", "ecs.version", "event.kind"} {
		if event[name] == nil {
			fault("no %s", name)
		}
	}
	return append(faults, s.checkCategories(event)...)
}

func (s ecsSchema) checkCategories(event map[string]any) (faults []string) {
	categories, _ := event["event.category"].([]any)
	types, _ := event["event.type"].([]any)
	for _, c := range categories {
		for _, typ := range types {
			if category, _ := c.(string); !slices.Contains(s.types[category], fmt.Sprint(typ)) {
				faults = append(faults, fmt.Sprintf("event.type %v does not go with event.category %v", typ, c))
			}
		}
	}
	if len(categories) > 0 && len(types) == 0 {
		faults = append(faults, fmt.Sprintf("event.category %v without event.type", categories))
	}
	return faults
}

// checkECS fails the test for what is wrong with an event.
func checkECS(t testing.TB, s ecsSchema, event map[string]any) {
	t.Helper()
	for _, fault := range s.check(event) {
		t.Error(fault)
	}
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "bool"
	case float64:
		return "number"
	}
	return "other"
}

func fits(kind string, v any) bool {
	s, isString := v.(string)
	switch kind {
	case "keyword", "match_only_text", "wildcard":
		return isString && s != ""
	case "date":
		_, err := time.Parse(time.RFC3339Nano, s)
		return err == nil && s[len(s)-1] == 'Z'
	case "ip":
		_, err := netip.ParseAddr(s)
		return err == nil
	case "long":
		n, ok := v.(float64)
		return ok && n == math.Trunc(n)
	case "geo_point":
		m, _ := v.(map[string]any)
		lat, ok1 := m["lat"].(float64)
		lon, ok2 := m["lon"].(float64)
		return ok1 && ok2 && len(m) == 2 && math.Abs(lat) <= 90 && math.Abs(lon) <= 180
	}
	return false
}

func TestEventsAreECS(t *testing.T) {
	n, ecs := newNormalizer(t)
	schema := readECS(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) { checkECS(t, schema, flatEvent(t, n, rec, ecs)) })
	}
}

// TestNotECS: the validator refuses what ECS does not allow; each document is a good one with one member changed.
func TestNotECS(t *testing.T) {
	schema := readECS(t)
	good := func() map[string]any {
		return map[string]any{"@timestamp": "2026-03-04T05:06:07Z", "ecs.version": "9.4.0", "event.kind": "event", "event.category": []any{"iam"}, "event.type": []any{"user", "change"}, "source.ip": "192.0.2.1"}
	}
	if faults := schema.check(good()); len(faults) > 0 {
		t.Fatalf("the good one: %v", faults)
	}
	for _, c := range []struct{ name, value, want string }{ // value: JSON; "" takes the member away
		{"geo.country_name", `"NL"`, "no field"},
		{"source.geo.country", `"NL"`, "no field"},
		{"user.name.text", `"x"`, "no field"},
		{"user", `"x"`, "no field"},
		{"azure.signinlogs.category", `"SignInLogs"`, "no field"},
		{"logferry.colour", `"red"`, "no field"},
		{"logferry.mapping", `"2"`, "want float64"},
		{"event.category", `"iam"`, "list: false"},
		{"event.outcome", `["success"]`, "list: true"},
		{"event.outcome", `"interrupted"`, "want one of"},
		{"event.kind", `"log"`, "want one of"},
		{"event.category", `["login"]`, "want one of"},
		{"event.type", `["access"]`, "does not go with"},
		{"event.type", ``, "without event.type"},
		{"event.category", `["authentication"]`, "does not go with"},
		{"related.ip", `["192.0.2.1","PII Removed"]`, "not of type ip"},
		{"related.user", `[]`, "is empty"},
		{"source.port", `"443"`, "not of type long"},
		{"event.duration", `0.5`, "not of type long"},
		{"@timestamp", `"03/04/2026 5:06:07 AM"`, "not of type date"},
		{"@timestamp", ``, "no @timestamp"},
		{"source.geo.location", `{"lat":1}`, "not of type geo_point"},
		{"source.geo.location", `{"lat":91,"lon":1}`, "not of type geo_point"},
		{"user.name", `""`, "not of type keyword"},
		{"user.risk.static_level", `"hidden"`, "says nothing"},
		{"event.code", `50126`, "not of type keyword"},
		{"ecs.version", ``, "no ecs.version"},
	} {
		doc := good()
		delete(doc, c.name)
		if c.value != "" {
			var v any
			if err := json.Unmarshal([]byte(c.value), &v); err != nil {
				t.Fatal(err)
			}
			doc[c.name] = v
		}
		if faults := schema.check(doc); !strings.Contains(strings.Join(faults, "; "), c.want) {
			t.Errorf("%s = %s: got %q, want a fault with %q", c.name, c.value, faults, c.want)
		}
	}
}
