package syslog

import (
	"net"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

// TestProbe: the connection is made, the TLS handshake included, and nothing is sent.
func TestProbe(t *testing.T) {
	a := newAuthority(t)
	server := a.server(t)
	other := newAuthority(t)
	other.server(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := gone.Addr().String()
	gone.Close()
	for _, tt := range []struct {
		name  string
		tls   bool
		edit  func(*Config)
		class fault.Class
		says  string // "": it is well
	}{
		{name: "well"},
		{name: "well, TLS", tls: true, edit: func(c *Config) { c.TLS = secure.TLS{CAFile: a.file("ca.pem")} }},
		{name: "wrong CA", tls: true, edit: func(c *Config) { c.TLS = secure.TLS{CAFile: other.file("ca.pem")} }, class: fault.Blocked, says: "set tls.ca_file"},
		{name: "refused connection", edit: func(c *Config) { c.Address = "tcp://" + closed }, says: "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serve := (*peer).store
			if tt.tls {
				serve = storeTLS(server)
			}
			p := newPeer(t, serve)
			s := newSink(t, p, func(c *Config) {
				if tt.tls {
					c.Address = "tls://" + p.ln.Addr().String()
				}
				if tt.edit != nil {
					tt.edit(c)
				}
			}, Options{})
			err := s.Probe(t.Context(), nil)
			if (err == nil) != (tt.says == "") || fault.Of(err) != tt.class || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("class %s: %v", fault.Of(err), err)
			}
			if n := len(p.messages()); n > 0 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
}
