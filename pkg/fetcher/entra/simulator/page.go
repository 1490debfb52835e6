package simulator

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
)

const hugeSize = 5_000_000

// servePage answers a report request that is in order.
func (s *Server) servePage(c *call, q *query) {
	sel := q.selection
	if c.fault(IgnoreFilter) != nil {
		sel.filter, sel.lo, sel.hi = nil, math.MinInt64, math.MaxInt64
	}
	sel = s.at(toTicks(s.opts.Now()), sel)
	lost := c.rows(ShortResult)
	items, more := c.tenant.page(&sel, q.top+lost)
	if lost > 0 {
		items, more = shorten(items, more, q.top, lost)
	}
	link := s.nextLink(c, q, &sel, items, more)
	items = c.spoil(&sel, items)
	pooled := s.bodies.Get().(*[]byte)
	body := appendPageHead((*pooled)[:0], c.base, q, link)
	var room traits
	for i := range items {
		if i > 0 {
			body = append(body, ',')
		}
		start := len(body)
		items[i].hides = !q.known
		body = q.row(body, &items[i], &room)
		body = c.spoilRow(body, start, i, q.of.time)
	}
	body = append(body, "]}"...)
	*pooled = body
	if f := c.fault(Truncate); f != nil {
		defer s.bodies.Put(pooled)
		c.cut(body, f.Form == "short")
		return
	}
	s.deliver(c, pooled, items[min(len(items), c.rows(NoID)):], sel.now)
}

// page returns the first rows of a selection and whether there are more.
func (d *directory) page(sel *selection, top int) (items []item, more bool) {
	for it := range d.walk(sel) {
		if len(items) == top {
			return items, true
		}
		items = append(items, it)
	}
	return items, false
}

// appendPageHead prints a page up to its first row.
func appendPageHead(dst []byte, base string, q *query, link string) []byte {
	version := "v1.0"
	if q.beta {
		version = "beta"
	}
	context := base + "/" + version + "/$metadata#" + q.of.path
	if q.legacy != nil {
		context = q.legacy.context(base, q.of)
	}
	dst = append(dst, `{"@odata.context":`...)
	dst = appendString(dst, context)
	if link != "" {
		dst = append(dst, `,"@odata.nextLink":`...)
		dst = appendString(dst, link)
	}
	return append(dst, `,"value":[`...)
}

// appendString prints a JSON string. Graph leaves the & of its links as it is.
func appendString(dst []byte, text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(text) // a string: cannot fail
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// nextLink returns the address of what follows the page, "" if nothing does.
func (s *Server) nextLink(c *call, q *query, sel *selection, items []item, more bool) string {
	if q.legacy != nil {
		return s.legacyLink(c, q, sel, items, more)
	}
	here := &token{start: sel.after == nil}
	if sel.after != nil {
		here.after = *sel.after
	}
	beyond := *here
	if len(items) > 0 {
		last := len(items) - 1
		last -= min(last, c.rows(DuplicateAcross))
		beyond = token{after: items[last].place}
	}
	switch {
	case c.fault(LoopLink) != nil:
		return c.base + c.r.URL.RequestURI()
	case q.token != nil && q.token.back:
		return q.address(c.base, string(q.token.prev))
	case c.fault(CycleLink) != nil:
		beyond.back, beyond.prev = true, []byte(q.link.Get("$skiptoken"))
		return q.address(c.base, s.seal(q, &beyond))
	case c.fault(ForeignLink) != nil:
		return q.address("https://graph.elsewhere.example", s.seal(q, &beyond))
	case c.fault(EmptyLink) != nil:
		return strings.TrimSuffix(q.address(c.base, "x"), "x")
	case c.fault(EmptyPage) != nil:
		here.nonce = s.next()
		return q.address(c.base, s.seal(q, here))
	case more:
		return q.address(c.base, s.seal(q, &beyond))
	}
	return ""
}

// spoil changes the page's rows as the faults want.
func (c *call) spoil(sel *selection, items []item) []item {
	if c.fault(EmptyPage) != nil {
		return nil
	}
	if n := min(len(items), c.rows(DuplicateRows)); n > 0 {
		items = slices.Concat(items[:n], items)
	}
	if n := c.rows(OutsideRows); n > 0 {
		items = append(items, c.tenant.outside(sel, n)...)
	}
	return items
}

// outside returns up to n rows that the selection's bounds leave out, nearest first, older ones rather than newer ones.
func (d *directory) outside(sel *selection, n int) []item {
	wider := selection{streams: sel.streams, now: sel.now, lo: math.MinInt64, hi: sel.lo}
	if sel.lo > math.MinInt64 {
		wider.hi--
		if items, _ := d.page(&wider, n); len(items) > 0 {
			return items
		}
	}
	if sel.hi == math.MaxInt64 {
		return nil
	}
	wider.asc, wider.lo, wider.hi = true, sel.hi+1, math.MaxInt64
	items, _ := d.page(&wider, n)
	return items
}

// spoilRow changes row i, which starts at start, as the faults want.
func (c *call) spoilRow(body []byte, start, i int, timeName string) []byte {
	if i < c.rows(NoID) {
		body = dropMember(body, start, "id")
	}
	if i < c.rows(NoTime) {
		body = dropMember(body, start, timeName)
	}
	if f := c.fault(HugeRecord); f != nil && i == 0 {
		size := f.Size
		if size == 0 {
			size = hugeSize
		}
		body = append(body[:len(body)-1], `,"padding":"`...)
		body = append(body, bytes.Repeat([]byte("x"), max(0, size-(len(body)-start)-2))...)
		body = append(body, `"}`...)
	}
	return body
}

func dropMember(body []byte, start int, name string) []byte {
	var row map[string]json.RawMessage
	if json.Unmarshal(body[start:], &row) != nil {
		return body // not an object: a test's own, broken on purpose
	}
	delete(row, name)
	data, _ := json.Marshal(row)
	return append(body[:start], data...)
}

// cut sends half of a body, under its own length or under that of the whole.
func (c *call) cut(body []byte, short bool) {
	half := body[:len(body)/2]
	if short {
		c.send(http.StatusOK, jsonType, half)
		return
	}
	c.header(jsonType, len(body))
	c.w.Write(half)
	http.NewResponseController(c.w).Flush()
	panic(http.ErrAbortHandler) // ends the connection short of the length announced
}

// deliver sends a page and notes which rows it carried. The page's memory goes back to the pool.
func (s *Server) deliver(c *call, page *[]byte, rows []item, now ticks) {
	// Noted before the client can have them, so that nobody has a row that Shown does not know; taken back if the reply breaks.
	fresh := s.note(c.tenant, rows, now)
	body := *page
	c.header(jsonType, len(body))
	done := func(whole bool) {
		defer s.bodies.Put(page)
		if !whole {
			s.unnote(fresh)
			return
		}
		s.note(c.tenant, rows, now) // again: a reply that broke meanwhile may have taken them back
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Rows += len(rows)
		s.stats.Bytes += int64(len(body))
	}
	if w, ok := c.w.(*memoryReply); ok {
		w.hand(body, done)
		return
	}
	_, err := c.w.Write(body)
	if err == nil && s.opts.Trace {
		if err = http.NewResponseController(c.w).Flush(); err == http.ErrNotSupported {
			err = nil
		}
	}
	done(err == nil)
}
