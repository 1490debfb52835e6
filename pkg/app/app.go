// Package app puts logferry together from a configuration. It is the only package that knows all others: two switches, one for
// sources and one for sinks.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/normalizer"
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
	Reload    *Reload                                        // lets Run take another configuration; nil: it does not
}

// App is everything that runs.
type App struct {
	o        Options
	log      *zap.Logger
	idle     bool // no sink is made
	mapping  *normalizer.Normalizer
	store    *store.Store
	metrics  *telemetry.Metrics
	shared   *entra.Shared
	pipeline *pipeline.Pipeline
	closers  []func()

	admin  endpoint
	mu     sync.RWMutex // guards what follows
	made   made
	reload reloading
}

// New opens the state and makes all parts; nothing is sent yet. Errors that the user has to mend wrap ErrUsage.
func New(cfg *config.Config, o Options) (*App, error) { return newApp(cfg, o, false) }

func newApp(cfg *config.Config, o Options, idle bool) (*App, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	a := &App{o: o, log: o.Log, idle: idle, metrics: telemetry.NewMetrics(o.Version), shared: entra.NewShared()}
	a.closers = append(a.closers, func() { _ = a.shared.Close() })
	if err := a.build(cfg); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) build(cfg *config.Config) (err error) {
	if a.mapping, err = a.normalizer(); err != nil {
		return err
	}
	crash := a.o.Crash
	if crash == nil {
		crash = crashHook()
	}
	opened, err := a.open(cfg, crash)
	if err != nil {
		return err
	}
	po := pipeline.Options{
		Journal: a.store, JournalBytes: int64(cfg.State.JournalMaxBytes), Normalizer: a.mapping, Log: a.log, Grace: cfg.State.ShutdownGrace.Std(), Crash: crash,
		Remembered: Remembered, Idle: a.idle,
		Lost: func(key event.StreamKey) time.Time { return lostSince(opened, key, time.Now()) },
	}
	m, err := a.make(cfg, made{}, !opened.Fresh)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	m.into(&po)
	if a.o.Journal != nil {
		po.Journal = a.o.Journal(po.Journal)
	}
	a.made = m
	if a.pipeline, err = pipeline.New(po); err != nil {
		return err
	}
	a.reload.begin(a.o.Reload)
	a.metrics.Reloads(a.lastReload)
	a.metrics.Watch(a.Status)
	a.metrics.State(a.store.Commits, opened.LostAt)
	return nil
}

// open opens the state file and gives every configured sink its lane.
func (a *App) open(cfg *config.Config, crash func(string)) (store.Opened, error) {
	var opened store.Opened
	var err error
	a.store, opened, err = store.Open(cfg.State.Dir, store.Options{
		JournalMaxBytes: int64(cfg.State.JournalMaxBytes), LettersMaxBytes: int64(cfg.State.DeadLettersMaxBytes),
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
	if err := a.lanes(cfg); err != nil {
		return opened, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return opened, nil
}

// lanes makes the state file's lanes those of the configuration.
func (a *App) lanes(cfg *config.Config) error {
	names, was := []string{}, map[string]string{}
	for _, s := range cfg.Sinks {
		names = append(names, s.Name)
		if s.Was != "" {
			was[s.Name] = s.Was
		}
	}
	return a.store.Lanes(names, was, a.o.Forget)
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
	return a.guard(ctx, func(ctx context.Context) error {
		var reloads sync.WaitGroup
		defer reloads.Wait()
		if a.o.Reload != nil {
			reloads.Go(func() { a.watch(ctx) })
		}
		return a.pipeline.Run(ctx)
	})
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
	if err := a.listen(a.config().Admin.Listen); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	stops = append(stops, a.silence)
	if a.o.NoControl {
		return stop, nil
	}
	control, err := telemetry.Control(ctx, a.config().State.Dir, map[string]func() (any, error){
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
func (a *App) Status() pipeline.Status {
	st := a.pipeline.Status()
	a.reportReload(&st)
	return st
}

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
