package entra

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDirectRoad: neither the configured proxy nor the environment's is on the road to the identity endpoints of this machine.
func TestDirectRoad(t *testing.T) {
	for _, proxy := range []string{"", "http://proxy.example.com:3128"} {
		shared := NewShared()
		cfg := testConfig(t, func(c *Config) { c.Proxy = proxy })
		through, err := shared.transport(cfg, false)
		if err != nil {
			t.Fatal(err)
		}
		direct, err := shared.transport(cfg, true)
		if err != nil || direct.Proxy != nil || through.Proxy == nil {
			t.Errorf("with proxy %q: direct has a proxy: %v, the other one: %v, %v", proxy, direct.Proxy != nil, through.Proxy != nil, err)
		}
	}
}

// TestProxyOfEnvironment runs itself with the variables set: they are read once in a process.
func TestProxyOfEnvironment(t *testing.T) {
	const child = "LOGFERRY_TEST_PROXY_CHILD"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProxyOfEnvironment$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "HTTPS_PROXY=http://proxy.example.com:3128", "NO_PROXY=graph.example.com")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	shared := NewShared()
	transport, err := shared.transport(testConfig(t, nil), false)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"login.microsoftonline.com": "proxy.example.com:3128", "graph.example.com": ""} {
		req, err := http.NewRequest(http.MethodGet, "https://"+host, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if u, err := transport.Proxy(req); err != nil {
			t.Fatal(err)
		} else if u != nil {
			got = u.Host
		}
		if got != want {
			t.Errorf("%s is reached through %q, want %q", host, got, want)
		}
	}
}
