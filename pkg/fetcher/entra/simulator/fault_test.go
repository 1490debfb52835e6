package simulator

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// faulty makes a user of a server with 100 interactive sign-ins, one a second, under a script.
func faulty(t *testing.T, rules ...Rule) (*user, *fixedClock) {
	clock := &fixedClock{epoch.Add(100 * time.Second)}
	u := newUser(t, Options{Now: clock.now, Seed: 5, Trace: true, Script: &Script{Rules: rules}, Generate: []Generate{{Stream: Interactive, Rate: 1, Since: epoch}}})
	return u, clock
}

const lastMinute = "createdDateTime ge 2026-03-01T12:00:40Z"

func TestWholeFaults(t *testing.T) {
	for _, tc := range []struct {
		rule       Rule
		status     int
		retryAfter string
		body       string // a part
	}{
		{Rule{Kind: Throttle}, 429, "", "TooManyRequests"},
		{Rule{Kind: Throttle, RetryAfter: "2.128"}, 429, "2.128", "TooManyRequests"},
		{Rule{Kind: Throttle, RetryAfter: "date 30s"}, 429, "Sun, 01 Mar 2026 12:02:10 GMT", "TooManyRequests"},
		{Rule{Kind: ServerError}, 503, "", "UnknownError"},
		{Rule{Kind: ServerError, Status: 502, RetryAfter: "5", Body: "bad gateway"}, 502, "5", "bad gateway"},
		{Rule{Kind: NoLicence}, 403, "", "Authentication_RequestFromNonPremiumTenantOrB2CTenant"},
		{Rule{Kind: NoRole}, 403, "", "AuditLog.Read.All"},
		{Rule{Kind: ExpiredToken}, 401, "", "InvalidAuthenticationToken"},
		{Rule{Kind: Garbage}, 200, "", "Sync_HM0PK_00001"},
		{Rule{Kind: Garbage, Form: "html"}, 200, "", "<html>"},
	} {
		tc.rule.Nth = []int{1}
		u, _ := faulty(t, tc.rule)
		resp, body := u.get(signInsAt(""))
		if resp.StatusCode != tc.status || resp.Header.Get("Retry-After") != tc.retryAfter || !strings.Contains(string(body), tc.body) {
			t.Errorf("%+v: %d, Retry-After %q, %.200s", tc.rule, resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
		if json.Valid(body) == (tc.status == 200 || tc.rule.Body != "") {
			t.Errorf("%+v: valid JSON is %t: %s", tc.rule, json.Valid(body), body)
		}
		if n := u.server.Stats().Faults[tc.rule.Kind]; n != 1 {
			t.Errorf("%+v: counted %d times", tc.rule, n)
		}
		for range u.server.Shown() {
			t.Fatalf("%+v: rows count as shown", tc.rule)
		}
		if tc.rule.Kind == ExpiredToken {
			if resp, _ := u.get(signInsAt("")); resp.StatusCode != 401 {
				t.Errorf("the revoked token: %d, want 401", resp.StatusCode)
			}
			u.signIn(DefaultDomain)
		}
		if p := u.page(signInsAt("")); len(p.Value) == 0 {
			t.Errorf("%+v: no rows after it", tc.rule)
		}
	}
}

func TestBrokenReplies(t *testing.T) {
	for _, tc := range []struct {
		rule   Rule
		broken bool // the client sees an error, not a short body
	}{
		{Rule{Kind: Reset, Nth: []int{1}}, true},
		{Rule{Kind: Truncate, Nth: []int{1}}, true},
		{Rule{Kind: Truncate, Form: "short", Nth: []int{1}}, false},
	} {
		u, _ := faulty(t, tc.rule)
		_, body, err := u.try(signInsAt(""))
		if tc.broken != (err != nil) || json.Valid(body) {
			t.Errorf("%+v: error %v, valid JSON is %t", tc.rule, err, json.Valid(body))
		}
		for row := range u.server.Shown() {
			t.Fatalf("%+v: %+v counts as shown", tc.rule, row)
		}
	}
}

func TestLinkFaults(t *testing.T) {
	first := signInsAt(lastMinute, "$top=10")
	next := func(t *testing.T, u *user, address string) string {
		t.Helper()
		p := u.page(address)
		if p.Next == nil {
			t.Fatalf("get %s: no nextLink", address)
		}
		return *p.Next
	}
	t.Run("loop", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: LoopLink, Page: "next"})
		second := next(t, u, first)
		if third := next(t, u, second); third != second || second == first {
			t.Errorf("%s leads to %s", second, third)
		}
	})
	t.Run("cycle", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: CycleLink, Page: "next"})
		a := next(t, u, first)
		b := next(t, u, a)
		if c := next(t, u, b); c != a || a == b {
			t.Errorf("%s leads to %s leads to %s", a, b, c)
		}
	})
	t.Run("cycle from the first page", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: CycleLink, Page: "first"})
		b := next(t, u, first)
		c := next(t, u, b)
		if again := next(t, u, c); again != b || strings.Contains(c, "skiptoken") {
			t.Errorf("%s leads to %s leads to %s", b, c, again)
		}
	})
	t.Run("foreign host", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: ForeignLink})
		if link := next(t, u, first); !strings.HasPrefix(link, "https://graph.elsewhere.example/beta/auditLogs/signIns?") {
			t.Error(link)
		}
	})
	t.Run("empty token", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: EmptyLink, Nth: []int{1}})
		link := next(t, u, first)
		resp, body := u.get(link)
		if !strings.HasSuffix(link, "$skiptoken=") || resp.StatusCode != 400 || !strings.Contains(string(body), "skip token is null") {
			t.Errorf("%s: %d %s", link, resp.StatusCode, body)
		}
	})
	t.Run("expired", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: ExpiredLink, Times: 1})
		link := next(t, u, first)
		if resp, body := u.get(link); resp.StatusCode != 400 || !strings.Contains(string(body), "Token not found: token is either invalid or expired") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		next(t, u, link)
	})
	t.Run("expired skip token", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: ExpiredLink, Form: "skip", Nth: []int{2}}, Rule{Kind: ExpiredLink, Form: "token", Nth: []int{3}})
		link := next(t, u, first)
		for _, want := range []string{`"value":[`, "Invalid Skip Token", "Token not found", `"value":[`} {
			if _, body := u.get(link); !strings.Contains(string(body), want) {
				t.Errorf("%.200s, want %s", body, want)
			}
		}
	})
	t.Run("empty page", func(t *testing.T) {
		u, _ := faulty(t, Rule{Kind: EmptyPage, Nth: []int{1, 3, 4}})
		p := u.page(first)
		q := u.page(*p.Next)
		if len(p.Value) != 0 || len(q.Value) != 10 {
			t.Errorf("%d and %d rows, want 0 and 10", len(p.Value), len(q.Value))
		}
		u, _ = faulty(t, Rule{Kind: EmptyPage, Nth: []int{1, 3, 4}})
		if ids := u.pages(first); len(ids) != 60 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 60 {
			t.Errorf("%d rows, want 60", len(ids))
		}
	})
}

