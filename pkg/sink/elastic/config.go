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
	"github.com/logferry/logferry/pkg/sink/post"
)

const (
	usual    = 1000 // events in a request
	bulkPath = "/_bulk"
	// asked leaves out of the reply what is not looked at: 50 bytes an event are left of 250.
	asked = "filter_path=error,errors,items.*._id,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason"
)

// Config is the elastic block of a sink. DataStream and Index take the placeholders of event.ParseTemplate; their text is put
// into lower case. Of APIKeyFile, BearerTokenFile and User one is used at most.
type Config struct {
	post.Common     `yaml:",inline"` // endpoints are base URLs
	DataStream      string           `yaml:"data_stream,omitempty"`       // default, without index: logs-entra.{family}-default
	Index           string           `yaml:"index,omitempty"`             // an index or an alias with a write index
	Pipeline        string           `yaml:"pipeline,omitempty"`          // an ingest pipeline; default: that of the index
	APIKeyFile      string           `yaml:"api_key_file,omitempty"`      // holds the key, encoded or as id:api_key
	BearerTokenFile string           `yaml:"bearer_token_file,omitempty"` // holds the token
	User            string           `yaml:"user,omitempty"`
	PasswordFile    string           `yaml:"password_file,omitempty"` // holds the user's password
}

// Default is what an empty block means.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.DataStream == "" && c.Index == "" {
		c.DataStream = "logs-entra.{family}-default"
	}
	c.Common = c.Common.WithDefaults(post.Common{
		Compression: "gzip", Timeout: field.Duration(60 * time.Second), MaxEventBytes: 1 << 20,
		Batch: post.Batch{Events: usual, Bytes: 2 << 20, Linger: field.Duration(time.Second)},
	})
	return c
}

// Validate finds all that is wrong, as joined *field.Error; it reads no file. A zero value stands for its default.
func (c Config) Validate() error {
	c = c.withDefaults()
	faults := c.ValidateEndpoints(c.endpoint, "https://es.example.com:9200")
	bad := func(path, format string, args ...any) { faults = append(faults, field.Errorf(path, format, args...)) }
	if c.DataStream != "" && c.Index != "" {
		bad("index", "data_stream is set, too: events go to the one or the other")
	}
	if err := checkName(c.DataStream); err != nil {
		bad("data_stream", "%s", err)
	}
	if err := checkName(c.Index); err != nil {
		bad("index", "%s", err)
	}
	if strings.ContainsFunc(c.Pipeline, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		bad("pipeline", "%q cannot be a pipeline's name", c.Pipeline)
	}
	faults = append(faults, post.ValidateSignIn(c.User, c.PasswordFile,
		post.Way{Path: "api_key_file", Value: c.APIKeyFile}, post.Way{Path: "bearer_token_file", Value: c.BearerTokenFile})...)
	faults = append(faults, c.Common.Validate(usual)...)
	return errors.Join(faults...)
}

// Target is the data stream or index, with its placeholders.
func (c Config) Target() string {
	c = c.withDefaults()
	return c.DataStream + c.Index
}

// CheckSchema tells whether events in the schema of that name can be stored: as JSON. Documents of a data stream need a member @timestamp.
func (c Config) CheckSchema(name string) error {
	if name == "cef" || name == "leef" {
		return fmt.Errorf("schema %s is text, and documents are JSON", name)
	}
	if c.withDefaults().DataStream != "" && name != "ecs" {
		return fmt.Errorf("schema %s has no @timestamp, which a data stream needs: use ecs (its profile elastic has the fields of Elastic's rules), or index instead of data_stream", name)
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
func (c Config) endpoint(raw string, insecure bool) (*url.URL, error) {
	u, err := post.Joined(bulkPath)(raw, insecure)
	if err != nil {
		return nil, err
	}
	u.RawQuery = asked
	if c.Pipeline != "" {
		u.RawQuery += "&pipeline=" + url.QueryEscape(c.Pipeline)
	}
	return u, nil
}
