package post_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

var defaults = post.Common{Compression: "gzip", Batch: post.Batch{Events: 5, Bytes: 6, Linger: 7}, Timeout: 8, MaxEventBytes: 9}

func TestDefaults(t *testing.T) {
	if got := (post.Common{}).WithDefaults(defaults); got.Compression != "gzip" || got.Batch != defaults.Batch || got.Timeout != 8 || got.MaxEventBytes != 9 {
		t.Errorf("defaults are %+v", got)
	}
	own := post.Common{Compression: "none", Batch: post.Batch{Events: 1, Bytes: 2, Linger: 3}, Timeout: 4, MaxEventBytes: 5}
	if got := own.WithDefaults(defaults); got.Compression != "none" || got.Batch != own.Batch || got.Timeout != 4 || got.MaxEventBytes != 5 {
		t.Errorf("own values became %+v", got)
	}
	if l := own.Limits(3); l != (event.Limits{Events: 1, Bytes: 2, Linger: 3, InFlight: 3}) {
		t.Errorf("limits are %+v", l)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*post.Common)
		want string
	}{
		{"fine", func(*post.Common) {}, ""},
		{"no endpoint", func(c *post.Common) { c.Endpoints = nil }, "endpoints"},
		{"endpoints", func(c *post.Common) { c.Endpoints = []string{"https://a.example.com", "a:1", "http://a.example.com"} }, "endpoints[1] endpoints[2]"},
		{"insecure", func(c *post.Common) { c.Endpoints, c.Insecure = []string{"http://a.example.com"}, true }, ""},
		{"rest", func(c *post.Common) {
			c.Compression, c.Batch.Events, c.TLS, c.Proxy = "zip", -1, secure.TLS{CertFile: "x"}, "proxy:3128"
		}, "compression batch.events tls proxy"},
	} {
		c := defaults
		c.Endpoints = []string{"https://a.example.com"}
		tt.edit(&c)
		faults := append(c.ValidateEndpoints(post.Joined("/x"), "https://b.example.com"), c.Validate(5)...)
		if got := posttest.Paths(t, errors.Join(faults...)); got != tt.want {
			t.Errorf("%s: faults of %q, want %q: %v", tt.name, got, tt.want, faults)
		}
	}
}

func TestJoined(t *testing.T) {
	c := post.Common{Endpoints: []string{"https://a.example.com", "https://a.example.com/x/", "https://a.example.com/y/", "https://a.example.com/y/x"}}
	urls, err := c.URLs(post.Joined("/x"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"/x", "/x", "/y/x", "/y/x"} {
		if urls[i].Path != want {
			t.Errorf("%s became %s", c.Endpoints[i], urls[i])
		}
	}
}

// TestInline: the keys stand in the block of a sink beside its own.
func TestInline(t *testing.T) {
	var block struct {
		post.Common `yaml:",inline"`
		Own         string `yaml:"own"`
	}
	const text = "endpoints: [a]\nown: b\nbatch: {events: 7, bytes: 1KiB, linger: 2s}\ntls: {ca_file: c}\ninsecure: true\n"
	if err := yaml.UnmarshalWithOptions([]byte(text), &block, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if block.Endpoints[0] != "a" || block.Own != "b" || block.Batch.Events != 7 || block.Batch.Bytes != 1024 || block.TLS.CAFile != "c" || !block.Insecure {
		t.Errorf("read %+v", block)
	}
}

func TestUnfit(t *testing.T) {
	events := posttest.Samples(5)
	if err := post.Unfit(events, 100, true); err != nil {
		t.Errorf("events that fit: %v", err)
	}
	events[1].Body, events[3].Body, events[4].Body = []byte(strings.Repeat("x", 101)), nil, []byte("{\n}")
	for lines, want := range map[bool]string{true: "rprpp", false: "rprpr"} {
		failed, got := fault.Failed(post.Unfit(events, 100, lines)), ""
		for i := range events {
			got += posttest.Outcome(failed[i])[:1]
		}
		if got != want {
			t.Errorf("outcome %s, want %s: %v", got, want, failed)
		}
	}
}
