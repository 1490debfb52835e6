//go:build unix

package app_test

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestReloadLeavesPipesAlone: what a pipe has told it does not tell again. It is not looked at, and nothing waits for it.
func TestReloadLeavesPipesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 5*time.Second)
		fifo := e.path("fifo.yaml")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Skip(err)
		}
		go func() { _ = os.WriteFile(fifo, []byte(e.text(e.file)), 0o600) }()
		e.reload.Paths = []string{fifo}
		e.begin()
		e.rest(time.Minute)
		e.order()
		if why := e.fault("configuration"); why != "" || len(e.said.with("no other configuration can be taken", "no ordinary file")) != 1 {
			t.Errorf("refused: %q", why)
		}
		e.ends("one", "two")
	})
}