func TestRowFaults(t *testing.T) {
	plain, _ := faulty(t)
	address := signInsAt(lastMinute, "$top=20")
	want := plain.pages(address)
	bounds := func(rows []json.RawMessage) (outside int) {
		for _, raw := range rows {
			var m members
			if json.Unmarshal(raw, &m); m.Created < "2026-03-01T12:00:40" {
				outside++
			}
		}
		return outside
	}
	for _, tc := range []struct {
		rule  Rule
		check func(p reply, all []string) bool
	}{
		{Rule{Kind: IgnoreFilter}, func(p reply, all []string) bool { return len(all) == 100 }},
		{Rule{Kind: OutsideRows, Rows: 3}, func(p reply, all []string) bool { return len(p.Value) == 23 && bounds(p.Value) == 3 }},
		{Rule{Kind: DuplicateRows, Rows: 2}, func(p reply, all []string) bool { return len(p.Value) == 22 && len(all) == 66 }},
		{Rule{Kind: DuplicateAcross, Rows: 2}, func(p reply, all []string) bool {
			return len(p.Value) == 20 && all[20] == all[18] && all[21] == all[19] && slices.Equal(slices.Compact(slices.Sorted(slices.Values(all))), slices.Sorted(slices.Values(want)))
		}},
		{Rule{Kind: NoID}, func(p reply, all []string) bool { return all[0] == "" && all[1] == want[1] && len(all) == 60 }},
		{Rule{Kind: NoTime, Rows: 20}, func(p reply, all []string) bool { return bounds(p.Value) == 20 && slices.Equal(all, want) }},
		{Rule{Kind: HugeRecord}, func(p reply, all []string) bool { return len(p.Value[0]) == hugeSize && slices.Equal(all, want) }},
		{Rule{Kind: HugeRecord, Size: 70_000}, func(p reply, all []string) bool { return len(p.Value[0]) == 70_000 }},
	} {
		u, _ := faulty(t, tc.rule)
		if p, all := u.page(address), u.pages(address); !tc.check(p, all) {
			t.Errorf("%+v: %d rows on the first page, %d in all, %d outside", tc.rule, len(p.Value), len(all), bounds(p.Value))
		}
	}
}

