package entra

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for text, ok := range map[string]bool{
		"2026-01-02T03:04:05Z":            true,
		"2026-01-02T03:04:05.1Z":          true,
		"2026-01-02T03:04:05.1234567Z":    true,
		"2026-01-02T03:04:05.123456789Z":  true,
		"2026-01-02T03:04:05+05:30":       true,
		"2026-01-02T03:04:05.5-08:00":     true,
		"2024-02-29T00:00:00Z":            true,
		"2000-02-29T23:59:59Z":            true,
		"0001-01-01T00:00:00Z":            true,
		"0000-03-01T00:00:00Z":            true,
		"9999-12-31T23:59:59.9999999Z":    true,
		"":                                false,
		"2026-01-02":                      false,
		"2026-01-02T03:04:05":             false,
		"2026-01-02T03:04:05.Z":           false,
		"2026-01-02T03:04:05.1234567890Z": false,
		"2026-01-02T03:04:05z":            false,
		"2026-01-02t03:04:05Z":            false,
		"2026-13-02T03:04:05Z":            false,
		"2026-02-29T03:04:05Z":            false,
		"1900-02-29T03:04:05Z":            false,
		"2026-01-02T24:00:00Z":            false,
		"2026-01-02T03:04:60Z":            false,
		"2026-01-02T03:04:05+5:30":        false,
		"2026-01-02T03:04:05+24:00":       false,
		"2026-01-02T03:04:05ZZ":           false,
		"2026-01-02 03:04:05Z":            false,
		"+026-01-02T03:04:05Z":            false,
	} {
		got, gotOK := parseTime([]byte(text))
		if gotOK != ok {
			t.Errorf("parseTime(%q) is %v", text, gotOK)
		}
		if want, err := time.Parse(time.RFC3339Nano, text); ok && (err != nil || !got.Equal(want)) {
			t.Errorf("parseTime(%q) = %s, want %s (%v)", text, got, want, err)
		}
	}
}

// FuzzParseTime: what is taken, time.Parse takes with the same result; and any time that Go formats is taken.
func FuzzParseTime(f *testing.F) {
	f.Add("2026-01-02T03:04:05.1234567Z", int64(0), int64(0))
	f.Add("2026-01-02T03:04:05-08:00", int64(1767225600), int64(123456789))
	f.Fuzz(func(t *testing.T, text string, seconds, nanos int64) {
		if got, ok := parseTime([]byte(text)); ok {
			want, err := time.Parse(time.RFC3339Nano, text)
			if err != nil || !got.Equal(want) {
				t.Errorf("parseTime(%q) = %s, want %s (%v)", text, got, want, err)
			}
		}
		const year10000 = 253402300800
		v := time.Unix(seconds%year10000, nanos%1e9).UTC()
		if v.Year() < 0 || v.Year() > 9999 {
			return
		}
		if got, ok := parseTime([]byte(v.Format(time.RFC3339Nano))); !ok || !got.Equal(v) {
			t.Errorf("parseTime(%s) = %s, %v", v.Format(time.RFC3339Nano), got, ok)
		}
	})
}
