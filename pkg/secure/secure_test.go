package secure

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSecretIsReadAgainWhenItHasChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string, at time.Time) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewSecret(file)
		if _, err := s.Get(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("a missing file gives %v", err)
		}
		write("first\n", time.Now())
		if v, err := s.Get(); v != "first" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
		write("other\n", time.Now().Add(time.Hour))
		time.Sleep(2 * time.Second)
		if v, err := s.Get(); v != "other" || err != nil {
			t.Errorf("after the change: %q, %v", v, err)
		}
		write(" \n", time.Now().Add(2*time.Hour))
		time.Sleep(2 * time.Second)
		if v, err := s.Get(); err == nil || v != "" {
			t.Errorf("an empty file gives %q, %v", v, err)
		}
		if out := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(out, "other") {
			t.Errorf("the secret is printed: %s", out)
		}
	})
}

func TestCheckURL(t *testing.T) {
	for _, ok := range []string{"https://splunk.example.com:8088", "http://127.0.0.1:1", "http://localhost/x", "http://[::1]:9"} {
		if _, err := CheckURL(ok, false); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "splunk.example.com:8088", "ftp://example.com", "http://splunk.example.com", "https://user:hunter2@example.com", "https://example.com?token=hunter2", "https://example.com/#x", "https://[bad",
		"https://user:hunter2/x@example.com", "https://user:%hunter2@example.com", "https://example.com/#hunter2", "https://:8088"} {
		_, err := CheckURL(bad, false)
		if err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error quotes the secret: %v", bad, err)
		}
	}
	if _, err := CheckURL("http://splunk.example.com", true); err != nil {
		t.Errorf("insecure: %v", err)
	}
}

func TestTLSFilesAreNamedInErrors(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(junk, []byte("no pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []TLS{{CAFile: junk}, {CAFile: junk + ".gone"}, {CertFile: junk, KeyFile: junk}} {
		if _, err := c.Config(); err == nil || !strings.Contains(err.Error(), "ca.pem") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if (TLS{CertFile: "x"}).Validate() == nil {
		t.Error("a certificate without a key was taken")
	}
}
