// Package elastic delivers events to Elasticsearch and OpenSearch through the _bulk API, which both speak alike.
//
// Each event goes as a create action with its event id as _id, so that an event which is there already is refused and not stored
// twice. Accepted means that the reply says so for this event. Protocol: "Bulk API" in the references of both products.
package elastic

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

const (
	bulkPath = "/_bulk"
	// asked leaves out of the reply what is not looked at: 50 bytes an event are left of 250.
	asked = "filter_path=error,errors,items.*._id,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason"
)

// Config is the elastic block of a sink. DataStream and Index take the placeholders of event.ParseTemplate; their text is put
// into lower case. Of APIKeyFile, BearerTokenFile and User one is used at most.
type Config struct {
	Endpoints       []string       `yaml:"endpoints"`                   // base URLs; after a failure the next one is used
	DataStream      string         `yaml:"data_stream,omitempty"`       // default, without index: logs-entra.{family}-default
	Index           string         `yaml:"index,omitempty"`             // an index or an alias with a write index
	APIKeyFile      string         `yaml:"api_key_file,omitempty"`      // holds the key, encoded or as id:api_key
	BearerTokenFile string         `yaml:"bearer_token_file,omitempty"` // holds the token
	User            string         `yaml:"user,omitempty"`
	PasswordFile    string         `yaml:"password_file,omitempty"` // holds the user's password
	Compression     string         `yaml:"compression,omitempty"`   // gzip | none
	Batch           Batch          `yaml:"batch,omitempty"`
	Timeout         field.Duration `yaml:"timeout,omitempty"`         // of one request, from connecting to the end of the reply
	MaxEventBytes   field.Size     `yaml:"max_event_bytes,omitempty"` // a larger body is not sent but refused
	TLS             secure.TLS     `yaml:"tls,omitempty"`
	Proxy           string         `yaml:"proxy,omitempty"`    // http(s)://host:port; default: HTTPS_PROXY and NO_PROXY
	Insecure        bool           `yaml:"insecure,omitempty"` // allows http to other machines: credentials go in clear
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
	if c.DataStream == "" && c.Index == "" {
		c.DataStream = "logs-entra.{family}-default"
	}
	if c.Compression == "" {
		c.Compression = "gzip"
	}
	if c.Batch.Events == 0 {
		c.Batch.Events = 1000
	}
	if c.Batch.Bytes == 0 {
		c.Batch.Bytes = 2 << 20
	}
	if c.Batch.Linger == 0 {
		c.Batch.Linger = field.Duration(time.Second)
	}
	if c.Timeout == 0 {
		c.Timeout = field.Duration(60 * time.Second)
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
		bad("endpoints", "missing: name one at least, such as https://es.example.com:9200")
	}
	for i, raw := range c.Endpoints {
		if _, err := endpoint(raw, c.Insecure); err != nil {
			bad(fmt.Sprintf("endpoints[%d]", i), "%s", err)
		}
	}
	if c.DataStream != "" && c.Index != "" {
		bad("index", "data_stream is set, too: events go to the one or the other")
	}
	if err := checkName(c.DataStream); err != nil {
		bad("data_stream", "%s", err)
	}
	if err := checkName(c.Index); err != nil {
		bad("index", "%s", err)
	}
	faults = append(faults, c.checkAuth()...)
	if c.Compression != "gzip" && c.Compression != "none" {
		bad("compression", "%q is unknown: gzip or none", c.Compression)
	}
	if c.Batch.Events < 0 {
		bad("batch.events", "%d is negative: 1000 is usual", c.Batch.Events)
	}
	if err := c.TLS.Validate(); err != nil {
		bad("tls", "%s", err)
	}
	if _, err := proxyURL(c.Proxy); err != nil {
		bad("proxy", "%s", err)
	}
	return errors.Join(faults...)
}

// checkAuth takes one way to sign in, or none: a cluster without security, or one that asks for a client certificate only.
func (c Config) checkAuth() []error {
	var ways []string
	for _, way := range []struct{ path, value string }{
		{"api_key_file", c.APIKeyFile}, {"bearer_token_file", c.BearerTokenFile}, {"user", c.User},
	} {
		if way.value != "" {
			ways = append(ways, way.path)
		}
	}
	switch {
	case len(ways) > 1:
		return []error{field.Errorf(ways[1], "%s: use one way to sign in", strings.Join(ways, " and "))}
	case (c.User == "") != (c.PasswordFile == ""):
		return []error{field.Errorf("password_file", "user and password_file go together: set both or none")}
	case strings.ContainsFunc(c.User, func(r rune) bool { return r == ':' || r < ' ' }):
		return []error{field.Errorf("user", "a user's name has no colon and no control characters")}
	}
	return nil
}

// Target is the data stream or index, with its placeholders.
func (c Config) Target() string {
	c = c.withDefaults()
	return c.DataStream + c.Index
}

// CheckSchema tells whether events in the schema of that name can be stored. Documents of a data stream need a member @timestamp.
func (c Config) CheckSchema(name string) error {
	if c.withDefaults().DataStream != "" && name != "ecs" {
		return fmt.Errorf("schema %s has no @timestamp, which a data stream needs: use ecs, or index instead of data_stream", name)
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// checkName holds a name with placeholders against the rules that both products have for names. An empty one is fine.
func checkName(s string) error {
	if _, err := event.ParseTemplate(s); err != nil || s == "" {
		return err
	}
	name := placeholder.ReplaceAllString(s, "x")
	switch {
	case strings.ContainsAny(name, "\\/*?\"<>| ,#:"):
		return fmt.Errorf("%q cannot be a name: none of \\ / * ? \" < > | , # : and no blanks are allowed", s)
	case strings.ToLower(name) != name:
		return fmt.Errorf("%q cannot be a name: write it in lower case", s)
	case strings.ContainsAny(name[:1], "-_+") || name == "." || name == "..":
		return fmt.Errorf("%q cannot be a name: it begins with a letter or digit", s)
	}
	return nil
}

// endpoint makes the URL that requests go to.
func endpoint(raw string, insecure bool) (*url.URL, error) {
	u, err := secure.CheckURL(raw, insecure)
	if err != nil {
		return nil, err
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), bulkPath) + bulkPath
	u.RawQuery = asked
	return u, nil
}

// proxyURL gives nil for the proxy of the environment. Credentials travel inside TLS, so plain http to a proxy is allowed.
func proxyURL(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	return secure.CheckURL(raw, true)
}
