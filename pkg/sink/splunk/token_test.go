package splunk

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

func TestTokenRotation(t *testing.T) {
	const second = "c6b8dae2-0000-4000-8000-ba9876543210-2"
	h := newHEC(t)
	path := posttest.SecretFile(t, testToken)
	s := newSink(t, h, func(c *Config) { c.TokenFile = path })
	if err := s.Send(t.Context(), samples(1)); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.token = second
	h.mu.Unlock()
	if err := os.WriteFile(path, []byte(second+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	posttest.UntilAccepted(t, func() error { return s.Send(t.Context(), samples(1)) })
}

// TestTokenInReply: what is hidden in errors is not hidden from those who read the reply.
func TestTokenInReply(t *testing.T) {
	h := newHEC(t)
	h.token = "code"
	s := newSink(t, h, func(c *Config) { c.TokenFile = posttest.SecretFile(t, h.token) })
	if err := s.Send(t.Context(), samples(1)); err != nil {
		t.Error(err)
	}
}

func TestTokenFile(t *testing.T) {
	h := newHEC(t)
	for name, content := range map[string]string{
		"empty": " \n", "with its scheme": "Splunk " + testToken, "two lines": testToken + "\n" + testToken, "not ASCII": "\u00a0x" + testToken + "\u00e9",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, h, func(c *Config) { c.TokenFile = posttest.SecretFile(t, content) })
			err := s.Send(t.Context(), samples(1))
			if fault.Of(err) != fault.Blocked || strings.Contains(err.Error(), testToken) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		s := newSink(t, h, func(c *Config) { c.TokenFile += ".missing" })
		if err := s.Send(t.Context(), samples(1)); fault.Of(err) != fault.Blocked {
			t.Errorf("%v", err)
		}
	})
	if h.requests.Load() != 0 {
		t.Error("a request was made without a token")
	}
}

// TestTokenIsNotTold has peers that echo the request, as error pages of proxies do.
func TestTokenIsNotTold(t *testing.T) {
	h := newHEC(t)
	s := newSink(t, h, nil)
	var told []string
	for _, status := range []int{200, 302, 400, 403, 413, 415, 500} {
		for _, form := range []string{"%s", `{"text":"bad: %s","code":6,"invalid-event-number":1}`, `{"text":"%s","code":4}`} {
			h.reply = func(w http.ResponseWriter, r *http.Request) bool {
				io.Copy(io.Discard, r.Body)
				w.Header().Set("Location", "https://example.com/?"+testToken)
				answer(w, status, fmt.Sprintf(form, r.Header.Get("Authorization")))
				return true
			}
			err := s.Send(t.Context(), samples(2))
			if err == nil {
				t.Fatalf("status %d is accepted", status)
			}
			told = append(told, posttest.Told(err)...)
		}
	}
	h.reply = nil
	h.Set(sinktest.CutBefore)
	told = append(told, fmt.Sprint(s.Send(t.Context(), samples(2))))
	told = append(told, fmt.Sprintf("%v %+v %#v", s, s, s), fmt.Sprintf("%+v %#v", s.cfg, s.credential))
	h.Close()
	told = append(told, fmt.Sprint(s.Send(t.Context(), samples(2))))
	for _, text := range told {
		if strings.Contains(text, testToken) {
			t.Errorf("the token is in %.300q", text)
		}
	}
}
