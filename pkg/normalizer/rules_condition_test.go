package normalizer_test

import (
	"encoding/json"
	"iter"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// The evaluator of rule conditions. It knows events as decoded JSON and nothing of how they are made, so that it can judge
// any writer. Conditions come from a small language of ours (rules_language_test.go) or from Sigma (rules_sigma_test.go).

// condition is a node of a rule's condition: a logical one with parts, or a test of the values at a path.
type condition struct {
	op    string      // and, or, not; any: an element at path meets parts[0]; else the test: ==, <, contains, exists, ..
	parts []condition // of and, or, not, any
	path  string      // as the rule writes it
	where []string    // the path's steps within an event; empty if no event can have it
	want  []operand   // a test holds if it holds for one of them
	fold  bool        // letter case does not matter
	loose bool        // numbers and texts that read alike are alike, as in Sigma
}

// operand is what a test compares with.
type operand struct {
	value   any            // string, json.Number, bool or nil
	pattern *regexp.Regexp // of like and matches
}

// steps splits a path: names and places by ".", "*" for any member of a map, and behind a name "[]" or "{}" for any element
// of a list or "[2]" for one. A part in backquotes is one name, whatever is in it.
func steps(path string) []string {
	var out []string
	for path != "" {
		if rest, quoted := strings.CutPrefix(path, "`"); quoted {
			name, after, _ := strings.Cut(rest, "`")
			out, path = append(out, name), strings.TrimPrefix(after, ".")
			continue
		}
		part, rest, _ := strings.Cut(path, ".")
		path = rest
		name, list, found := strings.Cut(strings.NewReplacer("{", "[", "}", "]").Replace(part), "[")
		if name != "" {
			out = append(out, name)
		}
		if found {
			out = append(out, "["+list)
		}
	}
	return out
}

// values yields what stands at a path. A list on the way, or at the end, stands for each of its elements: so do Elasticsearch
// and Panther read lists, and Splunk's {} and Kusto's [] say so. A map is never passed by but with its key or "*", and a list
// has no keys: where Elastic has maps, a list must not pass for one.
func values(at any, path []string) iter.Seq[any] {
	return func(yield func(any) bool) { walk(at, path, yield) }
}

func walk(at any, path []string, yield func(any) bool) bool {
	if list, ok := at.([]any); ok {
		return walkList(list, path, yield)
	}
	if len(path) == 0 {
		return yield(at)
	}
	members, ok := at.(map[string]any)
	if !ok {
		return true
	}
	if path[0] == "*" {
		for _, member := range members {
			if !walk(member, path[1:], yield) {
				return false
			}
		}
		return true
	}
	// "a.b" as one key and b within a are the same to Elasticsearch.
	for n := len(path); n > 0; n-- {
		if member, ok := members[strings.Join(path[:n], ".")]; ok && !walk(member, path[n:], yield) {
			return false
		}
	}
	return true
}

func walkList(list []any, path []string, yield func(any) bool) bool {
	switch {
	case len(path) == 0 || path[0] == "[]":
		path = path[min(1, len(path)):]
	case strings.HasPrefix(path[0], "["):
		i, err := strconv.Atoi(strings.Trim(path[0], "[]"))
		return err != nil || i < 0 || i >= len(list) || walk(list[i], path[1:], yield)
	case path[0] == "*":
		return true
	}
	for _, element := range list {
		if !walk(element, path, yield) {
			return false
		}
	}
	return true
}

// holds tells whether the event meets the condition. A test of what is not there does not hold.
func (c *condition) holds(event any) bool {
	switch c.op {
	case "and":
		for i := range c.parts {
			if !c.parts[i].holds(event) {
				return false
			}
		}
		return true
	case "or":
		for i := range c.parts {
			if c.parts[i].holds(event) {
				return true
			}
		}
		return false
	case "not":
		return !c.parts[0].holds(event)
	case "absent":
		test := condition{op: "exists", where: c.where}
		return !test.holds(event)
	}
	if len(c.where) == 0 {
		return false
	}
	for value := range values(event, c.where) {
		if c.op == "any" && c.parts[0].holds(value) || c.op != "any" && c.meets(value) {
			return true
		}
	}
	return false
}

// meets tells whether one value passes the test.
func (c *condition) meets(value any) bool {
	if c.op == "exists" {
		members, isMap := value.(map[string]any)
		return value != nil && (!isMap || len(members) > 0)
	}
	for i := range c.want {
		if c.passes(value, &c.want[i]) {
			return true
		}
	}
	return false
}

func (c *condition) passes(value any, want *operand) bool {
	switch c.op {
	case "==":
		return c.equal(value, want.value)
	case "<", "<=", ">", ">=":
		return c.ordered(value, want.value)
	}
	text, ok := c.text(value)
	if !ok {
		return false
	}
	if want.pattern != nil {
		return want.pattern.MatchString(text)
	}
	part, _ := c.text(want.value)
	if c.fold {
		text, part = strings.ToLower(text), strings.ToLower(part)
	}
	switch c.op {
	case "contains":
		return strings.Contains(text, part)
	case "startswith":
		return strings.HasPrefix(text, part)
	case "endswith":
		return strings.HasSuffix(text, part)
	}
	return false
}

func (c *condition) equal(value, want any) bool {
	if c.fold {
		a, ok := c.text(value)
		b, also := c.text(want)
		return ok && also && strings.EqualFold(a, b)
	}
	a, ok := number(value)
	b, also := number(want)
	if ok && also {
		return a == b
	}
	switch value.(type) {
	case string, bool:
		return value == want
	}
	return false
}

// ordered compares numbers with numbers, and texts (times above all) with texts.
func (c *condition) ordered(value, want any) bool {
	order := math.NaN()
	if text, ok := value.(string); ok && c.loose {
		value = json.Number(text)
	}
	if a, ok := number(value); ok {
		if b, ok := number(want); ok {
			order = a - b
		}
	} else if a, ok := value.(string); ok {
		if b, ok := want.(string); ok {
			order = float64(strings.Compare(a, b))
		}
	}
	switch c.op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func number(value any) (float64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

// text is the text of a string, and for a loose test also that of a number or a truth value.
func (c *condition) text(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), c.loose
	case bool:
		return strconv.FormatBool(v), c.loose
	}
	return "", false
}

// paths yields the paths that a condition reads, those within any with what they are within.
func (c *condition) paths() iter.Seq[string] {
	return func(yield func(string) bool) { c.eachPath(yield) }
}

func (c *condition) eachPath(yield func(string) bool) bool {
	if c.path != "" && c.op != "any" && !yield(c.path) {
		return false
	}
	for i := range c.parts {
		if !c.parts[i].eachPath(yield) {
			return false
		}
	}
	return true
}
