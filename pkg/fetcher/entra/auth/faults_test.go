package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
)

// TestFaultsNamed: each number is told in words that say what to mend and by whom.
func TestFaultsNamed(t *testing.T) {
	for _, c := range []struct {
		way    string
		number int
		says   []string
	}{
		{bySecret, 7000215, []string{"client secret is wrong", "not its id"}},
		{bySecret, 7000222, []string{"client secret has expired", "create a new one"}},
		{bySecret, 700016, []string{"no such app", "consented"}},
		{bySecret, 7000112, []string{"disabled", "administrator", "enterprise applications"}},
		{bySecret, 7000229, []string{"no service principal", "administrator"}},
		{bySecret, 65001, []string{"consent", "Privileged Role Administrator"}},
		{bySecret, 53003, []string{"workload identities", "Conditional Access Administrator"}},
		{byCertificate, 700027, []string{"not registered with the app", "owner", "thumbprint"}},
		{byCertificate, 700024, []string{"clock", "NTP"}},
		{byCertificate, 500133, []string{"clock", "NTP"}},
		{byFederation, 700024, []string{"token in federated_token_file has ended", "kubelet", "ends at"}},
		{byFederation, 70021, []string{"federated credential", trust.Issuer, trust.Subject, trust.Audience}},
		{byFederation, 700213, []string{"federated credential", "the subject differs", trust.Subject}},
		{byFederation, 700211, []string{"the issuer differs", trust.Issuer}},
		{byFederation, 700212, []string{"the audience differs", trust.Audience}},
		{byFederation, 50013, []string{"published keys"}},
	} {
		t.Run(fmt.Sprint(c.way, " ", c.number), func(t *testing.T) {
			p := newPlace(t)
			way := credentials[slices.IndexFunc(credentials, func(w struct {
				name string
				cfg  func(*place) Config
				turn func(*place, int, bool) []string
			}) bool {
				return w.name == c.way
			})]
			way.turn(p, 1, true)
			p.Fail(&authtest.Refusal{Status: 401, Word: "invalid_client", Number: c.number})
			_, err := p.source(way.cfg(p)).Token(t.Context())
			if fault.Of(err) != fault.Blocked {
				t.Errorf("class %s: %v", fault.Of(err), err)
			}
			for _, want := range append(c.says, fmt.Sprint("AADSTS", c.number), authtest.Client) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

// TestPersonFaults: a refusal that only the person can mend asks them again, with the reason; others are told.
func TestPersonFaults(t *testing.T) {
	for number, says := range map[int]string{
		50076: "multi-factor authentication", 50079: "register for multi-factor", 53003: "Conditional Access Administrator", 700082: "refresh token has expired",
		50173: "revoked", 50057: "disabled", 50053: "locked", 50055: "password has expired", 65001: "admin consent", 50105: "assign the user", 7000218: "public client flows",
	} {
		p := newPlace(t)
		p.write("refresh", []byte("refresh-of-before"))
		p.Fail(&authtest.Refusal{Status: 400, Word: "invalid_grant", Number: number})
		_, err := p.source(personal(p)).Token(t.Context())
		if fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), says) {
			t.Errorf("%d: %v", number, err)
		}
		if n := len(p.Requests()); n != 2 || !strings.HasSuffix(p.Requests()[1].URL.Path, "/devicecode") {
			t.Errorf("%d: %d requests", number, n)
		}
	}
}

// TestRealRefusals: what the authority really finds wrong, not what it is told to say.
func TestRealRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		key := keys()[0]
		for name, c := range map[string]struct {
			change func(*authtest.Trust)
			life   time.Duration
			says   string
		}{
			"subject":  {func(a *authtest.Trust) { a.Subject = "system:serviceaccount:default:other" }, time.Hour, "AADSTS700213"},
			"audience": {func(a *authtest.Trust) { a.Audience = "https://other.example.com" }, time.Hour, "AADSTS700212"},
			"issuer":   {func(a *authtest.Trust) { a.Issuer = "https://other.example.com" }, time.Hour, "AADSTS700211"},
			"ended":    {func(*authtest.Trust) {}, -10 * time.Minute, "has ended"},
		} {
			at := trust
			at.Key = &key.PublicKey
			p.Federate(at)
			c.change(&at)
			p.write("credential", []byte(at.Token(key, time.Now().Add(-time.Hour), time.Now().Add(c.life))))
			if _, err := p.source(credentials[2].cfg(p)).Token(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestClockSetRight: the first assertion of a machine whose clock is wrong is refused; the reply tells the time, and the second is
// not. A clock that stays wrong is told.
func TestClockSetRight(t *testing.T) {
	for _, mends := range []bool{true, false} {
		p := newPlace(t)
		credentials[1].turn(p, 1, true)
		p.options.Now = func() time.Time {
			if mends && len(p.Requests()) > 0 {
				return time.Now()
			}
			return time.Now().Add(-2 * time.Hour)
		}
		_, err := p.source(credentials[1].cfg(p)).Token(t.Context())
		if n := len(p.Requests()); mends != (err == nil) || mends && n != 2 || !mends && (n != 1 || !strings.Contains(err.Error(), "NTP")) {
			t.Errorf("mends %v: %d requests, %v", mends, n, err)
		}
	}
}

// TestCanary follows each way through its life, with refusals that quote all that was sent, and looks for its secrets in whatever
// was said.
func TestCanary(t *testing.T) {
	for _, c := range credentials {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				p.Echo = true
				said := &strings.Builder{}
				canaries := c.turn(p, 1, true)
				s := p.source(c.cfg(p))
				p.token(s)
				canaries = append(canaries, c.turn(p, 2, false)...) // refused, with an echo
				time.Sleep(time.Minute)
				p.token(s)
				say(said, c.cfg(p), s, s.Standing())
				p.Fail(&authtest.Refusal{Status: 400, Word: "invalid_request", Number: 1})
				for _, status := range []int{400, 401, 503} {
					p.Fail(&authtest.Refusal{Status: status, Word: "invalid_request"})
					s.Discard(p.cached(s))
					_, err := s.Token(t.Context())
					sayError(said, err)
				}
				p.Fail(nil)
				canaries = append(canaries, c.turn(p, 3, true)...)
				time.Sleep(10 * time.Second)
				p.token(s)
				p.checkSaid(said, s, canaries)
			})
		})
	}
	t.Run(byPerson, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t)
			p.Echo = true
			p.onAsk = func(ask Prompt) { p.Enter(ask.Code, nil) }
			s := p.source(personal(p))
			said := &strings.Builder{}
			p.token(s)
			time.Sleep(2 * time.Hour)
			p.token(s)
			p.Revoke()
			p.onAsk = func(ask Prompt) { p.Enter(ask.Code, &authtest.Refusal{Status: 400, Word: "access_denied", Number: 1}) }
			time.Sleep(2 * time.Hour)
			_, err := s.Token(t.Context())
			sayError(said, err)
			p.checkSaid(said, s, nil)
		})
	})
	t.Run(byMachine, func(t *testing.T) {
		t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
		t.Setenv("IDENTITY_HEADER", authtest.IdentityHeader)
		p := newPlace(t)
		p.Echo, p.Users = true, 1
		s := p.source(Config{ManagedIdentity: &ManagedIdentity{}})
		said := &strings.Builder{}
		s.Discard(p.token(s))
		p.Fail(&authtest.Refusal{Status: 400})
		_, err := s.Token(t.Context())
		sayError(said, err)
		p.checkSaid(said, s, []string{authtest.IdentityHeader})
	})
}

