package simulator

import (
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// request is what rules match on.
type request struct {
	path    string
	tenant  *directory // nil where there is none of that name
	streams streamSet
	report  bool
	resumed bool   // with a $skiptoken
	query   *query // nil unless it is in order
}

// ruleState is a rule with its counts.
type ruleState struct {
	Rule
	key   uint64
	seen  int // matching requests
	fired int
}

func newRuleStates(rules []Rule, seed uint64) []ruleState {
	states := make([]ruleState, len(rules))
	for i, r := range rules {
		states[i] = ruleState{Rule: r, key: draw(seed, uint64(5000+i))}
	}
	return states
}

// whole says whether the fault replaces the reply.
func (k Kind) whole() bool {
	return slices.Contains([]Kind{Throttle, ServerError, Reset, ExpiredToken, NoLicence, NoRole, ExpiredLink, Garbage, Poison, LongWindow, ManyRows}, k)
}

// ofPage says whether the fault changes a page.
func (k Kind) ofPage() bool { return !k.whole() && k != Slow && k != DateSkew }

// pick returns the faults to serve to a request and counts them.
func (s *Server) pick(req request) []Rule {
	if len(s.rules) == 0 {
		return nil
	}
	offset := s.opts.Now().Sub(s.began)
	s.mu.Lock()
	defer s.mu.Unlock()
	var picked []Rule
	whole := false
	// Faults of the page come last: a reply that is replaced has none.
	for _, ofPage := range [...]bool{false, true} {
		for i := range s.rules {
			r := &s.rules[i]
			if r.Kind.ofPage() != ofPage || !r.matches(req) || !s.concerns(r, req) || !r.due(offset) || (whole && (ofPage || r.Kind.whole())) {
				continue
			}
			whole = whole || r.Kind.whole()
			r.fired++
			s.stats.Faults[r.Kind]++
			picked = append(picked, r.Rule)
		}
	}
	return picked
}

func (r *ruleState) matches(req request) bool {
	if !req.report && (r.Path == "" || r.Stream != "" || r.Page != "" || r.Kind.ofPage()) {
		return false
	}
	if r.Stream != "" && !slices.ContainsFunc(allStreams, func(name string) bool {
		ok, _ := path.Match(r.Stream, name) // validate has seen the pattern
		return ok && req.streams&(1<<streamIndex(name)) != 0
	}) {
		return false
	}
	if r.Tenant != "" && (req.tenant == nil || !req.tenant.is(r.Tenant)) {
		return false
	}
	if (r.Page == "first" && req.resumed) || (r.Page == "next" && !req.resumed) || (r.Kind == ExpiredLink && !req.resumed) {
		return false
	}
	return strings.Contains(strings.ToLower(req.path), strings.ToLower(r.Path))
}

// due counts a matching request and says whether it is one of those that the rule is for.
func (r *ruleState) due(offset time.Duration) bool {
	r.seen++
	switch {
	case len(r.Nth) > 0 && !slices.Contains(r.Nth, r.seen),
		r.Every > 0 && r.seen%r.Every != 0,
		offset < r.From,
		r.Until > 0 && offset >= r.Until,
		r.Times > 0 && r.fired >= r.Times,
		r.Probability > 0 && unit(draw(r.key, uint64(r.seen))) >= r.Probability:
		return false
	}
	return true
}

// fault returns the picked fault of a kind, or nil.
func (c *call) fault(kind Kind) *Rule {
	for i := range c.faults {
		if c.faults[i].Kind == kind {
			return &c.faults[i]
		}
	}
	return nil
}

// rows is how many rows a fault of a kind is for; 0 without one.
func (c *call) rows(kind Kind) int {
	f := c.fault(kind)
	if f == nil {
		return 0
	}
	return max(1, f.Rows)
}

// wait serves the delays. It is false if the client has gone meanwhile.
func (c *call) wait() bool {
	for _, f := range c.faults {
		if f.Delay == 0 || (f.Kind != Slow && f.Kind != LongWindow) {
			continue
		}
		timer := time.NewTimer(f.Delay)
		select {
		case <-timer.C:
			continue
		case <-c.r.Context().Done():
		case <-c.closed:
		}
		timer.Stop()
		return false
	}
	return true
}

// whole serves the fault that replaces the reply, if there is one.
func (c *call) whole() bool {
	i := slices.IndexFunc(c.faults, func(f Rule) bool { return f.Kind.whole() })
	if i < 0 {
		return false
	}
	switch f := &c.faults[i]; f.Kind {
	case Throttle:
		c.throttled(c.retryAfter(f.RetryAfter))
	case ServerError, Poison, LongWindow, ManyRows:
		c.serverError(f)
	case Reset:
		c.reset()
	case ExpiredToken:
		c.s.revoke(c.r)
		c.fail(http.StatusUnauthorized, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
	case NoLicence:
		c.noLicence()
	case NoRole:
		c.noRole()
	case ExpiredLink:
		message := "Token not found: token is either invalid or expired"
		if f.Form == "skip" {
			message = "Invalid Skip Token"
		}
		c.fail(http.StatusBadRequest, "", message)
	case Garbage:
		c.garbage(f.Form)
	}
	return true
}

// retryAfter is a rule's RetryAfter as the header says it.
func (c *call) retryAfter(text string) string {
	after, isDate := strings.CutPrefix(text, "date ")
	if !isDate {
		return text
	}
	d, _ := time.ParseDuration(after) // validate has seen it
	return c.now().Add(d).UTC().Format(http.TimeFormat)
}

func (c *call) serverError(f *Rule) {
	status := f.Status
	switch {
	case status != 0:
	case f.Kind == Poison:
		status = http.StatusInternalServerError
	case f.Kind == LongWindow:
		status = http.StatusGatewayTimeout
	default:
		status = http.StatusServiceUnavailable
	}
	if after := c.retryAfter(f.RetryAfter); after != "" {
		c.w.Header().Set("Retry-After", after)
	}
	if f.Body != "" {
		c.send(status, "text/plain; charset=utf-8", []byte(f.Body))
		return
	}
	c.fail(status, "UnknownError", "")
}

// garbage answers 200 with what is no page: an error object amid the rows, as users have seen it (microsoft-graph-docs-contrib issue 7577), or a proxy's HTML.
func (c *call) garbage(form string) {
	if form == "html" {
		c.send(http.StatusOK, "text/html; charset=utf-8", []byte("<!DOCTYPE html>\n<html><head><title>Service unavailable</title></head><body>The gateway is busy.</body></html>\n"))
		return
	}
	c.send(http.StatusOK, jsonType, []byte(`{"@odata.context":"`+c.base+`/v1.0/$metadata#auditLogs","value":[{"id":"Sync_HM0PK_00001"{
  "error": {"code": "BadRequest", "message": "The property 'category[Nullable=False]' of type 'Edm.String' has a null value, which is not allowed.",
    "innerError": {"request-id": "`+c.requestID()+`"}}
}`))
}

// reset breaks the connection, on TCP with an RST.
func (c *call) reset() {
	if hijacker, ok := c.w.(http.Hijacker); ok {
		if conn, _, err := hijacker.Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
