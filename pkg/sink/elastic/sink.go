package elastic

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

const (
	inFlight = 2       // requests at once: one is compressed while the other waits for its reply
	maxReply = 8 << 20 // of a reply: 1,000 events with an error each have 400 KiB
	maxKept  = 1 << 20 // of the memory for a reply that is used again
)

// Options are what tests replace.
type Options struct {
	Transport http.RoundTripper // nil: one made of the configuration
}

// Sink sends to _bulk. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	target    target
	nodes     nodes
	auth      auth
	transport http.RoundTripper

	buffers sync.Pool // of *buffer
	replies sync.Pool // of *bytes.Buffer
	closing context.Context
	close   context.CancelFunc
}

var errClosed = errors.New("the sink is closed")

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
	s := &Sink{cfg: cfg, target: to, auth: newAuth(cfg), transport: o.Transport}
	for _, raw := range cfg.Endpoints {
		u, err := endpoint(raw, cfg.Insecure)
		if err != nil {
			return nil, err
		}
		s.nodes.urls = append(s.nodes.urls, u)
	}
	if s.transport == nil {
		if s.transport, err = newTransport(cfg); err != nil {
			return nil, err
		}
	}
	s.buffers.New = func() any { return newBuffer() }
	s.replies.New = func() any { return new(bytes.Buffer) }
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

func newTransport(cfg Config) (*http.Transport, error) {
	tlsConfig, err := cfg.TLS.Config()
	if err != nil {
		return nil, err
	}
	proxy := http.ProxyFromEnvironment
	if u, err := proxyURL(cfg.Proxy); err != nil {
		return nil, err
	} else if u != nil {
		proxy = http.ProxyURL(u)
	}
	dialer := net.Dialer{Timeout: min(10*time.Second, cfg.Timeout.Std()), KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               proxy,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: inFlight,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}, nil
}

// Limits gives the batch settings.
func (s *Sink) Limits() event.Limits {
	return event.Limits{
		Events: s.cfg.Batch.Events, Bytes: int(s.cfg.Batch.Bytes), Linger: s.cfg.Batch.Linger.Std(), InFlight: inFlight,
	}
}

// Close ends running Sends, which fail with a retryable error, and all that come after.
func (s *Sink) Close() error {
	s.close()
	if t, ok := s.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Send makes one request. Events that can never be sent are reported as poison in a partial failure before any request is made;
// the others wait for the next Send.
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	if failed := s.unfit(events); failed != nil {
		return fault.Some(failed)
	}
	if s.closing.Err() != nil {
		return fmt.Errorf("send to the cluster: %w", errClosed)
	}
	at, to := s.nodes.pick(time.Now())
	err := s.request(ctx, to, events)
	if class := fault.Of(err); err != nil && ctx.Err() == nil && (class == fault.Retryable || class == fault.Blocked) {
		s.nodes.failed(at, time.Now()) // whatever is wrong, the next endpoint may be better
	}
	return err
}

// unfit gives the verdicts of a batch with events that must not go into a request; nil as a rule.
func (s *Sink) unfit(events []event.Event) map[int]error {
	var failed map[int]error
	for i := range events {
		switch body := events[i].Body; {
		case len(body) == 0:
			failed = note(failed, i, fault.Refuse(errors.New("the event is empty"), ""))
		case len(body) > int(s.cfg.MaxEventBytes):
			failed = note(failed, i, fault.Refuse(fmt.Errorf("the event has %d bytes, max_event_bytes is %s: raise it, or leave the record out of the event",
				len(body), s.cfg.MaxEventBytes), ""))
		case bytes.IndexByte(body, '\n') >= 0:
			failed = note(failed, i, fault.Refuse(errors.New("the event has a line end, which separates events"), ""))
		}
	}
	if failed == nil {
		return nil
	}
	for i := range events {
		if _, bad := failed[i]; !bad {
			failed[i] = errors.New("not sent yet: another event of the same request cannot be sent")
		}
	}
	return failed
}

func (s *Sink) request(ctx context.Context, to *url.URL, events []event.Event) error {
	as, err := s.auth.get()
	if err != nil {
		return fault.Block(fmt.Errorf("send to %s: %w", to.Host, err))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout.Std(), fmt.Errorf("no reply within %s", s.cfg.Timeout))
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()

	resp, err := s.transport.RoundTrip(s.newRequest(ctx, to, as, events))
	if err != nil {
		return transportFault(to, s.reason(ctx, err))
	}
	defer resp.Body.Close()
	reply := s.replies.Get().(*bytes.Buffer)
	defer func() {
		if reply.Cap() <= maxKept {
			s.replies.Put(reply)
		}
	}()
	reply.Reset()
	_, err = reply.ReadFrom(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case resp.StatusCode != http.StatusOK: // the status is the verdict, whatever there is of the text
	case err != nil:
		return fmt.Errorf("read reply of %s: %w", to.Host, s.reason(ctx, err))
	case reply.Len() > maxReply && len(events) > 1:
		return fault.Refuse(fmt.Errorf("the reply of %s has more than %d bytes: fewer events are sent", to.Host, maxReply), "")
	case reply.Len() > maxReply:
		return fmt.Errorf("the reply of %s has more than %d bytes", to.Host, maxReply)
	}
	return judge{events: events, hide: as.hide}.reply(resp.StatusCode, resp.Header, reply.Bytes())
}

func (s *Sink) newRequest(ctx context.Context, to *url.URL, as credentials, events []event.Event) *http.Request {
	b := s.buffers.Get().(*buffer)
	zip := s.cfg.Compression == "gzip"
	content := b.encode(&s.target, events, zip)
	header := s.headers(as)
	if zip {
		header.Set("Content-Encoding", "gzip")
	}
	// Without GetBody the transport cannot send the body a second time on its own.
	req := &http.Request{
		Method: http.MethodPost, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        header,
		Body:          &body{content: content, release: func() { s.buffers.Put(b) }},
		ContentLength: int64(len(content)),
	}
	return req.WithContext(ctx)
}

func (s *Sink) headers(as credentials) http.Header {
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-ndjson"},
		"User-Agent":   {"logferry"},
	}
	if as.header != "" {
		header.Set("Authorization", as.header)
	}
	return header
}

// reason prefers what ended the request over how the transport puts it.
func (s *Sink) reason(ctx context.Context, err error) error {
	if s.closing.Err() != nil {
		return errClosed
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// transportFault tells what only an operator can mend, the certificates, from what may pass.
func transportFault(to *url.URL, err error) error {
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		issuer x509.UnknownAuthorityError
		alert  *net.OpError
	)
	switch {
	case errors.As(err, &verify), errors.As(err, &issuer):
		return fault.Block(fmt.Errorf("connect to %s: %w: check tls.ca_file and tls.server_name", to.Host, err))
	case errors.As(err, &record):
		return fault.Block(fmt.Errorf("connect to %s: %w: the endpoint does not speak TLS, check its port and scheme", to.Host, err))
	case errors.As(err, &alert) && alert.Op == "remote error":
		return fault.Block(fmt.Errorf("connect to %s: %w: check tls.cert_file and tls.key_file", to.Host, err))
	}
	return fmt.Errorf("send to %s: %w", to.Host, err)
}
