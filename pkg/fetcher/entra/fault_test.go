package entra

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

func graphBody(code, message string) string {
	return `{"error":{"code":"` + code + `","message":"` + message + `","innerError":{"date":"2026-01-01T00:00:00","request-id":"0"}}}`
}

// TestFaults has every way in which one page request can fail: what kind and class the error is, whether a smaller slice may
// help, and the words that the operator reads.
func TestFaults(t *testing.T) {
	const link = "https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?$skiptoken="
	ok := func(body string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return respond(200, nil, body), nil }
	}
	status := func(code int, header map[string]string, body string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return respond(code, header, body), nil }
	}
	broken := func(err error) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	dated := func(date string) map[string]string {
		return map[string]string{"request-id": "1", "Date": "Thu, " + date + " GMT"}
	}
	for _, c := range []struct {
		name   string
		serve  func(*http.Request) (*http.Response, error)
		change func(*Config)
		kind   Kind
		class  fault.Class
		pause  time.Duration
		halve  bool
		says   string
	}{
		{name: "expired token", serve: status(401, nil, graphBody("InvalidAuthenticationToken", "expired")), kind: KindAccess, class: fault.Blocked, says: "a fresh access token was refused"},
		{name: "no licence", serve: status(403, nil, graphBody("Authentication_RequestFromNonPremiumTenantOrB2CTenant", "no premium license")), kind: KindLicence, says: "needs a licence"},
		{name: "no role", serve: status(403, nil, graphBody("Authorization_RequestDenied", "User is not in the allowed roles")), kind: KindAccess, class: fault.Blocked, says: "grant the application permissions AuditLog.Read.All and Directory.Read.All and let an administrator consent (the token holds: AuditLog.Read.All)"},
		{name: "not in this cloud", serve: status(400, nil, graphBody("BadRequest", "Resource not found for the segment 'directoryAudits'.")), kind: KindAccess, class: fault.Blocked, says: "audits is not in this cloud (global)"},
		{name: "bad filter", serve: status(400, nil, graphBody("BadRequest", "Invalid filter clause")), change: func(c *Config) { c.Filters = map[string]string{"audits": "x eq 1"} }, kind: KindFilter, class: fault.Blocked, says: "check filters.audits"},
		{name: "older than retention", serve: status(400, nil, graphBody("BadRequest", "Invalid filter clause")), kind: KindFilter, class: fault.Blocked, says: "2026-01-01T00:00:00Z may be older than the tenant's retention"},
		{name: "older than what is kept", serve: status(400, dated("07 Jan 2026 23:59:30"), graphBody("BadRequest", "Invalid filter clause")), kind: KindTooOld, says: "does not go back to 2026-01-01T00:00:00Z"},
		{name: "younger than a week", serve: status(400, dated("07 Jan 2026 23:58:30"), graphBody("BadRequest", "Invalid filter clause")), kind: KindFilter, class: fault.Blocked},
		{name: "old, with a filter", serve: status(400, dated("09 Jan 2026 00:00:00"), graphBody("BadRequest", "Invalid filter clause: x")), change: func(c *Config) { c.Filters = map[string]string{"audits": "x eq 1"} }, kind: KindFilter, class: fault.Blocked, says: "check filters.audits"},
		{name: "old, another's filter", serve: status(400, dated("09 Jan 2026 00:00:00"), graphBody("BadRequest", "Invalid filter clause: x")), change: func(c *Config) { c.Filters = map[string]string{"signins.interactive": "x eq 1"} }, kind: KindTooOld},
		{name: "unknown property", serve: status(400, nil, graphBody("BadRequest", "Could not find a property named 'x' on type 'y'.")), kind: KindFilter, class: fault.Blocked, says: "Could not find"},
		{name: "passing 400", serve: status(400, nil, graphBody("UnknownError", "Unsupported Query")), kind: KindRequest, says: "Unsupported Query"},
		{name: "not found", serve: status(404, nil, ""), kind: KindAccess, class: fault.Blocked, says: "check cloud, graph_url and api_version"},
		{name: "proxy password", serve: status(407, nil, ""), kind: KindAccess, class: fault.Blocked, says: "proxy"},
		{name: "address too long", serve: status(414, nil, ""), kind: KindRequest, class: fault.Blocked, says: "shorten"},
		{name: "throttled", serve: status(429, map[string]string{"Retry-After": "2.128"}, graphBody("TooManyRequests", "later")), kind: KindThrottled, pause: 2128 * time.Millisecond, says: "pause for 2.128s"},
		{name: "throttled without a word", serve: status(429, nil, graphBody("UnknownError", "This request is throttled.")), kind: KindThrottled, pause: 2 * time.Second, says: "http status 429"},
		{name: "throttled until a date", serve: status(429, map[string]string{"request-id": "1", "Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}, ""), kind: KindThrottled, pause: 30 * time.Second},
		{name: "unavailable for a while", serve: status(503, map[string]string{"Retry-After": "7"}, ""), kind: KindThrottled, pause: 7 * time.Second},
		{name: "unavailable for a day", serve: status(503, map[string]string{"Retry-After": "86400"}, ""), kind: KindThrottled, pause: 10 * time.Minute, says: "pause for 10m0s"},
		{name: "throttled for a day", serve: status(429, map[string]string{"Retry-After": "100000"}, ""), kind: KindThrottled, pause: 24 * time.Hour},
		{name: "unavailable", serve: status(503, nil, ""), kind: KindServer, halve: true, says: "http status 503"},
		{name: "gateway timeout", serve: status(504, nil, "<html>"), kind: KindServer, halve: true},
		{name: "request timeout", serve: status(408, nil, ""), kind: KindServer, halve: true},
		{name: "redirect", serve: status(302, map[string]string{"Location": "https://example.com/x"}, ""), kind: KindRedirect, says: "https://example.com"},
		{name: "invalid skip token", serve: status(400, nil, graphBody("", "Invalid Skip Token")), kind: KindToken, says: "page token"},
		{name: "null skip token", serve: status(500, nil, graphBody("UnknownError", "Invalid Skip Token, skip token is null")), kind: KindToken},
		{name: "expired skip token", serve: status(404, nil, `{"error":{"code":null,"message":"Token not found: token is either invalid or expired"}}`), kind: KindToken},
		{name: "empty body", serve: ok(""), kind: KindBody, halve: true, says: "an empty body"},
		{name: "html", serve: ok("<html>log in</html>"), kind: KindBody, halve: true, says: `content type "application/json", begins with "<html>log in</html>"`},
		{name: "error beside rows", serve: ok(`{"value":[],"error":{"code":"x"}}`), kind: KindBody, halve: true},
		{name: "no value", serve: ok(`{}`), kind: KindBody, halve: true, says: "value"},
		{name: "value is no array", serve: ok(`{"value":{}}`), kind: KindBody, halve: true},
		{name: "more behind the page", serve: ok(`{"value":[]} {}`), kind: KindBody, halve: true},
		{name: "not UTF-8", serve: ok("{\"value\":[{\"id\":\"\xff\"}]}"), kind: KindBody, halve: true, says: "UTF-8"},
		{name: "rows of another time", serve: ok(auditPage(90, 3, "")), kind: KindFilter, class: fault.Blocked, says: "ignored the filter"},
		{name: "too large", serve: func(*http.Request) (*http.Response, error) {
			resp := respond(200, nil, "")
			resp.ContentLength, resp.Body = -1, io.NopCloser(io.LimitReader(spaces{}, mostBody+1))
			return resp, nil
		}, kind: KindTooLarge, halve: true, says: "smaller page"},
		{name: "cut off", serve: func(*http.Request) (*http.Response, error) {
			resp := respond(200, nil, "")
			resp.ContentLength, resp.Body = 5000, cutOff{bytes.NewReader([]byte(`{"value":[`))}
			return resp, nil
		}, kind: KindTruncated, halve: true, says: "broken off after 10 bytes"},
		{name: "timeout", serve: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, kind: KindTimeout, halve: true, says: "within 2m0s"},
		{name: "reset", serve: broken(syscall.ECONNRESET), kind: KindNetwork},
		{name: "certificate", serve: broken(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), kind: KindNetwork, class: fault.Blocked, says: "tls.ca_file"},
		{name: "link to another host", serve: ok(auditPage(0, 1, "https://graph.microsoft.com@example.com/x")), kind: KindLink, says: "was not followed"},
		{name: "link to another port", serve: ok(auditPage(0, 1, "https://graph.microsoft.com:8443/x")), kind: KindLink},
		{name: "link in plain text", serve: ok(auditPage(0, 1, "http://graph.microsoft.com/x")), kind: KindLink},
		{name: "link that is none", serve: ok(auditPage(0, 1, "https://graph.microsoft.com/%zz?$skiptoken=abc")), kind: KindLink},
		{name: "link with a user", serve: ok(auditPage(0, 1, "https://user@graph.microsoft.com/x")), kind: KindLink},
		{name: "reset on a page with a token", serve: func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.RawQuery, "skiptoken") {
				return nil, syscall.ECONNRESET
			}
			return respond(200, nil, auditPage(0, 1, link+"abc")), nil
		}, kind: KindNetwork, says: "read page 2 of audits: get page: connection reset"},
		{name: "relative link", serve: ok(auditPage(0, 1, "/v1.0/auditLogs/directoryAudits?$skiptoken=1")), kind: KindLink},
		{name: "empty page token", serve: ok(auditPage(0, 1, link)), kind: KindToken, says: "empty"},
		{name: "empty page token, escaped", serve: ok(auditPage(0, 1, strings.Replace(link, "$", "%24", 1)+"&$top=5")), kind: KindToken},
		{name: "loop", serve: ok(auditPage(0, 1, link+"same")), kind: KindLoop, says: "page 2 links back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &api{serve: c.serve}
				f := newFetcher(t, a, testConfig(t, c.change), Options{})
				_, _, err := all(t.Context(), f, auditSlice())
				if err == nil {
					t.Fatal("no error")
				}
				if KindOf(err) != c.kind || fault.Of(err) != c.class || HalveHint(err) != c.halve {
					t.Errorf("kind %q, class %s, halve %v, want %q, %s, %v: %v", KindOf(err), fault.Of(err), HalveHint(err), c.kind, c.class, c.halve, err)
				}
				if got := fault.Pause(err); got != c.pause {
					t.Errorf("pause %s, want %s", got, c.pause)
				}
				if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "of audits: ") {
					t.Errorf("error %q does not say %q", err, c.says)
				}
				if strings.Contains(err.Error(), "skiptoken=abc") {
					t.Errorf("error %q shows a page token", err)
				}
				if a.foreign > 0 {
					t.Error("another host got a request")
				}
				if TooOld(err) != (c.kind == KindTooOld) {
					t.Errorf("too old: %v", TooOld(err))
				}
				if held := len(f.shared.slots); held > 0 {
					t.Errorf("%d pages stay in memory", held)
				}
			})
		})
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestTokenIsNotTold: whatever shows the request's header in its reply, errors do not repeat the access token.
func TestTokenIsNotTold(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string // with %s for the header
	}{
		{200, "%s"}, {200, `{"error":{"code":"x","message":"%s"}}`}, {302, "%s"}, {400, "you sent %s"},
		{401, `{"error":{"code":"x","message":"%s"}}`}, {403, "%s"}, {404, "%s"}, {407, "%s"}, {429, "%s"}, {503, "<p>%s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var told Request
			a := &api{serve: func(r *http.Request) (*http.Response, error) {
				return respond(c.status, nil, fmt.Sprintf(c.body, r.Header.Get("Authorization"))), nil
			}}
			a.token = func(*http.Request) (*http.Response, error) {
				return respond(200, nil, `{"token_type":"Bearer","expires_in":3599,"access_token":"opaque-hunter2"}`), nil
			}
			f := newFetcher(t, a, testConfig(t, nil), Options{Observe: func(r Request) { told = r }})
			_, _, err := all(t.Context(), f, auditSlice())
			if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(fmt.Sprintf("%+v", told), "hunter2") {
				t.Errorf("%d: %v; told %+v", c.status, err, told)
			}
		})
	}
}

func TestTooManyPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		a := &api{serve: func(*http.Request) (*http.Response, error) {
			n++
			return respond(200, nil, auditPage(n, 1, "https://graph.microsoft.com/v1.0/x?$skiptoken="+strings.Repeat("a", n))), nil
		}}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		f.most = 5
		pages, _, err := all(t.Context(), f, auditSlice())
		if KindOf(err) != KindPages || !HalveHint(err) || pages != 5 {
			t.Errorf("%d pages, then %v", pages, err)
		}
	})
}

// TestTokenRefused holds that a refused token is renewed once, for all, and that the retry waits for its turn like any request.
func TestTokenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		a.serve = func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer "+jwt(1) {
				return respond(401, nil, graphBody("InvalidAuthenticationToken", "Access token has expired.")), nil
			}
			return respond(200, nil, auditPage(0, 2, "")), nil
		}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		_, ids, err := all(t.Context(), f, auditSlice())
		if err != nil || len(ids) != 2 || a.tokens != 2 {
			t.Fatalf("%d rows, %d tokens, %v", len(ids), a.tokens, err)
		}
		if len(a.at) != 2 || a.at[1].Sub(a.at[0]) < 2*time.Second {
			t.Errorf("requests at %v: the retry has passed by the limiter", a.at)
		}
	})
}

func TestSignInFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{token: func(*http.Request) (*http.Response, error) {
			return respond(401, nil, `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired. `+testSecret+`"}`), nil
		}}
		var seen []Request
		f := newFetcher(t, a, testConfig(t, nil), Options{Observe: func(r Request) { seen = append(seen, r) }})
		_, _, err := all(t.Context(), f, auditSlice())
		if KindOf(err) != KindAccess || fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "secret has expired") {
			t.Errorf("error %v", err)
		}
		if strings.Contains(err.Error(), testSecret) {
			t.Error("the secret is in the error")
		}
		if len(seen) != 1 || seen[0].Stream != "" || seen[0].Status != 401 || seen[0].Method != http.MethodPost {
			t.Errorf("observed %+v", seen)
		}
		if len(a.requests) != 0 {
			t.Error("the API was asked without a token")
		}
	})
}

func TestUnknownStream(t *testing.T) {
	f := newFetcher(t, &api{}, testConfig(t, nil), Options{})
	s := auditSlice()
	s.Stream = "provisioning" // known, not configured
	_, _, err := all(context.Background(), f, s)
	var e *SliceError
	if !errors.As(err, &e) || fault.Of(err) != fault.Blocked {
		t.Errorf("error %v", err)
	}
}
