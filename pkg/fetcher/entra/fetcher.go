// Package entra reads the sign-in, audit, risk and security records of one Microsoft Entra tenant from Microsoft Graph, or the
// first two from the API before it: see dialect.
//
// A Fetcher keeps no state about what was read. It reads slices, page by page, never faster than its budget, and checks each
// page as a whole before it hands out any of it. What is read is data: one row of the table in streams.go for each kind.
package entra

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/budget"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
)

// Options are what the program, not the operator, decides.
type Options struct {
	Transport http.RoundTripper // instead of the network; tls and proxy of the configuration do not apply then
	Observe   func(Request)     // called once for each request, also by several goroutines at once; nil for none
	UserAgent string            // default "logferry/dev"
	Now       func() time.Time  // the machine's clock with its monotonic reading; default time.Now
	Shared    *Shared           // what other fetchers of the process use, too; nil: its own
	Resumed   bool              // another process may have used up part of the budget just now
	Warn      func(error)       // told of what the operator should know of the credential while it still works; nil for none
	Prompt    func(auth.Prompt) // asks a person to sign in, for device_code; nil: there is nobody
	Timeout   time.Duration     // of one request, from its sending to the end of the reply's body; default 120 s

	Received func(Request, []byte) // called with each page as it was received, good during the call only; nil for none
	Turns    Turns                 // of another process that spends the same budget; nil: there is none
}

// Request tells what became of one HTTP request, for logs and metrics.
type Request struct {
	Stream          string // "" for a request for an access token
	Reader          string // the slice's
	Page            int    // from 1
	Method          string
	URL             string        // with page tokens cut out
	Status          int           // 0: no reply
	Waited          time.Duration // for the budget and for pauses that the service asked for, before it was sent
	Duration        time.Duration // from sending to the end of the body (of its header, for an access token)
	Bytes           int           // of the body, decompressed
	Rows            int
	RequestID       string // request-id of the reply: what Microsoft's support asks for
	ClientRequestID string // ours
	Diagnostic      string // x-ms-ags-diagnostic of the reply
	Err             error
}

// Fetcher reads the streams of one tenant with one app registration. It is safe for use by many goroutines, which share
// its budget.
type Fetcher struct {
	cfg     Config
	options Options
	place   place
	dialect dialect
	rows    map[string]Stream
	source  *auth.Source
	client  *http.Client
	shared  *Shared
	limits  [budgetClasses]*budget.Limiter // nil where no stream needs it
	clock   clock
	most    int // pages of a slice

	licences licences

	mu     sync.Mutex
	tenant string // tid of the first token: a record's identity must not change while we run
}

// mostPages bounds a slice: more than a million rows, the most that one query of the older API gives, are no slice any more but
// a nextLink without an end.
const mostPages = 1000

// New checks cfg and makes a Fetcher. Nothing is sent and no secret is read. Errors of the configuration are those of
// Config.Validate.
func New(cfg Config, o Options) (*Fetcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o.UserAgent = cmp.Or(o.UserAgent, "logferry/dev")
	o.Timeout = cmp.Or(o.Timeout, 120*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	shared := o.Shared
	if shared == nil {
		shared = NewShared()
	}
	direct := o.Transport
	if o.Transport == nil {
		transport, err := shared.transport(cfg, false)
		if err != nil {
			return nil, err
		}
		o.Transport, direct = transport, transport
		if cfg.Auth.ManagedIdentity != nil {
			if direct, err = shared.transport(cfg, true); err != nil {
				return nil, err
			}
		}
	}
	f := &Fetcher{cfg: cfg, dialect: cfg.dialect(), options: o, rows: map[string]Stream{}, shared: shared, most: mostPages}
	f.clock.machine = machineClock(o.Now)
	var err error
	if f.place, err = cfg.place(); err != nil {
		return nil, err
	}
	rows, err := cfg.rows()
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		f.rows[row.Name] = row
		if f.limits[row.Budget] == nil {
			f.limits[row.Budget] = shared.budget(cfg, f.place.graph.Host, row.Budget, o.Resumed)
		}
	}
	f.client = newClient(o.Transport)
	signIn, beside := newClient(observer{f, o.Transport}), newClient(observer{f, direct})
	signIn.Timeout, beside.Timeout = o.Timeout, o.Timeout
	f.source, err = auth.NewSource(cfg.Auth, auth.Options{
		TokenURL: f.place.login.JoinPath(cfg.Tenant, f.dialect.tokenPath).String(),
		Scope:    f.place.scope,
		Resource: f.dialect.resource(f.place.scope),
		HTTP:     signIn,
		Direct:   beside,
		Now:      f.clock.now,
		Warn:     o.Warn,
		Prompt:   o.Prompt,
	})
	return f, err
}

