package entra

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
)

// judge turns a reply into a page or into the error that says what to do.
func (rd *reader) judge(got reply, token auth.Token) (event.Page, error) {
	if got.status != http.StatusOK {
		got.body = cutToken(got.body, token)
	}
	if err := rd.checkThrottle(got); err != nil {
		return event.Page{}, err
	}
	if got.status != http.StatusOK {
		return event.Page{}, rd.f.dialect.refused(rd, got, token)
	}
	p := &rd.memory.split
	p.timeMember, p.volatile = rd.row.TimeMember, rd.row.Volatile
	p.template = event.Record{
		Key:  rd.f.key(rd.f.tenantOf(token), rd.row.Name),
		Time: rd.slice.From.UTC(),
		Read: rd.f.Now(),
	}
	if err := p.split(got.body); err != nil {
		got.body = cutToken(got.body, token)
		if said := parseError(got.body); said.isPageToken() {
			return event.Page{}, rd.fail(KindToken, fmt.Errorf("get page: the page token is no longer good: %s", said))
		}
		return event.Page{}, rd.fail(KindBody, fmt.Errorf("split page: %w: http status 200, content type %q, begins with %s",
			err, got.header.Get("Content-Type"), beginning(got.body)))
	}
	if p.timed > 0 && !slices.ContainsFunc(p.records, rd.inside) {
		first := p.records[slices.IndexFunc(p.records, hasTime)]
		return event.Page{}, explain(CauseFilter, rd.fail(KindFilter, fault.Block(fmt.Errorf(
			"the service ignored the filter: none of %d rows lies inside %s, the first has %s %s: check that nothing between here and Graph changes the address",
			len(p.records), rd.slice, rd.row.TimeMember, first.Time.Format(time.RFC3339)))))
	}
	rd.f.licences.granted(rd.row.Name, time.Now())
	rd.next = p.next
	return event.Page{Records: p.records, Date: got.date, Bytes: len(got.body), Last: p.next == ""}, nil
}

// cutToken takes the access token out of a body that goes into an error: a proxy's page may show the request's header.
func cutToken(body []byte, token auth.Token) []byte {
	return bytes.ReplaceAll(body, []byte(token.Access), []byte("<redacted>"))
}

func hasTime(r event.Record) bool { return r.Flags&event.FlagNoTime == 0 }

func (rd *reader) inside(r event.Record) bool { return hasTime(r) && rd.slice.Contains(r.Time) }

// longestBusy bounds the pause that a 503 asks for. It comes from whatever stands in front of the service, and a wrong date in
// it would stop the app for a day.
const longestBusy = 10 * time.Minute

// checkThrottle pauses every reader of the app if the reply asks for that.
func (rd *reader) checkThrottle(got reply) error {
	after, named := fault.RetryAfter(got.header, rd.f.Now())
	named = named && after > 0
	if got.status != http.StatusTooManyRequests && !(got.status == http.StatusServiceUnavailable && named) {
		rd.limit().Passed(got.sent)
		return nil
	}
	if got.status == http.StatusServiceUnavailable {
		after = min(after, longestBusy)
	}
	pause := rd.limit().Throttled(got.sent, after, named)
	return rd.fail(KindThrottled, fault.After(pause, fmt.Errorf("get page: throttled, all streams of this budget pause for %s: http status %d: %s",
		pause.Round(time.Millisecond), got.status, parseError(got.body))))
}

