package simulator

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The $filter grammar that is served: comparisons joined by and, or and parentheses; startswith(property,'x'); signInEventTypes/any(t: t eq 'x' or t ne 'y').
// Source: https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html section 5.1.1; which properties and operators
// Graph takes is in its reference pages of signIn and directoryAudit.

// ticks counts 100 ns since 1970, the resolution of Graph's times.
type ticks = int64

const ticksPerSecond = int64(time.Second / 100)

func toTicks(t time.Time) ticks { return t.Unix()*ticksPerSecond + int64(t.Nanosecond())/100 }

func fromTicks(t ticks) time.Time {
	seconds, rest := t/ticksPerSecond, t%ticksPerSecond
	return time.Unix(seconds, rest*100).UTC()
}

type operator uint8

const (
	opAnd operator = iota
	opOr
	opEq
	opGe
	opGt
	opLe
	opLt
	opStartsWith
	opAny
)

var comparisons = map[string]operator{"eq": opEq, "ge": opGe, "gt": opGt, "le": opLe, "lt": opLt}

// node is a part of a filter. Leaves have no children; kinds is opAny's set of streams, one bit per index into AllStreams.
type node struct {
	op          operator
	left, right *node
	property    string
	isTime      bool
	text        string
	time        ticks
	kinds       streamSet
	test        func(value string) bool // of the older API's fields: in place of op and text
}

// subject is a record as a filter sees it. property is called for text properties alone, as making one costs.
type subject interface {
	property(name string) string
}

// match says whether a record of a stream at a time passes. A nil node passes all.
func (n *node) match(at ticks, stream int, rec subject) bool {
	switch {
	case n == nil:
		return true
	case n.op == opAnd:
		return n.left.match(at, stream, rec) && n.right.match(at, stream, rec)
	case n.op == opOr:
		return n.left.match(at, stream, rec) || n.right.match(at, stream, rec)
	case n.op == opAny:
		return n.kinds&(1<<stream) != 0
	case n.isTime:
		return (n.op == opEq && at == n.time) || (n.op == opGe && at >= n.time) || (n.op == opGt && at > n.time) ||
			(n.op == opLe && at <= n.time) || (n.op == opLt && at < n.time)
	case n.test != nil:
		return n.test(rec.property(n.property))
	case inList(n.property):
		return slices.ContainsFunc(strings.Split(rec.property(n.property), listEnd), n.equals)
	default:
		return n.equals(rec.property(n.property))
	}
}

// equals says whether a text is what the node compares with, or begins so.
func (n *node) equals(value string) bool {
	if n.op == opStartsWith {
		return len(value) >= len(n.text) && strings.EqualFold(value[:len(n.text)], n.text)
	}
	return strings.EqualFold(value, n.text)
}

// bounds returns the closed stretch outside of which nothing passes.
func (n *node) bounds() (lo, hi ticks) {
	lo, hi = math.MinInt64, math.MaxInt64
	switch {
	case n == nil || n.op == opAny || (n.left == nil && !n.isTime):
	case n.op == opAnd:
		a, b := n.left.bounds()
		c, d := n.right.bounds()
		lo, hi = max(a, c), min(b, d)
	case n.op == opOr:
		a, b := n.left.bounds()
		c, d := n.right.bounds()
		lo, hi = min(a, c), max(b, d)
	default:
		if n.op == opEq || n.op == opGe || n.op == opGt {
			lo = n.time
		}
		if n.op == opEq || n.op == opLe || n.op == opLt {
			hi = n.time
		}
	}
	return lo, hi
}

// streams returns the streams of which a record may pass, as bits, and whether the filter names any kinds of sign-in.
func (n *node) streams() (bits streamSet, named bool) {
	switch {
	case n == nil || (n.left == nil && n.op != opAny):
		return math.MaxUint16, false
	case n.op == opAny:
		return n.kinds, true
	}
	a, inA := n.left.streams()
	b, inB := n.right.streams()
	if n.op == opOr {
		return a | b, inA || inB
	}
	return a & b, inA || inB
}

// parser reads a filter over the properties of one collection.
type parser struct {
	tokens []string
	of     *collection
	beta   bool
	depth  int
	each   string                           // the variable that stands for an entry of targetResources; "" outside of any(..)
	leaf   func(word string) (*node, error) // reads what is neither joined nor in parentheses; nil: as Microsoft Graph does
}

const maxDepth = 100 // of parentheses, so that a hostile filter cannot exhaust the stack

// parseFilter reads a $filter. Its errors are texts to be shown after "Invalid filter clause".
func parseFilter(text string, of *collection, beta bool) (*node, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, of: of, beta: beta}
	n, err := p.or()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("Syntax error at '%s'.", p.tokens[0])
	}
	return n, err
}

func lex(text string) ([]string, error) {
	var tokens []string
	for i := 0; i < len(text); {
		start := i
		switch c := text[i]; {
		case c == ' ' || c == '\t':
			i++
			continue
		case c == '(' || c == ')' || c == ',':
			i++
		case c == '\'':
			for i++; ; i++ {
				if i >= len(text) {
					return nil, fmt.Errorf("There is an unterminated string literal at position %d.", start)
				}
				if text[i] == '\'' {
					if i+1 < len(text) && text[i+1] == '\'' {
						i++
						continue
					}
					i++
					break
				}
			}
		default:
			for i < len(text) && strings.IndexByte(" \t(),'", text[i]) < 0 {
				i++
			}
		}
		tokens = append(tokens, text[start:i])
	}
	return tokens, nil
}

