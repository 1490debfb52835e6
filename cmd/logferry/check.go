package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
)

type checkFlags struct {
	config  []string
	connect bool
	send    bool
	json    bool
}

func checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:     "check -c FILE",
		Aliases: []string{"validate"},
		Short:   "Check a configuration, with --connect also what it names",
		Long: "Check reads the configuration; it reads no secret and sends nothing.\n" +
			"With --connect it signs in each source, shows the token's permissions, reads one row of each stream and tries\n" +
			"each sink without writing to it: a line each, with what to grant or to mend and who can. With --send-test each sink\n" +
			"gets one event, which says in clear text that it is a test. It may run beside logferry run. Exit code 1 says that\n" +
			"something is to be mended.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return check(cmd, f) },
	}
	configFlag(cmd, &f.config)
	cmd.Flags().BoolVar(&f.connect, "connect", false, "sign in, read one row of each stream, try each sink")
	cmd.Flags().BoolVar(&f.send, "send-test", false, "as --connect, and send one marked event to each sink")
	cmd.Flags().BoolVar(&f.json, "json", false, "with --connect or --send-test: print JSON")
	return cmd
}

func check(cmd *cobra.Command, f checkFlags) error {
	connect := f.connect || f.send
	if f.json && !connect {
		return fmt.Errorf("%w: --json goes with --connect or --send-test", app.ErrUsage)
	}
	cfg, err := load(f.config)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if !connect {
		return describeConfig(out, cfg)
	}
	o := app.Options{Version: Version(), Stdout: cmd.ErrOrStderr()} // a test event must not stand between the lines
	lines, err := app.Check(cmd.Context(), cfg, o, f.send)
	if err != nil {
		return err
	}
	if f.json {
		err = json.NewEncoder(out).Encode(lines)
	} else {
		err = printCheck(out, lines)
	}
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	bad := 0
	for _, l := range lines {
		if !l.OK {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d parts need mending", bad, len(lines))
	}
	return nil
}

// describeConfig says what the configuration asks for.
func describeConfig(out io.Writer, cfg *config.Config) error {
	for _, s := range cfg.Sources {
		names, err := s.Entra.Graph.StreamNames()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "source %s: tenant %s: %s\n", s.Name, s.Entra.Graph.Tenant, strings.Join(names, ", "))
	}
	for _, s := range cfg.Sinks {
		streams := "all streams"
		if len(s.Streams) > 0 {
			streams = strings.Join(s.Streams, ", ")
		}
		fmt.Fprintf(out, "sink %s: %s, schema %s, %s%s\n", s.Name, s.Block(), s.SchemaName(), streams, less(s))
	}
	fmt.Fprintln(out, "the configuration is valid")
	return nil
}

// less says what a sink does not get of its streams, for those who look for it there.
func less(s config.Sink) string {
	var b strings.Builder
	for _, by := range []struct {
		key string
		n   int
	}{{"where", len(s.Route.Where)}, {"drop_fields", len(s.Route.DropFields)}, {"hash_fields", len(s.Route.HashFields)}} {
		if by.n > 0 {
			fmt.Fprintf(&b, ", less by %s (%d)", by.key, by.n)
		}
	}
	if s.Paused {
		b.WriteString(", paused")
	}
	return b.String()
}

// printCheck prints a line for each part, for people.
func printCheck(out io.Writer, lines []app.CheckLine) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		mark, says := "ok", l.Says
		if !l.OK {
			mark = "MEND"
		}
		if l.RequestID != "" {
			says += " (request-id " + l.RequestID + ", client-request-id " + l.ClientRequestID + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", mark, l.Part, printable(says))
	}
	return w.Flush()
}
