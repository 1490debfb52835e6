package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/fetcher/entra/filter"
	"github.com/logferry/logferry/pkg/retry"
	"github.com/logferry/logferry/pkg/timeline"
)

// FetchOrder is what logferry fetch is asked for, as written on the command line.
type FetchOrder struct {
	API, Tenant, Cloud, LoginURL, GraphURL                          string
	ClientID, ClientSecretFile, CertificateFile, FederatedTokenFile string
	CertificatePasswordFile                                         string
	ManagedIdentity                                                 bool
	DeviceCode                                                      string // file for the user's sign-in

	Streams      []string          // patterns; default signins.interactive
	Since, Until string            // an age, a date (midnight UTC) or a time; Until "": no end
	Top          int               // most records of all streams together; 0: all
	Where        map[string]string // typed filters, by the names of FetchFields
	Filter       string            // an OData expression

	Output    string        // ndjson | pretty | none
	SavePages string        // a folder; "": none
	Force     bool          // SavePages may hold pages
	Patience  time.Duration // how long nothing new may come
	State     string        // folder of the process whose budget is shared; "": nobody's
}

// FetchOptions are what the program or a test decides.
type FetchOptions struct {
	Version   string
	Stdout    io.Writer
	Stderr    io.Writer
	Terminal  bool                // Stderr is one: progress is shown
	Env       func(string) string // os.Getenv
	Transport http.RoundTripper   // to the API; nil: the network
	Ask       Asker               // of the running process; nil: through its control socket
}

// FetchField is a typed filter.
type FetchField struct{ Name, Usage string }

// FetchFields are the typed filters, in the order in which they are shown.
func FetchFields() []FetchField {
	return []FetchField{
		{string(filter.UserID), "sign-ins: the user's object id"},
		{string(filter.UPN), "sign-ins: the user principal name; a star behind it stands for any ending"},
		{string(filter.AppID), "sign-ins: the application (client) id"},
		{string(filter.AppName), "sign-ins: the application's display name"},
		{string(filter.Status), "success or failure"},
		{string(filter.Category), "audits: the category, such as UserManagement"},
		{string(filter.Activity), "audits: the activity, such as 'Add user'; 'Add*' begins, '*user' ends, '*user*' contains"},
		{string(filter.ActivityType), "audits: the kind of object acted on, such as User"},
		{string(filter.Initiator), "audits: who did it: object or app id, user principal name, or display name"},
		{string(filter.Target), "audits: whom it was done to, in the same forms"},
	}
}

// topWarning is from when on --top is called expensive: the vendor's reference warns of thousands.
const topWarning = 1000

// fetching is one run of logferry fetch.
type fetching struct {
	order   FetchOrder
	o       FetchOptions
	streams []string
	plans   map[string]filter.Plan
	fetcher *entra.Fetcher
	turns   *turns
	out     *records
	say     *speech
	pages   *pageFolder // nil: none are saved

	since, until time.Time // until is zero for no end
	left         int       // records that may still be printed
	far          string    // how far it came, with a comma before it, for whoever interrupts it
	saved        string    // file of the page that came last
}

// errEnough ends the reading: as many records are printed as were asked for, or nobody reads them any more.
var errEnough = errors.New("enough")

// Fetch reads records once and prints them, newest first as the API gives them. Errors that the user has to mend wrap ErrUsage.
func Fetch(ctx context.Context, order FetchOrder, o FetchOptions) error {
	f, err := newFetching(order, o)
	if err != nil {
		return err
	}
	err = f.run(ctx)
	f.say.clear()
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("interrupted: %s%s", f.out.summary(), f.far)
	case err == nil:
		f.say.line("%s", f.out.summary())
	}
	return errors.Join(err, f.pages.close(), f.fetcher.Close())
}

