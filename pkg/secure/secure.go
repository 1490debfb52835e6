// Package secure holds what every connection of logferry has in common: the TLS block of the configuration, secrets that
// live in files, and the rule that nothing goes in plain text to another machine unless the operator says so.
package secure

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// TLS is the one tls block of the configuration.
type TLS struct {
	CAFile             string `yaml:"ca_file,omitempty"`              // PEM; instead of the system's roots
	CertFile           string `yaml:"cert_file,omitempty"`            // PEM, with KeyFile: a client certificate
	KeyFile            string `yaml:"key_file,omitempty"`             // PEM
	ServerName         string `yaml:"server_name,omitempty"`          // what the certificate must be for; default: the host of the address
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify,omitempty"` // trusts anybody; for tests
}

// Validate finds what is wrong without reading a file.
func (t TLS) Validate() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("cert_file and key_file go together: set both or none")
	}
	return nil
}

// Config makes the client's configuration: TLS 1.2 or later. The client certificate is read again at each handshake, so a renewed
// one is used without a restart.
func (t TLS) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca_file %s: no PEM certificate in it", t.CAFile)
		}
	}
	if t.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			return nil, fmt.Errorf("load cert_file %s and key_file %s: %w", t.CertFile, t.KeyFile, err)
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &cert, err
		}
	}
	return cfg, nil
}

// Secret is a secret in a file. The file is read when it is first needed and again when it has changed (looked at once a
// second at most), so that a rotated secret is in use within a minute. It prints as <redacted>.
type Secret struct {
	path    string
	mu      sync.Mutex
	value   string
	looked  time.Time
	changed time.Time
	size    int64
}

// NewSecret names the file; it is not read yet.
func NewSecret(path string) *Secret { return &Secret{path: path} }

// String keeps the value out of logs.
func (s *Secret) String() string { return "<redacted>" }

// GoString keeps the value out of %#v.
func (s *Secret) GoString() string { return "<redacted>" }

// Get gives the file's content without white space around it. A file that has become unreadable or empty is an error, even if an
// older value is known: the operator has to hear of it. Errors name the file, never its content.
func (s *Secret) Get() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.value != "" && now.Sub(s.looked) < time.Second && now.Sub(s.looked) >= 0 {
		return s.value, nil
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	if s.value != "" && info.ModTime().Equal(s.changed) && info.Size() == s.size {
		s.looked = now
		return s.value, nil
	}
	if info.Size() > 1<<20 {
		return "", fmt.Errorf("read secret file %s: larger than 1 MiB, this is not a secret", s.path)
	}
	b, err := os.ReadFile(s.path)
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	value := string(bytes.TrimSpace(b))
	if value == "" {
		return "", fmt.Errorf("read secret file %s: it is empty", s.path)
	}
	s.value, s.looked, s.changed, s.size = value, now, info.ModTime(), info.Size()
	return value, nil
}

// CheckURL holds a URL of the configuration against the rules: https, or http to loopback, or http with insecure set; no
// user, query or fragment.
func CheckURL(raw string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		if strings.Contains(raw, "@") { // the reason may quote a password as a port or as an escape
			return nil, fmt.Errorf("%q is not a URL: it holds a user or password: use the auth settings, secrets come from files", redactURL(raw))
		}
		return nil, fmt.Errorf("%q is not a URL: %w", redactURL(raw), errors.Unwrap(err))
	}
	switch {
	case u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q is not a URL: write https://host[:port]", redactURL(raw))
	case u.User != nil:
		return nil, errors.New("the URL holds a user or password: use the auth settings, secrets come from files")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q must not have a query or fragment", redactURL(raw))
	case u.Scheme == "http" && !insecure && !Loopback(u.Hostname()):
		return nil, fmt.Errorf("%q would send secrets in plain text: use https, or set insecure: true", redactURL(raw))
	}
	return u, nil
}

func redactURL(raw string) string {
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		return "<redacted>@" + raw[i+1:]
	}
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	return raw
}

// Loopback tells whether host is this machine: localhost or an address of the loopback net.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
