package simulator

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"
)

// version names a version of a record of a tenant, small enough to keep many.
type version struct {
	number  int64
	at      ticks
	source  int32
	tenant  uint16
	version uint16
}

// note remembers rows as shown at now and returns those that were not.
func (s *Server) note(d *directory, rows []item, now ticks) (fresh []version) {
	if !s.opts.Trace {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rows {
		v := version{rows[i].number, rows[i].at, rows[i].source, d.index, uint16(rows[i].version)}
		if _, ok := s.shown[v]; !ok {
			s.shown[v] = now
			fresh = append(fresh, v)
		}
	}
	return fresh
}

func (s *Server) unnote(versions []version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range versions {
		delete(s.shown, v)
	}
}

// Shown yields every version of a record that a complete 200 reply has carried (nothing without Options.Trace), by tenant, stream and time.
// A reply that is still being written counts until it breaks: ask when no request is on its way. A row that a fault has robbed of its id does not count.
func (s *Server) Shown() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		s.mu.Lock()
		all := make([]version, 0, len(s.shown))
		times := make(map[version]ticks, len(s.shown))
		for v, at := range s.shown {
			all = append(all, v)
			times[v] = at
		}
		s.mu.Unlock()
		slices.SortFunc(all, func(a, b version) int {
			return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(s.tenants[a.tenant].stream(a.source), s.tenants[b.tenant].stream(b.source)),
				cmp.Compare(a.at, b.at), cmp.Compare(a.source, b.source), cmp.Compare(a.number, b.number), cmp.Compare(a.version, b.version))
		})
		for _, v := range all {
			d := s.tenants[v.tenant]
			it := d.item(v)
			if !yield(Row{d.ID, allStreams[it.stream], it.id(), it.version, fromTicks(v.at), fromTicks(times[v])}) {
				return
			}
		}
	}
}

// stream tells the stream of a source.
func (d *directory) stream(source int32) int {
	if source < streamCount {
		return int(source)
	}
	return d.generator(source).stream
}

// generator finds the generator of a source. It has one.
func (d *directory) generator(source int32) *generator {
	i, _ := slices.BinarySearchFunc(d.made, source, func(g *generator, source int32) int { return cmp.Compare(g.source, source) })
	return d.made[i]
}

// item finds a version again.
func (d *directory) item(v version) item {
	it := item{place: place{v.at, v.source, v.number}, stream: d.stream(v.source), version: int(v.version)}
	if v.source >= streamCount {
		it.made = d.generator(v.source)
		return it
	}
	from, to := v.at, v.at
	if moving(it.stream) {
		from, to = math.MinInt64, math.MaxInt64
	}
	records := d.added[v.source].between(from, to)
	it.added = records[slices.IndexFunc(records, func(a *addedRecord) bool { return a.number == v.number })]
	return it
}

// Expected yields what a complete reader has at that time: of each record that the API shows by then the newest version, by tenant, stream and time.
// Retention plays no part.
func (s *Server) Expected(at time.Time) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for _, d := range s.tenants {
			for stream, name := range allStreams {
				sel := everything(1<<stream, toTicks(at))
				for it := range d.walk(&sel) {
					if !yield(Row{d.ID, name, it.id(), it.version, fromTicks(it.at), it.appeared(sel.now)}) {
						return
					}
				}
			}
		}
	}
}
