package normalizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestEnums: every member of the API's enumerations goes through every schema and profile, and none of them is unknown.
func TestEnums(t *testing.T) {
	n, _ := newNormalizer(t)
	schema, schemas := readECS(t), slices.Collect(maps.Values(envelopes))
	for _, name := range Schemas() {
		s, err := n.Schema(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		schemas = append(schemas, s)
	}
	rows := readTestTable(t, "testdata/enums.csv", 3)
	if len(rows) < 280 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range append(rows, unheardOf(rows)...) {
		raw := recordWith(row[1], row[2])
		rec := newRecord(row[0], []byte(raw))
		for _, s := range schemas {
			out, err := n.Normalize(nil, rec, s)
			if err != nil || !json.Valid(out) && textual[s.Name] == "" {
				t.Errorf("%+v of %s: %v: %s", s, raw, err, out)
			}
		}
		m := flatEvent(t, n, rec, withoutRecord)
		checkECS(t, schema, m)
		if t.Failed() {
			t.Fatalf("record %s", raw)
		}
		// A word that nobody knows stays in the record, but where the field takes any word.
		for key, v := range m {
			if s := fmt.Sprint(v); strings.Contains(s, "unheardOf") && key != "user.risk.static_level" {
				t.Errorf("%s: %s = %v", raw, key, v)
			}
		}
	}
	for _, u := range n.Unknown() {
		if !strings.HasSuffix(u.Name, "=unheardOf") {
			t.Errorf("%s: %s is not known", u.Stream, u.Name)
		}
	}
}

// textual are the schemas whose events are no JSON.
var textual = map[string]string{"cef": "text", "leef": "text"}

// unheardOf gives a row with an unknown word for each member.
func unheardOf(rows [][]string) (more [][]string) {
	seen := map[string]bool{}
	for _, row := range rows {
		if !seen[row[0]+row[1]] {
			seen[row[0]+row[1]] = true
			more = append(more, []string{row[0], row[1], "unheardOf"})
		}
	}
	return more
}

// recordWith makes a record with one word; what stands in a list stands in one.
func recordWith(member, word string) string {
	object, inner, nested := strings.Cut(member, ".")
	switch {
	case nested && object == "provisioningStatusInfo":
		return fmt.Sprintf(`{"id":"x",%q:{%q:%q}}`, object, inner, word)
	case nested:
		return fmt.Sprintf(`{"id":"x",%q:[{%q:%q}]}`, object, inner, word)
	case member == "signInEventTypes":
		return fmt.Sprintf(`{"id":"x",%q:[%q]}`, member, word)
	}
	return fmt.Sprintf(`{"id":"x",%q:%q}`, member, word)
}