// next takes the next token; at the end it is "".
func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *parser) accept(token string) bool {
	if len(p.tokens) == 0 || p.tokens[0] != token {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *parser) want(token string) error {
	if got := p.next(); got != token {
		return fmt.Errorf("Syntax error: '%s' expected, found '%s'.", token, got)
	}
	return nil
}

func (p *parser) or() (*node, error) { return p.joined("or", opOr, p.and) }

func (p *parser) and() (*node, error) { return p.joined("and", opAnd, p.term) }

func (p *parser) joined(word string, op operator, part func() (*node, error)) (*node, error) {
	n, err := part()
	for err == nil && p.accept(word) {
		var right *node
		if right, err = part(); err == nil {
			n = &node{op: op, left: n, right: right}
		}
	}
	return n, err
}

func (p *parser) term() (*node, error) {
	if p.accept("(") {
		if p.depth++; p.depth > maxDepth {
			return nil, fmt.Errorf("The node count limit of '%d' has been exceeded.", maxDepth)
		}
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		p.depth--
		return n, p.want(")")
	}
	switch word := p.next(); {
	case p.leaf != nil:
		return p.leaf(word)
	case strings.EqualFold(word, "startswith"):
		return p.startsWith()
	case strings.HasSuffix(word, "/any"):
		return p.any(strings.TrimSuffix(word, "/any"))
	default:
		return p.comparison(word)
	}
}

func (p *parser) comparison(name string) (*node, error) {
	name = p.full(name)
	isTime, err := p.lookup(name)
	if err != nil {
		return nil, err
	}
	word := p.next()
	op, ok := comparisons[word]
	if !ok {
		return nil, fmt.Errorf("Syntax error: operator expected after '%s', found '%s'.", name, word)
	}
	n := &node{op: op, property: name, isTime: isTime}
	if isTime && !p.of.takes(op) {
		return nil, fmt.Errorf("operator '%s' is not supported on '%s'.", word, name)
	}
	if isTime {
		n.time, err = parseTime(p.next())
		return n, err
	}
	if op != opEq {
		return nil, fmt.Errorf("operator '%s' is not supported on '%s'.", word, name)
	}
	if name == errorCode {
		n.text, err = p.number()
		return n, err
	}
	n.text, err = p.text()
	return n, err
}

func (p *parser) startsWith() (*node, error) {
	if err := p.want("("); err != nil {
		return nil, err
	}
	name := p.full(p.next())
	isTime, err := p.lookup(name)
	if err == nil && (isTime || name == errorCode) {
		err = fmt.Errorf("startswith does not take '%s'.", name)
	}
	if err == nil {
		err = p.want(",")
	}
	if err != nil {
		return nil, err
	}
	text, err := p.text()
	if err != nil {
		return nil, err
	}
	return &node{op: opStartsWith, property: name, text: text}, p.want(")")
}

// any reads the rest of signInEventTypes/any(t: t eq 'x' or t eq 'y'), or of targetResources/any(..).
func (p *parser) any(name string) (*node, error) {
	targets := name == targets && slices.Contains(p.of.properties, targets+"/id") && p.each == ""
	if !targets && (p.of != signIns || !p.beta || name != eventTypes) {
		return nil, p.unknown(name)
	}
	variable, err := p.variable(name)
	if err != nil {
		return nil, err
	}
	if targets {
		return p.anyTarget(variable)
	}
	n := &node{op: opAny}
	for {
		if err := p.want(variable); err != nil {
			return nil, err
		}
		word := p.next()
		text, err := p.text()
		if err != nil {
			return nil, err
		}
		i := slices.Index(eventTypeNames, text)
		switch {
		case i < 0:
			return nil, fmt.Errorf("The value '%s' is not a member of '%s'.", text, eventTypes)
		case word == "eq":
			n.kinds |= 1 << i
		case word == "ne":
			n.kinds |= 0x0f &^ (1 << i)
		default:
			return nil, fmt.Errorf("operator '%s' is not supported in '%s/any'.", word, name)
		}
		if !p.accept("or") {
			return n, p.want(")")
		}
	}
}

// lookup says whether a property is a time.
func (p *parser) lookup(name string) (isTime bool, err error) {
	if name == p.of.time {
		return true, nil
	}
	if !slices.Contains(p.of.properties, name) {
		return false, p.unknown(name)
	}
	return false, nil
}

func (p *parser) unknown(name string) error {
	return fmt.Errorf("Could not find a property named '%s' on type '%s'.", name, p.of.typeName)
}

// text takes a quoted string.
func (p *parser) text() (string, error) {
	t := p.next()
	if len(t) < 2 || t[0] != '\'' {
		return "", fmt.Errorf("Syntax error: string literal expected, found '%s'.", t)
	}
	return strings.ReplaceAll(t[1:len(t)-1], "''", "'"), nil
}

// parseTime reads a bare literal such as 2026-01-31T08:00:00.1234567Z. Graph refuses quoted ones without giving a reason.
func parseTime(text string) (ticks, error) {
	if strings.HasPrefix(text, "'") {
		return 0, errNoReason
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("Unrecognized date literal %s.", strconv.Quote(text))
	}
	return toTicks(t), nil
}
