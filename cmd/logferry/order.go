package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// orderFlags are those of verify and resend.
type orderFlags struct {
	config []string
	json   bool
	pipeline.Stretch
}

func (f *orderFlags) add(cmd *cobra.Command) {
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.Streams, "stream", "", "SOURCE/STREAM as status shows it, or a pattern such as contoso/signins.* (default: all)")
	cmd.Flags().StringVar(&f.From, "from", "", "beginning: RFC 3339, a date, or an age such as 24h or 7d")
	cmd.Flags().StringVar(&f.To, "to", "", "end, in the same forms (default and latest: look-back before now)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

// timesText says what --from and --to mean.
const timesText = "--from and --to are cut to whole minutes, by Microsoft's clock. The requests come out of the tenant's budget, behind\n" +
	"everything else. A running logferry is asked to do it; where none runs, the state file is opened.\n"

// carryOut has the running process do something, or does it itself where none runs; running tells which.
func carryOut[R any](cmd *cobra.Command, f *orderFlags, name string, order any, offline func(context.Context, *app.App, func(pipeline.Progress)) (R, error)) (result R, running bool, err error) {
	if f.From == "" {
		return result, false, fmt.Errorf("%w: --from is missing", app.ErrUsage)
	}
	cfg, err := load(f.config)
	if err != nil {
		return result, false, err
	}
	show := func(p pipeline.Progress) { showProgress(cmd.ErrOrStderr(), p) }
	err = telemetry.Have(cmd.Context(), cfg.State.Dir, name, order, func(line json.RawMessage) {
		var p pipeline.Progress
		if json.Unmarshal(line, &p) == nil {
			show(p)
		}
	}, &result)
	if !errors.Is(err, telemetry.ErrNotRunning) {
		return result, true, usage(err)
	}
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), "error", cfg.Log.Format)
	if err != nil {
		return result, false, err
	}
	a, err := app.Idle(cfg, app.Options{Version: Version(), Log: log})
	if err != nil {
		return result, false, err
	}
	result, err = offline(cmd.Context(), a, show)
	return result, false, errors.Join(usage(err), a.Close())
}

// usage gives an order that cannot be followed its exit code.
func usage(err error) error {
	var refused *pipeline.OrderError
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", app.ErrUsage, err)
	}
	return err
}

func showProgress(w io.Writer, p pipeline.Progress) {
	if p.Err != "" {
		fmt.Fprintf(w, "%s: tried again from %s: %s\n", p.Stream, p.Through.Format(time.RFC3339), p.Err)
		return
	}
	fmt.Fprintf(w, "%s: read through %s, %d rows\n", p.Stream, p.Through.Format(time.RFC3339), p.Rows)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
