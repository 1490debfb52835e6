package normalizer

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/jsonscan"
)

// text is the inside of a JSON string, ready to be put between quotes again. It is nil when the record has no such member or
// when the member says nothing (see says); it never is empty. Escapes, where there are any, are the ones that
// jsonscan.AppendString makes.
type text []byte

// scanner reads values of a record. Texts alias the record where they can, else the arena.
type scanner struct {
	jsonscan.Reader
	record  []byte
	spaced  bool   // there is white space between the record's tokens
	arena   []byte // texts that had to be rewritten; lives as long as the record
	scratch []byte // short-lived
}

func (s *scanner) reset() {
	s.Reader, s.record, s.spaced = jsonscan.Reader{}, nil, false
	s.arena, s.scratch = recycle(s.arena), recycle(s.scratch)
}

func recycle(b []byte) []byte {
	if cap(b) > mostArena {
		return nil
	}
	return b[:0]
}

// skipObject passes over the whole record.
func (s *scanner) skipObject() error {
	if s.Kind() == jsonscan.Object {
		s.Skip()
	}
	return s.finish()
}

// finish tells whether the reader has passed over exactly one object.
func (s *scanner) finish() error {
	if err := s.Err(); err != nil {
		return err
	}
	if s.Pos == 0 || s.Buf[s.Pos-1] != '}' || !s.End() {
		return errNotObject
	}
	s.spaced = s.Spaced()
	return nil
}

// appendRecord appends the record as it came, but on one line. It has been read to its end.
func (s *scanner) appendRecord(dst []byte) []byte {
	if s.spaced {
		return appendLine(dst, s.record)
	}
	return append(dst, s.record...)
}

// object steps into the object that comes next; anything else is skipped.
func (s *scanner) object() bool {
	if s.Object() {
		return true
	}
	s.Skip()
	return false
}

// array steps into the array that comes next; anything else is skipped.
func (s *scanner) array() bool {
	if s.Array() {
		return true
	}
	s.Skip()
	return false
}

// text consumes the next value and gives its text, without blanks around it.
func (s *scanner) text() text {
	raw := s.Text()
	if len(raw) > 0 && !s.Escaped() && !blank(raw[0]) && !blank(raw[len(raw)-1]) && says(raw) {
		return raw
	}
	return s.clean(raw)
}

// blank tells the bytes that trimming may have to look at: those up to a space, and parts of longer characters.
func blank(c byte) bool { return c <= ' ' || c >= utf8.RuneSelf }

// clean makes a text of the inside of a JSON string.
func (s *scanner) clean(raw []byte) text {
	if len(raw) == 0 {
		return nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		if t := bytes.TrimSpace(raw); says(t) {
			return t
		}
		return nil
	}
	s.scratch = jsonscan.Unescape(s.scratch, raw)
	plain := bytes.TrimSpace(s.scratch)
	if !says(plain) {
		return nil
	}
	return s.keep(plain)
}

// keep puts unescaped text into the arena.
func (s *scanner) keep(plain []byte) text {
	start := len(s.arena)
	s.arena = jsonscan.AppendString(s.arena, plain)
	return text(s.arena[start+1 : len(s.arena)-1])
}

const zeroGUID = "00000000-0000-0000-0000-000000000000"

// says tells a value from the words by which the service says that there is none.
func says(plain []byte) bool {
	switch string(plain) {
	case "", "hidden", "unknown", "Unknown", "unknownFutureValue", "UnknownFutureValue", zeroGUID:
		return false
	}
	return true
}