// cached is the token in use.
func (p *place) cached(s *Source) Token {
	token, _ := s.present.get(time.Now())
	return token
}

func say(to *strings.Builder, all ...any) {
	for _, v := range all {
		fmt.Fprintf(to, "%v %+v %#v %s\n", v, v, v, v)
	}
}

func sayError(to *strings.Builder, err error) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		say(to, e)
	}
}

// checkSaid looks for the canaries and for what the authority has given out, in what was said.
func (p *place) checkSaid(said *strings.Builder, s *Source, canaries []string) {
	p.Helper()
	say(said, s, s.Standing(), p.cached(s), s.proof, p.warned, p.prompts)
	for _, r := range p.Requests() {
		if jwt := r.Form.Get("client_assertion"); jwt != "" {
			canaries = append(canaries, jwt, jwt[strings.LastIndexByte(jwt, '.')+1:])
		}
	}
	if said.Len() < 300 || len(p.Issued()) == 0 {
		p.Errorf("only this was said: %s", said)
	}
	for _, secret := range append(canaries, p.Issued()...) {
		if form := authtest.Leak(said.String(), secret); form != "" {
			p.Errorf("a secret is told (%s): %.40s..", form, secret)
		}
	}
	if p.Failed() {
		p.Log(said.String())
	}
}
