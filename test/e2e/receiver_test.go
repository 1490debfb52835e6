package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// receiver is a server that logferry did not write, in a process of its own.
type receiver struct {
	Name       string `json:"receiver"`
	Version    string `json:"version"`
	Address    string `json:"address"`
	TLSAddress string `json:"tls_address"`
	CA         string `json:"ca"`
	Out        string `json:"out"`

	tools  string // folder of kafkadump
	stdin  io.Closer
	exited chan struct{}
	once   sync.Once
}

// offer is an entry of peers.json.
type offer struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Ready   bool     `json:"ready"`
	Why     string   `json:"why"`
	Command []string `json:"command"`
}

// required are the receivers that every machine can have: with CI=true their absence is a failure.
var required = map[string]bool{"hecpeer": true, "kfakepeer": true, "rsyslogpeer": true}

// peersFolder is where ../peers/setup.sh puts what it makes.
func peersFolder() (string, error) {
	base := os.Getenv("LOGFERRY_PEERS")
	if base == "" {
		base = os.Getenv("XDG_CACHE_HOME")
	}
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "logferry-peers"), nil
}

func offered(name string) offer {
	missing := offer{Name: name, Version: "-", Why: "no receivers here: run test/peers/setup.sh"}
	dir, err := peersFolder()
	if err != nil {
		missing.Why = err.Error()
		return missing
	}
	text, err := os.ReadFile(filepath.Join(dir, "peers.json"))
	if err != nil {
		return missing
	}
	var all []offer
	if err := json.Unmarshal(text, &all); err != nil {
		missing.Why = "peers.json is broken: " + err.Error()
		return missing
	}
	for _, o := range all {
		if o.Name == name {
			if o.Version == "" {
				o.Version = "-"
			}
			return o
		}
	}
	return missing
}

// need skips the test, or fails it in CI, where a receiver cannot run. It is asked before anything is started.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		o := offered(name)
		if o.Ready && len(o.Command) > 0 {
			continue
		}
		report(t, name, o.Version, "skipped "+o.Why)
		if os.Getenv("CI") == "true" && required[name] {
			t.Fatalf("%s cannot run here, and CI=true: %s", name, o.Why)
		}
		t.Skipf("%s cannot run here: %s", name, o.Why)
	}
}

var reporting sync.Mutex

// report tells whoever runs the tests which receivers took part.
func report(t *testing.T, name, version, state string) {
	t.Helper()
	line := fmt.Sprintf("receiver: %s %s %s", name, version, state)
	t.Log(line)
	path := os.Getenv("LOGFERRY_RECEIVERS")
	if path == "" {
		return
	}
	reporting.Lock()
	defer reporting.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(line + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Errorf("report receiver: %v", err)
	}
}

// receive starts a receiver that need has passed; it runs until stop, at latest the test's end.
func receive(t *testing.T, name, dir string, args ...string) *receiver {
	t.Helper()
	o := offered(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(o.Command[0], append(append(o.Command[1:len(o.Command):len(o.Command)], "-stdin", "-dir", dir), args...)...)
	var stderr buffer
	cmd.Stderr = &stderr
	r := &receiver{exited: make(chan struct{}), tools: filepath.Dir(o.Command[0])}
	var err error
	if r.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan error, 1)
	go func() {
		lines := bufio.NewReader(stdout)
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, r)
		}
		ready <- err
		io.Copy(io.Discard, lines)
		cmd.Wait()
		close(r.exited)
	}()
	t.Cleanup(func() {
		r.stop()
		select {
		case <-r.exited:
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Errorf("%s did not end", name)
		}
	})
	select {
	case err = <-ready:
	case <-time.After(2 * patience):
		err = errors.New("no ready line")
	}
	if err != nil {
		t.Fatalf("start %s: %v\n%s", name, err, stderr.String())
	}
	report(t, name, r.Version, "ran")
	return r
}

// stop asks the receiver to end and waits for it.
func (r *receiver) stop() {
	r.once.Do(func() { r.stdin.Close() })
	select {
	case <-r.exited:
	case <-time.After(patience):
	}
}

// freeAddress gives an address of this machine where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// lines decodes the complete lines of an NDJSON file; one that is not there yet has none.
func lines[T any](t *testing.T, path string) []T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return decodeLines[T](t, text)
}

func decodeLines[T any](t *testing.T, text []byte) []T {
	t.Helper()
	var all []T
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("decode %.300q: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}
