package normalizer

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestTables(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	schema, ids := readECS(t), readOCSF(t)
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
			if !slices.Contains(schema.types[category], typ) || slices.Contains(a.types[:i], typ) {
				t.Errorf("%s: event.type %q does not go with %s, or stands twice", name, typ, category)
			}
		}
		if a.ocsf18.class > 3006 || a.ocsf18.activity == 0 || !ids[strconv.Itoa(a.ocsf18.class)][a.ocsf18.activity] {
			t.Errorf("%s: OCSF %v does not exist", name, a.ocsf18)
		}
		// 1.9 has added an activity to Group Management
		if a.ocsf19 != (ocsfClass{3006, 9}) && (a.ocsf19.activity == 0 || !ids[strconv.Itoa(a.ocsf19.class)][a.ocsf19.activity]) {
			t.Errorf("%s: OCSF 1.9 %v does not exist", name, a.ocsf19)
		}
		if a.ocsfEntity != absent && (a.ocsf18.class != 3004 || !ids["managed_entity.type_id"][a.ocsfEntity]) {
			t.Errorf("%s: OCSF %v with entity %d", name, a.ocsf18, a.ocsfEntity)
		}
		if !slices.Contains([]string{"AAA", "configuration", ""}, a.cimChangeType) {
			t.Errorf("%s: CIM change type %q", name, a.cimChangeType)
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
}

func TestSystemsAndCodes(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	ids := readOCSF(t)
	for _, s := range tables.systems {
		if !slices.Contains([]string{"windows", "macos", "ios", "android", "linux", ""}, s.osType) || s.word == "" || !ids["os.type_id"][s.ocsf] {
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

// readOCSF gives the numbers that exist, by class or attribute.
func readOCSF(tb testing.TB) map[string]map[int]bool {
	tb.Helper()
	ids := map[string]map[int]bool{}
	for _, row := range readTestTable(tb, "testdata/ocsf_ids.csv", 3) {
		id, err := strconv.Atoi(row[1])
		if err != nil {
			tb.Fatal(err)
		}
		if ids[row[0]] == nil {
			ids[row[0]] = map[int]bool{}
		}
		ids[row[0]][id] = true
	}
	return ids
}

// TestWords: what stands in the columns of words.csv exists in the schemas that it is for.
func TestWords(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	schema, ids := readECS(t), readOCSF(t)
	flag := map[int]bool{1: true}
	of := map[string][2]map[int]bool{ // of the columns ocsf and ocsf_also; nil: must be empty
		"riskLevel": {ids["risk_level_id"], ids["severity_id"]}, "riskState": {ids["finding.status_id"], flag}, "conditionalAccess": {ids["action_id"], ids["disposition_id"]},
		"policyResult": {nil, {0: true, 1: true}}, "protocol": {ids["auth_protocol_id"], nil}, "method": {ids["auth_factor.factor_type_id"], flag}, "auditResult": {ids["status_id"], nil},
		"signInResult": {ids["status_id"], nil}, "signInKind": {ids["logon_type_id"], nil}, "userType": {ids["user.type_id"], nil}, "incomingToken": {ids["authentication_token.type_id"], nil},
		"targetType": {ids["managed_entity.type_id"], nil},
	}
	for name, v := range tables.words {
		for _, w := range append(slices.Clone(v.words), v.prefixes...) {
			if w.ocsf != absent && !of[name][0][w.ocsf] || w.ocsfAlso != absent && !of[name][1][w.ocsfAlso] {
				t.Errorf("%s, %s: OCSF %d, %d", name, w.text, w.ocsf, w.ocsfAlso)
			}
			outcome := name == "auditResult" || name == "signInResult" || name == "loginStatus"
			if outcome != slices.Contains(schema.values["event.outcome"], w.ecs) && name != "policyResult" {
				t.Errorf("%s, %s: event.outcome %q", name, w.text, w.ecs)
			}
			if name == "targetType" && !slices.Contains(targetKinds[:], w.ecs) {
				t.Errorf("target type %s: kind %q", w.text, w.ecs)
			}
		}
	}
	for _, kind := range targetKinds[1:] {
		if !slices.ContainsFunc(tables.targetTypes.words, func(w word) bool { return w.ecs == kind }) {
			t.Errorf("no target type makes a %s", kind)
		}
	}
	if w := tables.methods.find([]byte("password")); w == nil || w.ocsf != factorPassword {
		t.Errorf("a password is %+v", w)
	}
}

func TestWordsAreFound(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ words, in, want string }{ // want: the row; "" for none
		{"riskLevel", "high", "high"},
		{"riskLevel", "HIGH", "high"},
		{"riskLevel", "higher", ""},
		{"riskLevel", "", ""},
		{"method", "Phone call (Mobile)", "Phone call"},
		{"method", "PASSKEY (device-bound)", "Passkey"},
		{"method", "Kennwort", ""},
		{"clientApp", "Other clients; IMAP", "Other clients"},
		{"targetType", "serviceprincipal", "ServicePrincipal"},
		{"protocol", strings.Repeat("x", 2*longestWord), ""},
	} {
		got := ""
		if w := tables.words[c.words].find([]byte(c.in)); w != nil {
			got = w.text
		}
		if got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.words, c.in, got, c.want)
		}
	}
}

