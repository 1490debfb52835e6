package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/store"
)

var errStateDir = errors.New("state.dir cannot change while the process runs: start it again")

// take makes the running process what cfg says and tells what has changed by it. After an error all is as it was.
func (a *App) take(ctx context.Context, cfg *config.Config) (changes []string, err error) {
	was := a.running()
	if cfg.State.Dir != was.cfg.State.Dir {
		return nil, errStateDir
	}
	if changes = differences(was.cfg, cfg); len(changes) == 0 {
		return nil, nil
	}
	m, err := a.make(cfg, was, true)
	if err != nil {
		return nil, err
	}
	back, done, err := a.relisten(cfg.Admin.Listen)
	if err == nil {
		if err = a.change(ctx, m); err != nil {
			back()
		}
	}
	if err != nil {
		a.unmake(m, was)
		return nil, err
	}
	done()
	a.mu.Lock()
	a.made = m
	a.mu.Unlock()
	a.metrics.Forget(gone(was.cfg.Sources, cfg.Sources, sourceName), gone(was.cfg.Sinks, cfg.Sinks, sinkName))
	if a.o.Reload != nil && a.o.Reload.Log != nil {
		err = a.o.Reload.Log(cfg.Log)
	}
	if limits := a.store.SetLimits(int64(cfg.State.JournalMaxBytes), int64(cfg.State.DeadLettersMaxBytes)); err == nil {
		err = limits
	}
	if err != nil { // neither can fail but for faults that end the process anyway
		a.log.Error("a part of the configuration was not taken", zap.Error(err))
	}
	return changes, nil
}

// change has the pipeline become what was made.
func (a *App) change(ctx context.Context, m made) error {
	c := pipeline.Change{
		Forget: a.o.Forget, Grace: m.cfg.State.ShutdownGrace.Std(), JournalBytes: int64(m.cfg.State.JournalMaxBytes),
		Commit: func() error { return a.lanes(m.cfg) },
	}
	for _, s := range m.sources {
		c.Sources = append(c.Sources, s.source)
	}
	for _, s := range m.sinks {
		c.Outlets = append(c.Outlets, s.outlet)
	}
	err := a.pipeline.Change(ctx, c)
	var leaving *pipeline.LeavingError
	var abandoned *store.AbandonedError
	switch {
	case errors.As(err, &leaving):
		return abandon(leaving.Sink, leaving.Pending, leaving.Dead)
	case errors.As(err, &abandoned):
		return abandon(abandoned.Sink, abandoned.Pending, abandoned.Dead)
	}
	return err
}

// abandon says what can be done for a sink that is to go while records wait for it.
func abandon(sink string, pending, dead uint64) error {
	return fmt.Errorf("sink %s is gone from the configuration but has %d pending records and %d dead letters: wait until they are delivered, "+
		"replay or drop what is dead (logferry dlq), configure it again, rename it with was: %s, or start logferry again with --forget-sink %s",
		sink, pending, dead, sink, sink)
}

func sourceName(s config.Source) string { return s.Name }

func sinkName(s config.Sink) string { return s.Name }

// gone gives the names that are no more.
func gone[T any](was, is []T, name func(T) string) (names []string) {
	for _, x := range was {
		if !slices.ContainsFunc(is, func(y T) bool { return name(y) == name(x) }) {
			names = append(names, name(x))
		}
	}
	return names
}

// differences names what has changed between two configurations, in the words of their keys.
func differences(was, is *config.Config) (all []string) {
	for _, x := range []struct {
		key     string
		was, is any
	}{
		{"state.journal_max_bytes", was.State.JournalMaxBytes, is.State.JournalMaxBytes},
		{"state.dead_letters_max_bytes", was.State.DeadLettersMaxBytes, is.State.DeadLettersMaxBytes},
		{"state.shutdown_grace", was.State.ShutdownGrace, is.State.ShutdownGrace},
		{"admin.listen", was.Admin.Listen, is.Admin.Listen},
		{"log.level", was.Log.Level, is.Log.Level},
		{"log.format", was.Log.Format, is.Log.Format},
	} {
		if x.was != x.is {
			all = append(all, x.key)
		}
	}
	all = append(all, named("source", was.Sources, is.Sources, sourceName, func(a, b config.Source) bool { return reflect.DeepEqual(a, b) })...)
	return append(all, named("sink", was.Sinks, is.Sinks, sinkName, sameSink)...)
}

func named[T any](kind string, was, is []T, name func(T) string, same func(a, b T) bool) (all []string) {
	for _, x := range is {
		i := slices.IndexFunc(was, func(y T) bool { return name(y) == name(x) })
		switch {
		case i < 0:
			all = append(all, kind+" "+name(x)+" added")
		case !same(was[i], x):
			all = append(all, kind+" "+name(x)+" changed")
		}
	}
	for _, n := range gone(was, is, name) {
		all = append(all, kind+" "+n+" removed")
	}
	return all
}
