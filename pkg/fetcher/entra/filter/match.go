package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// check is made on a record that was read.
type check struct {
	paths []string
	value string
	how   op
	not   bool // the value must be there and be another one
}

// Match tells whether a record passes what the API could not be asked for. raw is its JSON object. Letter case does not count.
func (p Plan) Match(raw []byte) (bool, error) {
	if len(p.checks) == 0 {
		return true, nil
	}
	var record any
	decode := json.NewDecoder(bytes.NewReader(raw))
	decode.UseNumber()
	if err := decode.Decode(&record); err != nil {
		return false, fmt.Errorf("match record: %w", err)
	}
	for _, c := range p.checks {
		if !slices.ContainsFunc(c.paths, func(path string) bool { return c.matches(record, strings.Split(path, "/")) }) {
			return false, nil
		}
	}
	return true, nil
}

// matches follows a path. "any" stands for each element of a list, and a type that the path is cast to changes nothing here.
func (c check) matches(v any, path []string) bool {
	if len(path) == 0 {
		return c.compare(v)
	}
	switch v := v.(type) {
	case map[string]any:
		if strings.Contains(path[0], ".") {
			return c.matches(v, path[1:])
		}
		return c.matches(member(v, path[0]), path[1:])
	case []any:
		return path[0] == "any" && slices.ContainsFunc(v, func(v any) bool { return c.matches(v, path[1:]) })
	}
	return false
}

// member finds a member whatever its letter case: an object's kind is type in answers, and Type in the reference's example.
func member(object map[string]any, name string) any {
	if v, ok := object[name]; ok {
		return v
	}
	for key, v := range object {
		if strings.EqualFold(key, name) {
			return v
		}
	}
	return nil
}

func (c check) compare(v any) bool {
	if v == nil {
		return false
	}
	has, want := strings.ToLower(fmt.Sprint(v)), strings.ToLower(c.value)
	switch c.how {
	case prefix:
		return strings.HasPrefix(has, want)
	case contains:
		return strings.Contains(has, want)
	case suffix:
		return strings.HasSuffix(has, want)
	}
	return (has == want) != c.not
}
