package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const graphBase = "https://graph.example.com"

// fixedClock is a service clock that tests set by hand.
type fixedClock struct{ t time.Time }

func (c *fixedClock) now() time.Time { return c.t }

// user is a client of a server under test, with an access token.
type user struct {
	t      testing.TB
	server *Server
	client *http.Client
	token  string
}

func newUser(t testing.TB, opts Options) *user {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	u := &user{t: t, server: s, client: s.Client()}
	u.signIn(DefaultDomain)
	return u
}

func (u *user) signIn(tenant string) {
	u.t.Helper()
	resp, body := u.post(tenant, url.Values{"grant_type": {"client_credentials"}, "client_id": {DefaultClientID},
		"client_secret": {DefaultClientSecret}, "scope": {graphBase + "/.default"}})
	var reply struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &reply); err != nil || resp.StatusCode != 200 || reply.AccessToken == "" {
		u.t.Fatalf("sign in: %d %s %v", resp.StatusCode, body, err)
	}
	u.token = reply.AccessToken
}

func (u *user) post(tenant string, form url.Values) (*http.Response, []byte) {
	u.t.Helper()
	resp, err := u.client.PostForm("https://login.example.com/"+tenant+"/oauth2/v2.0/token", form)
	if err != nil {
		u.t.Fatal(err)
	}
	return resp, readAll(u.t, resp)
}

func readAll(t testing.TB, resp *http.Response) []byte {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// try gets an address; err is that of the request or of reading the body.
func (u *user) try(address string) (*http.Response, []byte, error) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func (u *user) get(address string) (*http.Response, []byte) {
	u.t.Helper()
	resp, body, err := u.try(address)
	if err != nil {
		u.t.Fatal(err)
	}
	return resp, body
}

// reply is a page, or an error.
type reply struct {
	Next  *string           `json:"@odata.nextLink"`
	Value []json.RawMessage `json:"value"`
	Error struct{ Code, Message string }
}

func (u *user) page(address string) reply {
	u.t.Helper()
	resp, body := u.get(address)
	var p reply
	if err := json.Unmarshal(body, &p); err != nil || resp.StatusCode != 200 {
		u.t.Fatalf("get %s: %d %.300s %v", address, resp.StatusCode, body, err)
	}
	return p
}

// pages follows the links from an address and returns the rows' ids in order.
func (u *user) pages(address string) (ids []string) {
	u.t.Helper()
	for range 1000 {
		p := u.page(address)
		ids = append(ids, idsOf(u.t, p.Value)...)
		if p.Next == nil {
			return ids
		}
		address = *p.Next
	}
	u.t.Fatal("no end of pages")
	return nil
}

func idsOf(t testing.TB, rows []json.RawMessage) (ids []string) {
	t.Helper()
	for _, raw := range rows {
		var m members
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatalf("row %.200s: %v", raw, err)
		}
		ids = append(ids, m.ID)
	}
	return ids
}

// signInsAt is a beta address; filter "" asks for all interactive sign-ins.
func signInsAt(filter string, more ...string) string {
	return address("/beta/auditLogs/signIns", filter, more...)
}

func address(path, filter string, more ...string) string {
	options := more
	if filter != "" {
		options = append([]string{"$filter=" + url.QueryEscape(filter)}, more...)
	}
	if len(options) == 0 {
		return graphBase + path
	}
	return graphBase + path + "?" + strings.Join(options, "&")
}

func kindOf(stream string) string {
	return "signInEventTypes/any(t: t eq '" + eventTypeNames[streamIndex(stream)] + "')"
}

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }
