package splunk

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want []string // paths, in order
	}{
		{"minimal", func(*Config) {}, nil},
		{"full", func(c *Config) {
			*c = Default()
			c.Endpoints, c.TokenFile = []string{"https://a.example.com:8088/services/collector/", "http://127.0.0.1:8088"}, "token"
			c.Index, c.Proxy = "entra-{family}", "http://proxy.example.com:3128"
		}, nil},
		{"empty", func(c *Config) { *c = Config{} }, []string{"endpoints", "token_file"}},
		{"endpoints", func(c *Config) {
			c.Endpoints = []string{
				"splunk:8088", "http://splunk.example.com", "https://u:p@splunk.example.com", "https://splunk.example.com?token=x",
				"https://splunk.example.com/services/collector/raw", "https://splunk.example.com/services/collector/health",
			}
		}, []string{"endpoints[0]", "endpoints[1]", "endpoints[2]", "endpoints[3]", "endpoints[4]", "endpoints[5]"}},
		{"insecure", func(c *Config) { c.Endpoints, c.Insecure = []string{"http://splunk.example.com:8088"}, true }, nil},
		{"templates", func(c *Config) { c.Index, c.Source, c.Sourcetype, c.Host = "{x}", "{", "}{", "{user}" },
			[]string{"index", "source", "sourcetype", "host"}},
		{"words", func(c *Config) { c.Compression, c.Ack = "zip", "yes" }, []string{"compression", "ack"}},
		{"ack required", func(c *Config) { c.Ack = "required" }, []string{"ack"}},
		{"rest", func(c *Config) {
			c.Batch.Events, c.TLS, c.Proxy = -1, secure.TLS{CertFile: "x"}, "proxy:3128"
		}, []string{"batch.events", "tls", "proxy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Endpoints: []string{"https://splunk.example.com:8088"}, TokenFile: "token"}
			c.edit(&cfg)
			err := cfg.Validate()
			var got []string
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				for _, e := range joined.Unwrap() {
					var f *field.Error
					if !errors.As(e, &f) {
						t.Fatalf("%v is not a field.Error", e)
					}
					got = append(got, f.Path)
				}
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("faults of %v, want %v: %v", got, c.want, err)
			}
			if _, err := New(cfg, event.Schema{Name: "ecs"}, Options{}); (err == nil) != (len(c.want) == 0) {
				t.Errorf("New gives %v", err)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	for raw, want := range map[string]string{
		"https://splunk.example.com:8088":                          "https://splunk.example.com:8088/services/collector/event",
		"https://splunk.example.com:8088/":                         "https://splunk.example.com:8088/services/collector/event",
		"https://splunk.example.com/services/collector":            "https://splunk.example.com/services/collector",
		"https://gateway.example.com/hec/services/collector/event": "https://gateway.example.com/hec/services/collector/event",
	} {
		if u, err := endpoint(raw, false); err != nil || u.String() != want {
			t.Errorf("%s: %v, %v; want %s", raw, u, err, want)
		}
	}
}

func TestConfigYAML(t *testing.T) {
	const text = `
endpoints: [https://splunk.example.com:8088]
token_file: /run/secrets/hec
index: entra
compression: none
batch: {events: 100, bytes: 512KiB, linger: 2s}
timeout: 1m
max_event_bytes: 5MiB
tls: {ca_file: ca.pem}
`
	cfg := Default()
	if err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	s, err := New(func(c Config) Config { c.TLS = secure.TLS{}; return c }(cfg), event.Schema{Name: "ecs"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Limits(); l.Events != 100 || l.Bytes != 512<<10 || l.Linger.String() != "2s" || l.InFlight != inFlight {
		t.Errorf("limits are %+v", l)
	}
	if cfg.Timeout.String() != "1m" || cfg.MaxEventBytes != 5<<20 || cfg.TLS.CAFile != "ca.pem" || cfg.Source != "logferry" {
		t.Errorf("configuration is %+v", cfg)
	}
}
