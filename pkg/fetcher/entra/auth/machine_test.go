package auth

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
)

// elsewhere is a host without an identity endpoint, or the road to the sign-in host where only the other one may be taken.
type elsewhere struct{ *testing.T }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("connect: no route to host")
}

// TestMachine asks the identity endpoints of both forms, directly, for the machine's identity and for one of several.
func TestMachine(t *testing.T) {
	for _, c := range []struct {
		name     string
		endpoint string // IDENTITY_ENDPOINT
		client   string
		at       string
	}{
		{"virtual machine", "", "", "http://169.254.169.254/metadata/identity/oauth2/token"},
		{"virtual machine, user-assigned", "", authtest.Client, "http://169.254.169.254/metadata/identity/oauth2/token"},
		{"app service", "http://127.0.0.1:41741/msi/token", "", "http://127.0.0.1:41741/msi/token"},
		{"app service for linux", "http://172.16.5.4:8081/msi/token", authtest.Client, "http://172.16.5.4:8081/msi/token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("IDENTITY_ENDPOINT", c.endpoint)
			if c.endpoint != "" {
				t.Setenv("IDENTITY_HEADER", authtest.IdentityHeader)
			}
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				p.Users = 2
				p.options.Direct, p.options.HTTP = p.options.HTTP, &http.Client{Transport: elsewhere{t}}
				s := p.source(Config{ManagedIdentity: &ManagedIdentity{ClientID: c.client}})
				first := p.token(s)
				if left := time.Until(first.Expiry); left < 59*time.Minute || left > time.Hour {
					t.Errorf("the token is good for %s", left)
				}
				time.Sleep(56 * time.Minute)
				if p.token(s).Access == first.Access {
					t.Error("a token that is about to end is used on")
				}
				r := p.Requests()[0]
				at := r.URL
				at.RawQuery = ""
				if at.String() != c.at || r.Form.Get("resource") != "https://graph.example.com" || r.Form.Get("client_id") != c.client {
					t.Errorf("asked %s with %v", at.String(), r.Form)
				}
			})
		})
	}
}

func TestMachineFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   map[string]string
		fail  *authtest.Refusal
		class fault.Class
		says  string
	}{
		{"no identity", nil, nil, fault.Blocked, "switch its system-assigned identity on"},
		{"being updated", nil, &authtest.Refusal{Status: 410}, fault.Retryable, "http status 410"},
		{"not there yet", nil, &authtest.Refusal{Status: 404}, fault.Retryable, "http status 404"},
		{"busy", nil, &authtest.Refusal{Status: 429}, fault.Retryable, "http status 429"},
		{"forbidden", nil, &authtest.Refusal{Status: 403}, fault.Blocked, "http status 403"},
		{"arc", map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:40342/metadata/identity/oauth2/token"}, nil, fault.Blocked, "Azure Arc"},
		{"service fabric", map[string]string{"IDENTITY_ENDPOINT": "https://127.0.0.1:1", "IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": "y"}, nil, fault.Blocked, "Service Fabric"},
		{"far away in clear", map[string]string{"IDENTITY_ENDPOINT": "http://192.0.2.7/msi/token", "IDENTITY_HEADER": authtest.IdentityHeader}, nil, fault.Blocked, "neither https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("IDENTITY_ENDPOINT", "")
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			p := newPlace(t)
			p.Fail(c.fail)
			_, err := p.source(Config{ManagedIdentity: &ManagedIdentity{}}).Token(t.Context())
			if err == nil || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.says) {
				t.Errorf("class %s: %v", fault.Of(err), err)
			}
		})
	}
	t.Run("no such host", func(t *testing.T) {
		t.Setenv("IDENTITY_ENDPOINT", "")
		p := newPlace(t)
		p.options.HTTP = &http.Client{Transport: elsewhere{t}}
		if _, err := p.source(Config{ManagedIdentity: &ManagedIdentity{}}).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "Azure machines only") {
			t.Error(err)
		}
	})
}
