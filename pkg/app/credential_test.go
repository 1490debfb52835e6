package app_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/telemetry"
)

// gate sends requests for tokens to an authority that checks credentials, and all others on. The tokens are the simulator's.
type gate struct {
	*authtest.Authority
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (g gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/oauth2/") || strings.HasPrefix(r.URL.Path, "/msi/") {
		return g.Authority.RoundTrip(r)
	}
	return g.next.RoundTrip(r)
}

func (g gate) issue(resource string) string {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {simulator.DefaultClientID}, "client_secret": {simulator.DefaultClientSecret}, "scope": {resource + "/.default"}}
	client := http.Client{Transport: g.next}
	resp, err := client.PostForm("https://login.example.com/"+simulator.DefaultDomain+"/oauth2/v2.0/token", form)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var reply struct {
		Access string `json:"access_token"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&reply)
	return reply.Access
}

// safe is a buffer for a log.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// wayOfLife is a way to sign in: its auth block, and what puts credential n in place, known to the authority alone. The secrets in
// it are given back.
type wayOfLife struct {
	name  string
	block string
	place func(w *world, a *authtest.Authority, n int) []string
}

var waysOfLife = []wayOfLife{
	{"secret", "{client_id: " + authtest.Client + ", client_secret_file: %q}", func(w *world, a *authtest.Authority, n int) []string {
		secret := fmt.Sprintf("canary/secret+of the=pipeline%d", n)
		w.write("credential", secret)
		a.Secret(secret)
		return []string{secret}
	}},
	{"certificate", "{client_id: " + authtest.Client + ", certificate_file: %q}", func(w *world, a *authtest.Authority, _ int) []string {
		key, cert, err := authtest.Pair(time.Now().Add(20 * 24 * time.Hour))
		if err != nil {
			w.Fatal(err)
		}
		content := authtest.PEM(key, cert)
		w.write("credential", string(content))
		a.Register(cert)
		return strings.Split(string(content), "\n")[1:20]
	}},
	{"federated", "{client_id: " + authtest.Client + ", federated_token_file: %q}", func(w *world, a *authtest.Authority, _ int) []string {
		key, err := rsaKey()
		if err != nil {
			w.Fatal(err)
		}
		trust := authtest.Trust{Issuer: "https://oidc.example.com", Subject: "siem", Audience: "api://AzureADTokenExchange", Key: &key.PublicKey}
		token := trust.Token(key, time.Now(), time.Now().Add(24*time.Hour))
		w.write("credential", token)
		a.Federate(trust)
		return []string{token, token[strings.LastIndexByte(token, '.')+1:]}
	}},
	{"person", "{client_id: " + authtest.Client + ", device_code: {refresh_token_file: %q}}", func(*world, *authtest.Authority, int) []string { return nil }},
	{"machine", "{managed_identity: {}} # %q", func(_ *world, a *authtest.Authority, _ int) []string {
		a.Users = 1
		return []string{authtest.IdentityHeader}
	}},
}

func rsaKey() (*rsa.PrivateKey, error) {
	key, _, err := authtest.Pair(time.Now().Add(time.Hour))
	return key, err
}

// TestCredentialsRotateAndNeverShow runs a pipeline on each way to sign in: with records in flight the credential is replaced and the
// old one ends, the service refuses for three hours and quotes what it was sent, and recovers. No record is missed, and no secret is in a
// log of any level, in the status, on /healthz and /metrics, or in a file of the state.
func TestCredentialsRotateAndNeverShow(t *testing.T) {
	for _, way := range waysOfLife {
		t.Run(way.name, func(t *testing.T) {
			if way.name == "machine" { // a bubble takes no variables
				t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
				t.Setenv("IDENTITY_HEADER", authtest.IdentityHeader)
			}
			synctest.Test(t, func(t *testing.T) { liveOn(t, way) })
		})
	}
}

func liveOn(t *testing.T, way wayOfLife) {
	began := time.Now()
	w := newWorld(t, simulator.Options{Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 0.05, Since: began.Add(-30 * time.Minute), Until: began.Add(7 * time.Hour)}}},
		"start: 1h\npoll: 20s\nreread: [30m, 2h]\nstreams: [audits]", "out")
	g := gate{&authtest.Authority{Echo: true}, w.wire.next}
	g.Issue = g.issue
	w.wire.next = g
	w.auth = fmt.Sprintf(way.block, w.path("credential"))
	canaries := way.place(w, g.Authority, 1)
	said := &safe{}
	log, err := telemetry.NewLogger(said, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	w.log = log
	w.start("out")
	look := func() {
		status, err := json.Marshal(w.app.Status()) // what the control socket answers
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(said, "%s\n%+v\n", status, w.app.Status())
		for _, page := range []string{"/healthz", "/metrics"} {
			_, body := w.ask(page)
			_, _ = io.WriteString(said, body)
		}
	}
	if way.name == "person" {
		w.until(time.Minute)
		look()
		text := w.fault("source contoso")
		_, after, found := strings.Cut(text, "enter the code ")
		if !found {
			t.Fatalf("nobody is told to sign in: %q", text)
		}
		g.Enter(strings.Fields(after)[0], nil)
	}
	w.until(30*time.Minute + 5*time.Second)
	look()
	before := len(g.Requests())
	canaries = append(canaries, way.place(w, g.Authority, 2)...)
	w.until(31*time.Minute + 5*time.Second)
	if rotates := way.name != "person" && way.name != "machine"; rotates != (len(g.Requests()) > before) {
		t.Errorf("%d requests for tokens in the minute after the credential has changed", len(g.Requests())-before)
	}
	w.until(2 * time.Hour)
	g.Fail(&authtest.Refusal{Status: 401, Word: "invalid_client", Number: 1})
	w.until(5 * time.Hour)
	look()
	if text := w.fault("stream contoso/audits"); !strings.Contains(text, "sign in") {
		t.Errorf("after hours of refusals the status says %q", text)
	}
	g.Fail(nil)
	w.until(9 * time.Hour)
	look()
	w.stop()
	if n, _ := w.complete("out"); n < 1000 {
		t.Errorf("only %d records", n)
	}
	w.checkBudget()
	if ends := strings.Contains(said.String(), "logferry_source_credential_expiry_timestamp_seconds{"); ends != (way.name == "certificate") {
		t.Errorf("the metric of the credential's end is there: %v", ends)
	}
	if way.name == "certificate" && strings.Count(said.String(), "care\",\"source\":\"contoso\",\"error\":\"the certificate in") != 1 {
		t.Error("the certificate's end is not told once a day")
	}
	g.search(t, w, said.String(), canaries)
}

// search looks for the secrets in what was said, and in the files of the state.
func (g gate) search(t *testing.T, w *world, said string, canaries []string) {
	t.Helper()
	for _, r := range g.Requests() {
		if jwt := r.Form.Get("client_assertion"); jwt != "" {
			canaries = append(canaries, jwt[strings.LastIndexByte(jwt, '.')+1:])
		}
	}
	places := map[string]string{"log and status": said}
	err := filepath.WalkDir(w.path(w.state), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		places[d.Name()] = string(content)
		return err
	})
	if err != nil || len(places) < 2 || len(said) < 10_000 || len(g.Issued()) < 3 {
		t.Errorf("%d places, %d bytes said, %d tokens: %v", len(places), len(said), len(g.Issued()), err)
	}
	for _, secret := range append(canaries, g.Issued()...) {
		for name, text := range places {
			if form := authtest.Leak(text, secret); form != "" {
				t.Errorf("%s has a secret (%s): %.30s..", name, form, secret)
			}
		}
	}
}
