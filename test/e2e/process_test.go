package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buffer is what a running process has written so far.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// process is a logferry.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr buffer
	done           chan struct{} // closed at its end
	err            error         // of Wait; after done
}

// begin starts logferry; what is still running at the test's end is killed.
func begin(t *testing.T, args ...string) *process {
	t.Helper()
	return beginWith(t, nil, args...)
}

// beginWith is begin with more in the environment.
func beginWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), "HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=")
	p.cmd.Env = append(p.cmd.Env, env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// wait gives the exit code; -1 for the end by a signal.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		said := p.stderr.String()
		p.cmd.Process.Kill()
		<-p.done
		t.Fatalf("logferry %q did not end\n%s", p.cmd.Args[1:], tail(said, 20000))
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// says waits until the process has written text to stderr.
func (p *process) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() error {
		select {
		case <-p.done:
			if !strings.Contains(p.stderr.String(), text) {
				t.Fatalf("logferry has ended without saying %q:\n%s", text, p.stderr.String())
			}
		default:
		}
		if !strings.Contains(p.stderr.String(), text) {
			return fmt.Errorf("logferry does not say %q:\n%s", text, tail(p.stderr.String(), 4000))
		}
		return nil
	})
}

// adminURL waits for the address of the admin endpoint.
func (p *process) adminURL(t *testing.T) string {
	t.Helper()
	p.says(t, `"admin endpoint"`)
	for line := range strings.Lines(p.stderr.String()) {
		var entry struct {
			Msg string `json:"msg"`
			URL string `json:"url"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "admin endpoint" {
			return entry.URL
		}
	}
	t.Fatalf("no address of the admin endpoint in the log:\n%s", p.stderr.String())
	return ""
}

// result is a logferry that has ended.
type result struct {
	code           int
	stdout, stderr string
}

// logferry runs a command to its end.
func logferry(t *testing.T, args ...string) result {
	t.Helper()
	p := begin(t, args...)
	code := p.wait(t)
	return result{code, p.stdout.String(), p.stderr.String()}
}

// wants checks the exit code, and that both outputs together hold the texts.
func (r result) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("output lacks %q", text)
		}
	}
	if t.Failed() {
		t.Fatalf("stdout:\n%s\nstderr:\n%s", tail(r.stdout, 4000), tail(r.stderr, 8000))
	}
}

// summary is the last line that run --once prints.
type summary struct {
	Complete bool `json:"complete"`
	Streams  map[string]struct {
		Rows    uint64 `json:"rows"`
		New     uint64 `json:"new"`
		Updated uint64 `json:"updated"`
		Seen    uint64 `json:"seen"`
		Late    uint64 `json:"late"`
	} `json:"streams"`
	Sinks map[string]struct {
		Delivered uint64 `json:"delivered"`
		Filtered  uint64 `json:"filtered"`
		Dead      uint64 `json:"dead"`
		Pending   uint64 `json:"pending"`
	} `json:"sinks"`
}

// runOnce runs a configuration with --once, wants the exit code and gives the summary.
func runOnce(t *testing.T, config string, code int, args ...string) (summary, result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "summary.json")
	r := logferry(t, append([]string{"run", "--once", "-c", config, "--summary", file}, args...)...)
	r.wants(t, code)
	var s summary
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		t.Fatalf("no summary: %v\n%s", err, r.stderr)
	}
	if s.Complete != (code == 0) {
		t.Errorf("exit code %d with complete %v", code, s.Complete)
	}
	return s, r
}

// tail gives the end of a long text.
func tail(s string, n int) string {
	if len(s) > n {
		return ".." + s[len(s)-n:]
	}
	return s
}