// lower gives t in lower case.
func (s *scanner) lower(t text) text {
	i := 0
	for i < len(t) && t[i] < utf8.RuneSelf && (t[i] < 'A' || t[i] > 'Z') {
		i++
	}
	if i == len(t) {
		return t
	}
	// The escapes of a text are lower case themselves, so that going over them changes nothing.
	start := len(s.arena)
	s.arena = append(s.arena, t[:i]...)
	for i < len(t) {
		if c := t[i]; c < utf8.RuneSelf {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			s.arena = append(s.arena, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(t[i:])
		s.arena = utf8.AppendRune(s.arena, unicode.ToLower(r))
		i += n
	}
	return text(s.arena[start:len(s.arena):len(s.arena)])
}

// integer consumes the next value; ok if it is a whole number of up to 18 digits.
func (s *scanner) integer() (v int64, ok bool) {
	if s.Kind() != jsonscan.Number {
		s.Skip()
		return 0, false
	}
	digits := s.Value()
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if negative {
		v = -v
	}
	return v, true
}

// number consumes the next value and gives a number's own text, nil for anything else.
func (s *scanner) number() []byte {
	if s.Kind() != jsonscan.Number {
		s.Skip()
		return nil
	}
	return s.Value()
}

// embedded decodes JSON within raw, the inside of a JSON string. Modified properties come as "\"x\"", "[\"x\"]", "\"\"", null,
// bare text, objects, and at times broken JSON. One string, also alone in an array, becomes its text, broken JSON and bare
// text stay what they are; lists and objects have no text.
func (s *scanner) embedded(raw []byte) text {
	if len(raw) == 0 {
		return nil
	}
	if first := raw[0]; first != '\\' && first != '[' && first != '{' && !blank(first) {
		return s.clean(raw)
	}
	if inner, ok := plainString(raw); ok {
		return s.clean(inner)
	}
	s.scratch = append(s.scratch[:0], jsonscan.Unescape(s.scratch, raw)...)
	plain := bytes.TrimSpace(s.scratch)
	// What is inside moves to the arena: clean needs the scratch.
	start := len(s.arena)
	s.arena = append(s.arena, plain...)
	plain = s.arena[start:len(s.arena):len(s.arena)]
	inner := jsonscan.Reader{Buf: plain}
	if !bracketed(plain) {
		inner.Buf = nil // cut short: no need for a reader to find that out
	}
	switch inner.Kind() {
	case jsonscan.String:
		if t := inner.Text(); inner.End() {
			return s.clean(t)
		}
	case jsonscan.Array:
		if t, ok := onlyElement(&inner); ok {
			return s.clean(t)
		}
	case jsonscan.Object:
		if inner.Skip(); inner.End() {
			return nil
		}
	}
	if !says(plain) {
		return nil
	}
	return s.keep(plain)
}

// plainString gives the inside of a JSON string within a JSON string, \"x\" or [\"x\"], that has no escapes of its own: most properties
// are such.
func plainString(raw []byte) (inner []byte, ok bool) {
	if n := len(raw); n > 2 && raw[0] == '[' && raw[n-1] == ']' {
		raw = raw[1 : n-1]
	}
	if len(raw) < 2*len(escapedQuote) || !bytes.HasPrefix(raw, escapedQuote) || !bytes.HasSuffix(raw, escapedQuote) {
		return nil, false
	}
	inner = raw[len(escapedQuote) : len(raw)-len(escapedQuote)]
	return inner, bytes.IndexByte(inner, '\\') < 0
}

// bracketed tells whether b ends with the partner of its first byte.
func bracketed(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	last := b[len(b)-1]
	switch b[0] {
	case '"':
		return last == '"'
	case '[':
		return last == ']'
	case '{':
		return last == '}'
	}
	return false
}

// onlyElement gives the text of an array's one string; nil for other arrays; not ok if the array is broken.
func onlyElement(r *jsonscan.Reader) (raw []byte, ok bool) {
	n := 0
	for r.Array(); r.Element(); n++ {
		raw = r.Text()
	}
	if n != 1 {
		raw = nil
	}
	return raw, r.End()
}

// firstText consumes the next value and gives the first text of an array that says something.
func (s *scanner) firstText() (first text) {
	if !s.array() {
		return nil
	}
	for s.Element() {
		if t := s.text(); first == nil {
			first = t
		}
	}
	return first
}
