package normalizer

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/logferry/logferry/pkg/jsonscan"
)

// writer appends JSON objects. Absent values write nothing, and an object in which nothing was written leaves no
// trace, so that callers write down the whole shape without conditions.
type writer struct {
	buf   []byte
	stack [8]mark
	depth int
}

// mark remembers where an object began (comma and key included) and where its inside does.
type mark struct{ outer, inner int }

// next puts the comma, except behind an opening bracket.
func (w *writer) next() {
	switch w.buf[len(w.buf)-1] {
	case '{', '[':
	default:
		w.buf = append(w.buf, ',')
	}
}

// key appends a member's name; names of ours need no escaping.
func (w *writer) key(name string) {
	b := w.buf
	if last := b[len(b)-1]; last != '{' && last != '[' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	w.buf = append(b, '"', ':')
}

// constant writes members that are the same in every event.
func (w *writer) constant(members string) {
	w.next()
	w.buf = append(w.buf, members...)
}

// begin opens the event itself.
func (w *writer) begin() { w.buf = append(w.buf, '{') }

// finish closes the event itself.
func (w *writer) finish() { w.buf = append(w.buf, '}') }

// object opens an object; end closes it.
func (w *writer) object(name string) {
	outer := len(w.buf)
	w.key(name)
	w.buf = append(w.buf, '{')
	w.stack[w.depth] = mark{outer, len(w.buf)}
	w.depth++
}

func (w *writer) end() {
	w.depth--
	m := w.stack[w.depth]
	if len(w.buf) == m.inner {
		w.buf = w.buf[:m.outer]
		return
	}
	w.buf = append(w.buf, '}')
}

func (w *writer) text(name string, t text) {
	if t == nil {
		return
	}
	w.key(name)
	w.quoted(t)
}

func (w *writer) quoted(t text) {
	b := append(w.buf, '"')
	b = append(b, t...)
	w.buf = append(b, '"')
}

func (w *writer) texts(name string, list []text) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.buf = append(w.buf, '[')
	for _, t := range list {
		w.next()
		w.quoted(t)
	}
	w.buf = append(w.buf, ']')
}

// word writes a word of ours, which needs no escaping.
func (w *writer) word(name, value string) {
	if value == "" {
		return
	}
	w.key(name)
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, value...)
	w.buf = append(w.buf, '"')
}

// words writes a list of words of ours.
func (w *writer) words(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.buf = append(w.buf, '[')
	for _, word := range list {
		w.next()
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, word...)
		w.buf = append(w.buf, '"')
	}
	w.buf = append(w.buf, ']')
}

// string writes any string.
func (w *writer) string(name, value string) {
	if value == "" {
		return
	}
	w.key(name)
	w.buf = jsonscan.AppendString(w.buf, value)
}

// number writes a number's own text.
func (w *writer) number(name string, digits []byte) {
	if digits == nil {
		return
	}
	w.key(name)
	w.buf = append(w.buf, digits...)
}

func (w *writer) integer(name string, v int64) {
	w.key(name)
	w.buf = strconv.AppendInt(w.buf, v, 10)
}

func (w *writer) bool(name string, v bool) {
	w.key(name)
	w.buf = strconv.AppendBool(w.buf, v)
}

func (w *writer) tristate(name string, v tristate) {
	if v != unknown {
		w.bool(name, v == yes)
	}
}

func (w *writer) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	w.key(name)
	w.buf = append(w.buf, '"')
	w.buf = appendTime(w.buf, t)
	w.buf = append(w.buf, '"')
}

func (w *writer) ip(name string, ip netip.Addr) {
	if !ip.IsValid() {
		return
	}
	w.key(name)
	w.quotedIP(ip)
}

func (w *writer) quotedIP(ip netip.Addr) {
	w.buf = append(w.buf, '"')
	w.buf = ip.AppendTo(w.buf)
	w.buf = append(w.buf, '"')
}

func (w *writer) ips(name string, list []netip.Addr) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.buf = append(w.buf, '[')
	for _, ip := range list {
		w.next()
		w.quotedIP(ip)
	}
	w.buf = append(w.buf, ']')
}
