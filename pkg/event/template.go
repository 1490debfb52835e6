package event

import (
	"fmt"
	"strings"
)

// Template is a name with placeholders: {tenant} {stream} {family} {date} (the UTC day of the record's own time, 2006-01-02).
type Template struct {
	parts []templatePart
}

type templatePart struct {
	literal string
	field   string // "" for a literal
}

// ParseTemplate reads a name with placeholders. "{{" is not an escape: names have no braces.
func ParseTemplate(s string) (Template, error) {
	var t Template
	for rest := s; rest != ""; {
		open, end := strings.IndexByte(rest, '{'), strings.IndexByte(rest, '}')
		if open < 0 && end < 0 {
			t.parts = append(t.parts, templatePart{literal: rest})
			break
		}
		if open < 0 || end < open {
			return Template{}, fmt.Errorf("%q has a brace without its partner", s)
		}
		if open > 0 {
			t.parts = append(t.parts, templatePart{literal: rest[:open]})
		}
		name := rest[open+1 : end]
		switch name {
		case "tenant", "stream", "family", "date":
			t.parts = append(t.parts, templatePart{field: name})
		default:
			return Template{}, fmt.Errorf("%q has the unknown placeholder {%s}: there are {tenant}, {stream}, {family} and {date}", s, name)
		}
		rest = rest[end+1:]
	}
	return t, nil
}

// Constant tells whether the template has no placeholder; then the name is the second result.
func (t Template) Constant() (bool, string) {
	if len(t.parts) == 0 {
		return true, ""
	}
	if len(t.parts) == 1 && t.parts[0].field == "" {
		return true, t.parts[0].literal
	}
	return false, ""
}

// Append appends the name for r to dst.
func (t Template) Append(dst []byte, r *Record) []byte {
	for _, p := range t.parts {
		switch p.field {
		case "tenant":
			dst = append(dst, r.Key.Tenant...)
		case "stream":
			dst = append(dst, r.Key.Stream...)
		case "family":
			dst = append(dst, r.Key.Family()...)
		case "date":
			dst = r.Time.UTC().AppendFormat(dst, "2006-01-02")
		default:
			dst = append(dst, p.literal...)
		}
	}
	return dst
}
