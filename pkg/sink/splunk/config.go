// Package splunk delivers events to the HTTP Event Collector (HEC) of Splunk, or of anything that speaks its protocol.
//
// Events go as a stack of JSON envelopes to /services/collector/event. Accepted means that HEC has parsed the request and handed
// it on; indexer acknowledgement is not used. Protocol: "Format events for HTTP Event Collector" and "Troubleshoot HTTP Event
// Collector" at docs.splunk.com.
package splunk

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

// eventPath is where HEC takes envelopes.
const eventPath = "/services/collector/event"

// Config is the splunk block of a sink. Index, Source, Sourcetype and Host take the placeholders of event.ParseTemplate.
type Config struct {
	Endpoints     []string       `yaml:"endpoints"`             // base URLs; after a failure the next one is used
	TokenFile     string         `yaml:"token_file"`            // holds the HEC token and nothing else
	Index         string         `yaml:"index,omitempty"`       // default: the token's own
	Source        string         `yaml:"source,omitempty"`      // default: logferry
	Sourcetype    string         `yaml:"sourcetype,omitempty"`  // default: by schema and stream, see defaultSourcetype
	Host          string         `yaml:"host,omitempty"`        // default: the tenant's id
	Compression   string         `yaml:"compression,omitempty"` // gzip | none
	Ack           string         `yaml:"ack,omitempty"`         // off | if_offered: both off as yet
	Batch         Batch          `yaml:"batch,omitempty"`
	Timeout       field.Duration `yaml:"timeout,omitempty"`         // of one request, from connecting to the end of the reply
	MaxEventBytes field.Size     `yaml:"max_event_bytes,omitempty"` // a larger body is not sent but refused
	TLS           secure.TLS     `yaml:"tls,omitempty"`
	Proxy         string         `yaml:"proxy,omitempty"`    // http(s)://host:port; default: HTTPS_PROXY and NO_PROXY
	Insecure      bool           `yaml:"insecure,omitempty"` // allows http to other machines: the token goes in clear
}

// Batch is what goes into one request.
type Batch struct {
	Events int            `yaml:"events,omitempty"`
	Bytes  field.Size     `yaml:"bytes,omitempty"` // of bodies, before compression
	Linger field.Duration `yaml:"linger,omitempty"`
}

// Default is what an empty block means.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Source == "" {
		c.Source = "logferry"
	}
	if c.Host == "" {
		c.Host = "{tenant}"
	}
	if c.Compression == "" {
		c.Compression = "gzip"
	}
	if c.Ack == "" {
		c.Ack = "if_offered"
	}
	if c.Batch.Events == 0 {
		c.Batch.Events = 500
	}
	if c.Batch.Bytes == 0 {
		c.Batch.Bytes = 1 << 20
	}
	if c.Batch.Linger == 0 {
		c.Batch.Linger = field.Duration(time.Second)
	}
	if c.Timeout == 0 {
		c.Timeout = field.Duration(30 * time.Second)
	}
	if c.MaxEventBytes == 0 {
		c.MaxEventBytes = 1 << 20
	}
	return c
}

// Validate finds all that is wrong, as joined *field.Error; it reads no file. A zero value stands for its default.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	bad := func(path, format string, args ...any) { faults = append(faults, field.Errorf(path, format, args...)) }
	if len(c.Endpoints) == 0 {
		bad("endpoints", "missing: name one at least, such as https://splunk.example.com:8088")
	}
	for i, raw := range c.Endpoints {
		if _, err := endpoint(raw, c.Insecure); err != nil {
			bad(fmt.Sprintf("endpoints[%d]", i), "%s", err)
		}
	}
	if c.TokenFile == "" {
		bad("token_file", "missing: name the file that holds the HEC token")
	}
	for _, t := range []struct{ path, value string }{
		{"index", c.Index}, {"source", c.Source}, {"sourcetype", c.Sourcetype}, {"host", c.Host},
	} {
		if _, err := event.ParseTemplate(t.value); err != nil {
			bad(t.path, "%s", err)
		}
	}
	if c.Compression != "gzip" && c.Compression != "none" {
		bad("compression", "%q is unknown: gzip or none", c.Compression)
	}
	switch c.Ack {
	case "off", "if_offered":
	case "required":
		bad("ack", "required is not possible yet: logferry does not ask for indexer acknowledgement; use off and a token without it")
	default:
		bad("ack", "%q is unknown: off or if_offered", c.Ack)
	}
	if c.Batch.Events < 0 {
		bad("batch.events", "%d is negative: 500 is usual", c.Batch.Events)
	}
	if err := c.TLS.Validate(); err != nil {
		bad("tls", "%s", err)
	}
	if _, err := proxyURL(c.Proxy); err != nil {
		bad("proxy", "%s", err)
	}
	return errors.Join(faults...)
}

// endpoint makes the URL that requests go to.
func endpoint(raw string, insecure bool) (*url.URL, error) {
	u, err := secure.CheckURL(raw, insecure)
	if err != nil {
		return nil, err
	}
	path := strings.TrimRight(u.Path, "/")
	switch {
	case path == "":
		u.Path = eventPath
	case strings.Contains(path, "/collector/raw"), strings.HasSuffix(path, "/ack"), strings.Contains(path, "/collector/health"):
		return nil, fmt.Errorf("%q does not take envelopes: write the base URL only, %s is added", raw, eventPath)
	}
	return u, nil
}

// proxyURL gives nil for the proxy of the environment. The token travels inside TLS, so plain http to a proxy is allowed.
func proxyURL(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	return secure.CheckURL(raw, true)
}

// defaultSourcetype is what searches for the schema expect: the sourcetypes of Splunk's add-ons for records as Microsoft sends
// them and for the Event Hub envelope, our own for all else.
func defaultSourcetype(schema, stream, family string) string {
	kind := family
	switch family {
	case "signins":
		kind = "signin"
	case "audits":
		kind = "audit"
	}
	switch {
	case schema == "envelope":
		return "azure:monitor:aad"
	case schema == "raw" && stream == "risk.detections":
		return "azure:aad:risk:detection"
	case schema == "raw":
		return "azure:aad:" + kind
	}
	return "entra:" + kind
}
