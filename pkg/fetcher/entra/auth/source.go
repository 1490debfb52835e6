package auth

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/logferry/logferry/pkg/fault"
)

const (
	// earlyExpiry is how long before its end a token is replaced: longer than the slowest page request takes.
	earlyExpiry = 5 * time.Minute
	// lookEvery is how often the credential's file is looked at: a changed one is in use within a minute.
	lookEvery = 20 * time.Second
	// A replacement that has failed is tried again after these, while the present token is good.
	retrySoon, retryLater = 30 * time.Second, 5 * time.Minute
	// longestBusy bounds the pause that an endpoint asks for. A wrong date in it would keep everything out for a day.
	longestBusy = 10 * time.Minute
)

// Token is an access token with what its claims tell about it.
type Token struct {
	Access string
	Expiry time.Time // zero: the endpoint did not say
	Claims Claims

	renew time.Time // when to get the next one; zero: only after a Discard or Renew
}

// String keeps the token out of logs.
func (Token) String() string { return "<redacted>" }

// GoString keeps the token out of %#v.
func (Token) GoString() string { return "<redacted>" }

func (t Token) good(now time.Time) bool {
	return t.Access != "" && (t.Expiry.IsZero() || now.Before(t.Expiry))
}

// Options say where to sign in, and how to get there.
type Options struct {
	TokenURL string           // https://login.microsoftonline.com/TENANT/oauth2/v2.0/token, or the v1 form without /v2.0 with Resource
	Scope    string           // https://graph.microsoft.com/.default
	Resource string           // https://graph.windows.net: asked for instead of Scope, as the v1 endpoint wants it
	HTTP     *http.Client     // must not follow redirects: the request's body holds the secret. Bounds the request's time
	Direct   *http.Client     // to endpoints of this machine: the same, but never through a proxy; default HTTP
	Now      func() time.Time // the service's clock, for the times in assertions; default time.Now
	Warn     func(error)      // told of what the operator should know while sign-in still works, once a day; nil: nobody
	Prompt   func(Prompt)     // tells a person where to sign in; nil: there is nobody, so a device code is not asked for
}

// pause is how long a reply asks to be left alone, and whether it does.
func (o Options) pause(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
		return 0, false
	}
	after, ok := fault.RetryAfter(resp.Header, o.Now())
	return min(after, longestBusy), ok
}

// Prompt asks a person to sign in.
type Prompt struct {
	URL, Code string
	Until     time.Time
	Why       string
}

func (p Prompt) String() string {
	return fmt.Sprintf("open %s and enter the code %s before %s: %s", p.URL, p.Code, p.Until.UTC().Format("15:04 MST"), p.Why)
}

// way is one way to sign in. Its methods are called by one goroutine at a time.
type way interface {
	// look reads the credential: the same pointer as long as it has not changed. Errors never quote it.
	look() (*proof, error)
	// mint asks for a token. Errors are of package fault.
	mint(context.Context, *proof) (*oauth2.Token, error)
}

// Source gives access tokens. It is safe for use by many goroutines, which share one token and one request for it.
type Source struct {
	way      way
	standing standing
	gate     chan struct{} // holds one element while nobody asks for a token; a mutex that a context can leave
	present  present

	// What follows belongs to the holder of the gate.
	proof   *proof    // with which the last token was got
	refused *proof    // the new one that the service did not take
	retry   time.Time // not before then: refused, or the renewal of a token that is still good
}

// String keeps what is inside out of logs.
func (*Source) String() string { return "<redacted>" }

// GoString keeps what is inside out of %#v.
func (*Source) GoString() string { return "<redacted>" }

// NewSource checks cfg and prepares to sign in. Nothing is read or sent before the first Token.
func NewSource(cfg Config, o Options) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Direct == nil {
		o.Direct = o.HTTP
	}
	s := &Source{gate: make(chan struct{}, 1)}
	s.standing.warn = o.Warn
	if ask := o.Prompt; ask != nil {
		o.Prompt = func(p Prompt) {
			s.standing.waits(p)
			ask(p)
		}
	}
	s.way = newWay(cfg, o)
	s.gate <- struct{}{}
	return s, nil
}

func newWay(cfg Config, o Options) way {
	switch {
	case cfg.ManagedIdentity != nil:
		return &machine{client: cfg.App(), o: o}
	case cfg.DeviceCode != nil:
		return &person{app: cfg.ClientID, file: cfg.DeviceCode.RefreshTokenFile, o: o}
	}
	return newGrant(cfg, o)
}

