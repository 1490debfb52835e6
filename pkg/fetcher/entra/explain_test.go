package entra

import (
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/fault"
)

var update = flag.Bool("update", false, "write docs/troubleshooting.md's tables anew")

// tokenOf makes a sign-in service that gives a token with these claims.
func tokenOf(claims string) func(*http.Request) (*http.Response, error) {
	part := base64.RawURLEncoding.EncodeToString
	token := part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + "."
	return func(*http.Request) (*http.Response, error) {
		return respond(200, nil, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, token)), nil
	}
}

// refusedToken makes a sign-in service that refuses.
func refusedToken(status int, code, said string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return respond(status, map[string]string{"x-ms-request-id": "9", "Date": time.Now().Add(20 * time.Minute).UTC().Format(http.TimeFormat)},
			`{"error":"`+code+`","error_description":"`+said+` Trace ID: 0 Timestamp: 0","error_codes":[0],"trace_id":"0"}`), nil
	}
}

// TestExplained has what the service is known to answer instead of a page, by status and text: what becomes of the slice, how
// many requests it costs, who is asked to mend it, and in which words.
func TestExplained(t *testing.T) {
	const link = "https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?$skiptoken=abc"
	skewed := func() map[string]string {
		return map[string]string{"request-id": "1", "Date": time.Now().Add(20 * time.Minute).UTC().Format(http.TimeFormat)}
	}
	inPaging := func(status int, body string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.RawQuery, "skiptoken") {
				return respond(status, nil, body), nil
			}
			return respond(200, nil, auditPage(0, 1, link)), nil
		}
	}
	for _, c := range []struct {
		name     string
		status   int
		body     string
		header   func() map[string]string
		serve    func(*http.Request) (*http.Response, error) // instead of status and body
		token    func(*http.Request) (*http.Response, error)
		change   func(*Config)
		kind     Kind
		class    fault.Class
		cause    Cause
		requests int // 0: 1
		halve    bool
		pause    time.Duration
		says     []string
	}{
		{name: "filter refused", status: 400, body: graphBody("BadRequest", "Invalid filter clause: a literal is not understood"), kind: KindFilter, class: fault.Blocked, cause: CauseFilter, says: []string{"older than the tenant's retention", "a literal is not understood"}},
		{name: "own filter refused", status: 400, body: graphBody("BadRequest", "Invalid filter clause"), change: func(c *Config) { c.Filters = map[string]string{"audits": "x eq 1"} }, kind: KindFilter, class: fault.Blocked, cause: CauseFilter, says: []string{"check filters.audits"}},
		{name: "not in this cloud", status: 400, body: graphBody("BadRequest", "Resource not found for the segment 'directoryAudits'."), change: func(c *Config) { c.Cloud = "global" }, kind: KindAccess, class: fault.Blocked, cause: CauseCloud, says: []string{"audits is not in this cloud (global)", "remove the stream"}},
		{name: "invalid skip token", serve: inPaging(400, graphBody("BadRequest", "Invalid Skip Token")), kind: KindToken, requests: 2, says: []string{"page 2", "page token is no longer good"}},
		{name: "null skip token", serve: inPaging(500, graphBody("UnknownError", "Invalid Skip Token, skip token is null")), kind: KindToken, requests: 2},
		{name: "expired page token", serve: inPaging(404, graphBody("", "Token not found: token is either invalid or expired")), kind: KindToken, requests: 2},
		{name: "unsupported query", status: 400, body: graphBody("UnknownError", "Unsupported Query"), kind: KindRequest, says: []string{"Unsupported Query"}},
		{name: "token expired", status: 401, body: graphBody("InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."), kind: KindAccess, class: fault.Blocked, cause: CauseClock, requests: 2, says: []string{"set the clock of this machine"}},
		{name: "token not valid yet, clock behind", status: 401, header: skewed, body: graphBody("InvalidAuthenticationToken", "The token is not yet valid."), kind: KindAccess, class: fault.Blocked, cause: CauseClock, requests: 2, says: []string{"the clock of this machine is 20m0s behind"}},
		{name: "wrong audience", status: 401, body: graphBody("InvalidAuthenticationToken", "Access token validation failure. Invalid audience."), kind: KindAccess, class: fault.Blocked, cause: CauseAudience, requests: 2, says: []string{"check that cloud, login_url and graph_url"}},
		{name: "token refused", status: 401, body: graphBody("InvalidAuthenticationToken", "CompactToken parsing failed"), kind: KindAccess, class: fault.Blocked, cause: CauseToken, requests: 2, says: []string{"check that cloud and graph_url"}},
		{name: "no licence", status: 403, body: graphBody("Authentication_RequestFromNonPremiumTenantOrB2CTenant", "Neither tenant is B2C or tenant doesn't have premium license"), kind: KindLicence, cause: CauseLicence, says: []string{"needs a licence", "ask a Billing Administrator"}},
		{name: "no permission", status: 403, body: graphBody("Authorization_RequestDenied", "Application is missing one of the required permissions."), kind: KindAccess, class: fault.Blocked, cause: CausePermission, says: []string{"may not read audits: grant the application permissions AuditLog.Read.All and Directory.Read.All", "the token holds: AuditLog.Read.All", "ask a Privileged Role Administrator or a Global Administrator"}},
		{name: "no consent at all", status: 403, token: tokenOf(`{"tid":"` + testTenant + `"}`), body: graphBody("Authentication_MSGraphPermissionMissing", "Calling principal does not have required MSGraph permissions"), kind: KindAccess, class: fault.Blocked, cause: CausePermission, says: []string{"the token holds none", "ask a Privileged"}},
		{name: "user without a role", status: 403, token: tokenOf(`{"tid":"` + testTenant + `","scp":"AuditLog.Read.All"}`), body: graphBody("Authentication_RequestDenied", "User is not in the allowed roles"), kind: KindAccess, class: fault.Blocked, cause: CauseRole, says: []string{"assign Reports Reader or Security Reader", "ask a Privileged Role Administrator"}},
		{name: "EU", status: 403, body: graphBody("Authorization_RequestDenied", "Application access is not available to tenants in the EU region"), kind: KindAccess, class: fault.Blocked, cause: CauseRegion, says: []string{"sign in as a user"}},
		{name: "not found", status: 404, body: graphBody("NotFound", ""), kind: KindAccess, class: fault.Blocked, cause: CauseAddress, says: []string{"check cloud, graph_url and api_version"}},
		{name: "request timeout", status: 408, kind: KindServer, halve: true},
		{name: "server error", status: 500, kind: KindServer, halve: true},
		{name: "bad gateway", status: 502, kind: KindServer, halve: true},
		{name: "unavailable", status: 503, kind: KindServer, halve: true},
		{name: "gateway timeout", status: 504, kind: KindServer, halve: true},
		{name: "throttled", status: 429, header: func() map[string]string { return map[string]string{"Retry-After": "2.128"} }, body: graphBody("TooManyRequests", "slow down"), kind: KindThrottled, pause: 2128 * time.Millisecond, says: []string{"all streams of this budget pause for 2.128s"}},
		{name: "throttled, unnamed", status: 429, body: graphBody("UnknownError", "This request is throttled."), kind: KindThrottled, pause: 2 * time.Second, says: []string{"pause for 2s"}},
		{name: "too large a request", status: 413, kind: KindRequest, class: fault.Blocked, says: []string{"refused for good"}},
		{name: "too long an address", status: 414, kind: KindRequest, class: fault.Blocked, says: []string{"refused for good"}},
		{name: "proxy", status: 407, kind: KindAccess, class: fault.Blocked, cause: CauseProxy, says: []string{"ask whoever runs the proxy"}},
		{name: "broken JSON", status: 200, body: `{"value":[{"id":"1"{"error":{"code":"x","message":"y"}}]}`, kind: KindBody, halve: true, says: []string{"split page"}},
		{name: "wrong secret", token: refusedToken(401, "invalid_client", "AADSTS7000215: Invalid client secret provided."), kind: KindAccess, class: fault.Blocked, cause: CauseSignIn, requests: -1, pause: time.Minute, says: []string{"secret is wrong"}},
		{name: "expired secret", token: refusedToken(401, "invalid_client", "AADSTS7000222: The provided client secret keys are expired."), kind: KindAccess, class: fault.Blocked, cause: CauseSignIn, requests: -1, pause: time.Minute, says: []string{"secret has expired"}},
		{name: "no consent to the app", token: refusedToken(400, "unauthorized_client", "AADSTS700016: Application was not found in the directory."), kind: KindAccess, class: fault.Blocked, cause: CauseSignIn, requests: -1, pause: time.Minute, says: []string{"consent"}},
		{name: "assertion out of time", token: refusedToken(401, "invalid_client", "AADSTS700024: Client assertion is not within its valid time range."), kind: KindAccess, class: fault.Blocked, cause: CauseSignIn, requests: -1, pause: time.Minute, says: []string{"AADSTS700024", "the clock of this machine is 20m0s behind"}},
		{name: "sign-in throttled", token: refusedToken(429, "temporarily_unavailable", "later"), kind: KindAccess, requests: -1},
		{name: "sign-in down", token: refusedToken(503, "temporarily_unavailable", "later"), kind: KindAccess, requests: -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &api{serve: c.serve, token: c.token}
				if a.serve == nil {
					a.serve = func(*http.Request) (*http.Response, error) {
						var header map[string]string
						if c.header != nil {
							header = c.header()
						}
						return respond(c.status, header, c.body), nil
					}
				}
				var told []Request
				f := newFetcher(t, a, testConfig(t, c.change), Options{UserAgent: "logferry/1.2.3", Observe: func(r Request) { told = append(told, r) }})
				_, _, err := all(t.Context(), f, auditSlice())
				if err == nil {
					t.Fatal("no error")
				}
				if KindOf(err) != c.kind || fault.Of(err) != c.class || CauseOf(err) != c.cause || HalveHint(err) != c.halve || fault.Pause(err) != c.pause {
					t.Errorf("kind %q, class %s, cause %q, halve %v, pause %s: %v", KindOf(err), fault.Of(err), CauseOf(err), HalveHint(err), fault.Pause(err), err)
				}
				if want := max(0, c.requests); c.requests != 0 && len(a.requests) != want || c.requests == 0 && len(a.requests) != 1 {
					t.Errorf("%d requests", len(a.requests))
				}
				for _, says := range append(c.says, saysOf(c.cause)) {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%q does not say %q", err, says)
					}
				}
				checkMarks(t, a, told)
				// Whatever has ended the slice, it begins anew without a page token.
				before := len(a.requests)
				_, _, _ = all(t.Context(), f, auditSlice())
				if c.requests >= 0 && strings.Contains(a.requests[before].URL.RawQuery, "skiptoken") {
					t.Error("the slice was not opened again")
				}
			})
		})
	}
}

