package filter

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	option    = regexp.MustCompile("(?i)^(?:https?://\\S*?[?&]|[?&])?`?(?:\\$|%24)?filter\\s*(?:=|%3D)\\s*")
	further   = regexp.MustCompile("(?i)^&`?(?:\\$|%24)?[a-z-]+=")
	escaped   = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	plusWord  = regexp.MustCompile(`(?i)\+(eq|ne|gt|ge|lt|le|and|or|in)\+|\bnot\+`)
	offset    = regexp.MustCompile(`(?i)(T\d\d(?::|%3A)\d\d(?:(?::|%3A)\d\d(?:\.\d+)?)?)\+(\d\d(?::|%3A)\d\d)`)
	typoQuote = "‘’‚‛′´`“”„″\""

	plusCode = regexp.MustCompile(`(?i)%2B`)
	// A plus that no encoder makes of a space: beside another one, at the edge of a literal, or in a user principal name.
	plusItself = regexp.MustCompile(`\+\+|\+['` + typoQuote + `](?:$|[),+])|[+(,]['` + typoQuote + `]\+|\+[^+%'` + typoQuote + `]*@`)
)

const halfEncoded = "a part of it is encoded as in an address, and which part cannot be told: write it as it is, with spaces"

// unpaste takes what belongs to an address out of an expression, and says what it was. wrong is set where that cannot be told.
func unpaste(expr string) (plain string, why []string, wrong string) {
	plain = strings.TrimSpace(expr)
	if at := option.FindStringIndex(plain); at != nil {
		plain = plain[at[1]:]
		why = append(why, "it holds $filter=, which is written for you: give the expression alone")
	}
	if cut := furtherOption(plain); cut >= 0 {
		plain = plain[:cut]
		why = append(why, "another option of the address stands behind it: use --top for $top")
	}
	bare := outside(plain)
	percent, plus := escaped.MatchString(bare), plusWord.MatchString(bare)
	if !percent && !plus {
		return strings.TrimSpace(plain), why, ""
	}
	plain, ok := decode(plain, plus)
	if !ok {
		return "", why, halfEncoded
	}
	if percent {
		why = append(why, "it is percent-encoded: the encoding is done for you")
	}
	if plus {
		why = append(why, "it has + in place of spaces")
	}
	return strings.TrimSpace(plain), why, ""
}

// decode undoes the encoding of an address in one pass, so that a plus that was encoded stays one. It gives up where not all of
// the text can have been encoded, or where a plus may be either.
func decode(s string, plus bool) (string, bool) {
	if strings.ContainsAny(s, " \t\r\n") {
		return "", false
	}
	encodes := plusCode.MatchString(s)
	s = offset.ReplaceAllString(s, "$1%2B$2")
	if !encodes && strings.Contains(s, "+") && (!plus || plusItself.MatchString(s)) {
		return "", false
	}
	plain, err := url.QueryUnescape(s)
	return plain, err == nil
}

// outside blanks what stands between straight quotes, so that places do not change.
func outside(s string) string {
	b, quoted := []byte(s), false
	for i, c := range b {
		if c == '\'' {
			quoted = !quoted
		} else if quoted {
			b[i] = '_'
		}
	}
	return string(b)
}

// furtherOption gives the place of "&$top=10" and the like; -1 if there is none.
func furtherOption(s string) int {
	bare := outside(s)
	for i := range len(bare) {
		if bare[i] == '&' && further.MatchString(bare[i:]) {
			return i
		}
	}
	return -1
}

// straighten replaces the quotes that word processors, web pages and other languages put around a literal. Within straight quotes they are text.
func straighten(s string) (string, bool) {
	var b strings.Builder
	changed, quoted, odd := false, false, false // odd: the literal was opened by another quote than '
	doubled := false                            // the next quote is this one's partner
	runes := []rune(s)
	for i, r := range runes {
		if doubled {
			doubled = false
			continue
		}
		typo := strings.ContainsRune(typoQuote, r)
		switch {
		case !quoted && (r == '\'' || typo):
			quoted, odd, changed = true, typo, changed || typo
			b.WriteByte('\'')
		case quoted && odd && (typo || r == '\'') && ends(runes[i+1:]):
			quoted, changed = false, true
			b.WriteByte('\'')
		case quoted && odd && r == '\'':
			b.WriteString("''")
			doubled = i+1 < len(runes) && runes[i+1] == '\''
		case quoted && !odd && r == '\'':
			quoted = false
			b.WriteByte('\'')
		case quoted && !odd && typo && ends(runes[i+1:]) && strings.Count(string(runes[i:]), "'") == 0:
			quoted, changed = false, true
			b.WriteByte('\'')
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), changed
}

// ends tells whether a literal may end before rest.
func ends(rest []rune) bool {
	return len(rest) == 0 || strings.ContainsRune(" \t),", rest[0])
}
