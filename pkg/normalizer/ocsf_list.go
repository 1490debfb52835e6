package normalizer

// openList opens a list of objects or texts; closeList closes it. A list in which nothing was written leaves no trace.
func (w *writer) openList(name string) {
	outer := len(w.buf)
	w.key(name)
	w.buf = append(w.buf, '[')
	w.stack[w.depth] = mark{outer, len(w.buf)}
	w.depth++
}

func (w *writer) closeList() {
	w.depth--
	m := w.stack[w.depth]
	if len(w.buf) == m.inner {
		w.buf = w.buf[:m.outer]
		return
	}
	w.buf = append(w.buf, ']')
}

// openItem opens an object in a list; end closes it.
func (w *writer) openItem() {
	outer := len(w.buf)
	w.next()
	w.buf = append(w.buf, '{')
	w.stack[w.depth] = mark{outer, len(w.buf)}
	w.depth++
}