// saysOf is what docs/troubleshooting.md says that a message of the cause has in it.
func saysOf(cause Cause) string {
	for _, e := range explanations {
		if e.Cause == cause {
			return e.Says
		}
	}
	return ""
}

// checkMarks holds that each request, for a token or a page, bears our name and an id of its own, which the observer is told.
func checkMarks(t *testing.T, a *api, told []Request) {
	t.Helper()
	seen := map[string]bool{"": true}
	for _, r := range told {
		if seen[r.ClientRequestID] {
			t.Errorf("client-request-id %q is not its own", r.ClientRequestID)
		}
		seen[r.ClientRequestID] = true
	}
	for _, r := range a.requests {
		if r.Header.Get("User-Agent") != "logferry/1.2.3" || !seen[r.Header.Get("Client-Request-Id")] {
			t.Errorf("header %v", r.Header)
		}
	}
}

// TestLicenceFlickers: a licensed tenant whose requests are refused four times out of five is read on, page by page, in its
// turn, and is never called blocked.
func TestLicenceFlickers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		a := &api{serve: func(r *http.Request) (*http.Response, error) {
			if n++; n%5 != 1 {
				return respond(403, nil, graphBody("Authentication_RequestFromNonPremiumTenantOrB2CTenant", "no premium license")), nil
			}
			next := ""
			if n < 20 {
				next = fmt.Sprintf("https://graph.microsoft.com/v1.0/x?$skiptoken=%d", n)
			}
			return respond(200, nil, auditPage(n, 1, next)), nil
		}}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		pages, ids, err := all(t.Context(), f, auditSlice())
		if err != nil || pages != 5 || len(ids) != 5 {
			t.Fatalf("%d pages, %d rows: %v", pages, len(ids), err)
		}
		for i := 1; i < len(a.at); i++ {
			if a.at[i].Sub(a.at[i-1]) < 2*time.Second {
				t.Fatalf("request %d has passed by the limiter", i)
			}
		}
	})
}

// TestLicenceMissing: a tenant that is refused again and again counts as unlicensed after a quarter of an hour, not before; and
// no longer once it has the licence.
func TestLicenceMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bought := false
		a := &api{serve: func(*http.Request) (*http.Response, error) {
			if bought {
				return respond(200, nil, auditPage(0, 1, "")), nil
			}
			return respond(403, nil, graphBody("Authentication_RequestFromNonPremiumTenantOrB2CTenant", "no premium license")), nil
		}}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		began := time.Now()
		for i := 1; ; i++ {
			_, _, err := all(t.Context(), f, auditSlice())
			since := time.Since(began)
			if blocked := fault.Of(err) == fault.Blocked; blocked != (since > licenceDoubt && i >= licenceLeast) {
				t.Fatalf("blocked %v after %d requests in %s: %v", blocked, i, since, err)
			}
			if CauseOf(err) != CauseLicence || len(a.requests) != i {
				t.Fatalf("cause %q, %d requests for %d slices", CauseOf(err), len(a.requests), i)
			}
			if fault.Of(err) == fault.Blocked {
				break
			}
			time.Sleep(80 * time.Second)
		}
		bought = true
		if _, ids, err := all(t.Context(), f, auditSlice()); err != nil || len(ids) != 1 {
			t.Errorf("%d rows: %v", len(ids), err)
		}
		bought = false
		if _, _, err := all(t.Context(), f, auditSlice()); fault.Of(err) == fault.Blocked || len(a.requests) < licenceTries {
			t.Errorf("a tenant that was read just now: %d requests, %v", len(a.requests), err)
		}
	})
}

