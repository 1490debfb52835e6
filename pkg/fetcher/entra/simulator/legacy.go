package simulator

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Azure AD Graph, the API before Microsoft Graph: GET /{tenant}/activities/{signinEvents|audit}?api-version=beta. The same tenants, records and faults as
// Microsoft Graph's, in the older shapes. What it takes is what its reference names, in the letter case of the reference; everything else is a 400.

// AzureADGraph is the resource that a token for the older API is for.
const AzureADGraph = "https://graph.windows.net"

const roleDirectory = "Directory.Read.All"

// silentAfter is how many rows one query for sign-ins gives: then it ends as if there were no more.
const silentAfter = 1_000_000

var (
	signinEvents = &collection{path: "activities/signinEvents", stream: streamInteractive, typeName: legacySpace + "SigninEvents.SigninEvent", time: "signinDateTime", maxPage: maxPage}
	auditEvents  = &collection{path: "activities/audit", stream: streamAudits, typeName: legacySpace + "AuditLog.AuditEvent", time: "activityDate", maxPage: maxPage}
)

// legacyQuery is what a query of the older API has beside a query's members.
type legacyQuery struct {
	tenant string // as the path names it
	rows   int    // of the pages before this one
	ends   bool   // no page follows, whatever there is
}

// serveLegacy answers a GET of sign-ins or audits. Its order of judging is that of serveReport.
func (s *Server) serveLegacy(c *call) {
	c.legacy = true
	parts := strings.Split(strings.Trim(c.r.URL.Path, "/"), "/")
	of := map[string]*collection{"activities/signinEvents": signinEvents, "activities/audit": auditEvents}[strings.Join(parts[1:], "/")]
	switch {
	case of == nil:
		s.count("other")
		c.fail(http.StatusBadRequest, "Request_BadRequest", fmt.Sprintf("Resource not found for the segment '%s'.", parts[2]))
		return
	case c.r.Method != http.MethodGet:
		s.count("other")
		c.fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
		return
	}
	options, _ := url.ParseQuery(c.r.URL.RawQuery)
	q, queryErr := s.parseLegacy(of, parts[0], options)
	s.count(q.label())
	g, why := s.authorize(c.r)
	if why == "" && !slices.Contains([]string{c.base, AzureADGraph}, strings.TrimRight(g.Audience, "/")) {
		why = "Access token validation failure. Invalid audience."
	}
	if why != "" {
		c.fail(http.StatusUnauthorized, "Authentication_MissingOrMalformed", why)
		return
	}
	c.tenant = g.tenant
	if !s.admitted(c, of, g.Client) {
		return
	}
	_, resumed := options["$skiptoken"]
	req := request{path: c.r.URL.Path, tenant: c.tenant, streams: q.streams, report: true, resumed: resumed}
	if queryErr == nil {
		req.query = q
	}
	c.faults = s.pick(req)
	if !c.wait() || c.whole() {
		return
	}
	switch {
	case !c.tenant.is(parts[0]):
		c.fail(http.StatusBadRequest, "Request_BadRequest", "Invalid domain name in the request url.")
	case !c.tenant.lets(g, of):
		c.fail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	case c.tenant.Free && of == signinEvents:
		c.noLicence()
	case queryErr != nil:
		c.fail(http.StatusBadRequest, queryErr.code, queryErr.message)
	default:
		s.servePage(c, q)
	}
}

// lets says whether a token opens a report. Sign-ins need the role besides the consent; in the EU region no app reads audits.
func (t *Tenant) lets(g *grant, of *collection) bool {
	switch {
	case g.Scopes != "":
		return true
	case of == auditEvents:
		return !t.EU && (contains(g.Roles, roleDirectory) || !t.NoReader)
	}
	return !t.NoReader
}

// parseLegacy reads the options of a request. Names without a $ are ignored, as the service does: so it loses a filter that a shell has robbed of its $.
func (s *Server) parseLegacy(of *collection, tenant string, options url.Values) (*query, *badRequest) {
	q := &query{of: of, beta: true, top: of.maxPage, link: options, legacy: &legacyQuery{tenant: tenant}}
	limit := math.MaxInt
	q.streams = 1 << streamAudits
	if of == signinEvents {
		q.streams, limit = 1<<streamInteractive, cmp.Or(s.opts.SilentAfter, silentAfter)
	}
	switch version := options.Get("api-version"); version {
	case "beta":
	case "":
		return q, &badRequest{"Request_DataContractVersionMissing", "The query parameter 'api-version' is missing."}
	default:
		return q, &badRequest{"Request_InvalidDataContractVersion", "The specified api-version is invalid. The value must exactly match a supported version."}
	}
	for name := range options {
		if strings.HasPrefix(name, "$") && !slices.Contains([]string{"$filter", "$top", "$skiptoken"}, name) {
			return q, &badRequest{"Request_UnsupportedQuery", fmt.Sprintf("The query option '%s' is not supported.", name)}
		}
	}
	filter, err := parseLegacyFilter(options.Get("$filter"), of)
	if err != nil {
		return q, &badRequest{"Request_UnsupportedQuery", "Invalid filter clause: " + err.Error()}
	}
	q.filter = filter
	q.lo, q.hi = filter.bounds()
	if s.opts.OldestBound > 0 && q.lo != math.MinInt64 && q.lo < toTicks(s.opts.Now().Add(-s.opts.OldestBound)) {
		return q, &badRequest{"Request_UnsupportedQuery", "Invalid filter clause: the lower bound is too far back."}
	}
	if text, ok := options["$top"]; ok {
		top, err := strconv.Atoi(text[0])
		if err != nil || top < 1 {
			return q, &badRequest{"Request_BadRequest", fmt.Sprintf("Invalid value '%s' for $top.", text[0])}
		}
		limit = min(limit, top)
	}
	if text, ok := options["$skiptoken"]; ok {
		if !s.resumeLegacy(q, text[0]) {
			return q, &badRequest{"Request_BadRequest", "Invalid Skip Token"}
		}
	}
	left := limit - q.legacy.rows
	q.top, q.legacy.ends = min(of.maxPage, left), left <= of.maxPage
	return q, nil
}

// failLegacy answers with the error body of OData 3.
func (c *call) failLegacy(status int, code, message string) {
	type text struct {
		Lang  string `json:"lang"`
		Value string `json:"value"`
	}
	type body struct {
		Code    string `json:"code"`
		Message text   `json:"message"`
	}
	c.json(status, map[string]body{"odata.error": {code, text{"en", message}}})
}

// UserToken makes an access token as a user of the tenant gets it who signs in for a resource ("delegated"): without app roles.
func (s *Server) UserToken(tenant, resource string) (string, error) {
	d := s.directory(tenant)
	if d == nil {
		return "", fmt.Errorf("make user token: no tenant %q", tenant)
	}
	now := s.opts.Now()
	return s.sign(claims{Audience: resource, IssuedAt: now.Unix(), Expires: now.Add(s.opts.TokenLife).Unix(), Client: DefaultClientID, Tenant: d.ID,
		Scopes: "Directory.Read.All", Unique: fmt.Sprint(s.next())}), nil
}
