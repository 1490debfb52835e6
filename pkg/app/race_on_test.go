//go:build race

package app_test

import (
	"runtime"
	"time"
)

// Under the race detector every step costs ten times as much: live asks less often, and there are fewer random worlds.
const (
	poll     = 5 * time.Minute
	worlds   = 50
	raceFlag = " -race"
	tenants  = 120
)

// All timers of a synctest bubble share one context of the race detector (runtime.timers.raceCtx, Go 1.26); two that run at the
// same moment on two processors damage it, and the process ends with a fault inside the detector. On one processor they cannot.
var _ = runtime.GOMAXPROCS(1)
