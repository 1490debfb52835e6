package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestNoSecretAnywhere: with every secret in use, some of them refused, and the log at its loudest, none of them is in the log,
// the status, the metrics, the state file or what the commands print: not plain, not in base64, not URL-encoded, not in JSON.
func TestNoSecretAnywhere(t *testing.T) {
	t.Parallel()
	canaries := map[string]string{
		"client secret": `Canary+1/=&%<5e>~"x\y Z`, "HEC token": "canary-2-hec-token+/=", "Kafka password": `canary-3 "kafka"\pass+word`,
	}
	g := newGraph(t, simulator.Options{Clients: map[string]string{simulator.DefaultClientID: canaries["client secret"]},
		Script: &simulator.Script{Rules: []simulator.Rule{
			{Kind: simulator.ExpiredToken, Nth: []int{4}},
			{Kind: simulator.ServerError, Path: "oauth2", Nth: []int{1}, Body: "echo: client_secret=" + canaries["client secret"] + "&" + url.QueryEscape(canaries["client secret"])},
			{Kind: simulator.NoRole, Stream: simulator.Audits, Times: 1},
		}}})
	g.grace = "1s"
	writeFile(t, g.file("hec-token"), canaries["HEC token"])
	writeFile(t, g.file("password"), canaries["Kafka password"])
	sinks := []string{
		g.archive(),
		"name: splunk\nschema: ecs\nsplunk: {endpoints: [http://" + freeAddress(t) + ", " + g.url + "], token_file: " + g.file("hec-token") + "}",
		"name: lake\nkafka: {brokers: [\"" + freeAddress(t) + "\"], topic: entra, sasl: {mechanism: plain, username: u, password_file: " + g.file("password") + "}}",
	}
	// Receivers that look at the secrets, where there are any.
	if lake := offered("kfakepeer"); lake.Ready {
		r := receive(t, "kfakepeer", g.file("kfake"), "-topics", "entra", "-sasl", "u:another")
		sinks = append(sinks, "name: refused\nkafka: {brokers: ["+r.Address+"], topic: entra, sasl: {mechanism: plain, username: u, password_file: "+g.file("password")+"}}")
	}
	config := g.config(t, "c.yaml", "log: {level: debug}\nadmin: {listen: 127.0.0.1:0}", sinks...)
	p := begin(t, "run", "-c", config)
	admin := p.adminURL(t)
	for _, text := range []string{`"level":"debug"`, `"sink":"splunk"`, `"sink":"lake"`, "AuditLog.Read.All"} {
		p.says(t, text)
	}
	said := map[string]string{"dlq": logferry(t, "dlq", "list", "-c", config).stdout}
	for _, path := range []string{"/metrics", "/healthz"} {
		_, said[path] = get(t, admin+path)
	}
	for _, form := range []string{"", "--json"} {
		r := logferry(t, slices.DeleteFunc([]string{"status", form, "-c", config}, func(s string) bool { return s == "" })...)
		said["status "+form] = r.stdout + r.stderr
	}
	p.signal(t, syscall.SIGTERM)
	p.wait(t)
	said["check"] = logferry(t, "check", "-c", config).stdout
	said["stdout"], said["stderr"] = p.stdout.String(), p.stderr.String()
	if !strings.Contains(said["stderr"], `"msg":"request"`) {
		t.Error("requests are not in the debug log: the test proves too little")
	}
	err := filepath.WalkDir(g.file("state"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		said[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	tokens := slices.Compact(slices.Sorted(slices.Values(g.tokens)))
	g.mu.Unlock()
	if len(tokens) == 0 {
		t.Error("no access token was used")
	}
	for _, token := range tokens {
		canaries["access token "+token[:8]] = token
	}
	hunt(t, canaries, said)
}

// hunt looks for each form of each secret in all that was said.
func hunt(t *testing.T, canaries, said map[string]string) {
	t.Helper()
	for name, canary := range canaries {
		for form, text := range forms(t, canary) {
			for where, all := range said {
				if at := strings.Index(all, text); at >= 0 {
					t.Errorf("the %s is, %s, in %s: ..%q", name, form, where, all[max(0, at-100):at])
				}
			}
		}
	}
}

// forms gives the ways in which a secret may be written.
func forms(t *testing.T, secret string) map[string]string {
	t.Helper()
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte(simulator.DefaultClientID + ":" + secret))
	escaped := base64.StdEncoding.EncodeToString([]byte(simulator.DefaultClientID + ":" + url.QueryEscape(secret)))
	return map[string]string{
		"plain": secret, "in base64": base64.StdEncoding.EncodeToString([]byte(secret)), "in URL base64": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"URL-encoded": url.QueryEscape(secret), "path-encoded": url.PathEscape(secret), "in JSON": string(quoted[1 : len(quoted)-1]),
		"in basic authentication": basic[len(basic)/2:], "escaped in basic authentication": escaped[len(escaped)/2:],
	}
}
