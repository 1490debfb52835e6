package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/store"
	"github.com/logferry/logferry/pkg/telemetry"
)

// StateReport is what state info and support tell of the state file.
type StateReport struct {
	State  store.Info                    `json:"state"`
	Ledger map[string]event.StreamLedger `json:"ledger"` // by stream key
}

// Compacted tells the size of the state file before and after, in bytes.
type Compacted = store.Compacted

// CompactState gives the disk back what is free in the state file. What the user has to mend wraps ErrUsage: a process runs on it, there is none, a newer
// version wrote it.
func CompactState(ctx context.Context, cfg *config.Config, o Options) (Compacted, error) {
	crash := o.Crash
	if crash == nil {
		crash = crashHook()
	}
	c, err := store.Compact(ctx, cfg.State.Dir, store.Options{Retention: Remembered, Version: o.Version, Crash: crash})
	var locked *store.LockedError
	var newer *store.FormatError
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = fmt.Errorf("%w: there is no state yet: %w", ErrUsage, err)
	case errors.As(err, &locked), errors.As(err, &newer):
		err = fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return c, err
}

// StateInfo asks the process that runs on the state folder, or looks into the file where none runs; running tells which.
func StateInfo(ctx context.Context, cfg *config.Config) (r StateReport, running bool, err error) {
	err = telemetry.Ask(ctx, cfg.State.Dir, "state", &r)
	if !errors.Is(err, telemetry.ErrNotRunning) {
		return r, true, err
	}
	s, err := offline(cfg)
	if err != nil {
		return r, false, err
	}
	r, err = reportOf(s)
	return r, false, errors.Join(err, s.Close())
}

func (a *App) stateReport() (StateReport, error) { return reportOf(a.store) }

func reportOf(s *store.Store) (StateReport, error) {
	r := StateReport{Ledger: map[string]event.StreamLedger{}}
	for key, l := range s.Ledger() {
		r.Ledger[key.String()] = l
	}
	var err error
	r.State, err = s.Info()
	return r, err
}
