package entra_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

// TestOverTLS reads a slice over a real connection: with the operator's CA it works, without it the operator is told.
func TestOverTLS(t *testing.T) {
	since := time.Now().Add(-2 * time.Hour).UTC()
	sim, err := simulator.New(simulator.Options{Generate: []simulator.Generate{{Stream: "audits", Rate: 1, Since: since, Until: since.Add(time.Hour)}}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := sim.Listen("127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	dir := t.TempDir()
	secret, ca := filepath.Join(dir, "secret"), filepath.Join(dir, "ca.pem")
	for path, content := range map[string][]byte{secret: []byte(simulator.DefaultClientSecret), ca: listener.CA} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := entra.Config{
		Tenant: simulator.DefaultTenantID, LoginURL: listener.URL, GraphURL: listener.URL, Streams: []string{"audits"},
		Auth:   auth.Config{ClientID: simulator.DefaultClientID, ClientSecretFile: secret},
		Budget: entra.Budget{Requests: 1000, Per: field.Duration(time.Second)},
	}
	read := func(cfg entra.Config) (rows int, err error) {
		f, err := entra.New(cfg, entra.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		for page, err := range f.Fetch(t.Context(), event.Slice{Stream: "audits", From: since, To: since.Add(time.Hour)}) {
			if err != nil {
				return rows, err
			}
			rows += len(page.Records)
		}
		return rows, nil
	}
	if _, err := read(cfg); fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "tls.ca_file") {
		t.Errorf("without the CA: %v", err)
	}
	cfg.TLS = secure.TLS{CAFile: ca}
	if rows, err := read(cfg); rows < 3590 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
	cfg.TLS.CAFile = filepath.Join(dir, "none")
	if _, err := entra.New(cfg, entra.Options{}); err == nil {
		t.Error("a missing ca_file is taken")
	}
}
