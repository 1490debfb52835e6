package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

const (
	// imds is the instance metadata service: link-local, the same on every virtual machine.
	imds = "http://169.254.169.254/metadata/identity/oauth2/token"
	// machineTimeout bounds a request to an endpoint that is a hop away, or not there at all.
	machineTimeout = 30 * time.Second
)

// machine signs in with the managed identity of the Azure machine, App Service or container that we run on.
// Source: https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
type machine struct {
	client string // of a user-assigned identity; "": the machine's own
	o      Options
	none   proof
}

// look gives the one proof that there is: what proves who we are is where we run.
func (m *machine) look() (*proof, error) { return &m.none, nil }

// mint asks the machine's identity endpoint. The platform keeps tokens itself, and gives the same one for most of its life.
func (m *machine) mint(ctx context.Context, _ *proof) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, machineTimeout, errors.New("no answer in time"))
	defer cancel()
	req, secret, err := m.request(ctx)
	if err != nil {
		return nil, fault.Block(fmt.Errorf("sign in: managed_identity: %w", err))
	}
	resp, err := m.o.Direct.Do(req)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, fmt.Errorf("sign in: managed_identity: no identity endpoint answers at %s: a managed identity is to be had on Azure machines only, and where the network policy lets this process reach that address: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("sign in: managed_identity: read reply: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, m.refusal(resp, cleaner(secret)(string(body)))
	}
	return parseMachineToken(body)
}

// request makes the request that the place we run in wants.
func (m *machine) request(ctx context.Context) (*http.Request, string, error) {
	endpoint, secret := os.Getenv("IDENTITY_ENDPOINT"), os.Getenv("IDENTITY_HEADER")
	query := url.Values{"resource": {strings.TrimSuffix(cmp.Or(m.o.Resource, m.o.Scope), "/.default")}}
	if m.client != "" {
		query.Set("client_id", m.client)
	}
	switch {
	case endpoint != "" && os.Getenv("IDENTITY_SERVER_THUMBPRINT") != "":
		return nil, "", errors.New("the identity of a Service Fabric cluster is not supported: use certificate_file")
	case endpoint != "" && secret == "":
		return nil, "", errors.New("the identity of an Azure Arc machine is not supported: use certificate_file")
	case endpoint == "":
		query.Set("api-version", "2018-02-01")
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, imds+"?"+query.Encode(), nil)
		if err == nil {
			req.Header.Set("Metadata", "true")
		}
		return req, "", err
	}
	query.Set("api-version", "2019-08-01")
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !near(u.Hostname())) {
		return nil, "", errors.New("IDENTITY_ENDPOINT is neither https nor an address of this machine: what it is sent is a secret")
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil {
		req.Header.Set("X-IDENTITY-HEADER", secret)
	}
	return req, secret, err
}

// near tells whether host is this machine or its platform: App Service for Linux has its endpoint at a private address.
func near(host string) bool {
	ip := net.ParseIP(host)
	return secure.Loopback(host) || ip != nil && (ip.IsLinkLocalUnicast() || ip.IsPrivate())
}

// refusal judges a status that is not 200. Source: the page above, error handling.
func (m *machine) refusal(resp *http.Response, said string) error {
	base := fmt.Errorf("sign in: managed_identity: http status %d: %s", resp.StatusCode, said)
	if after, ok := m.o.pause(resp); ok {
		return fault.After(after, base)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusBadRequest && m.client != "":
		return fault.Block(fmt.Errorf("%w: an administrator of this machine's subscription has to assign the user-assigned identity %s to it, or managed_identity.client_id is another identity's", base, m.client))
	case status == http.StatusBadRequest:
		return fault.Block(fmt.Errorf("%w: an administrator of this machine's subscription has to switch its system-assigned identity on, or name a user-assigned one in managed_identity.client_id", base))
	case status == http.StatusNotFound, status == http.StatusGone, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return base // being updated, or busy
	}
	return fault.Block(base)
}

// parseMachineToken reads a reply, in which numbers are strings or not there.
func parseMachineToken(body []byte) (*oauth2.Token, error) {
	var reply struct {
		Access string `json:"access_token"`
		In     any    `json:"expires_in"`
		On     any    `json:"expires_on"`
	}
	if json.Unmarshal(body, &reply) != nil || reply.Access == "" {
		return nil, errors.New("sign in: managed_identity: the reply holds no token")
	}
	token := &oauth2.Token{AccessToken: reply.Access}
	if in, ok := number(reply.In); ok {
		token.Expiry = time.Now().Add(time.Duration(in) * time.Second)
	} else if on, ok := number(reply.On); ok {
		token.Expiry = time.Unix(on, 0)
	}
	return token, nil
}

func number(v any) (int64, bool) {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	return int64(n), err == nil && n > 0 && n < 1e11
}
