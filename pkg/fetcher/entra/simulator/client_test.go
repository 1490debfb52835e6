package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestClientIsLikeASocket holds Client's transport against net/http's over loopback: replies, breaks, and what net/http sends again by itself.
func TestClientIsLikeASocket(t *testing.T) {
	repeated := false
	for _, rules := range [][]Rule{
		nil,
		{{Kind: ServerError, Nth: []int{2}, RetryAfter: "7", Body: "busy"}},
		{{Kind: Throttle, Nth: []int{1}}},
		{{Kind: ExpiredToken, Nth: []int{2}}},
		{{Kind: Garbage, Form: "html", Every: 2}},
		{{Kind: Truncate, Nth: []int{2}}, {Kind: Reset, Nth: []int{3, 5, 6}}},
		{{Kind: Truncate, Form: "short", Nth: []int{2}}},
		{{Kind: Reset, Nth: []int{1, 3}}},
		{{Kind: Reset, Nth: []int{2, 3}}, {Kind: LoopLink}},
		{{Kind: Reset, Nth: []int{4}}},
		{{Kind: Reset, Path: "oauth2", Nth: []int{2}}},
	} {
		socket, memory := converse(t, rules, true), converse(t, rules, false)
		for i := range socket {
			if socket[i] != memory[i] {
				t.Errorf("%+v, step %d:\nsocket %s\nmemory %s", rules, i+1, socket[i], memory[i])
			}
			repeated = repeated || strings.HasPrefix(memory[i], "2 attempts, HTTP/1.1 200")
		}
		if !strings.Contains(strings.Join(socket, ""), "200 OK") {
			t.Errorf("%+v: nothing worked: %s", rules, socket)
		}
	}
	if !repeated {
		t.Error("no request was sent again: the test tests too little")
	}
}

// converse sends some requests and returns what came of each.
func converse(t *testing.T, rules []Rule, socket bool) (steps []string) {
	clock := &fixedClock{epoch}
	u := newUser(t, Options{Now: clock.now, Seed: 5, Trace: true, Script: &Script{Rules: rules}, Generate: []Generate{{Stream: Interactive, Rate: 1, Since: epoch.Add(-time.Minute)}}})
	if socket {
		l, err := u.server.Listen("127.0.0.1:0", false)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(l.URL, "http://"))
		}}
		defer transport.CloseIdleConnections()
		u.client = &http.Client{Transport: transport}
	}
	for i := range 8 {
		method, address, form := http.MethodGet, "http://graph.example.com/beta/auditLogs/signIns?$top=4", ""
		if i%3 == 2 {
			method, address, form = http.MethodPost, "http://login.example.com/"+DefaultDomain+"/oauth2/token",
				"grant_type=client_credentials&resource=x&client_secret="+DefaultClientSecret+"&client_id="+DefaultClientID
		}
		attempts := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(string) { attempts++ }})
		req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		if form == "" {
			req.Body = nil
		}
		req.Header.Set("Authorization", "Bearer "+u.token)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := u.client.Do(req)
		if err != nil {
			steps = append(steps, fmt.Sprintf("%d attempts, broken", attempts))
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		shown := 0
		for range u.server.Shown() {
			shown++
		}
		steps = append(steps, fmt.Sprintf("%d attempts, %s %s %d %v %v, %d shown, %s", attempts, resp.Proto, resp.Status, resp.ContentLength, resp.Header, err, shown, body))
	}
	return steps
}

func TestClosedServerRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Script: &Script{Rules: []Rule{{Kind: Slow, Delay: time.Hour}}}})
		if err != nil {
			t.Fatal(err)
		}
		u := &user{t: t, server: s, client: s.Client()}
		u.signIn(DefaultDomain)
		done := make(chan error)
		go func() {
			_, _, err := u.try(signInsAt(""))
			done <- err
		}()
		synctest.Wait()
		s.Close()
		if err := <-done; !errors.Is(err, errClosed) {
			t.Errorf("a request under way: %v", err)
		}
		if _, _, err := u.try(signInsAt("")); !errors.Is(err, errClosed) {
			t.Errorf("a further request: %v", err)
		}
	})
}

// TestImpatientClient ends a slow request, and one whose body is not read yet, by their context.
func TestImpatientClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Trace: true, Generate: []Generate{{Stream: Interactive, Rate: 1, Since: time.Now().Add(-time.Minute)}},
			Script: &Script{Rules: []Rule{{Kind: Slow, Delay: time.Hour, Nth: []int{1}}}}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		u := &user{t: t, server: s, client: s.Client()}
		u.signIn(DefaultDomain)
		u.client.Timeout = time.Minute
		before := time.Now()
		if _, _, err := u.try(signInsAt("")); !errors.Is(err, context.DeadlineExceeded) || time.Since(before) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(before))
		}
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, signInsAt(""), nil)
		req.Header.Set("Authorization", "Bearer "+u.token)
		resp, err := u.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("read after the end: %v", err)
		}
		resp.Body.Close()
		for row := range s.Shown() {
			t.Fatalf("%+v counts as shown", row)
		}
	})
}
