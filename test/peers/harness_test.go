package peers_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

// patience bounds every wait for another process; only a failing test uses it up.
const patience = time.Minute

var bin string // folder with this tree's binaries

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "peers-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in setup.sh, whose build cache this shares
	build.Args = append(build.Args[:2:2], append([]string{"-trimpath"}, build.Args[2:]...)...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build receivers: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a receiver under test.
type process struct {
	peer.Ready
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan error
}

// requirePeer skips the test with the receiver's own words when it cannot run here.
func requirePeer(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, name), append(args, "-probe")...).Output()
	if err != nil {
		t.Fatalf("probe %s: %v", name, err)
	}
	var s peer.Status
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("probe %s printed %q: %v", name, out, err)
	}
	if s.Name != name || len(s.Command) != 1+len(args) {
		t.Fatalf("probe %s = %+v, want its name and the command that starts it", name, s)
	}
	if !s.Ready {
		t.Skipf("%s cannot run here: %s", name, s.Why)
	}
}

// start runs a receiver in dir until the test ends and waits for its ready line.
func start(t *testing.T, name, dir string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), append([]string{"-stdin", "-dir", dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdin: stdin, exited: make(chan error, 1)}
	ready := make(chan error, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, err := r.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &p.Ready)
		}
		ready <- err
		io.Copy(io.Discard, r)
		p.exited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		stdin.Close()
		if cmd.ProcessState == nil {
			p.wait(t)
		}
	})
	select {
	case err = <-ready:
	case <-time.After(patience):
		err = errors.New("no ready line")
	}
	if err != nil {
		p.stop(t)
		t.Fatalf("start %s: %v\n%s", name, err, stderr.Bytes())
	}
	if p.Address == "" || p.Version == "" || p.Version == "unknown" || p.PID == 0 {
		t.Errorf("ready line of %s lacks address, version or pid: %+v", name, p.Ready)
	}
	return p
}

// stop closes the receiver's standard input and waits for its end.
func (p *process) stop(t *testing.T) error {
	t.Helper()
	p.stdin.Close()
	return p.wait(t)
}

func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.exited:
		p.exited <- err
		return err
	case <-time.After(patience):
		p.cmd.Process.Kill()
		t.Errorf("%s did not end", p.cmd.Path)
		return errors.New("killed")
	}
}

// eventually calls check until it returns nil: the events of another process cannot be waited for in any other way.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// lines decodes the complete lines of an NDJSON file; one that is not there yet has none.
func lines[T any](path string) ([]T, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []T
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("decode %q: %w", line, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// trust returns a client's configuration that trusts nothing but the receiver's CA.
func trust(t *testing.T, ca string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", ca)
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}
