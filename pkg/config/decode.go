package config

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder reads YAML nodes into the configuration's types. It goes on after a fault, so that all are found at once, and it
// remembers where each path stands, so that a fault found later can be placed.
type decoder struct {
	file   string
	places map[string]place // path -> where its value, or else its key, stands
	faults []Problem
	getenv func(string) (string, bool)
}

type place struct {
	file      string
	line, col int
}

func (d *decoder) placeOf(n ast.Node) place {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{file: d.file, line: 1, col: 1}
	}
	return tokenPlace(d.file, n.GetToken())
}

func tokenPlace(file string, t *token.Token) place {
	return place{file: file, line: t.Position.Line, col: t.Position.Column}
}

func (d *decoder) bad(n ast.Node, path, format string, args ...any) {
	p := d.placeOf(n)
	d.faults = append(d.faults, Problem{File: p.file, Line: p.line, Column: p.col, Path: path, Msg: fmt.Sprintf(format, args...)})
}

// value reads n into v.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		d.bad(n, path, "anchors and aliases are not supported: write the value out")
		return
	}
	if tag, ok := n.(*ast.TagNode); ok {
		d.bad(tag, path, "YAML tags are not supported: write the plain value")
		return
	}
	if _, known := d.places[path]; !known || path == "" {
		d.places[path] = d.placeOf(n)
	}
	if _, null := n.(*ast.NullNode); null || n == nil {
		d.nothing(n, v.Type(), path)
		return
	}
	if v.Type() == reflect.TypeFor[Schema]() {
		d.schema(n, v.Addr().Interface().(*Schema), path)
		return
	}
	if readsText(v.Type()) {
		if s, ok := d.scalar(n, path); ok {
			if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
				d.bad(n, path, "%v", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		block := reflect.New(v.Type().Elem())
		if p, ok := block.Interface().(interface{ SetDefaults() }); ok {
			p.SetDefaults()
		}
		d.value(n, block.Elem(), path)
		v.Set(block)
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.dictionary(n, v, path)
	default:
		d.plain(n, v, path)
	}
}

// nothing judges "key:" without a value: a block that is meant to be empty, or a value that was forgotten.
func (d *decoder) nothing(n ast.Node, t reflect.Type, path string) {
	optional := t.Kind() == reflect.Pointer
	if optional {
		t = t.Elem()
	}
	k, err := typeKind(t)
	switch {
	case err != nil || k != isBlock && k != isList && k != isDictionary || t.Implements(orOne):
		d.bad(n, path, "has no value: write one, or leave the key out")
	case optional:
		d.bad(n, path, "has no value: write {} for an empty block")
	}
}

// members gives the members of a mapping.
func (d *decoder) members(n ast.Node, path, want string) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	d.bad(n, path, "must be %s, not %s", want, kindOf(n))
	return nil, false
}

func keyOf(m *ast.MappingValueNode) string {
	if s, ok := m.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return m.Key.String()
}

