package simulator

import (
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// item is one version of one record, found by a walk.
type item struct {
	place
	stream  int
	version int
	since   ticks // when the version appeared, where made is nil
	hides   bool  // members of enumerations that are younger than the API's version
	made    *generator
	added   *addedRecord // where made is nil
}

// append prints the record as the version of the API shows it, with r as room to work in.
func (it *item) append(dst []byte, r *traits, beta bool) []byte {
	if it.made != nil {
		it.made.traits(r, it.number, it.at, it.version, beta)
		r.hides = it.hides
		return r.append(dst)
	}
	return append(dst, it.added.raw(it.version)...)
}

// appeared tells when the version that is shown at now began to be.
func (it *item) appeared(now ticks) time.Time {
	since := it.since
	if it.made != nil {
		_, since, _ = it.made.version(it.number, it.made.time(it.number), now)
	}
	return fromTicks(since)
}

func (it *item) id() string {
	if it.made == nil {
		return it.added.members.ID
	}
	var r traits
	it.made.traits(&r, it.number, it.at, it.version, true)
	return string(appendID(nil, &r))
}

// directory is a tenant with its records.
type directory struct {
	Tenant
	index uint16       // in Server.tenants
	made  []*generator // in the order of their sources
	added [streamCount]*shelf
}

// is says whether a name is the tenant's GUID or domain.
func (t *Tenant) is(name string) bool {
	return strings.EqualFold(name, t.ID) || strings.EqualFold(name, t.Domain)
}

// walker yields a source's records in the order of a selection, until ok is false.
type walker interface {
	next() (it item, ok bool)
}

// walk yields the records of a selection, its sources merged.
func (d *directory) walk(sel *selection) iter.Seq[item] {
	return func(yield func(item) bool) {
		var walkers []walker
		for _, g := range d.made {
			if sel.streams&(1<<g.stream) != 0 {
				walkers = append(walkers, newMadeWalk(g, sel))
				if moving(g.stream) {
					walkers = append(walkers, newMovedWalk(g, sel))
				}
			}
		}
		for stream, shelf := range d.added {
			switch {
			case sel.streams&(1<<stream) == 0:
			case moving(stream):
				walkers = append(walkers, newMovedShelf(shelf, stream, sel))
			default:
				walkers = append(walkers, &addedWalk{sel: sel, records: shelf.between(sel.lo, sel.hi), stream: stream})
			}
		}
		heads := make([]item, 0, len(walkers))
		advance := func(i int) bool {
			it, ok := walkers[i].next()
			if ok {
				heads[i] = it
				return true
			}
			walkers = slices.Delete(walkers, i, i+1)
			heads = slices.Delete(heads, i, i+1)
			return false
		}
		for i := 0; i < len(walkers); {
			heads = append(heads, item{})
			if advance(i) {
				i++
			}
		}
		for len(heads) > 0 {
			best := 0
			for i := 1; i < len(heads); i++ {
				if sel.before(heads[i].place, heads[best].place) {
					best = i
				}
			}
			if !yield(heads[best]) {
				return
			}
			advance(best)
		}
	}
}

// before says whether a comes before b in the selection's order.
func (sel *selection) before(a, b place) bool {
	if sel.asc {
		return a.compare(b) < 0
	}
	return a.compare(b) > 0
}

// takes says whether a visible record belongs to the selection.
func (sel *selection) takes(p place, stream int, rec subject) bool {
	return p.at >= sel.lo && p.at <= sel.hi && (sel.after == nil || sel.before(*sel.after, p)) && sel.filter.match(p.at, stream, rec)
}

// madeWalk goes over a generator's records [from, to) upwards or downwards.
type madeWalk struct {
	g        *generator
	sel      *selection
	from, to int64
	traits   traits
	at       ticks
	number   int64
	version  int
}

func newMadeWalk(g *generator, sel *selection) *madeWalk {
	lo, hi := sel.lo, min(sel.hi, sel.now) // what has not happened is not shown
	if sel.after != nil && sel.asc {
		lo = max(lo, sel.after.at)
	} else if sel.after != nil {
		hi = min(hi, sel.after.at)
	}
	w := &madeWalk{g: g, sel: sel}
	if hi >= lo {
		w.from, w.to = g.first(lo), g.first(hi+1)
	}
	return w
}

func (w *madeWalk) next() (item, bool) {
	for w.from < w.to {
		if w.sel.asc {
			w.number = w.from
			w.from++
		} else {
			w.to--
			w.number = w.to
		}
		w.at = w.g.time(w.number)
		it := item{place: place{w.at, w.g.source, w.number}, stream: w.g.stream, made: w.g}
		if !w.g.settled(w.at, w.sel.now) {
			var shown bool
			if it.version, _, shown = w.g.version(w.number, w.at, w.sel.now); !shown {
				continue
			}
			if it.version > 0 && moving(w.g.stream) {
				continue // it has gone to the time of its change
			}
		}
		w.version = it.version
		if w.sel.takes(it.place, w.g.stream, w) {
			return it, true
		}
	}
	return item{}, false
}

// property makes madeWalk the subject of the filter: the record that it stands on.
func (w *madeWalk) property(name string) string {
	w.g.traits(&w.traits, w.number, w.at, w.version, true)
	if w.g.stream > streamAudits || deep(name) {
		return textAt(w.traits.append(nil), name)
	}
	return w.traits.property(name)
}

// addedRecord is a Record of a test's own.
type addedRecord struct {
	Record
	place
	members members
	shows   ticks   // when it appears
	moved   []ticks // the places of its updates, in streams that are ordered by the last update
}

// members are those of a record's members that streams, places and filters depend on.
type members struct {
	ID                  string   `json:"id"`
	Created             string   `json:"createdDateTime"`
	Activity            string   `json:"activityDateTime"`
	LastUpdated         string   `json:"lastUpdatedDateTime"`
	RiskLastUpdated     string   `json:"riskLastUpdatedDateTime"`
	LastUpdate          string   `json:"lastUpdateDateTime"`
	ServicePrincipalID  string   `json:"servicePrincipalId"`
	ServicePrincipal    string   `json:"servicePrincipalType"`
	ServiceSource       string   `json:"serviceSource"`
	ProvisioningAction  string   `json:"provisioningAction"`
	Interactive         *bool    `json:"isInteractive"`
	EventTypes          []string `json:"signInEventTypes"`
	UserID              string   `json:"userId"`
	UserPrincipalName   string   `json:"userPrincipalName"`
	AppID               string   `json:"appId"`
	AppDisplayName      string   `json:"appDisplayName"`
	CorrelationID       string   `json:"correlationId"`
	IPAddress           string   `json:"ipAddress"`
	ActivityDisplayName string   `json:"activityDisplayName"`
	Category            string   `json:"category"`
	LoggedByService     string   `json:"loggedByService"`
	legacyMembers
	raw         []byte
	InitiatedBy struct {
		User struct {
			ID                string `json:"id"`
			UserPrincipalName string `json:"userPrincipalName"`
		} `json:"user"`
		App struct {
			AppID       string `json:"appId"`
			DisplayName string `json:"displayName"`
		} `json:"app"`
	} `json:"initiatedBy"`
}

func (m *members) property(name string) string {
	switch name {
	case "id":
		return m.ID
	case "userId":
		return m.UserID
	case "userPrincipalName":
		return m.UserPrincipalName
	case "appId":
		return m.AppID
	case "appDisplayName":
		return m.AppDisplayName
	case "correlationId":
		return m.CorrelationID
	case "ipAddress":
		return m.IPAddress
	case "activityDisplayName":
		return m.ActivityDisplayName
	case "category":
		return m.Category
	case "loggedByService":
		return m.LoggedByService
	case "initiatedBy/user/id":
		return m.InitiatedBy.User.ID
	case "initiatedBy/user/userPrincipalName":
		return m.InitiatedBy.User.UserPrincipalName
	case "initiatedBy/app/appId":
		return m.InitiatedBy.App.AppID
	case "initiatedBy/app/displayName":
		return m.InitiatedBy.App.DisplayName
	}
	if deep(name) {
		return textAt(m.raw, name)
	}
	return m.legacyProperty(name)
}

// raw returns the record as its version reads.
func (a *addedRecord) raw(version int) []byte {
	if version == 0 {
		return a.Raw
	}
	return a.Updates[version-1].Raw
}

// shelf holds the added records of one stream in order. A walk keeps the slice it got: it is appended to or replaced, never changed.
type shelf struct {
	source  int32
	mu      sync.RWMutex
	records []*addedRecord
	total   int64
}

func (s *shelf) add(a *addedRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.source, a.number = s.source, s.total
	s.total++
	i := sort.Search(len(s.records), func(i int) bool { return s.records[i].at > a.at })
	if i == len(s.records) {
		s.records = append(s.records, a)
		return
	}
	s.records = slices.Concat(s.records[:i], []*addedRecord{a}, s.records[i:])
}

// between returns the records in [lo, hi].
func (s *shelf) between(lo, hi ticks) []*addedRecord {
	s.mu.RLock()
	defer s.mu.RUnlock()
	from := sort.Search(len(s.records), func(i int) bool { return s.records[i].at >= lo })
	to := sort.Search(len(s.records), func(i int) bool { return s.records[i].at > hi })
	return s.records[from:max(from, to)]
}

type addedWalk struct {
	sel     *selection
	records []*addedRecord
	stream  int
}

func (w *addedWalk) next() (item, bool) {
	for len(w.records) > 0 {
		var a *addedRecord
		if w.sel.asc {
			a, w.records = w.records[0], w.records[1:]
		} else {
			last := len(w.records) - 1
			a, w.records = w.records[last], w.records[:last]
		}
		if a.shows > w.sel.now || !w.sel.takes(a.place, w.stream, a.subject(w.stream)) {
			continue
		}
		it := item{place: a.place, stream: w.stream, since: a.shows, added: a}
		for _, u := range a.Updates {
			if at := toTicks(u.At); at <= w.sel.now {
				it.version++
				it.since = max(at, a.shows)
			}
		}
		return it, true
	}
	return item{}, false
}

func streamIndex(stream string) int { return slices.Index(allStreams, stream) }

// Add puts a record of the caller's own into a stream.
func (s *Server) Add(stream string, rec Record) error {
	n := streamIndex(stream)
	d := s.directory(rec.Tenant)
	if n < 0 || d == nil {
		return fmt.Errorf("add record: no stream %q of tenant %q", stream, rec.Tenant)
	}
	a, err := newAddedRecord(rec, n)
	if err != nil {
		return fmt.Errorf("add record to %s: %w", stream, err)
	}
	d.added[n].add(a)
	return nil
}

// directory finds a tenant by its GUID or domain; "" is the first.
func (s *Server) directory(name string) *directory {
	if name == "" {
		return s.tenants[0]
	}
	return s.named[strings.ToLower(name)]
}
