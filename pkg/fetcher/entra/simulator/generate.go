package simulator

import (
	"math"
	"sort"
	"time"
)

// Indices into AllStreams.
const (
	streamInteractive = iota
	streamNonInteractive
	streamServicePrincipal
	streamManagedIdentity
	streamAudits
	streamProvisioning
	streamRiskDetections
	streamRiskUsers
	streamRiskServicePrincipals
	streamServicePrincipalDetections
	streamAlerts
	streamIncidents
	streamAttributes
	streamCount
)

// generator makes up the records of one stream of one tenant. Everything about record i is a function of (key, i): nothing is kept, and the records
// of a stretch of time are found by arithmetic, because times rise with i. Lateness hides a record for a while; it does not move it.
type generator struct {
	stream   int
	source   int32
	key      uint64
	org      *organisation
	step     float64 // ticks from one record to the next
	burst    int64   // records that share a second; 1: no groups
	share    int64   // ticks from one group to the next, a second at least
	since    ticks
	count    int64 // number of records
	late     distribution
	changing float64
	after    float64 // ticks
	size     int
}

// distribution is a Lateness in ticks.
type distribution struct {
	median, sigma, p95, tail, max float64
}

// Salts of a record's draws. Those of the contents follow in traits.
const (
	saltJitter = iota + 1
	saltTail
	saltLateness
	saltChanges
	saltDelay
	saltContents

	saltGroup = 1 << 32 // beyond those of the contents
)

func newGenerator(g Generate, stream int, source int32, key uint64, org *organisation) *generator {
	made := &generator{
		stream: stream, source: source, key: key, org: org,
		step:     float64(ticksPerSecond) / g.Rate,
		since:    toTicks(g.Since),
		burst:    int64(max(1, g.Burst)),
		share:    max(ticksPerSecond, int64(math.Round(float64(ticksPerSecond)/g.Rate*float64(g.Burst)))),
		count:    math.MaxInt64,
		changing: g.Updates.Share,
		after:    float64(g.Updates.After / 100),
		size:     g.Size,
		late: distribution{
			median: float64(g.Lateness.Median / 100),
			p95:    float64(g.Lateness.P95 / 100),
			max:    float64(g.Lateness.Max / 100),
			tail:   g.Lateness.TailShare,
		},
	}
	if made.late.median > 0 {
		const z95 = 1.6448536269514722 // standard normal quantile of 0.95
		made.late.sigma = math.Log(made.late.p95/made.late.median) / z95
	}
	if !g.Until.IsZero() {
		made.count = made.first(toTicks(g.Until))
	}
	return made
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// draw returns 64 random bits out of a key for a purpose.
func draw(key, salt uint64) uint64 { return mix(key + salt*0x9e3779b97f4a7c15) }

// unit turns random bits into a number in [0, 1).
func unit(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }

func (g *generator) record(i int64) uint64 { return draw(g.key, uint64(i)+1) }

func (g *generator) time(i int64) ticks {
	jitter := unit(draw(g.record(i), saltJitter))
	if g.burst > 1 {
		return g.second(i/g.burst) + int64((float64(i%g.burst)+jitter)/float64(g.burst)*float64(ticksPerSecond))
	}
	return g.since + int64((float64(i)+jitter)*g.step)
}

// second returns when the second of a group begins. The points lie at least a second apart, and so do the whole seconds at or above them.
func (g *generator) second(group int64) ticks {
	jitter := unit(draw(g.record(group), saltGroup))
	return ceilSecond(g.since + group*g.share + int64(jitter*float64(g.share-ticksPerSecond)))
}

func ceilSecond(t ticks) ticks {
	whole := t / ticksPerSecond * ticksPerSecond
	if whole < t {
		whole += ticksPerSecond
	}
	return whole
}

// first returns the number of the first record at or after t.
func (g *generator) first(t ticks) int64 {
	if t <= g.since {
		return 0
	}
	if g.burst > 1 {
		// With t in the share of time of group n, group n-2 is over before t and group n+1 begins after t.
		i := max(0, (t-g.since)/g.share-1) * g.burst
		i += int64(sort.Search(int(3*g.burst), func(n int) bool { return g.time(i+int64(n)) >= t }))
		return min(i, max(g.count, 0))
	}
	i := max(0, int64(float64(t-g.since)/g.step)-1)
	for i > 0 && g.time(i-1) >= t {
		i--
	}
	for g.time(i) < t {
		i++
	}
	return min(i, max(g.count, 0))
}

// appears returns when record i, whose time is at, begins to be shown.
func (g *generator) appears(i int64, at ticks) ticks {
	d, key := &g.late, g.record(i)
	late := d.median
	switch {
	case d.tail > 0 && unit(draw(key, saltTail)) < d.tail:
		late = d.p95 + unit(draw(key, saltLateness))*(d.max-d.p95)
	case d.sigma > 0:
		// The inverse of the normal distribution: one draw, and the same on each call.
		z := math.Sqrt2 * math.Erfinv(2*unit(draw(key, saltLateness))-1)
		late = min(d.max, d.median*math.Exp(d.sigma*z))
	}
	return at + int64(late)
}

// version returns which version of record i is shown at now, and since when; ok is false before its appearance.
func (g *generator) version(i int64, at, now ticks) (version int, since ticks, ok bool) {
	since = g.appears(i, at)
	if since > now {
		return 0, since, false
	}
	if change, changes := g.changes(i, since); changes && change <= now {
		return 1, change, true
	}
	return 0, since, true
}

// changes returns when record i, shown since then, becomes its version 1.
func (g *generator) changes(i int64, since ticks) (ticks, bool) {
	if g.changing == 0 {
		return 0, false
	}
	key := g.record(i)
	if unit(draw(key, saltChanges)) >= g.changing {
		return 0, false
	}
	return since + int64(g.after*(0.1+0.9*unit(draw(key, saltDelay)))), true
}

// settled says whether all records up to at are surely shown at now, and none changes: then there is nothing to compute about them.
func (g *generator) settled(at, now ticks) bool {
	return g.changing == 0 && float64(now-at) > g.late.max
}

// AppendRecord appends the JSON of a made-up record as beta (sign-ins, attributes) and v1.0 (the others) show it, for tests and benchmarks that need records without a
// server. It is a pure function of its arguments; at is the record's time. An unknown stream appends nothing.
func AppendRecord(dst []byte, stream string, seed uint64, index int64, at time.Time) []byte {
	n := streamIndex(stream)
	if n < 0 {
		return dst
	}
	g := &generator{stream: n, key: draw(seed, uint64(n)), org: newOrganisation(Tenant{ID: DefaultTenantID, Domain: DefaultDomain}, seed)}
	return g.append(dst, new(traits), index, toTicks(at), 0, n < streamAudits || n == streamAttributes)
}
