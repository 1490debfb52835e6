package splunk

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// TestProbe: the token is tried without storing anything; every fault says what to mend, and no token.
func TestProbe(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + gone.Addr().String()
	gone.Close()
	tls := httptest.NewTLSServer(nil)
	t.Cleanup(tls.Close)
	for _, tt := range []struct {
		name  string
		mode  sinktest.Mode
		acks  bool
		edit  func(*Config)
		class fault.Class
		says  []string // nil: it is well
	}{
		{name: "well"},
		{name: "wrong token", mode: sinktest.Deny, class: fault.Blocked, says: []string{"the token is unknown to Splunk: check token_file"}},
		{name: "busy", mode: sinktest.Busy, says: []string{"Splunk is busy"}},
		{name: "refused connection", edit: func(c *Config) { c.Endpoints = []string{closed} }, says: []string{"connection refused"}},
		{name: "one of two", edit: func(c *Config) { c.Endpoints = append(c.Endpoints, closed) }, says: []string{strings.TrimPrefix(closed, "http://"), "connection refused"}},
		{name: "wrong CA", edit: func(c *Config) { c.Endpoints, c.TLS = []string{tls.URL}, secure.TLS{} }, class: fault.Blocked, says: []string{"check tls.ca_file"}},
		{name: "acknowledging", acks: true, edit: func(c *Config) { c.Ack = "required" }},
		{name: "acknowledging if it likes", acks: true},
		{name: "not acknowledging", edit: func(c *Config) { c.Ack = "required" }, class: fault.Blocked, says: []string{"switch indexer acknowledgement on"}},
		{name: "acknowledging unasked", acks: true, edit: func(c *Config) { c.Ack = "off" }, class: fault.Blocked, says: []string{"set ack: if_offered"}},
		{name: "no HEC", edit: func(c *Config) { c.Endpoints[0] += "/elsewhere" }, class: fault.Blocked, says: []string{"404"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHEC(t)
			h.Set(tt.mode)
			h.acks = tt.acks
			err := newSink(t, h, tt.edit).Probe(t.Context(), []event.Record{})
			if (err == nil) != (tt.says == nil) || fault.Of(err) != tt.class {
				t.Fatalf("class %s: %v", fault.Of(err), err)
			}
			for _, says := range tt.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if err != nil && strings.Contains(err.Error(), testToken) {
				t.Errorf("the token is in %q", err)
			}
			if n := len(h.Received()); n > 0 {
				t.Errorf("%d events were stored", n)
			}
		})
	}
}
