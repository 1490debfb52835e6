package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
)

func dlqReplayCommand() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "replay -c FILE",
		Short: "Send dead ones again, each to the sink that it belongs to",
		Long: "Replay puts dead letters on their way again: each goes, by today's mapping, to the one sink that it belongs to, and to no\n" +
			"other. It has the event id that it had before. What is refused again is dead again, with the new reason. A running\n" +
			"logferry sends them at once; where none runs, they go at the next run.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, running, err := f.carryOut(cmd, "replay", func(app.Letter) {})
			if err != nil {
				return err
			}
			switch {
			case f.json:
				err = printJSON(cmd.OutOrStdout(), done)
			case done.Letters > 0:
				fmt.Fprintln(cmd.OutOrStdout(), counted(done.Letters, "letter is on its way again", "letters are on their way again"))
				if !running {
					fmt.Fprintln(cmd.OutOrStdout(), "logferry is not running: they are sent at the next run")
				}
			}
			if err == nil && len(done.Damaged) > 0 {
				err = fmt.Errorf("%s: %d: the disk has changed what was written, drop is all that can be done", counted(len(done.Damaged), "damaged letter stays dead", "damaged letters stay dead"), done.Damaged)
			}
			if err == nil && done.Letters == 0 {
				err = errNoLetter
			}
			return err
		},
	}
	f.add(cmd)
	f.addAll(cmd)
	return cmd
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func dlqDropCommand() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "drop -c FILE",
		Short: "Give them up for good",
		Long: "Drop deletes letters for good; they are counted as dropped. Dead ones are meant unless --state names others: parked\n" +
			"ones wait for their receiver, returning ones are on their way to it, and one that is being sent at this moment may\n" +
			"arrive nevertheless.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, _, err := f.carryOut(cmd, "drop", func(app.Letter) {})
			if err == nil && f.json {
				err = printJSON(cmd.OutOrStdout(), done)
			} else if err == nil && done.Letters > 0 {
				fmt.Fprintln(cmd.OutOrStdout(), counted(done.Letters, "letter is dropped", "letters are dropped"))
			}
			if err == nil && done.Letters == 0 {
				err = errNoLetter
			}
			return err
		},
	}
	f.add(cmd)
	f.addStates(cmd, "dead")
	f.addAll(cmd)
	return cmd
}