// TestOCSFVersion: a row of a table switches the classes of 1.9 on.
func TestOCSFVersion(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	a := tables.activity([]byte("add user"))
	for version, want := range map[string]ocsfClass{"1.8.0": {3001, 1}, "1.9.0": {3007, 1}} {
		if err := tables.addOCSF([]string{"version", version}); err != nil {
			t.Fatal(err)
		}
		if got := tables.ocsf(a); got != want {
			t.Errorf("%s: got %v, want %v", version, got, want)
		}
	}
}

func TestTablesRefuse(t *testing.T) {
	tables := &tables{words: map[string]*vocabulary{"known": {}}, codes: map[int64]errorCode{1: {}}, activities: map[string]*activity{"add user": {}}, operations: map[string]*activity{"add": {}},
		envelope: []envelopeRow{{stream: "audits"}}}
	for _, c := range []struct {
		add func([]string) error
		row []string
	}{
		{tables.addCode, []string{"x", "success", "", ""}},
		{tables.addCode, []string{"1", "success", "", ""}},
		{tables.addCode, []string{"2", "sucess", "", ""}},
		{tables.addCode, []string{"2", "success", "true", ""}},
		{tables.addActivity, []string{"Add User", "iam", "user", "3001", "1", "", "", "", "", "", ""}},
		{tables.addActivity, []string{"x", "iamm", "user", "3001", "1", "", "", "", "", "", ""}},
		{tables.addActivity, []string{"x", "iam", " ", "3001", "1", "", "", "", "", "", ""}},
		{tables.addActivity, []string{"x", "iam", "user", "", "1", "", "", "", "", "", ""}},
		{tables.addActivity, []string{"x", "iam", "user", "3001", "", "", "", "", "", "", ""}},
		{tables.addActivity, []string{"x", "iam", "user", "3001", "1", "x", "", "", "", "", ""}},
		{tables.addSystem, []string{"beos", "", ""}},
		{tables.addOCSF, []string{"version", "2.0.0"}},
		{tables.addWord, []string{"known", "", "", "", "", "", ""}},
		{tables.addWord, []string{"known", "x", "", "one", "", "", ""}},
		{tables.addEnvelope, []string{"audits", "AuditLog", "", "activityDateTime", "correlationId", "", ""}},
		{tables.addLegacy, []string{"signin", "unheardOf", "createdDateTime"}},
		{tables.addElastic, []string{"audit", "targetResources", "", "maps 25"}},
		{tables.addElastic, []string{"audit", "targetResources", "", "map many"}},
		{tables.addMember, []string{"signin.colours", "red", ""}},
		{tables.addMember, []string{"signin", "id", "unheard of"}},
		{tables.addOperation, []string{"add", "iam", "user", "3001", "1", "", "", "", "", "", ""}},
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
		case a != nil && (a.ocsf18 != ocsfClass{c.class, c.id}):
			t.Errorf("%q: OCSF %d/%d, want %d/%d", c.name, a.ocsf18.class, a.ocsf18.activity, c.class, c.id)
		}
	}
}
