package elastic

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// TestRotation: each kind of secret is read again when its file has changed.
func TestRotation(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]struct {
		edit   func(*Config, string)
		header func(secret string) string
	}{
		"api key": {func(c *Config, p string) { c.APIKeyFile = p }, func(s string) string { return "ApiKey " + s }},
		"bearer":  {func(c *Config, p string) { c.APIKeyFile, c.BearerTokenFile = "", p }, func(s string) string { return "Bearer " + s }},
		"basic":   {basic, func(s string) string { return "Basic " + encode("logferry:"+s) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl := newCluster(t)
			cl.auth = c.header("first-secret")
			path := posttest.SecretFile(t, "first-secret")
			s := newSink(t, cl, func(cfg *Config) { c.edit(cfg, path) })
			if err := s.Send(t.Context(), posttest.Samples(1)); err != nil {
				t.Fatal(err)
			}
			cl.mu.Lock()
			cl.auth = c.header("the-second-secret")
			cl.mu.Unlock()
			if err := os.WriteFile(path, []byte("the-second-secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			posttest.UntilAccepted(t, func() error { return s.Send(t.Context(), posttest.Samples(1)) })
		})
	}
}

// TestSecretsAreNotTold has peers that echo the request, as error pages of proxies do, in every place that goes into errors.
func TestSecretsAreNotTold(t *testing.T) {
	const canary = "canary:b5a7c9d1-0123456789ab"
	hidden := []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte("logferry:" + canary))}
	for name, edit := range map[string]func(*Config, string){
		"api key": func(c *Config, p string) { c.APIKeyFile = p },
		"bearer":  func(c *Config, p string) { c.APIKeyFile, c.BearerTokenFile = "", p },
		"basic":   basic,
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t)
			s := newSink(t, cl, func(cfg *Config) { edit(cfg, posttest.SecretFile(t, canary)) })
			var told []string
			tell := func(err error) {
				if err == nil {
					t.Fatal("it is accepted")
				}
				told = append(told, posttest.Told(err)...)
			}
			item := strings.Replace(bulkReply(posttest.Samples(2), map[int]string{1: failure(400, "x", "y")}), `"y"`, `"%[1]s"`, 1)
			for _, status := range []int{200, 201, 302, 400, 401, 403, 404, 413, 415, 429, 500} {
				for _, form := range []string{"%[1]s %[2]s", `{"error":"%[1]s %[2]s"}`, `{"error":{"type":"%[1]s","reason":"` + strings.Repeat("x", 280) + `%[2]s"}}`, item} {
					cl.reply = func(w http.ResponseWriter, r *http.Request) bool {
						io.Copy(io.Discard, r.Body)
						w.Header().Set("Location", "https://example.com/?"+r.Header.Get("Authorization")+canary)
						answer(w, status, fmt.Sprintf(form, r.Header.Get("Authorization"), canary))
						return true
					}
					tell(s.Send(t.Context(), posttest.Samples(2)))
				}
			}
			cl.reply = nil
			cl.Set(sinktest.CutBefore)
			tell(s.Send(t.Context(), posttest.Samples(2)))
			told = append(told, fmt.Sprintf("%v %+v %#v", s.credential, s.credential, s.cfg))
			for _, text := range told {
				for _, secret := range hidden {
					if i := strings.Index(text, secret[:12]); i >= 0 {
						t.Errorf("a part of the secret is in %.600q", text)
					}
				}
			}
		})
	}
}
