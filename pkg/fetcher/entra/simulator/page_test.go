package simulator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// all is one generator per stream, from epoch on.
func all(rate float64) (list []Generate) {
	for _, stream := range Streams() {
		list = append(list, Generate{Stream: stream, Rate: rate, Since: epoch})
	}
	return list
}

func TestPagesOfRandomWindowsAreComplete(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		clock := &fixedClock{epoch.Add(time.Duration(rng.IntN(7200)) * time.Second)}
		gen := []Generate{
			{Stream: NonInteractive, Rate: 0.05 + rng.Float64(), Since: epoch,
				Lateness: Lateness{Median: 2 * time.Minute, P95: 5 * time.Minute, TailShare: 0.02, Max: time.Hour}, Updates: Updates{Share: 0.1}},
			{Stream: NonInteractive, Rate: 0.3, Since: epoch.Add(10 * time.Minute), Until: epoch.Add(50 * time.Minute)},
			{Stream: Audits, Rate: 1, Since: epoch},
		}
		u := newUser(t, Options{Now: clock.now, Seed: seed, Generate: gen})
		for i := range 20 {
			at := iso(epoch.Add(time.Duration(rng.Int64N(int64(2 * time.Hour)))))
			raw := fmt.Sprintf(`{"id":"added-%d","createdDateTime":"%s"}`, i, at)
			if err := u.server.Add(NonInteractive, Record{Raw: []byte(raw)}); err != nil {
				t.Fatal(err)
			}
		}
		lo := epoch.Add(time.Duration(rng.IntN(7200)-600) * time.Second)
		hi := lo.Add(time.Duration(rng.IntN(3600)) * time.Second)
		var want []string
		for row := range u.server.Expected(clock.t) {
			if row.Stream == NonInteractive && !row.Time.Before(lo) && !row.Time.After(hi) {
				want = append(want, row.ID)
			}
		}
		filter := kindOf(NonInteractive) + " and (createdDateTime ge " + iso(lo) + " and createdDateTime le " + iso(hi) + ")"
		top := fmt.Sprintf("$top=%d", 3+rng.IntN(80))
		got := u.pages(signInsAt(filter, top, "$orderby=createdDateTime+asc"))
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: ascending: %d rows, want %d", seed, len(got), len(want))
		}
		got = u.pages(signInsAt(filter, top))
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: newest first: %d rows, want %d", seed, len(got), len(want))
		}
	}
}

// TestExpectedIsBruteForce holds Expected, on which the test above relies, against a plain loop over all numbers.
func TestExpectedIsBruteForce(t *testing.T) {
	s, err := New(Options{Now: func() time.Time { return epoch }, Seed: 7, Generate: []Generate{{Stream: Interactive, Rate: 2, Since: epoch, Until: epoch.Add(time.Hour),
		Lateness: Lateness{Median: time.Minute, P95: 10 * time.Minute, TailShare: 0.1, Max: 40 * time.Minute}, Updates: Updates{Share: 0.5, After: 10 * time.Minute}}}})
	if err != nil {
		t.Fatal(err)
	}
	g := s.tenants[0].made[0]
	at := epoch.Add(40 * time.Minute)
	want := map[string]int{}
	updated := 0
	for i := range int64(7200) {
		when := g.time(i)
		if base := epoch.Add(time.Duration(i) * time.Second / 2); when < toTicks(base) || when >= toTicks(base.Add(time.Second/2)) {
			t.Fatalf("record %d is at %v, outside of its half second", i, fromTicks(when))
		}
		shows := g.appears(i, when)
		if shows > toTicks(at) {
			continue
		}
		it := item{place: place{when, g.source, i}, made: g}
		if change, ok := g.changes(i, shows); ok && change <= toTicks(at) {
			it.version = 1
			updated++
		}
		want[it.id()] = it.version
	}
	got := map[string]int{}
	for row := range s.Expected(at) {
		got[row.ID] = row.Version
	}
	if updated == 0 || len(want) < 3000 || len(want) > 4700 {
		t.Fatalf("%d visible, %d of them updated: the test tests nothing", len(want), updated)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Expected has %d rows, a loop %d", len(got), len(want))
	}
}

func TestArrivalsWhilePagingCostNoRow(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	u := newUser(t, Options{Now: clock.now, Generate: []Generate{{Stream: Interactive, Rate: 0.1, Since: epoch, Lateness: Lateness{Median: 3 * time.Minute, P95: 20 * time.Minute}}}})
	want := map[string]bool{}
	for row := range u.server.Expected(clock.t) {
		want[row.ID] = true
	}
	next := signInsAt("", "$top=7")
	got := map[string]bool{}
	for {
		p := u.page(next)
		for _, id := range idsOf(t, p.Value) {
			if got[id] {
				t.Fatalf("%s came twice", id)
			}
			got[id] = true
		}
		if p.Next == nil {
			break
		}
		next = *p.Next
		clock.t = clock.t.Add(20 * time.Second)
	}
	for id := range want {
		if !got[id] {
			t.Errorf("%s was there at the start and did not come", id)
		}
	}
}

