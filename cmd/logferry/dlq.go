package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/telemetry"
)

func dlqCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Short: "The dead letters: records that a sink will not take", Args: noArgs, RunE: help}
	cmd.AddCommand(dlqListCommand(), dlqShowCommand(), dlqReplayCommand(), dlqDropCommand())
	return cmd
}

// letterFlags choose letters.
type letterFlags struct {
	config []string
	ids    []string
	json   bool
	order  app.LetterOrder
}

func (f *letterFlags) add(cmd *cobra.Command) {
	configFlag(cmd, &f.config)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.ids, "id", nil, "number of a letter, or a range such as 5-9 (repeatable)")
	flags.StringVar(&f.order.Sink, "sink", "", "name of the sink")
	flags.StringVar(&f.order.Stream, "stream", "", "SOURCE/STREAM as status shows it, a stream's name alone, or a pattern such as contoso/signins.*")
	flags.StringVar(&f.order.Reason, "reason", "", "part of the reason, whatever its letter case")
	flags.StringVar(&f.order.From, "from", "", "records from this time on: RFC 3339, a date, or an age such as 24h or 7d")
	flags.StringVar(&f.order.To, "to", "", "records before this time, in the same forms")
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

func (f *letterFlags) addStates(cmd *cobra.Command, usual string) {
	cmd.Flags().StringSliceVar(&f.order.States, "state", nil, "dead, parked or returning (repeatable; default: "+usual+")")
}

func (f *letterFlags) addAll(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.order.All, "all", false, "every letter, where nothing else is named")
}

// carryOut has the running process do it, or does it itself where none runs; running tells which.
func (f *letterFlags) carryOut(cmd *cobra.Command, verb string, tell func(app.Letter)) (done app.LettersDone, running bool, err error) {
	var cfg *config.Config
	if f.order.IDs, err = idRanges(f.ids); err == nil {
		cfg, err = load(f.config)
	}
	if err != nil {
		return done, false, err
	}
	err = telemetry.Have(cmd.Context(), cfg.State.Dir, app.LettersOrder+verb, f.order, func(line json.RawMessage) {
		var l app.Letter
		if json.Unmarshal(line, &l) == nil {
			tell(l)
		}
	}, &done)
	if !errors.Is(err, telemetry.ErrNotRunning) {
		return done, true, usage(err)
	}
	done, err = app.OfflineLetters(cmd.Context(), cfg, verb, f.order, tell)
	return done, false, usage(err)
}

func idRanges(texts []string) (all [][2]uint64, err error) {
	for _, text := range texts {
		first, last, ok := strings.Cut(text, "-")
		if !ok {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 64)
		to, err2 := strconv.ParseUint(last, 10, 64)
		if errors.Join(err, err2) != nil {
			return nil, fmt.Errorf("%w: --id %s: want a number such as 5, or a range such as 5-9", app.ErrUsage, text)
		}
		all = append(all, [2]uint64{from, to})
	}
	return all, nil
}

// errNoLetter says that an order has done nothing.
var errNoLetter = errors.New("no letter is chosen by that: see logferry dlq list")

func dlqListCommand() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "List them with their reasons",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.json && !cmd.Flags().Changed("limit") {
				f.order.Limit = 0
			}
			out := cmd.OutOrStdout()
			enc, t := encoder(out), tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
			said := false
			done, _, err := f.carryOut(cmd, "list", func(l app.Letter) {
				if f.json {
					_ = enc.Encode(l) // whoever does not read to the end has had enough
					return
				}
				if !said {
					fmt.Fprintln(t, "ID\tSTATE\tSINK\tSTREAM\tRECORD OF\tSINCE\tREASON")
					said = true
				}
				fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.State, l.Sink, l.Stream, when(l.Time), when(l.At), reason(l))
			})
			if err = errors.Join(err, t.Flush()); err != nil {
				return err
			}
			switch {
			case done.More > 0:
				fmt.Fprintf(cmd.ErrOrStderr(), "and %d more: see --limit\n", done.More)
			case done.Letters == 0:
				fmt.Fprintln(cmd.ErrOrStderr(), "there are none")
			}
			return nil
		},
	}
	f.add(cmd)
	f.addStates(cmd, "all")
	cmd.Flags().IntVar(&f.order.Limit, "limit", 100, "most letters to be listed; 0: all (default with --json: all)")
	return cmd
}

func encoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

const reasonMost = 100 // characters of a reason in a table

// reason gives it in one line that a terminal can take: a receiver has written part of it.
func reason(l app.Letter) string {
	text := printable(l.Reason)
	if l.Fault != "" {
		text = "DAMAGED: " + printable(l.Fault) + "; " + text
	}
	if runes := []rune(text); len(runes) > reasonMost {
		text = string(runes[:reasonMost-1]) + "…"
	}
	return text
}

// printable leaves out what a terminal would take for an order.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
