package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/pipeline"
)

// Reload is where another configuration comes from while the process runs.
type Reload struct {
	Paths []string               // files and folders
	Read  []config.Text          // what was read of them for the configuration that runs
	Now   <-chan os.Signal       // has them read at once
	Every time.Duration          // between two looks at them; 0: they are not looked at
	Log   func(config.Log) error // changes the log; nil: it does not
}

// again is how long a configuration waits that is refused for something that may mend itself: Kubernetes brings a secret's file up to
// a minute after the configuration that names it, a sink that is to go gets the last records.
const again = time.Minute

// look is what was found when the files were looked at: their content, or why they cannot be read.
type look struct {
	sum   [32]byte
	fault string
}

// reloading is how far reloading has come. The App's mutex guards what others see of it.
type reloading struct {
	runs    look // what the configuration that runs was made of
	before  look // the last look
	refused look // what was refused last
	next    time.Time

	loaded time.Time
	why    string // the last one was refused; "": it was not
	since  time.Time
	times  int
}

func (r *reloading) begin(from *Reload) {
	r.loaded = time.Now()
	if from != nil {
		r.runs.sum = config.Sum(from.Read)
		r.before = r.runs
	}
}

// watch takes other configurations until ctx ends.
func (a *App) watch(ctx context.Context) {
	var tick <-chan time.Time
	_, once := config.Again(a.o.Reload.Paths)
	if !errors.Is(once, config.ErrOnce) {
		once = nil
	}
	if a.o.Reload.Every > 0 && once == nil {
		t := time.NewTicker(a.o.Reload.Every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.o.Reload.Now:
			if once != nil {
				a.log.Warn("no other configuration can be taken while this process runs", zap.Error(once))
				continue
			}
			a.log.Info("the configuration is to be read again")
			a.look(ctx, true)
		case <-tick:
			a.look(ctx, false)
		}
	}
}

// look looks at the files. What has changed is taken when two looks in a row agree, so that no half-written file is, or at once when
// somebody has asked for it.
func (a *App) look(ctx context.Context, asked bool) {
	texts, err := config.Again(a.o.Reload.Paths)
	now := look{}
	if err != nil {
		now.fault = err.Error()
	} else {
		now.sum = config.Sum(texts)
	}
	r := &a.reload
	settled := now == r.before
	r.before = now
	switch {
	case asked:
	case !settled:
		return
	case now == r.runs:
		if r.why != "" {
			a.log.Info("the configuration files are again those that run")
			a.taken(now, r.loaded)
		}
		return
	case now == r.refused && r.why != "" && (r.next.IsZero() || time.Now().Before(r.next)):
		return
	}
	var cfg *config.Config
	var changes []string
	if err == nil {
		cfg, err = config.Join(texts, a.mapping)
	}
	if err == nil {
		changes, err = a.take(ctx, cfg)
	}
	switch {
	case errors.Is(err, pipeline.ErrEnding) || ctx.Err() != nil && err != nil:
	case err != nil:
		a.refuse(now, err, asked)
	default:
		a.taken(now, time.Now())
		if len(changes) == 0 {
			a.log.Info("the configuration says what it said before")
		} else {
			a.log.Info("the configuration is reloaded", zap.Strings("changed", changes))
		}
	}
}

func (a *App) taken(now look, loaded time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.reload
	r.runs, r.loaded, r.refused, r.why, r.times = now, loaded, look{}, "", 0
}

// refuse keeps the reason, and says it once for the same content.
func (a *App) refuse(now look, err error, asked bool) {
	why := oneLine(err)
	r := &a.reload
	news := asked || now != r.refused || wordsOf(why) != wordsOf(r.why)
	a.mu.Lock()
	if r.why == "" {
		r.since = time.Now()
	}
	r.refused, r.why, r.next = now, why, time.Time{}
	r.times++
	a.mu.Unlock()
	var invalid *config.Invalid
	if !errors.As(err, &invalid) {
		r.next = time.Now().Add(again)
	}
	if news {
		a.log.Error("the changed configuration is refused, and the one before goes on", zap.Error(err))
	}
}

// wordsOf leaves out numbers: how many records a sink lacks changes all the time.
func wordsOf(why string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, why)
}

// oneLine is an error for a place that has one line.
func oneLine(err error) string {
	first, rest, more := strings.Cut(err.Error(), "\n")
	if more {
		first += fmt.Sprintf(" (and %d more, see the log)", 1+strings.Count(rest, "\n"))
	}
	return first
}

// reportReload adds what is to be said of the configuration.
func (a *App) reportReload(st *pipeline.Status) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	r := &a.reload
	st.Loaded = r.loaded
	if r.why != "" {
		st.Faults = append(st.Faults, pipeline.Fault{Part: "configuration", Blocked: true, Since: r.since, Times: r.times,
			Err: "the changed configuration is refused, and the one of " + r.loaded.UTC().Format(time.RFC3339) + " goes on: " + r.why})
	}
}

func (a *App) lastReload() (taken bool, loaded time.Time) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.reload.why == "", a.reload.loaded
}
