package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestSearchesNameRealFields: the searches that documents show ask for fields that events have.
func TestSearchesNameRealFields(t *testing.T) {
	fields := map[string]string{}
	for lang, page := range map[string]string{"spl": "envelope", "kusto": "envelope", "esql": "ecs"} {
		fields[lang] = documentNamed(t, "docs/fields-"+page+".md").text
	}
	lists := regexp.MustCompile(`\| (?:table|KEEP|project|by) ([^|\n]+)|COUNT\(\*\) BY (\S+)|tostring\((\w+\.\w+)\)`)
	// Splunk's and Azure Monitor's own, and what the sink writes beside the event: pkg/sink/splunk/encode.go.
	others := " _time stream event_id TimeGenerated "
	n := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			for _, m := range lists.FindAllStringSubmatch(b.text, -1) {
				if fields[b.lang] == "" {
					continue
				}
				for _, name := range strings.FieldsFunc(m[1]+" "+m[2]+" "+m[3], func(r rune) bool { return r == ' ' || r == ',' }) {
					if name = strings.TrimSuffix(strings.TrimPrefix(name, "tostring("), ")"); strings.Contains(others, " "+name+" ") {
						continue
					}
					n++
					if !strings.Contains(fields[b.lang], "`"+name+"`") {
						t.Errorf("%s:%d: no event has the field %q", d.name, b.line, name)
					}
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("%d fields were looked at", n)
	}
}
