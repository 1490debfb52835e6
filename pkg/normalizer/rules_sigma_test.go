package normalizer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// errUnsupported means a part of a rule that the evaluator does not know. Such a rule is named and passed over.
var errUnsupported = errors.New("unsupported")

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnsupported, fmt.Sprintf(format, args...))
}

// lineError is what is wrong at a line of a rule file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

func errorAt(node ast.Node, err error) error {
	if found := (*lineError)(nil); err == nil || errors.As(err, &found) {
		return err
	}
	return &lineError{node.GetToken().Position.Line, err}
}

// sigmaRule is the part of a Sigma rule that decides.
type sigmaRule struct {
	Title     string `yaml:"title"`
	ID        string `yaml:"id"`
	Logsource struct {
		Product string `yaml:"product"`
		Service string `yaml:"service"`
	} `yaml:"logsource"`
	Correlation any `yaml:"correlation"`
}

// sigmaServices are the services of product azure whose records we have, with the kind of our rules.
var sigmaServices = map[string]string{"signinlogs": kindSignIn, "auditlogs": kindAudit}

// readSigma reads a Sigma rule: detections that are maps, lists of maps and lists of values, the usual modifiers, and
// conditions with and, or, not, 1 of, all of. Fields are found by their aliases in names.
func readSigma(doc ast.Node, names *fieldNames) (rule, error) {
	var head sigmaRule
	if err := yaml.NodeToValue(doc, &head); err != nil {
		return rule{}, err
	}
	r := rule{id: head.ID, title: head.Title, dialect: "sigma", schema: schemaEnvelope}
	if r.id == "" {
		r.id = head.Title
	}
	if head.Correlation != nil {
		return r, unsupported("correlation of events")
	}
	r.kind = sigmaServices[head.Logsource.Service]
	if head.Logsource.Product != "azure" || r.kind == "" {
		return r, unsupported("product %q, service %q: there are signinlogs and auditlogs of azure", head.Logsource.Product, head.Logsource.Service)
	}
	detection := member(doc, "detection")
	if detection == nil {
		return r, errors.New("no detection")
	}
	s := sigma{names: names, kind: r.kind, searches: map[string]condition{}}
	var err error
	r.condition, err = s.detection(detection)
	return r, errorAt(detection, err)
}

// member is the value of a map's key, nil without one.
func member(node ast.Node, key string) ast.Node {
	if m, ok := node.(ast.MapNode); ok {
		for it := m.MapRange(); it.Next(); {
			if it.Key().String() == key {
				return it.Value()
			}
		}
	}
	return nil
}

// sigma reads the detection of one rule.
type sigma struct {
	logic
	names    *fieldNames
	kind     string
	searches map[string]condition // by search identifier
}

func (s *sigma) detection(node ast.Node) (condition, error) {
	m, ok := node.(ast.MapNode)
	if !ok {
		return condition{}, errors.New("detection is not a map")
	}
	var formula ast.Node
	for it := m.MapRange(); it.Next(); {
		switch key := it.Key().String(); key {
		case "condition":
			formula = it.Value()
		case "timeframe":
			return condition{}, errorAt(it.Key(), unsupported("timeframe"))
		default:
			c, err := s.search(it.Value())
			if err != nil {
				return c, errorAt(it.Value(), err)
			}
			s.searches[key] = c
		}
	}
	if formula == nil {
		return condition{}, errors.New("no condition")
	}
	either := condition{op: "or"}
	for _, one := range elements(formula) {
		c, err := s.formula(scalarText(one))
		if err != nil {
			return c, errorAt(one, err)
		}
		either.parts = append(either.parts, c)
	}
	return either, nil
}

// elements are those of a list, or the node itself.
func elements(node ast.Node) []ast.Node {
	if list, ok := node.(*ast.SequenceNode); ok {
		return list.Values
	}
	return []ast.Node{node}
}

func (s *sigma) search(node ast.Node) (condition, error) {
	if list, ok := node.(*ast.SequenceNode); ok {
		either := condition{op: "or"}
		for _, element := range list.Values {
			c, err := s.search(element)
			if err != nil {
				return c, errorAt(element, err)
			}
			either.parts = append(either.parts, c)
		}
		return either, nil
	}
	m, ok := node.(ast.MapNode)
	if !ok {
		return condition{}, unsupported("keywords without a field")
	}
	both := condition{op: "and"}
	for it := m.MapRange(); it.Next(); {
		c, err := s.field(scalarText(it.Key()), it.Value())
		if err != nil {
			return c, errorAt(it.Key(), err)
		}
		both.parts = append(both.parts, c)
	}
	return both, nil
}

