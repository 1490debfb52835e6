package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
)

func stateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "state", Short: "The state file: what is in it, and making it smaller", Args: noArgs, RunE: help}
	cmd.AddCommand(stateInfoCommand(), stateCompactCommand())
	return cmd
}

func stateInfoCommand() *cobra.Command {
	var paths []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info -c FILE",
		Short: "Show format, sizes and contents of the state file",
		Long:  "Info asks the process that runs on the configured state folder. When none runs, it looks into the state file itself.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(paths)
			if err != nil {
				return err
			}
			r, _, err := app.StateInfo(cmd.Context(), cfg)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(cmd.OutOrStdout(), r)
			}
			return printState(cmd.OutOrStdout(), r)
		},
	}
	configFlag(cmd, &paths)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the ledger of each stream and sink")
	return cmd
}

func printState(w io.Writer, r app.StateReport) error {
	s := r.State
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	writer := ""
	if s.Writer != "" {
		writer = ", opened last by logferry " + printable(s.Writer)
	}
	fmt.Fprintf(t, "file\t%s\n", s.Path)
	fmt.Fprintf(t, "format\t%d%s\n", s.Format, writer)
	fmt.Fprintf(t, "size\t%d bytes, %d of them free\n", s.Size, s.Free)
	fmt.Fprintf(t, "journal\t%d batches, %d bytes of %d\n", s.Journal.Batches, s.Journal.Bytes, s.Journal.Most)
	fmt.Fprintf(t, "seen\t%d ids of %d streams, %d bytes; counts of %d minutes\n", s.Seen.IDs, s.Streams, s.Seen.Bytes, s.Seen.Minutes)
	fmt.Fprintf(t, "letters\t%d\n", s.Letters)
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nSINK\tAT BATCH\tPENDING\tBYTES\tOLDEST\tDEAD\tPARKED\tRETURNING\tLETTER BYTES")
	for _, l := range s.Lanes {
		fmt.Fprintf(t, "%s\t%d/%d\t%d\t%d\t%s\t%d\t%d\t%d\t%d\n", printable(l.Sink), l.Seq, l.Index, l.Pending, l.Bytes, when(l.Oldest), l.Dead, l.Parked, l.Returning, l.LetterBytes)
	}
	return t.Flush()
}

func stateCompactCommand() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "compact -c FILE",
		Short: "Give the disk back what is free in the state file",
		Long: "The state file never gets smaller by itself: what is delivered leaves free pages, which new records fill. Compact writes a copy\n" +
			"without them beside the file, checks that copy, and puts it in the file's place at once. It needs room for the copy, and nobody\n" +
			"may run on the state folder meanwhile. It may be killed at any moment: the file is the old one or the new one.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(paths)
			if err != nil {
				return err
			}
			c, err := app.CompactState(cmd.Context(), cfg, app.Options{Version: Version()})
			if err != nil {
				return err
			}
			if c.After == c.Before {
				fmt.Fprintf(cmd.OutOrStdout(), "%d bytes: nothing can be given back, the file stays as it was\n", c.Before)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d bytes before, %d bytes after\n", c.Before, c.After)
			return nil
		},
	}
	configFlag(cmd, &paths)
	return cmd
}
