package config

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/normalizer"
)

// TestSchemaIsClosed: no block takes a key that is not its own, and every key says what it means. Whether the schema is right beyond that
// test/peers/schema finds with a validator.
func TestSchemaIsClosed(t *testing.T) {
	text, err := JSONSchema(normalizer.AllChoices())
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	blocks, keys := 0, 0
	var walk func(at string, schema map[string]any)
	each := func(at string, list any) {
		all, _ := list.([]any)
		for _, s := range all {
			walk(at, s.(map[string]any))
		}
	}
	walk = func(at string, schema map[string]any) {
		types, several := schema["type"].([]any)
		if schema["type"] == "object" || several && slices.Contains(types, any("object")) {
			blocks++
			dictionary := slices.ContainsFunc([]string{"filters", "query", "headers", "params", "schema"}, func(key string) bool { return strings.HasSuffix(at, key) })
			_, isRef := schema["$ref"]
			if more, said := schema["additionalProperties"]; more != false && !dictionary && !isRef || dictionary && !said {
				t.Errorf("%s takes keys that are not its own", at)
			}
		}
		properties, _ := schema["properties"].(map[string]any)
		for key, p := range properties {
			below := p.(map[string]any)
			if _, condition := schema["type"]; condition && !strings.HasSuffix(at, "schema") {
				if keys++; below["description"] == nil || strings.Contains(below["description"].(string), "\n") {
					t.Errorf("%s.%s does not say on a line what it means", at, key)
				}
			}
			walk(at+"."+key, below)
		}
		if items, ok := schema["items"].(map[string]any); ok {
			walk(at, items)
		}
		each(at, schema["anyOf"])
	}
	walk("", root)
	for name, def := range root["$defs"].(map[string]any) {
		walk("$defs."+name, def.(map[string]any))
	}
	if blocks < 30 || keys < 170 {
		t.Errorf("%d blocks with %d keys: something is not looked at", blocks, keys)
	}
}

// TestDefaultsAreAmongTheWords: where there are a few words only, the default is one of them.
func TestDefaultsAreAmongTheWords(t *testing.T) {
	top, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	var walk func(*entry)
	walk = func(e *entry) {
		if values := e.about.values; len(values) > 0 && e.hasDefault() {
			if checked++; !slices.Contains(values, e.written()) {
				t.Errorf("%s: the default %s is none of %q", e.path, e.written(), values)
			}
		}
		for _, b := range e.below {
			walk(b)
		}
		if e.element != nil {
			walk(e.element)
		}
	}
	walk(top)
	if checked < 20 {
		t.Errorf("%d keys", checked)
	}
}
