package docs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/normalizer"
)

func documentNamed(t *testing.T, name string) document {
	t.Helper()
	for _, d := range documents(t) {
		if d.name == name {
			return d
		}
	}
	t.Fatalf("there is no %s", name)
	return document{}
}

// overlay writes files of the module, by their path below its root, for go's flag -overlay: the tree itself stays as it is.
func overlay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range files {
		place, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[place] = filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(replace[place], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func gotool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestAddingASink: the sink of the document passes the contract that all sinks pass.
func TestAddingASink(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for _, b := range documentNamed(t, "docs/adding-a-sink.md").blocks {
		if name, ok := b.note("file"); ok {
			files[name] = b.text
		}
	}
	contract := filepath.Join(t.TempDir(), "contract")
	gotool(t, "test", "-vet=off", "-c", "-o", contract, "-overlay", overlay(t, files), "./pkg/sink/example")
	text, err := exec.Command(contract, "-test.v").CombinedOutput()
	out := string(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(out, "--- PASS: TestContract/"); n < 15 || strings.Contains(out, "--- SKIP") {
		t.Errorf("%d properties were tried:\n%s", n, out)
	}
}

// TestAddingAStream: with the row of the document alone, a logferry reads the stream.
func TestAddingAStream(t *testing.T) {
	t.Parallel()
	var row string
	for _, b := range documentNamed(t, "docs/adding-a-stream.md").blocks {
		if _, ok := b.note("file"); ok {
			row = b.text
		}
	}
	const file = "pkg/fetcher/entra/streams.go"
	source, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	const begins = "var table = []Stream{\n"
	if row == "" || !strings.Contains(string(source), begins) {
		t.Fatalf("no row in the document, or no table in %s", file)
	}
	dir := t.TempDir()
	logferry := filepath.Join(dir, "logferry")
	gotool(t, "build", "-o", logferry, "-overlay", overlay(t, map[string]string{file: strings.Replace(string(source), begins, begins+row, 1)}), "./cmd/logferry")
	when := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	graph := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"opaque","token_type":"Bearer","expires_in":3600}`)
			return
		}
		if r.URL.Path != "/v1.0/auditLogs/exampleEvents" || !strings.Contains(r.URL.Query().Get("$filter"), "activityDateTime ge ") || r.URL.Query().Get("$top") != "100" {
			http.Error(w, r.URL.String(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"value":[{"id":"1","activityDateTime":%q}]}`, when)
	}))
	defer graph.Close()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("made-up-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(logferry, "fetch", "--stream", "example.events", "--login-url", graph.URL, "--graph-url", graph.URL, "--tenant", "contoso.com",
		"--client-id", "c", "--client-secret-file", secret, "--since", "2h", "--patience", "10s").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `{"id":"1","activityDateTime":`) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAuthBlocks: what documents show of the auth block is accepted.
func TestAuthBlocks(t *testing.T) {
	for _, name := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"} {
		t.Setenv(name, "/run/token") // as in a pod that the webhook has prepared
	}
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.lang != "yaml" || !strings.HasPrefix(b.text, "auth:") {
				continue
			}
			all++
			auth := "      " + strings.TrimSuffix(strings.ReplaceAll(b.text, "\n", "\n      "), "      ")
			text := "state: {dir: ./state}\nsources:\n  - name: contoso\n    entra:\n      tenant: contoso.com\n" + auth + "sinks:\n  - {name: s, stdout: {}}\n"
			if _, err := config.Parse("c.yaml", []byte(text), n); err != nil {
				t.Errorf("%s:%d: %v", d.name, b.line, err)
			}
		}
	}
	if all < 8 {
		t.Errorf("%d blocks were found", all)
	}
}

// TestPermissionsAreGranted: the quickstart has the command for each permission that a stream needs, and streams.md names it.
func TestPermissionsAreGranted(t *testing.T) {
	quickstart, streams := documentNamed(t, "docs/quickstart.md").text, documentNamed(t, "docs/streams.md").text
	for _, s := range entra.Table() {
		if !strings.Contains(streams, "`"+s.Name+"`") {
			t.Errorf("docs/streams.md does not list %s", s.Name)
		}
		for permission := range strings.SplitSeq(s.Permission, " and ") {
			if !strings.Contains(quickstart, "\ngrant "+permission) || !strings.Contains(streams, permission) {
				t.Errorf("%s needs %s: the quickstart does not grant it, or docs/streams.md does not name it", s.Name, permission)
			}
		}
	}
}

// TestNamedTestsExist: a page that says which test holds a promise names one that is there.
func TestNamedTestsExist(t *testing.T) {
	var all strings.Builder
	for _, dir := range []string{"pkg", "cmd", "test"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z_]+)`")
	n := 0
	for _, d := range documents(t) {
		for _, m := range named.FindAllStringSubmatch(d.text, -1) {
			n++
			if !strings.Contains(all.String(), "\nfunc "+m[1]+"(") {
				t.Errorf("%s names %s, and there is no such test", d.name, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("%d tests are named", n)
	}
}

// TestStateIsPrivate: what lies on the disk is for logferry's user alone.
func TestStateIsPrivate(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	if err := k.run(block{text: "umask 022\nlogferry run --once -c logferry.yaml\n"}); err != nil {
		t.Fatalf("%v\n%s", err, brief(k.output))
	}
	err := filepath.WalkDir(filepath.Join(k.dir, "state"), func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
