package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/field"
)

// SchemaOptions has the names of the normalizer's schemas; below each its options, with the values that each takes.
type SchemaOptions map[string]map[string][]string

// JSONSchema describes the configuration as a JSON Schema (draft 2020-12), for editors and other tools. It takes every file that
// the loader takes. It refuses what is wrong whatever else there is; what other keys, other files or the environment decide is
// left to the loader. That sources and sinks are there is one of these: they may stand in another file.
func JSONSchema(schemas SchemaOptions) ([]byte, error) {
	top, err := describe()
	if err != nil {
		return nil, fmt.Errorf("describe the configuration: %w", err)
	}
	w := schemaWriter{schemas: schemas, defs: defs()}
	root := w.value(top)
	root.Version = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Configuration of logferry"
	root.Description = "One file of a configuration. Several files and folders add up to one."
	root.Types = "object"
	root.Defs = w.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write JSON Schema: %w", err)
	}
	return append(text, '\n'), nil
}

// node is one (sub)schema.
type node struct {
	Version              string           `json:"$schema,omitempty"`
	Title                string           `json:"title,omitempty"`
	Ref                  string           `json:"$ref,omitempty"`
	Description          string           `json:"description,omitempty"`
	Types                any              `json:"type,omitempty"` // string or []string
	Enum                 []string         `json:"enum,omitempty"`
	Pattern              string           `json:"pattern,omitempty"`
	Minimum              *int64           `json:"minimum,omitempty"`
	ExclusiveMinimum     *int64           `json:"exclusiveMinimum,omitempty"`
	Maximum              *int64           `json:"maximum,omitempty"`
	Items                *node            `json:"items,omitempty"`
	MinItems             int              `json:"minItems,omitempty"`
	Required             []string         `json:"required,omitempty"`
	Properties           map[string]*node `json:"properties,omitempty"`
	PropertyNames        *node            `json:"propertyNames,omitempty"`
	AdditionalProperties any              `json:"additionalProperties,omitempty"` // false or *node
	Not                  *node            `json:"not,omitempty"`
	If                   *node            `json:"if,omitempty"`
	Then                 *node            `json:"then,omitempty"`
	AllOf                []*node          `json:"allOf,omitempty"`
	AnyOf                []*node          `json:"anyOf,omitempty"`
	OneOf                []*node          `json:"oneOf,omitempty"`
	Default              any              `json:"default,omitempty"`
	Defs                 map[string]*node `json:"$defs,omitempty"`
}

// late is a text that only the environment knows, or an empty one: as if left out.
var late = "^$|" + envPattern.String()

func number(n int64) *int64 { return &n }

// defs are the scalars. The loader takes every scalar for the text as it is written, so that numbers and the like may stand where
// a text is asked for, and "5" where a number is.
func defs() map[string]*node {
	orEnv := func(pattern string) string { return pattern + "|" + envPattern.String() }
	return map[string]*node{
		"late":     {Description: "decided by the environment, or empty: as if left out", Types: "string", Pattern: late},
		"env":      {Description: "decided by the environment", Types: "string", Pattern: envPattern.String()},
		"given":    {Description: "certainly there", Not: ref("late")},
		"text":     {Types: []string{"string", "number", "boolean"}},
		"flag":     {Types: []string{"boolean", "string"}, Pattern: orEnv(flagPattern)},
		"number":   {Types: []string{"integer", "string"}, Pattern: orEnv("^[+-]?[0-9]+$")},
		"size":     {Types: []string{"string", "number"}, Minimum: number(0), Pattern: orEnv(field.SizePattern)},
		"duration": {Types: []string{"string", "integer"}, Minimum: number(0), Maximum: number(0), Pattern: orEnv(field.DurationPattern)},
		"start":    {Types: []string{"string", "integer"}, Minimum: number(0), Maximum: number(0), Pattern: orEnv(field.DurationPattern + "|" + timePattern)},
		"mode":     {Types: []string{"integer", "string"}, Minimum: number(0), Pattern: orEnv("^(0o)?[0-7]+$")},
	}
}

// timePattern is a date, or a time as RFC 3339 has it.
const timePattern = `^ *[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))? *$`

func ref(def string) *node { return &node{Ref: "#/$defs/" + def} }

type schemaWriter struct {
	schemas SchemaOptions
	defs    map[string]*node
}

// entry is the schema of what stands behind a key.
func (w schemaWriter) entry(e *entry) *node {
	n := w.value(e)
	n.Description = e.about.doc
	if e.hasDefault() {
		n.Default = e.json()
	}
	return n
}

func (w schemaWriter) value(e *entry) *node {
	switch e.kind {
	case isBlock:
		return w.block(e)
	case isList:
		return w.list(e)
	case isDictionary:
		n := &node{Types: []string{"object", "null"}, AdditionalProperties: ref("text")}
		if e.path == "sources.entra.filters" {
			n.PropertyNames = &node{Enum: streamWords()}
		}
		return n
	case isSchema:
		return w.schema()
	case isNumber:
		n := ref("number")
		if e.about.most != 0 {
			n.Minimum = number(0)
		}
		if e.about.most > 0 {
			n.Maximum = number(e.about.most)
		}
		return n
	case isText:
		return w.text(e)
	}
	return ref(map[kind]string{isFlag: "flag", isSize: "size", isDuration: "duration", isStart: "start", isMode: "mode"}[e.kind])
}

