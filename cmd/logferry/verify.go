package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/pipeline"
)

func verifyCommand() *cobra.Command {
	var f orderFlags
	var heal bool
	cmd := &cobra.Command{
		Use:   "verify -c FILE --from TIME",
		Short: "Ask the API again for a past stretch and compare it with what was read",
		Long: "Verify reads a stretch again and compares. What the re-readers (reread) have yet to pass is compared by id and\n" +
			"content; of what is older only the number of records and a sum per minute are kept, for 31 days. These tell which\n" +
			"rows are missing if it is one or two in a minute; otherwise the minute is reported as unclear.\n\n" +
			"With --heal, what is missing is shipped, and what has changed is shipped as an update (unless updates: drop). An\n" +
			"unclear minute is shipped as a whole, marked uncertain: most of it will be there twice.\n\n" + timesText +
			"Exit code 3 says that something is missing or differs and was not healed.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			order := pipeline.VerifyOrder{Stretch: f.Stretch, Heal: heal}
			result, running, err := carryOut(cmd, &f, "verify", order, func(ctx context.Context, a *app.App, tell func(pipeline.Progress)) (pipeline.VerifyResult, error) {
				return a.Verify(ctx, order, tell)
			})
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(cmd.OutOrStdout(), result)
			} else {
				err = printVerified(cmd.OutOrStdout(), result, running)
			}
			if err == nil && !result.Complete {
				err = app.ErrIncomplete
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&heal, "heal", false, "ship what is missing or has changed")
	return cmd
}

const mostLines = 50 // of each table that a person gets to see

func printVerified(w io.Writer, r pipeline.VerifyResult, running bool) error {
	healed := false
	for _, s := range r.Streams {
		if err := printMinutes(w, s); err != nil {
			return err
		}
		for i, rec := range s.Records {
			if i == mostLines {
				break
			}
			what := "missing"
			if rec.Changed {
				what = "changed"
			}
			fmt.Fprintf(w, "%s: %s %s of %s\n", s.Stream, what, rec.ID, when(rec.Time))
		}
		if rest := s.Missing + s.Changed - min(len(s.Records), mostLines); rest > 0 {
			fmt.Fprintf(w, "%s: and %d more records\n", s.Stream, rest)
		}
		for _, note := range s.Notes {
			fmt.Fprintf(w, "%s: %s\n", s.Stream, note)
		}
		if s.Err != "" {
			fmt.Fprintf(w, "%s could not be verified: %s\n", s.Stream, s.Err)
			continue
		}
		fmt.Fprintf(w, "verified %.0f s of %s: %d rows, %d missing, %d changed, %d minutes differ\n", s.To.Sub(s.From).Seconds(), s.Stream, s.Rows, s.Missing, s.Changed, s.Differ)
		if s.Gone > 0 {
			fmt.Fprintf(w, "%s: the API shows %d rows fewer than were read\n", s.Stream, s.Gone)
		}
		if h := s.Healed; h != nil {
			healed = true
			fmt.Fprintf(w, "healed: %d new (%d of them marked uncertain), %d updates, %d updates not shipped (updates: drop)\n", h.New, h.Uncertain, h.Updated, h.Suppressed)
		}
	}
	if healed && !running {
		fmt.Fprintln(w, nextRun)
	}
	return nil
}

// nextRun is said where nobody delivers.
const nextRun = "logferry is not running: what was journalled is delivered at the next run"

func printMinutes(w io.Writer, s pipeline.VerifiedStream) error {
	if len(s.Minutes) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "STREAM\tMINUTE\tREAD\tSHOWN\tMISSING\tCHANGED\t")
	for _, m := range s.Minutes[:min(len(s.Minutes), mostLines)] {
		unclear := ""
		if m.Unclear {
			unclear = "unclear"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", s.Stream, when(m.Start), m.Read, m.Shown, m.Missing, m.Changed, unclear)
	}
	if rest := s.Differ - mostLines; rest > 0 {
		fmt.Fprintf(t, "%s\tand %d more minutes\n", s.Stream, rest)
	}
	return t.Flush()
}
