package filter

import (
	"fmt"
	"slices"
	"strings"
)

// grammar follows an expression from left to right: comparisons, joined by and or or. Words are those that linter has mended.
type grammar struct {
	tokens []token
	next   int
	wrong  []string // the first fault alone: what follows from it is none of its own
}

// order tells what stands where it cannot.
func order(tokens []token) []string {
	g := grammar{tokens: tokens}
	g.expression()
	if g.peek() != "" {
		g.fail("nothing joins %s to what stands before it: write and or or between them", g.peek())
	}
	return g.wrong
}

func (g *grammar) peek() string {
	if g.wrong == nil && g.next < len(g.tokens) {
		return g.tokens[g.next].text
	}
	return ""
}

// take passes over the next token if it is one of these.
func (g *grammar) take(words ...string) bool {
	word := g.peek()
	if word == "" || !slices.Contains(words, word) {
		return false
	}
	g.next++
	return true
}

func (g *grammar) fail(format string, args ...any) {
	if g.wrong == nil {
		g.wrong = []string{fmt.Sprintf(format, args...)}
	}
}

// expression is comparisons and what joins them.
func (g *grammar) expression() {
	for ok := true; ok; ok = g.take("and", "or") {
		for g.take("not") {
		}
		g.operand()
		if g.take(comparisons...) {
			g.operand()
		}
	}
}

// operand is a field, a value, a call, or something in parentheses.
func (g *grammar) operand() {
	text := g.peek()
	switch {
	case g.wrong != nil:
		return
	case text == "":
		g.fail("nothing follows %s", g.tokens[g.next-1].text)
	case text == "(":
		g.list()
	case slices.Contains(joints, text) || slices.Contains(comparisons, text) || strings.Contains("),:", text):
		g.fail("%s stands where a field or a value should", text)
	default:
		g.next++
		if g.peek() == "(" && text[0] != '\'' {
			g.list()
		}
	}
}

// list is what stands in parentheses: an expression, values with commas between them, or t: and an expression on t.
func (g *grammar) list() {
	g.take("(")
	if g.take(")") {
		return
	}
	if g.next+1 < len(g.tokens) && g.tokens[g.next+1].text == ":" {
		g.next += 2
	}
	g.expression()
	for g.take(",") {
		g.expression()
	}
	if !g.take(")") {
		g.fail("nothing joins %s to what stands before it: write and or or between them", g.peek())
	}
}
