package normalizer_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The small language of conditions:
//
//	path == "text"             also numbers, true and false; a number never equals a text
//	path in ("a", "b")         one of them
//	path < 5                   also <= > >=; texts are compared with texts
//	path contains "x"          also startswith, endswith, like (with * and ?), matches (a regular expression)
//	path exists                there, not null, not empty
//	any path (condition)       one element of a list, or member of a map, meets the condition; paths go on within it
//	not, and, or, ( )          not binds closest, or least
//
// With an i before it (icontains, ilike, ..) a test ignores letter case; =~ is == so. A path through a list means any of its
// elements. The language has no "is not": rules disagree about what is missing, so say not (path == ..).
type language struct {
	logic
	prefix []string // steps of the any around
	path   string   // the same as text
	lookup func(path string) ([]string, error)
}

// logic reads and, or, not and parentheses; leaf reads what they join.
type logic struct {
	tokens []string
	leaf   func() (condition, error)
}

var tokenPattern = regexp.MustCompile("^(?:\"(?:[^\"\\\\]|\\\\.)*\"|[(),]|(?:`[^`]*`|[^\\s\"(),`])+)")

// parseCondition reads a condition. lookup gives the steps of a path within an event.
func parseCondition(text string, lookup func(string) ([]string, error)) (condition, error) {
	l := &language{lookup: lookup}
	l.leaf = l.test
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		token := tokenPattern.FindString(rest)
		if token == "" {
			return condition{}, fmt.Errorf("cannot read %q", rest)
		}
		l.tokens, rest = append(l.tokens, token), rest[len(token):]
	}
	return l.all()
}

func (l *logic) all() (condition, error) {
	c, err := l.or()
	if err == nil && len(l.tokens) > 0 {
		err = fmt.Errorf("unexpected %q", l.tokens[0])
	}
	return c, err
}

func (l *logic) peek() string {
	if len(l.tokens) == 0 {
		return ""
	}
	return l.tokens[0]
}

func (l *logic) next() string {
	token := l.peek()
	l.tokens = l.tokens[min(1, len(l.tokens)):]
	return token
}

func (l *logic) expect(want string) error {
	if got := l.next(); got != want {
		return fmt.Errorf("want %q, have %q", want, got)
	}
	return nil
}

func (l *logic) or() (condition, error)  { return l.series("or", l.and) }
func (l *logic) and() (condition, error) { return l.series("and", l.unary) }

func (l *logic) series(op string, part func() (condition, error)) (condition, error) {
	first, err := part()
	if err != nil || l.peek() != op {
		return first, err
	}
	c := condition{op: op, parts: []condition{first}}
	for l.peek() == op {
		l.next()
		p, err := part()
		if err != nil {
			return c, err
		}
		c.parts = append(c.parts, p)
	}
	return c, nil
}

func (l *logic) unary() (condition, error) {
	switch l.peek() {
	case "not":
		l.next()
		part, err := l.unary()
		return condition{op: "not", parts: []condition{part}}, err
	case "(":
		return l.group()
	}
	return l.leaf()
}

func (l *logic) group() (condition, error) {
	if err := l.expect("("); err != nil {
		return condition{}, err
	}
	c, err := l.or()
	if err != nil {
		return c, err
	}
	return c, l.expect(")")
}

func (l *language) any() (condition, error) {
	path := l.next()
	where, err := l.find(path)
	if err != nil {
		return condition{}, err
	}
	c := condition{op: "any", path: path, where: where}
	// What is within starts at the element: its paths are looked up as a whole and cut.
	outerPath, outerPrefix := l.path, l.prefix
	l.path, l.prefix = l.path+path+".", slices.Concat(l.prefix, where)
	part, err := l.group()
	l.path, l.prefix = outerPath, outerPrefix
	c.parts = []condition{part}
	return c, err
}

// find gives the steps of a path from the element that an any around it stands at.
func (l *language) find(path string) ([]string, error) {
	if path == "" || strings.ContainsAny(path[:1], "\"(),=<>") {
		return nil, fmt.Errorf("want a path, have %q", path)
	}
	where, err := l.lookup(l.path + path)
	if err != nil || len(where) == 0 {
		return nil, err
	}
	if len(where) <= len(l.prefix) || !slices.Equal(where[:len(l.prefix)], l.prefix) {
		return nil, fmt.Errorf("%s%s does not lead into an element", l.path, path)
	}
	return where[len(l.prefix):], nil
}

func (l *language) test() (condition, error) {
	path := l.next()
	if path == "any" {
		return l.any()
	}
	where, err := l.find(path)
	if err != nil {
		return condition{}, err
	}
	c := condition{op: l.next(), path: l.path + path, where: where}
	if c.op == "=~" {
		c.op, c.fold = "==", true
	} else if plain, found := strings.CutPrefix(c.op, "i"); found && c.op != "in" {
		c.op, c.fold = plain, true
	}
	switch c.op {
	case "exists":
		return c, nil
	case "in":
		c.op = "=="
		return c, l.list(&c)
	case "==", "<", "<=", ">", ">=", "contains", "startswith", "endswith", "like", "matches":
		return c, l.operand(&c)
	}
	return c, fmt.Errorf("unknown test %q of %s", c.op, path)
}

func (l *language) list(c *condition) error {
	for token := "("; token != ")"; token = l.next() {
		if token != "(" && token != "," {
			return fmt.Errorf("want , or ) in a list, have %q", token)
		}
		if token == "(" && l.next() != "(" {
			return fmt.Errorf("want a list in ( ) after in")
		}
		if err := l.operand(c); err != nil {
			return err
		}
	}
	return nil
}

func (l *language) operand(c *condition) error {
	token := l.next()
	want := operand{}
	switch {
	case strings.HasPrefix(token, `"`):
		text, err := strconv.Unquote(token)
		if err != nil {
			return fmt.Errorf("read %s: %w", token, err)
		}
		want.value = text
	case token == "true" || token == "false":
		want.value = token == "true"
	case json.Valid([]byte(token)) && strings.Trim(token[:1], "-0123456789") == "":
		want.value = json.Number(token)
	default:
		return fmt.Errorf("want a text in quotes, a number, true or false, have %q", token)
	}
	text, isText := want.value.(string)
	pattern := text
	switch c.op {
	case "==", "<", "<=", ">", ">=":
		c.want = append(c.want, want)
		return nil
	case "like":
		pattern = "^" + globPattern(text, false) + "$"
	}
	if !isText {
		return fmt.Errorf("%s wants a text, has %s", c.op, token)
	}
	if c.op == "like" || c.op == "matches" {
		var err error
		if want.pattern, err = compilePattern(pattern, c.fold); err != nil {
			return err
		}
	}
	c.want = append(c.want, want)
	return nil
}

func compilePattern(pattern string, fold bool) (*regexp.Regexp, error) {
	flags := "(?s)"
	if fold {
		flags = "(?si)"
	}
	return regexp.Compile(flags + pattern)
}

// globPattern is the regular expression of a text with * and ?. With escapes a backslash before one of them, or before another
// backslash, makes it an ordinary character, as in Sigma.
func globPattern(text string, escapes bool) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\' && i+1 < len(text) && strings.IndexByte(`*?\`, text[i+1]) >= 0:
			i++
			b.WriteString(regexp.QuoteMeta(text[i : i+1]))
		case text[i] == '*':
			b.WriteString(".*")
		case text[i] == '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(text[i : i+1]))
		}
	}
	return b.String()
}
