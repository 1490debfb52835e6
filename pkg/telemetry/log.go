// Package telemetry lets logferry be watched: its log, its metrics, the admin endpoint, the control socket, and decorators that
// count what fetchers and sinks do.
package telemetry

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger writes to w, one line an entry. format is json or console.
func NewLogger(w io.Writer, level, format string) (*zap.Logger, error) {
	core, err := newCore(zapcore.Lock(zapcore.AddSync(w)), level, format)
	if err != nil {
		return nil, err
	}
	return zap.New(core), nil
}

func newCore(w zapcore.WriteSyncer, level, format string) (zapcore.Core, error) {
	lvl, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("make logger: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if format == "console" {
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zapcore.NewCore(encoder, w, lvl), nil
}
