package auth

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
)

// TestBusyForADay: whatever pause an endpoint asks for, by seconds or by a date of its own clock, it is not kept up for longer than
// ten minutes.
func TestBusyForADay(t *testing.T) {
	for _, c := range []struct {
		after string
		pause time.Duration
	}{
		{"86400", 10 * time.Minute},
		{"Sat, 01 Jan 2000 12:00:00 GMT", 10 * time.Minute},
		{"Sat, 01 Jan 2000 03:00:30 GMT", 30 * time.Second}, // the service's clock is three hours ahead
		{"Sat, 01 Jan 2000 00:00:30 GMT", 0},
	} {
		synctest.Test(t, func(t *testing.T) { // begins on 1 January 2000
			header := http.Header{"Retry-After": {c.after}}
			now := func() time.Time { return time.Now().Add(3 * time.Hour) }
			s, _ := newSourceAt(t, Options{TokenURL: "https://login.example.com/t/oauth2/v2.0/token", Scope: "https://graph.example.com/.default", Now: now},
				func(url.Values) (int, http.Header, string) { return 503, header, "" })
			if _, err := s.Token(t.Context()); fault.Pause(err) != c.pause || fault.Of(err) != fault.Retryable {
				t.Errorf("sign-in host, %s: pause %s: %v", c.after, fault.Pause(err), err)
			}
			m := &machine{o: Options{Now: now}}
			err := m.refusal(&http.Response{StatusCode: 429, Header: header}, "busy")
			if fault.Pause(err) != c.pause || fault.Of(err) != fault.Retryable {
				t.Errorf("identity endpoint, %s: pause %s: %v", c.after, fault.Pause(err), err)
			}
		})
	}
}

// TestEndedWhileAsked: a token that ends while a person is waited for is given to nobody, nor is one that was refused while the
// next one was asked for.
func TestEndedWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		p.onAsk = func(ask Prompt) { p.Enter(ask.Code, nil) }
		s := p.source(personal(p))
		first := p.token(s)
		p.onAsk = nil // nobody is there
		p.Revoke()
		time.Sleep(time.Until(first.Expiry) - 2*time.Minute)
		got, err := s.Token(t.Context())
		if err == nil || fault.Of(err) != fault.Blocked {
			t.Errorf("an ended token is given, good until %s at %s: %v", got.Expiry, time.Now(), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s, _ := newSource(t, func(url.Values) (int, http.Header, string) {
			if n++; n > 1 {
				time.Sleep(time.Minute)
				return 503, nil, ""
			}
			return granted(n, 3600)
		})
		first, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(56 * time.Minute)
		go func() {
			time.Sleep(30 * time.Second)
			s.Discard(first)
		}()
		if got, err := s.Token(t.Context()); err == nil || fault.Of(err) != fault.Retryable {
			t.Errorf("a discarded token is given: %q, %v", got.Access, err)
		}
	})
}

// TestRenew: a token that is to be replaced is used on for as long as there is no other; the next one is tried for now and then, by
// one caller at a time. A token that was replaced already is left alone.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		credentials[0].turn(p, 1, true)
		s := p.source(credentials[0].cfg(p))
		first := p.token(s)
		p.Fail(&authtest.Refusal{Status: 401, Word: "invalid_client", Number: 7000222})
		for range 30 { // 10 minutes, and a refusal of the stream every 20 s
			s.Renew(first)
			if p.token(s).Access != first.Access {
				t.Fatal("another token out of nothing")
			}
			time.Sleep(20 * time.Second)
		}
		if n := len(p.Requests()) - 1; n < 2 || n > 4 {
			t.Errorf("%d tries in 10 minutes", n)
		}
		if n := s.Standing().Notes; len(n) != 1 {
			t.Errorf("the standing says %+v", n)
		}
		p.Fail(nil)
		time.Sleep(retryLater)
		second := p.token(s)
		if second.Access == first.Access || len(s.Standing().Notes) != 0 {
			t.Errorf("no new token, or trouble stays: %+v", s.Standing().Notes)
		}
		s.Renew(first)
		if p.token(s).Access != second.Access {
			t.Error("a token is replaced for the sake of an older one")
		}
		s.Renew(second)
		if p.token(s).Access == second.Access {
			t.Error("the next call does not try")
		}
	})
}
