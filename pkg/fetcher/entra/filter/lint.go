package filter

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Fault is what is wrong with an expression.
type Fault struct {
	Why      []string
	Repaired string // "" where nobody can tell what was meant
}

func (f *Fault) Error() string { return strings.Join(f.Why, "; ") }

// Check holds an expression that a user has written for $filter against the rules, so that the API neither refuses it nor passes
// over it. The error is a *Fault. Fields are checked where the stream's are known, of a path the first step alone.
func Check(d Dialect, stream, expr string) error {
	repaired, why, dead := repair(d, stream, expr)
	switch {
	case len(why)+len(dead) == 0:
		return nil
	case len(dead) == 0:
		if _, again, dead := repair(d, stream, repaired); len(again)+len(dead) > 0 {
			repaired = ""
		}
		return &Fault{Why: why, Repaired: repaired}
	}
	return &Fault{Why: append(why, dead...)}
}

// repair gives the expression as it should be, what was wrong with it, and what cannot be repaired.
func repair(d Dialect, stream, expr string) (repaired string, why, dead []string) {
	if !utf8.ValidString(expr) {
		return "", nil, []string{"it is not UTF-8"}
	}
	plain, why, wrong := unpaste(expr)
	if wrong != "" {
		return "", why, []string{wrong}
	}
	plain, typo := straighten(plain)
	if typo {
		why = append(why, "its quotes are not the straight ' that OData wants")
	}
	tokens, wrong := split(plain)
	if wrong != "" {
		return "", why, []string{wrong}
	}
	if len(tokens) == 0 {
		return "", why, []string{"it is empty: leave it out"}
	}
	l := linter{dialect: d, stream: stream, known: fieldsOf(d, stream), tokens: tokens, variables: map[string]bool{"$it": true}}
	l.walk()
	if len(l.dead) == 0 {
		l.dead = order(l.tokens)
	}
	var b strings.Builder
	for _, t := range l.tokens {
		b.WriteString(t.space + t.text)
	}
	return b.String(), append(why, l.why...), l.dead
}

// token is a word, a literal in quotes, or one of ( ) , : with the space before it.
type token struct{ space, text string }

func (t token) isWord() bool { return t.text != "" && !strings.Contains("(),:'", t.text[:1]) }

// split takes an expression apart and counts its parentheses. The last result says what is wrong.
func split(s string) (tokens []token, wrong string) {
	depth := 0
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
			i++
		}
		space, begin := s[start:i], i
		if i == len(s) {
			break
		}
		switch c := s[i]; {
		case c == '\'':
			if i = closing(s, i); i < 0 {
				return nil, "a quote has no partner (within a literal it is doubled: 'O''Neill')"
			}
		case strings.IndexByte("(),:", c) >= 0:
			i++
			switch {
			case c == '(':
				depth++
			case c == ')':
				depth--
			}
			if depth < 0 {
				return nil, "it has a closing parenthesis too many"
			}
		default:
			// A time has colons in it; the variable of any( does not begin with a digit.
			stop := " \t\r\n(),'"
			if c > '9' {
				stop += ":"
			}
			for i < len(s) && strings.IndexByte(stop, s[i]) < 0 {
				i++
			}
		}
		tokens = append(tokens, token{space, s[begin:i]})
	}
	if depth > 0 {
		return nil, "it has an opening parenthesis too many"
	}
	return tokens, ""
}

// closing gives the place behind the literal that begins at i; -1 if it has no end.
func closing(s string, i int) int {
	for i++; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

// linter walks over the words of an expression and mends them.
type linter struct {
	dialect   Dialect
	stream    string
	known     map[string]kind
	tokens    []token
	variables map[string]bool // of any( and all(
	why, dead []string
}

var (
	comparisons = []string{"eq", "ne", "gt", "ge", "lt", "le", "has", "in"}
	joints      = []string{"and", "or", "not"}
	functions   = []string{"startswith", "startsWith", "endswith", "endsWith", "contains", "tolower", "toupper", "length", "indexof", "concat", "trim", "now", "cast", "isof"}
	untried     = []string{"date", "time", "year", "month", "day", "hour", "minute", "second", "fractionalseconds", "totaloffsetminutes", "mindatetime", "maxdatetime",
		"substring", "matchespattern", "round", "floor", "ceiling"}
	constants = []string{"true", "false", "null"}
	bare      = regexp.MustCompile(`^[-+]?[0-9]`)
	path      = regexp.MustCompile(`^[\pL_$@][\pL\pN_.@$-]*(/[\pL_$][\pL\pN_.-]*)*$`)
	signs     = map[string]string{"=": "eq", "==": "eq", "!=": "ne", "<>": "ne", ">": "gt", ">=": "ge", "<": "lt", "<=": "le", "&&": "and", "||": "or"}
)

func (l *linter) walk() {
	for i := 0; i < len(l.tokens); i++ {
		t := &l.tokens[i]
		if !t.isWord() {
			continue
		}
		if word, ok := signs[t.text]; ok {
			l.mend(t, word, "OData writes %s instead of %s", word, t.text)
			continue
		}
		if word, ok := fold(slices.Concat(comparisons, joints, constants), t.text); ok && l.at(i+1) != "(" || ok && slices.Contains(joints, word) || word == "in" {
			l.mend(t, word, "%s is written %s", t.text, word)
			continue
		}
		switch {
		case l.at(i+1) == ":":
			l.variables[t.text] = true
			i++
		case l.at(i+1) == "(" && l.lambda(t):
		case l.at(i+1) == "(":
			l.function(t)
		case bare.MatchString(t.text) || guid.MatchString(t.text):
		default:
			l.operand(i)
		}
	}
}

func (l *linter) at(i int) string {
	if i >= 0 && i < len(l.tokens) {
		return l.tokens[i].text
	}
	return ""
}

// mend replaces a word where it has to be, and says so.
func (l *linter) mend(t *token, word, format string, args ...any) {
	if t.text != word {
		l.why = append(l.why, fmt.Sprintf(format, args...))
		t.text = word
	}
}

// fold finds a word whatever its letter case; as it stands first.
func fold(words []string, s string) (string, bool) {
	if slices.Contains(words, s) {
		return s, true
	}
	i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, s) })
	if i < 0 {
		return "", false
	}
	return words[i], true
}

