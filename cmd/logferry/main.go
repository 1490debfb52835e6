// Command logferry carries Microsoft Entra ID sign-in and audit records to a SIEM.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
)

func main() {
	app.TuneMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default is back: a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	err := root().ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "logferry: "+err.Error())
	}
	os.Exit(exitCode(err))
}

// exitCode is 0 done, 1 failed, 2 wrong usage or configuration, 3 not everything delivered.
func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, app.ErrUsage):
		return 2
	case errors.Is(err, app.ErrIncomplete):
		return 3
	}
	return 1
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "logferry",
		Short:         "Carries Microsoft Entra ID sign-in and audit records to Splunk, Elasticsearch, Kafka or syslog, completely",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          help, // without it a mistyped command would print the help and count as done
	}
	usage := func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", app.ErrUsage, err, cmd.CommandPath())
	}
	cmd.SetFlagErrorFunc(usage)
	cmd.AddCommand(runCommand(), checkCommand(), statusCommand(), healthCommand(), dlqCommand(), verifyCommand(), resendCommand())
	cmd.AddCommand(stateCommand(), supportCommand(), fetchCommand(), previewCommand(), simulateCommand(), demoCommand(), schemaCommand(), versionCommand())
	return cmd
}
