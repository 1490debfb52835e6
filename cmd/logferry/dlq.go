package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/telemetry"
)

func dlqCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Short: "The dead letters: records that a sink will not take", Args: noArgs, RunE: help}
	cmd.AddCommand(dlqListCommand())
	return cmd
}

func dlqListCommand() *cobra.Command {
	var paths []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "List them with their reasons",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(paths)
			if err != nil {
				return err
			}
			var letters []app.Letter
			err = telemetry.Ask(cmd.Context(), cfg.State.Dir, "dlq", &letters)
			if errors.Is(err, telemetry.ErrNotRunning) {
				letters, err = app.OfflineLetters(cfg)
			}
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				for _, l := range letters {
					if err := enc.Encode(l); err != nil {
						return err
					}
				}
				return nil
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 8, 2, ' ', 0)
			fmt.Fprintln(t, "ID\tSINK\tSTREAM\tRECORD\tSINCE\tREASON")
			for _, l := range letters {
				fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.Sink, l.Stream, l.Record, when(l.At), l.Reason)
			}
			return t.Flush()
		},
	}
	configFlag(cmd, &paths)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print NDJSON")
	return cmd
}