// Token gives a token that is good for a while: the known one, or a new one when that is about to end or the credential has
// changed. While the known one is good, trouble with the next is a matter of Standing. Errors are of package fault: Blocked where an
// operator has to act, else retryable; they never hold the secret.
func (s *Source) Token(ctx context.Context) (Token, error) {
	now := time.Now()
	token, due := s.present.get(now)
	if !due {
		return token, nil
	}
	if token.good(now) {
		select {
		case <-s.gate:
		default:
			return token, nil // somebody is getting the next one
		}
	} else {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return Token{}, ctx.Err()
		}
	}
	defer func() { s.gate <- struct{}{} }()
	if token, due = s.present.get(time.Now()); !due {
		return token, nil
	}
	return s.next(ctx, token)
}

// next replaces a token that is about to end or whose credential has changed. The gate is held.
func (s *Source) next(ctx context.Context, old Token) (Token, error) {
	now := time.Now()
	fresh, unread := s.way.look()
	s.present.looked(now)
	if fresh != nil {
		s.standing.expiry(fresh, now)
	}
	if !old.good(now) {
		return s.sign(ctx, fresh, unread)
	}
	ending := !old.renew.IsZero() && !now.Before(old.renew)
	waits := now.Before(s.retry)
	switch {
	case unread != nil:
		s.standing.trouble(fmt.Errorf("sign in: the present credential is used on, as long as it works: %w", unread))
		if !ending || waits {
			return old, nil
		}
	case fresh == s.proof && !ending, waits && (fresh == s.proof || fresh == s.refused):
		if fresh == s.proof && !ending {
			s.standing.well(fresh)
		}
		return old, nil
	}
	var got Token
	var err error
	if ending {
		got, err = s.sign(ctx, fresh, unread)
	} else {
		got, err = s.try(ctx, fresh)
	}
	if err == nil {
		if !ending {
			s.standing.well(fresh)
		}
		return got, nil
	}
	now = time.Now()
	s.retry = now.Add(retrySoon)
	// Asking may have taken long, where a person is asked as long as a code is good: the token has ended by then, or was discarded.
	if old, _ = s.present.get(now); !old.good(now) {
		return Token{}, err
	}
	if ctx.Err() == nil {
		if fault.Of(err) == fault.Blocked {
			s.retry = now.Add(retryLater)
		}
		s.standing.trouble(fmt.Errorf("the present access token is used until %s, the next one cannot be had: %w", old.Expiry.UTC().Format(time.RFC3339), err))
	}
	return old, nil
}

// sign gets a token with the credential as it is now, or else with the one that worked last: it may be good for long after a new
// one was written that nobody has registered yet.
func (s *Source) sign(ctx context.Context, fresh *proof, unread error) (Token, error) {
	old := s.proof
	if unread != nil {
		unread = fault.Block(fmt.Errorf("sign in: %w", unread))
		if old == nil {
			return Token{}, unread
		}
		token, err := s.try(ctx, old)
		if err != nil {
			return Token{}, fmt.Errorf("%w (and its successor cannot be used: %w)", err, unread)
		}
		s.standing.trouble(fmt.Errorf("the previous credential is used on, as long as it works: %w", unread))
		return token, nil
	}
	token, err := s.try(ctx, fresh)
	if err == nil {
		s.standing.well(fresh)
	}
	if err == nil || old == nil || old == fresh || fault.Of(err) != fault.Blocked {
		return token, err
	}
	if token, again := s.try(ctx, old); again == nil {
		s.refused, s.retry = fresh, time.Now().Add(retryLater)
		s.standing.trouble(fmt.Errorf("the new credential is refused, the previous one is used on, as long as it works: %w", err))
		return token, nil
	}
	return Token{}, err
}

// try gets a token with p and keeps both.
func (s *Source) try(ctx context.Context, p *proof) (Token, error) {
	got, err := s.way.mint(ctx, p)
	if err != nil {
		s.refused = p
		return Token{}, err
	}
	token := Token{Access: got.AccessToken, Expiry: got.Expiry, Claims: ParseClaims(got.AccessToken)}
	if !got.Expiry.IsZero() {
		// A token that lives shorter than twenty minutes would be renewed too often by the fixed margin.
		life := time.Until(got.Expiry)
		token.renew = got.Expiry.Add(-min(earlyExpiry, life/4))
	}
	s.proof, s.refused, s.retry = p, nil, time.Time{}
	s.present.set(token)
	return token, nil
}

// Discard forgets t because the API has refused it. If another goroutine has replaced it already, nothing happens.
func (s *Source) Discard(t Token) { s.present.forget(t) }

// Renew has the next Token try for another one, because t may lack what was granted since. It is used on while there is none. If
// another goroutine has replaced it already, nothing happens.
func (s *Source) Renew(t Token) { s.present.renew(t, time.Now()) }

// Standing tells how the credential is doing.
func (s *Source) Standing() Standing { return s.standing.get() }
