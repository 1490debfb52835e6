package normalizer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const evaluatorEvent = `{
	"text": "Global Administrator", "quoted": "\"x\"", "number": 50126, "digits": "50126", "yes": true, "nothing": null, "empty": "", "star": "a*b", "blank": {}, "none": [],
	"list": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}, {"names": ["p", "q"]}], "map": {"0": {"new": "n0"}, "1": {"new": "n1"}},
	"dotted.name": {"deep": 1}, "odd": {"Is CAE Token": "False"}, "time": "2026-03-04T05:06:07.1Z"}`

// lookupAny takes every path for one of the event.
func lookupAny(path string) ([]string, error) { return steps(path), nil }

func TestRuleConditions(t *testing.T) {
	event, err := decodeObject([]byte(evaluatorEvent))
	if err != nil {
		t.Fatal(err)
	}
	holds := []string{
		`text == "Global Administrator"`, `text =~ "global ADMINISTRATOR"`, `quoted == "\"x\""`, `number == 50126`, `number == 50126.0`, `digits == "50126"`,
		`yes == true`, `empty == ""`, `empty exists`, `number > 50125`, `number >= 50126`, `number < 50127`, `number <= 50126`,
		`time >= "2026-03-04T05:06:00Z" and time < "2026-03-04T05:07:00Z"`, `number in (1, 50126)`, `text in ("a", "Global Administrator")`,
		`text contains "Admin"`, `text icontains "ADMIN"`, `text startswith "Glob"`, `text endswith "rator"`, `text iendswith "RATOR"`,
		`text like "Global*"`, `text like "G?obal Admin*"`, `text ilike "global*"`, `text matches "^Global .*r$"`, `text imatches "^global"`,
		`list.key == "b"`, `list[].key == "b"`, `list{}.key == "b"`, `list.[].key == "b"`, `list[1].key == "b"`, `list.names == "q"`, `list[].names[] == "q"`, `list[2].names[0] == "p"`,
		`any list[] (key == "b" and value == "2")`, `any list (key == "a" and value == "1")`, `any map.* (new == "n1")`,
		`map.*.new == "n1"`, `map.0.new == "n0"`, `map exists`, `list exists`, `dotted.name.deep == 1`, "odd.`Is CAE Token` == \"False\"",
		`not text == "x"`, `not missing exists`, `not nothing exists`, `not blank exists`, `not none exists`,
		`text == "x" or number == 50126 and yes == true`, `(text == "x" or yes == true) and number == 50126`, `not text == "x" and yes == true`, `not (text == "x" and yes == true)`,
	}
	fails := []string{
		`text == "global administrator"`, `number == "50126"`, `digits == 50126`, `yes == "true"`, `digits > 1`, `number > "1"`, `missing == ""`, `nothing == ""`, `number contains "5"`,
		`missing contains "x"`, `missing < 1`, `map[].new == "n0"`, `map[0].new == "n0"`, `map.new == "n0"`, `list.*.key == "a"`, `list.* == "a"`, `number < 50126`, `number > 50126`, `number =~ "50126"`, `list.0.key == "a"`, `list[3].key exists`, `list == "a"`, `list.key.more exists`,
		`any list[] (key == "a" and value == "2")`, `any missing (key exists)`, `text like "Global"`, `text like "lobal*"`, `text contains "admin"`, `text matches "^global"`,
		`text exists and missing exists`, `not text exists or missing exists`, `text.length exists`,
	}
	for want, conditions := range map[bool][]string{true: holds, false: fails} {
		for _, text := range conditions {
			c, err := parseCondition(text, lookupAny)
			if err != nil {
				t.Errorf("%s: %v", text, err)
			} else if got := c.holds(any(event)); got != want {
				t.Errorf("%s: %v, want %v", text, got, want)
			}
		}
	}
}

func TestRuleConditionErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:                          "want a path",
		`text`:                      "unknown test",
		`text = "x"`:                "unknown test",
		`text != "x"`:               "unknown test",
		`text == x`:                 "want a text in quotes",
		`text == "x`:                "cannot read",
		`"q" == "q"`:                "want a path",
		`text == "x" text == "y"`:   "unexpected",
		`(text == "x"`:              `want ")"`,
		`text in "x"`:               "in ( )",
		`text in ("x" "y")`:         "want , or )",
		`text in ()`:                "want a text in quotes",
		`text contains 5`:           "wants a text",
		`text matches "("`:          "error parsing regexp",
		`any list key == "a"`:       `want "("`,
		`text == "x" and`:           "want a path",
		`not`:                       "want a path",
		`text == "\q"`:              "read",
		`text == "x" or (and)`:      "unknown test",
		`text == "x" and ) or text`: "want a path",
	} {
		if _, err := parseCondition(text, lookupAny); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

// sigmaDocument is a Sigma rule around a detection.
func sigmaDocument(detection string) string {
	return "title: t\nlogsource: {product: azure, service: signinlogs}\ndetection:\n  " + strings.ReplaceAll(strings.TrimSpace(detection), "\n", "\n  ") + "\n"
}

func loadText(tb testing.TB, text string) (*ruleLoader, string, error) {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "rule.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	l := &ruleLoader{names: &fieldNames{}}
	return l, file, l.file(file)
}

func TestRuleSigma(t *testing.T) {
	event, err := decodeObject([]byte(evaluatorEvent))
	if err != nil {
		t.Fatal(err)
	}
	for detection, want := range map[string]bool{
		"s: {text: global administrator}\ncondition: s":                         true,
		"s: {text|cased: global administrator}\ncondition: s":                   false,
		"s: {number: 50126, digits: 50126, yes: true}\ncondition: s":            true,
		"s: {text: 'Global*'}\ncondition: s":                                    true,
		"s: {text: 'Global\\*'}\ncondition: s":                                  false,
		"s: {star: 'a\\*b'}\ncondition: s":                                      true,
		"s: {text|contains: ADMIN}\ncondition: s":                               true,
		"s: {text|startswith: admin}\ncondition: s":                             false,
		"s: {text|endswith: rator}\ncondition: s":                               true,
		"s: {text|contains|all: [global, admin]}\ncondition: s":                 true,
		"s: {text|contains|all: [global, nobody]}\ncondition: s":                false,
		"s: {text|contains: [global, nobody]}\ncondition: s":                    true,
		"s: {text|re: '^Glob.*r$'}\ncondition: s":                               true,
		"s: {text|re: '^glob'}\ncondition: s":                                   false,
		"s: {text|re|i: '^glob'}\ncondition: s":                                 true,
		"s: {number|gte: 50126, digits|lt: 50127}\ncondition: s":                true,
		"s: {digits|gt: 50126}\ncondition: s":                                   false,
		"s: {text|exists: true, missing|exists: false}\ncondition: s":           true,
		"s: {missing: null, nothing: null}\ncondition: s":                       true,
		"s: {text: null}\ncondition: s":                                         false,
		"s: {list.key: b}\ncondition: s":                                        true,
		"s: {quoted: '\"x\"'}\ncondition: s":                                    true,
		"s: [{text: x}, {yes: true}]\ncondition: s":                             true,
		"s: {text: x, yes: true}\ncondition: s":                                 false,
		"a1: {yes: true}\na2: {text: x}\ncondition: 1 of a*":                    true,
		"a1: {yes: true}\na2: {text: x}\ncondition: all of a*":                  false,
		"a1: {yes: true}\nb: {text: x}\ncondition: all of a* and not b":         true,
		"a1: {yes: true}\n_b: {text: x}\ncondition: all of them":                true,
		"a1: {yes: true}\nb: {text: x}\ncondition: any of them":                 true,
		"a: {yes: true}\nb: {text: x}\nc: {text: y}\ncondition: a OR b AND c":   true,
		"a: {yes: true}\nb: {text: x}\nc: {text: y}\ncondition: (a or b) and c": false,
		"a: {yes: true}\nb: {text: x}\ncondition: [b, a]":                       true,
		"a: {yes: true}\nb: {text: x}\ncondition: [b, not a]":                   false,
		"a:\n  text|contains: |-\n    Admin\ncondition: a":                      true,
	} {
		l, _, err := loadText(t, sigmaDocument(detection))
		if err != nil || len(l.rules) != 1 {
			t.Errorf("%s: %v, %v", detection, err, l.unsupported)
		} else if got := l.rules[0].condition.holds(any(event)); got != want {
			t.Errorf("%s: %v, want %v", detection, got, want)
		}
	}
}

func TestRuleFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":             ":1: ",
		"a: b\n c: d: e\n": ":1: ",
		"title: t\nlogsource: {product: azure, service: signinlogs}\n":                             ":1: no detection",
		sigmaDocument("s: {text: x}"):                                                              ":4: no condition",
		sigmaDocument("s: {text: x}\ncondition: s and other"):                                      `:5: the condition names "other"`,
		sigmaDocument("s: {text: x}\ncondition: all of b*"):                                        ":5: all of b*: there is no such search",
		sigmaDocument("s:\n  text|gt: many\ncondition: s"):                                         ":5: text > wants a number",
		sigmaDocument("s:\n  text: [{a: b}]\ncondition: s"):                                        ":5: text: want a value",
		"schema: envelope\nrules:\n- id: a\n  kind: audit\n  condition: x = 1\n":                   `:5: unknown test "="`,
		"schema: envelope\nrules:\n- id: a\n  kind: risk\n  condition: x == 1\n":                   `:5: rule a: kind "risk"`,
		"schema: ecs\nrules: []\n":                                                                 `schema "ecs"`,
		"schema: envelope\nrules:\n- id: a\n  kind: audit\n  severity: 1\n  condition: x exists\n": ":5: unknown field",
	} {
		_, file, err := loadText(t, text)
		if err == nil || !strings.HasPrefix(err.Error(), file+":") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want the file and %q", text, err, want)
		}
	}
}