// field reads "Field|modifier|modifier: value or values".
func (s *sigma) field(key string, value ast.Node) (condition, error) {
	name, modifiers, _ := strings.Cut(key, "|")
	where, err := s.names.outside("sigma", s.kind, name)
	if err != nil {
		return condition{}, err
	}
	test := condition{op: "like", path: name, where: where, fold: true, loose: true}
	joined := condition{op: "or"}
	before, after := "^", "$"
	for modifier := range strings.SplitSeq(modifiers, "|") {
		switch modifier {
		case "", "i": // for re: letter case does not matter unless it is cased
		case "contains":
			before, after = "", ""
		case "startswith":
			after = ""
		case "endswith":
			before = ""
		case "re":
			test.op, test.fold = "matches", slices.Contains(strings.Split(modifiers, "|"), "i")
		case "all":
			joined.op = "and"
		case "cased":
			test.fold = false
		case "exists":
			test.op = "exists"
		case "lt", "lte", "gt", "gte":
			test.op = map[string]string{"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}[modifier]
		default:
			return condition{}, unsupported("modifier %q of %s", modifier, name)
		}
	}
	for _, v := range elements(value) {
		c, err := sigmaTest(test, v, before, after)
		if err != nil {
			return c, errorAt(v, err)
		}
		joined.parts = append(joined.parts, c)
	}
	return joined, nil
}

// sigmaTest completes a test with one value; before and after are what holds a text to the ends of what is searched.
func sigmaTest(c condition, value ast.Node, before, after string) (condition, error) {
	text := scalarText(value)
	switch value.(type) {
	case *ast.NullNode:
		c.op = "absent"
		return c, nil
	case ast.MapNode, *ast.SequenceNode:
		return c, fmt.Errorf("%s: want a value, have a map or list", c.path)
	}
	switch c.op {
	case "exists":
		if text == "false" {
			c.op = "absent"
		}
		return c, nil
	case "<", "<=", ">", ">=":
		if !json.Valid([]byte(text)) {
			return c, fmt.Errorf("%s %s wants a number, has %q", c.path, c.op, text)
		}
		c.want = []operand{{value: json.Number(text)}}
		return c, nil
	case "like":
		text = before + globPattern(text, true) + after
	}
	pattern, err := compilePattern(text, c.fold)
	if err != nil {
		return c, unsupported("regular expression of %s: %v", c.path, err)
	}
	c.want = []operand{{pattern: pattern}}
	return c, nil
}

// scalarText is a scalar's text without quotes.
func scalarText(node ast.Node) string {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value)
	case *ast.BoolNode:
		return fmt.Sprint(n.Value)
	}
	return node.GetToken().Value
}

var formulaToken = regexp.MustCompile(`[()|]|[^\s()|]+`)

// formula reads a condition over search identifiers.
func (s *sigma) formula(text string) (condition, error) {
	s.tokens, s.leaf = formulaToken.FindAllString(text, -1), s.identifier
	if slices.Contains(s.tokens, "|") {
		return condition{}, unsupported("aggregation in the condition %q", text)
	}
	for i, token := range s.tokens {
		switch lower := strings.ToLower(token); lower {
		case "and", "or", "not":
			s.tokens[i] = lower
		}
	}
	return s.all()
}

// identifier reads a search identifier, or "1 of" and "all of" some.
func (s *sigma) identifier() (condition, error) {
	name := s.next()
	if s.peek() != "of" {
		c, ok := s.searches[name]
		if !ok {
			return c, fmt.Errorf("the condition names %q, which is no search of this rule", name)
		}
		return c, nil
	}
	s.next()
	c := condition{op: map[string]string{"1": "or", "any": "or", "all": "and"}[name]}
	if c.op == "" {
		return c, unsupported("%q of", name)
	}
	pattern := s.next()
	for key, search := range s.searches {
		matched, err := path.Match(pattern, key)
		if err != nil {
			return c, fmt.Errorf("read %q: %w", pattern, err)
		}
		if matched || pattern == "them" && !strings.HasPrefix(key, "_") {
			c.parts = append(c.parts, search)
		}
	}
	if len(c.parts) == 0 {
		return c, fmt.Errorf("%s of %s: there is no such search", name, pattern)
	}
	return c, nil
}
