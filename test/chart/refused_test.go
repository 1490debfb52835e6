package chart

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/field"
)

// TestRefused: a bad values file is refused with a message that names the key, which stands in the file's first line.
func TestRefused(t *testing.T) {
	files, err := filepath.Glob("values/bad-*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("there are %d bad values files, want 8: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			first, _, _ := strings.Cut(read(t, file), "\n")
			want, ok := strings.CutPrefix(first, "# refused: ")
			if !ok {
				t.Fatalf("begins with %q: want what the message says", first)
			}
			refuses(t, want, "-f", file)
		})
	}
}

// refuses fails unless the chart refuses the values with a message that holds want, and no secret.
func refuses(t *testing.T, want string, args ...string) {
	t.Helper()
	text, err := template(t, args...)
	switch {
	case err == nil:
		t.Errorf("%q: was rendered:\n%s", args, text)
	case !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "nil pointer"):
		t.Errorf("%q: %v: want a message with %q", args, err, want)
	case strings.Contains(err.Error(), "Aa1~example"):
		t.Errorf("the message shows the secret: %v", err)
	}
}

// TestClaimBoundary: the claim holds the journal at its largest and 2 GiB more, in whatever notation the two are written.
func TestClaimBoundary(t *testing.T) {
	usual := int64(config.Default().State.JournalMaxBytes) + 2<<30
	for _, c := range []struct {
		journal, claim string
		ok             bool
	}{
		{"", fmt.Sprint(usual), true},
		{"", fmt.Sprint(usual - 1), false},
		{"", "10Gi", true},
		{"", "10239Mi", false},
		{"", "10G", false},
		{"", "11G", true},
		{"8Gi", "10Gi", true},
		{"8 gib", "10Gi", true},
		{"8.001GiB", "10Gi", false},
		{"8GB", "10147483648", true},
		{"8GB", "10147483647", false},
		{"8G", "9.4Gi", false},
		{"8192MiB", "0.01Ti", true},
		{"8388609Ki", "10Gi", false},
		{"1TiB", "1026Gi", true},
		{"1TB", "1Ti", true},
		{"1TiB", "1Ti", false},
		{"8589934592", "10Gi", true},
		{"8589934593", "10Gi", false},
		{"16777216B", "2064Mi", true},
	} {
		t.Run(c.journal+" in "+c.claim, func(t *testing.T) {
			t.Parallel()
			args := []string{"-f", "values/default.yaml", "--set-string", "persistence.size=" + c.claim}
			if c.journal != "" {
				args = append(args, "--set-string", "config.state.journal_max_bytes="+c.journal)
				var size field.Size
				if err := size.UnmarshalText([]byte(c.journal)); err != nil {
					t.Fatalf("logferry would not take that size: %v", err)
				}
			}
			if !c.ok {
				refuses(t, "persistence.size: "+c.claim+" is too small", args...)
			} else if _, err := template(t, args...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestClaimOfNumbers: sizes without quotes, which Helm reads as numbers.
func TestClaimOfNumbers(t *testing.T) {
	t.Parallel()
	base := read(t, "values/default.yaml")
	numbers := func(journal, claim int64) string {
		return write(t, strings.Replace(base, "config:\n", fmt.Sprintf("config:\n  state: {journal_max_bytes: %d}\n", journal), 1)+fmt.Sprintf("persistence: {size: %d}\n", claim))
	}
	if _, err := template(t, "-f", numbers(8<<30, 10<<30)); err != nil {
		t.Error(err)
	}
	refuses(t, "persistence.size", "-f", numbers(8<<30, 10<<30-1))
	text, err := template(t, "-f", numbers(8<<30, 10<<30))
	if err != nil || !strings.Contains(text, "journal_max_bytes: 8589934592\n") || !strings.Contains(text, "storage: 10737418240\n") {
		t.Errorf("%v: the numbers are not rendered as they were written:\n%s", err, text)
	}
}

// TestGraceBoundary: the pod gets what the sinks get, and 5 s.
func TestGraceBoundary(t *testing.T) {
	usual := int(config.Default().State.ShutdownGrace.Std()/time.Second) + 5
	for _, c := range []struct {
		grace string
		pod   int
		ok    bool
	}{
		{"", usual, true}, {"", usual - 1, false},
		{"90s", 95, true}, {"90s", 94, false},
		{"1m30s", 95, true}, {"1m30s", 94, false},
		{"1.5m", 95, true}, {"1500ms", 7, true}, {"1500ms", 6, false},
		{"1h", 3605, true}, {"0.5d", 43204, false},
	} {
		t.Run(fmt.Sprint(c.grace, " in ", c.pod), func(t *testing.T) {
			t.Parallel()
			args := []string{"-f", "values/default.yaml", "--set", fmt.Sprintf("terminationGracePeriodSeconds=%d", c.pod)}
			if c.grace != "" {
				args = append(args, "--set-string", "config.state.shutdown_grace="+c.grace)
			}
			if !c.ok {
				refuses(t, fmt.Sprintf("terminationGracePeriodSeconds: %d is too short", c.pod), args...)
			} else if _, err := template(t, args...); err != nil {
				t.Error(err)
			}
		})
	}
}
