package splunk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

const (
	inFlight   = 2         // requests at once: one is compressed while the other waits for its reply
	maxReply   = 64 << 10  // of a reply, which is a line as a rule
	maxDrained = 256 << 10 // of what is read beyond that so that the connection can be used again
)

// Options are what tests replace.
type Options struct {
	Transport http.RoundTripper // nil: one made of the configuration
}

// Sink sends to HEC. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	encoder   *encoder
	endpoints []*url.URL
	token     *secure.Secret
	transport http.RoundTripper

	current atomic.Uint32 // the endpoint in use, modulo their number
	plain   atomic.Bool   // do not compress
	buffers sync.Pool     // of *buffer
	closing context.Context
	close   context.CancelFunc
}

var errClosed = errors.New("the sink is closed")

// New makes a sink for events in schema. It reads the CA and client certificate files, but does not connect.
func New(cfg Config, schema event.Schema, o Options) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("validate splunk sink: %w", err)
	}
	cfg = cfg.withDefaults()
	enc, err := newEncoder(cfg, schema)
	if err != nil {
		return nil, err
	}
	s := &Sink{cfg: cfg, encoder: enc, token: secure.NewSecret(cfg.TokenFile), transport: o.Transport}
	for _, raw := range cfg.Endpoints {
		u, err := endpoint(raw, cfg.Insecure)
		if err != nil {
			return nil, err
		}
		s.endpoints = append(s.endpoints, u)
	}
	if s.transport == nil {
		if s.transport, err = newTransport(cfg); err != nil {
			return nil, err
		}
	}
	s.plain.Store(cfg.Compression == "none")
	s.buffers.New = func() any { return newBuffer() }
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

// Send makes one request. Events that can never be sent, because they are empty or larger than max_event_bytes, are reported as
// poison in a partial failure while the others go their way.
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	for i := range events {
		if s.unfit(&events[i]) != nil {
			return s.sendFit(ctx, events)
		}
	}
	return s.post(ctx, events)
}

// unfit gives the poison of an event that must not go into a request; nil as a rule.
func (s *Sink) unfit(e *event.Event) error {
	switch {
	case len(e.Body) == 0:
		return fault.Refuse(errors.New("the event is empty: Splunk would refuse it"), "")
	case len(e.Body) > int(s.cfg.MaxEventBytes):
		return fault.Refuse(fmt.Errorf("the event has %d bytes, max_event_bytes is %s: raise it, or leave the record out of the event",
			len(e.Body), s.cfg.MaxEventBytes), "")
	}
	return nil
}

// sendFit is Send for a batch with unfit events.
func (s *Sink) sendFit(ctx context.Context, events []event.Event) error {
	failed := map[int]error{}
	var fit []event.Event
	var from []int // fit[k] is events[from[k]]
	for i := range events {
		if err := s.unfit(&events[i]); err != nil {
			failed[i] = err
			continue
		}
		fit, from = append(fit, events[i]), append(from, i)
	}
	if len(fit) == 0 {
		return fault.Some(failed)
	}
	err := s.post(ctx, fit)
	switch {
	case err == nil:
	case fault.Of(err) == fault.Partial:
		for k, cause := range fault.Failed(err) {
			failed[from[k]] = cause
		}
	case fault.Of(err) == fault.Poison && len(fit) > 1:
		// Poison says that one of them is bad, a partial failure would say that each is: they are sent again without the unfit
		// ones, and get their verdict then.
		for _, i := range from {
			failed[i] = fmt.Errorf("not settled: %s", err)
		}
	default:
		for _, i := range from {
			failed[i] = err
		}
	}
	return fault.Some(failed)
}

// post sends events in one request.
func (s *Sink) post(ctx context.Context, events []event.Event) error {
	if s.closing.Err() != nil {
		return fmt.Errorf("send to splunk: %w", errClosed)
	}
	at := s.current.Load()
	to := s.endpoints[int(at)%len(s.endpoints)]
	err := s.request(ctx, to, events)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && (fault.Of(err) == fault.Retryable || fault.Of(err) == fault.Blocked) {
		s.current.CompareAndSwap(at, at+1) // whatever is wrong, the next endpoint may be better
	}
	return err
}

func (s *Sink) request(ctx context.Context, to *url.URL, events []event.Event) error {
	zip := !s.plain.Load()
	return s.exchange(ctx, to, events, zip, func(status int, header http.Header, body []byte) error {
		if status == http.StatusUnsupportedMediaType && zip {
			s.plain.Store(true)
			return fmt.Errorf("send to %s: %s; compression is off from now on", to.Host, describe(status, reply{}, body))
		}
		return judge(status, header, body, len(events), s.encoder.oneIndex())
	})
}

// exchange sends one request and has its reply judged, without the token in it.
func (s *Sink) exchange(ctx context.Context, to *url.URL, events []event.Event, zip bool, judged func(status int, header http.Header, body []byte) error) error {
	token, err := s.token.Get()
	if err != nil {
		return fault.Block(fmt.Errorf("send to splunk: %w", err))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fault.Block(errors.New("send to splunk: token_file must hold the token alone, it has blanks, line ends or other characters"))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout.Std(), fmt.Errorf("no reply within %s", s.cfg.Timeout))
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()

	req := s.newRequest(ctx, to, token, events, zip)
	resp, err := s.transport.RoundTrip(req) //nolint:bodyclose // readReply closes it
	if err != nil {
		return transportFault(to, s.reason(ctx, err))
	}
	body, readErr := readReply(resp.Body)
	if readErr != nil && resp.StatusCode == http.StatusOK {
		return fmt.Errorf("read reply of %s: %w", to.Host, s.reason(ctx, readErr))
	}
	// A proxy's error page may show the request's header, and what is said goes into errors.
	text := strings.ReplaceAll(string(body), token, "<redacted>")
	if location := resp.Header.Get("Location"); location != "" {
		resp.Header.Set("Location", strings.ReplaceAll(location, token, "<redacted>"))
	}
	return judged(resp.StatusCode, resp.Header, []byte(text))
}

func (s *Sink) newRequest(ctx context.Context, to *url.URL, token string, events []event.Event, zip bool) *http.Request {
	b := s.buffers.Get().(*buffer)
	content := b.encode(s.encoder, events, zip)
	header := http.Header{
		"Authorization": {"Splunk " + token},
		"Content-Type":  {"application/json"},
		"User-Agent":    {"logferry"},
	}
	if zip {
		header.Set("Content-Encoding", "gzip")
	}
	// Without GetBody the transport cannot send the body a second time on its own.
	req := &http.Request{
		Method: http.MethodPost, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        header,
		Body:          newBody(content, func() { s.buffers.Put(b) }),
		ContentLength: int64(len(content)),
	}
	return req.WithContext(ctx)
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

func readReply(body io.ReadCloser) ([]byte, error) {
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxReply))
	if err != nil {
		return b, err
	}
	_, _ = io.CopyN(io.Discard, body, maxDrained) // the verdict is in what was read; this only saves the connection
	return b, nil
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
