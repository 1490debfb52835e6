package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// parse makes a syntax tree; the library panics over some malformed texts.
func parse(text []byte) (tree *ast.File, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // of editors on Windows
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("it is no UTF-8 text: save it in that encoding")
	}
	return parser.ParseBytes(text, 0)
}

var position = regexp.MustCompile(`^\[(\d+):(\d+)\] `)

// wayOut says in the words of whoever wrote the file what the library's message mostly comes from. The first that is part of the
// message counts.
var wayOut = []struct{ part, says string }{
	{"character '\t'", "a tab stands in the indent: use blanks"},
	{"mapping value is not allowed", "the line is not indented as those above it, or a value with a colon and a blank in it needs quotes"},
	{"value is not allowed in this context", "the line is not indented as those above it, or a value that begins with { or [ needs quotes"},
	{"non-map value is specified", "a line is no key: value as those around it are: a colon is missing, or a dash is one too many"},
	{"unexpected key name", "a blank is missing behind a colon, or the line is not indented as those above it"},
	{"could not find end character", "the quote that begins here has no end"},
	{"',' or '}' must be specified", "a brace opens and does not close, a comma is missing, or a value with a brace in it needs quotes"},
	{"',' or ']' must be specified", "a bracket opens and does not close, a comma is missing, or a value with a bracket in it needs quotes"},
	{"sequence end token ']' not found", "a bracket opens and does not close"},
	{"unexpected scalar value type", "a value that begins with * needs quotes"},
	{"reserved character", "a value that begins with it needs quotes"},
}

func syntaxProblem(name string, err error) Problem {
	msg, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	p := Problem{File: name, Line: 1, Column: 1, Msg: "this is not YAML: " + msg}
	m := position.FindStringSubmatch(msg)
	if m == nil {
		return p
	}
	p.Line, _ = strconv.Atoi(m[1])
	p.Column, _ = strconv.Atoi(m[2])
	msg = strings.TrimPrefix(msg, m[0])
	if key, first, twice := strings.Cut(msg, " already defined at ["); twice {
		line, _, _ := strings.Cut(first, ":")
		p.Msg = fmt.Sprintf("%s stands twice in this block, first in line %s", strings.TrimPrefix(key, "mapping key "), line)
		return p
	}
	p.Msg = "this is not YAML: " + msg
	for _, w := range wayOut {
		if strings.Contains(msg, w.part) {
			p.Msg = fmt.Sprintf("this is not YAML: %s (%s)", w.says, msg)
			break
		}
	}
	return p
}

// hint names what the key may have been meant to be: a name that is spelt alike, the block that it belongs to, or all that there is.
func hint(key string, keys []configKey) string {
	if key == "<<" {
		return ": anchors and aliases are not supported: write the values out"
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(k configKey) bool { return k.name == "client_secret" }) // which is refused
	best, least, meant := "", 3, plain(key)
	for _, k := range keys {
		if n := distance(meant, plain(k.name)); n < least {
			best, least = k.name, n
		}
	}
	for _, k := range keys {
		name := plain(k.name)
		if best == "" && min(len(name), len(meant)) > 3 && (strings.Contains(name, meant) || strings.Contains(meant, name)) {
			best = k.name
		}
	}
	if best != "" {
		return ": did you mean " + best + "?"
	}
	if homes := homesOf(key); len(homes) > 0 && len(homes) < 4 {
		return " here: it belongs to " + strings.Join(homes, " or ") + ": mind the indent"
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return ": there are " + strings.Join(names, ", ")
}

// plain is a key as it is however words are joined: clientId, client-id, client_id.
func plain(key string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
}

// homesOf gives the blocks that have the key.
func homesOf(key string) (homes []string) {
	top, err := describe()
	if err != nil {
		return nil // told by the test of the table
	}
	var walk func(*entry)
	walk = func(e *entry) {
		for _, b := range e.below {
			if b.name == key {
				home := e.path
				if home == "" {
					home = "the top"
				}
				homes = append(homes, home)
			}
			walk(b)
		}
		if e.element != nil {
			walk(e.element)
		}
	}
	walk(top)
	return homes
}

// distance is the edit distance of two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
