package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/pipeline"
)

func resendCommand() *cobra.Command {
	var f orderFlags
	var sink string
	cmd := &cobra.Command{
		Use:   "resend -c FILE --from TIME --sink NAME",
		Short: "Read a past stretch again and ship it to one sink",
		Long: "Resend reads a stretch again and ships all of it to one sink, for a receiver that has lost data or is new. Events are\n" +
			"marked as resent (logferry.resent in schema ecs). They have the event ids that they had before, unless the record\n" +
			"has changed since: a receiver that refuses known ids, as Elasticsearch does, keeps one of each; Splunk, Kafka, syslog\n" +
			"and files get each event again. The other sinks get nothing.\n\n" + timesText +
			"Exit code 3 says that not all could be read.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if sink == "" {
				return fmt.Errorf("%w: --sink is missing", app.ErrUsage)
			}
			order := pipeline.ResendOrder{Stretch: f.Stretch, Sink: sink}
			result, running, err := carryOut(cmd, &f, "resend", order, func(ctx context.Context, a *app.App, tell func(pipeline.Progress)) (pipeline.ResendResult, error) {
				return a.Resend(ctx, order, tell)
			})
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(cmd.OutOrStdout(), result)
			} else {
				printResent(cmd, result, running)
			}
			if err == nil && !result.Complete {
				err = app.ErrIncomplete
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&sink, "sink", "", "name of the sink")
	return cmd
}

func printResent(cmd *cobra.Command, r pipeline.ResendResult, running bool) {
	w := cmd.OutOrStdout()
	for _, s := range r.Streams {
		fmt.Fprintf(w, "journalled %d records of %s from %s to %s for %s\n", s.Resent, s.Stream, when(s.From), when(s.To), r.Sink)
		if s.Err != "" {
			fmt.Fprintf(w, "%s could not be read to its end: %s\n", s.Stream, s.Err)
		}
	}
	if !running {
		fmt.Fprintln(w, nextRun)
	}
}