func TestRecordsAreValidAndVaried(t *testing.T) {
	for _, stream := range Streams() {
		for _, beta := range []bool{false, true} {
			n := streamIndex(stream)
			g := &generator{stream: n, key: 3, org: newOrganisation(Tenant{ID: DefaultTenantID, Domain: DefaultDomain}, 3)}
			ids, bytes := map[string]bool{}, 0
			for i := range int64(500) {
				for v := range 2 {
					raw := g.append(nil, new(traits), i, toTicks(epoch)+i, v, beta)
					var m members
					if err := json.Unmarshal(raw, &m); err != nil {
						t.Fatalf("%s %d: %v\n%s", stream, i, err, raw)
					}
					ids[m.ID] = true
					bytes += len(raw)
					if v == 1 && string(raw) == string(g.append(nil, new(traits), i, toTicks(epoch)+i, 0, beta)) {
						t.Fatalf("%s %d: the update changes nothing", stream, i)
					}
					if beta && n < streamAudits && m.stream() != n {
						t.Fatalf("%s %d is taken for stream %d", stream, i, m.stream())
					}
				}
			}
			if len(ids) != 500 {
				t.Errorf("%s: %d ids, want 500", stream, len(ids))
			}
			t.Logf("%s beta=%t: %d bytes a record", stream, beta, bytes/4000)
		}
	}
}

func TestSize(t *testing.T) {
	g := &generator{key: 3, org: newOrganisation(Tenant{ID: DefaultTenantID, Domain: DefaultDomain}, 3), size: 5000}
	for _, g.stream = range []int{streamInteractive, streamAudits} {
		raw := g.append(nil, new(traits), 1, toTicks(epoch), 0, true)
		if !json.Valid(raw) || len(raw) < 5000 || len(raw) > 20200 {
			t.Errorf("%d bytes, valid %t: %s", len(raw), json.Valid(raw), raw[len(raw)-300:])
		}
	}
}

func TestPagesArePureFunctionsOfTheSeed(t *testing.T) {
	body := func(seed uint64, tenant string) string {
		clock := &fixedClock{epoch.Add(time.Hour)}
		u := newUser(t, Options{Now: clock.now, Seed: seed, Generate: all(1), Tenants: []Tenant{{ID: DefaultTenantID, Domain: DefaultDomain},
			{ID: "7c9e6679-7425-40de-944b-e07fc1f90ae7", Domain: "fabrikam.onmicrosoft.com"}}})
		u.signIn(tenant)
		_, b := u.get(signInsAt("createdDateTime ge 2026-03-01T12:10:00Z", "$top=20"))
		return string(b)
	}
	one := body(1, DefaultDomain)
	if one != body(1, DefaultDomain) {
		t.Error("the same seed gives another page")
	}
	if one == body(2, DefaultDomain) {
		t.Error("another seed gives the same page")
	}
	if other := body(1, "fabrikam.onmicrosoft.com"); one == other || !strings.Contains(other, "@fabrikam.onmicrosoft.com") {
		t.Error("another tenant gives the same page")
	}
}

func TestRetentionHidesOldRows(t *testing.T) {
	clock := &fixedClock{epoch.Add(2 * time.Hour)}
	u := newUser(t, Options{Now: clock.now, Generate: all(0.1), Retention: time.Hour})
	if n := len(u.pages(signInsAt(""))); n < 358 || n > 362 {
		t.Errorf("%d rows of the last hour, want 360", n)
	}
}

func BenchmarkPage(b *testing.B) {
	for _, stream := range []string{NonInteractive, Audits} {
		b.Run(stream, func(b *testing.B) {
			s, err := New(Options{Now: func() time.Time { return epoch.Add(30 * 24 * time.Hour) }, Generate: []Generate{{Stream: stream, Rate: 100, Since: epoch,
				Lateness: Lateness{Median: 2 * time.Minute, P95: 5 * time.Minute, TailShare: 0.01, Max: 48 * time.Hour}, Updates: Updates{Share: 0.02}}}})
			if err != nil {
				b.Fatal(err)
			}
			lo := toTicks(epoch.Add(7 * 24 * time.Hour))
			sel := selection{streams: 1 << streamIndex(stream), lo: lo, hi: lo + 3600*ticksPerSecond, now: toTicks(s.opts.Now())}
			var body []byte
			var room traits
			rows := 0
			b.ReportAllocs()
			for b.Loop() {
				items, _ := s.tenants[0].page(&sel, maxPage)
				body = body[:0]
				for i := range items {
					body = items[i].append(body, &room, true)
				}
				rows += len(items)
				b.SetBytes(int64(len(body)))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/record")
		})
	}
}

// BenchmarkHTTP includes the in-memory connection and a client that reads.
func BenchmarkHTTP(b *testing.B) {
	s, err := New(Options{Now: func() time.Time { return epoch.Add(30 * 24 * time.Hour) }, Generate: all(100)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	u := &user{t: &testing.T{}, server: s, client: s.Client()}
	u.signIn(DefaultDomain)
	b.ReportAllocs()
	for b.Loop() {
		_, body, err := u.try(signInsAt("createdDateTime le 2026-03-15T00:00:00Z"))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(body)))
	}
}

// BenchmarkPoll is what a quiet stream's poll costs: a request with no row, client included.
func BenchmarkPoll(b *testing.B) {
	s, err := New(Options{Now: func() time.Time { return epoch.Add(30 * 24 * time.Hour) }, Generate: all(100)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	u := &user{t: &testing.T{}, server: s, client: s.Client()}
	u.signIn(DefaultDomain)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := u.try(signInsAt(kindOf(Interactive) + " and createdDateTime le 2026-02-15T00:00:00Z")); err != nil {
			b.Fatal(err)
		}
	}
}
