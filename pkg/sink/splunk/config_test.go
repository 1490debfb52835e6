package splunk

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
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
		{"words", func(c *Config) { c.Compression, c.Ack, c.AssumePrefix = "zip", "yes", "maybe" },
			[]string{"ack", "assume_prefix_accepted", "compression"}},
		{"ack required", func(c *Config) { c.Ack, c.AckTimeout, c.AssumePrefix = "required", field.Duration(time.Minute), "no" }, nil},
		{"ack at once", func(c *Config) { c.AckTimeout = field.Duration(time.Second) }, []string{"ack_timeout"}},
		{"never acknowledged", func(c *Config) { c.Ack, c.AssumePrefix = "required", "yes" }, []string{"assume_prefix_accepted"}},
		{"rest", func(c *Config) {
			c.Batch.Events, c.TLS, c.Proxy = -1, secure.TLS{CertFile: "x"}, "proxy:3128"
		}, []string{"batch.events", "tls", "proxy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Common: post.Common{Endpoints: []string{"https://splunk.example.com:8088"}}, TokenFile: "token"}
			c.edit(&cfg)
			err := cfg.Validate()
			if got := posttest.Paths(t, err); got != strings.Join(c.want, " ") {
				t.Errorf("faults of %v, want %v: %v", got, c.want, err)
			}
			if _, err := New(cfg, event.Schema{Name: "ecs"}, Options{}); (err == nil) != (len(c.want) == 0) {
				t.Errorf("New gives %v", err)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	for raw, want := range map[string][2]string{ // events, acknowledgements
		"":                               {"/services/collector/event", "/services/collector/ack"},
		"/":                              {"/services/collector/event", "/services/collector/ack"},
		"/services/collector":            {"/services/collector", "/services/collector/ack"},
		"/services/collector/event/1.0":  {"/services/collector/event/1.0", "/services/collector/ack"},
		"/hec/services/collector/event/": {"/hec/services/collector/event/", "/hec/services/collector/ack"},
	} {
		const host = "https://splunk.example.com:8088"
		u, err := endpoint(host+raw, false)
		if err != nil {
			t.Fatal(err)
		}
		c := newCollector(u)
		if c.events.String() != host+want[0] || c.acks.String() != host+want[1] {
			t.Errorf("%s: %s, %s; want %s", raw, c.events, c.acks, want)
		}
	}
}

func TestConfigYAML(t *testing.T) {
	const text = `
endpoints: [https://splunk.example.com:8088]
token_file: /run/secrets/hec
index: entra
ack: required
ack_timeout: 5m
assume_prefix_accepted: no
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
	if l := s.Limits(); l.Events != 100 || l.Bytes != 512<<10 || l.Linger.String() != "2s" || l.InFlight != inFlightAck {
		t.Errorf("limits are %+v", l)
	}
	if cfg.Timeout.String() != "1m" || cfg.MaxEventBytes != 5<<20 || cfg.TLS.CAFile != "ca.pem" || cfg.Source != "logferry" ||
		cfg.AckTimeout.String() != "5m" || cfg.AssumePrefix != "no" {
		t.Errorf("configuration is %+v", cfg)
	}
}
