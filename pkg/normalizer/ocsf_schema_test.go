package normalizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ocsfSchema is what OCSF says of the classes and objects that events use, by class number or object name.
type ocsfSchema map[string]*ocsfObject

type ocsfObject struct {
	attributes  map[string]ocsfAttribute
	constraints []ocsfConstraint
}

type ocsfConstraint struct {
	just bool // exactly one of them
	of   []string
}

type ocsfAttribute struct {
	kind             string // a type that ends with _t, or an object
	list, required   bool
	profile, sibling string
	enum             map[string]string
}

func readOCSFSchema(tb testing.TB) ocsfSchema {
	tb.Helper()
	s := ocsfSchema{}
	attributes, enums, required, constraints := 0, 0, 0, 0
	for _, row := range readTestTable(tb, "testdata/ocsf_schema.csv", 8) {
		o := s[row[0]]
		if o == nil {
			o = &ocsfObject{attributes: map[string]ocsfAttribute{}}
			s[row[0]] = o
		}
		if name, ok := strings.CutPrefix(row[1], "@"); ok {
			o.constraints = append(o.constraints, ocsfConstraint{name == "just_one", strings.Fields(row[2])})
			constraints++
			continue
		}
		a := ocsfAttribute{kind: row[2], list: row[3] == "yes", required: row[4] == "required", profile: row[5], sibling: row[6]}
		if row[7] != "" {
			a.enum = map[string]string{}
			for _, one := range strings.Split(row[7], ";") {
				id, caption, _ := strings.Cut(one, "=")
				a.enum[id] = caption
			}
			enums++
		}
		if a.required {
			required++
		}
		o.attributes[row[1]] = a
		attributes++
	}
	if len(s) != 34 || attributes != 879 || enums != 97 || required != 89 || constraints != 17 {
		tb.Fatalf("testdata is another OCSF: %d classes and objects, %d attributes, %d enumerations, %d required, %d constraints", len(s), attributes, enums, required, constraints)
	}
	return s
}

// ocsfCheck holds one event against the schema.
type ocsfCheck struct {
	schema   ocsfSchema
	version  string
	profiles []any
	faults   []string
}

func (c *ocsfCheck) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// check gives what is wrong with an event of a version.
func (s ocsfSchema) check(event map[string]any, version string) []string {
	c := &ocsfCheck{schema: s, version: version}
	metadata, _ := event["metadata"].(map[string]any)
	c.profiles, _ = metadata["profiles"].([]any)
	if metadata["version"] != version {
		c.fault("metadata.version is %v", metadata["version"])
	}
	for _, p := range c.profiles {
		if !slices.Contains([]any{"cloud", "security_control", "host"}, p) {
			c.fault("profile %v", p)
		}
	}
	class, ok := event["class_uid"].(float64)
	of := strconv.FormatFloat(class, 'f', -1, 64)
	if !ok || s[of] == nil {
		c.fault("class_uid is %v", event["class_uid"])
		return c.faults
	}
	if newer := class == 3007 || class == 3008; newer && version == "1.8.0" || (class == 3001 || class == 3005) && version == "1.9.0" {
		c.fault("class %s is not one of %s", of, version)
	}
	c.object("", of, event)
	activity, _ := event["activity_id"].(float64)
	if typ, _ := event["type_uid"].(float64); typ != class*100+activity {
		c.fault("type_uid is %v of class %v and activity %v", event["type_uid"], class, activity)
	}
	if category, _ := event["category_uid"].(float64); category != math.Trunc(class/1000) {
		c.fault("category_uid is %v", category)
	}
	if activity == 99 && event["activity_name"] == nil {
		c.fault("activity 99 without activity_name")
	}
	return c.faults
}

