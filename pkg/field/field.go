// Package field holds what the fields of a configuration are made of: sizes, durations, and faults that name their field.
package field

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Error is a fault of one field. Validate methods join as many as they find, so that all are reported at once.
type Error struct {
	Path string // below the block that was validated, as written in YAML: "tls.cert_file", "endpoints[1]"; "" for the block itself
	Msg  string // what is wrong and the way out
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Msg
	}
	return e.Path + ": " + e.Msg
}

// Errorf makes an Error.
func Errorf(path, format string, args ...any) error {
	return &Error{Path: path, Msg: fmt.Sprintf(format, args...)}
}

// In puts every Error of err (joined ones too) below the block of that name; other errors become an Error of the block.
func In(block string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, In(block, e))
		}
		return errors.Join(all...)
	}
	var e *Error
	if errors.As(err, &e) {
		path := block
		switch {
		case block == "":
			path = e.Path
		case e.Path != "" && e.Path[0] == '[':
			path += e.Path
		case e.Path != "":
			path += "." + e.Path
		}
		return &Error{Path: path, Msg: e.Msg}
	}
	return &Error{Path: block, Msg: err.Error()}
}

// Size is a number of bytes, written as 1048576, 8MiB, 8Mi, 8MB or 8M (the last two decimal).
type Size int64

var sizeUnits = []struct {
	suffix string
	factor float64
}{
	{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40},
	{"KI", 1 << 10}, {"MI", 1 << 20}, {"GI", 1 << 30}, {"TI", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"B", 1},
}

// SizePattern is what a size looks like: for UnmarshalText, and for the JSON Schema of the configuration. It is the common part of RE2
// and ECMA 262. The exponent is there for tools that write large numbers so, Helm for one.
const SizePattern = `^ *[0-9]+(\.[0-9]+)?([eE]\+?[0-9]+)? *([KMGTkmgt]([iI]?[bB]?)|[bB])? *$`

var sizeText = regexp.MustCompile(SizePattern)

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	str := strings.ToUpper(strings.TrimSpace(string(text)))
	factor := 1.0
	for _, u := range sizeUnits {
		if strings.HasSuffix(str, u.suffix) {
			str, factor = strings.TrimSpace(strings.TrimSuffix(str, u.suffix)), u.factor
			break
		}
	}
	n, err := strconv.ParseFloat(str, 64)
	if err != nil || !sizeText.Match(text) || n*factor > math.MaxInt64/2 {
		return fmt.Errorf("%q is not a size: write a number with a unit, such as 512MiB or 8GiB", text)
	}
	*s = Size(n * factor)
	return nil
}

// MarshalText writes the largest binary unit that divides the size.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, u := range []struct {
		name   string
		factor Size
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.factor && s%u.factor == 0 {
			return strconv.FormatInt(int64(s/u.factor), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Duration is a stretch of time, written as 90s, 15m, 2h, 7d or a sum such as 1d12h.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Std gives the standard type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	v := time.Duration(d)
	if v != 0 && v%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(v/(24*time.Hour)), 10) + "d"
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// DurationPattern is what a duration looks like: for ParseDuration, and for the JSON Schema of the configuration. It is the common part
// of RE2 and ECMA 262.
const DurationPattern = `^ *(0|[0-9]+(\.[0-9]+)?d([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))*|([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))+) *$`

var durationText = regexp.MustCompile(DurationPattern)

// ParseDuration is time.ParseDuration with days ("7d", "1d12h") and without signs.
func ParseDuration(s string) (time.Duration, error) {
	if !durationText.MatchString(s) {
		return 0, fmt.Errorf("%q is not a duration: write 90s, 15m, 2h or 7d", s)
	}
	rest, total := strings.TrimSpace(s), time.Duration(0)
	if i := strings.IndexByte(rest, 'd'); i > 0 {
		days, err := strconv.ParseFloat(rest[:i], 64)
		if err != nil || days < 0 || days > 36500 {
			return 0, fmt.Errorf("%q is not a duration: write 90s, 15m, 2h or 7d", s)
		}
		total, rest = time.Duration(days*24*float64(time.Hour)), rest[i+1:]
	}
	if rest != "" || total == 0 {
		v, err := time.ParseDuration(rest)
		if err != nil || v < 0 {
			return 0, fmt.Errorf("%q is not a duration: write 90s, 15m, 2h or 7d", s)
		}
		total += v
	}
	return total, nil
}
