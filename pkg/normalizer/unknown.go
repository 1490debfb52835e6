package normalizer

import (
	"sync"
	"unicode/utf8"
)

// Options are for NewWith. The zero value is that of New.
type Options struct {
	// Unknown is told of a member or word of a stream's records that the tables do not know, once for each name and Normalizer:
	// "status.newMember", "riskState=newWord". Calls come one at a time; they must not call back.
	Unknown func(stream, name string)
}

// Unknown is how often records of a stream had a member or word that the tables do not know. A record counts once for each
// schema that it is rendered in.
type Unknown struct {
	Stream, Name string
	Count        uint64
}

const (
	mostUnknown    = 256     // names that are told apart; those beyond are counted as otherUnknown
	longestUnknown = 80      // bytes of a name that are kept
	otherUnknown   = "other" // no member is called so
)

// unknowns counts what the tables do not know. Whoever sends records chooses names, so that their number and length are bounded.
type unknowns struct {
	tell func(stream, name string)
	mu   sync.Mutex
	n    int
	all  map[string]map[string]*uint64 // by stream and name
}

// count adds one to path+name+infix+word.
func (u *unknowns) count(stream, path string, name []byte, infix string, word []byte) {
	var buf [3 * longestUnknown]byte
	key := append(append(append(append(buf[:0], path...), shortened(name)...), infix...), shortened(word)...)
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.all[stream]
	if n := of[string(key)]; n != nil {
		*n++
		return
	}
	if of == nil {
		of = map[string]*uint64{otherUnknown: new(uint64)}
		u.all[stream] = of
	}
	if u.n >= mostUnknown {
		*of[otherUnknown]++
		return
	}
	u.n++
	full, n := string(key), uint64(1)
	of[full] = &n
	if u.tell != nil {
		u.tell(stream, full)
	}
}

// shortened cuts a name between characters.
func shortened(b []byte) []byte {
	if len(b) <= longestUnknown {
		return b
	}
	n := longestUnknown
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// Unknown gives the counts so far, in no order.
func (n *Normalizer) Unknown() []Unknown {
	u := n.unknown
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []Unknown
	for stream, of := range u.all {
		for name, count := range of {
			if *count > 0 {
				list = append(list, Unknown{stream, name, *count})
			}
		}
	}
	return list
}

// sightings is a job's way to the counts: which stream its record is of.
type sightings struct {
	unknowns *unknowns
	stream   string
	over     bool // the record has been read: what a writer reads again has been counted
}

func (s *sightings) member(path string, name []byte) {
	if !s.over {
		s.unknowns.count(s.stream, path, name, "", nil)
	}
}

func (s *sightings) word(path, name string, word []byte) {
	if !s.over {
		s.unknowns.count(s.stream, path, []byte(name), "=", word)
	}
}