// lambda takes collection/any and collection/all.
func (l *linter) lambda(t *token) bool {
	cut := strings.LastIndexByte(t.text, '/')
	if cut < 0 {
		return false
	}
	word, ok := fold([]string{"any", "all"}, t.text[cut+1:])
	if !ok {
		return false
	}
	collection := token{text: t.text[:cut]}
	l.field(&collection)
	l.mend(t, collection.text+"/"+word, "%s is written %s", t.text, collection.text+"/"+word)
	return true
}

func (l *linter) function(t *token) {
	if word, ok := fold(functions, t.text); ok {
		l.mend(t, word, "%s is written %s", t.text, word)
		return
	}
	if slices.Contains(untried, strings.ToLower(t.text)) {
		l.dead = append(l.dead, fmt.Sprintf("the function %s is OData's, but the API is not known to take it: compare the field itself", t.text))
		return
	}
	l.dead = append(l.dead, fmt.Sprintf("%q is no function of OData", t.text))
}

// operand takes a field, and the value that it is compared with.
func (l *linter) operand(i int) {
	t := &l.tokens[i]
	if !path.MatchString(t.text) {
		l.dead = append(l.dead, fmt.Sprintf("%q is neither a field nor a value", t.text))
		return
	}
	k := l.field(t)
	if before := l.at(i - 1); i > 1 && slices.Contains(comparisons, before) {
		l.dead = append(l.dead, fmt.Sprintf("%s behind %s is neither a number nor a text in quotes, and the API is not known to take a field there: write the field first", t.text, before))
		return
	}
	op, isOp := fold(slices.Concat(comparisons, slices.Collect(maps.Keys(signs))), l.at(i+1))
	switch next := l.at(i + 1); {
	case isOp && i+2 >= len(l.tokens):
		l.dead = append(l.dead, fmt.Sprintf("nothing follows %s %s", t.text, next))
	case isOp && op != "in" && !strings.HasPrefix(l.at(i+3), "(") && !strings.HasPrefix(l.at(i+3), "'"): // no call, no cast literal
		l.value(&l.tokens[i+2], t.text, k)
	case !isOp && next != ")" && next != ",":
		l.dead = append(l.dead, fmt.Sprintf("%s is not compared with anything: write %s eq ..", t.text, t.text))
	}
}

// field gives the kind of a field, and mends its name.
func (l *linter) field(t *token) kind {
	first, rest, deeper := strings.Cut(t.text, "/")
	if l.variables[first] || l.known == nil || first == "" {
		return unknown
	}
	if deeper {
		rest = "/" + rest
	}
	if k := l.known[first]; k != unknown {
		if deeper {
			return l.known[t.text]
		}
		return k
	}
	name, ok := l.meant(first)
	if !ok {
		l.dead = append(l.dead, fmt.Sprintf("%s has no field %q: there are %s", l.stream, first, l.names()))
		return unknown
	}
	l.mend(t, name+rest, "%s has no field %s: it is %s", l.stream, first, name)
	return l.known[t.text]
}

// meant guesses which field a name stands for.
func (l *linter) meant(name string) (string, bool) {
	if found, ok := fold(slices.Sorted(maps.Keys(l.known)), name); ok {
		return found, true
	}
	if found, ok := otherNames[l.dialect][family(l.stream)][strings.ToLower(name)]; ok {
		return found, true
	}
	best, near := "", 0
	for _, known := range slices.Sorted(maps.Keys(l.known)) {
		if len(name) > 4 && distance(strings.ToLower(name), strings.ToLower(known)) <= 2 {
			best, near = known, near+1
		}
	}
	return best, near == 1
}

func (l *linter) names() string {
	var names []string
	for name := range l.known {
		if !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

var (
	zoneless = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?$`)
	dated    = regexp.MustCompile(`^'\d{4}-\d\d-\d\d(T.*)?'$`)
	numeric  = regexp.MustCompile(`^'-?(\d+|true|false)'$`)
)

// value mends what a field of a kind is compared with.
func (l *linter) value(t *token, name string, k kind) {
	unquoted := strings.Trim(t.text, "'")
	switch {
	case k == text && t.isWord() && !slices.Contains(constants, t.text):
		l.mend(t, quote(t.text), "the value of %s is written in quotes", name)
	case k == instant && dated.MatchString(t.text), k == number && numeric.MatchString(t.text):
		l.mend(t, unquoted, "the value of %s is written without quotes", name)
	}
	if k == instant && zoneless.MatchString(t.text) {
		l.mend(t, t.text+"Z", "the time %s needs a Z: it is read as UTC", t.text)
	}
	if k == instant && t.text[0] == '\'' {
		l.dead = append(l.dead, fmt.Sprintf("%s is no time: write 2026-01-31T08:00:00Z without quotes", t.text))
	}
}

// distance is the number of letters to insert, leave out or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost = 1 + min(left, row[j], row[j+1])
			}
			left, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
