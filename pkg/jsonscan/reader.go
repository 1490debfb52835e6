// Package jsonscan walks over JSON text (RFC 8259) in one pass without building anything: values are slices of the text.
// It checks the grammar of all that it passes over, strings included, so that what was walked over may be copied into other
// JSON verbatim. Valid UTF-8 is the caller's to check (utf8.Valid over the whole text is far cheaper than per string).
//
// It exists because a record is looked at twice on its way (split and digested, mapped) and must not become a tree of maps.
package jsonscan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Kind is the kind of a value, told by its first byte.
type Kind byte

// The kinds.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// MaxDepth bounds nesting: deeper text is an error, not a stack overflow.
const MaxDepth = 1000

// ErrSyntax is what every error of a Reader wraps.
var ErrSyntax = errors.New("invalid JSON")

// Reader walks over one JSON text. The zero value with Buf set is ready. After an error everything returns false or nil and
// Err tells where it was.
type Reader struct {
	Buf     []byte
	Pos     int
	depth   int
	fresh   bool // just behind '{' or '[': the next member needs no comma
	escaped bool
	spaced  bool
	err     error
}

// Err is the first fault that was met.
func (r *Reader) Err() error { return r.err }

func (r *Reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w at byte %d: %s", ErrSyntax, r.Pos, what)
	}
}

// Fail lets the caller stop the walk with an error of its own.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// space is small enough to be inlined: between the tokens of an API's reply there is none as a rule.
func (r *Reader) space() {
	if r.Pos < len(r.Buf) && r.Buf[r.Pos] > ' ' {
		return
	}
	r.blanks()
}

func (r *Reader) blanks() {
	for r.Pos < len(r.Buf) {
		switch r.Buf[r.Pos] {
		case ' ', '\n', '\t', '\r':
			r.Pos++
			r.spaced = true
		default:
			return
		}
	}
}

// Kind peeks at the value that comes next.
func (r *Reader) Kind() Kind {
	r.space()
	if r.err != nil || r.Pos >= len(r.Buf) {
		return Invalid
	}
	return kinds[r.Buf[r.Pos]]
}

// kinds tells a value's kind by its first byte.
var kinds = func() (t [256]Kind) {
	t['{'], t['['], t['"'], t['t'], t['f'], t['n'], t['-'] = Object, Array, String, Bool, Bool, Null, Number
	for c := '0'; c <= '9'; c++ {
		t[c] = Number
	}
	return t
}()

// Object steps into the object that comes next; false if something else comes (which is no error).
func (r *Reader) Object() bool { return r.open('{') }

// Array steps into the array that comes next; false if something else comes (which is no error).
func (r *Reader) Array() bool { return r.open('[') }

func (r *Reader) open(c byte) bool {
	r.space()
	if r.err != nil || r.Pos >= len(r.Buf) || r.Buf[r.Pos] != c {
		return false
	}
	if r.depth++; r.depth > MaxDepth {
		r.fail("nested too deeply")
		return false
	}
	r.Pos++
	r.fresh = true
	return true
}

// next stands at a member, an element or the closing byte; false at the end (which it consumes) and after an error.
func (r *Reader) next(closing byte) bool {
	r.space()
	if r.err != nil {
		return false
	}
	if r.Pos >= len(r.Buf) {
		r.fail("unexpected end")
		return false
	}
	c := r.Buf[r.Pos]
	if c == closing {
		r.Pos++
		r.depth--
		r.fresh = false
		return false
	}
	if !r.fresh {
		if c != ',' {
			r.fail("want a comma")
			return false
		}
		r.Pos++
		r.space()
	}
	r.fresh = false
	return true
}

// Member steps to the next member of the object that the reader is in and gives its key (without quotes, escapes as they
// are). Its value must be consumed before the next call. False at the object's end, which is consumed.
func (r *Reader) Member() (key []byte, ok bool) {
	if !r.next('}') {
		return nil, false
	}
	key = r.string()
	if r.err != nil {
		return nil, false
	}
	r.space()
	if r.Pos >= len(r.Buf) || r.Buf[r.Pos] != ':' {
		r.fail("want a colon")
		return nil, false
	}
	r.Pos++
	return key, true
}

// Element steps to the next element of the array that the reader is in. Its value must be consumed before the next call.
// False at the array's end, which is consumed.
func (r *Reader) Element() bool { return r.next(']') }

