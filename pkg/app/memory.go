package app

import (
	"os"
	"runtime/debug"
)

// gcPercent is the garbage collector's target (runtime/debug.SetGCPercent). What lives here is a few large buffers without
// pointers, which cost a collection next to nothing: collecting more often than Go's 100 halves the memory for no CPU that
// could be measured. Below 30 it begins to cost.
const gcPercent = 35

// TuneMemory sets the garbage collector for this program. It concerns the whole process, so only a main calls it; who sets
// GOGC knows better.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
