package auth

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
)

func personal(p *place) Config {
	return Config{ClientID: authtest.Client, DeviceCode: &DeviceCode{RefreshTokenFile: p.file("refresh")}}
}

// TestDeviceCode: a person signs in once, at their leisure; then it lives on refresh tokens, also after a restart, until those are
// revoked, when the person is asked again and told why.
func TestDeviceCode(t *testing.T) {
	for _, v1 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v1=%v", v1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				want := "https://graph.example.com/.default offline_access"
				if v1 {
					p.options.TokenURL, p.options.Resource = strings.Replace(p.options.TokenURL, "/v2.0", "", 1), "https://graph.windows.example.com"
					want = "https://graph.windows.example.com/.default offline_access"
				}
				var s *Source
				p.onAsk = func(ask Prompt) {
					p.Slow()
					go func() {
						time.Sleep(4 * time.Minute)
						if n := s.Standing().Notes; len(n) != 1 || !n[0].Blocked || !strings.Contains(n[0].Text, ask.Code) || !strings.Contains(n[0].Text, ask.URL) {
							t.Errorf("while somebody is waited for the standing says %+v", n)
						}
						p.Enter(ask.Code, nil)
					}()
				}
				s = p.source(personal(p))
				p.token(s)
				if len(p.prompts) != 1 || p.prompts[0].Why != "nobody has signed in yet" || len(s.Standing().Notes) != 0 {
					t.Errorf("asked %v, standing %+v", p.prompts, s.Standing())
				}
				if n := len(p.Requests()); n < 20 || n > 30 { // 4 minutes at 10 s after one slow_down
					t.Errorf("%d requests in 4 minutes", n)
				}
				checkMode(t, p.file("refresh"))
				seen := map[string]bool{}
				for range 48 { // a day and more of half hours, and a restart at each fourth
					time.Sleep(40 * time.Minute)
					if len(seen)%4 == 3 {
						s = p.source(personal(p))
					}
					p.token(s)
					content, err := os.ReadFile(p.file("refresh"))
					if err != nil || !strings.HasPrefix(string(content), "refresh-") {
						t.Fatalf("%q, %v", content, err)
					}
					seen[string(content)] = true
				}
				checkMode(t, p.file("refresh"))
				if len(p.prompts) != 1 || len(seen) < 20 {
					t.Errorf("asked %d times, %d refresh tokens", len(p.prompts), len(seen))
				}
				p.Revoke()
				time.Sleep(2 * time.Hour)
				p.token(s)
				if len(p.prompts) != 2 || !strings.Contains(p.prompts[1].Why, "the refresh token has expired because it was not used") {
					t.Errorf("asked %v", p.prompts)
				}
				for _, r := range p.Requests() {
					if !strings.Contains(r.URL.Path, "/oauth2/v2.0/") || r.Form.Get("scope") != want {
						t.Errorf("%s asks for %q", r.URL.Path, r.Form.Get("scope"))
					}
				}
				if left, err := os.ReadDir(p.dir); err != nil || len(left) != 1 {
					t.Errorf("files %v, %v", left, err)
				}
			})
		})
	}
}

func checkMode(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the refresh token's file has mode %04o", info.Mode().Perm())
	}
}

// TestDeviceCodeRefused: each end of the flow is told in words.
func TestDeviceCodeRefused(t *testing.T) {
	for _, c := range []struct {
		no   *authtest.Refusal
		says string
	}{
		{&authtest.Refusal{Status: 400, Word: "authorization_declined"}, "declined to sign in"},
		{&authtest.Refusal{Status: 400, Word: "access_denied"}, "declined to sign in"},
		{&authtest.Refusal{Status: 400, Word: "invalid_grant", Number: 50079}, "register for multi-factor authentication"},
		{&authtest.Refusal{Status: 400, Word: "invalid_grant", Number: 53003}, "by device code: a Conditional Access Administrator"},
		{nil, "nobody entered the code in time"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t)
			p.onAsk = func(ask Prompt) {
				if c.no != nil {
					p.Enter(ask.Code, c.no)
				}
			}
			_, err := p.source(personal(p)).Token(t.Context())
			if fault.Of(err) != fault.Blocked || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %s", err, c.says)
			}
		})
	}
}

// TestNobodyToAsk: without a terminal or log to show the code in, no code is asked for.
func TestNobodyToAsk(t *testing.T) {
	p := newPlace(t)
	p.options.Prompt = nil
	if _, err := p.source(personal(p)).Token(t.Context()); fault.Of(err) != fault.Blocked || err == nil || len(p.Requests()) != 0 {
		t.Errorf("%v after %d requests", err, len(p.Requests()))
	}
}

// TestRefreshTokenFile: a file that others can read is refused; one that cannot be written costs only the next start.
func TestRefreshTokenFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes of files")
	}
	for mode, taken := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o666: false} {
		p := newPlace(t)
		p.write("refresh", []byte("refresh-of-before"))
		if err := os.Chmod(p.file("refresh"), mode); err != nil {
			t.Fatal(err)
		}
		p.options.Prompt = nil
		_, err := p.source(personal(p)).Token(t.Context())
		if taken != (len(p.Requests()) == 1) || !taken && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %d requests, %v", mode, len(p.Requests()), err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		p.onAsk = func(ask Prompt) { p.Enter(ask.Code, nil) }
		s := p.source(Config{ClientID: authtest.Client, DeviceCode: &DeviceCode{RefreshTokenFile: p.file("none/refresh")}})
		p.token(s)
		if n := s.Standing().Notes; len(n) != 1 || !strings.Contains(n[0].Text, "cannot be kept") {
			t.Errorf("the standing says %+v", n)
		}
		time.Sleep(2 * time.Hour)
		p.token(s)
		if len(p.prompts) != 1 {
			t.Errorf("asked %d times", len(p.prompts))
		}
	})
}

// TestHalfWritten: whatever interrupts the writing, the file holds the old token or the new one.
func TestHalfWritten(t *testing.T) {
	file := t.TempDir() + "/refresh"
	if err := errors.Join(writePrivate(file, "old"), os.Chmod(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := writePrivate(file, "new"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, _ := held.Read(b); string(b[:n]) != "old\n" {
		t.Errorf("the old file was written over: %q", b[:n])
	}
	if got, err := readPrivate(file); got != "new" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
