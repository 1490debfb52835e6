package alerts

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// gate sends requests for tokens to an authority that checks credentials, and all others on. The tokens are the simulator's.
type gate struct {
	*authtest.Authority
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/oauth2/") {
		return g.Authority.RoundTrip(r)
	}
	return g.next.RoundTrip(r)
}

func (g *gate) issue(resource string) string {
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
