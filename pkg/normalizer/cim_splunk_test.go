package normalizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/jsonscan"
)

const splunkApp = "../../deploy/splunk/TA-logferry"

// stanza is a section of a .conf file.
type stanza struct {
	keys   []string
	values map[string]string
}

// readConf reads a .conf file: [stanza], key = value, # remarks, and a backslash before a line's end that goes on in the next line. Nothing
// may stand twice.
func readConf(t *testing.T, file string) map[string]*stanza {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(splunkApp, file))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*stanza{}
	var in *stanza
	for line := range strings.SplitSeq(strings.ReplaceAll(string(data), "\\\n", ""), "\n") {
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			if all[line] != nil {
				t.Errorf("%s: %s stands twice", file, line)
			}
			in = &stanza{values: map[string]string{}}
			all[line[1:len(line)-1]] = in
		case !ok || in == nil || value == "" || in.values[key] != "":
			t.Errorf("%s: line %q", file, line)
		default:
			in.keys = append(in.keys, key)
			in.values[key] = value
		}
	}
	return all
}

// TestSplunkApp: what the files refer to exists, and the time stands where they say.
func TestSplunkApp(t *testing.T) {
	props, types := readConf(t, "default/props.conf"), readConf(t, "default/eventtypes.conf")
	if app := readConf(t, "default/app.conf"); app["package"].values["id"] != filepath.Base(splunkApp) || app["launcher"].values["version"] == "" {
		t.Errorf("app.conf: %v", app)
	}
	if meta := readConf(t, "metadata/default.meta"); meta[""].values["export"] != "system" {
		t.Error("the app's fields are not seen outside of it")
	}
	tags := map[string]string{}
	for name, s := range readConf(t, "default/tags.conf") {
		eventtype, ok := strings.CutPrefix(name, "eventtype=")
		if !ok || types[eventtype] == nil {
			t.Errorf("tags.conf: there is no %s", name)
		}
		for tag, enabled := range s.values {
			if enabled != "enabled" {
				t.Errorf("tag %s is %s", tag, enabled)
			}
			tags[tag] = eventtype
		}
	}
	if tags["authentication"] != "logferry_entra_signin" || tags["change"] != "logferry_entra_change" || tags["account"] != "logferry_entra_change_account" ||
		tags["multifactor"] != "logferry_entra_signin_multifactor" {
		t.Errorf("tags: %v", tags)
	}
	for name, s := range types {
		for _, m := range regexp.MustCompile(`sourcetype="([^"]+)"`).FindAllStringSubmatch(s.values["search"], -1) {
			if props[m[1]] == nil {
				t.Errorf("event type %s: no source type %s", name, m[1])
			}
		}
		if tags["account"] == name && !strings.Contains(s.values["search"], "object_category=user") {
			t.Error("tag account without object_category=user")
		}
	}
	checkSplunkTime(t, props)
}

// checkSplunkTime: TIME_PREFIX leads to the time of every event of schema cim and ecs, within what is looked at.
func checkSplunkTime(t *testing.T, props map[string]*stanza) {
	t.Helper()
	n, ecs := newNormalizer(t)
	for name, rec := range testRecords(t) {
		kind := map[string]string{"signins": "signin", "audits": "audit"}[rec.Key.Family()]
		if kind == "" {
			kind = rec.Key.Family()
		}
		s := props["entra:"+kind]
		if s == nil || s.values["KV_MODE"] != "json" || s.values["TRUNCATE"] != "0" || s.values["SHOULD_LINEMERGE"] != "false" || s.values["LINE_BREAKER"] != `([\r\n]+)` || s.values["TZ"] != "UTC" {
			t.Fatalf("source type entra:%s: %v", kind, s)
		}
		cim := cimAlone
		cim.Options = ""
		for _, schema := range []string{"cim", "ecs"} {
			of := ecs
			if schema == "cim" {
				of = cim
			}
			out, err := n.Normalize(nil, rec, of)
			if err != nil {
				t.Fatal(err)
			}
			at := regexp.MustCompile(s.values["TIME_PREFIX"]).FindIndex(out)
			if at == nil || s.values["MAX_TIMESTAMP_LOOKAHEAD"] != "30" {
				t.Fatalf("%s: TIME_PREFIX does not fit %.100s", name, out)
			}
			text, _, _ := strings.Cut(string(out[at[1]:at[1]+31]), `"`)
			if got, err := time.Parse(time.RFC3339Nano, text); err != nil || got.Unix() != rec.Time.Unix() && !strings.Contains(string(rec.Raw), text) {
				t.Errorf("%s: %q is not the time: %v", name, text, err)
			}
		}
	}
}

