package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The names of the streams that are read by default.
const (
	Interactive      = "signins.interactive"
	NonInteractive   = "signins.noninteractive"
	ServicePrincipal = "signins.serviceprincipal"
	ManagedIdentity  = "signins.managedidentity"
	Audits           = "audits"
)

// Streams returns the names of the streams that are read by default, in the order in which Rows are given.
func Streams() []string {
	return []string{Interactive, NonInteractive, ServicePrincipal, ManagedIdentity, Audits}
}

// What New uses where Options names nothing.
const (
	DefaultTenantID     = "5b3b4f0a-6c1d-4e2f-8a90-b1c2d3e4f506"
	DefaultDomain       = "contoso.onmicrosoft.com"
	DefaultClientID     = "0f9e8d7c-6b5a-4948-b7a6-958473625140"
	DefaultClientSecret = "simulator-secret" // #nosec G101 -- opens nothing but the simulator
)

// Options configures a Server. The zero value serves one empty tenant to one client without faults.
type Options struct {
	// Now is the service's clock, by default time.Now (in a synctest bubble: the bubble's).
	Now func() time.Time
	// Monotonic is what Budget and Stats.Busiest measure by, whatever Now does, by default time.Now.
	Monotonic func() time.Time
	// Tenants are served side by side: the same generators, each tenant with other contents.
	Tenants []Tenant
	// Clients maps a client id to its secret. All of them may read all tenants.
	Clients map[string]string
	// Generate describes the records to make up. A stream may have several entries; they are merged.
	Generate []Generate
	// Seed decides all that is random: contents, jitter, lateness, updates, faults by probability, signatures.
	Seed uint64
	// Budget is the throttle of the report endpoints per (tenant, client). Zero: none.
	Budget Budget
	// RiskBudget is that of identity protection, per tenant. Its 429 says nothing of when to come again. Zero: none.
	RiskBudget Budget
	// Script holds the faults, see Script.
	Script *Script
	// TokenLife is how long an access token is good for, by default an hour.
	TokenLife time.Duration
	// Retention hides records whose own time is older. Zero: they are kept for ever.
	Retention time.Duration
	// OldestBound refuses queries whose lower bound lies further back (400). Zero: none is refused, nor is ever one without a lower bound.
	OldestBound time.Duration
	// SilentAfter is after how many rows one query of Azure AD Graph for sign-ins ends as if there were no more, by default 1,000,000.
	SilentAfter int
	// Trace makes the server remember what it has shown, about 50 bytes for each version of each record.
	Trace bool
}

// Tenant is one directory.
type Tenant struct {
	ID     string   // GUID, the token's tid
	Domain string   // its verified domain; ID and Domain both name it in a token request
	Roles  []string // application permissions in the token; nil: those of Roles. A stream whose own is missing is answered with 403
	Free   bool     // no premium licence: sign-ins, provisioning and risk are answered with 403
	// Unlicensed names further streams that are answered so.
	Unlicensed []string

	// What Azure AD Graph minds besides.
	NoReader bool // the app is not in the role Security Reader: sign-ins are answered with 403, and audits without Directory.Read.All
	EU       bool // in the EU region: audits are answered with 403 unless a user has signed in
}

const maxTenants = 1<<16 - 1

// Tenants returns n tenants for load tests: tenant0001.example.com and so on, each with a GUID that ends in its number.
func Tenants(n int) []Tenant {
	all := make([]Tenant, n)
	for i := range all {
		all[i] = Tenant{ID: fmt.Sprintf("7e4a0000-0000-4000-8000-%012d", i+1), Domain: fmt.Sprintf("tenant%04d.example.com", i+1)}
	}
	return all
}

// Budget allows Requests in any window of length Per; what is refused counts too, as Graph's does.
type Budget struct {
	Requests int
	Per      time.Duration
}

// Generate makes up the records of a stream: number i, from 0, happened at Since + (i+jitter)/Rate.
//
// With a Burst of b, records come in groups of b that share a second: group n, from 0, in a whole second that begins in [Since + n*b/Rate, Since + (n+1)*b/Rate),
// its records spread over it. The mean rate is the same.
type Generate struct {
	Stream   string
	Tenant   string    // GUID or domain; default: all tenants, each with records of its own
	Rate     float64   // records per second, above 0
	Since    time.Time // default: the clock's time at New
	Until    time.Time // zero: for ever
	Burst    int       // default 1, no groups; else at least Rate, as a group needs a second of its own
	Lateness Lateness  // from a record's time to its appearance
	Updates  Updates   // records that change once
	Size     int       // least bytes of a record; 0: what comes naturally: beta 2.7 (applications) to 3.4 kB (interactive), v1.0 1.9 kB, audits 1.5 kB
}

// Lateness is a log-normal distribution with a tail. The zero value shows each record at once.
type Lateness struct {
	Median, P95 time.Duration // P95 0: always Median
	TailShare   float64       // share of records, 0 to 1, that come between P95 and Max instead
	Max         time.Duration // none is later; default 20 times the larger of Median and P95
}

// Updates changes a share (0 to 1) of the records once: an interrupted sign-in succeeds, a risk is found, details are added.
type Updates struct {
	Share float64
	After time.Duration // longest delay after the record's appearance, drawn evenly from the upper nine tenths; default an hour
}

// Record is a record of a test's own, see Server.Add.
type Record struct {
	Tenant  string    // GUID or domain; default: the first tenant
	Raw     []byte    // one JSON object, served as it is
	Time    time.Time // its place in the order; default: that member of Raw which the stream is ordered by
	Appears time.Time // when the API begins to show it; zero: at Time
	Updates []Update  // in the order of At
}

