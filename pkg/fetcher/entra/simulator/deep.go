package simulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Properties that filters reach below a record's top level and that no walk has at hand: they are read in the record as it is printed.
const (
	errorCode     = "status/errorCode"
	initiatorName = "initiatedBy/user/displayName"
	targets       = "targetResources"

	listEnd = "\n" // between the texts of a list
)

func deep(property string) bool {
	return property == errorCode || property == initiatorName || inList(property)
}

func inList(property string) bool { return strings.HasPrefix(property, targets+"/") }

// variable reads the beginning of any(t: ..). The colon may stand alone or with its neighbours; within times it is no delimiter, so
// the lexer leaves it alone.
func (p *parser) variable(list string) (string, error) {
	if err := p.want("("); err != nil {
		return "", err
	}
	variable, rest, ok := strings.Cut(p.next(), ":")
	if !ok {
		rest, ok = strings.CutPrefix(p.next(), ":")
	}
	if !ok || variable == "" {
		return "", fmt.Errorf("Syntax error: range variable expected in '%s/any'.", list)
	}
	if rest != "" {
		p.tokens = slices.Insert(p.tokens, 0, rest)
	}
	return variable, nil
}

// anyTarget reads the rest of targetResources/any(t: t/id eq 'x' or startswith(t/displayName, 'y')).
func (p *parser) anyTarget(variable string) (*node, error) {
	p.each = variable
	n, err := p.or()
	p.each = ""
	if err != nil {
		return nil, err
	}
	return n, p.want(")")
}

// full is a property's name from the top of the record. What is below a list is to be had through any(..) alone, and nothing else
// is there.
func (p *parser) full(name string) string {
	if p.each == "" {
		if inList(name) {
			return name + "?"
		}
		return name
	}
	rest, ok := strings.CutPrefix(name, p.each+"/")
	if !ok {
		return name + "?"
	}
	return targets + "/" + rest
}

// number takes an integer, which stands without quotes.
func (p *parser) number() (string, error) {
	t := p.next()
	if _, err := strconv.Atoi(t); err != nil {
		return "", fmt.Errorf("Syntax error: integer expected, found '%s'.", t)
	}
	return t, nil
}
