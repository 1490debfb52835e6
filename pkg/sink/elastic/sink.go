package elastic

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
)

const (
	inFlight = 2       // requests at once: one is compressed while the other waits for its reply
	maxReply = 8 << 20 // of a reply: 1,000 events with an error each have 400 KiB
)

// Options are what tests replace, and who is told of what the cluster says.
type Options struct {
	Transport   http.RoundTripper                // nil: one made of the configuration
	OnDuplicate func(key event.StreamKey, n int) // told of accepted events that the cluster had already; nil: nobody
}

// Sink sends to _bulk. It is safe for concurrent use.
type Sink struct {
	cfg         Config
	target      target
	credential  post.Credential
	nodes       *post.Nodes
	client      *post.Client
	buffers     post.Buffers
	onDuplicate func(event.StreamKey, int)
}

// New makes a sink for events in schema. It reads the CA and client certificate files, but does not connect.
func New(cfg Config, schema event.Schema, o Options) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("validate elastic sink: %w", err)
	}
	if err := cfg.CheckSchema(schema.Name); err != nil {
		return nil, fmt.Errorf("validate elastic sink: %w", err)
	}
	cfg = cfg.withDefaults()
	to, err := newTarget(cfg.Target())
	if err != nil {
		return nil, err
	}
	urls, err := cfg.URLs(cfg.endpoint)
	if err != nil {
		return nil, err
	}
	client, err := post.NewClient(cfg.Common, inFlight, o.Transport)
	if err != nil {
		return nil, err
	}
	return &Sink{
		cfg: cfg, target: to, credential: newCredential(cfg), nodes: post.NewNodes(urls), client: client, onDuplicate: o.OnDuplicate,
	}, nil
}

// Limits gives the batch settings.
func (s *Sink) Limits() event.Limits { return s.cfg.Limits(inFlight) }

// Close ends running Sends, which fail with a retryable error, and all that come after.
func (s *Sink) Close() error { return s.client.Close() }

// Send makes one request. Events that can never be sent are reported as poison in a partial failure before any request is made;
// the others wait for the next Send.
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := post.Unfit(events, s.cfg.MaxEventBytes, true); err != nil {
		return err
	}
	return s.nodes.Try(ctx, func(to *url.URL) error { return s.request(ctx, to, events) })
}

func (s *Sink) request(ctx context.Context, to *url.URL, events []event.Event) error {
	b := s.buffers.Get()
	b.Encode(len(events), s.cfg.Compression == "gzip", func(dst []byte, i int) []byte { return s.target.append(dst, &events[i]) })
	return s.exchange(ctx, to, b, func(secrets post.Secrets, r post.Reply) error {
		switch {
		case r.Status != http.StatusOK || !r.Cut:
		case len(events) > 1:
			return fault.TooLarge(fmt.Errorf("the reply of %s has more than %d bytes: fewer events are sent", to.Host, maxReply), "")
		default:
			return fmt.Errorf("the reply of %s has more than %d bytes", to.Host, maxReply)
		}
		j := judge{host: to.Host, events: events, secrets: secrets}
		err := j.reply(r.Status, r.Header, r.Body)
		s.tell(j.duplicates)
		return err
	})
}

// exchange sends what is in b.
func (s *Sink) exchange(ctx context.Context, to *url.URL, b *post.Buffer, judged func(post.Secrets, post.Reply) error) error {
	signed, secrets, err := s.credential.Get()
	if err != nil {
		return fault.Block(fmt.Errorf("send to %s: %w", to.Host, err))
	}
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-ndjson"},
		"User-Agent":   {"logferry"},
	}
	if signed != "" {
		header.Set("Authorization", signed)
	}
	return s.client.Exchange(ctx, b.Request(http.MethodPost, to, header), maxReply, func(r post.Reply) error { return judged(secrets, r) })
}

// tell passes on which events the cluster had already, once a reply is believed.
func (s *Sink) tell(duplicates map[event.StreamKey]int) {
	if s.onDuplicate == nil {
		return
	}
	for key, n := range duplicates {
		s.onDuplicate(key, n)
	}
}
