// Package app puts logferry together from a configuration. It is the only package that knows all others: two switches, one for
// sources and one for sinks.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/store"
	"github.com/logferry/logferry/pkg/telemetry"
)

// Retention is how far back a stream is read again when the state is lost and nothing tells how far it had come: what the API
// keeps for every licence.
const Retention = 7 * 24 * time.Hour

// ErrUsage marks what the user has to change before anything can run: exit code 2.
var ErrUsage = errors.New("wrong usage or configuration")

// ErrIncomplete says that run --once has not delivered everything: exit code 3.
var ErrIncomplete = errors.New("not everything was delivered")

// Options are what the command line, a test or the demo decides.
type Options struct {
	Version   string
	Stdout    io.Writer // of stdout sinks; nil: the process's own
	Log       *zap.Logger
	Recent    *telemetry.Recent                              // what Log has said last, for support; nil: it is not kept
	Forget    []string                                       // sinks whose pending records are given up
	Transport http.RoundTripper                              // to the API; nil: the network
	Sink      func(config.Sink, pipeline.Sink) pipeline.Sink // wraps the sinks; nil: as they are
	Journal   func(pipeline.Journal) pipeline.Journal        // wraps the state file; nil: as it is
	NoSync    bool                                           // no fsync: for tests
	NoControl bool                                           // no control socket: for tests whose clock would stand still at its Accept
	Crash     func(point string)                             // called at the points where a crash is worth a test; nil: as built
}

// App is everything that runs.
type App struct {
	cfg      *config.Config
	o        Options
	log      *zap.Logger
	idle     bool // no sink is made
	store    *store.Store
	metrics  *telemetry.Metrics
	shared   *entra.Shared
	readers  []reader
	pipeline *pipeline.Pipeline
	closers  []func()
}

// New opens the state and makes all parts; nothing is sent yet. Errors that the user has to mend wrap ErrUsage.
func New(cfg *config.Config, o Options) (*App, error) { return newApp(cfg, o, false) }

