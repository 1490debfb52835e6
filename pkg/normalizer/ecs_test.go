package normalizer

import (
	"encoding/csv"
	"math"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// ecsTypes is which event.type goes with which event.category (ECS 9.4), as far as we use the categories.
var ecsTypes = map[string][]string{
	"authentication": {"start", "end", "info"},
	"iam":            {"admin", "change", "creation", "deletion", "group", "info", "user"},
	"configuration":  {"access", "change", "creation", "deletion", "info"},
}

type ecsField struct {
	kind string
	list bool
}

// ecsFields reads what ECS 9.4 says of the fields that we write: the only ones that may be written.
func ecsFields(tb testing.TB) map[string]ecsField {
	tb.Helper()
	f, err := os.Open("testdata/ecs_fields.csv")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	fields := map[string]ecsField{}
	for _, row := range rows[1:] {
		fields[row[0]] = ecsField{row[1], row[2] == "yes"}
	}
	return fields
}

// ownFields are the members of "logferry" and their JSON types.
var ownFields = map[string]any{
	"logferry.stream": "", "logferry.tenant": "", "logferry.event_id": "", "logferry.mapping": 0.0,
	"logferry.update": true, "logferry.uncertain": true, "logferry.resent": true, "logferry.no_id": true, "logferry.no_time": true,
	"logferry.signin.result": "", "logferry.signin.password_accepted": true, "logferry.signin.mfa": true,
	"logferry.role.name": "", "logferry.role.id": "", "logferry.role.template_id": "",
}

// checkECS holds a flattened event against the lists.
func checkECS(t testing.TB, fields map[string]ecsField, event map[string]any) {
	t.Helper()
	for name, v := range event {
		if own, ok := ownFields[name]; ok {
			if typeName(own) != typeName(v) {
				t.Errorf("%s = %v (%T): want %T", name, v, v, own)
			}
			continue
		}
		f, ok := fields[name]
		if !ok {
			t.Errorf("%s is not among the ECS fields that we write", name)
			continue
		}
		values := []any{v}
		if list, isList := v.([]any); isList != f.list {
			t.Errorf("%s = %v: list: %v, want %v", name, v, isList, f.list)
			continue
		} else if isList {
			values = list
			if len(list) == 0 {
				t.Errorf("%s is empty", name)
			}
		}
		for _, v := range values {
			if !fits(f.kind, v) {
				t.Errorf("%s = %v: not of type %s", name, v, f.kind)
			}
			if s, ok := v.(string); ok && !says([]byte(s)) && name != "event.outcome" {
				t.Errorf("%s = %q says nothing", name, s)
			}
		}
	}
	checkCategories(t, event)
}

func checkCategories(t testing.TB, event map[string]any) {
	t.Helper()
	categories, _ := event["event.category"].([]any)
	types, _ := event["event.type"].([]any)
	for _, c := range categories {
		for _, typ := range types {
			if !slices.Contains(ecsTypes[c.(string)], typ.(string)) {
				t.Errorf("event.type %v does not go with event.category %v", typ, c)
			}
		}
	}
	if len(categories) > 0 && len(types) == 0 {
		t.Errorf("event.category %v without event.type", categories)
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
	fields := ecsFields(t)
	written := map[string]bool{}
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			m := flatEvent(t, n, rec, ecs)
			checkECS(t, fields, m)
			for key := range m {
				written[key] = true
			}
		})
	}
	for name := range fields {
		if !written[name] {
			t.Errorf("no test record leads to %s", name)
		}
	}
}

