package normalizer

import (
	"bytes"
	"net/netip"
	"strconv"
	"unsafe"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// lineForm is a form of lines.
type lineForm uint8

const (
	formCEF lineForm = iota
	formLEEF
)

// line appends key=value pairs to a line. Absent values write nothing, and so do those that have nothing but blanks.
type line struct {
	buf     []byte
	form    lineForm
	start   int // where the pairs begin
	scratch []byte
}

// head writes version, class and name, as both forms have them one after the other.
func (l *line) head(s *summary, rec *event.Record) {
	l.buf = strconv.AppendInt(l.buf, Version, 10)
	l.buf = append(l.buf, '|')
	switch {
	case s.hasCode:
		l.buf = strconv.AppendInt(l.buf, s.code, 10)
	case s.class != nil:
		l.header(l.plain(s.class))
	default:
		l.header(lend(rec.Key.Stream))
	}
	l.buf = append(l.buf, '|')
	if l.form == formLEEF {
		return
	}
	switch {
	case s.signIn:
		l.buf = append(l.buf, "Sign-in activity"...)
	case s.name != nil:
		l.header(l.plain(s.name))
	default:
		l.header(lend(rec.Key.Stream))
	}
	l.buf = append(l.buf, '|')
}

// begin starts the pairs.
func (l *line) begin() {
	l.buf = append(l.buf, '|')
	l.start = len(l.buf)
}

func (l *line) next() {
	if len(l.buf) == l.start {
		return
	}
	if l.form == formLEEF {
		l.buf = append(l.buf, '\t')
	} else {
		l.buf = append(l.buf, ' ')
	}
}

func (l *line) key(name string) {
	l.next()
	l.buf = append(l.buf, name...)
	l.buf = append(l.buf, '=')
}

// lend lends a string as bytes, which nobody may write to: a conversion would allocate.
func lend(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// plain gives a text without JSON's escapes, valid until the next call.
func (l *line) plain(t text) []byte {
	if bytes.IndexByte(t, '\\') < 0 {
		return t
	}
	l.scratch = jsonscan.Unescape(l.scratch, t)
	return l.scratch
}

func (l *line) text(key string, t text) bool { return t != nil && l.value(key, l.plain(t)) }

// string writes a value that is no text of the record's.
func (l *line) string(key, value string) bool { return l.value(key, lend(value)) }

// value writes a pair and tells whether it did.
func (l *line) value(key string, plain []byte) bool {
	if plain = trimmed(plain); len(plain) == 0 {
		return false
	}
	l.key(key)
	for _, c := range plain {
		switch {
		case l.form == formCEF && (c == '\\' || c == '='):
			l.buf = append(l.buf, '\\', c)
		case l.form == formCEF && c == '\n':
			l.buf = append(l.buf, '\\', 'n')
		case l.form == formCEF && c == '\r':
			l.buf = append(l.buf, '\\', 'r')
		case control(c):
			l.buf = append(l.buf, ' ')
		default:
			l.buf = append(l.buf, c)
		}
	}
	return true
}

// header appends a field of the header, in which no line may end. LEEF has no way to write the sign that ends a field.
func (l *line) header(plain []byte) {
	for _, c := range trimmed(plain) {
		switch {
		case l.form == formLEEF && c == '|':
			l.buf = append(l.buf, '/')
		case l.form == formCEF && (c == '\\' || c == '|'):
			l.buf = append(l.buf, '\\', c)
		case control(c):
			l.buf = append(l.buf, ' ')
		default:
			l.buf = append(l.buf, c)
		}
	}
}

// control tells the bytes that end lines or pairs, or that receivers stumble over.
func control(c byte) bool { return c < ' ' || c == 0x7f }

// trimmed cuts off blanks and control characters: a blank before the next key would not be told from the one that separates.
func trimmed(b []byte) []byte {
	for len(b) > 0 && (b[0] <= ' ' || b[0] == 0x7f) {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] <= ' ' || b[len(b)-1] == 0x7f) {
		b = b[:len(b)-1]
	}
	return b
}

// custom writes a field whose label says what it is.
func (l *line) custom(key, label string, t text) {
	if !l.text(key, t) {
		return
	}
	l.next()
	l.buf = append(l.buf, key...)
	l.buf = append(l.buf, "Label="...)
	l.buf = append(l.buf, label...)
}

func (l *line) number(key string, v int64) {
	l.key(key)
	l.buf = strconv.AppendInt(l.buf, v, 10)
}

func (l *line) ip(key string, ip netip.Addr) {
	if ip.IsValid() {
		l.key(key)
		l.buf = ip.AppendTo(l.buf)
	}
}

// id writes the id by which a repeat is told.
func (l *line) id(rec *event.Record) {
	id := rec.EventID()
	if l.form == formLEEF {
		l.key("eventId")
	} else {
		l.key("externalId")
	}
	l.buf = append(l.buf, id[:]...)
}

// record writes the record's own id.
func (l *line) record(key string, rec *event.Record, s *summary) bool {
	if s.record != nil {
		return l.text(key, s.record)
	}
	return l.string(key, rec.ID)
}

func (l *line) flags(key string, rec *event.Record) {
	l.key(key)
	l.buf = appendFlags(l.buf, rec)
}

// raw writes the record itself.
func (l *line) raw(key string, rec *event.Record) { l.value(key, rec.Raw) }