func (d *decoder) object(n ast.Node, v reflect.Value, path string) {
	members, ok := d.members(n, path, "a block of keys and values")
	if !ok {
		return
	}
	keys := keysOf(v.Type())
	seen := map[string]bool{}
	for _, m := range members {
		key := keyOf(m)
		at := join2(path, key)
		i := slices.IndexFunc(keys, func(k configKey) bool { return k.name == key })
		switch {
		case i < 0:
			d.bad(m.Key, at, "unknown key%s", hint(key, keys))
			continue
		case seen[key]:
			d.bad(m.Key, at, "stands here twice")
			continue
		}
		seen[key] = true
		d.places[at] = d.placeOf(m.Key)
		d.value(m.Value, v.FieldByIndex(keys[i].index), at)
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok && v.Type().Implements(orOne) {
		one := reflect.MakeSlice(v.Type(), 1, 1)
		d.value(n, one.Index(0), path+"[0]")
		v.Set(one)
		return
	}
	if !ok {
		d.bad(n, path, "must be a list, not %s: write [a, b] or one line each with a dash", kindOf(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, e := range s.Values {
		d.value(e, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func (d *decoder) dictionary(n ast.Node, v reflect.Value, path string) {
	members, ok := d.members(n, path, "a block of keys and values")
	if !ok {
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, m := range members {
		e := reflect.New(v.Type().Elem()).Elem()
		at := join2(path, keyOf(m))
		d.places[at] = d.placeOf(m.Key)
		d.value(m.Value, e, at)
		out.SetMapIndex(reflect.ValueOf(keyOf(m)), e)
	}
	v.Set(out)
}

// schema is a name alone or a block with a name and options.
func (d *decoder) schema(n ast.Node, s *Schema, path string) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		s.Name, _ = d.scalar(n, path)
		return
	}
	members, _ := d.members(n, path, "a schema")
	s.Options = map[string]string{}
	for _, m := range members {
		key := keyOf(m)
		d.places[join2(path, key)] = d.placeOf(m.Key)
		text, ok := d.scalar(m.Value, join2(path, key))
		switch {
		case !ok:
		case key == "name":
			s.Name = text
		default:
			s.Options[key] = text
		}
	}
	if s.Name == "" {
		d.bad(n, path, "has no name: write {name: ecs, ..}")
	}
}

// flagPattern is what YAML 1.2 takes for a truth value.
const flagPattern = `^(true|True|TRUE|false|False|FALSE)$`

var flagText = regexp.MustCompile(flagPattern)

func (d *decoder) plain(n ast.Node, v reflect.Value, path string) {
	s, ok := d.scalar(n, path)
	if !ok {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if !flagText.MatchString(s) {
			d.bad(n, path, "%q is not a yes or no: write true or false", s)
		}
		v.SetBool(strings.EqualFold(s, "true"))
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			d.bad(n, path, "%q is not a whole number", s)
		}
		v.SetInt(i)
	case reflect.Uint32:
		i, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			d.bad(n, path, "%q is not a whole number from 0 to 4294967295", s)
		}
		v.SetUint(i)
	default:
		d.bad(n, path, "cannot be configured (%s)", v.Kind())
	}
}

// scalar gives the text of a scalar as it was written, with ${env:NAME} put in.
func (d *decoder) scalar(n ast.Node, path string) (string, bool) {
	var text string
	switch s := n.(type) {
	case *ast.StringNode:
		text = s.Value
	case *ast.LiteralNode:
		text = s.Value.Value
	case *ast.NullNode:
		d.bad(n, path, "has no value")
		return "", false
	case ast.ScalarNode:
		text = n.GetToken().Value
	default:
		glued, is := unglue(n)
		if !is {
			d.bad(n, path, "must be a single value, not %s", kindOf(n))
			return "", false
		}
		text = glued
	}
	if rest := envPattern.ReplaceAllString(text, "$3"); strings.Contains(rest, "${") {
		d.bad(n, path, "%q is no variable: write ${env:NAME}, or ${env:NAME:-default} with a default that has no variable in it", broken.FindString(rest))
		return "", false
	}
	ok := true
	text = envPattern.ReplaceAllStringFunc(text, func(ref string) string {
		m := envPattern.FindStringSubmatch(ref)
		if value, set := d.getenv(m[1]); set {
			return value
		}
		if m[2] == "" {
			d.bad(n, path, "the environment variable %s is not set: set it, or write ${env:%s:-default}", m[1], m[1])
			ok = false
		}
		return m[3]
	})
	return text, ok
}

// unglue gives back the scalar "host:9092" that the YAML library takes for the mapping {host: 9092} inside of flow collections. In
// YAML a colon makes a mapping there only before a blank or behind a quoted key (YAML 1.2.2 section 7.3.3).
func unglue(n ast.Node) (string, bool) {
	m, ok := n.(*ast.MappingValueNode)
	if whole, is := n.(*ast.MappingNode); is && len(whole.Values) == 1 && whole.GetToken().Value == ":" {
		m, ok = whole.Values[0], true
	}
	if !ok {
		return "", false
	}
	key, plain := m.Key.(*ast.StringNode)
	if !plain || key.Token.Type != token.StringType {
		return "", false
	}
	colon := m.Start.Position
	rest, ok := unglue(m.Value)
	if s, scalar := m.Value.(ast.ScalarNode); !ok && scalar {
		rest, ok = s.GetToken().Value, s.GetToken().Position.Column == colon.Column+1 && s.GetToken().Position.Line == colon.Line
	}
	return key.Value + ":" + rest, ok
}

// broken finds what begins like a variable.
var broken = regexp.MustCompile(`\$\{[^} ]*\}?`)

var envPattern = regexp.MustCompile(`\$\{env:([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a block of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode, nil:
		return "nothing"
	}
	return "a single value"
}

func join2(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// osEnv is the process's environment.
func osEnv(name string) (string, bool) { return os.LookupEnv(name) }
