package telemetry

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestRecent(t *testing.T) {
	r := NewRecent()
	log, err := NewLogger(r, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("first", zap.String("a", "b"))
	log.Debug("not said")
	if lines := r.Lines(); len(lines) != 1 || !strings.HasPrefix(lines[0], "{") || !strings.HasSuffix(lines[0], `"msg":"first","a":"b"}`) {
		t.Errorf("%q", lines)
	}
	for i := range 3 * recentLines {
		fmt.Fprintf(r, "line %d\n", i)
	}
	lines := r.Lines()
	if len(lines) != recentLines || lines[0] != fmt.Sprint("line ", 2*recentLines) || lines[recentLines-1] != fmt.Sprint("line ", 3*recentLines-1) {
		t.Errorf("%d lines, from %s to %s", len(lines), lines[0], lines[len(lines)-1])
	}
	// Long lines are cut, and few of them are kept.
	long := strings.Repeat("x", 3*recentLine)
	for range 100 {
		if n, err := r.Write([]byte(long)); n != len(long) || err != nil {
			t.Fatal(n, err)
		}
	}
	if lines = r.Lines(); len(lines) != recentBytes/recentLine || len(lines[0]) != recentLine {
		t.Errorf("%d lines of %d bytes", len(lines), len(lines[0]))
	}
}
