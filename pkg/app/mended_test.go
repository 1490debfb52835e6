package app_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestMended has a fault last for hours, at the start or later, and asks how soon after it is mended all streams are read again: a
// secret in a file is to be in use within minutes, whatever the pauses between tries have grown to. A wrong one that follows one which
// works is no more than told of.
func TestMended(t *testing.T) {
	for name, from := range map[string]time.Duration{"from the start": 0, "later": 2 * time.Hour} {
		t.Run("secret, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := newWorld(t, simulator.Options{Generate: generate(0.01, began.Add(-time.Hour), began.Add(10*time.Hour))}, "start: 1h\nreread: [30m, 2h]", "out")
				if from == 0 {
					w.write("secret", "expired")
				}
				w.start("out")
				w.until(from + time.Second)
				w.write("secret", "expired")
				w.until(8 * time.Hour) // a token lives for an hour or so
				faults := w.app.Status().Faults
				if len(faults) == 0 || !strings.Contains(faults[0].Err, "the client secret is wrong") || faults[0].Blocked != (from == 0) {
					t.Errorf("faults %+v", faults)
				}
				w.write("secret", simulator.DefaultClientSecret+"\n")
				w.until(8*time.Hour + 3*time.Minute)
				if faults := w.app.Status().Faults; len(faults) > 0 {
					t.Errorf("three minutes after it was mended: %+v", faults)
				}
				w.until(13 * time.Hour)
				w.stop()
				w.complete("out")
				w.checkBudget()
			})
		})
	}
}