// Update is what a Record reads from At on. The place in the order stays, but in streams that are ordered by the last update (risk.*, security.*): there
// it is the one that Raw names.
type Update struct {
	At  time.Time
	Raw []byte
}

// Row names one version of one record.
type Row struct {
	Tenant  string // GUID
	Stream  string
	ID      string
	Version int       // 0 as it first appeared, then one more for each update
	Time    time.Time // the record's own time, to 100 ns; of risk.* and security.* the version's
	At      time.Time // when the version appeared (Expected), when it was first shown (Shown)
}

// Caller is whom the throttle counts for.
type Caller struct{ Tenant, Client string }

// Stats counts since New. Its maps belong to the caller.
type Stats struct {
	Requests  map[string]int // by kind: "token", a stream's name, "signins" for several streams in one query, "other"
	Faults    map[Kind]int   // scripted ones that were served
	Throttled int            // 429 from Budget
	Rows      int            // in complete replies
	Bytes     int64          // of complete replies
	Busiest   map[Caller]int // by reports: the largest number of report requests in any 10 s, refused ones included
}

// withDefaults fills in what o leaves out and reports all that is wrong with it.
func (o Options) withDefaults() (Options, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Monotonic == nil {
		o.Monotonic = time.Now
	}
	if len(o.Tenants) == 0 {
		o.Tenants = []Tenant{{ID: DefaultTenantID, Domain: DefaultDomain}}
	}
	if len(o.Clients) == 0 {
		o.Clients = map[string]string{DefaultClientID: DefaultClientSecret}
	}
	o.TokenLife = cmp.Or(o.TokenLife, time.Hour)
	var errs []error
	seen := map[string]bool{}
	o.Tenants = slices.Clone(o.Tenants)
	for i := range o.Tenants {
		t := &o.Tenants[i]
		if t.ID == "" || t.Domain == "" {
			errs = append(errs, fmt.Errorf("tenant %d: needs ID and Domain", i))
		}
		if seen[strings.ToLower(t.ID)] || seen[strings.ToLower(t.Domain)] {
			errs = append(errs, fmt.Errorf("tenant %d: %s or %s is there twice", i, t.ID, t.Domain))
		}
		seen[strings.ToLower(t.ID)], seen[strings.ToLower(t.Domain)] = true, true
		if t.Roles == nil {
			t.Roles = Roles()
		}
	}
	if len(o.Tenants) > maxTenants {
		errs = append(errs, fmt.Errorf("%d tenants, want at most %d", len(o.Tenants), maxTenants))
	}
	o.Generate = slices.Clone(o.Generate)
	for i := range o.Generate {
		if name := o.Generate[i].Tenant; name != "" && !seen[strings.ToLower(name)] {
			errs = append(errs, fmt.Errorf("generate %d: unknown tenant %q", i, name))
		}
		if err := o.Generate[i].complete(o.Now()); err != nil {
			errs = append(errs, fmt.Errorf("generate %d (%s): %w", i, o.Generate[i].Stream, err))
		}
	}
	if o.OldestBound < 0 {
		errs = append(errs, errors.New("OldestBound must not be negative"))
	}
	if o.RiskBudget.Requests < 0 || (o.RiskBudget.Requests > 0 && o.RiskBudget.Per <= 0) {
		errs = append(errs, errors.New("risk budget: Requests above 0 needs Per above 0"))
	}
	if o.Budget.Requests < 0 || (o.Budget.Requests > 0 && o.Budget.Per <= 0) {
		errs = append(errs, errors.New("budget: Requests above 0 needs Per above 0"))
	}
	if o.Script != nil {
		errs = append(errs, o.Script.validate())
	}
	return o, errors.Join(errs...)
}

func (g *Generate) complete(now time.Time) error {
	var errs []error
	if !slices.Contains(allStreams, g.Stream) {
		errs = append(errs, fmt.Errorf("unknown stream, want one of %s", strings.Join(allStreams, ", ")))
	}
	if !(g.Rate > 0 && g.Rate <= 1e6) {
		errs = append(errs, errors.New("Rate must be above 0 and at most 1e6 a second"))
	}
	if g.Burst < 0 || (g.Burst > 1 && float64(g.Burst) < g.Rate) {
		errs = append(errs, errors.New("Burst must be at least Rate: a group needs a second of its own"))
	}
	if g.Since.IsZero() {
		g.Since = now
	}
	if !g.Until.IsZero() && g.Until.Before(g.Since) {
		errs = append(errs, errors.New("Until is before Since"))
	}
	l := &g.Lateness
	if l.Median < 0 || l.P95 < 0 || (l.P95 > 0 && l.P95 < l.Median) || l.TailShare < 0 || l.TailShare > 1 {
		errs = append(errs, errors.New("Lateness wants 0 <= Median <= P95 and 0 <= TailShare <= 1"))
	}
	if l.Median == 0 && l.P95 > 0 {
		errs = append(errs, errors.New("Lateness.P95 needs a Median above 0"))
	}
	l.P95 = max(l.P95, l.Median)
	if l.Max == 0 {
		l.Max = 20 * l.P95
	}
	if l.Max < l.P95 {
		errs = append(errs, errors.New("Lateness.Max is below P95"))
	}
	if g.Updates.Share < 0 || g.Updates.Share > 1 {
		errs = append(errs, errors.New("Updates.Share must lie between 0 and 1"))
	}
	g.Updates.After = cmp.Or(g.Updates.After, time.Hour)
	return errors.Join(errs...)
}
