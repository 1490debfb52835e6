package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
)

func dlqShowCommand() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "show -c FILE --id ID",
		Short: "Show all of them: reason, the receiver's reply, and the record as Microsoft sent it",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, first := cmd.OutOrStdout(), true
			done, _, err := f.carryOut(cmd, "show", func(l app.Letter) {
				if f.json {
					printRaw(out, l)
					return
				}
				if !first {
					fmt.Fprintln(out)
				}
				first = false
				printLetter(out, l)
			})
			if err == nil && done.Letters == 0 {
				err = errNoLetter
			}
			if err == nil && done.More > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "and %d more: see --limit\n", done.More)
			}
			return err
		},
	}
	f.add(cmd)
	f.addStates(cmd, "all")
	f.addAll(cmd)
	cmd.Flags().IntVar(&f.order.Limit, "limit", 0, "most letters to be shown; 0: all")
	return cmd
}

// printRaw prints a letter in one line, with its record as a member raw: the object itself, or a text where it is none.
func printRaw(w io.Writer, l app.Letter) {
	shown := struct {
		app.Letter
		Raw any `json:"raw,omitempty"`
	}{Letter: l}
	switch {
	case json.Valid(l.Raw):
		shown.Raw = json.RawMessage(l.Raw)
	case len(l.Raw) > 0:
		shown.Raw = string(l.Raw)
	}
	_ = encoder(w).Encode(shown) // whoever does not read to the end has had enough
}

func printLetter(w io.Writer, l app.Letter) {
	fmt.Fprintf(w, "letter %d, %s, of sink %s\n", l.ID, l.State, l.Sink)
	for _, line := range [][2]string{
		{"stream", l.Stream}, {"record", l.Record}, {"event id", l.EventID}, {"of", when(l.Time)}, {"since", when(l.At)},
		{"attempts", fmt.Sprint(l.Attempts)}, {"reason", l.Reason}, {"reply", l.Reply}, {"DAMAGED", l.Fault},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-9s %s\n", line[0], printable(line[1]))
		}
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, l.Raw, "", "  "); err != nil {
		pretty.Reset()
		pretty.Write(l.Raw)
	}
	for line := range strings.SplitSeq(pretty.String(), "\n") {
		fmt.Fprintln(w, printable(line))
	}
}
