package normalizer_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// TestRuleParityOutside evaluates rule files from outside over our events and prints which fired:
//
//	go test ./pkg/normalizer -run RuleParity -v -rules DIR [-records DIR]
//
// Without -rules it does so with the examples of testdata/rules/outside, whose outcome is known.
func TestRuleParityOutside(t *testing.T) {
	names, err := readFieldNames()
	if err != nil {
		t.Fatal(err)
	}
	dir := *rulesDir
	if dir == "" {
		dir = "testdata/rules/outside"
	}
	l := ruleLoader{names: names}
	if err := l.dir(dir); err != nil {
		t.Errorf("these are not evaluated:\n%v", err)
	}
	records := parityRecords(t)
	if *recordsDir != "" {
		if records, err = outsideRecords(*recordsDir); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	fires := report(&b, &l, newRenderer(t).events(t, records))
	if *rulesDir != "" || *recordsDir != "" {
		fmt.Print(b.String())
		return
	}
	t.Log("\n" + b.String())
	want := map[string][]string{
		"5a2f3c1e-0000-4000-8000-000000000001":        {"signins.interactive-legacy-imap"},
		"A device code, with a field that nobody has": {"signins.interactive-device-code"},
		"5a2f3c1e-0000-4000-8000-000000000002":        {"audits-app-role-granted", "audits-secret-added"},
		"own-visitor":                                 {"signins.interactive-guest"},
		"own-declined":                                {"signins.interactive-mfa-denied"},
	}
	for id, records := range want {
		if !slices.Equal(fires[id], records) {
			t.Errorf("%s fires on %v, want %v", id, fires[id], records)
		}
	}
	for _, text := range []string{
		"silent  own-never", "own.yaml:12: AlsoNowhere", "sigma_sign_in.yml:22: NoSuchField", "sigma_audit.yml:20: unsupported: aggregation",
		"sigma_audit.yml:25: unsupported: keywords", `unsupported: product "azure", service "riskdetection"`,
	} {
		if !strings.Contains(b.String(), text) {
			t.Errorf("the report does not say %q", text)
		}
	}
}

// report writes which rules fired, which rules are not evaluated because of what, and which fields no event has. It gives the
// records by the rule's id.
func report(out io.Writer, l *ruleLoader, events []parityEvent) map[string][]string {
	fires := map[string][]string{}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range l.rules {
		r := &l.rules[i]
		word := "silent"
		if fires[r.id] = fired(r, events); len(fires[r.id]) > 0 {
			word = "FIRED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s:%d\t%s\t%s\n", word, r.id, r.file, r.line, r.title, strings.Join(fires[r.id], " "))
	}
	w.Flush()
	for _, err := range l.unsupported {
		fmt.Fprintf(out, "not evaluated: %v\n", err)
	}
	for i := range l.rules {
		r := &l.rules[i]
		for _, path := range absent(&r.condition, r, events) {
			fmt.Fprintf(out, "in no event: %s:%d: %s (a line in fields.csv can say where it is)\n", r.file, r.line, path)
		}
	}
	return fires
}

// absent gives the paths of a condition that lead to nothing in every event which the rule can be about: what it asks for is
// lost, or has another name.
func absent(c *condition, r *rule, events []parityEvent) []string {
	var out []string
	for _, part := range c.parts {
		if c.op == "any" {
			break
		}
		out = append(out, absent(&part, r, events)...)
	}
	if c.path == "" {
		return out
	}
	for _, e := range events {
		if e.schema != r.schema || e.kind != r.kind || len(c.where) == 0 {
			continue
		}
		for range values(e.event, c.where) {
			return out
		}
	}
	return append(out, c.path)
}

// outsideRecords reads records of Graph: an object, a list, a page with "value", or one object a line.
func outsideRecords(dir string) ([]parityRecord, error) {
	var out []parityRecord
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		ext := filepath.Ext(file)
		if err != nil || entry.IsDir() || !slices.Contains([]string{".json", ".ndjson", ".jsonl"}, ext) {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		raws, err := splitRecords(data, ext != ".json")
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for i, raw := range raws {
			record, err := newParityRecord(fmt.Sprintf("%s#%d", filepath.Base(file), i+1), streamOf(raw), raw)
			if err != nil {
				return err
			}
			out = append(out, record)
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("no records in %s", dir)
	}
	return out, err
}

func splitRecords(data []byte, lines bool) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if lines {
		s := bufio.NewScanner(bytes.NewReader(data))
		s.Buffer(nil, 64<<20)
		for s.Scan() {
			if line := bytes.TrimSpace(s.Bytes()); len(line) > 0 {
				list = append(list, bytes.Clone(line))
			}
		}
		return list, s.Err()
	}
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("[")) {
		return list, json.Unmarshal(data, &list)
	}
	var page struct{ Value []json.RawMessage }
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, err
	}
	if page.Value != nil {
		return page.Value, nil
	}
	return []json.RawMessage{data}, nil
}

// streamOf tells the stream that a record comes from by its own members.
func streamOf(raw []byte) string {
	var record struct {
		Activity   *string  `json:"activityDateTime"`
		EventTypes []string `json:"signInEventTypes"`
	}
	_ = json.Unmarshal(raw, &record) // newParityRecord reports it
	switch {
	case record.Activity != nil:
		return "audits"
	case slices.Contains(record.EventTypes, "nonInteractiveUser"):
		return "signins.noninteractive"
	case slices.Contains(record.EventTypes, "servicePrincipal"):
		return "signins.serviceprincipal"
	case slices.Contains(record.EventTypes, "managedIdentity"):
		return "signins.managedidentity"
	}
	return "signins.interactive"
}
