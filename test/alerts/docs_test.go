package alerts

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryAlertIsDocumented: docs/alerts.md has a section for each alert, in their order and with their severity, and no other.
func TestEveryAlertIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	var sections []string
	for _, s := range strings.Split("\n"+string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(s, "\n")
		sections = append(sections, name)
		told[name] = body
	}
	for _, r := range rulesFile().all {
		body, ok := told[r.Alert]
		if !ok {
			t.Errorf("%s has no section", r.Alert)
			continue
		}
		if !strings.HasPrefix(strings.TrimSpace(body), "*"+r.Labels["severity"]) {
			t.Errorf("the section of %s does not begin with its severity, %s", r.Alert, r.Labels["severity"])
		}
		for _, want := range []string{"\n* Look: ", "\n* Do: "} {
			if !strings.Contains(body, want) {
				t.Errorf("the section of %s has no %q", r.Alert, want)
			}
		}
	}
	for _, name := range sections {
		if rulesFile().find(name) == nil {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// unitOf is what the name of a metric says about its unit, "" if nothing.
func unitOf(name string) string {
	name = strings.TrimSuffix(name, "_total")
	for _, u := range [][2]string{{"_timestamp_seconds", "Unix time"}, {"_requests_per_second", "requests/second"}, {"_records_per_second", "records/second"}, {"_seconds", "seconds"}, {"_bytes", "bytes"},
		{"_records", "records"}, {"_requests", "requests"}, {"_info", "1"}} {
		if strings.HasSuffix(name, u[0]) {
			return u[1]
		}
	}
	return ""
}

// documented reads the table of docs/metrics.md: each metric with its type and labels.
func documented(t *testing.T) (rows []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(logferry_\\w+)` \\| (\\w+) \\| ([^|]+) \\|([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		labels := strings.FieldsFunc(m[4], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(labels)
		rows = append(rows, fmt.Sprint(m[1], " ", m[2], " ", labels))
		if unit := unitOf(m[1]); m[3] != cmp.Or(unit, m[3]) {
			t.Errorf("the unit of %s is %s, docs/metrics.md says %s", m[1], unit, m[3])
		}
	}
	return rows
}
