// Package file holds the sinks that write events as lines: to files (NDJSON where the schema is JSON) and to standard output.
package file

import (
	"cmp"
	"errors"
	"path/filepath"
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
	Keep     int        `yaml:"keep,omitempty"`      // how many of those stay; the oldest is deleted. Needed with max_bytes
	Mode     uint32     `yaml:"mode,omitempty"`      // of new files, in YAML's octal form: 0640; default 0600
	Batch    Batch      `yaml:"batch,omitempty"`
}

// Batch bounds one Send.
type Batch struct {
	Events int            `yaml:"events,omitempty"` // default 1000
	Bytes  field.Size     `yaml:"bytes,omitempty"`  // default 4MiB
	Linger field.Duration `yaml:"linger,omitempty"` // default 1s
}

// Stdout is the stdout block of a sink. It has no settings.
type Stdout struct{}

const (
	fsyncBatch = "batch"
	fsyncNone  = "none"
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
		bad("mode", "%#o must be an octal mode that lets the owner write, such as 0600 or 0640", c.Mode)
	}
	switch {
	case c.Keep < 0 || c.Keep > 1000:
		bad("keep", "%d is outside 1..1000", c.Keep)
	case c.MaxBytes > 0 && c.Keep == 0:
		bad("keep", "is missing: max_bytes needs to know how many full files stay")
	case c.MaxBytes == 0 && c.Keep > 0:
		bad("max_bytes", "is missing: keep without it has no meaning")
	}
	if c.Batch.Events < 0 {
		bad("batch.events", "must not be negative")
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
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