func TestTables(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	// activity_id of the OCSF 1.8 classes in use; 0 and 99 go with any
	last := map[int]int{3001: 12, 3004: 13, 3005: 2, 3006: 8}
	cim := []string{"created", "modified", "deleted", "updated", "read", "requested", ""}
	check := func(name string, a *activity) {
		category := "iam"
		if a.configuration {
			category = "configuration"
		}
		for i, typ := range a.types {
			if typ == "principal" && category == "iam" {
				continue
			}
			if !slices.Contains(ecsTypes[category], typ) || slices.Contains(a.types[:i], typ) {
				t.Errorf("%s: event.type %q does not go with %s, or stands twice", name, typ, category)
			}
		}
		most, ok := last[a.ocsfClass]
		if !ok || a.ocsfActivity < 1 || a.ocsfActivity > most && a.ocsfActivity != 99 {
			t.Errorf("%s: OCSF %d/%d does not exist", name, a.ocsfClass, a.ocsfActivity)
		}
		if !slices.Contains(cim, a.cimAction) {
			t.Errorf("%s: CIM action %q", name, a.cimAction)
		}
	}
	for name, a := range tables.activities {
		check(name, a)
	}
	for name, a := range tables.operations {
		check(name, a)
	}
	for _, p := range tables.patterns {
		check(p.part+"*", p.activity)
		if len(p.part) < 8 {
			t.Errorf("pattern %q is too short to mean anything", p.part)
		}
	}
	for _, s := range tables.systems {
		if !slices.Contains([]string{"windows", "macos", "ios", "android", "linux", ""}, s.osType) || s.word == "" {
			t.Errorf("system %q: os_type %q", s.word, s.osType)
		}
	}
	if c := tables.codes[0]; c.result != resultSuccess {
		t.Errorf("code 0: %+v", c)
	}
	for code, c := range tables.codes {
		if code < 0 || code != 0 && c.result == resultSuccess {
			t.Errorf("code %d: %+v", code, c)
		}
	}
}

func TestTablesRefuse(t *testing.T) {
	tables := &tables{codes: map[int64]errorCode{1: {}}, activities: map[string]*activity{"add user": {}}, operations: map[string]*activity{"add": {}}}
	for _, c := range []struct {
		add func([]string) error
		row []string
	}{
		{tables.addCode, []string{"x", "success", "", ""}},
		{tables.addCode, []string{"1", "success", "", ""}},
		{tables.addCode, []string{"2", "sucess", "", ""}},
		{tables.addCode, []string{"2", "success", "true", ""}},
		{tables.addActivity, []string{"Add User", "iam", "user", "3001", "1", ""}},
		{tables.addActivity, []string{"x", "iamm", "user", "3001", "1", ""}},
		{tables.addActivity, []string{"x", "iam", " ", "3001", "1", ""}},
		{tables.addActivity, []string{"x", "iam", "user", "", "1", ""}},
		{tables.addActivity, []string{"x", "iam", "user", "3001", "", ""}},
		{tables.addOperation, []string{"add", "iam", "user", "3001", "1", ""}},
	} {
		if err := c.add(c.row); err == nil {
			t.Errorf("row %q was taken", c.row)
		}
	}
}

func TestActivityNames(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		class int // 0: not listed
		id    int
	}{
		{"Add user", 3001, 1},
		{"ADD USER", 3001, 1},
		{"Update application – Certificates and secrets management", 3004, 3},
		{"Update application - Certificates and secrets management", 3004, 3},
		{"Create application – Certificates and secrets management", 3004, 1},
		{"Add eligible member to role in PIM completed (timebound)", 3005, 1},
		{"Add eligible member to role in PIM requested (permanent)", 3005, 99},
		{"Remove app role assignment from service principal", 3005, 2},
		{"Add a partner to cross-tenant access setting", 3004, 1},
		{"Update a partner cross-tenant access setting", 3004, 3},
		{"Delete partner specific cross-tenant access setting", 3004, 4},
		{"Add member to role outside of PIM (permanent)", 3005, 1},
		{"Add member to role approval requested (PIM activation)", 3005, 99},
		{"Add member to role requested (PIM activation)", 3005, 99},
		{"Add member to role request denied (PIM activation)", 3005, 99},
		{"Add eligible member to role in PIM request denied", 3005, 99},
		{"Remove member from role (PIM activation expired)", 3005, 2},
		{"Remove eligible member from role in PIM completed (permanent)", 3005, 2},
		{"Add Passkey (device-bound) security info", 3001, 10},
		{"Bulk download group members - finished (bulk)", 3004, 2},
		{"Disable PIM Alert", 3004, 3},
		{"Add users", 0, 0},
		{"", 0, 0},
	} {
		a := tables.activity(fold(nil, []byte(c.name)))
		switch {
		case a == nil && c.class != 0:
			t.Errorf("%q is not listed", c.name)
		case a != nil && (a.ocsfClass != c.class || a.ocsfActivity != c.id):
			t.Errorf("%q: OCSF %d/%d, want %d/%d", c.name, a.ocsfClass, a.ocsfActivity, c.class, c.id)
		}
	}
}
