package normalizer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// evaluator understands as much of Splunk's eval expressions as the app uses. A value is nil (null), a bool, or a []string, which a field with
// several values is.
type evaluator struct {
	t      *testing.T
	rest   string
	fields map[string][]string
}

func (e *evaluator) space() { e.rest = strings.TrimLeft(e.rest, " ") }

// take consumes a token if it comes next.
func (e *evaluator) take(token string) bool {
	e.space()
	if !strings.HasPrefix(e.rest, token) {
		return false
	}
	e.rest = e.rest[len(token):]
	return true
}

func (e *evaluator) or() any {
	v := e.and()
	for e.take("OR ") {
		right := e.and()
		v = truthy(v) || truthy(right)
	}
	return v
}

func (e *evaluator) and() any {
	v := e.join()
	for e.take("AND ") {
		right := e.join()
		v = truthy(v) && truthy(right)
	}
	return v
}

// join is the dot, which joins texts.
func (e *evaluator) join() any {
	v := e.operand()
	for e.take(". ") {
		right := e.operand()
		if v == nil || right == nil {
			v = nil
			continue
		}
		v = []string{one(v) + one(right)}
	}
	return v
}

func truthy(v any) bool { b, _ := v.(bool); return b }

func one(v any) string {
	if list, ok := v.([]string); ok && len(list) > 0 {
		return list[0]
	}
	return ""
}

var evalName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
var evalNumber = regexp.MustCompile(`^[0-9]+`)

func (e *evaluator) operand() any {
	switch {
	case e.take("("):
		v := e.or()
		e.must(")")
		return v
	case e.take(`"`):
		return []string{e.quoted()}
	case e.take("'"):
		name, rest, ok := strings.Cut(e.rest, "'")
		if !ok {
			e.t.Fatalf("no end of %q", e.rest)
		}
		e.rest = rest
		return e.field(name)
	}
	e.space()
	if n := evalNumber.FindString(e.rest); n != "" {
		e.rest = e.rest[len(n):]
		return []string{n}
	}
	name := evalName.FindString(e.rest)
	if name == "" {
		e.t.Fatalf("unexpected %.60q", e.rest)
	}
	e.rest = e.rest[len(name):]
	if !strings.HasPrefix(e.rest, "(") {
		return e.field(name)
	}
	e.must("(")
	var args []any
	for !e.take(")") {
		args = append(args, e.or())
		if !e.take(",") {
			e.must(")")
			break
		}
	}
	return e.call(name, args)
}

func (e *evaluator) must(token string) {
	if !e.take(token) {
		e.t.Fatalf("want %q before %.60q", token, e.rest)
	}
}

// quoted reads the rest of a string: \" and \\ are escapes, other backslashes are meant.
func (e *evaluator) quoted() string {
	var s strings.Builder
	for i := 0; i < len(e.rest); i++ {
		switch c := e.rest[i]; {
		case c == '"':
			e.rest = e.rest[i+1:]
			return s.String()
		case c == '\\' && (e.rest[i+1] == '"' || e.rest[i+1] == '\\'):
			i++
			s.WriteByte(e.rest[i])
		default:
			s.WriteByte(c)
		}
	}
	e.t.Fatalf("no end of %q", e.rest)
	return ""
}

func (e *evaluator) field(name string) any {
	if v := e.fields[name]; v != nil {
		return v
	}
	return nil
}

func (e *evaluator) call(name string, args []any) any {
	null := len(args) > 0 && args[0] == nil
	switch name {
	case "case":
		for i := 0; i+1 < len(args); i += 2 {
			if truthy(args[i]) {
				return args[i+1]
			}
		}
		return nil
	case "if":
		if truthy(args[0]) {
			return args[1]
		}
		return args[2]
	case "coalesce":
		for _, v := range args {
			if v != nil {
				return v
			}
		}
		return nil
	case "isnull":
		return null
	case "isnotnull":
		return !null
	case "true":
		return true
	case "null":
		return nil
	}
	if null {
		return nil
	}
	return e.callText(name, args)
}

// callText calls functions that give null for null.
func (e *evaluator) callText(name string, args []any) any {
	list, _ := args[0].([]string)
	switch name {
	case "match":
		return regexp.MustCompile(one(args[1])).MatchString(list[0])
	case "nullif":
		if list[0] == one(args[1]) {
			return nil
		}
		return args[0]
	case "lower":
		return []string{strings.ToLower(list[0])}
	case "trim":
		return []string{strings.Trim(list[0], one(args[1]))}
	case "replace":
		return []string{regexp.MustCompile(one(args[1])).ReplaceAllLiteralString(list[0], one(args[2]))}
	case "mvjoin":
		return []string{strings.Join(list, one(args[1]))}
	case "mvdedup":
		var once []string
		for _, s := range list {
			if !slices.Contains(once, s) {
				once = append(once, s)
			}
		}
		return once
	case "mvfind":
		if i := slices.IndexFunc(list, regexp.MustCompile(one(args[1])).MatchString); i >= 0 {
			return []string{strconv.Itoa(i)}
		}
		return nil
	case "mvindex":
		i, err := strconv.Atoi(one(args[1]))
		if err != nil || i >= len(list) {
			return nil
		}
		return list[i : i+1]
	}
	e.t.Fatalf("unknown function %s", name)
	return nil
}
