package elastic

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/logferry/logferry/pkg/event"
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
			c.Endpoints, c.APIKeyFile = []string{"https://a.example.com:9200", "http://127.0.0.1:9200"}, "key"
			c.DataStream, c.Proxy = "logs-entra.{stream}-{tenant}", "http://proxy.example.com:3128"
		}, nil},
		{"empty", func(c *Config) { *c = Config{} }, []string{"endpoints"}},
		{"endpoints", func(c *Config) {
			c.Endpoints = []string{"es:9200", "http://es.example.com", "https://u:p@es.example.com", "https://es.example.com?pipeline=x"}
		}, []string{"endpoints[0]", "endpoints[1]", "endpoints[2]", "endpoints[3]"}},
		{"insecure", func(c *Config) { c.Endpoints, c.Insecure = []string{"http://es.example.com:9200"}, true }, nil},
		{"both", func(c *Config) { c.DataStream, c.Index = "a", "b" }, []string{"index"}},
		{"placeholder", func(c *Config) { c.DataStream = "logs-{user}" }, []string{"data_stream"}},
		{"brace", func(c *Config) { c.Index = "logs-{" }, []string{"index"}},
		{"upper case", func(c *Config) { c.Index = "Entra" }, []string{"index"}},
		{"blank", func(c *Config) { c.Index = "entra logs" }, []string{"index"}},
		{"pattern", func(c *Config) { c.DataStream = "logs-*" }, []string{"data_stream"}},
		{"first", func(c *Config) { c.DataStream = "_logs" }, []string{"data_stream"}},
		{"pipeline", func(c *Config) { c.Pipeline = "a\nb" }, []string{"pipeline"}},
		{"two ways", func(c *Config) { c.APIKeyFile, c.BearerTokenFile = "a", "b" }, []string{"bearer_token_file"}},
		{"user alone", func(c *Config) { c.User = "u" }, []string{"password_file"}},
		{"password alone", func(c *Config) { c.PasswordFile = "p" }, []string{"password_file"}},
		{"user with a colon", func(c *Config) { c.User, c.PasswordFile = "u:p", "p" }, []string{"user"}},
		{"rest", func(c *Config) {
			c.Compression, c.Batch.Events, c.TLS, c.Proxy = "zip", -1, secure.TLS{CertFile: "x"}, "proxy:3128"
		}, []string{"compression", "batch.events", "tls", "proxy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Common: post.Common{Endpoints: []string{"https://es.example.com:9200"}}}
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

// TestSchema: documents are JSON, and a data stream takes those with @timestamp only.
func TestSchema(t *testing.T) {
	for _, c := range []struct {
		cfg    Config
		schema string
		ok     bool
	}{
		{Config{}, "ecs", true}, {Config{}, "raw", false}, {Config{DataStream: "logs-x-y"}, "raw", false}, {Config{}, "envelope", false},
		{Config{Index: "entra-{date}"}, "raw", true}, {Config{Index: "entra-{date}"}, "ecs", true},
		{Config{Index: "entra-{date}"}, "cim", true}, {Config{Index: "entra-{date}"}, "cef", false}, {Config{Index: "entra-{date}"}, "leef", false},
	} {
		c.cfg.Endpoints = []string{"https://es.example.com:9200"}
		if _, err := New(c.cfg, event.Schema{Name: c.schema}, Options{}); (err == nil) != c.ok {
			t.Errorf("%+v with schema %s: %v", c.cfg, c.schema, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for raw, want := range map[string]string{
		"https://es.example.com:9200":        "https://es.example.com:9200/_bulk",
		"https://es.example.com/":            "https://es.example.com/_bulk",
		"https://gateway.example.com/es":     "https://gateway.example.com/es/_bulk",
		"https://gateway.example.com/_bulk/": "https://gateway.example.com/_bulk",
	} {
		if u, err := (Config{}).endpoint(raw, false); err != nil || u.String() != want+"?"+asked {
			t.Errorf("%s: %v, %v; want %s", raw, u, err, want)
		}
	}
}

func TestConfigYAML(t *testing.T) {
	const text = `
endpoints: [https://es.example.com:9200]
index: entra-{date}
user: logferry
password_file: /run/secrets/elastic
compression: none
batch: {events: 100, bytes: 512KiB, linger: 2s}
timeout: 2m
max_event_bytes: 5MiB
`
	cfg := Default()
	cfg.DataStream = ""
	if err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, event.Schema{Name: "raw"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Limits(); l.Events != 100 || l.Bytes != 512<<10 || l.Linger.String() != "2s" || l.InFlight != inFlight {
		t.Errorf("limits are %+v", l)
	}
	if cfg.Timeout.String() != "2m" || cfg.MaxEventBytes != 5<<20 {
		t.Errorf("configuration is %+v", cfg)
	}
}
