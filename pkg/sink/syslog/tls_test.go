package syslog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

func TestTLS(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	ours.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	foreign.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	serverAuth := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	_, _, expired := ours.issue(t, "expired", &x509.Certificate{
		IPAddresses: loopback, ExtKeyUsage: serverAuth, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	})
	_, _, named := ours.issue(t, "named", &x509.Certificate{DNSNames: []string{"relay.example.com"}, ExtKeyUsage: serverAuth})

	plain := ours.server(t)
	with := func(edit func(*tls.Config)) *tls.Config {
		c := plain.Clone()
		edit(c)
		return c
	}
	mutual := with(func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert })
	mutual12 := with(func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAndVerifyClientCert, tls.VersionTLS12 })
	// As syslog-ng does: the handshake is over for the sink, and its first bytes are acknowledged, before it is refused.
	late := with(func(c *tls.Config) {
		c.ClientAuth = tls.RequireAnyClientCert
		c.VerifyConnection = func(tls.ConnectionState) error {
			<-time.After(50 * time.Millisecond)
			return errors.New("not on the list")
		}
	})
	client := secure.TLS{CAFile: ours.file("ca.pem"), CertFile: ours.file("client.pem"), KeyFile: ours.file("client.key")}
	stranger := secure.TLS{CAFile: ours.file("ca.pem"), CertFile: foreign.file("client.pem"), KeyFile: foreign.file("client.key")}
	known := secure.TLS{CAFile: ours.file("ca.pem")}
	byName := secure.TLS{CAFile: ours.file("ca.pem"), ServerName: "relay.example.com"}

	for _, tt := range []struct {
		name   string
		server *tls.Config // nil: no TLS
		client secure.TLS
		want   string // in the text of the Blocked error; "": it works
	}{
		{"trusted", plain, known, ""},
		{"TLS 1.2", with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), known, ""},
		{"client certificate", mutual, client, ""},
		{"client certificate, TLS 1.2", mutual12, client, ""},
		{"server name set", with(func(c *tls.Config) { c.Certificates = []tls.Certificate{named} }), byName, ""},
		{"wrong authority", plain, secure.TLS{CAFile: foreign.file("ca.pem")}, "set tls.ca_file"},
		{"wrong name", with(func(c *tls.Config) { c.Certificates = []tls.Certificate{named} }), known, "set tls.server_name"},
		{"expired", with(func(c *tls.Config) { c.Certificates = []tls.Certificate{expired} }), known, "has expired"},
		{"certificate missing", mutual, known, "see tls.cert_file"},
		{"certificate missing, TLS 1.2", mutual12, known, "see tls.cert_file"},
		{"certificate of a stranger", mutual, stranger, "see tls.cert_file"},
		{"refused late", late, client, "see tls.cert_file"},
		{"too old", with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), known, "refused the TLS connection"},
		{"no TLS", nil, known, "does not speak TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serve := func(_ *peer, c net.Conn) { c.Write([]byte("220 relay.example.com\r\n")) }
			if tt.server != nil {
				serve = storeTLS(tt.server)
			}
			p := newPeer(t, serve)
			s := newSink(t, p, func(c *Config) {
				c.Address = "tls://" + p.ln.Addr().String()
				c.TLS = tt.client
			}, Options{})
			evs := events(0, 3, 100)
			err := s.Send(t.Context(), evs)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				wantBodies(t, p.await(t, 3), evs)
				return
			}
			if fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v (%v), want %q", err, fault.Of(err), tt.want)
			}
			if n := len(p.messages()); n > 0 {
				t.Errorf("the peer has %d messages", n)
			}
		})
	}
}

// TestTLSCutIsRetryable: a connection that breaks in the handshake says nothing about the configuration.
func TestTLSCutIsRetryable(t *testing.T) {
	p := newPeer(t, func(_ *peer, c net.Conn) {})
	s := newSink(t, p, func(c *Config) { c.Address = "tls://" + p.ln.Addr().String() }, Options{})
	if err := s.Send(t.Context(), events(0, 1, 10)); err == nil || fault.Of(err) != fault.Retryable {
		t.Errorf("error is %v (%v)", err, fault.Of(err))
	}
}
