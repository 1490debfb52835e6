package entra

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

// TestTooOldWithFilter: once the operator's filter has given a page, it is the age of a slice that was refused; of a stream whose
// filter has given none, or of a slice that is young, it is the filter.
func TestTooOldWithFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuses, begun := false, time.Now()
		a := &api{serve: func(*http.Request) (*http.Response, error) {
			date := map[string]string{"request-id": "1", "Date": from.Add(8*day + time.Since(begun)).Format(http.TimeFormat)}
			if refuses {
				return respond(400, date, graphBody("BadRequest", "Invalid filter clause: x")), nil
			}
			return respond(200, date, `{"value":[]}`), nil
		}}
		f := newFetcher(t, a, testConfig(t, func(c *Config) {
			c.Streams = []string{"audits", "signins.interactive"}
			c.Filters = map[string]string{"audits": "x eq 1", "signins.interactive": "y eq 1"}
		}), Options{})
		young, old, other := auditSlice(), auditSlice(), auditSlice()
		young.From, young.To = from.Add(5*day), from.Add(5*day+time.Hour)
		other.Stream = "signins.interactive"
		if _, _, err := all(t.Context(), f, young); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // beyond the time for which a page proves a licence
		refuses = true
		if _, _, err := all(t.Context(), f, old); !TooOld(err) || fault.Of(err) == fault.Blocked {
			t.Errorf("a slice from before the retention: %v", err)
		}
		if _, _, err := all(t.Context(), f, young); KindOf(err) != KindFilter || fault.Of(err) != fault.Blocked {
			t.Errorf("a young slice: %v", err)
		}
		if _, _, err := all(t.Context(), f, other); KindOf(err) != KindFilter || fault.Of(err) != fault.Blocked {
			t.Errorf("a filter that has never given a page: %v", err)
		}
	})
}

// TestLicenceHoldsNobodyUp: a page that is refused again and again is given up after a few tries, and none of them goes before what
// waits in other streams.
func TestLicenceHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		a := &api{serve: func(r *http.Request) (*http.Response, error) {
			switch {
			case !strings.Contains(r.URL.Path, "signIns"):
				return respond(200, nil, auditPage(0, 1, "")), nil
			case strings.Contains(r.URL.RawQuery, "skiptoken"):
				refused++
				return respond(403, nil, graphBody("Authentication_RequestFromNonPremiumTenantOrB2CTenant", "no premium license")), nil
			}
			page := auditPage(0, 1, "https://graph.microsoft.com/beta/auditLogs/signIns?$skiptoken=x")
			return respond(200, nil, strings.ReplaceAll(page, "activityDateTime", "createdDateTime")), nil
		}}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		done := make(chan error)
		go func() {
			s := auditSlice()
			s.Stream = "signins.interactive"
			_, _, err := all(t.Context(), f, s)
			done <- err
		}()
		time.Sleep(3 * time.Second) // its first page is there, and its second was refused
		began := time.Now()
		if _, _, err := all(t.Context(), f, auditSlice()); err != nil || time.Since(began) > 6*time.Second {
			t.Errorf("another stream waited %s behind %d requests: %v", time.Since(began), refused, err)
		}
		if err := <-done; KindOf(err) != KindLicence || refused != licenceTries || refused > 12 {
			t.Errorf("%d requests for one page: %v", refused, err)
		}
	})
}

