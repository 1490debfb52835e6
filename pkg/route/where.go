package route

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/normalizer"
)

// Filter chooses records by rules. It is safe for concurrent use.
type Filter struct {
	rules  []rule
	reader *normalizer.Normalizer
	choose func(*normalizer.Facts) bool // holds, bound once: binding it for each record would allocate
}

type rule struct {
	streams []string // none: all
	all     conditions
	not     *conditions
}

type conditions struct {
	outcomes []string
	risk     normalizer.Risk // RiskNone: not asked for
	texts    []texts
	nets     []netip.Prefix
	ips      []string // patterns
	codes    []int64
}

type texts struct {
	name     normalizer.Fact
	patterns []string // in lower case
}

// NewFilter takes rules that Validate has found sound; nil for none.
func NewFilter(rules Rules, n *normalizer.Normalizer) *Filter {
	if len(rules) == 0 {
		return nil
	}
	f := &Filter{reader: n}
	f.choose = f.holds
	for _, r := range rules {
		compiled := rule{streams: r.Streams, all: compile(r.Conditions)}
		if r.Not != nil {
			not := compile(*r.Not)
			compiled.not = &not
		}
		f.rules = append(f.rules, compiled)
	}
	return f
}

func compile(c Conditions) conditions {
	out := conditions{outcomes: c.Outcome, codes: c.ErrorCode, risk: normalizer.Risk(slices.Index(levels, c.Risk) + 1)}
	for _, t := range []struct {
		name  normalizer.Fact
		words Words
	}{
		{normalizer.FactUser, c.User}, {normalizer.FactTarget, c.Target}, {normalizer.FactApp, c.App}, {normalizer.FactActivity, c.Activity},
		{normalizer.FactCategory, c.Category}, {normalizer.FactCountry, c.Country}, {normalizer.FactClientApp, c.ClientApp},
	} {
		if t.words != nil {
			out.texts = append(out.texts, texts{t.name, lower(t.words)})
		}
	}
	for _, word := range c.IP {
		if p, err := parseNet(word); err == nil && p.IsValid() {
			out.nets = append(out.nets, p)
		} else {
			out.ips = append(out.ips, lower([]string{word})...)
		}
	}
	return out
}

func lower(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.Map(unicode.ToLower, w)
	}
	return out
}

// Keep tells whether a rule holds for the record. A stream that no rule names is kept whole: rules about sign-ins say nothing of
// audits. What cannot be read is kept, too: it becomes a dead letter with its reason, where filtering would hide it.
func (f *Filter) Keep(rec *event.Record) bool {
	if !f.names(rec.Key.Stream) {
		return true
	}
	kept, err := f.reader.Judge(rec, f.choose)
	return kept || err != nil
}

func (f *Filter) names(stream string) bool {
	for i := range f.rules {
		if f.rules[i].names(stream) {
			return true
		}
	}
	return false
}

func (r *rule) names(stream string) bool {
	if len(r.streams) == 0 {
		return true
	}
	for _, p := range r.streams {
		if ok, err := path.Match(p, stream); ok && err == nil {
			return true
		}
	}
	return false
}

func (f *Filter) holds(facts *normalizer.Facts) bool {
	for i := range f.rules {
		r := &f.rules[i]
		if r.names(facts.Stream) && r.all.hold(facts) && (r.not == nil || !r.not.hold(facts)) {
			return true
		}
	}
	return false
}

// hold tells whether the record meets every condition.
func (c *conditions) hold(f *normalizer.Facts) bool {
	if c.outcomes != nil && !slices.Contains(c.outcomes, f.Outcome) {
		return false
	}
	if f.Risk < c.risk {
		return false
	}
	if c.codes != nil && (!f.HasCode || !slices.Contains(c.codes, f.ErrorCode)) {
		return false
	}
	for i := range c.texts {
		if t := &c.texts[i]; !anyMatch(t.patterns, f.Texts(t.name)) {
			return false
		}
	}
	return c.nets == nil && c.ips == nil || c.from(f)
}

// from tells whether the client's address is one of those asked for. Patterns see it as it is usually written, and as the
// record has it where that is no address.
func (c *conditions) from(f *normalizer.Facts) bool {
	if !f.Address.IsValid() {
		return anyMatch(c.ips, f.Texts(normalizer.FactIP))
	}
	for _, p := range c.nets {
		if p.Contains(f.Address) {
			return true
		}
	}
	var room [64]byte // more than the longest address
	written := f.Address.AppendTo(room[:0])
	for _, p := range c.ips {
		if match(p, written) {
			return true
		}
	}
	return false
}

func anyMatch(patterns []string, found [][]byte) bool {
	for _, text := range found {
		for _, p := range patterns {
			if match(p, text) {
				return true
			}
		}
	}
	return false
}

// match tells whether text is what the pattern (in lower case) stands for: * is any run of characters, ? any one. Letter case
// does not count. It goes back to the last star only, so its time is bounded by the product of the lengths.
func match(pattern string, text []byte) bool {
	p, t := 0, 0
	star, again := -1, 0 // behind the last star; where its run ends so far
	for t < len(text) {
		r, n := utf8.DecodeRune(text[t:])
		want, width := utf8.DecodeRuneInString(pattern[p:])
		switch {
		case width > 0 && want == '*':
			p += width
			star, again = p, t
		case width > 0 && (want == '?' || want == unicode.ToLower(r)):
			p, t = p+width, t+n
		case star >= 0:
			_, skip := utf8.DecodeRune(text[again:])
			again += skip
			p, t = star, again
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
