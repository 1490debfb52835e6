package timeline

import (
	"slices"
	"time"
)

// stretch is [from, to).
type stretch struct{ from, to time.Time }

func (s stretch) empty() bool { return !s.from.Before(s.to) }

func (s stretch) contains(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

// stretches is a set of times: ascending, none empty, none touching the next.
type stretches []stretch

// with adds x. What s was made of is not changed.
func (s stretches) with(x stretch) stretches {
	if x.empty() {
		return s
	}
	var out stretches
	at := 0
	for ; at < len(s) && s[at].to.Before(x.from); at++ {
		out = append(out, s[at])
	}
	for ; at < len(s) && !s[at].from.After(x.to); at++ {
		x = stretch{earlier(x.from, s[at].from), later(x.to, s[at].to)}
	}
	return append(append(out, x), s[at:]...)
}

// past gives the first time from t on that is not in s.
func (s stretches) past(t time.Time) time.Time {
	for _, x := range s {
		if x.contains(t) {
			return x.to
		}
	}
	return t
}

// outside gives the parts of x that are not in s.
func (s stretches) outside(x stretch) (open stretches) {
	for _, y := range s {
		if !y.to.After(x.from) {
			continue
		}
		if !y.from.Before(x.to) {
			break
		}
		if part := (stretch{x.from, y.from}); !part.empty() {
			open = append(open, part)
		}
		x.from = y.to
	}
	if !x.empty() {
		open = append(open, x)
	}
	return open
}

// above drops what lies before t.
func (s stretches) above(t time.Time) stretches {
	return slices.DeleteFunc(s, func(x stretch) bool { return !x.to.After(t) })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