// TestSplunkAudits: from audits as Microsoft sends them the app makes what schema cim has, apart from what it cannot know.
func TestSplunkAudits(t *testing.T) {
	props := readConf(t, "default/props.conf")["azure:aad:audit"]
	n, _ := newNormalizer(t)
	compared := map[string]int{}
	for name, rec := range testRecords(t) {
		if rec.Key.Family() != "audits" || strings.Contains(name, "legacy") || strings.Contains(name, "capital") || strings.Contains(name, "wrong-types") || strings.Contains(name, "zero-ids") {
			continue // other names, none, or words for nothing that the app does not look for
		}
		got, want := searchTime(t, props, rec.Raw), flatEvent(t, n, rec, cimAlone)
		for _, field := range []string{"action", "change_type", "command", "dest", "dvc", "object", "object_attrs", "object_category", "object_id", "signature", "src", "src_ip", "src_user", "src_user_type", "status", "user",
			"user_agent", "vendor_product"} {
			switch {
			case field == "dvc" && want["dvc"] == nil, field == "object_attrs" && want["role"] != nil, strings.Contains(name, "role-to-service") && field == "user":
				continue // a role is not told from other properties there
			case field == "src" || field == "src_ip": // as written
				if (got[field] == "") != (want[field] == nil) {
					t.Errorf("%s: %s = %q, want %v", name, field, got[field], want[field])
				}
				continue
			case want[field] == nil:
				want[field] = ""
			}
			if compared[field]++; got[field] != want[field] {
				t.Errorf("%s: %s = %q, schema cim has %q", name, field, got[field], want[field])
			}
		}
	}
	for field, n := range compared {
		if n < 8 {
			t.Errorf("%s was compared %d times", field, n)
		}
	}
}

// TestSplunkActivities: action and change_type are those of the table, for each of its activities and operations.
func TestSplunkActivities(t *testing.T) {
	props := readConf(t, "default/props.conf")["azure:aad:audit"]
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, operation string, a *activity) {
		raw := fmt.Sprintf(`{"activityDisplayName":%q,"operationType":%q,"targetResources":[]}`, name, operation)
		kind := "AAA"
		if a.configuration {
			kind = "configuration"
		}
		if got := searchTime(t, props, []byte(raw)); got["action"] != a.cimAction || got["change_type"] != kind {
			t.Errorf("%s: action %q, change_type %q, want %q, %q", name, got["action"], got["change_type"], a.cimAction, kind)
		}
	}
	for name, a := range tables.activities {
		check(name, "", a)
	}
	for _, p := range tables.patterns {
		name := p.part
		if strings.HasPrefix(name, "in pim") {
			name = "add member to role " + name
		}
		check(name, "", p.activity)
	}
	for operation, a := range tables.operations {
		check("Unheard of", operation, a)
	}
}

func TestSplunkSignIns(t *testing.T) {
	props := readConf(t, "default/props.conf")["azure:aad:signin"]
	if len(props.keys) != 1 {
		t.Errorf("%v: more than the app may touch", props.keys)
	}
	for raw, want := range map[string]string{`{"userAgent":"Mozilla"}`: "Mozilla", `{"userAgent":null}`: "", `{"userAgent":""}`: "", `{}`: ""} {
		if got := searchTime(t, props, []byte(raw))["user_agent"]; got != want {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

// searchTime gives the fields that Splunk has for an event when it is searched: those of the JSON, then aliases, then calculated fields, none
// of which sees another.
func searchTime(t *testing.T, s *stanza, raw []byte) map[string]string {
	t.Helper()
	fields := map[string][]string{"host": {testTenant}}
	for _, l := range leaves(nil, "", &jsonscan.Reader{Buf: raw}) {
		name := withoutIndex.ReplaceAllString(l.path, "{}")
		value := strings.TrimSpace(string(raw[l.at.start:l.at.end]))
		var text string
		switch {
		case json.Unmarshal([]byte(value), &text) == nil && value != "null":
			value = text
		case value == "[]" || value == "{}":
			continue
		}
		fields[name] = append(fields[name], value) // null is the text null
	}
	for _, key := range s.keys {
		if !strings.HasPrefix(key, "FIELDALIAS-") {
			continue
		}
		words := strings.Fields(s.values[key])
		for ; len(words) >= 3; words = words[3:] {
			if words[1] != "ASNEW" {
				t.Fatalf("%s: %v", key, words)
			}
			if fields[words[2]] == nil && fields[words[0]] != nil {
				fields[words[2]] = fields[words[0]]
			}
		}
	}
	made := map[string]string{}
	for _, key := range s.keys {
		if name, ok := strings.CutPrefix(key, "EVAL-"); ok {
			e := evaluator{t: t, rest: s.values[key], fields: fields}
			v := e.or()
			if e.space(); e.rest != "" {
				t.Fatalf("%s: left over %q", key, e.rest)
			}
			if list, _ := v.([]string); len(list) > 0 {
				made[name] = list[0]
			}
		} else if !slices.Contains([]string{"KV_MODE", "FIELDALIAS-logferry_change"}, key) {
			t.Errorf("unknown setting %s", key)
		}
	}
	for _, name := range []string{"command", "signature"} {
		if v := fields[name]; v != nil && v[0] != "null" {
			made[name] = strings.TrimSpace(v[0])
		}
	}
	return made
}
