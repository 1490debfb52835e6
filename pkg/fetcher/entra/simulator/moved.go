package simulator

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Streams that are ordered by the last update: a record that changes leaves its place and takes another one, at the time of the
// change. These streams are small, so that their changed records are collected and sorted for each walk.

// itemWalk yields items that are in order already.
type itemWalk []item

func (w *itemWalk) next() (item, bool) {
	if len(*w) == 0 {
		return item{}, false
	}
	it := (*w)[0]
	*w = (*w)[1:]
	return it, true
}

func (sel *selection) sorted(items []item) *itemWalk {
	slices.SortFunc(items, func(a, b item) int {
		if sel.before(a.place, b.place) {
			return -1
		}
		return 1 // no two have one place
	})
	return (*itemWalk)(&items)
}

// newMovedWalk goes over the records of a generator that have changed, at the times of their changes. Those of a stretch
// happened at most a delay of appearance and one of change before it.
func newMovedWalk(g *generator, sel *selection) *itemWalk {
	var items []item
	lo, hi := max(sel.lo, g.since), min(sel.hi, sel.now)
	for i := g.first(lo - int64(g.late.max+g.after) - 1); i < g.first(hi+1); i++ {
		since := g.appears(i, g.time(i))
		at, changes := g.changes(i, since)
		if !changes || at > sel.now {
			continue
		}
		it := item{place: place{at, g.source, i}, stream: g.stream, version: 1, made: g}
		if sel.takes(it.place, it.stream, printed(func() []byte { return it.append(nil, new(traits), false) })) {
			items = append(items, it)
		}
	}
	return sel.sorted(items)
}

// newMovedShelf goes over the added records of such a stream, each where its version of now is.
func newMovedShelf(s *shelf, stream int, sel *selection) *itemWalk {
	var items []item
	for _, a := range s.all() {
		if a.shows > sel.now {
			continue
		}
		it := item{place: a.place, stream: stream, since: a.shows, added: a}
		for i, u := range a.Updates {
			if at := toTicks(u.At); at <= sel.now {
				it.version, it.at, it.since = i+1, a.moved[i], max(at, a.shows)
			}
		}
		if sel.takes(it.place, stream, printed(func() []byte { return a.raw(it.version) })) {
			items = append(items, it)
		}
	}
	return sel.sorted(items)
}

// all returns the records of all times.
func (s *shelf) all() []*addedRecord {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.records
}

// printed is a record as a filter sees it that reads its properties from the text.
type printed func() []byte

func (p printed) property(name string) string { return textAt(p(), name) }

// subject is the record as a filter sees it.
func (a *addedRecord) subject(stream int) subject {
	if stream == streamProvisioning {
		return printed(func() []byte { return a.Raw })
	}
	return &a.members
}

// textAt returns the text of a member "a/b" of a JSON object, "" if there is none: a number's digits, and of a list those of all its
// entries, with listEnd between them.
func textAt(raw []byte, path string) string {
	name, rest, deeper := strings.Cut(path, "/")
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && list != nil {
		all := make([]string, len(list))
		for i, entry := range list {
			all[i] = textAt(entry, path)
		}
		return strings.Join(all, listEnd)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return ""
	}
	if deeper {
		return textAt(object[name], rest)
	}
	var text string
	var number json.Number
	value := bytes.TrimSpace(object[name])
	if json.Unmarshal(value, &text) != nil && json.Unmarshal(value, &number) == nil {
		return number.String()
	}
	return text
}
