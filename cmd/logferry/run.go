package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// noArgs is cobra.NoArgs with the exit code of wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return fmt.Errorf("%w: %w", app.ErrUsage, err)
	}
	return nil
}

// help is what a command does that only holds others.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// load reads the configuration; its faults are the user's to mend.
func load(paths []string) (*config.Config, error) {
	cfg, _, err := loadTexts(paths)
	return cfg, err
}

// loadTexts gives the files as well, which tell later whether they have changed.
func loadTexts(paths []string) (*config.Config, []config.Text, error) {
	n, err := normalizer.New()
	if err != nil {
		return nil, nil, err
	}
	texts, err := config.Read(paths)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", app.ErrUsage, err)
	}
	cfg, err := config.Join(texts, n)
	var invalid *config.Invalid
	switch {
	case errors.As(err, &invalid):
		return nil, texts, fmt.Errorf("%w (%d found):\n%w", app.ErrUsage, len(invalid.Problems), err)
	case err != nil:
		return nil, texts, fmt.Errorf("%w: %w", app.ErrUsage, err)
	}
	return cfg, texts, nil
}

func configFlag(cmd *cobra.Command, paths *[]string) {
	cmd.Flags().StringArrayVarP(paths, "config", "c", nil, "configuration file or folder of *.yaml (repeatable)")
}

type runFlags struct {
	config   []string
	forget   []string
	once     bool
	patience time.Duration
	summary  string
	ordinal  uint
	watch    time.Duration
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Fetch and deliver until told to stop",
		Long: "Run reads the configured tenants and delivers to the configured sinks until SIGTERM or Ctrl-C.\n" +
			"It takes a changed configuration when the files change and on SIGHUP; one with faults is refused, and\n" +
			"what ran goes on. With --once it ends when everything up to now is read and delivered, with a summary in JSON;\n" +
			"exit code 3 says that something is left.\n" +
			"With --only-ordinal it works in one pod of a StatefulSet: the number behind the last dash of POD_NAME, or of the host\n" +
			"name, decides. In the other pods it opens no state and idles, alive and ready, until SIGTERM.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, f) },
	}
	configFlag(cmd, &f.config)
	cmd.Flags().BoolVar(&f.once, "once", false, "end when everything up to now is delivered")
	cmd.Flags().DurationVar(&f.patience, "patience", time.Minute, "with --once: how long the API or a sink may make no progress")
	cmd.Flags().StringVar(&f.summary, "summary", "", "with --once: write the summary to this file too")
	cmd.Flags().StringArrayVar(&f.forget, "forget-sink", nil, "give up the pending records of a sink that is no longer configured (repeatable)")
	cmd.Flags().UintVar(&f.ordinal, onlyOrdinal, 0, "work in the pod of a StatefulSet whose name ends in this number, idle in the others")
	cmd.Flags().DurationVar(&f.watch, "watch", 5*time.Second, "how often the configuration files are looked at for changes; 0: never, SIGHUP alone counts")
	return cmd
}

// hangups catches SIGHUP, which would end the process: it asks for the configuration to be read again.
func hangups() (again <-chan os.Signal, stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	return asked, func() { signal.Stop(asked) }
}

func run(cmd *cobra.Command, f runFlags) error {
	again, stop := hangups()
	defer stop()
	cfg, texts, err := loadTexts(f.config)
	if err != nil {
		return err
	}
	recent := telemetry.NewRecent()
	log, relog, err := telemetry.NewChangingLogger(io.MultiWriter(recent, cmd.ErrOrStderr()), cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	if idle, err := standBy(cmd, f, cfg, log); idle || err != nil {
		return err
	}
	reload := &app.Reload{Paths: f.config, Read: texts, Now: again, Every: f.watch, Log: func(l config.Log) error { return relog(l.Level, l.Format) }}
	a, err := app.New(cfg, app.Options{Version: Version(), Log: log, Recent: recent, Forget: f.forget, Reload: reload})
	if err != nil {
		return err
	}
	log.Info("logferry starts", zap.String("version", Version()), zap.Int("sources", len(cfg.Sources)), zap.Int("sinks", len(cfg.Sinks)), zap.Int("cpus", runtime.GOMAXPROCS(0)))
	ctx := cmd.Context()
	// Stopping takes as long as a sink needs for what it has in hand: without a word it looks as if nothing happened.
	defer context.AfterFunc(ctx, func() {
		log.Info("stopping: a second signal ends at once, loses nothing and may repeat some", zap.Duration("at_most", cfg.State.ShutdownGrace.Std()))
	})()
	if !f.once {
		err = a.Run(ctx)
		log.Info("logferry stops", zap.Error(err))
		return errors.Join(err, a.Close())
	}
	summary, err := a.Once(ctx, f.patience)
	return errors.Join(writeSummary(cmd, cfg, f.summary, summary), err, a.Close())
}

// writeSummary prints to stdout, or to stderr where a sink uses stdout.
func writeSummary(cmd *cobra.Command, cfg *config.Config, file string, s pipeline.Summary) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	text = append(text, '\n')
	var out io.Writer = cmd.OutOrStdout()
	for _, s := range cfg.Sinks {
		if s.Stdout != nil {
			out = cmd.ErrOrStderr()
		}
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	if file == "" {
		return nil
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}
