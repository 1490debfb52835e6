package packaging

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestThePackagesAskedForAreInTheBinary: produce, token, log, pace every retry.
func TestThePackagesAskedForAreInTheBinary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "github.com/logferry/logferry/cmd/logferry").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, want := range []string{"github.com/segmentio/kafka-go", "golang.org/x/oauth2", "go.uber.org/zap", "github.com/cenkalti/backoff/v4"} {
		if !slices.Contains(deps, want) {
			t.Errorf("%s is not part of the binary", want)
		}
	}
	for _, never := range []string{"go.opentelemetry.io", "github.com/twmb/franz-go"} {
		if i := slices.IndexFunc(deps, func(d string) bool { return strings.HasPrefix(d, never) }); i >= 0 {
			t.Errorf("%s, which belongs to the tests' receivers, is part of the binary", deps[i])
		}
	}
}
