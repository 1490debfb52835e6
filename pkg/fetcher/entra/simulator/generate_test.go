package simulator

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTimesAscendAndAreFound holds first and the order of times against a plain loop, with bursts and without.
func TestTimesAscendAndAreFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		burst := []int{0, 1, 2, 3, 7, 50}[rng.IntN(6)]
		g := Generate{Stream: Audits, Rate: []float64{0.01, 0.3, 1, 2, 3, 7, 49.9}[rng.IntN(7)], Burst: burst, Since: epoch.Add(time.Duration(rng.IntN(3)*rng.IntN(1e9)) / 100 * 100)}
		if burst > 1 {
			g.Rate = min(g.Rate, float64(burst))
		}
		if err := g.complete(epoch); err != nil {
			t.Fatal(err)
		}
		made := newGenerator(g, streamAudits, streamCount, rng.Uint64(), nil)
		n := int64(20 * max(burst, 10))
		last := made.since
		for i := range n {
			at := made.time(i)
			if at < last {
				t.Fatalf("%+v: record %d is at %v, the one before at %v", g, i, fromTicks(at), fromTicks(last))
			}
			// What a group shares is its second, and no other group has it.
			if grouped := burst > 1 && i%int64(burst) > 0; i > 0 && burst > 1 && grouped != (at/ticksPerSecond == last/ticksPerSecond) {
				t.Fatalf("%+v: record %d is at %v, the one before at %v", g, i, fromTicks(at), fromTicks(last))
			}
			if mean := made.since + int64(float64(i)*made.step); at < mean-int64(float64(burst+1)*made.step) || at > mean+int64(float64(burst+1)*made.step)+2*ticksPerSecond {
				t.Fatalf("%+v: record %d is at %v, its mean time is %v", g, i, fromTicks(at), fromTicks(mean))
			}
			last = at
		}
		for range 50 {
			i := rng.Int64N(n)
			at := made.time(i) + rng.Int64N(3) - 1
			want := int64(0)
			for made.time(want) < at {
				want++
			}
			if got := made.first(at); got != want {
				t.Fatalf("%+v: first(%v) is %d, want %d", g, fromTicks(at), got, want)
			}
		}
		g.Until = fromTicks(made.time(n / 2))
		if count := newGenerator(g, streamAudits, streamCount, made.key, nil).count; count > n/2 || made.time(max(0, count-1)) >= toTicks(g.Until) {
			t.Fatalf("%+v: %d records, want the first of those at record %d's time", g, count, n/2)
		}
	}
}

func TestBurstsArePaged(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	u := newUser(t, Options{Now: clock.now, Generate: []Generate{{Stream: Interactive, Rate: 0.5, Burst: 30, Since: epoch}, {Stream: Interactive, Rate: 0.1, Since: epoch}}})
	want := 0
	for range u.server.Expected(clock.t) {
		want++
	}
	ids := u.pages(signInsAt("", "$top=17"))
	if slices.Sort(ids); len(ids) != want || len(slices.Compact(ids)) != want || want < 2100 || want > 2200 {
		t.Errorf("%d rows, want %d", len(ids), want)
	}
}

func TestTenantsOfTheirOwnRate(t *testing.T) {
	clock := &fixedClock{epoch.Add(time.Hour)}
	tenants := Tenants(3)
	u := &user{t: t}
	s, err := New(Options{Now: clock.now, Trace: true, Tenants: tenants, Generate: []Generate{
		{Stream: Audits, Rate: 1, Since: epoch, Tenant: tenants[1].ID},
		{Stream: Interactive, Rate: 0.1, Since: epoch},
		{Stream: Interactive, Rate: 0.05, Since: epoch, Tenant: strings.ToUpper(tenants[2].Domain)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	u.server, u.client = s, s.Client()
	for i, want := range []int{360, 360, 540} {
		u.signIn(tenants[i].Domain)
		if n := len(u.pages(signInsAt(""))); n != want {
			t.Errorf("%s: %d sign-ins, want %d", tenants[i].Domain, n, want)
		}
		if n := len(u.pages(address("/v1.0/auditLogs/directoryAudits", ""))); n != map[int]int{1: 1000 * 3.6}[i] {
			t.Errorf("%s: %d audits", tenants[i].Domain, n)
		}
	}
	shown, expected := 0, map[string]bool{}
	for row := range s.Expected(clock.t) {
		expected[row.Tenant+row.ID] = true
	}
	for row := range s.Shown() {
		if shown++; !expected[row.Tenant+row.ID] {
			t.Fatalf("%+v was shown, but not expected", row)
		}
	}
	if shown != 360+360+540+3600 || len(expected) != shown {
		t.Errorf("%d shown, %d expected", shown, len(expected))
	}
}

// TestManyTenantsAreSmall holds the memory of a tenant with all streams below 4 kB.
func TestManyTenantsAreSmall(t *testing.T) {
	const n = 1000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s, err := New(Options{Tenants: Tenants(n), Generate: all(1)})
	if err != nil {
		t.Fatal(err)
	}
	each := (heap() - before) / n
	t.Logf("%d bytes a tenant", each)
	if each > 4096 {
		t.Errorf("%d bytes a tenant", each)
	}
	runtime.KeepAlive(s)
}

// TestExpectedAppeared asks when records appeared: it is the same soon after as when they have all long been there.
func TestExpectedAppeared(t *testing.T) {
	s, err := New(Options{Generate: []Generate{{Stream: Audits, Rate: 0.05, Since: epoch, Until: epoch.Add(time.Hour), Lateness: Lateness{Median: 3 * time.Minute, P95: 20 * time.Minute}}}})
	if err != nil {
		t.Fatal(err)
	}
	soon, late := map[string]time.Time{}, 0
	for row := range s.Expected(epoch.Add(time.Hour)) {
		soon[row.ID] = row.At
	}
	for row := range s.Expected(epoch.Add(100 * 24 * time.Hour)) {
		if at, ok := soon[row.ID]; ok && !row.At.Equal(at) {
			t.Errorf("%s appeared at %s, later it is said at %s", row.ID, at, row.At)
		}
		if row.At.Sub(row.Time) > time.Minute {
			late++
		}
	}
	if len(soon) < 150 || late < 100 {
		t.Errorf("%d records, %d appeared a minute late", len(soon), late)
	}
}
