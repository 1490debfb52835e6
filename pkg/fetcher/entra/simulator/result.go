package simulator

import (
	"math"
	"time"
)

// at makes a selection one of what the API shows now.
func (s *Server) at(now ticks, sel selection) selection {
	sel.now = now
	if s.opts.Retention > 0 {
		sel.lo = max(sel.lo, now-int64(s.opts.Retention/100))
	}
	return sel
}

// concerns says whether a rule that is about a query's result is about this request's. Other rules are about all.
func (s *Server) concerns(r *ruleState, req request) bool {
	switch r.Kind {
	case Poison, LongWindow, ManyRows, ShortResult:
	default:
		return true
	}
	if req.query == nil {
		return false
	}
	now := toTicks(s.opts.Now())
	sel := s.at(now, req.query.selection)
	switch r.Kind {
	case LongWindow:
		lo, hi := req.query.lo, req.query.hi
		if hi == math.MaxInt64 {
			hi = now
		}
		return lo == math.MinInt64 || hi-lo > int64(r.Span/100)
	case ShortResult:
		reach := req.query.top + max(1, r.Rows)
		n := req.tenant.count(&sel, reach+1)
		return n > 0 && n <= reach
	case ManyRows:
		sel.after = nil
		return req.tenant.count(&sel, r.Rows+1) > r.Rows
	}
	span := r.Span
	if span == 0 {
		span = time.Second
	}
	from := toTicks(s.began.Add(r.At))
	sel.after, sel.lo, sel.hi = nil, max(sel.lo, from), min(sel.hi, from+int64(span/100)-1)
	return req.tenant.count(&sel, 1) > 0
}

// count returns how many rows a selection has, at most most.
func (d *directory) count(sel *selection, most int) (n int) {
	for range d.walk(sel) {
		if n++; n >= most {
			break
		}
	}
	return n
}

// shorten takes from a page, fetched with lost rows more than top, what a result that lacks its last rows does not show.
func shorten(items []item, more bool, top, lost int) ([]item, bool) {
	if !more {
		items = items[:max(0, len(items)-lost)]
	}
	if len(items) > top {
		return items[:top], true
	}
	return items, false
}
