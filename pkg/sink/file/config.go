// Package file holds the sinks that write events as lines: to files (NDJSON where the schema is JSON) and to standard output.
package file

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// Config is the file block of a sink. Zero values stand for the defaults.
type Config struct {
	Path     string     `yaml:"path"`                // with {tenant} {stream} {family} {date}, in folder names too; folders are made with mode 0700
	Fsync    string     `yaml:"fsync,omitempty"`     // batch (default): an event counts as delivered when the disk has it; none: when the kernel has it
	MaxBytes field.Size `yaml:"max_bytes,omitempty"` // a file that would grow beyond becomes PATH.1, PATH.1 becomes PATH.2, ..; default: never
	// MaxAge does the same with a file that was begun longer ago, when the next event comes for it; default: never.
	MaxAge   field.Duration `yaml:"max_age,omitempty"`
	Compress string         `yaml:"compress,omitempty"` // gzip: PATH.1 becomes PATH.1.gz, and so on, in the background; default: none
	Keep     int            `yaml:"keep,omitempty"`     // how many of those stay, compressed or not; the oldest is deleted. Needed with max_bytes and max_age
	Mode     Mode           `yaml:"mode,omitempty"`     // of new files; default 0600
	Batch    Batch          `yaml:"batch,omitempty"`
}

// Batch bounds one Send.
type Batch struct {
	Events int            `yaml:"events,omitempty"` // default 1000
	Bytes  field.Size     `yaml:"bytes,omitempty"`  // default 4MiB
	Linger field.Duration `yaml:"linger,omitempty"` // default 1s
}

// Mode is the permissions of a file, written in octal: 0640.
type Mode uint32

// UnmarshalText reads octal digits, with or without the 0 or 0o before them.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(string(text), "0o"), 8, 32)
	if err != nil {
		return fmt.Errorf("%q is not a file mode: write it in octal, such as 0640", text)
	}
	*m = Mode(n)
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#o", uint32(m)), nil }

// Stdout is the stdout block of a sink. It has no settings.
type Stdout struct{}

const (
	fsyncBatch = "batch"
	fsyncNone  = "none"

	compressGzip = "gzip"
	compressNone = "none"

	minAge = time.Minute
)

// Validate finds all that is wrong with the block without touching files.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, field.Errorf(path, format, args...)) }

	if _, err := event.ParseTemplate(c.Path); err != nil {
		bad("path", "%v", err)
	}
	switch {
	case c.Path == "":
		bad("path", "is missing: write a file name such as ./out/{stream}.ndjson")
	case strings.HasSuffix(c.Path, "/") || filepath.Base(c.Path) == "..":
		bad("path", "%q names a folder: add a file name such as {stream}.ndjson", c.Path)
	}
	if c.Fsync != fsyncBatch && c.Fsync != fsyncNone {
		bad("fsync", "%q is unknown: use batch or none", c.Fsync)
	}
	if c.Mode > 0o777 || c.Mode&0o200 == 0 {
		bad("mode", "%#o must be an octal mode that lets the owner write, such as 0600 or 0640", uint32(c.Mode))
	}
	switch {
	case c.Keep < 0 || c.Keep > 1000:
		bad("keep", "%d is outside 1..1000", c.Keep)
	case c.rotates() && c.Keep == 0:
		bad("keep", "is missing: max_bytes and max_age need to know how many rotated files stay")
	case !c.rotates() && c.Keep > 0:
		bad("max_bytes", "is missing, and max_age too: keep without one of them has no meaning")
	}
	if c.MaxAge != 0 && c.MaxAge.Std() < minAge {
		bad("max_age", "%s is less than %s", c.MaxAge, field.Duration(minAge))
	}
	switch {
	case c.Compress != compressGzip && c.Compress != compressNone:
		bad("compress", "%q is unknown: use gzip or none", c.Compress)
	case c.Compress == compressGzip && !c.rotates():
		bad("compress", "has no meaning without max_bytes or max_age: rotated files are compressed")
	}
	if c.Batch.Events < 0 {
		bad("batch.events", "must not be negative")
	}
	return errors.Join(errs...)
}

func (c Config) rotates() bool { return c.MaxBytes > 0 || c.MaxAge != 0 }

// Default is what an empty block means.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	c.Compress = cmp.Or(c.Compress, compressNone)
	c.Fsync = cmp.Or(c.Fsync, fsyncBatch)
	c.Mode = cmp.Or(c.Mode, 0o600)
	c.Batch.Events = cmp.Or(c.Batch.Events, 1000)
	c.Batch.Bytes = cmp.Or(c.Batch.Bytes, 4<<20)
	c.Batch.Linger = cmp.Or(c.Batch.Linger, field.Duration(time.Second))
	return c
}

func (b Batch) limits() event.Limits {
	return event.Limits{Events: b.Events, Bytes: int(b.Bytes), Linger: b.Linger.Std(), InFlight: 1}
}