// text is a text of any kind, or one of a few.
func (w schemaWriter) text(e *entry) *node {
	open := "late"
	if e.early.IsValid() && !e.early.IsZero() { // the decoder begins with the default: an empty text would replace it
		open = "env"
	}
	switch {
	case strings.HasSuffix(e.path, ".streams"):
		return &node{AnyOf: []*node{{Enum: streamWords()}, {Types: "string", Pattern: `[*?\[\\]`}, ref("env")}}
	case len(e.about.values) > 0:
		return &node{AnyOf: []*node{{Enum: e.about.values}, ref(open)}}
	case e.about.pattern != "":
		n := ref("text")
		n.Pattern = e.about.pattern + "|" + late
		return n
	}
	return ref("text")
}

func (w schemaWriter) list(e *entry) *node {
	items := w.value(e.element)
	if e.element.kind == isBlock {
		items.Types = "object"
	}
	n := &node{Types: []string{"array", "null"}, Items: items}
	switch {
	case e.one:
		return &node{AnyOf: []*node{items, {Types: "array", Items: items, MinItems: 1}}}
	case e.about.required:
		n.Types, n.MinItems = "array", 1
	case !strings.Contains(e.path, "."): // lists of the top are never nothing
		n.Types = "array"
	}
	return n
}

// shared are blocks that are the same wherever they stand, by their last key.
var shared = map[string]string{"tls": "tls", "where": "rule"}

func (w schemaWriter) block(e *entry) *node {
	n := &node{Types: []string{"object", "null"}, Properties: map[string]*node{}, AdditionalProperties: false}
	if e.pointer || e.about.required {
		n.Types = "object"
	}
	keys := map[string]*entry{}
	for _, b := range e.below {
		keys[b.name] = b
		n.Properties[b.name] = w.entry(b)
		if b.about.required && b.path != "sources.entra.tenant" {
			n.Required = append(n.Required, b.name)
		}
	}
	for _, b := range e.below {
		if len(b.about.with) > 0 {
			n.AllOf = append(n.AllOf, &node{If: given(b), Then: &node{Required: b.about.with}})
		}
	}
	if e.path == "sources.entra" { // a pod's environment may know the tenant
		pod := &node{Properties: map[string]*node{"auth": {Required: []string{"workload_identity"}}}}
		n.AnyOf = []*node{{Required: []string{"tenant"}}, pod}
	}
	for _, c := range choices[e.path] {
		exclude(n, keys, c)
	}
	if name := shared[e.path[strings.LastIndexByte(e.path, '.')+1:]]; name != "" { // the same everywhere: written down once
		w.defs[name] = n
		n = ref(name)
		if e.pointer {
			n.Types = "object"
		}
	}
	return n
}

// exclude adds to a block's schema that one of several keys may be given, or has to be.
func exclude(n *node, keys map[string]*entry, c choice) {
	var ways, maybe []*node
	for _, key := range c.keys {
		way := given(keys[key])
		if other := c.unless[key]; other != "" {
			way = &node{AllOf: []*node{way, {Not: &node{Required: []string{other}}}}}
		}
		ways = append(ways, way)
		if keys[key].kind != isBlock {
			maybe = append(maybe, &node{Required: []string{key}})
		}
	}
	if c.least > 0 && len(maybe) == 0 {
		n.OneOf = ways
		return
	}
	other := &node{Not: &node{AnyOf: ways}} // none is given for certain
	if c.least > 0 {
		other.AnyOf = maybe
	}
	n.AllOf = append(n.AllOf, &node{OneOf: append(ways, other)})
}

// given holds for a block where the key certainly has a value that is not as if left out.
func given(e *entry) *node {
	var value *node
	switch e.kind {
	case isText, isDictionary:
		value = ref("given")
	case isSize, isDuration, isNumber:
		value = &node{AnyOf: []*node{{Types: "number", ExclusiveMinimum: number(0)}, {Types: "string", Pattern: "^ *[1-9]"}}}
	case isList:
		value = &node{AnyOf: []*node{{Types: "array", MinItems: 1}, {Types: "string"}}}
	}
	n := &node{Required: []string{e.name}}
	if value != nil {
		n.Properties = map[string]*node{e.name: value}
	}
	return n
}

// schema is a schema's name, or a block of the name and the options that this schema has.
func (w schemaWriter) schema() *node {
	names := slices.Sorted(maps.Keys(w.schemas))
	n := &node{AnyOf: []*node{{Enum: names}, ref("late")}}
	for _, name := range names {
		block := &node{Types: "object", Required: []string{"name"}, AdditionalProperties: false, Properties: map[string]*node{"name": {Enum: []string{name}}}}
		for option, values := range w.schemas[name] {
			block.Properties[option] = &node{AnyOf: []*node{{Enum: values}, ref("env")}, Default: values[0]}
		}
		n.AnyOf = append(n.AnyOf, block)
	}
	open := &node{Types: "object", Required: []string{"name"}, AdditionalProperties: ref("text"), Properties: map[string]*node{"name": ref("env")}}
	n.AnyOf = append(n.AnyOf, open)
	return n
}

// json gives the default as JSON has it: sizes, durations and modes as texts.
func (e *entry) json() any {
	switch e.kind {
	case isFlag:
		return e.usual.Bool()
	case isNumber:
		return e.usual.Interface()
	case isList:
		var all []string
		for i := range e.usual.Len() {
			all = append(all, fmt.Sprint(e.usual.Index(i).Interface()))
		}
		return all
	case isText:
		return e.usual.String()
	}
	text, err := marshal(e.usual)
	if err != nil {
		return nil // there is none whose writing can fail
	}
	return text
}

func marshal(v reflect.Value) (string, error) {
	text, err := v.Interface().(interface{ MarshalText() ([]byte, error) }).MarshalText()
	return string(text), err
}
