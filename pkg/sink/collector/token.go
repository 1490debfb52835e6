package collector

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/post"
)

// renewAhead is how long before its end, at the most, a token is given up: requests take their time, and clocks differ.
const renewAhead = time.Minute

// tokens fetches a token when there is none and when the one that there is comes to its end.
type tokens struct {
	grant   clientcredentials.Config
	url     *url.URL
	secret  *secure.Secret
	client  *http.Client
	timeout time.Duration
	closing context.Context

	turn chan struct{} // holds one: the right to look at what follows, so that a token is fetched once for all requests
	last *oauth2.Token // nil: none
	ends time.Time     // when last is not used any more; zero: never
	used bool          // last was handed out before
}

func newTokens(o OAuth2, c post.Common, closing context.Context, transport http.RoundTripper) (*tokens, error) {
	to, err := secure.CheckURL(o.TokenURL, c.Insecure)
	if err != nil {
		return nil, err
	}
	if transport == nil {
		c.TLS = o.TLS
		made, err := post.NewTransport(c, 1)
		if err != nil {
			return nil, fmt.Errorf("oauth2: %w", err)
		}
		transport = made
	}
	t := &tokens{
		grant: clientcredentials.Config{ClientID: o.ClientID, TokenURL: to.String(), Scopes: o.Scopes, EndpointParams: url.Values{}},
		url:   to, secret: secure.NewSecret(o.ClientSecretFile), timeout: c.Timeout.Std(), closing: closing, turn: make(chan struct{}, 1),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	for name, value := range o.Params {
		t.grant.EndpointParams.Set(name, value)
	}
	return t, nil
}

// get gives the token. fresh says that no request was made with it before. Errors have their class, and no secret in them.
func (t *tokens) get(ctx context.Context) (token string, fresh bool, err error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", false, fmt.Errorf("wait for a token: %w", context.Cause(ctx))
	}
	if t.last == nil || !t.ends.IsZero() && !time.Now().Before(t.ends) {
		if t.last, err = t.fetch(ctx); err != nil {
			return "", false, err
		}
		t.ends, t.used = end(t.last.Expiry), false
	}
	fresh, t.used = !t.used, true
	return t.last.AccessToken, fresh, nil
}

// end is when a token that has just come is not used any more. One that lives for minutes only would never be used, if it had to have
// a whole one left.
func end(expiry time.Time) time.Time {
	if expiry.IsZero() {
		return expiry
	}
	return expiry.Add(-min(renewAhead, time.Until(expiry)/4))
}

// drop throws a token away that was refused, unless there is a newer one.
func (t *tokens) drop(token string) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if t.last != nil && t.last.AccessToken == token {
		t.last = nil
	}
}

func (t *tokens) fetch(ctx context.Context) (*oauth2.Token, error) {
	secret, err := t.secret.Get()
	if err != nil {
		return nil, fault.Block(fmt.Errorf("oauth2.client_secret_file: %w", err))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.timeout, fmt.Errorf("no token within %s", t.timeout))
	defer cancel()
	defer context.AfterFunc(t.closing, cancel)()
	t.grant.ClientSecret = secret
	token, err := t.grant.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	switch {
	case err == nil && !visible(token.AccessToken):
		return nil, fault.Block(fmt.Errorf("fetch token from %s: it has blanks or other characters that no header takes: check oauth2.token_url", t.url.Host))
	case err == nil:
		return token, nil
	case t.closing.Err() != nil:
		return nil, fmt.Errorf("fetch token: %w", post.ErrClosed)
	case context.Cause(ctx) != nil:
		return nil, fmt.Errorf("fetch token from %s: %w", t.url.Host, context.Cause(ctx))
	}
	return nil, t.judge(err, t.secrets(secret))
}

// judge gives what a token endpoint says its class.
func (t *tokens) judge(err error, secrets post.Secrets) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		var broken *url.Error
		if errors.As(err, &broken) {
			return fmt.Errorf("fetch token: %w", post.TransportFault(t.url, broken.Err))
		}
		return fmt.Errorf("fetch token from %s: %s", t.url.Host, post.Line(secrets.Hide(err.Error())))
	}
	said := refused.ErrorCode + " " + refused.ErrorDescription
	if refused.ErrorCode == "" {
		said = string(refused.Body)
	}
	status := refused.Response.StatusCode
	err = fmt.Errorf("fetch token from %s: status %d: %s", t.url.Host, status, post.Line(secrets.Hide(said)))
	switch {
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500:
		return post.Later(refused.Response.Header, err)
	case status >= 300 && status < 400:
		return fault.Block(fmt.Errorf("%w: redirects are not followed: check oauth2.token_url", err))
	}
	return fault.Block(fmt.Errorf("%w: check oauth2.client_id, client_secret_file, scopes and params", err))
}

// secrets are all forms in which the client's secret is sent.
func (t *tokens) secrets(secret string) post.Secrets {
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(t.grant.ClientID) + ":" + url.QueryEscape(secret)))
	return post.Secrets{basic, secret}
}

// visible tells whether a header takes the text as part of its value.
func visible(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
