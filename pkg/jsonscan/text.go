package jsonscan

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Unescape gives the text that s, the inside of a JSON string, stands for. Without escapes it is s itself, else it is appended
// to buf[:0]. A lone surrogate becomes U+FFFD, as encoding/json has it.
func Unescape(buf, s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	out := buf[:0]
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' || i+1 >= len(s) {
			out = append(out, c)
			i++
			continue
		}
		switch c = s[i+1]; c {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			r, n := unicodeEscape(s[i:])
			out = utf8.AppendRune(out, r)
			i += n
			continue
		default: // " \ /
			out = append(out, c)
		}
		i += 2
	}
	return out
}

// unicodeEscape reads \uXXXX, or a pair of them, at the beginning of s and gives the rune and the length read.
func unicodeEscape(s []byte) (rune, int) {
	hi := hex4(s)
	if hi < 0 {
		return utf8.RuneError, min(2, len(s))
	}
	if utf16.IsSurrogate(hi) {
		if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if r := utf16.DecodeRune(hi, hex4(s[6:])); r != utf8.RuneError {
				return r, 12
			}
		}
		return utf8.RuneError, 6
	}
	return hi, 6
}

func hex4(s []byte) rune {
	if len(s) < 6 {
		return -1
	}
	v := 0
	for _, c := range s[2:6] {
		d := hexValue(c)
		if d < 0 {
			return -1
		}
		v = v<<4 | d
	}
	return rune(v)
}

const hexDigits = "0123456789abcdef"

// AppendString appends text as a JSON string, quotes included. Invalid UTF-8 becomes U+FFFD; U+2028 and U+2029 stay as they are.
func AppendString[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if !stop[c] {
				i++
				continue
			}
			dst = append(dst, text[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRune([]byte(text[i:min(i+utf8.UTFMax, len(text))]))
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, text[start:i]...)
			dst = append(dst, `�`...)
			i++
			start = i
			continue
		}
		i += n
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}
