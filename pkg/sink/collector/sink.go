package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
)

const (
	inFlight = 2        // requests at once: one is compressed while the other waits for its reply
	maxReply = 64 << 10 // of a reply, which is read for its words alone
)

// Options are what tests replace.
type Options struct {
	Transport http.RoundTripper // to collector and token endpoint; nil: made of the configuration
}

// Sink sends to a collector. It is safe for concurrent use.
type Sink struct {
	cfg        Config
	format     format
	header     http.Header // of every request
	credential post.Credential
	secrets    map[string]post.Credential // by header
	tokens     *tokens                    // nil without oauth2
	nodes      *post.Nodes
	client     *post.Client
	buffers    post.Buffers
}

// New makes a sink for events in schema. It reads the CA and client certificate files, but does not connect.
func New(cfg Config, schema event.Schema, o Options) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("validate http sink: %w", err)
	}
	cfg = cfg.withDefaults()
	urls, err := cfg.URLs(cfg.endpoint)
	if err != nil {
		return nil, err
	}
	client, err := post.NewClient(cfg.Common, inFlight, o.Transport)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		cfg: cfg, format: format{array: cfg.Format == array, text: post.Textual(schema)}, nodes: post.NewNodes(urls), client: client,
		header: http.Header{"User-Agent": {"logferry"}}, secrets: map[string]post.Credential{},
	}
	for name, value := range cfg.Headers {
		s.header.Set(name, value)
	}
	s.header.Set("Content-Type", cfg.ContentType)
	if cfg.ContentType == "" {
		s.header.Set("Content-Type", s.format.contentType())
	}
	for name, path := range cfg.SecretHeaders {
		s.secrets[name] = post.Plain("", "secret_headers."+name, path)
	}
	switch {
	case cfg.BearerTokenFile != "":
		s.credential = post.Plain("Bearer", "bearer_token_file", cfg.BearerTokenFile)
	case cfg.User != "":
		s.credential = post.Basic(cfg.User, "password_file", cfg.PasswordFile)
	case cfg.OAuth2 != nil:
		if s.tokens, err = newTokens(*cfg.OAuth2, cfg.Common, client.Closing(), o.Transport); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Limits gives the batch settings.
func (s *Sink) Limits() event.Limits { return s.cfg.Limits(inFlight) }

// Close ends running Sends, which fail with a retryable error, and all that come after.
func (s *Sink) Close() error {
	if s.tokens != nil {
		s.tokens.client.CloseIdleConnections()
	}
	return s.client.Close()
}

// Send makes one request. Events that can never be sent are reported as poison in a partial failure before any request is made;
// the others wait for the next Send.
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := post.Unfit(events, s.cfg.MaxEventBytes, !s.format.array); err != nil {
		return err
	}
	return s.nodes.Try(ctx, func(to *url.URL) error {
		b := s.buffers.Get()
		b.Encode(len(events), s.cfg.Compression == "gzip", func(dst []byte, i int) []byte {
			return s.format.append(dst, i, len(events), events[i].Body)
		})
		header := s.header.Clone()
		header.Set(idempotencyKey, keyOf(events))
		return s.exchange(ctx, b.Request(s.cfg.Method, to, header), judge)
	})
}

// Probe asks every endpoint what it offers (OPTIONS), with the credentials: nothing is sent that could be stored. A collector that
// does not know the question is well; a way to sign in that asks for a token first has been tried then. Errors are those of Send.
func (s *Sink) Probe(ctx context.Context, _ []event.Record) error {
	var errs []error
	for _, to := range s.nodes.All() {
		req := &http.Request{Method: http.MethodOptions, URL: to, Host: to.Host, Header: http.Header{"User-Agent": {"logferry"}}}
		errs = append(errs, s.exchange(ctx, req, func(to *url.URL, secrets post.Secrets, r post.Reply) error {
			switch r.Status {
			case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
				return judge(to, secrets, r)
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// exchange signs the request in and sends it.
func (s *Sink) exchange(ctx context.Context, req *http.Request, judged func(*url.URL, post.Secrets, post.Reply) error) error {
	token, fresh, secrets, err := s.sign(ctx, req.Header)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return fmt.Errorf("send to %s: %w", req.URL.Host, err)
	}
	return s.client.Exchange(ctx, req, maxReply, func(r post.Reply) error {
		err := judged(req.URL, secrets, r)
		if token == "" || r.Status != http.StatusUnauthorized {
			return err
		}
		s.tokens.drop(token)
		if fresh {
			return err // it is not the token's age
		}
		return fmt.Errorf("%s refuses a token that it took before: a new one is fetched: %s", req.URL.Host, post.Line(secrets.Hide(string(r.Body))))
	})
}

// sign puts what nobody else may know into the header. token is that of oauth2, if there is one. Errors have their class.
func (s *Sink) sign(ctx context.Context, header http.Header) (token string, fresh bool, secrets post.Secrets, err error) {
	signed, secrets, err := s.credential.Get()
	if err != nil {
		return "", false, nil, fault.Block(err)
	}
	for name, c := range s.secrets {
		value, more, err := c.Get()
		if err != nil {
			return "", false, nil, fault.Block(err)
		}
		header.Set(name, value)
		secrets = append(secrets, more...)
	}
	if s.tokens != nil {
		if token, fresh, err = s.tokens.get(ctx); err != nil {
			return "", false, nil, err
		}
		signed, secrets = "Bearer "+token, append(secrets, token)
	}
	if signed != "" {
		header.Set("Authorization", signed)
	}
	return token, fresh, secrets, nil
}
