package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// clean stands for what the caller brings.
func clean(s string) string {
	if i := strings.LastIndex(s, "@"); i >= 0 && strings.Contains(s, "://") {
		return s[:strings.Index(s, "://")+3] + "<redacted>" + s[i:]
	}
	return s
}

func TestRedact(t *testing.T) {
	t.Setenv("LOGFERRY_TEST_HOST", "canary-value.example.com")
	dir := t.TempDir()
	const text = `# canary-comment
state: {dir: ./state, journal_max_bytes: 8GiB} # canary-comment
sources:
  - name: contoso
    entra:
      tenant: contoso.onmicrosoft.com
      auth:
        client_id: 00000000-0000-0000-0000-000000000000
        client_secret_file: abc8Q~canary-secret
        client_secret: canary-inline
      streams: [signins.*, audits]
      filters: {audits: "result eq 'failure'"}
sinks:
  - name: splunk
    schema: {name: envelope, record: keep}
    splunk:
      endpoints: ["https://user:canary-password@splunk.example.com:8088", splunk.example.com:8088]
      token_file: /run/secrets/splunk/token
      tls: {}
      password: [canary-list, {a: canary-deep}]
  - name: lake
    kafka: {brokers: [k1.example.com:9092, "${env:LOGFERRY_TEST_HOST}:9092"], topic: "${env:LOGFERRY_TEST_TOPIC:-canary-default}"}
  - name: own
    http:
      endpoints: [https://collector.example.com/in]
      headers: {X-Key: canary-header}
      secret_headers: {X-Token: /run/secrets/token, X-Other: canary-in-place-of-a-path}
      auth: {oauth2: {params: {audience: canary-audience}}}
`
	for name, content := range map[string]string{"a.yaml": text, "b.yaml": "log: {level: info\ncanary-broken1: x", "c.yaml": "admin: &canary-anchor1 {listen: \"off\"}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, hidden, err := Redact([]string{dir}, clean)
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	const want = `
state: 
  dir: ./state
  journal_max_bytes: 8GiB
sources: 
  - 
    name: contoso
    entra: 
      tenant: contoso.onmicrosoft.com
      auth: 
        client_id: 00000000-0000-0000-0000-000000000000
        client_secret_file: <redacted>
        client_secret: <redacted>
      streams: 
        - signins.*
        - audits
      filters: 
        audits: "result eq 'failure'"
sinks: 
  - 
    name: splunk
    schema: 
      name: envelope
      record: keep
    splunk: 
      endpoints: 
        - "https://<redacted>@splunk.example.com:8088"
        - "splunk.example.com:8088"
      token_file: /run/secrets/splunk/token
      tls: {}
      password: 
        - <redacted>
        - 
          a: <redacted>
  - 
    name: lake
    kafka: 
      brokers: 
        - "k1.example.com:9092"
        - "${env:LOGFERRY_TEST_HOST}:9092"
      topic: "${env:LOGFERRY_TEST_TOPIC}"
  - 
    name: own
    http: 
      endpoints: 
        - "https://collector.example.com/in"
      headers: 
        X-Key: <redacted>
      secret_headers: 
        X-Token: /run/secrets/token
        X-Other: <redacted>
      auth: 
        oauth2: 
          params: 
            audience: <redacted>
`
	if files[0].Text != want {
		t.Errorf("got\n%s\nwant\n%s", files[0].Text, want)
	}
	for _, f := range files {
		if strings.Contains(f.Text, "canary") {
			t.Errorf("%s:\n%s", f.Path, f.Text)
		}
	}
	all := ""
	for _, h := range hidden {
		all += h.Text + "\n"
	}
	for _, what := range []string{"canary-value.example.com", "abc8Q~canary-secret", "canary-inline", "canary-password", "canary-default", "canary-header",
		"canary-in-place-of-a-path", "canary-audience", "canary-broken1", "canary-anchor1"} {
		if !strings.Contains(all, what) {
			t.Errorf("not told: %s", what)
		}
	}
}