// newClient follows no redirect: it would carry a token or the secret along, and would pass by the limiter.
func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Cloud is the cloud's name, or the host of a Graph address of the operator's own.
func (f *Fetcher) Cloud() string { return f.place.name }

// Now is the service's time: that of its last reply, for a token or a page, plus the time since; by the machine's clock before
// the first one. UTC.
func (f *Fetcher) Now() time.Time { return f.clock.now() }

// Budget tells how the budgets of the fetcher's streams are used, by it and all that share them. Interval and PausedUntil are
// those of the class that leaves the least room and of the longest pause.
func (f *Fetcher) Budget() budget.Stats {
	var sum budget.Stats
	for _, limit := range f.limits {
		if limit == nil {
			continue
		}
		s := limit.Stats()
		for class := range s.Granted {
			sum.Granted[class] += s.Granted[class]
			sum.Waiting[class] += s.Waiting[class]
		}
		sum.Paused += s.Paused
		sum.Throttled += s.Throttled
		sum.Interval = max(sum.Interval, s.Interval)
		if s.PausedUntil.After(sum.PausedUntil) {
			sum.PausedUntil = s.PausedUntil
		}
	}
	return sum
}

// Apart tells whether the stream has a budget of its own, beside that of the reports.
func (f *Fetcher) Apart(stream string) bool { return f.rows[stream].Budget != reports }

// Moves tells whether the stream's records come back with a later time when they change.
func (f *Fetcher) Moves(stream string) bool { return f.rows[stream].Moves }

// Filter is the operator's own filter of the stream, "" for none.
func (f *Fetcher) Filter(stream string) string { return strings.TrimSpace(f.cfg.Filters[stream]) }

// Retention is how far back the stream can be read: what the configuration says, or else what every licence that has the stream
// keeps.
func (f *Fetcher) Retention(stream string) time.Duration {
	return cmp.Or(f.cfg.Retention.Std(), f.rows[stream].Retention, shortRetention)
}

// Page is how many rows a full page of the stream has: what the configuration asks for, or the most that the API gives.
func (f *Fetcher) Page(stream string) int { return f.rows[stream].top(f.cfg.Top) }

// Close closes idle connections, unless they are shared or of a transport of the caller's. Fetches under way go on.
func (f *Fetcher) Close() error {
	if f.options.Shared != nil {
		return nil
	}
	return f.shared.Close()
}

// Tenant signs in and gives the tenant's id: the claim tid of the token, not verified, or the configured tenant in lower case
// if the token cannot be read. Errors are of package fault.
func (f *Fetcher) Tenant(ctx context.Context) (string, error) {
	token, err := f.source.Token(ctx)
	if err != nil {
		return "", err
	}
	return f.tenantOf(token), nil
}

// Roles signs in and gives the application permissions in the token: nil if it cannot be read, empty if there are none.
func (f *Fetcher) Roles(ctx context.Context) ([]string, error) {
	token, err := f.source.Token(ctx)
	if err != nil {
		return nil, err
	}
	return token.Claims.Roles, nil
}

// Credential tells how the credential is doing, as far as is known since the first token.
func (f *Fetcher) Credential() auth.Standing { return f.source.Standing() }

func (f *Fetcher) tenantOf(token auth.Token) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tenant == "" {
		f.tenant = cmp.Or(token.Claims.Tenant, strings.ToLower(f.cfg.Tenant))
	}
	return f.tenant
}

// key names a stream for state and ledger.
func (f *Fetcher) key(tenant, stream string) event.StreamKey {
	return event.StreamKey{Cloud: f.place.name, Tenant: tenant, Stream: stream}
}

// observer tells Observe of the requests for tokens, which package auth sends.
type observer struct {
	f    *Fetcher
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o observer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", o.f.options.UserAgent)
	id := newGUID()
	req.Header.Set("Client-Request-Id", id)
	start := time.Now()
	resp, err := o.next.RoundTrip(req)
	told := Request{Method: req.Method, URL: cutTokens(req.URL), Duration: time.Since(start), ClientRequestID: id, Err: err}
	if resp != nil {
		told.Status, told.RequestID = resp.StatusCode, resp.Header.Get("x-ms-request-id")
		o.f.clock.heard(resp.Header) // so that the service's time is known before the first page is asked for
	}
	o.f.observe(told)
	return resp, err
}

func (f *Fetcher) observe(r Request) {
	if f.options.Observe != nil {
		f.options.Observe(r)
	}
}

// isUntrusted tells whether err is about the server's certificate.
func isUntrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}