// Value consumes the value that comes next and gives its text; nil after an error.
func (r *Reader) Value() []byte {
	r.space()
	start := r.Pos
	r.Skip()
	if r.err != nil {
		return nil
	}
	return r.Buf[start:r.Pos]
}

// Skip consumes the value that comes next.
func (r *Reader) Skip() {
	switch r.Kind() {
	case Object:
		if r.Object() {
			for {
				if _, ok := r.Member(); !ok {
					return
				}
				r.Skip()
			}
		}
	case Array:
		if r.Array() {
			for r.Element() {
				r.Skip()
			}
		}
	case String:
		r.string()
	case Number:
		r.number()
	case Bool, Null:
		r.literal()
	default:
		r.fail("want a value")
	}
}

// Text consumes the value that comes next: for a string its text without quotes, escapes as they are; for any other value nil.
func (r *Reader) Text() []byte {
	if r.Kind() == String {
		return r.string()
	}
	r.Skip()
	return nil
}

// End tells whether nothing but white space is left.
func (r *Reader) End() bool {
	r.space()
	return r.err == nil && r.Pos == len(r.Buf)
}

// Spaced tells whether there was white space outside of strings in what was walked over.
func (r *Reader) Spaced() bool { return r.spaced }

// Escaped tells whether the string or key that was consumed last has escapes.
func (r *Reader) Escaped() bool { return r.escaped }

func (r *Reader) literal() {
	word := "null"
	switch r.Buf[r.Pos] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	if len(r.Buf)-r.Pos < len(word) || string(r.Buf[r.Pos:r.Pos+len(word)]) != word {
		r.fail("want true, false or null")
		return
	}
	r.Pos += len(word)
}

func (r *Reader) digits() bool {
	start := r.Pos
	for r.Pos < len(r.Buf) && r.Buf[r.Pos] >= '0' && r.Buf[r.Pos] <= '9' {
		r.Pos++
	}
	return r.Pos > start
}

func (r *Reader) peek(c byte) bool { return r.Pos < len(r.Buf) && r.Buf[r.Pos] == c }

func (r *Reader) number() {
	if r.peek('-') {
		r.Pos++
	}
	if r.peek('0') {
		r.Pos++
	} else if !r.digits() {
		r.fail("want a digit")
		return
	}
	if r.peek('.') {
		r.Pos++
		if !r.digits() {
			r.fail("want a digit behind the point")
			return
		}
	}
	if r.peek('e') || r.peek('E') {
		r.Pos++
		if r.peek('+') || r.peek('-') {
			r.Pos++
		}
		if !r.digits() {
			r.fail("want a digit in the exponent")
		}
	}
}

// stop marks the bytes at which a string has to be looked at: the quote, the backslash and control characters.
var stop = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// string consumes a string and gives what is between its quotes.
func (r *Reader) string() []byte {
	if r.err != nil || !r.peek('"') {
		r.fail("want a string")
		return nil
	}
	r.escaped = false
	buf, i := r.Buf, r.Pos+1
	for {
		if i = plain(buf, i); i >= len(buf) {
			r.fail("string without an end")
			return nil
		}
		switch buf[i] {
		case '"':
			s := buf[r.Pos+1 : i]
			r.Pos = i + 1
			return s
		case '\\':
			n := escape(buf[i:])
			if n == 0 {
				r.Pos = i
				r.fail("bad escape")
				return nil
			}
			i += n
			r.escaped = true
		default:
			r.Pos = i
			r.fail("control character in a string")
			return nil
		}
	}
}

// plain gives the place of the first byte of buf at or behind i that stop marks, len(buf) if there is none. It looks at eight
// bytes at once: below, a byte's top bit is set where the byte is one that is looked for. A borrow may set it in later bytes,
// too, so that only the first one counts (Warren, Hacker's Delight, 6-1).
func plain(buf []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(buf); i += 8 {
		x := binary.LittleEndian.Uint64(buf[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		if found := ((x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(buf) && !stop[buf[i]] {
		i++
	}
	return i
}

// escape gives the length of the escape sequence at the beginning of b, 0 if it is not one.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if hexValue(c) < 0 {
				return 0
			}
		}
		return 6
	}
	return 0
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
