package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
)

// ask runs the health command.
func ask(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(append([]string{"health"}, args...))
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	if err != nil {
		out.WriteString(err.Error())
	}
	return exitCode(err), out.String()
}

func TestHealth(t *testing.T) {
	var asked []string
	mux := http.NewServeMux()
	answer := func(path string, status int) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.Path)
			w.Header().Set("Location", "/livez")
			w.WriteHeader(status)
		})
	}
	answer("/livez", http.StatusOK)
	answer("/sick", http.StatusServiceUnavailable)
	answer("/moved", http.StatusFound)
	server := httptest.NewServer(mux)
	defer server.Close()
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")

	config := filepath.Join(t.TempDir(), "logferry.yaml")
	text, err := os.ReadFile("../../configs/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	listen := strings.TrimPrefix(server.URL, "http://")
	if err := os.WriteFile(config, append(text, "\nadmin: {listen: \""+listen+"\"}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		said  string
		asked string
	}{
		{"a URL without a path", []string{"--url", server.URL}, 0, "ok\n", "/livez"},
		{"the address of a configuration", []string{"-c", config}, 0, "ok\n", "/livez"},
		{"another path", []string{"--url", server.URL + "/sick"}, 1, "the answer is 503 Service Unavailable", "/sick"},
		{"elsewhere", []string{"--url", server.URL + "/moved"}, 1, "the answer is 302 Found", "/moved"},
		{"no such path", []string{"--url", server.URL + "/none"}, 1, "the answer is 404 Not Found", ""},
		{"no URL", []string{"--url", "127.0.0.1:9797"}, 2, "write http://127.0.0.1:9797/livez", ""},
		{"no configuration", []string{"-c", config + ".none"}, 2, "", ""},
		{"both", []string{"-c", config, "--url", server.URL}, 2, "exclude each other", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked = nil
			code, said := ask(t, c.args...)
			if code != c.code || !strings.Contains(said, c.said) {
				t.Errorf("exit code %d and %q, want %d and %q", code, said, c.code, c.said)
			}
			if got := strings.Join(asked, " "); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
		})
	}
}

// TestHealthDown: nobody listens, or somebody listens and says nothing.
func TestHealthDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := "http://" + l.Addr().String()
	begin := time.Now()
	if code, said := ask(t, "--url", target); code != 1 || !strings.Contains(said, "deadline exceeded") {
		t.Errorf("a silent listener: exit code %d and %q, want 1", code, said)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a silent listener took %s, more than a second", took)
	}
	l.Close()
	if code, said := ask(t, "--url", target); code != 1 || !strings.Contains(said, "connection refused") {
		t.Errorf("no listener: exit code %d and %q, want 1", code, said)
	}
}

func TestHealthAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:9797":   "http://127.0.0.1:9797/livez",
		"0.0.0.0:80":       "http://127.0.0.1:80/livez",
		":80":              "http://127.0.0.1:80/livez",
		"[::]:80":          "http://127.0.0.1:80/livez",
		"[2001:db8::1]:80": "http://[2001:db8::1]:80/livez",
		"localhost:80":     "http://localhost:80/livez",
		"off":              "",
	} {
		got, err := livez(listen)
		if got != want || (err != nil) != (want == "") || errors.Is(err, app.ErrUsage) {
			t.Errorf("%s: %q, %v, want %q", listen, got, err, want)
		}
	}
}
