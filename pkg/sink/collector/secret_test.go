package collector

import (
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// TestSecretsAreNotTold has collectors and token endpoints that echo the request, as error pages of proxies do, in every place that
// goes into errors. Each secret is in the echo as it was sent, and as it stands in the file.
func TestSecretsAreNotTold(t *testing.T) {
	const canary = "canary+b5a7c9d1/0123456789ab"
	hidden := []string{
		canary, url.QueryEscape(canary), base64.StdEncoding.EncodeToString([]byte("logferry:" + canary)),
		base64.StdEncoding.EncodeToString([]byte("logferry:" + url.QueryEscape(canary))),
	}
	for name, edit := range map[string]func(cfg *Config, url, path string){
		"bearer": func(c *Config, _, p string) { c.BearerTokenFile = p },
		"basic":  func(c *Config, _, p string) { c.User, c.PasswordFile = "logferry", p },
		"header": func(c *Config, _, p string) { c.SecretHeaders = map[string]string{"X-Api-Key": p} },
		"token": func(c *Config, u, p string) {
			c.OAuth2 = &OAuth2{TokenURL: u + "/token", ClientID: "logferry", ClientSecretFile: p}
		},
		"client secret": func(c *Config, u, p string) {
			c.OAuth2 = &OAuth2{TokenURL: u + "/refuse", ClientID: "logferry", ClientSecretFile: p}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newReceiver(t)
			s := newSink(t, c, func(cfg *Config) {
				cfg.BearerTokenFile = ""
				edit(cfg, c.URL, posttest.SecretFile(t, canary))
			})
			var told []string
			for _, status := range []int{207, 302, 400, 401, 403, 404, 413, 415, 422, 429, 500} {
				for _, form := range []string{"%s", `{"error":"x","error_description":"%s"}`, strings.Repeat("x", 290) + "%s"} {
					c.reply = func(w http.ResponseWriter, r *http.Request) bool {
						body, _ := io.ReadAll(r.Body)
						echo := fmt.Sprint(r.Header, " ", html.EscapeString(fmt.Sprint(r.Header)), " ", string(body), " ", canary)
						if r.URL.Path == "/token" {
							w.Header().Set("Content-Type", "application/json")
							fmt.Fprintf(w, `{"access_token":%q}`, canary)
							return true
						}
						if r.Header.Get("Content-Encoding") != "" {
							echo = fmt.Sprint(r.Header, " ", canary)
						}
						w.Header().Set("Location", "https://example.com/?x="+url.QueryEscape(canary)+"&y="+canary)
						w.WriteHeader(status)
						fmt.Fprintf(w, form, echo)
						return true
					}
					err := s.Send(t.Context(), posttest.Samples(2))
					if err == nil {
						t.Fatalf("%d is accepted", status)
					}
					told = append(told, posttest.Told(err)...)
					told = append(told, posttest.Told(s.Probe(t.Context(), nil))...)
				}
			}
			c.reply = nil
			c.Set(sinktest.CutBefore)
			told = append(told, posttest.Told(s.Send(t.Context(), posttest.Samples(2)))...)
			told = append(told, fmt.Sprintf("%v %+v %#v %v %#v", s.credential, s.credential, s.cfg, s.secrets, s.secrets))
			for _, text := range told {
				for _, secret := range hidden {
					if i := strings.Index(text, secret[:12]); i >= 0 {
						t.Fatalf("a part of the secret is in %.600q", text)
					}
				}
			}
		})
	}
}

// TestSecretFaults: a file that is missing or has more in it is Blocked before any request.
func TestSecretFaults(t *testing.T) {
	c := newReceiver(t)
	for name, edit := range map[string]func(*Config){
		"missing":     func(cfg *Config) { cfg.BearerTokenFile += ".missing" },
		"two lines":   func(cfg *Config) { cfg.BearerTokenFile = posttest.SecretFile(t, "a\nb") },
		"header":      func(cfg *Config) { cfg.SecretHeaders = map[string]string{"X-Key": cfg.BearerTokenFile + ".missing"} },
		"header, two": func(cfg *Config) { cfg.SecretHeaders = map[string]string{"X-Key": posttest.SecretFile(t, "a\r\nX: y")} },
	} {
		err := newSink(t, c, edit).Send(t.Context(), posttest.Samples(1))
		if posttest.Outcome(err) != "blocked" || c.asked() != 0 {
			t.Errorf("%s: %d requests, %v", name, c.asked(), err)
		}
	}
}
