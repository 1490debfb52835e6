package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

// earlyExpiry is how long before its end a token is replaced: longer than the slowest page request takes.
const earlyExpiry = 5 * time.Minute

// Token is an access token with what its claims tell about it.
type Token struct {
	Access string
	Expiry time.Time // zero: the endpoint did not say
	Claims Claims

	renew time.Time // when to get the next one; zero: only after a Discard
}

// String keeps the token out of logs.
func (Token) String() string { return "<redacted>" }

// GoString keeps the token out of %#v.
func (Token) GoString() string { return "<redacted>" }

// Options say where to sign in, and how to get there.
type Options struct {
	TokenURL string       // https://login.microsoftonline.com/TENANT/oauth2/v2.0/token
	Scope    string       // https://graph.microsoft.com/.default
	Resource string       // https://graph.windows.net: sent instead of Scope, to a v1 endpoint; "" for none
	HTTP     *http.Client // must not follow redirects: the request's body holds the secret. Bounds the request's time
}

// Source gives access tokens. It is safe for use by many goroutines, which share one token and one request for it.
type Source struct {
	mint   func(context.Context) (*oauth2.Token, error)
	gate   chan struct{} // holds one element while free; a mutex that a context can leave
	cached Token
}

// NewSource checks cfg and prepares to sign in. Nothing is read or sent before the first Token.
func NewSource(cfg Config, o Options) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{mint: secretMint(cfg, o), gate: make(chan struct{}, 1)}
	s.gate <- struct{}{}
	return s, nil
}

// Token gives a token that is good for a while: the known one, or a new one when that is about to end. Errors are of package
// fault: Blocked where an operator has to act, else retryable; they never hold the secret.
func (s *Source) Token(ctx context.Context) (Token, error) {
	select {
	case <-s.gate:
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
	defer func() { s.gate <- struct{}{} }()
	if s.cached.Access != "" && (s.cached.renew.IsZero() || time.Now().Before(s.cached.renew)) {
		return s.cached, nil
	}
	got, err := s.mint(ctx)
	if err != nil {
		return Token{}, err
	}
	s.cached = Token{Access: got.AccessToken, Expiry: got.Expiry, Claims: ParseClaims(got.AccessToken)}
	if !got.Expiry.IsZero() {
		// A token that lives shorter than twenty minutes would be renewed too often by the fixed margin.
		life := time.Until(got.Expiry)
		s.cached.renew = got.Expiry.Add(-min(earlyExpiry, life/4))
	}
	return s.cached, nil
}

// Discard forgets t because the API has refused it. If another goroutine has replaced it already, nothing happens.
func (s *Source) Discard(t Token) {
	<-s.gate
	if s.cached.Access == t.Access {
		s.cached = Token{}
	}
	s.gate <- struct{}{}
}

// secretMint signs in with the client secret, read from its file each time so that a rotated one is used without a restart.
func secretMint(cfg Config, o Options) func(context.Context) (*oauth2.Token, error) {
	file := secure.NewSecret(cfg.ClientSecretFile)
	return func(ctx context.Context) (*oauth2.Token, error) {
		secret, err := file.Get()
		if err != nil {
			return nil, fault.Block(fmt.Errorf("sign in: %w", err))
		}
		grant := clientcredentials.Config{
			ClientID:     cfg.ClientID,
			ClientSecret: secret,
			TokenURL:     o.TokenURL,
			Scopes:       []string{o.Scope},
			AuthStyle:    oauth2.AuthStyleInParams,
		}
		if o.Resource != "" {
			grant.Scopes, grant.EndpointParams = nil, url.Values{"resource": {o.Resource}}
		}
		token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, o.HTTP))
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, explain(err, cfg, secret)
		}
		return token, nil
	}
}
