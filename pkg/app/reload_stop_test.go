package app_test

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestStopDuringReload: the first SIGTERM ends the process within the grace, also in the middle of a reload, and nothing is lost.
func TestStopDuringReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.sinks["two"].late = 15 * time.Second
		e.begin()
		e.rest(2 * time.Minute)
		for e.app.Status().Sinks[1].InFlight == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		f := e.file
		f.lanes, f.poll = []string{one, strings.Replace(two, "raw", "ecs", 1)}, "20s"
		e.put(f)
		asked := time.Now()
		e.stop()
		if took := time.Since(asked); took > 21*time.Second {
			t.Errorf("it took %s", took)
		}
		e.sinks["two"].late = 0
		e.begin()
		e.ends("one", "two")
	})
}

// TestCrashDuringReload: whichever half of a reload a crash comes at, the next start goes on where it stood.
func TestCrashDuringReload(t *testing.T) {
	for _, point := range []string{"reload:stopped", "reload:committed", "append:after-commit"} {
		t.Run(point, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := quietly(t, 0)
				e.begin()
				e.rest(2 * time.Minute)
				f := e.file
				f.poll, f.lanes = "20s", []string{one, "three, was: two, schema: raw, stdout: {}"}
				e.sinks["three"] = e.sinks["two"]
				e.write("c.yaml", e.text(f))
				e.hup <- syscall.SIGHUP
				if !e.crashFor(point, 1, time.Minute) {
					t.Fatal("the point was not passed")
				}
				e.stop()
				e.write("c.yaml", e.text(f)) // its state is in another folder now
				e.begin()
				e.until(50 * time.Minute)
				e.stop()
				for _, name := range []string{"one", "two"} {
					e.versions(name)
					if n := e.sinks[name].repeats(); n > 500 {
						t.Errorf("%s got %d events again", name, n)
					}
				}
			})
		})
	}
}
