package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

func statusCommand() *cobra.Command {
	var paths []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status -c FILE",
		Short: "Show how far each stream and each sink is, and what is wrong",
		Long:  "Status asks the process that runs on the configured state folder. When none runs, it reads the state file itself.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(paths)
			if err != nil {
				return err
			}
			var st pipeline.Status
			running := true
			err = telemetry.Ask(cmd.Context(), cfg.State.Dir, "status", &st)
			if errors.Is(err, telemetry.ErrNotRunning) {
				running = false
				st, err = app.Offline(cfg)
			}
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(st)
			}
			return printStatus(cmd.OutOrStdout(), st, running)
		},
	}
	configFlag(cmd, &paths)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, st pipeline.Status, running bool) error {
	if running {
		fmt.Fprintf(w, "running since %s\n\n", st.Started.UTC().Format(time.RFC3339))
	} else {
		fmt.Fprint(w, "not running; this is what the state file says\n\n")
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "STREAM\tCOMPLETE THROUGH\tBEHIND\tROWS\tNEW\tUPDATED\tSEEN\tLATE")
	for _, s := range st.Streams {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", s.Name, when(s.Through), since(st.Now, s.Through), s.Rows, s.New, s.Updated, s.Seen, s.Late)
	}
	fmt.Fprintln(t, "\nSINK\tPENDING\tOLDEST PENDING\tDELIVERED\tFILTERED\tDEAD\tSKIPPED\tDEAD LETTERS KEPT")
	for _, s := range st.Sinks {
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\n", s.Name, s.Pending, when(s.Oldest), s.Delivered, s.Filtered, s.Dead, s.Skipped, s.Letters)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(st.Faults) > 0 {
		fmt.Fprintln(w, "\nWHAT IS WRONG")
	}
	for _, f := range st.Faults {
		mend := "is tried again by itself"
		if f.Blocked {
			mend = "needs somebody to mend it"
		}
		fmt.Fprintf(w, "%s, since %s, %s:\n  %s\n", f.Part, when(f.Since), mend, f.Err)
	}
	return nil
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func since(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return now.Sub(t).Round(time.Second).String()
}
