package docs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	mostNotRun = 10
	patience   = 5 * time.Minute // for one block; only a failing test uses it up
)

// TestBlocks runs the shell blocks of each document in their order, in a folder of its own, and wants exit code 0. A block that
// cannot be run here says so in its first line, and there are few of these.
func TestBlocks(t *testing.T) {
	run, not := count(documents(t))
	t.Run("documents", func(t *testing.T) {
		for _, d := range documents(t) {
			if strings.Contains(d.text, "```sh\n") {
				t.Run(d.name, func(t *testing.T) {
					t.Parallel()
					if tool := lacks(d); tool != "" && os.Getenv("CI") != "true" {
						fmt.Printf("docs: %s is skipped: this machine has no %s\n", d.name, tool)
						t.Skip("no " + tool)
					}
					if err := newDesk(t).work(t, d); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	})
	fmt.Printf("docs: %d blocks run, %d not run\n", run, len(not))
	if err := few(not); err != nil {
		t.Error(err)
	}
	if run < 20 {
		t.Errorf("%d blocks were run", run)
	}
}

// lacks names a program that the document's blocks need and the machine does not have.
func lacks(d document) string {
	for _, tool := range []string{"curl", "make", "openssl"} {
		for _, b := range d.blocks {
			if _, err := exec.LookPath(tool); err != nil && b.lang == "sh" && strings.Contains(b.text, tool+" ") {
				return tool
			}
		}
	}
	return ""
}

// count gives how many shell blocks are run, and the places and reasons of those that are not.
func count(all []document) (run int, not []string) {
	for _, d := range all {
		for _, b := range d.blocks {
			if b.lang != "sh" {
				continue
			}
			if reason, ok := b.notRun(); ok {
				not = append(not, fmt.Sprintf("%s:%d: %s", d.name, b.line, reason))
			} else {
				run++
			}
		}
	}
	return run, not
}

func few(not []string) error {
	if len(not) > mostNotRun {
		return fmt.Errorf("%d blocks are not run, at most %d may be:\n%s", len(not), mostNotRun, strings.Join(not, "\n"))
	}
	return nil
}

// desk is where one document is worked through.
type desk struct {
	dir     string
	world   *world
	env     []string
	running []*shell
	output  string // of the last shell block
}

// newDesk has a folder with a configuration for the simulated tenant (logferry.yaml) and its client secret in it.
func newDesk(t *testing.T) *desk {
	t.Helper()
	k := &desk{dir: t.TempDir(), world: newWorld(t)}
	k.write(t, "client-secret", k.world.secret+"\n")
	k.write(t, "logferry.yaml", k.world.adapt(basicConfig))
	k.write(t, ".netrc", "machine 127.0.0.1 login reader password none\n")
	k.env = append(os.Environ(), "PATH="+k.world.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TEST_SESSION="+filepath.Join(t.TempDir(), "session"), "TEST_HTTP="+k.world.receiver.URL,
		"TEST_SYSLOG="+k.world.syslog, "TEST_GRAPH="+k.world.graph, "TEST_SECRET="+k.world.secret, "TEST_CLIENT="+k.world.client,
		"AZURE_TENANT_ID="+k.world.tenant, "AZURE_CLIENT_ID="+k.world.client, "HTTPS_PROXY=", "HTTP_PROXY=", "https_proxy=", "http_proxy=")
	return k
}

func (k *desk) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(k.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func (k *desk) work(t *testing.T, d document) error {
	t.Helper()
	t.Cleanup(func() {
		for _, s := range k.running {
			s.interrupt()
			s.wait(patience)
		}
	})
	if strings.HasPrefix(d.name, "deploy/") { // these speak of the files beside them
		if err := os.CopyFS(k.dir, os.DirFS(filepath.Join(root, filepath.Dir(d.name)))); err != nil {
			return err
		}
	}
	for _, b := range d.blocks {
		at := fmt.Sprintf("%s:%d", d.name, b.line)
		_, isOutput := b.note("output")
		_, skipped := b.notRun()
		if name, ok := b.note("file"); ok {
			k.write(t, name, k.world.adapt(b.text))
		} else if isOutput {
			if line := lacking(k.output, b.text); line != "" {
				return fmt.Errorf("%s: the output has no such line (here, or in this order): %q\nThe output is:\n%s", at, line, brief(k.output))
			}
		} else if (b.lang == "sh" || b.lang == "setup") && !skipped {
			if err := k.run(b); err != nil {
				return fmt.Errorf("%s: %w\n%s\nThe output is:\n%s", at, err, b.text, brief(k.output))
			}
		}
	}
	return nil
}

// brief is the end of an output, as far as a reader of a failed test wants it.
func brief(output string) string {
	lines := strings.Split(output, "\n")
	lines = lines[max(0, len(lines)-40):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), 300)]
	}
	return strings.Join(lines, "\n")
}

// run runs one block to its end, or as far as its notes say.
func (k *desk) run(b block) error {
	_, here := b.note("here")
	s, err := k.start(b.text, here)
	if err != nil {
		return err
	}
	until, stops := b.note("until")
	beside, stays := b.note("background")
	if stops || stays {
		err := s.says(until + beside)
		k.output = s.out.String()
		if err != nil {
			s.kill()
			return err
		}
		if stays {
			k.running = append(k.running, s)
			return nil
		}
		s.interrupt()
	}
	code, err := s.wait(patience)
	if !stops {
		k.output = s.out.String()
	}
	want := "0"
	if n, ok := b.note("exit"); ok {
		want = n
	}
	if err == nil && fmt.Sprint(code) != want && !(stops && (code == 130 || code == 2 || code == -1)) {
		err = fmt.Errorf("exit code %d, want %s", code, want)
	}
	return err
}

// prelude makes one session of a document's blocks, as for a reader with one terminal: variables and functions stay. It lets
// logferry fetch ask the simulator, as the pages leave out who signs in and where.
const prelude = `. "$TEST_SESSION" >/dev/null 2>&1
set -euo pipefail
trap 'rc=$?; { declare -p; declare -f; } >"$TEST_SESSION"; exit $rc' EXIT
logferry() {
  if [[ ${1-} != fetch ]]; then command logferry "$@"; return; fi
  shift
  local secret=(--client-secret-file client-secret)
  [[ " $* " != *" --client-secret-file "* ]] || secret=()
  command logferry fetch --login-url "$TEST_GRAPH" --graph-url "$TEST_GRAPH" "${secret[@]}" "$@"
}
`

// shell is a running block: a process group of its own.
type shell struct {
	cmd  *exec.Cmd
	out  syncBuffer
	done chan struct{}
	err  error
}

func (k *desk) start(text string, here bool) (*shell, error) {
	s := &shell{cmd: exec.CommandContext(context.Background(), "bash", "-c", prelude+strings.ReplaceAll(k.world.adapt(text), "/path/to/", k.dir+"/")), done: make(chan struct{})}
	s.cmd.Dir, s.cmd.Env = k.dir, slices.Concat(k.env, []string{"HOME=" + k.dir})
	if here { // Go's caches are below the real home
		s.cmd.Dir, s.cmd.Env = k.world.repository, k.env
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.WaitDelay = 5 * time.Second
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // what the block has left behind
		close(s.done)
	}()
	return s, nil
}

func (s *shell) interrupt() { syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT) }

func (s *shell) kill() {
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// wait gives the exit code.
func (s *shell) wait(d time.Duration) (int, error) {
	select {
	case <-s.done:
	case <-time.After(d):
		s.kill()
		return 0, errors.New("it does not end")
	}
	var exit *exec.ExitError
	if s.err != nil && !errors.As(s.err, &exit) {
		return 0, s.err
	}
	return s.cmd.ProcessState.ExitCode(), nil
}

func (s *shell) says(text string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !strings.Contains(s.out.String(), text) {
		select {
		case <-s.done:
			if !strings.Contains(s.out.String(), text) {
				return fmt.Errorf("it has ended without saying %q", text)
			}
		case <-deadline:
			return fmt.Errorf("it does not say %q", text)
		case <-tick.C:
		}
	}
	return nil
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// What differs from run to run: ids, times, durations, numbers, the width of columns.
var masks = []struct {
	of *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`\b[A-Za-z0-9_-]{22}\b`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?Z?)?`), "T"},
	{regexp.MustCompile(`https?://(127\.0\.0\.1:\d+|graph\.microsoft\.com|login\.microsoftonline\.com)`), "HOST"},
	{regexp.MustCompile(`\b\d[\d.,]*( ?[KMG]i?B|m?s|h|m)?\b`), "N"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

func masked(line string) string {
	for _, m := range masks {
		line = m.of.ReplaceAllString(line, m.to)
	}
	return strings.TrimSpace(line)
}

// lacking gives the first line of shown that output does not have, in that order; "" if it has all. A line "..." stands for any
// lines, ".." and "…" within one for any text.
func lacking(output, shown string) string {
	rest := strings.Split(output, "\n")
	for line := range strings.Lines(shown) {
		want := masked(line)
		if want == "" || want == "..." {
			continue
		}
		pattern := regexp.MustCompile("^" + strings.NewReplacer(`\.\.`, ".*", "…", ".*").Replace(regexp.QuoteMeta(want)) + "$")
		for {
			if len(rest) == 0 {
				return strings.TrimSpace(line)
			}
			got := masked(rest[0])
			rest = rest[1:]
			if pattern.MatchString(got) {
				break
			}
		}
	}
	return ""
}
