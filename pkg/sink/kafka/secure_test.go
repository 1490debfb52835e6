package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

// newCA makes a certificate authority and a server certificate of it for the names; the CA's is written to a file.
func newCA(t *testing.T, names []string, ips ...net.IP) (caFile string, server tls.Certificate) {
	t.Helper()
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, caKey := make(ca, ca, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: ips, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, leafKey := make(leaf, ca, caKey)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return caFile, tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}
}

func TestTLS(t *testing.T) {
	ca, server := newCA(t, []string{"kafka.example.com"}, net.IPv4(127, 0, 0, 1))
	namedCA, named := newCA(t, []string{"kafka.example.com"})
	otherCA, _ := newCA(t, nil)
	for _, tc := range []struct {
		name   string
		server *tls.Config
		client *secure.TLS
		want   string // part of the error; "" for success
	}{
		{"trusted", &tls.Config{Certificates: []tls.Certificate{server}}, &secure.TLS{CAFile: ca}, ""},
		{"server name", &tls.Config{Certificates: []tls.Certificate{named}}, &secure.TLS{CAFile: namedCA, ServerName: "kafka.example.com"}, ""},
		{"verification off", &tls.Config{Certificates: []tls.Certificate{server}}, &secure.TLS{InsecureSkipVerify: true}, ""},
		{"wrong CA", &tls.Config{Certificates: []tls.Certificate{server}}, &secure.TLS{CAFile: otherCA}, "set tls.ca_file"},
		{"wrong name", &tls.Config{Certificates: []tls.Certificate{named}}, &secure.TLS{CAFile: namedCA}, "set tls.server_name"},
		{"client certificate wanted", &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAnyClientCert}, &secure.TLS{CAFile: ca}, "check tls.cert_file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBroker(t, 3, tc.server)
			s := newSink(t, b, func(c *Config) { c.TLS = tc.client })
			events := newEvents(10, "audits")
			err := s.Send(context.Background(), events)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				check(t, b.records, events)
				return
			}
			if fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), b.addr()) {
				t.Errorf("Send: %v, want it blocked with %q and the broker's address", err, tc.want)
			}
		})
	}
}

func TestSASL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for _, tc := range []struct {
		name, mechanism, password string // of the file; "" leaves it out
		accepted                  string // by the broker
		sent                      string // first message, its beginning
		want                      string // part of the error; "" for success
	}{
		{"plain", "plain", "open sesame", "open sesame", "\x00logferry\x00open sesame", ""},
		{"plain, wrong password", "plain", "guess", "open sesame", "\x00logferry\x00guess", "check sasl.username and sasl.password_file"},
		{"scram 256", "scram-sha-256", "open sesame", "", "n,,n=logferry,r=", "check sasl.username"},
		{"scram 512", "scram-sha-512", "open sesame", "", "n,,n=logferry,r=", "check sasl.username"},
		{"no file", "plain", "", "open sesame", "", "mend sasl.password_file"},
		{"password that SCRAM forbids", "scram-sha-512", "tab\x07bell", "", "", "mend sasl.password_file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			os.Remove(file)
			if tc.password != "" {
				if err := os.WriteFile(file, []byte(tc.password+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b := newBroker(t, 1, nil)
			b.password = tc.accepted
			s := newSink(t, b, func(c *Config) {
				c.SASL = SASL{Mechanism: tc.mechanism, Username: "logferry", PasswordFile: file}
			})
			events := newEvents(3, "audits")
			err := s.Send(context.Background(), events)
			switch {
			case tc.want == "" && err != nil:
				t.Fatal(err)
			case tc.want != "" && (fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Send: %v, want it blocked with %q", err, tc.want)
			case tc.want == "" && len(b.records) != 3:
				t.Errorf("%d records, want 3", len(b.records))
			}
			if err != nil && tc.password != "" && strings.Contains(err.Error(), tc.password) {
				t.Errorf("the error tells the password: %v", err)
			}
			b.do(func() {
				if tc.sent != "" && (len(b.sasl) < 2 || b.sasl[0] != strings.ToUpper(tc.mechanism) || !strings.HasPrefix(b.sasl[1], tc.sent)) {
					t.Errorf("the client has sent %q", b.sasl)
				}
				b.sasl = nil
			})
		})
	}
}

// TestSASLRotated: a new password in the file is used by the next connection.
func TestSASLRotated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := newBroker(t, 1, nil)
	b.password = "new"
	s := newSink(t, b, func(c *Config) { c.SASL = SASL{Mechanism: "plain", Username: "logferry", PasswordFile: file} })
	write("old one")
	if err := s.Send(context.Background(), newEvents(1, "audits")); fault.Of(err) != fault.Blocked {
		t.Fatalf("Send: %v, want it blocked", err)
	}
	write("new")
	eventually(t, "the new password is used", func() bool { // secure.Secret looks at its file once a second at most
		return s.Send(context.Background(), newEvents(1, "audits")) == nil
	})
}
