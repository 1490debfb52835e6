package auth

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	person := &DeviceCode{RefreshTokenFile: "x"}
	for _, c := range []struct {
		name string
		cfg  Config
		says []string // one for each fault; none: sound
	}{
		{"secret", Config{ClientID: "a", ClientSecretFile: "x"}, nil},
		{"certificate", Config{ClientID: "a", CertificateFile: "x", CertificatePasswordFile: "y"}, nil},
		{"token", Config{ClientID: "a", FederatedTokenFile: "x"}, nil},
		{"workload identity", Config{ClientID: "a", FederatedTokenFile: "x", WorkloadIdentity: &WorkloadIdentity{}}, nil},
		{"machine", Config{ManagedIdentity: &ManagedIdentity{}}, nil},
		{"one of several of the machine", Config{ManagedIdentity: &ManagedIdentity{ClientID: "a"}}, nil},
		{"person", Config{ClientID: "a", DeviceCode: person}, nil},
		{"nothing", Config{}, []string{"client_id: missing", "client_secret_file: missing"}},
		{"in clear", Config{ClientID: "a", ClientSecret: "hunter2"}, []string{"client_secret: a secret in clear"}},
		{"three ways", Config{ClientID: "a", ClientSecretFile: "x", CertificateFile: "y", DeviceCode: person},
			[]string{"certificate_file: one way to sign in is enough: there is client_secret_file", "device_code: one way"}},
		{"workload identity and secret", Config{ClientID: "a", ClientSecretFile: "x", FederatedTokenFile: "y", WorkloadIdentity: &WorkloadIdentity{}}, []string{"workload_identity: one way"}},
		{"no webhook", Config{WorkloadIdentity: &WorkloadIdentity{}}, []string{"client_id: missing: AZURE_CLIENT_ID", "workload_identity: AZURE_FEDERATED_TOKEN_FILE"}},
		{"an app of the machine", Config{ClientID: "a", ManagedIdentity: &ManagedIdentity{}}, []string{"client_id: a managed identity has no app registration"}},
		{"password of nothing", Config{ClientID: "a", ClientSecretFile: "x", CertificatePasswordFile: "y"}, []string{"certificate_password_file: there is no certificate_file"}},
		{"nowhere to keep it", Config{ClientID: "a", DeviceCode: &DeviceCode{}}, []string{"device_code.refresh_token_file: missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ""
			if err := c.cfg.Validate(); err != nil {
				text = err.Error()
			}
			if lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }); len(lines) != len(c.says) || strings.Contains(text, "hunter2") {
				t.Errorf("faults: %s", text)
			}
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in: %s", want, text)
				}
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	env := map[string]string{"AZURE_CLIENT_ID": "of-the-pod", "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token"}
	getenv := func(name string) string { return env[name] }
	got := Config{WorkloadIdentity: &WorkloadIdentity{}}.Environment(getenv)
	if got.ClientID != "of-the-pod" || got.FederatedTokenFile != env["AZURE_FEDERATED_TOKEN_FILE"] || got.Validate() != nil {
		t.Errorf("%+v: %v", got, got.Validate())
	}
	got = Config{ClientID: "own", FederatedTokenFile: "own", WorkloadIdentity: &WorkloadIdentity{}}.Environment(getenv)
	if got.ClientID != "own" || got.FederatedTokenFile != "own" {
		t.Errorf("the variables have replaced what is configured: %+v", got)
	}
	if got = (Config{ClientSecretFile: "x"}).Environment(getenv); got.ClientID != "" || got.FederatedTokenFile != "" {
		t.Errorf("the variables are used without being asked for: %+v", got)
	}
}
