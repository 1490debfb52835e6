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
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

func statusCommand() *cobra.Command {
	var paths []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status -c FILE [PATTERN]",
		Short: "Show how far each stream and each sink is, and what is wrong",
		Long: "Status asks the process that runs on the configured state folder. When none runs, it reads the state file itself.\n\n" +
			"PATTERN leaves out the sources and streams whose names do not match: \"contoso\" shows one source, \"contoso-*\" those\n" +
			"whose names begin so, \"*/audits\" one stream of each.",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return fmt.Errorf("%w: %w", app.ErrUsage, err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, texts, err := loadTexts(paths)
			if err != nil && texts == nil {
				return err
			}
			wrong := err
			if wrong != nil { // a process may run on what the files said before
				cfg = config.Partly(texts)
			}
			var st pipeline.Status
			running := true
			err = telemetry.Ask(cmd.Context(), cfg.State.Dir, "status", &st)
			if err != nil && wrong != nil {
				return wrong
			}
			if errors.Is(err, telemetry.ErrNotRunning) {
				running = false
				st, err = app.Offline(cfg)
			}
			if err != nil {
				return err
			}
			if len(args) > 0 && st.Idle == "" {
				if st, err = matching(st, args[0]); err != nil {
					return err
				}
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(st)
			}
			return printStatus(cmd.OutOrStdout(), st, cfg, running)
		},
	}
	configFlag(cmd, &paths)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, st pipeline.Status, cfg *config.Config, running bool) error {
	if st.Idle != "" {
		_, err := fmt.Fprintf(w, "idle since %s: %s\n", st.Started.UTC().Format(time.RFC3339), st.Idle)
		return err
	}
	if running {
		fmt.Fprintf(w, "running since %s\n\n", st.Started.UTC().Format(time.RFC3339))
	} else {
		fmt.Fprint(w, "not running; this is what the state file says\n\n")
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	printStreams(t, st, lookBacks(cfg), running)
	fmt.Fprintln(t, "\nSTREAM\tROWS\tNEW\tUPDATED\tSEEN\tSUPPRESSED\tOUTSIDE\tRESENT\tLATE")
	for _, s := range st.Streams {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", s.Name, s.Rows, s.New, s.Updated, s.Seen, s.Suppressed, s.Outside, s.Resent, s.Late)
	}
	printSinks(t, st)
	printBudget(t, st)
	printCredentials(t, st)
	if err := t.Flush(); err != nil {
		return err
	}
	printFilters(w, st.Streams)
	printGaps(w, st.Streams)
	if len(st.Faults) > 0 {
		fmt.Fprintln(w, "\nWHAT IS WRONG")
	}
	for _, f := range st.Faults {
		mend := ""
		switch {
		case f.Blocked:
			mend = ", needs somebody to mend it"
		case f.Times > 0: // else it is no failure but a forecast or a hole, which say themselves what to do
			mend = ", is tried again by itself"
		}
		fmt.Fprintf(w, "%s, since %s%s:\n  %s\n", f.Part, when(f.Since), mend, printable(f.Err))
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
