package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
)

func supportCommand() *cobra.Command {
	var paths []string
	var file string
	cmd := &cobra.Command{
		Use:   "support -c FILE [-o FILE]",
		Short: "Pack what somebody needs who is to help into one archive",
		Long: "Support writes an archive (.tar.gz, for nobody else to read) with the versions, the configuration without secrets, what check says of it,\n" +
			"status, metrics, ledger, gaps, the sizes of the state file, and the last lines of the running process's log. No record, no dead\n" +
			"letter and no secret is in it; names of tenants, hosts, sources, sinks and folders are. It prints what it has packed: look at it before you send it.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return support(cmd, paths, file) },
	}
	configFlag(cmd, &paths)
	cmd.Flags().StringVarP(&file, "output", "o", "", "the archive; it must not be there yet (default: logferry-support-TIME.tar.gz here)")
	return cmd
}

func support(cmd *cobra.Command, paths []string, file string) error {
	o := app.SupportOrder{Paths: paths, Version: Version(), Now: time.Now()}
	var said strings.Builder
	cfg, err := load(paths)
	if err == nil {
		o.Config = cfg
		err = describeConfig(&said, cfg)
	}
	if err != nil {
		said.WriteString(err.Error() + "\n")
	}
	o.Check = said.String()
	s, err := app.Collect(cmd.Context(), o)
	if err != nil {
		return err
	}
	if file == "" {
		file = s.Name() + ".tar.gz"
	}
	size, err := writeSupport(s, file)
	if err != nil {
		return fmt.Errorf("write support archive: %w", err)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s, %d bytes:\n", file, size)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range s.Files {
		fmt.Fprintf(t, "  %s\t%d\t%s\n", f.Name, f.Size(), printable(f.What))
	}
	for _, m := range s.Missing {
		fmt.Fprintf(t, "  missing\t\t%s\n", printable(m))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "It has names of tenants, hosts and folders, and no record. Look at it before you send it.")
	return nil
}

// writeSupport makes the file, which must not be there; half of one is not left.
func writeSupport(s *app.Support, file string) (size int64, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return 0, fmt.Errorf("%w: %s is there already: name another one with -o", app.ErrUsage, file)
	}
	if err != nil {
		return 0, err
	}
	err = s.Write(f)
	if info, serr := f.Stat(); serr == nil {
		size = info.Size()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(file))
	}
	return size, err
}
