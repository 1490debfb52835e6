package simulator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

const jsonType = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"

// call is one request on its way.
type call struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	base   string // scheme and host that the client used
	tenant *directory
	faults []Rule
	id     string
	legacy bool            // the older API's
	closed <-chan struct{} // ends delays; nil on a socket, whose end the request's context tells
}

// now is the service's time as the client is told.
func (c *call) now() time.Time {
	now := c.s.opts.Now()
	for _, f := range c.faults {
		if f.Kind == DateSkew {
			now = now.Add(f.Skew)
		}
	}
	return now
}

func (c *call) requestID() string {
	if c.id == "" {
		c.id = string(appendGUID(nil, draw(c.s.opts.Seed, uint64(c.s.next())), draw(c.s.opts.Seed, 1)))
	}
	return c.id
}

// next returns a number that was not there before.
func (s *Server) next() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonce++
	return s.nonce
}

// header sets what every reply carries.
func (c *call) header(contentType string, length int) {
	h := c.w.Header()
	h.Set("Date", c.now().UTC().Format(http.TimeFormat))
	h.Set("Request-Id", c.requestID())
	h.Set("Client-Request-Id", c.clientRequestID())
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(length))
}

func (c *call) clientRequestID() string {
	if id := c.r.Header.Get("Client-Request-Id"); id != "" {
		return id
	}
	return c.requestID()
}

func (c *call) send(status int, contentType string, body []byte) {
	c.header(contentType, len(body))
	c.w.WriteHeader(status)
	c.w.Write(body) // a client that has gone needs no answer
}

func (c *call) json(status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	c.send(status, "application/json; charset=utf-8", data)
}

// fail answers with Graph's error body.
// Source: https://learn.microsoft.com/en-us/graph/errors
func (c *call) fail(status int, code, message string) {
	if c.legacy {
		c.failLegacy(status, code, message)
		return
	}
	type inner struct {
		Date            string `json:"date"`
		RequestID       string `json:"request-id"`
		ClientRequestID string `json:"client-request-id"`
	}
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Inner   inner  `json:"innerError"`
	}
	if status == http.StatusUnauthorized {
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="`+c.base+`/common/oauth2/authorize"`)
	}
	c.json(status, map[string]body{"error": {code, message, inner{c.now().UTC().Format("2006-01-02T15:04:05"), c.requestID(), c.clientRequestID()}}})
}

// throttled answers 429; after is the Retry-After header, "" for none.
func (c *call) throttled(after string) {
	if after != "" {
		c.w.Header().Set("Retry-After", after)
	}
	c.fail(http.StatusTooManyRequests, "TooManyRequests", "Please retry again later.")
}

func (c *call) noLicence() {
	c.fail(http.StatusForbidden, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "Neither tenant is B2C or tenant doesn't have premium license")
}

func (c *call) noRole() { c.lacks(roleAuditLog) }

func (c *call) lacks(role string) {
	c.fail(http.StatusForbidden, "Authentication_MSGraphPermissionMissing",
		"The principal does not have required Microsoft Graph permission(s): "+role+" to call this API. For more information about Microsoft Graph permissions, please visit https://learn.microsoft.com/graph/permissions-overview.")
}
