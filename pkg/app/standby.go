package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// StandBy idles until ctx ends, for the reason why. It answers the probes, /metrics and status as a process does that has nothing
// to complain of, refuses orders with the reason, reads no secret and opens no state: that is another process's.
func StandBy(ctx context.Context, cfg *config.Config, o Options, why string) error {
	st := pipeline.Status{Started: time.Now(), Idle: why}
	status := func() pipeline.Status {
		now := st
		now.Now = time.Now()
		return now
	}
	metrics := telemetry.NewMetrics(o.Version)
	metrics.Idle()
	o.Log.Info("logferry idles: nothing is read and nothing is delivered here", zap.String("why", why))
	if _, err := os.Stat(filepath.Join(cfg.State.Dir, "state.db")); err == nil {
		o.Log.Warn("there is a state file from when this process did not idle: what waits in it is not delivered", zap.String("dir", cfg.State.Dir))
	}
	stop, err := standByControl(ctx, cfg.State.Dir, status)
	if err != nil {
		o.Log.Warn("status cannot reach this process", zap.Error(err))
	} else {
		defer stop()
	}
	if listen := cfg.Admin.Listen; listen != "" && listen != "off" {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return fmt.Errorf("%w: admin.listen: %w (another address, or \"off\")", ErrUsage, err)
		}
		o.Log.Info("admin endpoint", zap.String("url", "http://"+l.Addr().String()))
		defer telemetry.Serve(l, metrics.AdminHandler(status))()
	}
	<-ctx.Done()
	return nil
}

// standByControl serves the control socket, unless another process does: the state file's lock, which tells that elsewhere, is
// not held here.
func standByControl(ctx context.Context, dir string, status func() pipeline.Status) (stop func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	var other pipeline.Status
	switch err := telemetry.Ask(ctx, dir, "status", &other); {
	case err == nil:
		return nil, fmt.Errorf("open control socket: another logferry answers on %s: each pod needs a folder of its own", dir)
	case !errors.Is(err, telemetry.ErrNotRunning):
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	refused := map[string]telemetry.Order{}
	for name := range new(App).orders() {
		refused[name] = func(context.Context, []byte, func(any)) (any, error) {
			return nil, &pipeline.OrderError{Reason: "this process idles: " + status().Idle}
		}
	}
	return telemetry.Control(ctx, dir, map[string]func() (any, error){"status": func() (any, error) { return status(), nil }}, refused)
}
