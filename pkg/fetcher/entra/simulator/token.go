package simulator

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// claims are the access token's. It has the form of a JWT; its signature is the server's own and of use to it alone.
type claims struct {
	Audience string   `json:"aud"`
	Issuer   string   `json:"iss"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Client   string   `json:"appid"`
	Roles    []string `json:"roles,omitempty"`
	Tenant   string   `json:"tid"`
	Scopes   string   `json:"scp,omitempty"` // a user's token: what the app may do for them
	Unique   string   `json:"uti"`           // so that a token got in the same second as a revoked one is another
}

var tokenHeader = base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256"}`))

func (s *Server) sign(c claims) string {
	payload, _ := json.Marshal(c) // strings and numbers: cannot fail
	body := tokenHeader + "." + base64.RawURLEncoding.EncodeToString(payload)
	return body + "." + s.signature(body)
}

func (s *Server) signature(body string) string {
	h := hmac.New(sha256.New, s.key[:])
	h.Write([]byte(body))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// grant is what a good access token gives.
type grant struct {
	claims
	tenant *directory
}

const maxGrants = 1 << 14 // verified tokens that are kept

// authorize reads a request's bearer token; why says what is wrong with it, in Graph's words.
func (s *Server) authorize(r *http.Request) (g *grant, why string) {
	text, ok := bearer(r)
	if !ok {
		return nil, "Access token is empty."
	}
	s.mu.Lock()
	_, revoked := s.revoked[text]
	g = s.grants[text]
	s.mu.Unlock()
	if g == nil {
		if g, why = s.verify(text); why != "" {
			return nil, why
		}
	}
	switch {
	case revoked || !s.opts.Now().Before(time.Unix(g.Expires, 0)):
		return nil, "Lifetime validation failed, the token is expired."
	case g.tenant == nil:
		return nil, "Access token validation failure. Invalid tenant."
	}
	return g, ""
}

// verify checks a token's form and signature, and keeps what it says: checking it costs more than the rest of an empty reply.
func (s *Server) verify(text string) (g *grant, why string) {
	cut := strings.LastIndexByte(text, '.')
	if cut < 0 || strings.Count(text, ".") != 2 {
		return nil, "CompactToken parsing failed with error code: 80049217"
	}
	if !hmac.Equal([]byte(s.signature(text[:cut])), []byte(text[cut+1:])) {
		return nil, "Signing key is invalid."
	}
	_, payload, _ := strings.Cut(text[:cut], ".")
	data, err := base64.RawURLEncoding.DecodeString(payload)
	g = &grant{}
	if err != nil || json.Unmarshal(data, &g.claims) != nil {
		return nil, "Access token validation failure."
	}
	g.tenant = s.directory(g.Tenant)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.grants) >= maxGrants {
		clear(s.grants)
	}
	s.grants[text] = g
	return g, ""
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, strings.EqualFold(scheme, "bearer") && token != ""
}

// revoke ends a request's token for good.
func (s *Server) revoke(r *http.Request) {
	now := s.opts.Now()
	text, _ := bearer(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.revoked, func(_ string, until time.Time) bool { return until.Before(now) })
	s.revoked[text] = now.Add(s.opts.TokenLife)
}

// tokenError is a refusal of the token endpoint.
// Source: https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
type tokenError struct {
	status int
	word   string
	code   int
	text   string
}

// serveToken answers POST /{tenant}/oauth2/v2.0/token and its older form with resource= instead of scope=.
func (s *Server) serveToken(c *call, tenant string) {
	s.count("token")
	d := s.directory(tenant)
	c.faults = s.pick(request{path: c.r.URL.Path, tenant: d})
	if !c.wait() || c.whole() {
		return
	}
	reply, refusal := s.issue(c, d, tenant)
	if refusal != nil {
		c.json(refusal.status, map[string]any{
			"error":             refusal.word,
			"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s", refusal.code, refusal.text, c.requestID(), c.requestID()),
			"error_codes":       []int{refusal.code},
			"timestamp":         s.opts.Now().UTC().Format("2006-01-02 15:04:05Z"),
			"trace_id":          c.requestID(),
			"correlation_id":    c.requestID(),
		})
		return
	}
	c.json(http.StatusOK, reply)
}

func (s *Server) issue(c *call, d *directory, tenant string) (map[string]any, *tokenError) {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, 1<<20)
	if c.r.Method != http.MethodPost || c.r.ParseForm() != nil {
		return nil, &tokenError{400, "invalid_request", 900561, "The endpoint only accepts POST requests with a form."}
	}
	form := c.r.PostForm
	id, secret, basic := c.r.BasicAuth()
	if basic {
		id, secret = unescape(id), unescape(secret) // RFC 6749 section 2.3.1
	} else {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	v2 := strings.Contains(c.r.URL.Path, "/v2.0/")
	resource, isDefault := strings.CutSuffix(form.Get("scope"), "/.default")
	if !v2 {
		resource, isDefault = form.Get("resource"), true
	}
	want, known := s.opts.Clients[id]
	// The simulator knows no certificates: it takes any assertion that has the form of a JWT.
	asserted := form.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" && strings.Count(form.Get("client_assertion"), ".") == 2
	switch {
	case d == nil:
		return nil, &tokenError{400, "invalid_request", 90002, "Tenant '" + tenant + "' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."}
	case form.Get("grant_type") == "":
		return nil, &tokenError{400, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."}
	case form.Get("grant_type") != "client_credentials":
		return nil, &tokenError{400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."}
	case resource == "" && v2:
		return nil, &tokenError{400, "invalid_request", 900144, "The request body must contain the following parameter: 'scope'."}
	case !isDefault:
		return nil, &tokenError{400, "invalid_scope", 1002012, "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."}
	case !known:
		return nil, &tokenError{400, "unauthorized_client", 700016, "Application with identifier '" + id + "' was not found in the directory '" + d.Domain + "'."}
	case secret == "" && !asserted:
		return nil, &tokenError{401, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}
	case secret != "" && secret != want:
		return nil, &tokenError{401, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + id + "'."}
	}
	now := s.opts.Now()
	// The older endpoint takes a request that names no resource; the token is good for nothing but the app itself.
	token := s.sign(claims{Audience: cmp.Or(resource, id), Issuer: c.base + "/" + d.ID + "/v2.0", IssuedAt: now.Unix(), Expires: now.Add(s.opts.TokenLife).Unix(),
		Client: id, Roles: d.Roles, Tenant: d.ID, Unique: fmt.Sprint(s.next())})
	life := int64(s.opts.TokenLife/time.Second) - 1
	if !v2 {
		return map[string]any{"token_type": "Bearer", "resource": resource, "access_token": token, "expires_in": fmt.Sprint(life),
			"ext_expires_in": fmt.Sprint(life), "expires_on": fmt.Sprint(now.Unix() + life), "not_before": fmt.Sprint(now.Unix())}, nil
	}
	return map[string]any{"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}, nil
}

// serveDiscovery answers /{tenant}/v2.0/.well-known/openid-configuration, which client libraries ask for first.
func (s *Server) serveDiscovery(c *call, tenant string) {
	s.count("other")
	d := s.directory(tenant)
	if d == nil {
		c.json(http.StatusBadRequest, map[string]any{"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant '" + tenant + "' not found."})
		return
	}
	base := c.base + "/" + d.ID
	c.json(http.StatusOK, map[string]any{"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token",
		"authorization_endpoint": base + "/oauth2/v2.0/authorize", "jwks_uri": base + "/discovery/v2.0/keys"})
}

// unescape undoes the form encoding of a Basic credential; clients that do not encode send what does not change by it, as a rule.
func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
