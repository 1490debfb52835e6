// Package collector delivers events to anything that takes them over HTTP: a request has many of them in its body, as lines or as a
// JSON array. It is the http block of a sink.
//
// Accepted means that the collector has answered 2xx; what that is worth is the collector's word.
package collector

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/post"
)

// Config is the http block of a sink. Of BearerTokenFile, User and OAuth2 one is used at most.
type Config struct {
	post.Common     `yaml:",inline"`  // endpoints are whole URLs, but for query
	Query           map[string]string `yaml:"query,omitempty"`             // is added to the URLs
	Method          string            `yaml:"method,omitempty"`            // POST (default) | PUT
	Format          string            `yaml:"format,omitempty"`            // ndjson (default): a line each | array: one JSON array
	ContentType     string            `yaml:"content_type,omitempty"`      // default: by format and schema
	Headers         map[string]string `yaml:"headers,omitempty"`           // sent as they stand here
	SecretHeaders   map[string]string `yaml:"secret_headers,omitempty"`    // header -> the file that holds its value
	BearerTokenFile string            `yaml:"bearer_token_file,omitempty"` // holds the token
	User            string            `yaml:"user,omitempty"`
	PasswordFile    string            `yaml:"password_file,omitempty"` // holds the user's password
	OAuth2          *OAuth2           `yaml:"oauth2,omitempty"`
}

// OAuth2 fetches tokens by the client credentials grant (RFC 6749 section 4.4). The proxy is that of the sink.
type OAuth2 struct {
	TokenURL         string            `yaml:"token_url"`
	ClientID         string            `yaml:"client_id"`
	ClientSecretFile string            `yaml:"client_secret_file"` // holds the secret
	Scopes           []string          `yaml:"scopes,omitempty"`
	Params           map[string]string `yaml:"params,omitempty"` // more of the token request, such as audience
	TLS              secure.TLS        `yaml:"tls,omitempty"`    // of the token endpoint, which is somebody else's as a rule
}

const (
	usual   = 500 // events in a request
	formats = "ndjson or array"
	array   = "array"
	example = "https://collector.example.com/ingest"
)

// Default is what an empty block means.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	// Several collectors take a megabyte, decimal or binary, with what stands between the events.
	c.Common = c.Common.WithDefaults(post.Common{
		Compression: "gzip", Timeout: field.Duration(30 * time.Second), MaxEventBytes: 1 << 20,
		Batch: post.Batch{Events: usual, Bytes: 896 << 10, Linger: field.Duration(time.Second)},
	})
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if c.Format == "" {
		c.Format = "ndjson"
	}
	return c
}

// Validate finds all that is wrong, as joined *field.Error; it reads no file. A zero value stands for its default.
func (c Config) Validate() error {
	c = c.withDefaults()
	faults := c.ValidateEndpoints(c.endpoint, example)
	bad := func(path, format string, args ...any) { faults = append(faults, field.Errorf(path, format, args...)) }
	for _, name := range sorted(c.Query) {
		if credential(name) {
			bad("query."+name, "looks like a credential, and URLs end up in logs: use secret_headers")
		}
	}
	if c.Method != http.MethodPost && c.Method != http.MethodPut {
		bad("method", "%q is unknown: POST or PUT", c.Method)
	}
	if c.Format != "ndjson" && c.Format != array {
		bad("format", "%q is unknown: %s", c.Format, formats)
	}
	if !validValue(c.ContentType) {
		bad("content_type", "%q cannot be the value of a header", c.ContentType)
	}
	faults = append(faults, c.validateHeaders()...)
	oauth2 := ""
	if c.OAuth2 != nil {
		oauth2 = "used"
		faults = append(faults, c.OAuth2.validate(c.Insecure)...)
	}
	faults = append(faults, post.ValidateSignIn(c.User, c.PasswordFile,
		post.Way{Path: "bearer_token_file", Value: c.BearerTokenFile}, post.Way{Path: "oauth2", Value: oauth2})...)
	return errors.Join(append(faults, c.Common.Validate(usual)...)...)
}

// own are headers that are made here, and by what else they are set.
var own = map[string]string{
	"Content-Type": "use content_type", "Content-Encoding": "use compression", "Content-Length": "it is made from the events",
	"Transfer-Encoding": "it is made from the events", "Connection": "it is the connection's", "Host": "it is the endpoint's",
	idempotencyKey: "it is made from the events",
}

func (c Config) validateHeaders() []error {
	var faults []error
	signsIn := c.BearerTokenFile != "" || c.User != "" || c.OAuth2 != nil
	seen := map[string]bool{}
	for _, block := range []struct {
		path    string
		headers map[string]string
		secret  bool
	}{{"headers", c.Headers, false}, {"secret_headers", c.SecretHeaders, true}} {
		for _, name := range sorted(block.headers) {
			value, canonical := block.headers[name], http.CanonicalHeaderKey(name)
			bad := func(format string, args ...any) {
				faults = append(faults, field.Errorf(block.path+"."+name, format, args...))
			}
			switch {
			case !validName(name):
				bad("%q cannot be the name of a header", name)
			case own[canonical] != "":
				bad("cannot be set here: %s", own[canonical])
			case seen[canonical]:
				bad("is set twice")
			case block.secret && value == "":
				bad("missing: name the file that holds the value")
			case !block.secret && credential(name):
				bad("looks like a credential: put the value into a file, and write secret_headers: {%s: FILE}", name)
			case !block.secret && !validValue(value):
				bad("the value has control characters")
			case canonical == "Authorization" && signsIn:
				bad("is set by the way to sign in: use one of them")
			}
			seen[canonical] = true
		}
	}
	return faults
}

func (o OAuth2) validate(insecure bool) []error {
	var faults []error
	bad := func(path, format string, args ...any) {
		faults = append(faults, field.Errorf("oauth2."+path, format, args...))
	}
	if _, err := secure.CheckURL(o.TokenURL, insecure); err != nil {
		bad("token_url", "%s", err)
	}
	if o.ClientID == "" {
		bad("client_id", "missing: the id of the registered client")
	}
	if o.ClientSecretFile == "" {
		bad("client_secret_file", "missing: name the file that holds the client's secret")
	}
	for _, name := range sorted(o.Params) {
		switch {
		case slices.Contains([]string{"grant_type", "scope", "client_id"}, name):
			bad("params."+name, "cannot be set here: it is made from the other keys")
		case credential(name):
			bad("params."+name, "looks like a credential: use client_secret_file")
		}
	}
	if err := o.TLS.Validate(); err != nil {
		bad("tls", "%s", err)
	}
	return faults
}

// credential tells names of headers and parameters whose values are secrets.
func credential(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"authorization", "token", "secret", "password", "passwd", "cookie", "credential", "signature", "apikey"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	for _, end := range []string{"key", "auth", "sig"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// validName tells whether name is a token of RFC 9110 section 5.6.2.
func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

func validValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func sorted(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// endpoint makes the URL that requests go to.
func (c Config) endpoint(raw string, insecure bool) (*url.URL, error) {
	u, err := secure.CheckURL(raw, insecure)
	if err != nil {
		if strings.ContainsRune(raw, '?') {
			return nil, fmt.Errorf("%w; write query: {NAME: VALUE} instead", err)
		}
		return nil, err
	}
	query := url.Values{}
	for name, value := range c.Query {
		query.Set(name, value)
	}
	u.RawQuery = query.Encode()
	return u, nil
}
