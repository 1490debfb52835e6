package timeline

import "time"

// Drain makes every reader read up to the time of the next poll, however short its slice is (run --once).
func (l *Line) Drain() { l.draining, l.edge = true, time.Time{} }

// Drained tells whether that has been done by every reader but those that are given up for now. Holes are not waited for.
func (l *Line) Drained(given map[string]bool) bool {
	if l.edge.IsZero() {
		return given[Live]
	}
	for _, r := range l.readers {
		if r.kind != Live && r.kind != Hole && !given[r.name] && (r.kind != Reread || r.pos.Before(second(l.edge.Add(-r.age)))) {
			return false
		}
	}
	return true
}