// TestForbiddenLeavesTheToken: a stream without permission makes the next try bring a token of its own, but where none is to be had
// the others go on with the one that is good.
func TestForbiddenLeavesTheToken(t *testing.T) {
	for member, change := range map[string]func(*Config){"activityDateTime": nil, "activityDate": func(c *Config) { c.API = "azuread" }} {
		synctest.Test(t, func(t *testing.T) {
			given := 0
			a := &api{
				token: func(*http.Request) (*http.Response, error) {
					if given++; given > 1 {
						return respond(401, nil, `{"error":"invalid_client","error_description":"AADSTS7000222: expired"}`), nil
					}
					return respond(200, nil, `{"token_type":"Bearer","expires_in":3599,"access_token":"`+jwt(given)+`"}`), nil
				},
				serve: func(r *http.Request) (*http.Response, error) {
					if strings.Contains(strings.ToLower(r.URL.Path), "signin") {
						return respond(403, nil, graphBody("Authorization_RequestDenied", "no")), nil
					}
					return respond(200, nil, strings.ReplaceAll(auditPage(0, 1, ""), "activityDateTime", member)), nil
				},
			}
			f := newFetcher(t, a, testConfig(t, change), Options{})
			s := auditSlice()
			s.Stream = "signins.interactive"
			if _, _, err := all(t.Context(), f, s); CauseOf(err) != CausePermission {
				t.Fatal(err)
			}
			for range 10 {
				if _, _, err := all(t.Context(), f, auditSlice()); err != nil {
					t.Fatalf("%s: blocked by the other stream: %v", member, err)
				}
				time.Sleep(5 * time.Minute)
			}
			if given < 3 {
				t.Errorf("%s: %d tries for a new token", member, given-1)
			}
			time.Sleep(10 * time.Minute)
			if _, _, err := all(t.Context(), f, auditSlice()); CauseOf(err) != CauseSignIn {
				t.Errorf("%s: after the token's end: %v", member, err)
			}
		})
	}
}

// TestFurtherLicences: the words in which risks and Defender's records are refused for want of a licence. They cost no token.
func TestFurtherLicences(t *testing.T) {
	for _, c := range []struct {
		stream string
		status int
		body   string
	}{
		{"risk.detections", 403, graphBody("Forbidden", "Your tenant is not licensed for this feature.")},
		{"risk.users", 403, graphBody("Forbidden", "Your tenant is not licensed for this feature.")},
		{"security.alerts", 401, graphBody("UnknownError", "Account is not provisioned.")},
		{"security.alerts", 403, graphBody("Forbidden", "Account is not provisioned.")},
		{"security.incidents", 401, graphBody("Unauthorized", "Account is not provisioned.")},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(c.status, nil, c.body), nil }}
			f := newFetcher(t, a, testConfig(t, func(cfg *Config) { cfg.Streams = []string{c.stream} }), Options{})
			s := auditSlice()
			s.Stream = c.stream
			row, _ := Lookup(c.stream)
			for i := 1; i <= licenceLeast; i++ {
				_, _, err := all(t.Context(), f, s)
				if KindOf(err) != KindLicence || CauseOf(err) != CauseLicence || !strings.Contains(err.Error(), row.Licence) || (fault.Of(err) == fault.Blocked) != (i == licenceLeast) {
					t.Errorf("%s, refusal %d: kind %q, class %s: %v", c.stream, i, KindOf(err), fault.Of(err), err)
				}
				if len(a.requests) != i || a.tokens != 1 {
					t.Errorf("%s: %d requests, %d tokens after %d slices", c.stream, len(a.requests), a.tokens, i)
				}
				time.Sleep(2 * time.Minute)
			}
		})
	}
}

// TestPermissionsInDocs holds docs/streams.md and docs/auth.md against the table of streams.
func TestPermissionsInDocs(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile("../../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	permission := ""
	for line := range strings.Lines(read("streams.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		name, _, _ := strings.Cut(strings.Trim(cells[1], " `"), "`")
		row, ok := Lookup(name)
		if !ok {
			continue // of the limits
		}
		if said := strings.TrimSpace(cells[4]); said != "" {
			permission = said // else as in the line before
		}
		if row.Permission != permission {
			t.Errorf("docs/streams.md has %s need %q, the table %q", name, permission, row.Permission)
		}
	}
	if permission == "" {
		t.Error("docs/streams.md has no table of streams")
	}
	auth := strings.Join(strings.Fields(read("auth.md")), " ")
	if !strings.Contains(auth, readLogs) || strings.Count(auth, "AuditLog.Read.All") != strings.Count(auth, readLogs) {
		t.Errorf("docs/auth.md does not name %s together", readLogs)
	}
}
