//go:build crashpoints

package app

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// crashHook kills the process at a named point, for the kill test's binary (build tag crashpoints): LOGFERRY_CRASH="point=n" means
// the n-th time that the point is passed.
func crashHook() func(point string) {
	at, n, ok := strings.Cut(os.Getenv("LOGFERRY_CRASH"), "=")
	times, err := strconv.ParseInt(n, 10, 64)
	if !ok || err != nil {
		return nil
	}
	var passed atomic.Int64
	return func(point string) {
		if point == at && passed.Add(1) == times {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}
