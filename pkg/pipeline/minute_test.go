package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// What a Journal answers about rows; nothing is remembered.
func (m *memory) Compare(_ event.StreamKey, _ uint8, records []event.Record) ([]event.Comparison, error) {
	out := make([]event.Comparison, len(records))
	for i := range out {
		out[i].Known = event.Missing
	}
	return out, nil
}
func (m *memory) Minutes(event.StreamKey, time.Time, time.Time) ([]event.Minute, error) {
	return nil, nil
}
func (m *memory) Floor(event.StreamKey) time.Time { return time.Time{} }

// TestForgottenMinute: what is missing in a minute of which only count and sum are left is named as far as these tell.
func TestForgottenMinute(t *testing.T) {
	sums := map[string]uint64{"a": 3 << 60, "b": 1 << 63, "c": 12345, "d": 1<<64 - 1, "e": 77}
	minute := func(ids string) (m event.Minute) {
		for _, id := range ids {
			m.Count++
			m.Sum += sums[string(id)]
		}
		return m
	}
	for _, tt := range []struct {
		read, shown string
		missing     string
		unclear     bool
	}{
		{"", "", "", false},
		{"abc", "abc", "", false},
		{"abce", "abcde", "d", false},
		{"e", "eab", "ab", false},
		{"bcd", "abcde", "ae", false},
		{"", "abcde", "abcde", false},
		{"ab", "abcde", "", true}, // three
		{"abc", "abd", "", true},  // one for another
		{"abc", "ab", "", true},   // one less, which may hide another one
		{"ab", "acd", "", true},   // one more, but none of them explains it
		{"a", "bcd", "", true},
	} {
		var m shownMinute
		for _, id := range tt.shown {
			m.add(verifiedRow{id: string(id), Comparison: event.Comparison{Sum: sums[string(id)]}})
		}
		for when, read := range map[string][2]event.Minute{"all along": {minute(tt.read), minute(tt.read)}, "meanwhile": {{}, minute(tt.read)}} {
			if tt.read == "" && when == "meanwhile" {
				continue
			}
			missing, changed, unclear := m.judge(read[0], read[1])
			names := ""
			for _, r := range missing {
				names += r.id
			}
			if names != tt.missing || len(changed) > 0 || unclear != tt.unclear {
				t.Errorf("read %s %q, shown %q: %q are missing, %d changed, unclear %v", when, tt.read, tt.shown, names, len(changed), unclear)
			}
		}
	}
}

// TestStretch: which words of an operator are taken, and what they mean.
func TestStretch(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 30, 40, 0, time.UTC)
	s := contoso(nil)
	s.Now = func() time.Time { return now }
	p, err := New(Options{Journal: newMemory("x"), Normalizer: plain{}, Sources: []Source{s}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ stream, from, to, want string }{
		{"", "1h", "", "contoso/audits 11:30 12:15"},
		{"contoso/a*", "2026-03-04T10:00:59Z", "2h", "contoso/audits 10:00 10:30"},
		{"*/*", "2026-03-04", "2026-03-05", "contoso/audits 00:00 12:15"},
		{"audits", "1h", "", "no stream audits: there are contoso/audits"},
		{"[", "1h", "", "no pattern"},
		{"", "", "", "from:"},
		{"", "yesterday", "", "from:"},
		{"", "1h", "never", "to:"},
		{"", "10m", "", "still being read"},
		{"", "1h", "2h", "nothing lies between"},
	} {
		got := ""
		targets, err := p.targets(t.Context(), Stretch{tt.stream, tt.from, tt.to})
		for _, target := range targets {
			got += fmt.Sprint(target.name, " ", target.from.Format("15:04"), " ", target.to.Format("15:04"))
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
