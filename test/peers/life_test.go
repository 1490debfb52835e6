//go:build linux

package peers_test

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestLife shows that no receiver outlives its parent and that SIGTERM is a clean end.
func TestLife(t *testing.T) {
	for name, signal := range map[string]os.Signal{"hecpeer": syscall.SIGTERM, "kfakepeer": os.Interrupt, "rsyslogpeer": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			requirePeer(t, name)
			p := start(t, name, t.TempDir())
			p.cmd.Process.Signal(signal)
			if err := p.wait(t); err != nil {
				t.Errorf("end after %v: %v, want exit code 0", signal, err)
			}
		})
	}
	t.Run("child of a killed process", func(t *testing.T) {
		requirePeer(t, "rsyslogpeer")
		p := start(t, "rsyslogpeer", t.TempDir())
		becomeReaper(t)
		p.cmd.Process.Kill()
		p.wait(t)
		ended := make(chan error, 1)
		go func() {
			_, err := syscall.Wait4(p.PID, nil, 0, nil)
			ended <- err
		}()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("wait for rsyslogd: %v", err)
			}
		case <-time.After(patience):
			syscall.Kill(p.PID, syscall.SIGKILL)
			t.Error("rsyslogd outlived the process that minds it")
		}
	})
}

// becomeReaper makes orphans of our children ours, so that the test can wait for them (prctl(2)).
func becomeReaper(t *testing.T) {
	t.Helper()
	const setChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		t.Skipf("cannot become a reaper: %v", errno)
	}
}