// TestConsentIsSeen: after a missing permission the next try brings a token of its own, because the old one will never have it.
func TestConsentIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		a.serve = func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer "+jwt(1) {
				return respond(403, nil, graphBody("Authorization_RequestDenied", "Insufficient privileges")), nil
			}
			return respond(200, nil, auditPage(0, 1, "")), nil
		}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		if _, _, err := all(t.Context(), f, auditSlice()); CauseOf(err) != CausePermission {
			t.Fatal(err)
		}
		if _, ids, err := all(t.Context(), f, auditSlice()); err != nil || len(ids) != 1 {
			t.Errorf("%d rows: %v", len(ids), err)
		}
	})
}

// TestTroubleshooting holds docs/troubleshooting.md against the table in the code; -update writes it.
func TestTroubleshooting(t *testing.T) {
	const path, begin, end = "../../../docs/troubleshooting.md", "<!-- causes: written by go test ./pkg/fetcher/entra -run TestTroubleshooting -update -->\n", "<!-- end of causes -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks around the table", path)
	}
	var want strings.Builder
	want.WriteString("| the message has | it means | what to do | who can |\n|---|---|---|---|\n")
	for _, e := range Explanations() {
		by := e.By
		if by == "" {
			by = "whoever runs logferry"
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %s |\n", e.Says, e.Means, e.Mend, by)
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+want.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), old); diff != "" {
		t.Errorf("docs/troubleshooting.md (+) and explain.go (-) differ, -update writes it:\n%s", diff)
	}
	numbers := regexp.MustCompile(`\| (AADSTS\d+) \|`).FindAllStringSubmatch(tail, -1)
	if len(numbers) < 10 {
		t.Errorf("%d numbers of the sign-in service", len(numbers))
	}
	for _, n := range numbers {
		synctest.Test(t, func(t *testing.T) {
			f := newFetcher(t, &api{token: refusedToken(400, "invalid_request", n[1]+": text.")}, testConfig(t, nil), Options{})
			if _, _, err := all(t.Context(), f, auditSlice()); fault.Of(err) != fault.Blocked || CauseOf(err) != CauseSignIn || !strings.Contains(err.Error(), n[1]) {
				t.Errorf("%s: %v", n[1], err)
			}
		})
	}
}