func TestWhen(t *testing.T) {
	for _, tc := range []struct {
		rule Rule
		want string // one sign for each of 12 requests, one a minute: x for a fault
	}{
		{Rule{Nth: []int{2, 5}}, ".x..x......."},
		{Rule{Every: 3}, "..x..x..x..x"},
		{Rule{Every: 3, Times: 2}, "..x..x......"},
		{Rule{From: 2 * time.Minute, Until: 5 * time.Minute}, "..xxx......."},
		{Rule{Stream: "signins.*"}, "xxxxxxxxxxxx"},
		{Rule{Stream: "audits"}, "............"},
		{Rule{Tenant: "CONTOSO.onmicrosoft.com", Nth: []int{1}}, "x..........."},
		{Rule{Tenant: "fabrikam.com"}, "............"},
		{Rule{Path: "/beta/auditlogs"}, "xxxxxxxxxxxx"},
		{Rule{Path: "oauth2"}, "............"},
		{Rule{Page: "next"}, "............"},
		{Rule{Probability: 1}, "xxxxxxxxxxxx"},
	} {
		tc.rule.Kind = ServerError
		u, clock := faulty(t)
		u.server.rules = newRuleStates([]Rule{tc.rule}, 1)
		got := ""
		clock.t = u.server.began
		for range 12 {
			resp, _ := u.get(signInsAt(""))
			got += map[int]string{200: ".", 503: "x"}[resp.StatusCode]
			clock.t = clock.t.Add(time.Minute)
		}
		if got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.rule, got, tc.want)
		}
	}
}

func TestDateSkewAndSlowReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Script: &Script{Rules: []Rule{{Kind: DateSkew, Skew: -90 * time.Second}, {Kind: Slow, Delay: time.Minute, Nth: []int{2}}, {Kind: ServerError, Path: "oauth2", Nth: []int{1}}}}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		u := &user{t: t, server: s, client: s.Client()}
		if resp, _ := u.post(DefaultTenantID, nil); resp.StatusCode != 503 {
			t.Errorf("token: %d, want 503", resp.StatusCode)
		}
		u.signIn(DefaultTenantID)
		for _, delay := range []time.Duration{0, time.Minute} {
			before := time.Now()
			resp, _ := u.get(signInsAt(""))
			if took := time.Since(before); took != delay {
				t.Errorf("took %v, want %v", took, delay)
			}
			date, err := http.ParseTime(resp.Header.Get("Date"))
			if err != nil || !date.Equal(time.Now().Add(-90*time.Second).Truncate(time.Second)) {
				t.Errorf("Date %v at %v, want 90 s less; %v", date, time.Now().UTC(), err)
			}
		}
	})
}

func TestScriptFile(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	example := strings.Join(regexp.MustCompile(`(?m)^//\t(.*)$`).FindAllString(string(source), -1), "\n")
	file := filepath.Join(t.TempDir(), "script.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(example, "//\t", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadScript(file)
	if err != nil {
		t.Fatal("the package comment's example:", err)
	}
	if len(s.Rules) != 9 || s.Rules[6].At != 90*time.Minute || s.Rules[7].Span != 2*time.Hour || s.Rules[0].Nth[0] != 3 || s.Rules[0].RetryAfter != "2.128" || s.Rules[1].Until != 20*time.Minute || s.Rules[5].Skew != -90*time.Second {
		t.Errorf("%+v", s.Rules)
	}
	for text, want := range map[string]string{
		"rules: [{kind: throttle, evry: 3}]":                    `unknown field "evry"`,
		"rules: [{kind: thottle}]":                              "rule 1 (thottle): unknown kind",
		"faults: []":                                            `unknown field "faults"`,
		"rules: [{kind: slow}]":                                 "needs a delay",
		"rules: [{kind: date_skew}]":                            "needs a skew",
		"rules: [{kind: long_window}]":                          "needs a span",
		"rules: [{kind: many_rows}]":                            "needs rows",
		"rules: [{kind: poison, span: -1s}]":                    "span and delay",
		"rules: [{kind: expired_link, form: html}]":             `form "html", want one of [token skip]`,
		"rules: [{kind: throttle, page: last}]":                 `page "last"`,
		"rules: [{kind: throttle, stream: '['}]":                "is not a pattern",
		"rules: [{kind: throttle, nth: [0]}]":                   "nth counts from 1",
		"rules: [{kind: throttle, retry_after: date soon}]":     `retry_after "date soon"`,
		"rules: [{kind: error, status: 200}]":                   "status 200",
		"rules: [{kind: error, from: 2m, until: 1m}]":           "until is not after from",
		"rules: [{kind: truncate, form: html}]":                 `form "html"`,
		"rules: [{kind: throttle, probability: 1.5}]":           "probability",
		"rules: [{kind: throttle, delay: quick}]":               "quick",
		"rules: [{kind: throttle}, {kind: throttle, rows: -1}]": "rule 2",
	} {
		if _, err := ParseScript([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := LoadScript(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzScript(f *testing.F) {
	f.Add([]byte("rules:\n  - {kind: throttle, nth: [1], from: 1m}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := ParseScript(data); err == nil {
			if _, err := New(Options{Script: s}); err != nil {
				t.Fatalf("read, but refused: %v", err)
			}
		}
	})
}