// refused judges any reply but 200 and throttling, in the words of whoever can mend it.
func (rd *reader) refused(got reply, token auth.Token) error {
	said := parseError(got.body)
	base := fmt.Errorf("get page: http status %d: %s", got.status, said)
	block := func(kind Kind, format string, args ...any) error {
		return rd.fail(kind, fault.Block(fmt.Errorf("%s: http status %d: %s", fmt.Sprintf(format, args...), got.status, said)))
	}
	switch {
	case said.isPageToken():
		return rd.fail(KindToken, fmt.Errorf("the page token is no longer good: %w", base))
	case got.status >= 500 || got.status == http.StatusRequestTimeout:
		return rd.fail(KindServer, base)
	case got.status >= 300 && got.status < 400:
		location := "an unknown address"
		if u, err := url.Parse(got.header.Get("Location")); err == nil && u.Host != "" {
			location = u.Scheme + "://" + u.Host
		}
		return rd.fail(KindRedirect, fmt.Errorf("get page: http status %d: redirected to %s, which is never followed because the access token would go there: check graph_url and proxy", got.status, location))
	}
	switch got.status {
	case http.StatusBadRequest:
		return rd.badRequest(said, base, block)
	case http.StatusUnauthorized:
		return rd.unauthorized(said, block)
	case http.StatusForbidden:
		return rd.forbidden(said, token, block)
	case http.StatusNotFound:
		return explain(CauseAddress, block(KindAccess, "%s does not exist at %s: check cloud, graph_url and api_version", rd.row.Path, rd.f.place.graph.Host))
	case http.StatusProxyAuthRequired:
		return explain(CauseProxy, block(KindAccess, "the proxy wants a password: let it accept this machine without one%s", ask(CauseProxy)))
	case http.StatusMethodNotAllowed, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
		return block(KindRequest, "the request is refused for good: shorten filters.%s if there is one, check graph_url", rd.row.Name)
	}
	return rd.fail(KindRequest, base)
}

type blocker func(kind Kind, format string, args ...any) error

// badRequest judges a 400: what looks the same in status is a missing service, a bad filter or a passing fault.
func (rd *reader) badRequest(said graphError, base error, block blocker) error {
	switch {
	case said.has("Resource not found for the segment"):
		return explain(CauseCloud, block(KindAccess, "%s is not in this cloud (%s): remove the stream", rd.row.Name, rd.f.place.name))
	case said.has("Invalid filter clause") && rd.isOld() && (rd.f.cfg.Filters[rd.row.Name] == "" || rd.f.licences.everRead(rd.row.Name)):
		// A filter of the operator's own that has given a page is sound.
		return rd.fail(KindTooOld, fmt.Errorf("the service does not go back to %s: %w", rd.slice.From.UTC().Format(time.RFC3339), base))
	case said.has("Invalid filter clause"), said.has("Could not find a property"):
		if rd.f.cfg.Filters[rd.row.Name] != "" {
			return explain(CauseFilter, block(KindFilter, "the filter was refused: check filters.%s; or %s is older than the tenant's retention", rd.row.Name, rd.slice.From.UTC().Format(time.RFC3339)))
		}
		return explain(CauseFilter, block(KindFilter, "the filter was refused: %s may be older than the tenant's retention", rd.slice.From.UTC().Format(time.RFC3339)))
	}
	return rd.fail(KindRequest, base)
}

// isOld tells whether the slice begins before what every licence keeps. The clock and the service may differ by some seconds.
func (rd *reader) isOld() bool {
	return !rd.slice.From.IsZero() && rd.slice.From.Before(rd.f.Now().Add(time.Minute-shortRetention))
}

// unauthorized judges a 401 to a token that was just issued.
func (rd *reader) unauthorized(said graphError, block blocker) error {
	const refused = "a fresh access token was refused"
	switch {
	case said.isUnprovisioned():
		return explain(CauseLicence, rd.unlicensed(said, http.StatusUnauthorized, block))
	case said.has("audience"):
		return explain(CauseAudience, block(KindAccess, refused+": it is for another service: check that cloud, login_url and graph_url belong together"))
	case said.has("lifetime"), said.has("not yet valid"), said.has("token is expired"), said.has("token has expired"):
		return explain(CauseClock, block(KindAccess, refused+": it is outside the time in which it is good%s: set the clock of this machine", rd.f.clockFault()))
	}
	return explain(CauseToken, block(KindAccess, refused+": check that cloud and graph_url belong together"))
}

