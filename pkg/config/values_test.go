package config

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/normalizer"
)

// values is testdata/values.json: what the loader says of the same values behind every key.
type values struct {
	Values []any          `json:"values"`
	Bases  map[string]any `json:"bases"` // by the sink's block
	Rows   []valueRow     `json:"rows"`
}

type valueRow struct {
	Base  string `json:"base"`
	Key   string `json:"key"`             // path/from/the/top
	Block any    `json:"block,omitempty"` // stands at Key, and the value at In below it
	In    string `json:"in,omitempty"`
	Words []any  `json:"words,omitempty"` // more values, which this key alone takes
	Taken []int  `json:"taken"`           // which of the values and words; all others are refused
}

// TestValues tries the same values behind every key there is, and keeps which the loader takes: test/peers/schema holds the JSON Schema
// against that.
func TestValues(t *testing.T) {
	noPod(t)
	top, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	v := values{Bases: map[string]any{}, Values: []any{"", "x", "5", 5, 0, -1, 1.5, true, "true", nil, []any{}, map[string]any{}, []any{"x"}, []any{5}, []any{nil}, map[string]any{"x": "x"},
		"90s", "8GiB", "2026-01-31", "0640", "2026-01-31T08:00:00+01:00", " 90s ", "1.5d", "1e3", "127.0.0.1:80", "https://h.example.com/", "signins.*", []any{"audits"}, map[string]any{"audits": "x"},
		"${env:LOGFERRY_TEST_NONE:-}", "${env:LOGFERRY_TEST_NONE:-90s}", "${env:LOGFERRY_TEST_NONE:-5}", []any{"${env:LOGFERRY_TEST_NONE:-audits}"}, "${env:LOGFERRY_TEST_NONE"}}
	names := top.below[slices.IndexFunc(top.below, func(e *entry) bool { return e.name == "sinks" })]
	for _, block := range choices["sinks"][0].keys {
		sink := least(t, names.element)
		sink[block] = any(map[string]any{})
		for _, e := range names.element.below {
			if e.name == block {
				sink[block] = least(t, e)
			}
		}
		sink["name"] = block
		source := least(t, top.below[slices.IndexFunc(top.below, func(e *entry) bool { return e.name == "sources" })].element)
		v.Bases[block] = map[string]any{"sources": []any{source}, "sinks": []any{sink}}
	}
	w := valueWalk{t: t, v: &v, schemas: schemas(t)}
	for _, e := range top.below {
		w.walk(e, "stdout", e.name)
	}
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got = []byte(lines.Replace(string(got)) + "\n")
	const golden = "testdata/values.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("renew with -update:\n%s", diff)
	}
	if len(v.Rows) < 200 {
		t.Errorf("%d keys only", len(v.Rows))
	}
}

// lines puts a row on a line.
var lines = strings.NewReplacer(`,"bases"`, ",\n\"bases\"", `,"rows":[`, ",\n\"rows\":[\n", `},{"base"`, "},\n{\"base\"")

// least gives what a block cannot do without, by the examples.
func least(t *testing.T, e *entry) map[string]any {
	t.Helper()
	block := map[string]any{}
	for _, b := range e.below {
		switch {
		case !b.about.required && !b.about.shown:
		case b.kind == isBlock:
			block[b.name] = least(t, b)
		case b.about.example != "":
			var value any
			if err := yaml.Unmarshal([]byte(b.about.example), &value); err != nil {
				t.Fatal(err)
			}
			block[b.name] = value
		}
	}
	return block
}

type valueWalk struct {
	t       *testing.T
	v       *values
	schemas Schemas
}

// words gives what the key takes by name.
func words(e *entry) (all []any) {
	for _, word := range e.about.values {
		all = append(all, word)
	}
	if e.kind != isSchema {
		return all
	}
	for _, name := range normalizer.Schemas() {
		block := map[string]any{"name": name}
		for option, values := range normalizer.AllChoices()[name] {
			block[option] = values[len(values)-1]
		}
		all = append(all, name, block, map[string]any{"name": name, "raw": "x"})
	}
	return all
}

// walk tries the values behind the key, then behind those below it.
func (w valueWalk) walk(e *entry, base, key string) {
	if receivers := choices["sinks"][0].keys; strings.Count(key, "/") == 2 && slices.Contains(receivers, e.name) {
		base = e.name
	}
	w.try(e, valueRow{Base: base, Key: key})
	switch {
	case e.element != nil && e.element.kind == isBlock && !e.one:
		for _, b := range e.element.below {
			w.walk(b, base, key+"/0/"+b.name)
		}
	case e.element != nil && e.element.kind == isBlock:
		w.inside(e.element, valueRow{Base: base, Key: key}, map[string]any{}, "")
	case e.kind == isBlock && e.pointer && !strings.HasPrefix(key, "sinks/0/"+base) && !e.about.required:
		w.inside(e, valueRow{Base: base, Key: key}, least(w.t, e), "")
	case e.kind == isBlock && strings.HasSuffix(key, "/oauth2"):
		w.inside(e, valueRow{Base: base, Key: key}, least(w.t, e), "")
	case e.kind == isBlock:
		for _, b := range e.below {
			w.walk(b, base, key+"/"+b.name)
		}
	}
}

// inside does the same in a block that the base does not have.
func (w valueWalk) inside(e *entry, row valueRow, block map[string]any, in string) {
	for _, b := range e.below {
		row.Block, row.In = block, strings.TrimPrefix(in+"/"+b.name, "/")
		w.try(b, row)
		if b.kind == isBlock {
			w.inside(b, row, block, row.In)
		}
	}
}

// needsMore has words that are taken together with other keys only.
var needsMore = map[string]bool{
	"api_version v1.0": true, "compress gzip": true, "mechanism plain": true, "mechanism scram-sha-256": true, "mechanism scram-sha-512": true,
}

func (w valueWalk) try(e *entry, row valueRow) {
	row.Taken, row.Words = []int{}, words(e)
	for i, value := range slices.Concat(w.v.Values, row.Words) {
		if row.In != "" {
			value = put(row.Block, row.In, value)
		}
		text, err := json.Marshal(put(w.v.Bases[row.Base], row.Key, value))
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := Parse("x.yaml", text, w.schemas); err == nil {
			row.Taken = append(row.Taken, i)
		} else if word, ok := value.(string); ok && i >= len(w.v.Values) && !needsMore[e.name+" "+word] {
			w.t.Errorf("%s: the table of keys has the word %s, and the loader refuses it: %v", e.path, word, err)
		}
	}
	w.v.Rows = append(w.v.Rows, row)
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
		for k, v := range block {
			out[k] = v
		}
	}
	out[step] = put(out[step], rest, value)
	return out
}
