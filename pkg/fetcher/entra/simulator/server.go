package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const roleAuditLog = "AuditLog.Read.All"

// Server is a Microsoft Graph of its own, sign-in service included: both of a product's base addresses are its URL. It is safe for use by many goroutines.
type Server struct {
	opts    Options
	key     [32]byte // signs access and skip tokens
	began   time.Time
	tenants []*directory
	named   map[string]*directory // by GUID and by domain, in lower case
	bodies  sync.Pool             // of *[]byte

	mu      sync.Mutex // guards what follows
	rules   []ruleState
	grants  map[string]*grant    // by access token, the verified ones
	revoked map[string]time.Time // access tokens that a fault has ended, with their expiry
	callers map[Caller]*window
	stats   Stats
	nonce   uint32
	shown   map[version]ticks
	closing chan struct{} // closed by Close; nil while there is no client
}

// New makes a Server. It starts nothing: use it as an http.Handler, through Listen, or through Client.
func New(opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("set up simulator: %w", err)
	}
	s := &Server{
		opts:    opts,
		began:   opts.Now(),
		bodies:  sync.Pool{New: func() any { return new([]byte) }},
		named:   map[string]*directory{},
		grants:  map[string]*grant{},
		revoked: map[string]time.Time{},
		callers: map[Caller]*window{},
		stats:   Stats{Requests: map[string]int{}, Faults: map[Kind]int{}},
		shown:   map[version]ticks{},
	}
	s.key = sha256.Sum256(binary.BigEndian.AppendUint64([]byte("logferry simulator"), opts.Seed))
	if opts.Script != nil {
		s.rules = newRuleStates(opts.Script.Rules, opts.Seed)
	}
	for i, t := range opts.Tenants {
		d := newDirectory(i, t)
		s.tenants = append(s.tenants, d)
		s.named[strings.ToLower(t.ID)], s.named[strings.ToLower(t.Domain)] = d, d
	}
	for i, g := range opts.Generate {
		owners := s.tenants
		if g.Tenant != "" {
			owners = []*directory{s.directory(g.Tenant)}
		}
		for _, d := range owners {
			org := newOrganisation(d.Tenant, opts.Seed)
			d.made = append(d.made, newGenerator(g, streamIndex(g.Stream), int32(streamCount+i), draw(org.key, uint64(1000+i)), org))
		}
	}
	return s, nil
}

func newDirectory(index int, t Tenant) *directory {
	d := &directory{Tenant: t, index: uint16(index)}
	for stream := range d.added {
		d.added[stream] = &shelf{source: int32(stream)}
	}
	return d
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Requests, out.Faults, out.Busiest = maps.Clone(out.Requests), maps.Clone(out.Faults), map[Caller]int{}
	for caller, w := range s.callers {
		if caller.Client != "" { // identity protection counts for all clients together
			out.Busiest[caller] = w.busiest
		}
	}
	return out
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, base: baseURL(r)}
	if m, ok := w.(*memoryReply); ok {
		c.closed = m.closed
	}
	parts := strings.Split(strings.Trim(strings.ToLower(r.URL.Path), "/"), "/")
	switch {
	case len(parts) >= 3 && parts[1] == "oauth2" && parts[len(parts)-1] == "token":
		s.serveToken(c, parts[0])
	case len(parts) >= 3 && parts[len(parts)-2] == ".well-known":
		s.serveDiscovery(c, parts[0])
	case len(parts) == 3 && (parts[0] == "beta" || parts[0] == "v1.0") && slices.Contains(groups, parts[1]):
		s.serveReport(c, parts[0] == "beta", parts[1]+"/"+parts[2])
	case len(parts) == 3 && parts[1] == "activities":
		s.serveLegacy(c)
	default:
		s.count("other")
		c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Resource not found for the segment '%s'.", parts[len(parts)-1]))
	}
}

func (s *Server) count(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Requests[kind]++
}

// groups are the first segments of the collections' paths, in lower case.
var groups = []string{"auditlogs", "identityprotection", "security"}

// serveReport answers a GET of a collection, named by its path in lower case.
func (s *Server) serveReport(c *call, beta bool, name string) {
	of, ok := collections[name]
	if !ok || of.onlyBeta && !beta {
		_, name, _ = strings.Cut(name, "/")
		s.count("other")
		c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Resource not found for the segment '%s'.", name))
		return
	}
	if c.r.Method != http.MethodGet {
		s.count("other")
		c.fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
		return
	}
	options, _ := url.ParseQuery(c.r.URL.RawQuery) // what cannot be read is ignored, as unknown options are
	q, queryErr := s.parseQuery(of, beta, options)
	q.known = strings.Contains(c.r.Header.Get("Prefer"), "include-unknown-enum-members")
	s.count(q.label())
	g, why := s.authorize(c.r)
	if why != "" {
		c.fail(http.StatusUnauthorized, "InvalidAuthenticationToken", why)
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
	switch refused, _ := queryErr.(*badRequest); {
	case !contains(g.Roles, of.role):
		c.lacks(of.role)
	case c.tenant.lacks(of, q):
		c.noLicence()
	case refused != nil:
		c.fail(http.StatusBadRequest, refused.code, refused.message)
	default:
		s.servePage(c, q)
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if strings.EqualFold(v, s) {
			return true
		}
	}
	return false
}

// label is the query's kind in Stats.Requests.
func (q *query) label() string {
	if q.of != signIns {
		return allStreams[q.of.stream]
	}
	for i, name := range allStreams {
		if q.streams == 1<<i {
			return name
		}
	}
	return "signins"
}

// window is the throttle of one caller.
type window struct {
	admitted []time.Time // the last Budget.Requests requests
	recent   []time.Time // those of the last 10 s
	busiest  int
}

// admitted counts a request against the limit of its kind, and answers it if there is no room.
func (s *Server) admitted(c *call, of *collection, client string) bool {
	switch of.group() {
	case "security":
		return true
	case "identityProtection":
		_, ok := s.admit(Caller{Tenant: c.tenant.ID}, s.opts.RiskBudget)
		if !ok {
			c.throttled("")
		}
		return ok
	}
	wait, ok := s.admit(Caller{c.tenant.ID, client}, s.opts.Budget)
	if !ok {
		c.throttled(fmt.Sprintf("%.3f", wait.Seconds()))
	}
	return ok
}

// lacks says whether the tenant has no licence for what the query reads.
func (t *Tenant) lacks(of *collection, q *query) bool {
	return t.Free && of.premium || slices.ContainsFunc(t.Unlicensed, func(name string) bool { return q.streams&(1<<streamIndex(name)) != 0 })
}

// admit counts a report request and says whether the budget has room for it, and if not for how long it has none.
func (s *Server) admit(caller Caller, budget Budget) (time.Duration, bool) {
	now := s.opts.Monotonic()
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.callers[caller]
	if w == nil {
		w = &window{}
		s.callers[caller] = w
	}
	w.recent = append(w.recent, now)
	for now.Sub(w.recent[0]) >= 10*time.Second {
		w.recent = w.recent[1:]
	}
	w.busiest = max(w.busiest, len(w.recent))
	if budget.Requests == 0 {
		return 0, true
	}
	full := len(w.admitted) >= budget.Requests && now.Sub(w.admitted[len(w.admitted)-budget.Requests]) < budget.Per
	w.admitted = append(w.admitted, now)
	w.admitted = w.admitted[max(0, len(w.admitted)-budget.Requests):]
	if !full {
		return 0, true
	}
	s.stats.Throttled++
	return budget.Per - now.Sub(w.admitted[0]), false
}
