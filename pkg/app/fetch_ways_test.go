package app_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// somebody reads what is said and signs in when asked to.
type somebody struct {
	bytes.Buffer
	enter func(code string)
}

func (s *somebody) Write(p []byte) (int, error) {
	if _, after, found := strings.Cut(string(p), "enter the code "); found {
		s.enter(strings.Fields(after)[0])
	}
	return s.Buffer.Write(p)
}

// TestFetchSignsIn: each way to sign in has its flag, and nothing of the credential is shown.
func TestFetchSignsIn(t *testing.T) {
	for _, way := range waysOfLife {
		t.Run(way.name, func(t *testing.T) {
			if way.name == "machine" { // a bubble takes no variables
				t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
				t.Setenv("IDENTITY_HEADER", authtest.IdentityHeader)
			}
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				w := newWorld(t, simulator.Options{Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 0.1, Since: now.Add(-time.Hour), Until: now}}}, "")
				g := gate{&authtest.Authority{}, w.sim.Client().Transport}
				g.Issue = g.issue
				canaries := way.place(w, g.Authority, 1)
				out, said := &bytes.Buffer{}, &somebody{enter: func(code string) { g.Enter(code, nil) }}
				order := app.FetchOrder{Tenant: simulator.DefaultDomain, ClientID: authtest.Client, Streams: []string{"audits"}, Since: "2h", Output: "ndjson", Patience: time.Hour}
				file := w.path("credential")
				switch way.name {
				case "secret":
					order.ClientSecretFile = file
				case "certificate":
					order.CertificateFile = file
				case "federated":
					order.FederatedTokenFile = file
				case "person":
					order.DeviceCode = file
				case "machine":
					order.ClientID, order.ManagedIdentity = "", true
				}
				for range 2 { // the second time nobody is asked
					err := app.Fetch(t.Context(), order, app.FetchOptions{Version: "test", Stdout: out, Stderr: said, Env: func(string) string { return "" }, Transport: g})
					if err != nil {
						t.Fatal(err)
					}
				}
				if n := strings.Count(out.String(), "\n"); n != 720 {
					t.Errorf("%d records, want 360 twice", n)
				}
				if n := strings.Count(said.String(), "enter the code"); n > 1 || (n == 1) != (way.name == "person") {
					t.Errorf("asked to sign in %d times", n)
				}
				for _, secret := range append(canaries, g.Issued()...) {
					if form := authtest.Leak(out.String()+said.String(), secret); form != "" {
						t.Errorf("a secret is shown (%s): %.30s..", form, secret)
					}
				}
			})
		})
	}
}
