package post_test

import (
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

func TestCredential(t *testing.T) {
	basic := func(path string) post.Credential { return post.Basic("user", "password_file", path) }
	bearer := func(path string) post.Credential { return post.Plain("Bearer", "token_file", path) }
	bare := func(path string) post.Credential { return post.Plain("", "secret_headers.X", path) }
	for _, tt := range []struct {
		name   string
		make   func(path string) post.Credential
		secret string
		want   string // "": an error
	}{
		{"bearer", bearer, "a.b-c\n", "Bearer a.b-c"},
		{"basic", basic, "pä ss", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pä ss"))},
		{"bare", bare, "Token a b", "Token a b"},
		{"bearer with its scheme", bearer, "Bearer a", ""},
		{"bearer of two lines", bearer, "a\nb", ""},
		{"password of two lines", basic, "a\nb", ""},
		{"bare of two lines", bare, "a\r\nb", ""},
		{"bare, not ASCII", bare, "ä", ""},
		{"empty", bearer, " \n", ""},
		{"missing", func(path string) post.Credential { return bearer(path + ".missing") }, "canary", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.make(posttest.SecretFile(t, tt.secret))
			value, secrets, err := c.Get()
			if value != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("%q, %v; want %q", value, err, tt.want)
			}
			secret := strings.TrimSpace(tt.secret)
			if err != nil && secret != "" && strings.Contains(err.Error(), secret+" ") {
				t.Errorf("the secret is in %v", err)
			}
			if shown := fmt.Sprintf("%v %+v %#v %v %#v", c, c, c, secrets, secrets); strings.Contains(shown, secret) && secret != "" && len(secret) > 3 {
				t.Errorf("the secret is in %s", shown)
			}
		})
	}
	if value, secrets, err := (post.Credential{}).Get(); value != "" || secrets.Hide("x") != "x" || err != nil {
		t.Errorf("no credential gives %q, %v", value, err)
	}
}

// TestHide: a secret is found as it is and in the forms of URLs and pages.
func TestHide(t *testing.T) {
	const secret = `can ary<"&+/=%ä>`
	s := post.Secrets{"", secret}
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret)} {
		if got := s.Hide("a " + form + " b " + form); got != "a <redacted> b <redacted>" {
			t.Errorf("%q became %q", form, got)
		}
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		" a\r\n\tb ":                       "a b",
		"a\xffb":                           "a?b",
		strings.Repeat("x", 5000):          strings.Repeat("x", 300) + "..",
		strings.Repeat("x", 299) + "äy":    strings.Repeat("x", 299) + "..",
		"":                                 "",
		strings.Repeat(" ", 4096) + "lost": "",
	} {
		if got := post.Line(text); got != want {
			t.Errorf("%.50q became %q", text, got)
		}
	}
}
