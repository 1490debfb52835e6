package filter

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	option    = regexp.MustCompile("(?i)^(?:https?://\\S*?[?&]|[?&])?`?\\$?filter\\s*=\\s*")
	further   = regexp.MustCompile("(?i)^&`?\\$?[a-z-]+=.*")
	escaped   = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	plusWord  = regexp.MustCompile(`(?i)\+(eq|ne|gt|ge|lt|le|and|or|in)\+|\bnot\+`)
	typoQuote = "‘’‚‛′´`“”„″\""
)

// unpaste takes what belongs to an address out of an expression, and says what it was.
func unpaste(expr string) (plain string, why []string) {
	plain = strings.TrimSpace(expr)
	if escaped.MatchString(outside(plain)) {
		if decoded, err := url.PathUnescape(plain); err == nil {
			plain = decoded
			why = append(why, "it is percent-encoded: the encoding is done for you")
		}
	}
	if at := option.FindStringIndex(plain); at != nil {
		plain = plain[at[1]:]
		why = append(why, "it holds $filter=, which is written for you: give the expression alone")
	}
	if cut := furtherOption(plain); cut >= 0 {
		plain = plain[:cut]
		why = append(why, "another option of the address stands behind it: use --top for $top")
	}
	if plusWord.MatchString(outside(plain)) {
		plain = unplus(plain)
		why = append(why, "it has + in place of spaces")
	}
	return strings.TrimSpace(plain), why
}

// unplus makes spaces of plus signs, but for one that begins an offset from UTC.
func unplus(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c == '+' && !offset.MatchString(s[i:]) {
			b[i] = ' '
		}
	}
	return string(b)
}

var offset = regexp.MustCompile(`^\+\d\d:\d\d`)

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
	runes := []rune(s)
	for i, r := range runes {
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
