package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"net/url"
	"strings"
)

// context is a page's @odata.context.
func (l *legacyQuery) context(base string, of *collection) string {
	return base + "/" + l.tenant + "/$metadata#" + of.path
}

// address returns the request's path and options with a skip token. This API escapes the $ of its option names.
func (l *legacyQuery) address(base string, q *query, skipToken string) string {
	var b strings.Builder
	b.WriteString(base + "/" + l.tenant + "/" + q.of.path + "?api-version=beta")
	for _, name := range []string{"$filter", "$top"} {
		if value := q.link.Get(name); value != "" {
			b.WriteString("&" + url.QueryEscape(name) + "=" + url.QueryEscape(value))
		}
	}
	return b.String() + "&%24skiptoken=" + skipToken
}

// legacyLink is nextLink for the older API, without its cycle of two pages.
func (s *Server) legacyLink(c *call, q *query, sel *selection, items []item, more bool) string {
	l := q.legacy
	here := token{start: sel.after == nil}
	if sel.after != nil {
		here.after = *sel.after
	}
	beyond := here
	if len(items) > 0 {
		last := len(items) - 1
		last -= min(last, c.rows(DuplicateAcross))
		beyond = token{after: items[last].place}
	}
	switch {
	case c.fault(LoopLink) != nil:
		return c.base + c.r.URL.RequestURI()
	case c.fault(ForeignLink) != nil:
		return l.address("https://graph.elsewhere.example", q, s.sealLegacy(q, beyond, len(items)))
	case c.fault(EmptyLink) != nil:
		return l.address(c.base, q, "")
	case c.fault(EmptyPage) != nil:
		here.nonce = s.next()
		return l.address(c.base, q, s.sealLegacy(q, here, 0))
	case more && !l.ends:
		return l.address(c.base, q, s.sealLegacy(q, beyond, len(items)))
	}
	return ""
}

// sealLegacy makes a skip token: a negative number, opaque to the client. It carries how many rows the query has given, for its bounds.
func (s *Server) sealLegacy(q *query, t token, rows int) string {
	t.prev = binary.BigEndian.AppendUint64(nil, uint64(q.legacy.rows+rows))
	sealed, _ := base64.RawURLEncoding.DecodeString(s.seal(q, &t)) // what seal encodes
	return "-" + new(big.Int).SetBytes(append([]byte{1}, sealed...)).String()
}

// resumeLegacy reads a skip token; it is false for one that this query did not get.
func (s *Server) resumeLegacy(q *query, text string) bool {
	digits, negative := strings.CutPrefix(text, "-")
	number, ok := new(big.Int).SetString(digits, 10)
	if !negative || !ok || len(digits) > 200 || number.BitLen() <= 8 || number.Sign() < 0 {
		return false
	}
	t, err := s.openToken(q, base64.RawURLEncoding.EncodeToString(number.Bytes()[1:]))
	if err != nil || len(t.prev) != 8 {
		return false
	}
	q.token, q.legacy.rows = t, int(binary.BigEndian.Uint64(t.prev))
	if !t.start {
		q.after = &t.after
	}
	return true
}

// row prints a record as the API of the query shows it. A test's own record is served as it is.
func (q *query) row(dst []byte, it *item, r *traits) []byte {
	if q.legacy == nil || it.made == nil {
		return it.append(dst, r, q.beta)
	}
	it.made.traits(r, it.number, it.at, it.version, true)
	return r.appendLegacy(dst)
}
