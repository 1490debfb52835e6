// Package auth signs an application in to the Microsoft identity platform and keeps its access token fresh. Every way of
// signing in ends in the OAuth 2.0 client credentials grant (RFC 6749 section 4.4) at the tenant's v2.0 token endpoint.
package auth

import (
	"errors"
	"strings"

	"github.com/logferry/logferry/pkg/field"
)

// Config is the auth block of a source: the application and exactly one way to prove that we are it.
type Config struct {
	ClientID         string  `yaml:"client_id"`                    // application (client) id, a GUID
	ClientSecretFile string  `yaml:"client_secret_file,omitempty"` // the secret's value; read again at each refresh
	ClientSecret     Literal `yaml:"client_secret,omitempty"`      // always refused: secrets come from files

	// Known words that this version does not serve yet: any value is refused by name instead of as an unknown key.
	CertificateFile    string `yaml:"certificate_file,omitempty"`
	FederatedTokenFile string `yaml:"federated_token_file,omitempty"`
	ManagedIdentity    any    `yaml:"managed_identity,omitempty"`
	DeviceCode         any    `yaml:"device_code,omitempty"`
}

// Literal is a secret that somebody wrote into the configuration. It never prints.
type Literal string

func (Literal) String() string { return "<redacted>" }

// GoString keeps the value out of %#v.
func (Literal) GoString() string { return "<redacted>" }

// MarshalText keeps the value out of a configuration that is printed.
func (Literal) MarshalText() ([]byte, error) { return []byte("<redacted>"), nil }

// Validate finds all faults of the block, as *field.Error joined. It reads no file.
func (c Config) Validate() error {
	var errs []error
	if strings.TrimSpace(c.ClientID) == "" {
		errs = append(errs, field.Errorf("client_id", "missing: write the application (client) id of the app registration"))
	}
	if c.ClientSecret != "" {
		errs = append(errs, field.Errorf("client_secret", "a secret in clear is refused: put it into a file and name that in client_secret_file"))
	}
	for _, way := range []struct {
		word string
		set  bool
	}{
		{"certificate_file", c.CertificateFile != ""},
		{"federated_token_file", c.FederatedTokenFile != ""},
		{"managed_identity", c.ManagedIdentity != nil},
		{"device_code", c.DeviceCode != nil},
	} {
		if way.set {
			errs = append(errs, field.Errorf(way.word, "not supported by this version: use client_secret_file"))
		}
	}
	if c.ClientSecretFile == "" && len(errs) == 0 {
		errs = append(errs, field.Errorf("client_secret_file", "missing: name the file that holds the client secret"))
	}
	return errors.Join(errs...)
}
