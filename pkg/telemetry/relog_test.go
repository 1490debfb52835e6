package telemetry

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// TestLogChanges: level and format hold for loggers that were made before, and their fields stay.
func TestLogChanges(t *testing.T) {
	var out bytes.Buffer
	log, change, err := NewChangingLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	child := log.With(zap.String("sink", "splunk"))
	line := func(say func()) string {
		out.Reset()
		say()
		return out.String()
	}
	hello := func() { child.Info("hello", zap.Int("n", 1)) }
	if got := line(hello); !strings.Contains(got, `"sink":"splunk","n":1`) {
		t.Errorf("as it began: %s", got)
	}
	if got := line(func() { child.Debug("hello") }); got != "" {
		t.Errorf("debug at level info: %s", got)
	}
	if err := change("warn", "json"); err != nil {
		t.Fatal(err)
	}
	if got := line(hello); got != "" {
		t.Errorf("info at level warn: %s", got)
	}
	if err := change("debug", "console"); err != nil {
		t.Fatal(err)
	}
	if got := line(func() { child.Debug("hello", zap.Int("n", 1)) }); !strings.Contains(got, "DEBUG") || !strings.Contains(got, `{"sink": "splunk", "n": 1}`) {
		t.Errorf("console: %s", got)
	}
	if err := change("loud", "json"); err == nil {
		t.Error("an unknown level was taken")
	}
	if got := line(hello); !strings.Contains(got, "hello") {
		t.Errorf("after a refused change: %q", got)
	}
}
