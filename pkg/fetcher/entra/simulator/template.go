package simulator

import (
	"fmt"
	"strings"
)

// template is a JSON object, cut into constant text and fields, once for each of the API's versions.
type template struct{ v1, beta []part }

type part struct {
	text  string
	field field // nil in the last part
}

// field appends one value of a record.
type field func(dst []byte, r *traits) []byte

// compile reads the source of an object: one member a line, `<name>` where a field goes, a leading + where beta alone has the member.
// A line that starts with a blank goes on the line before.
func compile(source string, fields map[string]field) template {
	var v1, beta []string
	for line := range strings.Lines(strings.TrimSpace(source)) {
		line = strings.TrimSuffix(line, "\n")
		member, onlyBeta := strings.CutPrefix(line, "+")
		beta = append(beta, member)
		if !onlyBeta {
			v1 = append(v1, member)
		}
	}
	return template{v1: split(v1, fields), beta: split(beta, fields)}
}

func split(members []string, fields map[string]field) []part {
	text := "{" + strings.Join(members, ",") + "}"
	var parts []part
	for {
		before, rest, found := strings.Cut(text, "<")
		if !found {
			return append(parts, part{text: text})
		}
		name, after, _ := strings.Cut(rest, ">")
		f, ok := fields[name]
		if !ok {
			panic(fmt.Sprintf("compile template: no field %q", name)) // a slip in this package's own tables
		}
		parts = append(parts, part{before, f})
		text = after
	}
}

func (t *template) append(dst []byte, r *traits) []byte {
	parts := t.v1
	if r.beta {
		parts = t.beta
	}
	for i := range parts {
		dst = append(dst, parts[i].text...)
		if f := parts[i].field; f != nil {
			dst = f(dst, r)
		}
	}
	return dst
}

// literal is a field that picks a text.
func literal(pick func(r *traits) string) field {
	return func(dst []byte, r *traits) []byte { return append(dst, pick(r)...) }
}

const hexDigits = "0123456789abcdef"

// appendGUID prints 128 bits as a random (version 4) GUID.
func appendGUID(dst []byte, hi, lo uint64) []byte {
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 1<<63
	for shift := 60; shift >= 0; shift -= 4 {
		if shift == 28 || shift == 12 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[hi>>shift&15])
	}
	for shift := 60; shift >= 0; shift -= 4 {
		if shift == 60 || shift == 44 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[lo>>shift&15])
	}
	return dst
}

// appendPadded prints n in decimal with leading zeros.
func appendPadded(dst []byte, n int64, width int) []byte {
	var buf [20]byte
	for i := width - 1; i >= 0; i-- {
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, buf[:width]...)
}

// appendTime prints a time as Graph does: UTC with 7 fraction digits.
func appendTime(dst []byte, t ticks) []byte {
	when := fromTicks(t)
	year, month, day := when.Date()
	hour, minute, second := when.Clock()
	dst = append(appendPadded(dst, int64(year), 4), '-')
	dst = append(appendPadded(dst, int64(month), 2), '-')
	dst = append(appendPadded(dst, int64(day), 2), 'T')
	dst = append(appendPadded(dst, int64(hour), 2), ':')
	dst = append(appendPadded(dst, int64(minute), 2), ':')
	dst = append(appendPadded(dst, int64(second), 2), '.')
	return append(appendPadded(dst, int64(when.Nanosecond())/100, 7), 'Z')
}
