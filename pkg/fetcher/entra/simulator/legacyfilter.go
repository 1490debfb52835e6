package simulator

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const legacySpace = "Microsoft.ActiveDirectory.DataService.PublicApi.Model.Reporting."

// The casts that lead to a user's principal name, of the actor and of a target.
const (
	castActor  = legacySpace + "AuditLog.ActorUserEntity"
	castTarget = legacySpace + "AuditLog.TargetResourceUserEntity"
)

// legacyForm is how a value is written in a filter.
type legacyForm uint8

const (
	formText   legacyForm = iota
	formLogin             // '0' or '1'
	formStatus            // 0 or -1, unquoted
	formTime              // 2016-07-01T17:05:21Z
	formDay               // the same, or 2017-01-09
)

// legacyField is a field that the older API filters on. A property that Microsoft Graph has not, or has with another value, is named "old ..". The values of
// several targets are one text with zero bytes between them.
type legacyField struct {
	form     legacyForm
	property string   // of a subject
	ops      []string // eq, contains, ..
	fold     bool     // letter case does not count in values
}

var (
	legacyTimes  = []string{"eq", "ge", "le", "gt", "lt"}
	legacyEqual  = []string{"eq"}
	legacyPrefix = []string{"eq", "startsWith"}
	legacySearch = []string{"eq", "contains", "startsWith"}
)

// legacyFields are the tables of the sign-in reference and the audit reference. Those of a target stand behind "targets/".
var legacyFields = map[*collection]map[string]legacyField{
	signinEvents: {
		"signinDateTime":    {formTime, "", legacyTimes, false},
		"userId":            {formText, "userId", legacyEqual, true},
		"userPrincipalName": {formText, "userPrincipalName", legacyEqual, true},
		"appId":             {formText, "appId", legacyEqual, true},
		"appDisplayName":    {formText, "appDisplayName", legacyEqual, true},
		"loginStatus":       {formLogin, "old loginStatus", legacyEqual, false},
	},
	auditEvents: {
		"activityDate":   {formDay, "", legacyTimes, false},
		"category":       {formText, "old category", legacyEqual, false},
		"activityStatus": {formStatus, "old activityStatus", legacyEqual, false},
		"activityType":   {formText, "old activityType", legacyEqual, false},
		"activity":       {formText, "old activity", legacySearch, false},
		"actor/name":     {formText, "old actor name", legacySearch, true},
		"actor/objectId": {formText, "old actor id", legacyEqual, true},
		"actor/" + castActor + "/userPrincipalName": {formText, "old actor upn", legacyPrefix, true},
		"targets/name":     {formText, "old target name", legacySearch, true},
		"targets/objectId": {formText, "old target id", legacyEqual, true},
		"targets/" + castTarget + "/userPrincipalName": {formText, "old target upn", legacyPrefix, true},
	},
}

// legacyFunctions are the spellings of functions that the references use.
var legacyFunctions = map[string]string{"startsWith": "startsWith", "startswith": "startsWith", "contains": "contains"}

// parseLegacyFilter reads a $filter of the older API: its fields, operators and forms of values, joined by and, or and parentheses.
func parseLegacyFilter(text string, of *collection) (*node, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, of: of}
	p.leaf = p.legacyLeaf
	n, err := p.or()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("Syntax error at '%s'.", p.tokens[0])
	}
	return n, err
}

// legacyLeaf reads one test, or targets/any(t: test).
func (p *parser) legacyLeaf(word string) (*node, error) {
	if word != "targets/any" || p.of != auditEvents {
		return p.legacyTest(word, "")
	}
	if err := p.want("("); err != nil {
		return nil, err
	}
	// The colon may stand alone or with its neighbours: see any.
	variable, first, ok := strings.Cut(p.next(), ":")
	if !ok {
		first, ok = strings.CutPrefix(p.next(), ":")
	}
	if !ok || variable == "" {
		return nil, fmt.Errorf("Syntax error: range variable expected in '%s'.", word)
	}
	if first == "" {
		first = p.next()
	}
	n, err := p.legacyTest(first, variable)
	if err != nil {
		return nil, err
	}
	return n, p.want(")")
}

// legacyTest reads a field, an operator and a value, or a function of a field and a value. Within any, fields begin with the variable.
func (p *parser) legacyTest(word, variable string) (*node, error) {
	op, isCall := legacyFunctions[word]
	if !isCall {
		op = p.next()
		return p.legacyNode(word, variable, op, p.next())
	}
	if err := p.want("("); err != nil {
		return nil, err
	}
	name := p.next()
	if err := p.want(","); err != nil {
		return nil, err
	}
	n, err := p.legacyNode(name, variable, op, p.next())
	if err != nil {
		return nil, err
	}
	return n, p.want(")")
}

func (p *parser) legacyNode(name, variable, op, value string) (*node, error) {
	key, ofTarget := name, false
	if variable != "" {
		if key, ofTarget = strings.CutPrefix(name, variable+"/"); ofTarget {
			key = "targets/" + key
		}
	}
	f, ok := legacyFields[p.of][key]
	if !ok || ofTarget != strings.HasPrefix(key, "targets/") || ofTarget != (variable != "") {
		return nil, p.unknown(name)
	}
	if !slices.Contains(f.ops, op) {
		return nil, fmt.Errorf("operator '%s' is not supported on '%s'.", op, name)
	}
	if f.form == formTime || f.form == formDay {
		at, err := parseLegacyTime(value, f.form == formDay)
		return &node{op: comparisons[op], property: name, isTime: true, time: at}, err
	}
	text, err := f.text(value)
	return &node{op: opEq, property: f.property, test: f.matcher(op, text)}, err
}

// text reads a value in the field's form.
func (f legacyField) text(value string) (string, error) {
	if f.form == formStatus {
		if value != "0" && value != "-1" {
			return "", fmt.Errorf("A value of 0 or -1 without quotes was expected, found %s.", value)
		}
		return value, nil
	}
	if len(value) < 2 || value[0] != '\'' {
		return "", fmt.Errorf("A string literal was expected, found '%s'.", value)
	}
	text := strings.ReplaceAll(value[1:len(value)-1], "''", "'")
	if f.form == formLogin && text != "0" && text != "1" {
		return "", fmt.Errorf("'0' or '1' was expected, found %s.", value)
	}
	return text, nil
}

// matcher makes the test of a field's values.
func (f legacyField) matcher(op, want string) func(string) bool {
	if f.fold {
		want = strings.ToLower(want)
	}
	compare := map[string]func(have, want string) bool{
		"eq": func(have, want string) bool { return have == want }, "contains": strings.Contains, "startsWith": strings.HasPrefix}[op]
	return func(values string) bool {
		if f.fold {
			values = strings.ToLower(values)
		}
		return slices.ContainsFunc(strings.Split(values, "\x00"), func(have string) bool { return compare(have, want) })
	}
}

// parseLegacyTime reads a time in UTC, unquoted; where dates may stand alone, one is its midnight.
func parseLegacyTime(text string, dates bool) (ticks, error) {
	layouts := []string{"2006-01-02T15:04:05Z"} // a fraction of the second may follow it
	if dates {
		layouts = append(layouts, time.DateOnly)
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return toTicks(t), nil
		}
	}
	return 0, fmt.Errorf("A time in UTC such as 2016-07-01T17:05:21Z was expected, found %s.", text)
}
