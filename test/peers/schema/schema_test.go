// Package schema holds the JSON Schema of the configuration against documents, with a validator and a YAML parser that the product does
// not have. The files lie outside of this module, where go test does not see that they change: -count=1.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

const root = "../../../"

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(root + "configs/logferry.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("logferry.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("logferry.schema.json") // held against the draft's own schema
	if err != nil {
		t.Fatal(err)
	}
	if s.DraftVersion != 2020 {
		t.Fatalf("draft %d", s.DraftVersion)
	}
	return s
}

// parse reads YAML as JSON, by the core schema of YAML 1.2: a date is a text.
func parse(text string) (any, error) {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		return nil, err
	}
	plainDates(&n)
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

func plainDates(n *yaml.Node) {
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		plainDates(c)
	}
}

// TestAgreement is the schema's half of pkg/config's TestAgreement: what the schema refuses the loader refuses, and what the loader takes
// the schema takes.
func TestAgreement(t *testing.T) {
	text, err := os.ReadFile(root + "pkg/config/testdata/agreement.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Base  string
		Cases []struct{ Name, From, To, Is string }
	}
	if err := yaml.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	s := compile(t)
	if len(a.Cases) < 100 {
		t.Fatalf("%d cases", len(a.Cases))
	}
	for _, c := range a.Cases {
		t.Run(c.Name, func(t *testing.T) {
			doc, err := parse(strings.Replace(a.Base, c.From, c.To, 1))
			if err == nil {
				err = s.Validate(doc)
			}
			if (err != nil) != (c.Is == "refused") {
				t.Errorf("is %s, and the schema says: %v", c.Is, err)
			}
		})
	}
}

// TestConfigs: editors find nothing in the configurations that are there to be copied.
func TestConfigs(t *testing.T) {
	s := compile(t)
	files, err := filepath.Glob(root + "configs/*.yaml")
	more, err2 := filepath.Glob(root + "configs/*/*.yaml")
	if files = append(files, more...); err != nil || err2 != nil || len(files) < 13 {
		t.Fatalf("%q, %v, %v", files, err, err2)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := parse(string(text))
		if err == nil {
			err = s.Validate(doc)
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestValues holds the schema against what the loader has said of the same values behind every key (pkg/config's TestValues): what the
// loader takes the schema takes. How much of the rest it refuses, too, is counted.
func TestValues(t *testing.T) {
	text, err := os.ReadFile(root + "pkg/config/testdata/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Values []any
		Bases  map[string]any
		Rows   []struct {
			Base, Key, In string
			Block         any
			Words         []any
			Taken         []int
		}
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	s := compile(t)
	taken, refused, passed := 0, 0, map[string][]string{}
	for _, row := range v.Rows {
		for i, value := range slices.Concat(v.Values, row.Words) {
			at, shown := row.Key, fmt.Sprint(value)
			if row.In != "" {
				value, at = put(row.Block, row.In, value), row.Key+"/"+row.In
			}
			err := s.Validate(put(v.Bases[row.Base], row.Key, value))
			switch {
			case slices.Contains(row.Taken, i):
				if taken++; err != nil {
					t.Errorf("%s: %s: the loader takes it: %v", at, shown, err)
				}
			case err != nil:
				refused++
			default:
				passed[at] = append(passed[at], shown)
			}
		}
	}
	left := 0
	for _, at := range slices.Sorted(maps.Keys(passed)) {
		values := passed[at]
		left += len(values)
		t.Logf("%s: the loader alone refuses %s", at, strings.Join(values, " | "))
	}
	t.Logf("values: %d taken by both, %d refused by both, %d by the loader alone", taken, refused, left)
	if taken < 1500 || refused < 3*left {
		t.Error("few values are taken, or the schema says little")
	}
}

// put gives a copy of a document with the value at the path; blocks on the way are made.
func put(doc any, path string, value any) any {
	if path == "" {
		return value
	}
	step, rest, _ := strings.Cut(path, "/")
	if list, ok := doc.([]any); ok {
		return append([]any{put(list[0], rest, value)}, list[1:]...)
	}
	out := map[string]any{}
	if block, ok := doc.(map[string]any); ok {
		maps.Copy(out, block)
	}
	out[step] = put(out[step], rest, value)
	return out
}