func (c *ocsfCheck) object(path, of string, m map[string]any) {
	o := c.schema[of]
	if o == nil {
		c.fault("%s: object %s is not in the test data", path, of)
		return
	}
	if len(m) == 0 {
		c.fault("%s is empty", path)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		a, ok := o.attributes[name]
		switch {
		case !ok:
			c.fault("%s%s is no attribute of %s", path, name, of)
		case a.profile != "" && !slices.Contains(c.profiles, any(a.profile)):
			c.fault("%s%s is of profile %s, which metadata.profiles does not name", path, name, a.profile)
		default:
			c.attribute(path+name, a, m[name])
			c.sibling(path, a, m, name)
		}
	}
	for name, a := range o.attributes {
		if a.required && m[name] == nil && (a.profile == "" || slices.Contains(c.profiles, any(a.profile))) {
			c.fault("%s%s is required", path, name)
		}
	}
	for _, k := range o.constraints {
		n := 0
		for _, name := range k.of {
			if m[name] != nil {
				n++
			}
		}
		if n == 0 || k.just && n > 1 {
			c.fault("%s: %d of %v", path, n, k.of)
		}
	}
}

func (c *ocsfCheck) attribute(path string, a ocsfAttribute, v any) {
	list, isList := v.([]any)
	if isList != a.list {
		c.fault("%s: list: %v, want %v", path, isList, a.list)
		return
	}
	if !isList {
		list = []any{v}
	} else if len(list) == 0 {
		c.fault("%s is empty", path)
	}
	for _, v := range list {
		m, isObject := v.(map[string]any)
		switch {
		case a.kind == "object": // free form
			if !isObject {
				c.fault("%s = %v: want an object", path, v)
			}
		case strings.HasSuffix(a.kind, "_t"):
			if !ocsfFits(a.kind, v) {
				c.fault("%s = %v: not of type %s", path, v, a.kind)
			}
			if text, ok := v.(string); ok && !says([]byte(text)) && !(path == "type" || strings.HasSuffix(path, ".type")) && !slices.Contains([]string{"status", "activity_name", "severity"}, path) {
				c.fault("%s = %q says nothing", path, text)
			}
		case !isObject:
			c.fault("%s = %v: want an object", path, v)
		default:
			c.object(path+".", a.kind, m)
		}
		if a.enum != nil && a.enum[fmt.Sprint(v)] == "" && !c.newer(path, v) {
			c.fault("%s = %v: not in the enumeration", path, v)
		}
	}
}

// newer allows what 1.9 has added to a class that the test data has in its release.
func (c *ocsfCheck) newer(path string, v any) bool {
	return c.version == "1.9.0" && (path == "activity_id" && v == 9.0 || path == "type_uid" && v == 300609.0)
}

// sibling checks the text beside a number: its caption, but for 99, which says what it is.
func (c *ocsfCheck) sibling(path string, a ocsfAttribute, m map[string]any, name string) {
	if a.sibling == "" || a.enum == nil {
		return
	}
	text, ok := m[a.sibling].(string)
	id := fmt.Sprint(m[name])
	switch {
	case !ok || text == "":
		c.fault("%s%s without %s", path, name, a.sibling)
	case id != "99" && text != a.enum[id] && !c.newer(name, m[name]):
		c.fault("%s%s is %q, want %q", path, a.sibling, text, a.enum[id])
	}
}

var ocsfMail = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\\.[a-zA-Z0-9-.]+$") // as the schema has it

func ocsfFits(kind string, v any) bool {
	s, isString := v.(string)
	n, isNumber := v.(float64)
	whole := isNumber && n == math.Trunc(n) && math.Abs(n) < 1<<53
	switch kind {
	case "string_t", "username_t", "hostname_t", "resource_uid_t", "url_t":
		return isString && s != ""
	case "integer_t":
		return whole && math.Abs(n) <= math.MaxUint32
	case "long_t":
		return whole
	case "timestamp_t": // milliseconds: seconds would be of 1970, microseconds of a far future
		return whole && n >= 0 && (n == 0 || n > 1e11) && n < 1e14
	case "port_t":
		return whole && n >= 0 && n <= 65535
	case "float_t":
		return isNumber
	case "boolean_t":
		_, ok := v.(bool)
		return ok
	case "ip_t":
		_, err := netip.ParseAddr(s)
		return err == nil && len(s) <= 40
	case "email_t":
		return ocsfMail.MatchString(s)
	}
	return false // no other is in use
}

func checkOCSF(t *testing.T, s ocsfSchema, body []byte, version string) {
	t.Helper()
	var event map[string]any
	if err := json.Unmarshal(body, &event); err != nil {
		t.Errorf("%v: %s", err, body)
		return
	}
	for _, fault := range s.check(event, version) {
		t.Error(fault)
	}
}
