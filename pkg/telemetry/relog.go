package telemetry

import (
	"io"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewChangingLogger is NewLogger with a way to change level and format later, for all loggers that were made of this one, too.
func NewChangingLogger(w io.Writer, level, format string) (log *zap.Logger, change func(level, format string) error, err error) {
	out := zapcore.Lock(zapcore.AddSync(w))
	c := &changingCore{now: &atomic.Pointer[zapcore.Core]{}}
	change = func(level, format string) error {
		core, err := newCore(out, level, format)
		if err == nil {
			c.now.Store(&core)
		}
		return err
	}
	if err := change(level, format); err != nil {
		return nil, nil, err
	}
	return zap.New(c), change, nil
}

// changingCore passes on to the core of the moment. It keeps its fields as they are: how they are written may change.
type changingCore struct {
	now    *atomic.Pointer[zapcore.Core]
	fields []zapcore.Field
}

// Enabled implements zapcore.Core.
func (c *changingCore) Enabled(level zapcore.Level) bool { return (*c.now.Load()).Enabled(level) }

// With implements zapcore.Core.
func (c *changingCore) With(fields []zapcore.Field) zapcore.Core {
	return &changingCore{now: c.now, fields: slices.Concat(c.fields, fields)}
}

// Check implements zapcore.Core.
func (c *changingCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c *changingCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	return (*c.now.Load()).Write(entry, slices.Concat(c.fields, fields))
}

// Sync implements zapcore.Core.
func (c *changingCore) Sync() error { return (*c.now.Load()).Sync() }
