package entra

import (
	"sync"
	"time"
)

// Graph has told licensed tenants for days that they have no licence, nine times out of ten. A refusal says little about a
// stream that was read just now, and something only after a while about one that never was.
const (
	licenceDoubt = 15 * time.Minute // for which a stream must be refused before it counts as unlicensed
	licenceLeast = 10               // refusals in a row that it takes as well
	licenceTries = 12               // requests for one page of a stream that was read within licenceDoubt
)

// licences remembers how the streams' licences fare.
type licences struct {
	mu sync.Mutex
	of map[string]*licence
}

type licence struct {
	read    time.Time // when a page came last; zero: never
	refused time.Time // the first refusal in a row
	times   int       // refusals in a row
}

// granted notes that a page of the stream has come.
func (l *licences) granted(stream string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.find(stream) = licence{read: now}
}

// refuse notes a refusal and tells whether the licence is really missing.
func (l *licences) refuse(stream string, now time.Time) (missing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.find(stream)
	if s.times++; s.times == 1 {
		s.refused = now
	}
	return s.times >= licenceLeast && now.Sub(s.refused) >= licenceDoubt
}

// proved tells whether the stream was read so lately that the tenant must have the licence.
func (l *licences) proved(stream string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.find(stream)
	return !s.read.IsZero() && now.Sub(s.read) < licenceDoubt
}

// everRead tells whether a page of the stream has come since the process began: its filter, which stays the same as long, is sound.
func (l *licences) everRead(stream string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.find(stream).read.IsZero()
}

func (l *licences) find(stream string) *licence {
	s := l.of[stream]
	if s == nil {
		if l.of == nil {
			l.of = map[string]*licence{}
		}
		s = &licence{}
		l.of[stream] = s
	}
	return s
}
