package kill

import (
	"path/filepath"
	"testing"

	"github.com/logferry/logferry/pkg/store"
)

// tally is what the last line tells.
type tally struct {
	records, versions int
	repeats           map[string]int
}

func (w *world) check(t *testing.T, killed int) tally {
	t.Helper()
	sinks := []*received{w.hec.received, w.syslog.received, readFile(t, w.shipper.output())}
	everywhere := w.sameEverywhere(t, sinks)
	carried := w.complete(t, everywhere)
	for content := range everywhere {
		if carried[content] == nil {
			t.Errorf("a sink has an event that is no record of the API, content %x", content)
			break
		}
	}
	sum := tally{versions: len(everywhere), repeats: map[string]int{}}
	ids := map[string]bool{}
	for content := range everywhere {
		if v := carried[content]; v != nil {
			ids[v.tenant+" "+v.id] = true
		}
	}
	sum.records = len(ids)
	for i, bound := range []int{w.hec.bound(killed), w.syslog.bound(killed), killed * batchEvents} {
		s := sinks[i]
		if sum.repeats[s.name] = s.repeated(); sum.repeats[s.name] > bound {
			t.Errorf("%s: %d repeats, want at most %d", s.name, sum.repeats[s.name], bound)
		}
		for _, fault := range s.faults {
			t.Errorf("%s: %s", s.name, fault)
		}
		t.Logf("%s: %d repeats of at most %d", s.name, sum.repeats[s.name], bound)
	}
	t.Logf("%d requests to HEC without an answer, %d syslog connections closed", w.hec.unknown.Load(), w.syslog.goodbyes.Load())
	w.ledger(t, sum)
	w.state(t)
	return sum
}

// sameEverywhere gives what the sinks have. The journal feeds all of them: what one has, each must have.
func (w *world) sameEverywhere(t *testing.T, sinks []*received) map[uint64]bool {
	t.Helper()
	all := map[uint64]bool{}
	for _, s := range sinks {
		for content := range s.contents {
			all[content] = true
		}
	}
	for _, s := range sinks {
		if missing := len(all) - len(s.contents); missing > 0 {
			t.Errorf("%s lacks %d of %d versions that another sink has", s.name, missing, len(all))
		}
	}
	return all
}

// complete checks that everything that must have arrived is there, and gives all that complete replies have carried.
func (w *world) complete(t *testing.T, have map[uint64]bool) map[uint64]*version {
	t.Helper()
	carried := map[uint64]*version{}
	for _, g := range w.graphs() {
		g.mu.Lock()
		newest := g.newest(t)
		missing, lost, replaced := 0, 0, 0
		byID := map[string]int{} // versions that have arrived
		for content, v := range g.versions {
			carried[content] = v
			switch {
			case have[content]:
				byID[v.id]++
			case v.sure:
				missing++
			default:
				replaced++
			}
		}
		for id, versions := range newest {
			// The newest version is among those that were carried; without it one is missing.
			if g.ids[id] != versions || byID[id] == 0 {
				lost++
			}
		}
		g.mu.Unlock()
		if missing > 0 || lost > 0 {
			t.Errorf("%s: %d of %d versions that were read are missing, %d of %d records are", g.tenant, missing, len(g.versions), lost, len(newest))
		}
		t.Logf("%s: %d records, %d versions; %d were replaced at the service before a living process had them", g.tenant, len(newest), len(g.versions), replaced)
	}
	return carried
}

// newest gives the id of every record that there is, with the number of its versions that were shown; the newest must be one.
func (g *graph) newest(t *testing.T) map[string]int {
	t.Helper()
	type name struct {
		id      string
		version int
	}
	shown, versions := map[name]bool{}, map[string]int{}
	for row := range g.sim.Shown() {
		shown[name{row.ID, row.Version}] = true
		versions[row.ID]++
	}
	newest, unread := map[string]int{}, 0
	for row := range g.sim.Expected(g.now()) {
		newest[row.ID] = versions[row.ID]
		if !shown[name{row.ID, row.Version}] {
			unread++
		}
	}
	if unread > 0 {
		t.Errorf("%s: %d of %d records were never read as they are now", g.tenant, unread, len(newest))
	}
	return newest
}

// ledger checks that it adds up, and that it says what has really happened: each version was journalled once, and delivered.
func (w *world) ledger(t *testing.T, sum tally) {
	t.Helper()
	st := w.shipper.status(t)
	var added, updated uint64
	for _, s := range st.Streams {
		added, updated = added+s.New, updated+s.Updated
		if s.Rows != s.New+s.Updated+s.Seen+s.Suppressed+s.Outside+s.Resent || s.Outside != 0 || s.Suppressed != 0 {
			t.Errorf("ledger of %s does not add up: %+v", s.Name, s.PageCounts)
		}
	}
	if len(st.Streams) != 7 || added != uint64(sum.records) || added+updated != uint64(sum.versions) {
		t.Errorf("ledger: %d streams, %d new, %d updated; want 7 streams, %d records in %d versions", len(st.Streams), added, updated, sum.records, sum.versions)
	}
	if len(st.Sinks) != 3 {
		t.Errorf("status has %d sinks, want 3", len(st.Sinks))
	}
	for _, s := range st.Sinks {
		if s.Delivered != added+updated || s.Settled() != s.Delivered || s.Pending != 0 || s.Letters != 0 {
			t.Errorf("ledger of %s: %+v, want %d delivered and nothing else", s.Name, s, added+updated)
		}
	}
}

// state checks that the file is sound and was all the time.
func (w *world) state(t *testing.T) {
	t.Helper()
	aside, err := filepath.Glob(filepath.Join(w.shipper.state(), "*.damaged-*"))
	if err != nil || len(aside) > 0 {
		t.Errorf("state was set aside: %v, %v", aside, err)
	}
	s, opened, err := store.Open(w.shipper.state(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if opened.Lost || opened.Fresh {
		t.Errorf("state was lost: %+v", opened)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
