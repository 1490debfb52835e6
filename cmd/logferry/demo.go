package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
)

type demoFlags struct {
	rate string
	dur  time.Duration
}

func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show logferry at work: a simulated tenant, the whole pipeline and what arrives",
		Long: "Demo starts a simulated Microsoft Graph and the whole pipeline in this process, on this machine only:\n" +
			"records are fetched, journalled, mapped to ECS and delivered to a file and to this terminal. Ctrl-C ends it.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd, f) },
	}
	cmd.Flags().StringVar(&f.rate, "rate", "5/s", "records that the simulated tenant makes")
	cmd.Flags().DurationVar(&f.dur, "for", 0, "end by itself after this time; 0: at Ctrl-C")
	return cmd
}

const demoConfig = `
state: {dir: %[1]q}
sources:
  - name: contoso
    entra:
      tenant: %[2]s
      login_url: %[3]s
      graph_url: %[3]s
      auth: {client_id: %[4]s, client_secret_file: %[5]q}
      start: 20s
      poll: 2s
      lookback: 1m
      reread: [1m, 5m]
      budget: {requests: 50, per: 10s}
sinks:
  - name: file
    file: {path: %[6]q}
  - name: terminal
    stdout: {}
admin: {listen: "off"}
`

func demo(cmd *cobra.Command, f demoFlags) error {
	rate, err := parseRate(f.rate)
	if err != nil {
		return fmt.Errorf("%w: --rate: %w", app.ErrUsage, err)
	}
	dir, err := os.MkdirTemp("", "logferry-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	graph, err := simulator.New(simulator.Options{Seed: uint64(time.Now().UnixNano()), Generate: madeUp(simulator.Streams(), rate, time.Now().Add(-20*time.Second))})
	if err != nil {
		return err
	}
	defer graph.Close()
	l, err := graph.Listen("127.0.0.1:0", false)
	if err != nil {
		return err
	}
	secret := filepath.Join(dir, "client-secret")
	if err := os.WriteFile(secret, []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		return fmt.Errorf("write the demo's secret: %w", err)
	}
	out := filepath.Join(dir, "{stream}.ndjson")
	text := fmt.Sprintf(demoConfig, filepath.Join(dir, "state"), simulator.DefaultDomain, l.URL, simulator.DefaultClientID, secret, out)
	n, err := normalizer.New()
	if err != nil {
		return err
	}
	cfg, err := config.Parse("demo.yaml", []byte(text), n)
	if err != nil {
		return fmt.Errorf("configure the demo: %w", err)
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	if f.dur > 0 {
		defer time.AfterFunc(f.dur, cancel).Stop()
	}
	// `logferry demo | head`: the demo ends with its reader, and still clears up behind itself.
	signal.Ignore(syscall.SIGPIPE)
	return runDemo(ctx, cfg, endWith(cmd.OutOrStdout(), cancel), l.URL, filepath.Dir(out))
}

// endWith gives w with an end: the first failed write.
func endWith(w io.Writer, end func()) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		if err != nil {
			end()
		}
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// runDemo runs the pipeline with the terminal sink replaced by one that a person can read.
func runDemo(ctx context.Context, cfg *config.Config, w io.Writer, graph, dir string) error {
	view := newView(w)
	a, err := app.New(cfg, app.Options{Version: Version(), Stdout: io.Discard, Log: zap.NewNop(), Sink: func(s config.Sink, sink pipeline.Sink) pipeline.Sink {
		if s.Stdout != nil {
			return view
		}
		return sink
	}})
	if err != nil {
		return err
	}
	view.say("A simulated Microsoft Graph answers at %s. Its records are fetched, kept in a journal, mapped to ECS 9.4", graph)
	view.say("and delivered to files in %s and to this terminal. Ctrl-C ends the demo.\n", dir)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			view.summary(a.Status())
		case err := <-done:
			view.summary(a.Status())
			err = errors.Join(err, a.Check())
			if err == nil {
				view.say("The ledger adds up. What was made for the demo is removed again. Next: see README, \"A real tenant\".")
			}
			return errors.Join(err, a.Close())
		}
	}
}
