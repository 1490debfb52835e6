package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	schemaFile   = chartDir + "/values.schema.json"
	configSchema = "../../configs/logferry.schema.json"
)

// TestSchemaHasTheConfiguration: what values.schema.json says of config is the configuration's own schema.
func TestSchemaHasTheConfiguration(t *testing.T) {
	config, err := os.ReadFile(configSchema)
	if errors.Is(err, fs.ErrNotExist) {
		config, err = []byte(`{"type": "object"}`), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	now := read(t, schemaFile)
	want := embed(t, now, config)
	if *update {
		if err := os.WriteFile(schemaFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if now != want {
		t.Errorf("$defs.config of values.schema.json is not %s: renew it with go test ./test/chart -update", configSchema)
	}
}

var (
	ownNames = regexp.MustCompile(`(?m)^      "\$(schema|id|comment)": "[^"]*",\n`)
	refs     = regexp.MustCompile(`"\$ref": "#`)
)

// embed puts the configuration's schema where the last member of $defs is, config.
func embed(t *testing.T, values string, config []byte) string {
	t.Helper()
	const mark = "\n    \"config\": "
	i := strings.LastIndex(values, mark)
	if j := strings.Index(values, "\n  \"$defs\": {"); j >= 0 {
		i = j + strings.Index(values[j:], mark)
	}
	if i < 0 {
		t.Fatal("values.schema.json has no $defs.config")
	}
	var text bytes.Buffer
	if err := json.Indent(&text, bytes.TrimSpace(config), "    ", "  "); err != nil {
		t.Fatalf("%s: %v", configSchema, err)
	}
	part := refs.ReplaceAllString(ownNames.ReplaceAllString(text.String(), ""), `"$$ref": "#/$$defs/config`)
	return values[:i] + mark + part + "\n  }\n}\n"
}

// TestSchemaEmbeds tries it with a configuration's schema that has definitions of its own.
func TestSchemaEmbeds(t *testing.T) {
	chart := t.TempDir()
	if err := os.CopyFS(chart, os.DirFS(chartDir)); err != nil {
		t.Fatal(err)
	}
	config := `{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/logferry.schema.json",
		"type": "object", "additionalProperties": false, "required": ["sources", "sinks"],
		"properties": {"state": {"$ref": "#/$defs/State"}, "sources": {"type": "array"}, "sinks": {"type": "array"}, "log": {"type": "object"}},
		"$defs": {"State": {"type": "object", "additionalProperties": false, "properties": {"dir": {"type": "string"}}}}}`
	text := embed(t, read(t, schemaFile), []byte(config))
	if again := embed(t, text, []byte(config)); again != text {
		t.Error("a second time it comes out differently")
	}
	if err := os.WriteFile(filepath.Join(chart, "values.schema.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := templateOf(t, chart, "demo", "-f", "values/default.yaml"); err != nil {
		t.Error(err)
	}
	for set, want := range map[string]string{"config.stat.dir=x": "stat", "config.state.directory=x": "directory", "config.state.dir=5": "/config/state/dir"} {
		if _, err := templateOf(t, chart, "demo", "-f", "values/default.yaml", "--set", set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: want a message with %s", set, err, want)
		}
	}
}

// node is the part of a JSON Schema that is looked into.
type node struct {
	Type       any              `json:"type"`
	Properties map[string]*node `json:"properties"`
	Additional any              `json:"additionalProperties"`
	Items      *node            `json:"items"`
	Ref        string           `json:"$ref"`
	Defs       map[string]*node `json:"$defs"`
}

// kubernetes has the places whose content is Kubernetes' own, which its API server checks.
var kubernetes = []string{
	"global", "env[].valueFrom.", "extraVolumes[].", "affinity.", "networkPolicy.extraEgress[]",
	"networkPolicy.ingressFrom[].ipBlock", "networkPolicy.ingressFrom[].namespaceSelector", "networkPolicy.ingressFrom[].podSelector",
}

// TestSchemaIsClosed: no object of ours takes keys that it does not know.
func TestSchemaIsClosed(t *testing.T) {
	root := valuesSchema(t)
	delete(root.Defs, "config") // logferry checks it: see the test of that schema
	var walk func(at string, n *node)
	walk = func(at string, n *node) {
		if n == nil {
			return
		}
		closed := n.Additional == false
		if element, typed := n.Additional.(map[string]any); typed { // a map of values of one type
			closed = element["type"] != nil && n.Properties == nil
		}
		foreign := n.Properties == nil && slices.ContainsFunc(kubernetes, func(place string) bool {
			return at == place || strings.HasSuffix(place, ".") && strings.HasPrefix(at, place)
		})
		if n.Type == "object" && !closed && !foreign {
			t.Errorf("%s takes unknown keys", at)
		}
		for name, p := range n.Properties {
			walk(strings.TrimPrefix(at+"."+name, "."), p)
		}
		walk(at+"[]", n.Items)
	}
	walk("", root)
	for name, n := range root.Defs {
		walk("$defs."+name, n)
	}
}

// TestValuesAreInTheSchema: every key of values.yaml, and none that values.yaml leaves unsaid.
func TestValuesAreInTheSchema(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, chartDir+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	root := valuesSchema(t)
	delete(root.Properties, "global")
	var walk func(at string, n *node, v any)
	walk = func(at string, n *node, v any) {
		block, _ := v.(map[string]any)
		if n.Properties == nil || len(block) == 0 && at != "" {
			return
		}
		for key, inner := range block {
			if n.Properties[key] == nil {
				t.Errorf("%s.%s stands in values.yaml and not in the schema", at, key)
				continue
			}
			walk(at+"."+key, n.Properties[key], inner)
		}
		for key := range n.Properties {
			if _, there := block[key]; !there {
				t.Errorf("%s.%s stands in the schema and not in values.yaml", at, key)
			}
		}
	}
	walk("", root, values)
}

func valuesSchema(t *testing.T) *node {
	t.Helper()
	var n node
	if err := json.Unmarshal([]byte(read(t, schemaFile)), &n); err != nil {
		t.Fatal(err)
	}
	return &n
}
