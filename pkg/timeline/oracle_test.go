package timeline

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// oracle keeps its own account, from the log of slices that were read and from where the readers stand, of what each reader's
// turn was counted for.
type oracle struct {
	at      map[string]Reader    // the readers as they stood
	born    map[string]int       // number of the last trip that began before the reader did, or before it began again
	covered map[string]stretches // read, by whomever, at an age that counts for the reader
	left    map[string]stretches // passed by the re-reader without that
}

func (o *oracle) leftNow() map[string]stretches { return maps.Clone(o.left) }

func ageOf(name string) time.Duration {
	age, _ := time.ParseDuration(strings.TrimPrefix(name, Reread+"/"))
	return age
}

func rereads(name string) bool { return strings.HasPrefix(name, Reread+"/") }

// readBy gives what a slice whose last page was made just now has read.
func (m *model) readBy(t *trip) stretch {
	s := stretch{t.job.Slice.From, t.job.Slice.To}
	switch name := t.job.Slice.Reader; {
	case s.to.IsZero():
		s.to = earlier(second(t.first), second(m.now()))
	case rereads(name):
		s.to = earlier(s.to, second(m.now().Add(-ageOf(name))))
	default:
		s.to = earlier(s.to, second(m.now()))
	}
	return s
}

// credited counts a slice for each reader for which it does.
func (o *oracle) credited(m *model, t *trip) {
	for name, x := range o.at {
		s := t.read
		if !x.End.IsZero() { // it may be given a later one
			s.to = earlier(s.to, x.End)
		}
		if name != t.job.Slice.Reader {
			s.to = earlier(s.to, second(t.first.Add(-ageOf(name))))
		}
		if rereads(name) && (name == t.job.Slice.Reader || t.job.Slice.Reader != Live && !rereads(t.job.Slice.Reader) && t.number > o.born[name]) {
			o.left[name] = minus(o.left[name], s) // read in the end
		}
		if name != Live && (name == t.job.Slice.Reader || t.number > o.born[name]) {
			o.covered[name] = o.covered[name].with(s)
		}
	}
}

// minus gives all without x.
func minus(all stretches, x stretch) (rest stretches) {
	if x.empty() {
		return all
	}
	for _, s := range all {
		rest = append(rest, stretches{x}.outside(s)...)
	}
	return rest
}

// watch looks where the readers are now.
func (o *oracle) watch(m *model) {
	stood := func(r *reader) bool { return o.at[r.name] == Reader{r.name, r.pos, r.end} }
	if len(o.at) == len(m.line.readers) && !slices.ContainsFunc(m.line.readers, func(r *reader) bool { return !stood(r) }) {
		return
	}
	back := slices.ContainsFunc(m.line.Notes(), func(n string) bool { return strings.Contains(n, "set back") })
	was := o.at
	o.at = map[string]Reader{}
	for _, r := range m.line.Readers() {
		o.at[r.Name] = r
		if old, ok := was[r.Name]; !ok || back || r.Pos.Before(old.Pos) {
			o.covered[r.Name], o.born[r.Name] = nil, m.number
		}
	}
	for name, r := range o.at {
		if old, ok := was[name]; ok && rereads(name) && r.Pos.After(old.Pos) {
			o.pass(m, name, stretch{old.Pos, r.Pos})
		}
		o.covered[name] = slices.Clone(o.covered[name]).above(r.Pos)
	}
	for name := range o.covered {
		if _, ok := o.at[name]; !ok {
			delete(o.covered, name)
		}
	}
}

// pass notes that a re-reader has moved over s.
func (o *oracle) pass(m *model, name string, s stretch) {
	read := o.covered[name]
	for other, x := range o.at {
		if other == Live || rereads(other) {
			continue
		}
		asked := o.covered[other]
		for _, t := range m.trips {
			if t.job.Slice.Reader == other {
				asked = asked.with(stretch{t.job.Slice.From, t.job.Slice.To})
				read = read.with(stretch{t.job.Slice.From, earlier(t.job.Slice.To, second(t.at.Add(-ageOf(name))))})
			}
		}
		for _, part := range asked.outside(stretch{x.Pos, x.End}) {
			read = read.with(part)
		}
	}
	for _, part := range read.outside(s) {
		o.left[name] = o.left[name].with(part)
	}
}

// repaired notes that what was read of a repaired stretch does not count any more.
func (o *oracle) repaired(m *model, from time.Time) {
	for _, r := range m.line.Readers() {
		if strings.HasPrefix(r.Name, Recovery) && r.Pos.Equal(from) && !m.busy(r.Name) {
			o.covered[r.Name], o.born[r.Name] = nil, m.number
		}
	}
	o.watch(m)
}

func (m *model) busy(reader string) bool {
	return slices.ContainsFunc(m.trips, func(t *trip) bool { return t.job.Slice.Reader == reader })
}

// restarted begins the account anew: a new line only knows what was saved.
func (o *oracle) restarted(m *model) {
	o.at, o.born, o.covered = map[string]Reader{}, map[string]int{}, map[string]stretches{}
	o.left = maps.Clone(m.dur.left)
	o.watch(m)
}

// checkLeft: what a re-reader has passed without a reading is what the marks say that the state has.
func (m *model) checkLeft() {
	marked := map[string]stretches{}
	for _, x := range m.mem.marks {
		if x.Kind == event.Uncovered {
			marked[x.Reader] = marked[x.Reader].with(stretch{x.From, x.To})
		}
	}
	for name := range m.mem.left {
		if !slices.Equal(marked[name], m.mem.left[name]) {
			m.fatalf("%s is marked as uncovered at\n%v, it has left out\n%v", name, marked[name], m.mem.left[name])
		}
		delete(marked, name)
	}
	if len(marked) > 0 {
		m.fatalf("marked as uncovered, but read: %v", marked)
	}
}
