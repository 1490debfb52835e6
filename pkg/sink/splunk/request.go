package splunk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
)

// What is in place of HEC's code.
const (
	none    = -1 // there was no reply
	unnamed = -2 // it has no code, or none that is known
)

// signature is what the token's file holds at the moment.
type signature struct {
	header  string
	secrets post.Secrets
}

func (s *Sink) sign() (signature, error) {
	header, secrets, err := s.credential.Get()
	if err != nil {
		return signature{}, fault.Block(fmt.Errorf("send to splunk: %w", err))
	}
	return signature{header, secrets}, nil
}

// post sends events in one request. It gives a receipt where its acknowledgement is to be waited for.
func (s *Sink) post(ctx context.Context, events []event.Event) (*receipt, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("send to splunk: %w", context.Cause(ctx))
	}
	at, _ := s.nodes.Pick(time.Now())
	r, code, err := s.request(ctx, s.collectors[at], events)
	if class := fault.Of(err); err != nil && ctx.Err() == nil && (class == fault.Retryable || class == fault.Blocked) &&
		code != invalidChannel && code != ackFull {
		s.nodes.Failed(at, time.Now()) // whatever is wrong, the next endpoint may be better
	}
	if r != nil {
		r.at = at
	}
	return r, err
}

// request gives, beside the outcome, the code that HEC has answered with.
func (s *Sink) request(ctx context.Context, to *collector, events []event.Event) (*receipt, int, error) {
	as, err := s.sign()
	if err != nil {
		return nil, none, err
	}
	if s.cfg.Ack == "off" {
		out, err := s.send(ctx, to, as, nil, events, s.cfg.AssumePrefix)
		if err != nil {
			return nil, none, err
		}
		return nil, out.code, out.err
	}
	c, err := to.vacant(ctx, as)
	if err != nil {
		return nil, none, fmt.Errorf("send to %s: %w", to.events.Host, err)
	}
	first, err := c.enter(ctx)
	if err != nil {
		return nil, none, fmt.Errorf("wait for the first request to %s: %w", to.events.Host, err)
	}
	r, code, err := s.onChannel(ctx, to, as, c, first, events)
	if first {
		c.leave(code != none, err)
	}
	return r, code, err
}

// onChannel makes a request that may be acknowledged. first says that nothing was sent on the channel before.
func (s *Sink) onChannel(ctx context.Context, to *collector, as signature, c *channel, first bool, events []event.Event) (*receipt, int, error) {
	required := s.cfg.Ack == "required"
	if first && required {
		// No event goes to a token that will not acknowledge it, and again with each try. An id that nobody was given is asked for.
		if t := s.ask(ctx, to, c, []string{"0"}); t.disabled {
			return nil, none, s.unacknowledged(to, t.err)
		}
	}
	prefix := s.cfg.AssumePrefix
	if required || c.acknowledges() {
		prefix = "no" // the events before a bad one are stored perhaps, but nobody will acknowledge them
	}
	out, err := s.send(ctx, to, as, c, events, prefix)
	if err != nil {
		return nil, none, err
	}
	r, err := s.follow(to, c, out)
	return r, out.code, err
}

// follow does what a reply means for its channel.
func (s *Sink) follow(to *collector, c *channel, out ruling) (*receipt, error) {
	switch {
	case out.moved && (out.ackID != "" || c.acknowledges()):
		if err := s.astray(to, c); out.err == nil {
			return nil, err
		}
	case out.code == invalidChannel:
		to.renew(c)
	case out.code == ackFull:
		c.fill()
	case out.err == nil && out.ackID != "":
		r, start, err := c.wait(out.ackID)
		if start {
			s.acking.Store(true)
			go s.poll(to, c)
		}
		return r, err
	case out.err == nil && s.cfg.Ack == "required":
		return nil, s.unacknowledged(to, errors.New("its reply has no ackId"))
	}
	return nil, out.err
}

// send makes the request, and again in plain text if that is what the endpoint wants. c is nil without a channel.
func (s *Sink) send(ctx context.Context, to *collector, as signature, c *channel, events []event.Event, prefix string) (ruling, error) {
	zip := s.cfg.Compression == "gzip" && !to.plain.Load()
	for {
		b := s.buffers.Get()
		b.Encode(len(events), zip, func(dst []byte, i int) []byte { return s.encoder.append(dst, &events[i]) })
		var out ruling
		plain := false
		err := s.exchange(ctx, to.events, as, c, b, func(r post.Reply) error {
			if plain = zip && r.Status == http.StatusUnsupportedMediaType; plain {
				return nil
			}
			j := judge{events: len(events), oneIndex: s.encoder.oneIndex(), prefix: prefix, host: to.events.Host, secrets: as.secrets}
			out = j.rule(r.Status, r.Header, r.Body)
			out.moved = c != nil && c.moved(r.Header)
			return nil
		})
		if err == nil {
			s.slow(out.code)
		}
		if err != nil || !plain {
			return out, err
		}
		zip = false
		to.plain.Store(true)
	}
}

// slow takes the load off a server that is near its capacity.
func (s *Sink) slow(code int) {
	if code >= queueNear && code <= ackFull {
		s.relieving.Store(time.Now().Add(relief).UnixNano())
	}
}

// exchange sends what is in b.
func (s *Sink) exchange(ctx context.Context, to *url.URL, as signature, c *channel, b *post.Buffer, judged func(post.Reply) error) error {
	header := http.Header{
		"Authorization": {as.header},
		"Content-Type":  {"application/json"},
		"User-Agent":    {"logferry"},
	}
	if c != nil {
		c.header(header)
	}
	return s.client.Exchange(ctx, b.Request(http.MethodPost, to, header), maxReply, judged)
}
