// Package splunk delivers events to the HTTP Event Collector (HEC) of Splunk, or of anything that speaks its protocol.
//
// Events go as a stack of JSON envelopes to /services/collector/event. Accepted means that HEC has parsed the request and handed
// it on; with indexer acknowledgement, that the indexers have it on their disks. Protocol: "Format events for HTTP Event Collector",
// "About HTTP Event Collector Indexer Acknowledgment" and "Troubleshoot HTTP Event Collector" at docs.splunk.com.
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
	"github.com/logferry/logferry/pkg/sink/post"
)

// eventPath is where HEC takes envelopes.
const eventPath = "/services/collector/event"

// usual is how many events go into a request.
const usual = 500

// Config is the splunk block of a sink. Index, Source, Sourcetype and Host take the placeholders of event.ParseTemplate.
type Config struct {
	post.Common `yaml:",inline"` // endpoints are base URLs
	TokenFile   string           `yaml:"token_file"`            // holds the HEC token and nothing else
	Index       string           `yaml:"index,omitempty"`       // default: the token's own
	Source      string           `yaml:"source,omitempty"`      // default: logferry
	Sourcetype  string           `yaml:"sourcetype,omitempty"`  // default: by schema and stream, see defaultSourcetype
	Host        string           `yaml:"host,omitempty"`        // default: the tenant's id
	Ack         string           `yaml:"ack,omitempty"`         // required | if_offered | off: indexer acknowledgement
	AckTimeout  field.Duration   `yaml:"ack_timeout,omitempty"` // without an acknowledgement for so long, events are sent again
	// AssumePrefix says whether the receiver has stored the events before one that it refuses: auto | yes | no. auto: Splunk has.
	AssumePrefix string `yaml:"assume_prefix_accepted,omitempty"`
}

// Default is what an empty block means.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		to    *string
		value string
	}{{&c.Source, "logferry"}, {&c.Host, "{tenant}"}, {&c.Ack, "if_offered"}, {&c.AssumePrefix, "auto"}} {
		if *d.to == "" {
			*d.to = d.value
		}
	}
	if c.AckTimeout == 0 {
		c.AckTimeout = field.Duration(3 * time.Minute)
	}
	c.Common = c.Common.WithDefaults(post.Common{
		Compression: "gzip", Timeout: field.Duration(30 * time.Second), MaxEventBytes: 1 << 20,
		Batch: post.Batch{Events: usual, Bytes: 1 << 20, Linger: field.Duration(time.Second)},
	})
	return c
}

// Validate finds all that is wrong, as joined *field.Error; it reads no file. A zero value stands for its default.
func (c Config) Validate() error {
	c = c.withDefaults()
	faults := c.ValidateEndpoints(endpoint, "https://splunk.example.com:8088")
	bad := func(path, format string, args ...any) { faults = append(faults, field.Errorf(path, format, args...)) }
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
	if c.Ack != "required" && c.Ack != "if_offered" && c.Ack != "off" {
		bad("ack", "%q is unknown: required, if_offered or off", c.Ack)
	}
	if c.AckTimeout.Std() < 10*time.Second {
		bad("ack_timeout", "%s is too short: indexing takes seconds, 3m is usual", c.AckTimeout)
	}
	switch {
	case c.AssumePrefix != "auto" && c.AssumePrefix != "yes" && c.AssumePrefix != "no":
		bad("assume_prefix_accepted", "%q is unknown: auto, yes or no", c.AssumePrefix)
	case c.AssumePrefix == "yes" && c.Ack == "required":
		bad("assume_prefix_accepted", "yes contradicts ack: required: those events are never acknowledged")
	}
	faults = append(faults, c.Common.Validate(usual)...)
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