func newFetching(order FetchOrder, o FetchOptions) (*fetching, error) {
	say := &speech{w: o.Stderr, terminal: o.Terminal}
	cfg, err := order.config(o.Env)
	if err != nil {
		return nil, err
	}
	f := &fetching{order: order, o: o, say: say, left: -1, plans: map[string]filter.Plan{}}
	if f.streams, err = cfg.StreamNames(); err != nil {
		return nil, badFlag(err)
	}
	if err := f.plan(&cfg); err != nil {
		return nil, err
	}
	if f.out, err = newRecords(o.Stdout, order.Output); err != nil {
		return nil, err
	}
	switch {
	case order.Top < 0:
		return nil, fmt.Errorf("%w: --top: %d is below 0", ErrUsage, order.Top)
	case order.Top > topWarning:
		say.line("warning: --top %d: the vendor calls $top expensive and not meant for thousands of records; --since and --until bound a reading, too", order.Top)
	}
	if order.Top > 0 {
		f.left = order.Top
		f.topOfAll(&cfg)
	}
	// Nobody knows when the last fetch has ended: the next one after it must not bring a sixth request into its 10 s.
	eo := entra.Options{
		Transport: o.Transport, UserAgent: "logferry/" + o.Version, Observe: f.observe, Resumed: true,
		Warn: func(err error) { say.line("%v", err) }, Prompt: func(p auth.Prompt) { say.line("%s", p) },
	}
	if order.SavePages != "" {
		eo.Received = f.received
	}
	if order.State != "" {
		f.turns = newTurns(order, cfg, o.Ask, say)
		eo.Turns = f.turns
	}
	if f.fetcher, err = entra.New(cfg, eo); err != nil {
		return nil, badFlag(err)
	}
	if order.SavePages != "" {
		if f.pages, err = newPageFolder(order.SavePages, order.Force); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// topOfAll asks the older API for --top records: there $top bounds the whole answer, where Microsoft Graph's bounds a page.
func (f *fetching) topOfAll(cfg *entra.Config) {
	later := func(p filter.Plan) bool { return len(p.After) > 0 }
	if f.order.dialect() == filter.AzureAD && f.left <= topWarning && !slices.ContainsFunc(slices.Collect(maps.Values(f.plans)), later) {
		cfg.Top = f.left
	}
}

// plan makes each stream's filter.
func (f *fetching) plan(cfg *entra.Config) error {
	var wants []filter.Want
	for _, field := range FetchFields() {
		if value, ok := f.order.Where[field.Name]; ok {
			wants = append(wants, filter.Want{Field: filter.Field(field.Name), Value: value})
		}
	}
	cfg.Filters = map[string]string{}
	for _, stream := range f.streams {
		p, err := filter.Make(f.order.dialect(), stream, wants)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUsage, err)
		}
		f.plans[stream] = p
		if own := f.order.Filter; own != "" {
			if err := filter.Check(f.order.dialect(), stream, own); err != nil {
				return refusedFilter(err)
			}
			if p.Query != "" {
				own = p.Query + " and (" + own + ")"
			}
			cfg.Filters[stream] = own
		} else if p.Query != "" {
			cfg.Filters[stream] = p.Query
		}
		for _, field := range p.After {
			f.say.line("%s: the API cannot be asked for --%s: it is applied after reading", stream, field)
		}
	}
	return nil
}

// run reads stream by stream. One that fails holds up no other.
func (f *fetching) run(ctx context.Context) error {
	if err := f.signIn(ctx); err != nil {
		return err
	}
	if err := f.window(); err != nil {
		return err
	}
	var errs []error
	for _, stream := range f.streams {
		f.say.line("%s since %s%s", stream, f.since.Format(time.RFC3339), untilText(f.until))
		err := f.stream(ctx, stream)
		if errors.Is(err, errEnough) || ctx.Err() != nil {
			break
		}
		if err != nil {
			errs = append(errs, err)
		}
		if isLocal(err) {
			break
		}
	}
	return errors.Join(errs...)
}

func untilText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + t.Format(time.RFC3339)
}

// signIn gets the first token, and with it the service's time.
func (f *fetching) signIn(ctx context.Context) error {
	patience := f.newPatience()
	for {
		tid, err := f.fetcher.Tenant(ctx)
		if err == nil {
			if f.turns != nil {
				f.turns.order.TenantID, f.turns.order.Cloud = tid, f.fetcher.Cloud()
			}
			return nil
		}
		if err := patience.bear(ctx, f.say, "sign in", err); err != nil {
			return err
		}
	}
}

// window resolves --since and --until by the service's clock.
func (f *fetching) window() error {
	now := f.fetcher.Now()
	var err error
	if f.since, err = resolve("since", f.order.Since, now); err != nil {
		return err
	}
	if f.order.Until == "" {
		return nil
	}
	if f.until, err = resolve("until", f.order.Until, now); err != nil {
		return err
	}
	if !f.since.Before(f.until) {
		return fmt.Errorf("%w: nothing lies between --since (%s) and --until (%s)", ErrUsage, f.since.Format(time.RFC3339), f.until.Format(time.RFC3339))
	}
	return nil
}

func resolve(flag, text string, now time.Time) (time.Time, error) {
	var at timeline.Start
	if err := at.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, fmt.Errorf("%w: --%s: %w", ErrUsage, flag, err)
	}
	if flag == "since" && at.At.After(now) {
		return time.Time{}, fmt.Errorf("%w: --since: %s lies ahead: it is %s now", ErrUsage, at.At.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return at.Resolve(now), nil
}

// patience bounds how long nothing new may come.
type patience struct {
	most  time.Duration
	since time.Time
	pacer *retry.Pacer
}

func (f *fetching) newPatience() *patience {
	return &patience{most: f.order.Patience, since: time.Now(), pacer: retry.New(retry.Options{})}
}

// renew starts anew: something has come.
func (p *patience) renew() {
	p.since = time.Now()
	p.pacer.Reset()
}

// bear waits as long as err asks for, or gives it back where nothing is to be hoped for.
func (p *patience) bear(ctx context.Context, say *speech, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if fault.Of(err) == fault.Blocked {
		return err
	}
	wait := p.pacer.Next(err)
	if gone := time.Since(p.since); gone+wait > p.most {
		return fmt.Errorf("given up after %s without anything new (--patience %s), the next try would be in %s: %w", gone.Round(time.Second), p.most, wait.Round(time.Second), err)
	}
	say.line("%s: %v: trying again in %s", what, err, wait.Round(100*time.Millisecond))
	return retry.Sleep(ctx, wait)
}
