// Package post has the pieces of a sink that sends events in the bodies of HTTP requests, whatever its protocol: the common keys of
// the configuration, endpoints that are left and come back, bodies whose memory is used again, one bounded exchange, credentials
// from files, and errors without secrets in them. A sink puts them together; nothing here decides what a reply means.
package post

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

// Common are the keys that the blocks of such sinks share. A block has them inline.
type Common struct {
	Endpoints     []string       `yaml:"endpoints"`             // after a failure the next one is used
	Compression   string         `yaml:"compression,omitempty"` // gzip | none
	Batch         Batch          `yaml:"batch,omitempty"`
	Timeout       field.Duration `yaml:"timeout,omitempty"`         // of one request, from connecting to the end of the reply
	MaxEventBytes field.Size     `yaml:"max_event_bytes,omitempty"` // a larger body is not sent but refused
	TLS           secure.TLS     `yaml:"tls,omitempty"`
	Proxy         string         `yaml:"proxy,omitempty"`    // http(s)://host:port; default: HTTPS_PROXY and NO_PROXY
	Insecure      bool           `yaml:"insecure,omitempty"` // allows http to other machines: credentials go in clear
}

// Batch is what goes into one request.
type Batch struct {
	Events int            `yaml:"events,omitempty"`
	Bytes  field.Size     `yaml:"bytes,omitempty"` // of bodies, before compression
	Linger field.Duration `yaml:"linger,omitempty"`
}

// WithDefaults puts what d has in place of zero values: compression, batch, timeout and max_event_bytes.
func (c Common) WithDefaults(d Common) Common {
	if c.Compression == "" {
		c.Compression = d.Compression
	}
	if c.Batch.Events == 0 {
		c.Batch.Events = d.Batch.Events
	}
	if c.Batch.Bytes == 0 {
		c.Batch.Bytes = d.Batch.Bytes
	}
	if c.Batch.Linger == 0 {
		c.Batch.Linger = d.Batch.Linger
	}
	if c.Timeout == 0 {
		c.Timeout = d.Timeout
	}
	if c.MaxEventBytes == 0 {
		c.MaxEventBytes = d.MaxEventBytes
	}
	return c
}

// Endpoint checks a URL of the configuration and makes the one that requests go to.
type Endpoint func(raw string, insecure bool) (*url.URL, error)

// Joined is an Endpoint for base URLs: path is added unless the URL ends with it.
func Joined(path string) Endpoint {
	return func(raw string, insecure bool) (*url.URL, error) {
		u, err := secure.CheckURL(raw, insecure)
		if err != nil {
			return nil, err
		}
		u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), path) + path
		return u, nil
	}
}

// URLs gives the endpoints of a configuration that was validated.
func (c Common) URLs(endpoint Endpoint) ([]*url.URL, error) {
	var urls []*url.URL
	for _, raw := range c.Endpoints {
		u, err := endpoint(raw, c.Insecure)
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// ValidateEndpoints finds what is wrong with the endpoints, as *field.Error. example is shown to those who name none.
func (c Common) ValidateEndpoints(endpoint Endpoint, example string) []error {
	if len(c.Endpoints) == 0 {
		return []error{field.Errorf("endpoints", "missing: name one at least, such as %s", example)}
	}
	var faults []error
	for i, raw := range c.Endpoints {
		if _, err := endpoint(raw, c.Insecure); err != nil {
			faults = append(faults, field.Errorf(fmt.Sprintf("endpoints[%d]", i), "%s", err))
		}
	}
	return faults
}

// Validate finds all that is wrong with the other keys, defaults included, as *field.Error. It reads no file. usual is shown for
// batch.events.
func (c Common) Validate(usual int) []error {
	var faults []error
	bad := func(path, format string, args ...any) { faults = append(faults, field.Errorf(path, format, args...)) }
	if c.Compression != "gzip" && c.Compression != "none" {
		bad("compression", "%q is unknown: gzip or none", c.Compression)
	}
	if c.Batch.Events < 0 {
		bad("batch.events", "%d is negative: %d is usual", c.Batch.Events, usual)
	}
	if err := c.TLS.Validate(); err != nil {
		bad("tls", "%s", err)
	}
	if _, err := proxyURL(c.Proxy); err != nil {
		bad("proxy", "%s", err)
	}
	return faults
}

// proxyURL gives nil for the proxy of the environment. Credentials travel inside TLS, so plain http to a proxy is allowed.
func proxyURL(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	return secure.CheckURL(raw, true)
}
