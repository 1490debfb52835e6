// Package auth signs an application in to the Microsoft identity platform and keeps its access token fresh. Secret, certificate
// and federated token end in the OAuth 2.0 client credentials grant (RFC 6749 section 4.4) at the tenant's token endpoint; a
// managed identity asks an endpoint of its machine; a device code lets a person sign in (RFC 8628).
//
// Assertions and the requests to identity endpoints are made here and not by azidentity, Microsoft's library. That one keeps
// tokens in caches that cannot be emptied when Graph refuses one (that of managed identities belongs to the whole process), takes
// one credential for good, asks for the authority's metadata before each first token, refuses authorities on loopback, knows no v1
// endpoint, reads no PKCS#12 file in the form that OpenSSL 3 writes, and puts whole replies into its errors. What it would save is an
// assertion of forty lines.
package auth

import (
	"cmp"
	"errors"
	"strings"

	"github.com/logferry/logferry/pkg/field"
)

// Config is the auth block of a source: the application and exactly one way to prove that we are it.
type Config struct {
	ClientID         string  `yaml:"client_id,omitempty"`          // application (client) id, a GUID
	ClientSecretFile string  `yaml:"client_secret_file,omitempty"` // the secret's value
	ClientSecret     Literal `yaml:"client_secret,omitempty"`      // always refused: secrets come from files

	CertificateFile         string `yaml:"certificate_file,omitempty"`          // PEM with certificate and RSA key, or PKCS#12 (PFX)
	CertificatePasswordFile string `yaml:"certificate_password_file,omitempty"` // of a PKCS#12 file

	FederatedTokenFile string            `yaml:"federated_token_file,omitempty"` // an OIDC token that the app trusts, as its issuer renews it
	WorkloadIdentity   *WorkloadIdentity `yaml:"workload_identity,omitempty"`    // federated token, all by the AZURE_ variables
	ManagedIdentity    *ManagedIdentity  `yaml:"managed_identity,omitempty"`     // of the Azure machine that we run on
	DeviceCode         *DeviceCode       `yaml:"device_code,omitempty"`          // a person signs in once
}

// WorkloadIdentity is a block without keys: see Environment.
type WorkloadIdentity struct{}

// ManagedIdentity names the machine's identity; the zero value is the system-assigned one.
type ManagedIdentity struct {
	ClientID string `yaml:"client_id,omitempty"` // of a user-assigned identity
}

// DeviceCode keeps what the person's sign-in has given.
type DeviceCode struct {
	RefreshTokenFile string `yaml:"refresh_token_file"` // made and replaced by us, mode 0600
}

// Literal is a secret that somebody wrote into the configuration. It never prints.
type Literal string

const inClear = "a secret in clear is refused: put it into a file and name that in client_secret_file"

// UnmarshalText refuses the key, whatever stands there.
func (Literal) UnmarshalText([]byte) error { return errors.New(inClear) }

func (Literal) String() string { return "<redacted>" }

// GoString keeps the value out of %#v.
func (Literal) GoString() string { return "<redacted>" }

// MarshalText keeps the value out of a configuration that is printed.
func (Literal) MarshalText() ([]byte, error) { return []byte("<redacted>"), nil }

// The ways to sign in, by their words in the configuration.
const (
	bySecret      = "client_secret_file"
	byCertificate = "certificate_file"
	byFederation  = "federated_token_file"
	byWorkload    = "workload_identity"
	byMachine     = "managed_identity"
	byPerson      = "device_code"
)

// ways are those that the block names. The AZURE_ variables fill in the federated token's file, so those two are one.
func (c Config) ways() (all []string) {
	for _, way := range []struct {
		word string
		set  bool
	}{
		{bySecret, c.ClientSecretFile != ""},
		{byCertificate, c.CertificateFile != ""},
		{byFederation, c.FederatedTokenFile != "" && c.WorkloadIdentity == nil},
		{byWorkload, c.WorkloadIdentity != nil},
		{byMachine, c.ManagedIdentity != nil},
		{byPerson, c.DeviceCode != nil},
	} {
		if way.set {
			all = append(all, way.word)
		}
	}
	return all
}

// App is the client id that the block signs in with; "" for the machine's own identity.
func (c Config) App() string {
	if c.ManagedIdentity != nil {
		return cmp.Or(c.ManagedIdentity.ClientID, c.ClientID)
	}
	return c.ClientID
}

// Validate finds all faults of the block, as *field.Error joined. It reads no file.
func (c Config) Validate() error {
	var errs []error
	bad := func(path, msg string) { errs = append(errs, field.Errorf(path, "%s", msg)) }
	ways := c.ways()
	switch {
	case c.ManagedIdentity != nil && c.ClientID != "":
		bad("client_id", "a managed identity has no app registration: write a user-assigned identity's id as managed_identity: {client_id: ..}, and leave it out for the system-assigned one")
	case c.WorkloadIdentity != nil && strings.TrimSpace(c.ClientID) == "":
		bad("client_id", "missing: AZURE_CLIENT_ID is not set, so the workload identity webhook has not seen this pod: annotate its service account and label the pod azure.workload.identity/use: \"true\", or write client_id")
	case c.ManagedIdentity == nil && strings.TrimSpace(c.ClientID) == "":
		bad("client_id", "missing: write the application (client) id of the app registration")
	}
	if c.ClientSecret != "" {
		bad("client_secret", inClear)
	}
	if len(ways) > 1 {
		for _, word := range ways[1:] {
			bad(word, "one way to sign in is enough: there is "+ways[0]+" already")
		}
	}
	if len(ways) == 0 && c.ClientSecret == "" {
		bad(bySecret, "missing: name the file that holds the client secret, or another way to sign in: certificate_file, federated_token_file, workload_identity, managed_identity, device_code")
	}
	if c.CertificatePasswordFile != "" && c.CertificateFile == "" {
		bad("certificate_password_file", "there is no certificate_file that it could be for")
	}
	if c.WorkloadIdentity != nil && c.FederatedTokenFile == "" {
		bad(byWorkload, "AZURE_FEDERATED_TOKEN_FILE is not set: the workload identity webhook has not seen this pod; elsewhere name the file in federated_token_file")
	}
	if c.DeviceCode != nil && c.DeviceCode.RefreshTokenFile == "" {
		bad("device_code.refresh_token_file", "missing: name the file in which the sign-in is kept; it is made with mode 0600")
	}
	return errors.Join(errs...)
}

// Environment fills in, for workload_identity, what is missing from the variables that the webhook of Azure Workload Identity
// sets in a pod: AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE.
// Source: https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html
func (c Config) Environment(getenv func(string) string) Config {
	if c.WorkloadIdentity != nil {
		c.ClientID = cmp.Or(c.ClientID, getenv("AZURE_CLIENT_ID"))
		c.FederatedTokenFile = cmp.Or(c.FederatedTokenFile, getenv("AZURE_FEDERATED_TOKEN_FILE"))
	}
	return c
}
