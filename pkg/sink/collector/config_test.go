package collector

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
	grant := func(edit func(*OAuth2)) func(*Config) {
		return func(c *Config) {
			c.OAuth2 = &OAuth2{TokenURL: "https://login.example.com/token", ClientID: "id", ClientSecretFile: "file"}
			edit(c.OAuth2)
		}
	}
	for _, c := range []struct {
		name string
		edit func(*Config)
		want string // paths, in order
	}{
		{"minimal", func(*Config) {}, ""},
		{"full", func(c *Config) {
			*c = Default()
			c.Endpoints, c.Method, c.Format, c.ContentType = []string{"https://a.example.com/x", "http://127.0.0.1:8080"}, "PUT", "array", "application/json"
			c.Headers, c.SecretHeaders = map[string]string{"X-Source": "entra"}, map[string]string{"DD-API-KEY": "file"}
			c.User, c.PasswordFile, c.Query = "u", "file", map[string]string{"api-version": "1"}
		}, ""},
		{"empty", func(c *Config) { *c = Config{} }, "endpoints"},
		{"endpoints", func(c *Config) {
			c.Endpoints = []string{"a:1", "http://a.example.com", "https://u:p@a.example.com", "https://a.example.com/x?y=z"}
		}, "endpoints[0] endpoints[1] endpoints[2] endpoints[3]"},
		{"insecure", func(c *Config) { c.Endpoints, c.Insecure = []string{"http://a.example.com"}, true }, ""},
		{"words", func(c *Config) { c.Method, c.Format, c.ContentType = "GET", "csv", "a\nb" }, "method format content_type"},
		{"query", func(c *Config) { c.Query = map[string]string{"api_key": "x", "token": "x", "tag": "x"} }, "query.api_key query.token"},
		{"secrets in clear", func(c *Config) {
			c.Headers = map[string]string{"authorization": "x", "X-Api-Key": "x", "DD-API-KEY": "x", "x-sumo-token": "x", "Cookie": "x", "X-Auth": "x", "X-Secret-Id": "x", "X-Source": "x"}
		}, "headers.Cookie headers.DD-API-KEY headers.X-Api-Key headers.X-Auth headers.X-Secret-Id headers.authorization headers.x-sumo-token"},
		{"headers", func(c *Config) {
			c.Headers = map[string]string{"a b": "x", "content-type": "x", "X": "a\r\nY: b", "Idempotency-key": "x", "": "x"}
		}, "headers. headers.Idempotency-key headers.X headers.a b headers.content-type"},
		{"twice", func(c *Config) {
			c.Headers, c.SecretHeaders = map[string]string{"X-A": "x"}, map[string]string{"x-a": "x", "X-B": ""}
		}, "secret_headers.X-B secret_headers.x-a"},
		{"two ways", func(c *Config) { c.BearerTokenFile, c.User, c.PasswordFile = "a", "b", "c" }, "user"},
		{"three ways", func(c *Config) { grant(func(*OAuth2) {})(c); c.BearerTokenFile = "a" }, "oauth2"},
		{"two headers", func(c *Config) { c.BearerTokenFile, c.SecretHeaders = "a", map[string]string{"Authorization": "x"} }, "secret_headers.Authorization"},
		{"user alone", func(c *Config) { c.User = "u" }, "password_file"},
		{"oauth2", grant(func(*OAuth2) {}), ""},
		{"oauth2 empty", func(c *Config) { c.OAuth2 = &OAuth2{} }, "oauth2.token_url oauth2.client_id oauth2.client_secret_file"},
		{"oauth2 faults", grant(func(o *OAuth2) {
			o.TokenURL, o.Params, o.TLS = "http://login.example.com", map[string]string{"client_secret": "x", "scope": "y", "audience": "z"}, secure.TLS{KeyFile: "x"}
		}), "oauth2.token_url oauth2.params.client_secret oauth2.params.scope oauth2.tls"},
		{"rest", func(c *Config) { c.Compression, c.Batch.Events, c.Proxy = "zip", -1, "proxy:3128" }, "compression batch.events proxy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Common: post.Common{Endpoints: []string{"https://collector.example.com/in"}}}
			c.edit(&cfg)
			err := cfg.Validate()
			if got := posttest.Paths(t, err); got != c.want {
				t.Errorf("faults of %q, want %q: %v", got, c.want, err)
			}
			if _, err := New(cfg, event.Schema{Name: "ecs"}, Options{}); (err == nil) != (c.want == "") {
				t.Errorf("New gives %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "u:p@") {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func TestConfigYAML(t *testing.T) {
	const text = `
endpoints: [https://collector.example.com/in]
format: array
query: {api-version: "2023-01-01"}
headers: {X-Source: entra}
oauth2:
  token_url: https://login.example.com/token
  client_id: id
  client_secret_file: /run/secrets/client
  scopes: [https://monitor.azure.com/.default]
  params: {audience: logs}
batch: {events: 100, bytes: 512KiB, linger: 2s}
timeout: 2m
`
	var cfg Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, event.Schema{Name: "ecs"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Limits(); l.Events != 100 || l.Bytes != 512<<10 || l.Linger.String() != "2s" || l.InFlight != inFlight {
		t.Errorf("limits are %+v", l)
	}
	if cfg.Timeout.String() != "2m" || cfg.OAuth2.Params["audience"] != "logs" || s.nodes.All()[0].String() != "https://collector.example.com/in?api-version=2023-01-01" {
		t.Errorf("configuration is %+v", cfg)
	}
}