// forbidden judges a 403: no licence, or no permission.
func (rd *reader) forbidden(said graphError, token auth.Token, block blocker) error {
	switch {
	case said.isLicence():
		return explain(CauseLicence, rd.unlicensed(said, http.StatusForbidden, block))
	case said.has("EU region"), said.has("European Union"):
		return explain(CauseRegion, block(KindAccess, "%s: the service refuses apps in this region (EU): use api: graph, or sign in as a user", rd.row.Name))
	}
	// The next try is to see what was granted meanwhile, which this token never tells. For the other streams it stays good.
	rd.f.source.Renew(token)
	if token.Delegated() {
		return explain(CauseRole, block(KindAccess, "the user who signed in may not read %s and lacks a directory role, as a rule: assign %s, and consent to the delegated permissions %s%s",
			rd.row.Name, rd.row.directoryRole(), rd.row.Permission, ask(CauseRole)))
	}
	holds := ""
	if roles := token.Claims.Roles; roles != nil {
		holds = " (the token holds: " + strings.Join(roles, ", ") + ")"
		if len(roles) == 0 {
			holds = " (the token holds none)"
		}
	}
	return explain(CausePermission, block(KindAccess, "the app may not read %s: grant the application permissions %s and let an administrator consent%s%s",
		rd.row.Name, rd.row.Permission, holds, ask(CausePermission)))
}

// unlicensed judges a refusal for want of a licence: it passes on tenants that have it.
func (rd *reader) unlicensed(said graphError, status int, block blocker) error {
	if rd.f.licences.refuse(rd.row.Name, time.Now()) {
		return block(KindLicence, "%s needs a licence that the tenant does not have: %s%s", rd.row.Name, rd.row.Licence, ask(CauseLicence))
	}
	return rd.fail(KindLicence, fmt.Errorf("%s needs a licence, says Graph, which it has said of licensed tenants, too: it is asked again; the licence is %s%s: http status %d: %s",
		rd.row.Name, rd.row.Licence, ask(CauseLicence), status, said))
}

// graphError is the error in a reply's body: {"error": {"code": "..", "message": ".."}}. Both members may be empty or null.
type graphError struct {
	Code    string
	Message string
	other   string // the beginning of a body that has no such error
}

func parseError(body []byte) graphError {
	var reply struct {
		Error struct {
			Code    *string `json:"code"`
			Message *string `json:"message"`
		} `json:"error"`
	}
	err := json.Unmarshal(bytes.TrimSpace(body), &reply)
	if err == nil && reply.Error.Code == nil && reply.Error.Message == nil {
		err = errors.New("no error in it")
	}
	if err != nil {
		if e, ok := parseLegacyError(body); ok {
			return e
		}
		return graphError{other: beginning(body)}
	}
	var e graphError
	if reply.Error.Code != nil {
		e.Code = *reply.Error.Code
	}
	if reply.Error.Message != nil {
		e.Message = strings.Join(strings.Fields(*reply.Error.Message), " ")
	}
	return e
}

func (e graphError) String() string {
	if e.other != "" {
		return e.other
	}
	s := e.Message
	if e.Code != "" {
		s = e.Code + ": " + s
	}
	return fault.Cut(s)
}

func (e graphError) has(text string) bool {
	return strings.Contains(strings.ToLower(e.Code+" "+e.Message), strings.ToLower(text))
}

// isLicence tells whether a 403 is for want of a licence: of Entra's reports, of risks, or of Defender.
func (e graphError) isLicence() bool {
	return e.has("Authentication_RequestFromNonPremiumTenantOrB2CTenant") || e.has("premium license") || e.has("not licensed for this feature") || e.isUnprovisioned()
}

// isUnprovisioned tells whether the tenant has no Defender product, which is also said with a 401: the token is not to blame.
func (e graphError) isUnprovisioned() bool { return e.has("Account is not provisioned") }

// isPageToken tells whether the service no longer knows the $skiptoken. "Token" in the last text is that one, not the access token.
func (e graphError) isPageToken() bool {
	return e.has("invalid skip token") || e.has("skip token is null") || e.has("Token not found: token is either invalid or expired")
}
