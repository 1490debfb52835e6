package timeline

import (
	"fmt"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/field"
)

// Config is the part of a source's block that concerns time.
type Config struct {
	Start    Start            `yaml:"start,omitempty"`    // first run: how far back, or from when
	Poll     field.Duration   `yaml:"poll,omitempty"`     // how often live asks
	Lookback field.Duration   `yaml:"lookback,omitempty"` // how far before its cursor live reads again
	Reread   []field.Duration `yaml:"reread"`             // the ages at which a stretch is read once more; [] switches that off
	Updates  string           `yaml:"updates,omitempty"`  // ship | drop: records that changed after they were shipped

	Retention time.Duration `yaml:"-"` // how long the API keeps this stream's records for sure; 0: 7 days
	Page      int           `yaml:"-"` // rows of a full page; 0: 1000
}

// Default is what an empty block means.
func Default() Config {
	return Config{
		Start:    Start{Age: 24 * time.Hour},
		Poll:     field.Duration(time.Minute),
		Lookback: field.Duration(15 * time.Minute),
		Reread: []field.Duration{
			field.Duration(30 * time.Minute), field.Duration(2 * time.Hour),
			field.Duration(24 * time.Hour), field.Duration(72 * time.Hour),
		},
		Updates: "ship",
	}
}

// Validate finds what cannot work.
func (c Config) Validate() []error {
	var faults []error
	bad := func(path, format string, args ...any) { faults = append(faults, field.Errorf(path, format, args...)) }
	if c.Poll.Std() < time.Second {
		bad("poll", "%s is too short: one second or more, 60s is usual", c.Poll)
	}
	if c.Lookback.Std() < time.Minute {
		bad("lookback", "%s is too short: records appear minutes after their time; 15m is usual, 1m the least", c.Lookback)
	}
	for i, age := range c.Reread {
		path := fmt.Sprintf("reread[%d]", i)
		switch {
		case age.Std() < time.Minute:
			bad(path, "%s is too short: 1m or more", age)
		case i > 0 && age <= c.Reread[i-1]:
			bad(path, "%s does not follow %s: write the ages in ascending order", age, c.Reread[i-1])
		}
	}
	if c.Updates != "ship" && c.Updates != "drop" {
		bad("updates", "%q is unknown: ship or drop", c.Updates)
	}
	return faults
}

// Start is where the first run begins: an age ("24h", "7d") or a time (RFC 3339, or a date: midnight UTC).
type Start struct {
	Age time.Duration
	At  time.Time
}

// UnmarshalText reads either form.
func (s *Start) UnmarshalText(text []byte) error {
	str := strings.TrimSpace(string(text))
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, str); err == nil {
			*s = Start{At: t.UTC()}
			return nil
		}
	}
	age, err := field.ParseDuration(str)
	if err != nil {
		return fmt.Errorf("%q is neither a duration nor a time: write 24h, 7d, 2026-01-31 or 2026-01-31T08:00:00Z", str)
	}
	*s = Start{Age: age}
	return nil
}

// MarshalText writes a form that UnmarshalText reads.
func (s Start) MarshalText() ([]byte, error) {
	if !s.At.IsZero() {
		return s.At.AppendFormat(nil, time.RFC3339), nil
	}
	return field.Duration(s.Age).MarshalText()
}

// Resolve gives the time that s means at now; never later than now.
func (s Start) Resolve(now time.Time) time.Time {
	at := s.At
	if at.IsZero() {
		at = now.Add(-s.Age)
	}
	if at.After(now) {
		at = now
	}
	return second(at)
}

// second cuts to whole seconds: the API's filters know no fractions that can be trusted.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
