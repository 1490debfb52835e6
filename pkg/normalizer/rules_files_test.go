package normalizer_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The kinds of records that rules are about, and the schemas that they are judged in.
const (
	kindSignIn     = "sign-in"
	kindAudit      = "audit"
	schemaEnvelope = "envelope"
	schemaElastic  = "elastic" // ecs with profile elastic
)

// rule is a condition on one event.
type rule struct {
	id, title string
	dialect   string // whose names of fields it uses
	kind      string
	schema    string
	condition condition
	fires     []string // the test records on which it must fire; on all others of its kind it must be silent
	silent    string   // of those the one that comes nearest
	file      string
	line      int
}

// fieldName is a line of paths.csv.
type fieldName struct{ dialect, kind, name, where, why string }

// fieldNames are the paths that rules may use, and where our events have them.
type fieldNames struct{ all []fieldName }

func readFieldNames() (*fieldNames, error) {
	rows, err := readCSV("testdata/rules/paths.csv", 5)
	if err != nil {
		return nil, err
	}
	names := &fieldNames{}
	for _, row := range rows {
		n := fieldName{row[0], row[1], row[2], row[3], row[4]}
		if n.where == "" {
			n.where = n.name
		}
		names.all = append(names.all, n)
	}
	return names, nil
}

// readCSV reads a table without its head; lines with # are comments.
func readCSV(file string, columns int) ([][]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment, r.FieldsPerRecord = '#', columns
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return rows[min(1, len(rows)):], nil
}

func (n *fieldNames) find(dialect, kind, name string) (fieldName, bool) {
	i := slices.IndexFunc(n.all, func(f fieldName) bool {
		return f.dialect == dialect && (f.kind == kind || f.kind == "*") && f.name == name
	})
	if i < 0 {
		return fieldName{}, false
	}
	return n.all[i], true
}

// ours finds a path of our own conditions: it must be in the list.
func (n *fieldNames) ours(dialect, kind, name string) ([]string, error) {
	f, ok := n.find(dialect, kind, name)
	if list, found := strings.CutSuffix(name, "[]"); !ok && found { // the elements of a list, for any
		f, ok = n.find(dialect, kind, list)
		f.where += "[]"
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("path %s is not in the list of those that rules of %s read in a %s", name, dialect, kind)
	case strings.HasPrefix(f.where, "-"):
		return nil, fmt.Errorf("path %s is in no event of ours: %s", name, f.why)
	}
	return steps(f.where), nil
}

// outside finds a field of somebody else's rule: in the folder's own fields.csv, in the list, else it is taken for a path of
// the event. A name in Sigma can also be a column of Log Analytics. Without steps no event can have it.
func (n *fieldNames) outside(dialect, kind, name string) ([]string, error) {
	for _, d := range []string{"outside", dialect, "sentinel", "escu"} {
		if f, ok := n.find(d, kind, name); ok {
			if f.where == "-" {
				return nil, nil
			}
			return steps(f.where), nil
		}
	}
	return steps(name), nil
}

// ruleFile is a file in our small form.
type ruleFile struct {
	Dialect string      `yaml:"dialect"` // elastic, sentinel, sigma, escu, panther; none: paths are those of the event
	Schema  string      `yaml:"schema"`
	Rules   []smallRule `yaml:"rules"`
}

type smallRule struct {
	ID        string   `yaml:"id"`
	Kind      string   `yaml:"kind"`
	Condition lineText `yaml:"condition"`
	Fires     []string `yaml:"fires"`
	Silent    string   `yaml:"silent"`
}

// lineText is a text that knows its line.
type lineText struct {
	text string
	line int
}

func (t *lineText) UnmarshalYAML(node ast.Node) error {
	t.line = node.GetToken().Position.Line
	return yaml.NodeToValue(node, &t.text)
}

// ruleLoader reads rule files. Errors name file and line; what is unsupported is kept apart, for it is nobody's mistake.
type ruleLoader struct {
	names       *fieldNames
	strict      bool // the rules are ours: paths must be in the list
	rules       []rule
	unsupported []error
}

// dir reads the rule files of a folder and what is below it. A file fields.csv (kind,name,where) in it says where the event
// has what the rules name: kind is sign-in, audit or *.
func (l *ruleLoader) dir(dir string) error {
	rows, err := readCSV(filepath.Join(dir, "fields.csv"), 3)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, row := range rows {
		l.names.all = append(l.names.all, fieldName{"outside", row[0], row[1], row[2], ""})
	}
	var files []string
	err = filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if ext := filepath.Ext(name); err == nil && !entry.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w (a relative path starts at pkg/normalizer)", err)
	}
	if len(files) == 0 {
		return fmt.Errorf("no .yaml or .yml file in %s", dir)
	}
	var failed []error
	for _, file := range files {
		failed = append(failed, l.file(file))
	}
	return errors.Join(failed...)
}

func (l *ruleLoader) file(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return l.locate(name, 1, err)
	}
	var failed []error
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if member(doc.Body, "rules") != nil {
			failed = append(failed, l.small(name, doc.Body))
			continue
		}
		line := doc.Body.GetToken().Position.Line
		r, err := readSigma(doc.Body, l.names)
		if err = l.locate(name, line, err); errors.Is(err, errUnsupported) {
			l.unsupported = append(l.unsupported, err)
		} else if failed = append(failed, err); err == nil {
			r.file, r.line = name, line
			l.rules = append(l.rules, r)
		}
	}
	return errors.Join(failed...)
}

// locate puts file and line before an error.
func (l *ruleLoader) locate(file string, line int, err error) error {
	if err == nil {
		return nil
	}
	if at := (*lineError)(nil); errors.As(err, &at) {
		line = at.line
	}
	if syntax := yaml.Error(nil); errors.As(err, &syntax) {
		if token := syntax.GetToken(); token != nil {
			line = token.Position.Line
		}
		return fmt.Errorf("%s:%d: %s", file, line, syntax.GetMessage())
	}
	return fmt.Errorf("%s:%d: %w", file, line, err)
}

// small reads a file in our small form.
func (l *ruleLoader) small(name string, doc ast.Node) error {
	var f ruleFile
	if err := yaml.NodeToValue(doc, &f, yaml.Strict()); err != nil {
		return l.locate(name, 1, err)
	}
	if f.Schema != schemaEnvelope && f.Schema != schemaElastic {
		return l.locate(name, 1, fmt.Errorf("schema %q: there are %s and %s", f.Schema, schemaEnvelope, schemaElastic))
	}
	var failed []error
	for _, s := range f.Rules {
		r := rule{id: s.ID, dialect: f.Dialect, kind: s.Kind, schema: f.Schema, fires: s.Fires, silent: s.Silent, file: name, line: s.Condition.line}
		var err error
		if r.kind != kindSignIn && r.kind != kindAudit {
			err = fmt.Errorf("rule %s: kind %q: there are %s and %s", s.ID, s.Kind, kindSignIn, kindAudit)
		} else {
			r.condition, err = parseCondition(s.Condition.text, func(path string) ([]string, error) {
				if l.strict {
					return l.names.ours(f.Dialect, r.kind, path)
				}
				return l.names.outside(f.Dialect, r.kind, path)
			})
		}
		if err = l.locate(name, r.line, err); err != nil {
			failed = append(failed, err)
			continue
		}
		l.rules = append(l.rules, r)
	}
	return errors.Join(failed...)
}
