// Package docs_test holds the documents against the program: their shell blocks run, the code that they show compiles and passes
// the contract, and their links lead somewhere. What a page needs for that stands in comments that readers do not see: see note.
package docs_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

var binary string // the logferry under test, alone in its folder with the stand-in for az

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "az" {
		os.Exit(az(os.Args[1:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "logferry-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "logferry")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/logferry")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build logferry: %v\n%s", err, out)
		return 1
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "az"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// world is what a reader has around them: a tenant, receivers, the program.
type world struct {
	bin, repository        string
	graph                  string // URL of the simulated Microsoft Graph and sign-in
	tenant, client, secret string
	receiver               *httptest.Server // takes everything that comes over HTTP, in the words of HEC and of Elasticsearch
	syslog                 string           // takes everything that comes over TCP
	admin                  string           // a free port for the admin endpoint
}

const basicConfig = `state: {dir: ./state}
sources:
  - name: contoso
    entra:
      tenant: contoso.onmicrosoft.com
      auth: {client_id: 00000000-0000-0000-0000-000000000000, client_secret_file: ./client-secret}
      start: 1h
sinks:
  - name: archive
    file: {path: "./out/{stream}.ndjson"}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{bin: filepath.Dir(binary), tenant: simulator.DefaultDomain, client: simulator.DefaultClientID, secret: simulator.DefaultClientSecret}
	var err error
	if w.repository, err = filepath.Abs(root); err != nil {
		t.Fatal(err)
	}
	simulate := exec.Command(binary, "simulate", "--rate", "1/s", "--history", "20m")
	simulate.Stderr = os.Stderr
	out, err := simulate.StdoutPipe()
	if err == nil {
		err = simulate.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		simulate.Process.Kill()
		simulate.Wait()
	})
	if _, err := fmt.Fscanf(out, "login_url and graph_url: %s\n", &w.graph); err != nil {
		t.Fatalf("logferry simulate does not say where it listens: %v", err)
	}
	w.receiver = httptest.NewServer(http.HandlerFunc(receive))
	t.Cleanup(w.receiver.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go swallow(l)
	w.syslog = l.Addr().String()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.admin = free.Addr().String()
	free.Close()
	return w
}

func receive(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n == 0 && r.Method != http.MethodGet {
		http.Error(w, "an empty request", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasPrefix(r.URL.Path, "/services/collector"):
		io.WriteString(w, `{"text":"Success","code":0}`)
	default:
		io.WriteString(w, `{"acknowledged":true}`)
	}
}

func swallow(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			io.Copy(io.Discard, conn)
		}()
	}
}

var (
	tenantLine  = regexp.MustCompile(`(?m)^( *)tenant: contoso\.onmicrosoft\.com.*$`)
	clientID    = regexp.MustCompile(`00000000-0000-0000-0000-000000000000`)
	sourcesLine = regexp.MustCompile(`(?m)^sources:`)
	adminLine   = regexp.MustCompile(`(?m)^admin:`)
)

// adapt puts the simulator, the receivers and a free port in place of what the reader has.
func (w *world) adapt(text string) string {
	text = tenantLine.ReplaceAllString(text, fmt.Sprintf("${0}\n${1}login_url: %s\n${1}graph_url: %s\n${1}budget: {requests: 1000, per: 10s}", w.graph, w.graph))
	text = clientID.ReplaceAllString(text, w.client)
	if !adminLine.MatchString(text) {
		text = sourcesLine.ReplaceAllString(text, "admin: {listen: \""+w.admin+"\"}\nsources:")
	}
	for _, replace := range [][2]string{
		{"127.0.0.1:9797", w.admin},
		{"https://es.example.com:9200", w.receiver.URL},
		{"https://splunk.example.com:8088", w.receiver.URL},
	} {
		text = strings.ReplaceAll(text, replace[0], replace[1])
	}
	return text
}
