package simulator

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenEndpoint(t *testing.T) {
	u := newUser(t, Options{Clients: map[string]string{DefaultClientID: DefaultClientSecret, "other": "p+q r&s"}})
	good := func(change string) url.Values {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {DefaultClientID}, "client_secret": {DefaultClientSecret}, "scope": {graphBase + "/.default"}}
		if name, value, ok := strings.Cut(change, "="); ok {
			form.Set(name, value)
		} else {
			form.Del(name)
		}
		return form
	}
	for _, tc := range []struct {
		tenant string
		form   url.Values
		status int
		want   string
	}{
		{DefaultDomain, good(""), 200, `"token_type":"Bearer"`},
		{strings.ToUpper(DefaultTenantID), good(""), 200, `"expires_in":3599`},
		{DefaultDomain, good("client_secret=wrong"), 401, "AADSTS7000215"},
		{DefaultDomain, good("client_secret"), 401, "AADSTS7000218"},
		{DefaultDomain, good("client_id=nobody"), 400, "AADSTS700016"},
		{DefaultDomain, good("grant_type=password"), 400, "unsupported_grant_type"},
		{DefaultDomain, good("grant_type"), 400, "AADSTS900144"},
		{DefaultDomain, good("scope=https://graph.example.com/User.Read"), 400, "AADSTS1002012"},
		{DefaultDomain, good("scope"), 400, "AADSTS900144"},
		{"fabrikam.com", good(""), 400, "AADSTS90002"},
		{DefaultDomain, url.Values{"grant_type": {"client_credentials"}, "client_id": {DefaultClientID}, "scope": {graphBase + "/.default"}, "client_assertion": {"a.b.c"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}, 200, "access_token"},
	} {
		if resp, body := u.post(tc.tenant, tc.form); resp.StatusCode != tc.status || !strings.Contains(string(body), tc.want) {
			t.Errorf("%s %v: %d %s, want %d %s", tc.tenant, tc.form, resp.StatusCode, body, tc.status, tc.want)
		}
	}
	req, _ := http.NewRequest("POST", "https://login.example.com/"+DefaultDomain+"/oauth2/token", strings.NewReader("grant_type=client_credentials&resource=https%3A%2F%2Fgraph.example.com"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("other", url.QueryEscape("p+q r&s"))
	resp, err := u.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp); !strings.Contains(string(body), `"expires_in":"3599"`) {
		t.Errorf("v1 with Basic: %s", body)
	}
}

func TestAccessTokens(t *testing.T) {
	clock := &fixedClock{epoch}
	u := newUser(t, Options{Now: clock.now, TokenLife: 10 * time.Minute})
	good := u.token
	parts := strings.Split(good, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err != nil || json.Unmarshal(payload, &c) != nil || c.Tenant != DefaultTenantID || c.Client != DefaultClientID || c.Audience != graphBase ||
		c.Expires != epoch.Add(10*time.Minute).Unix() || !slices.Contains(c.Roles, "AuditLog.Read.All") {
		t.Fatalf("claims %s", payload)
	}
	c.Expires += 1000
	forged, _ := json.Marshal(c)
	for name, tc := range map[string]struct {
		token string
		after time.Duration
		want  int
	}{
		"good":        {good, 599 * time.Second, 200},
		"expired":     {good, 600 * time.Second, 401},
		"forged":      {parts[0] + "." + base64.RawURLEncoding.EncodeToString(forged) + "." + parts[2], 0, 401},
		"not a token": {"abc", 0, 401},
		"none":        {"", 0, 401},
	} {
		u.token, clock.t = tc.token, epoch.Add(tc.after)
		if resp, body := u.get(signInsAt("")); resp.StatusCode != tc.want || (tc.want == 401) != strings.Contains(string(body), "InvalidAuthenticationToken") {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, body, tc.want)
		}
	}
}

func TestTenantsWithoutLicenceOrRole(t *testing.T) {
	u := newUser(t, Options{Tenants: []Tenant{
		{ID: DefaultTenantID, Domain: DefaultDomain, Free: true},
		{ID: "7c9e6679-7425-40de-944b-e07fc1f90ae7", Domain: "fabrikam.com", Roles: []string{}},
	}})
	audits := address("/v1.0/auditLogs/directoryAudits", "")
	for _, tc := range []struct {
		tenant, address string
		status          int
		code            string
	}{
		{DefaultDomain, signInsAt(""), 403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant"},
		{DefaultDomain, audits, 200, "value"},
		{"fabrikam.com", audits, 403, "Authentication_MSGraphPermissionMissing"},
	} {
		u.signIn(tc.tenant)
		if resp, body := u.get(tc.address); resp.StatusCode != tc.status || !strings.Contains(string(body), tc.code) {
			t.Errorf("%s %s: %d %s", tc.tenant, tc.address, resp.StatusCode, body)
		}
	}
}

func TestHeaders(t *testing.T) {
	u := newUser(t, Options{Now: (&fixedClock{epoch}).now})
	req, _ := http.NewRequest("GET", signInsAt(""), nil)
	req.Header.Set("Authorization", "Bearer "+u.token)
	req.Header.Set("client-request-id", "my-id")
	resp, err := u.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if h := resp.Header; h.Get("Date") != "Sun, 01 Mar 2026 12:00:00 GMT" || h.Get("client-request-id") != "my-id" || len(h.Get("request-id")) != 36 {
		t.Errorf("%v", h)
	}
}

func TestBudget(t *testing.T) {
	clock := &fixedClock{epoch}
	u := newUser(t, Options{Now: clock.now, Monotonic: clock.now, Budget: Budget{5, 10 * time.Second}})
	var got []string
	for _, at := range []float64{0, 1, 2, 3, 4, 5, 9.5, 11, 30, 30.25, 30.5, 30.75, 31, 31.25} {
		clock.t = epoch.Add(time.Duration(at * 1e9))
		resp, _ := u.get(signInsAt(""))
		got = append(got, strconv.Itoa(resp.StatusCode)+resp.Header.Get("Retry-After"))
	}
	// The sixth waits for the second to leave the window: what is refused counts, so its own place moves the window on.
	want := "200 200 200 200 200 4296.000 4292.500 4292.000 200 200 200 200 200 4299.000"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	stats := u.server.Stats()
	if stats.Throttled != 4 || stats.Busiest[Caller{DefaultTenantID, DefaultClientID}] != 7 || stats.Requests[Interactive] != 14 || stats.Requests["token"] != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestAddedRecordsAppearAndChange(t *testing.T) {
	clock := &fixedClock{epoch}
	u := newUser(t, Options{Now: clock.now, Trace: true})
	err := u.server.Add(Audits, Record{
		Raw:     []byte(`{"id":"a","activityDateTime":"2026-03-01T11:00:00Z"}`),
		Appears: epoch.Add(time.Minute),
		Updates: []Update{{epoch.Add(2 * time.Minute), []byte(`{"id":"a","activityDateTime":"2026-03-01T11:00:00Z","result":"x"}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`[]`, `[{"id":"a","activityDateTime":"2026-03-01T11:00:00Z"}]`, `[{"id":"a","activityDateTime":"2026-03-01T11:00:00Z","result":"x"}]`}
	for i, rows := range want {
		clock.t = epoch.Add(time.Duration(i) * time.Minute)
		if _, body := u.get(address("/v1.0/auditLogs/directoryAudits", "")); !bytes.Contains(body, []byte(`"value":`+rows+"}")) {
			t.Errorf("after %d min: %s, want %s", i, body, rows)
		}
	}
	shown := slices.Collect(u.server.Shown())
	expected := slices.Collect(u.server.Expected(clock.t))
	row := Row{DefaultTenantID, Audits, "a", 0, epoch.Add(-time.Hour), epoch.Add(time.Minute)}
	changed := Row{DefaultTenantID, Audits, "a", 1, epoch.Add(-time.Hour), epoch.Add(2 * time.Minute)}
	if !slices.Equal(shown, []Row{row, changed}) || !slices.Equal(expected, []Row{changed}) {
		t.Errorf("shown %+v, expected %+v", shown, expected)
	}
	for _, tc := range []struct{ stream, raw string }{{"risk", `{}`}, {Audits, `{"id":"x"}`}, {Audits, `[]`}, {Audits, `{"activityDateTime":"yesterday"}`}} {
		if err := u.server.Add(tc.stream, Record{Raw: []byte(tc.raw)}); err == nil {
			t.Errorf("Add(%s, %s) succeeds", tc.stream, tc.raw)
		}
	}
}

func TestLoadFile(t *testing.T) {
	const user = `{"id":"i","createdDateTime":"2026-03-01T11:00:00Z","isInteractive":true}`
	const app = `{"id":"s","createdDateTime":"2026-03-01T11:00:00Z","isInteractive":false,"signInEventTypes":["servicePrincipal"]}`
	const quiet = `{"id":"n","createdDateTime":"2026-03-01T11:00:00Z","isInteractive":false}`
	const audit = `{"id":"a","activityDateTime":"2026-03-01T11:00:00Z"}`
	for name, text := range map[string]string{
		"page":   `{"@odata.context":"x","value":[` + user + "," + app + "," + quiet + "," + audit + `]}`,
		"array":  "[" + user + ",\n" + app + "," + quiet + "," + audit + "]\n",
		"ndjson": user + "\n" + app + "\n\n" + quiet + "\n" + audit,
	} {
		s, err := New(Options{Now: (&fixedClock{epoch}).now})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "records.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := s.LoadFile(file)
		got := ""
		for row := range s.Expected(epoch) {
			got += row.Stream + "=" + row.ID + " "
		}
		if err != nil || n != 4 || got != "signins.interactive=i signins.noninteractive=n signins.serviceprincipal=s audits=a " {
			t.Errorf("%s: %d %v %s", name, n, err, got)
		}
	}
	s, _ := New(Options{})
	for _, text := range []string{"", "{", `{"value":[{"id":"x"}]}`, `"text"`, `[1]`} {
		file := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.LoadFile(file); err == nil || !strings.Contains(err.Error(), "bad.json") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzSplitRecords(f *testing.F) {
	f.Add([]byte(`{"value":[{"id":"x"}]}`))
	f.Add([]byte("{}\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := splitRecords(data)
		for _, raw := range list {
			if err == nil && !json.Valid(raw) {
				t.Fatalf("%q gives %q", data, raw)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for want, opts := range map[string]Options{
		"unknown stream":       {Generate: []Generate{{Stream: "risk", Rate: 1}}},
		"Rate must":            {Generate: []Generate{{Stream: Audits}}},
		"Until is before":      {Generate: []Generate{{Stream: Audits, Rate: 1, Since: epoch, Until: epoch.Add(-1)}}},
		"0 <= Median":          {Generate: []Generate{{Stream: Audits, Rate: 1, Lateness: Lateness{Median: 2, P95: 1}}}},
		"needs a Median":       {Generate: []Generate{{Stream: Audits, Rate: 1, Lateness: Lateness{P95: 1}}}},
		"below P95":            {Generate: []Generate{{Stream: Audits, Rate: 1, Lateness: Lateness{Median: 2, P95: 3, Max: 2}}}},
		"Share must":           {Generate: []Generate{{Stream: Audits, Rate: 1, Updates: Updates{Share: 2}}}},
		"unknown tenant":       {Generate: []Generate{{Stream: Audits, Rate: 1, Tenant: "fabrikam.com"}}},
		"Burst must":           {Generate: []Generate{{Stream: Audits, Rate: 3, Burst: 2}}},
		"OldestBound must":     {OldestBound: -1},
		"want at most 65535":   {Tenants: Tenants(1 << 16)},
		"needs Per":            {Budget: Budget{Requests: 1}},
		"needs ID":             {Tenants: []Tenant{{ID: "x"}}},
		"there twice":          {Tenants: []Tenant{{ID: "x", Domain: "y"}, {ID: "z", Domain: "Y"}}},
		"rule 1 (x): unknown ": {Script: &Script{Rules: []Rule{{Kind: "x"}}}},
	} {
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", opts, err, want)
		}
	}
}

func TestListen(t *testing.T) {
	s, err := New(Options{Generate: []Generate{{Stream: Interactive, Rate: 10, Since: time.Now().Add(-time.Minute)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, withTLS := range []bool{false, true} {
		l, err := s.Listen("127.0.0.1:0", withTLS)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		if withTLS {
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(l.CA) {
				t.Fatal("no certificate in CA")
			}
			transport.TLSClientConfig = &tls.Config{RootCAs: pool}
		}
		client := &http.Client{Transport: transport}
		resp, err := client.PostForm(l.URL+"/"+DefaultDomain+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {DefaultClientID},
			"client_secret": {DefaultClientSecret}, "scope": {l.URL + "/.default"}})
		if err != nil {
			t.Fatal(err)
		}
		var token struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.Unmarshal(readAll(t, resp), &token); err != nil {
			t.Fatal(err)
		}
		u := &user{t: t, server: s, client: client, token: token.AccessToken}
		if p := u.page(l.URL + "/beta/auditLogs/signIns?$top=3"); len(p.Value) != 3 || p.Next == nil || !strings.HasPrefix(*p.Next, l.URL+"/beta/") {
			t.Errorf("TLS %t: %d rows, next %v", withTLS, len(p.Value), p.Next)
		}
		transport.CloseIdleConnections()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReaderInABubble polls for two simulated days, at the cost of milliseconds, and must have seen what Shown says.
func TestReaderInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Seed: 3, Trace: true, Budget: Budget{5, 10 * time.Second},
			Generate: []Generate{{Stream: NonInteractive, Rate: 0.004, Lateness: Lateness{Median: 2 * time.Minute, P95: 10 * time.Minute, TailShare: 0.01, Max: 6 * time.Hour}, Updates: Updates{Share: 0.05}}}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		u := &user{t: t, server: s, client: s.Client()}
		start := time.Now()
		got := map[string]bool{}
		for range 48 * 6 {
			if time.Since(start)%time.Hour < 10*time.Minute {
				u.signIn(DefaultDomain)
			}
			for _, id := range u.pages(signInsAt(kindOf(NonInteractive) + " and createdDateTime ge " + iso(time.Now().Add(-7*time.Hour)))) {
				got[id] = true
			}
			time.Sleep(10 * time.Minute)
		}
		expected, shown := 0, map[string]bool{}
		for row := range s.Expected(time.Now().Add(-10 * time.Minute)) {
			expected++
			if !got[row.ID] {
				t.Errorf("%+v was not read", row)
			}
		}
		for row := range s.Shown() {
			shown[row.ID] = true
		}
		if expected < 600 || len(shown) != len(got) {
			t.Errorf("%d expected, %d shown, %d read", expected, len(shown), len(got))
		}
	})
}

// TestAbandonedReplyIsNotShown leaves a page after its first bytes, as a reader does that is killed.
func TestAbandonedReplyIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Trace: true, Generate: []Generate{{Stream: Interactive, Rate: 1, Since: time.Now().Add(-time.Hour)}}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		u := &user{t: t, server: s, client: s.Client()}
		u.signIn(DefaultDomain)
		req, _ := http.NewRequest("GET", signInsAt(""), nil)
		req.Header.Set("Authorization", "Bearer "+u.token)
		resp, err := u.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		synctest.Wait()
		for row := range s.Shown() {
			t.Fatalf("%+v counts as shown", row)
		}
	})
}

// TestThrottleHasAClockOfItsOwn lets the service's clock jump about: the budget and what Busiest counts are measured by another.
func TestThrottleHasAClockOfItsOwn(t *testing.T) {
	now, steady := &fixedClock{epoch}, &fixedClock{epoch}
	u := newUser(t, Options{Now: now.now, Monotonic: steady.now, TokenLife: 24 * time.Hour, Budget: Budget{5, 10 * time.Second}})
	var got []int
	for i := range 20 {
		now.t = epoch.Add([]time.Duration{0, time.Hour, -2 * time.Hour}[i%3])
		resp, _ := u.get(signInsAt(""))
		got = append(got, resp.StatusCode)
		steady.t = steady.t.Add([]time.Duration{2 * time.Second, 1900 * time.Millisecond}[i/10])
	}
	want := slices.Concat(slices.Repeat([]int{200}, 11), []int{429, 429, 429, 429, 429, 429, 429, 429, 429})
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if n := u.server.Stats().Busiest[Caller{DefaultTenantID, DefaultClientID}]; n != 6 {
		t.Errorf("%d requests in the busiest 10 s, want 6", n)
	}
}
