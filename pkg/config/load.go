package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/logferry/logferry/pkg/field"
)

// Problem is one fault with its place.
type Problem struct {
	File         string
	Line, Column int
	Path         string // sinks[0].splunk.token_file
	Msg          string
}

func (p Problem) String() string {
	at := p.File
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	if p.Path == "" {
		return at + ": " + p.Msg
	}
	return at + ": " + p.Path + ": " + p.Msg
}

// Invalid holds everything that is wrong with a configuration.
type Invalid struct{ Problems []Problem }

func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads files and folders (their *.yaml and *.yml, by name) as one configuration: sources and sinks add up, every other
// block may stand in one file only. The error is *Invalid unless a file cannot be read.
func Load(paths []string, schemas Schemas) (*Config, error) {
	texts, err := Read(paths)
	if err != nil {
		return nil, err
	}
	return Join(texts, schemas)
}

// Join makes one configuration of the texts; see Load.
func Join(texts []Text, schemas Schemas) (*Config, error) {
	cfg := Default()
	d := &decoder{places: map[string]place{}, getenv: osEnv}
	owners := map[string]string{}
	for _, t := range texts {
		d.merge(t.Name, t.Body, &cfg, owners)
	}
	if len(d.faults) == 0 {
		cfg.environment()
		for _, err := range cfg.Validate(schemas) {
			d.faults = append(d.faults, d.locate(err))
		}
	}
	if len(d.faults) > 0 {
		sortProblems(d.faults)
		return nil, &Invalid{Problems: d.faults}
	}
	return &cfg, nil
}

// Parse reads one text as a whole configuration; name stands in the errors.
func Parse(name string, text []byte, schemas Schemas) (*Config, error) {
	cfg := Default()
	d := &decoder{places: map[string]place{}, getenv: osEnv}
	d.merge(name, text, &cfg, map[string]string{})
	if len(d.faults) == 0 {
		cfg.environment()
		for _, err := range cfg.Validate(schemas) {
			d.faults = append(d.faults, d.locate(err))
		}
	}
	if len(d.faults) > 0 {
		sortProblems(d.faults)
		return nil, &Invalid{Problems: d.faults}
	}
	return &cfg, nil
}

func sortProblems(all []Problem) {
	slices.SortStableFunc(all, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
}

func expand(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, errors.New("no configuration: name a file or folder with -c")
	}
	var files []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		if !info.IsDir() {
			files = append(files, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		before := len(files)
		for _, e := range entries { // sorted by name
			if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
				files = append(files, filepath.Join(p, e.Name()))
			}
		}
		if len(files) == before {
			return nil, fmt.Errorf("read configuration: no *.yaml in the folder %s", p)
		}
	}
	return files, nil
}

// merge reads one file into cfg.
func (d *decoder) merge(name string, text []byte, cfg *Config, owners map[string]string) {
	d.file = name
	tree, err := parse(text)
	if err != nil {
		d.faults = append(d.faults, syntaxProblem(name, err))
		return
	}
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if _, empty := doc.Body.(*ast.CommentGroupNode); empty {
			continue
		}
		members, ok := d.members(doc.Body, "", "a block of keys (state, sources, sinks, ..)")
		if !ok {
			continue
		}
		for _, m := range members {
			d.top(m, cfg, owners)
		}
	}
}

// top reads one top-level block; lists are appended to what other files have brought.
func (d *decoder) top(m *ast.MappingValueNode, cfg *Config, owners map[string]string) {
	keys := keysOf(reflect.TypeFor[Config]())
	key := keyOf(m)
	i := slices.IndexFunc(keys, func(k configKey) bool { return k.name == key })
	if i < 0 {
		d.bad(m.Key, key, "unknown key%s", hint(key, keys))
		return
	}
	f := reflect.ValueOf(cfg).Elem().FieldByIndex(keys[i].index)
	d.places[key] = d.placeOf(m.Key)
	if f.Kind() == reflect.Slice {
		s, ok := m.Value.(*ast.SequenceNode)
		if !ok {
			d.bad(m.Value, key, "must be a list: one entry each with a dash")
			return
		}
		for _, e := range s.Values {
			item := reflect.New(f.Type().Elem()).Elem()
			d.value(e, item, fmt.Sprintf("%s[%d]", key, f.Len()))
			f.Set(reflect.Append(f, item))
		}
		return
	}
	if owner, taken := owners[key]; taken {
		d.bad(m.Key, key, "stands in %s too: it may stand in one place only", owner)
		return
	}
	owners[key] = d.file
	d.value(m.Value, f, key)
}

// locate finds the place of a fault that validation has named by its path: the path's own, else that of the nearest block above.
func (d *decoder) locate(err error) Problem {
	p := Problem{Msg: err.Error(), File: d.file, Line: 1, Column: 1}
	var fe *field.Error
	if errors.As(err, &fe) {
		p.Path, p.Msg = fe.Path, fe.Msg
	}
	for at := p.Path; ; {
		if where, ok := d.places[at]; ok {
			p.File, p.Line, p.Column = where.file, where.line, where.col
			return p
		}
		cut := max(strings.LastIndexByte(at, '.'), strings.LastIndexByte(at, '['))
		if cut < 0 {
			return p
		}
		at = at[:cut]
	}
}

// flatten gives the single errors of joined ones.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

func join(all []error) error { return errors.Join(all...) }
