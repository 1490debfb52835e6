package post

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

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
)

const (
	maxKept    = 1 << 20   // of the memory for a reply that is used again
	maxDrained = 256 << 10 // of what is read beyond a reply that is cut, so that the connection can be used again
)

// ErrClosed is why a request of a closed Client has failed.
var ErrClosed = errors.New("the sink is closed")

// Client makes exchanges. It is safe for concurrent use.
type Client struct {
	transport http.RoundTripper
	timeout   field.Duration
	replies   sync.Pool // of *bytes.Buffer
	closing   context.Context
	close     context.CancelFunc
}

// NewClient makes a client of the configuration, defaults included, for that many requests at once. It reads the CA and client
// certificate files, but does not connect. transport is for tests, nil makes one.
func NewClient(c Common, inFlight int, transport http.RoundTripper) (*Client, error) {
	if transport == nil {
		made, err := NewTransport(c, inFlight)
		if err != nil {
			return nil, err
		}
		transport = made
	}
	client := &Client{transport: transport, timeout: c.Timeout}
	client.closing, client.close = context.WithCancel(context.Background())
	return client, nil
}

// NewTransport makes connections as tls and proxy say.
func NewTransport(c Common, inFlight int) (*http.Transport, error) {
	tlsConfig, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	proxy := http.ProxyFromEnvironment
	if u, err := proxyURL(c.Proxy); err != nil {
		return nil, err
	} else if u != nil {
		proxy = http.ProxyURL(u)
	}
	dialer := net.Dialer{Timeout: min(10*time.Second, c.Timeout.Std()), KeepAlive: 30 * time.Second}
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

// Close ends running exchanges, which fail with a retryable error, and all that come after.
func (c *Client) Close() error {
	c.close()
	if t, ok := c.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Closing ends when the client is closed.
func (c *Client) Closing() context.Context { return c.closing }

// Reply is what came back. Body is as it came, with whatever secrets the peer puts into it, and valid until the judge returns.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
	Cut    bool // there was more than the limit
}

// Exchange sends a request, reads up to most bytes of its reply and gives what judge makes of it. A request without a reply, and one
// whose success does not arrive whole, are faults here and are not judged. Of anything but success the status is the verdict, whatever
// there is of its text. req's body is closed in any case, perhaps later.
func (c *Client) Exchange(ctx context.Context, req *http.Request, most int, judge func(Reply) error) error {
	host := req.URL.Host
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout.Std(), fmt.Errorf("no reply within %s", c.timeout))
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	if c.closing.Err() != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return fmt.Errorf("send to %s: %w", host, ErrClosed)
	}
	resp, err := c.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return TransportFault(req.URL, c.reason(ctx, err))
	}
	defer resp.Body.Close()
	text, _ := c.replies.Get().(*bytes.Buffer)
	if text == nil {
		text = new(bytes.Buffer)
	}
	defer func() {
		if text.Cap() <= maxKept {
			c.replies.Put(text)
		}
	}()
	text.Reset()
	_, err = text.ReadFrom(io.LimitReader(resp.Body, int64(most)))
	if err != nil && resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return fmt.Errorf("read reply of %s: %w", host, c.reason(ctx, err))
	}
	more := int64(0)
	if err == nil && text.Len() == most {
		more, _ = io.CopyN(io.Discard, resp.Body, maxDrained)
	}
	return judge(Reply{Status: resp.StatusCode, Header: resp.Header, Body: text.Bytes(), Cut: more > 0})
}

// reason prefers what ended the request over how the transport puts it.
func (c *Client) reason(ctx context.Context, err error) error {
	if c.closing.Err() != nil {
		return ErrClosed
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// TransportFault tells what only an operator can mend, the certificates, from what may pass.
func TransportFault(to *url.URL, err error) error {
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

// Later is a retryable error, after the pause that the reply asks for if it does.
func Later(header http.Header, err error) error {
	if d, ok := fault.RetryAfter(header, time.Now()); ok {
		return fault.After(d, err)
	}
	return err
}