func TestRuleUnsupported(t *testing.T) {
	for text, want := range map[string]string{
		sigmaDocument("s: {text: x}\ntimeframe: 5m\ncondition: s"): ":5: unsupported: timeframe",
		sigmaDocument("s: {text: x}\ncondition: s | count() > 5"):  ":5: unsupported: aggregation",
		sigmaDocument("s:\n  ip|cidr: 192.0.2.0/24\ncondition: s"): `:5: unsupported: modifier "cidr" of ip`,
		sigmaDocument("s: [words]\ncondition: s"):                  ":4: unsupported: keywords",
		sigmaDocument("s:\n  text|re: '(?=x)'\ncondition: s"):      ":5: unsupported: regular expression of text",
		sigmaDocument("s: {text: x}\ncondition: 2 of them"):        `:5: unsupported: "2" of`,
		"title: t\nlogsource: {product: windows}\ndetection: {}\n": `:1: unsupported: product "windows"`,
		"title: t\ncorrelation: {type: event_count}\n":             ":1: unsupported: correlation",
	} {
		l, file, err := loadText(t, text)
		if err != nil || len(l.rules) != 0 || len(l.unsupported) != 1 {
			t.Errorf("%q: %v, %d rules, unsupported %v", text, err, len(l.rules), l.unsupported)
		} else if got := l.unsupported[0].Error(); !strings.HasPrefix(got, file+want) {
			t.Errorf("%q: %s, want the file and %q", text, got, want)
		}
	}
}

// TestRulePaths holds that a condition reads listed paths only, and none that no event of ours can have.
func TestRulePaths(t *testing.T) {
	names, err := readFieldNames()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"UserPrincipalName":     "",
		"DeviceDetail":          "",
		"userPrincipalName":     "not in the list",
		"OfficeLocation":        "not in the list",
		"InitiatedBy.user":      "not in the list", // of audits only
		"LocationDetails.state": "",
	} {
		_, err := names.ours("sentinel", kindSignIn, name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if _, err := names.ours("elastic", kindSignIn, "source.as.organization.name"); err == nil || !strings.Contains(err.Error(), "in no event") {
		t.Errorf("a path that no event has: %v", err)
	}
	seen := map[[3]string]bool{}
	for _, n := range names.all {
		key := [3]string{n.dialect, n.kind, n.name}
		if seen[key] || n.where == "-" && n.why == "" || !slices.Contains([]string{kindSignIn, kindAudit, "*"}, n.kind) {
			t.Errorf("%v: twice in the list, of an unknown kind, or nowhere without a reason", n)
		}
		seen[key] = true
	}
	used := map[[2]string]bool{}
	for _, r := range parityRules(t) {
		for path := range r.condition.paths() {
			used[[2]string{r.dialect, path}] = true
		}
	}
	t.Logf("%d of the %d listed paths stand in conditions", len(used), len(names.all))
}
