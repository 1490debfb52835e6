package e2e_test

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo: what a newcomer runs first shows events and the ledger, ends cleanly at Ctrl-C, and leaves nothing behind.
func TestDemo(t *testing.T) {
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	p := begin(t, "demo")
	eventually(t, func() error {
		if out := p.stdout.String(); strings.Count(out, "\n") < 100 || !strings.Contains(out, "rows read") {
			return io.ErrNoProgress
		}
		return nil
	})
	p.signal(t, syscall.SIGINT)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	for _, want := range []string{"The first event:", `"ecs"`, "verbatim", "signins.interactive", "audits", "The ledger adds up"} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("%q is not shown in:\n%s", want, tail(p.stdout.String(), 3000))
		}
	}
	empty(t, scratch)
}

// TestDemoEndsWithItsReader: `logferry demo | head`.
func TestDemoEndsWithItsReader(t *testing.T) {
	scratch := t.TempDir()
	cmd := exec.Command(binary, "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	out.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo did not end by itself: %v", err)
	}
	empty(t, scratch)
}

func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