func newApp(cfg *config.Config, o Options, idle bool) (*App, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	a := &App{cfg: cfg, o: o, log: o.Log, idle: idle, metrics: telemetry.NewMetrics(o.Version), shared: entra.NewShared()}
	a.closers = append(a.closers, func() { _ = a.shared.Close() })
	if err := a.build(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) build() error {
	n, err := a.normalizer()
	if err != nil {
		return err
	}
	crash := a.o.Crash
	if crash == nil {
		crash = crashHook()
	}
	opened, err := a.open(crash)
	if err != nil {
		return err
	}
	po := pipeline.Options{
		Journal: a.store, JournalBytes: int64(a.cfg.State.JournalMaxBytes), Normalizer: n, Log: a.log, Grace: a.cfg.State.ShutdownGrace.Std(), Crash: crash,
		Remembered: Remembered, Idle: a.idle,
		Lost: func(key event.StreamKey) time.Time { return lostSince(opened, key, time.Now()) },
	}
	for _, s := range a.cfg.Sources {
		source, err := a.source(s, !opened.Fresh)
		if err != nil {
			return fmt.Errorf("%w: source %s: %w", ErrUsage, s.Name, err)
		}
		po.Sources = append(po.Sources, source)
	}
	for _, s := range a.cfg.Sinks {
		outlet, err := a.outlet(s, n)
		if err != nil {
			return fmt.Errorf("%w: sink %s: %w", ErrUsage, s.Name, err)
		}
		po.Outlets = append(po.Outlets, outlet)
	}
	if a.o.Journal != nil {
		po.Journal = a.o.Journal(po.Journal)
	}
	if a.pipeline, err = pipeline.New(po); err != nil {
		return err
	}
	a.metrics.Watch(a.Status)
	a.metrics.State(a.store.Commits, opened.LostAt)
	return nil
}

// open opens the state file and gives every configured sink its lane.
func (a *App) open(crash func(string)) (store.Opened, error) {
	var opened store.Opened
	var err error
	a.store, opened, err = store.Open(a.cfg.State.Dir, store.Options{
		JournalMaxBytes: int64(a.cfg.State.JournalMaxBytes), LettersMaxBytes: int64(a.cfg.State.DeadLettersMaxBytes),
		Retention: Remembered, NoSync: a.o.NoSync, Crash: crash, Version: a.o.Version,
	})
	if err != nil {
		return opened, fmt.Errorf("%w: open state: %w", ErrUsage, err)
	}
	if opened.SetAside != "" {
		a.log.Error("the state file was damaged: it is set aside, and records are read again, marked uncertain", zap.String("set_aside", opened.SetAside))
	}
	if opened.Migrated > 0 {
		a.log.Info("the state file has today's format now: an earlier version cannot open it any more", zap.Uint32("format_before", opened.Migrated))
	}
	names, was := []string{}, map[string]string{}
	for _, s := range a.cfg.Sinks {
		names = append(names, s.Name)
		if s.Was != "" {
			was[s.Name] = s.Was
		}
	}
	if err := a.store.Lanes(names, was, a.o.Forget); err != nil {
		return opened, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return opened, nil
}

// lostSince tells from when on a stream is read again after a loss of state; zero when nothing was lost.
func lostSince(o store.Opened, key event.StreamKey, now time.Time) time.Time {
	if !o.Lost {
		return time.Time{}
	}
	if t, ok := o.Recovered[key]; ok {
		return t
	}
	return now.Add(-Retention)
}

// Run works until ctx ends.
func (a *App) Run(ctx context.Context) error {
	stop, err := a.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return a.guard(ctx, a.pipeline.Run)
}

// Once reads and delivers what is there now, then ends. The error is ErrIncomplete when something is left.
func (a *App) Once(ctx context.Context, patience time.Duration) (pipeline.Summary, error) {
	stop, err := a.serve(ctx)
	if err != nil {
		return pipeline.Summary{}, err
	}
	defer stop()
	var summary pipeline.Summary
	err = a.guard(ctx, func(ctx context.Context) error {
		var err error
		summary, err = a.pipeline.Once(ctx, patience)
		return err
	})
	if err == nil && !summary.Complete {
		err = ErrIncomplete
	}
	return summary, err
}

// guard ends the work when the state file has met a fault: going on would only be guessing, and the next start checks the file.
func (a *App) guard(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		for {
			changed := a.store.Changed()
			if err := a.store.Err(); err != nil {
				cancel(err)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := work(ctx)
	if fault := a.store.Err(); fault != nil {
		return fault
	}
	return err
}

// serve opens the admin endpoint and the control socket.
func (a *App) serve(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	if listen := a.cfg.Admin.Listen; listen != "" && listen != "off" {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return nil, fmt.Errorf("%w: admin.listen: %w (another address, or \"off\")", ErrUsage, err)
		}
		a.log.Info("admin endpoint", zap.String("url", "http://"+l.Addr().String()))
		stops = append(stops, telemetry.Serve(l, a.Admin()))
	}
	if a.o.NoControl {
		return stop, nil
	}
	control, err := telemetry.Control(ctx, a.cfg.State.Dir, map[string]func() (any, error){
		"status": func() (any, error) { return a.Status(), nil },
		"state":  func() (any, error) { return a.stateReport() },
		"log":    func() (any, error) { return a.lastLines(), nil },
	}, a.orders())
	if err != nil {
		a.log.Warn("status, dlq, verify and resend cannot reach this process", zap.Error(err))
	} else {
		stops = append(stops, control)
	}
	return stop, nil
}

// Admin serves the probes and the metrics.
func (a *App) Admin() http.Handler { return a.metrics.AdminHandler(a.Status) }

// Status is the picture that status, /healthz and the metrics show.
func (a *App) Status() pipeline.Status { return a.pipeline.Status() }

// Check recounts the ledger from the state file and compares.
func (a *App) Check() error { return a.store.Check() }

// Close gives everything back. It may be called after a failed New.
func (a *App) Close() error {
	for _, c := range a.closers {
		c()
	}
	if a.store == nil {
		return nil
	}
	return a.store.Close()
}
