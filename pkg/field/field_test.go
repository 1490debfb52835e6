package field

import (
	"errors"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1024": 1024, "8GiB": 8 << 30, "8Gi": 8 << 30, "1.5MiB": 3 << 19, "1MB": 1e6, "2k": 2000, " 900 KiB ": 900 << 10, "1.7179869184e+10": 16 << 30, "5b": 5} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "8 GiBs", "1e300", "NaN", "MiB", "0x10", "1_000", "+1", "8 G iB"} {
		var s Size
		if s.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q was read as %d", text, s)
		}
	}
	for size, want := range map[Size]string{8 << 30: "8GiB", 1000: "1000", 3 << 19: "1536KiB", 0: "0"} {
		if size.String() != want {
			t.Errorf("%d is written %s, want %s", int64(size), size, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour, "0s": 0, "2h": 2 * time.Hour} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "-5m", "d", "5 days", "-1d", "99999999d", "1dd", "NaNd", "0x1p2d", "+5m", "-0s", "7 d", "7D"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{72 * time.Hour: "3d", 90 * time.Minute: "1h30m", time.Minute: "1m", 2 * time.Hour: "2h", time.Second: "1s", 0: "0s"} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestIn(t *testing.T) {
	err := In("sinks[0]", errors.Join(Errorf("tls.ca_file", "gone"), Errorf("[1]", "odd"), Errorf("", "empty"), errors.New("plain")))
	var paths []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var fe *Error
		if !errors.As(e, &fe) {
			t.Fatalf("%v is no field error", e)
		}
		paths = append(paths, fe.Path)
	}
	want := []string{"sinks[0].tls.ca_file", "sinks[0][1]", "sinks[0]", "sinks[0]"}
	for i := range want {
		if paths[i] != want[i] {
			t.Errorf("paths %q, want %q", paths, want)
		}
	}
	if In("x", nil) != nil {
		t.Error("nothing became a fault")
	}
}
