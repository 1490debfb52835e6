package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
)

func fetchCommand() *cobra.Command {
	var o app.FetchOrder
	where := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "fetch --tenant TENANT --client-id ID --client-secret-file FILE",
		Short: "Read records once and print them, without a configuration file",
		Long: "Fetch reads records of one tenant and prints them on standard output, newest first as the API gives them: one JSON object\n" +
			"a line, in the API's own bytes. Standard error says since when it reads, in UTC, and which addresses it asks. It keeps no\n" +
			"state; what appears later is not in it (logferry run reads everything).\n\n" +
			"AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_AUTHORITY_HOST and AZURE_FEDERATED_TOKEN_FILE stand in for flags that are left out.\n" +
			"Where a logferry runs for the same tenant and app, name its state folder with --state: both share its budget of requests.\n\n" +
			"Exit code 1 says that something could not be read, 2 that a flag is wrong.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("client-secret") {
				return fmt.Errorf("%w: a secret on the command line is seen by everybody on this machine: put it into a file and name that with --client-secret-file", app.ErrUsage)
			}
			o.Where = map[string]string{}
			for name, value := range where {
				if cmd.Flags().Changed(name) {
					o.Where[name] = *value
				}
			}
			if cmd.Flags().Changed("filter") && o.Filter == "" {
				return fmt.Errorf("%w: --filter: it is empty: leave it out", app.ErrUsage)
			}
			// `logferry fetch | head`: the end of the reader is no failure, and the manifest is still written.
			signal.Ignore(syscall.SIGPIPE)
			return app.Fetch(cmd.Context(), o, app.FetchOptions{
				Version: Version(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(), Terminal: isTerminal(os.Stderr), Env: os.Getenv,
			})
		},
	}
	fetchSourceFlags(cmd, &o)
	fetchReadFlags(cmd, &o)
	for _, f := range app.FetchFields() {
		where[f.Name] = cmd.Flags().String(f.Name, "", f.Usage)
	}
	return cmd
}

// fetchSourceFlags say whom to ask, and as whom.
func fetchSourceFlags(cmd *cobra.Command, o *app.FetchOrder) {
	f := cmd.Flags()
	f.StringVar(&o.API, "api", "graph", "graph, or azuread for the retired graph.windows.net")
	f.StringVar(&o.Tenant, "tenant", "", "the directory's id or a verified domain (AZURE_TENANT_ID)")
	f.StringVar(&o.Cloud, "cloud", "", "global, usgov, usgov-dod or china (default global)")
	f.StringVar(&o.LoginURL, "login-url", "", "instead of the cloud's sign-in host")
	f.StringVar(&o.GraphURL, "graph-url", "", "instead of the cloud's API host")
	f.StringVar(&o.ClientID, "client-id", "", "application (client) id (AZURE_CLIENT_ID)")
	f.StringVar(&o.ClientSecretFile, "client-secret-file", "", "file with the client secret")
	f.StringVar(&o.CertificateFile, "certificate-file", "", "sign in with this certificate and key instead")
	f.StringVar(&o.CertificatePasswordFile, "certificate-password-file", "", "file with the password of a PKCS#12 file")
	f.StringVar(&o.FederatedTokenFile, "federated-token-file", "", "sign in with this identity provider's token instead (AZURE_FEDERATED_TOKEN_FILE)")
	f.BoolVar(&o.ManagedIdentity, "managed-identity", false, "sign in as this machine instead")
	f.StringVar(&o.DeviceCode, "device-code", "", "sign in as a user instead; this file keeps the sign-in for the next time")
	f.String("client-secret", "", "")
	_ = f.MarkHidden("client-secret")
}

// fetchReadFlags say what to read, and what to make of it.
func fetchReadFlags(cmd *cobra.Command, o *app.FetchOrder) {
	f := cmd.Flags()
	f.StringSliceVar(&o.Streams, "stream", []string{"signins.interactive"}, "stream or pattern such as signins.* (repeatable)")
	f.StringVar(&o.Since, "since", "24h", "an age such as 7d or 5m, a date (midnight UTC) or an RFC 3339 time")
	f.StringVar(&o.Until, "until", "", "the end, in the same forms (default: none)")
	f.IntVar(&o.Top, "top", 0, "print at most so many records; 0: all")
	f.StringVar(&o.Filter, "filter", "", "an OData expression alone, sent as (FILTER) and TIME")
	f.StringVar(&o.Output, "output", "ndjson", "ndjson, pretty or none")
	f.StringVar(&o.SavePages, "save-pages", "", "folder to save each page in, as received, with manifest.json")
	f.BoolVar(&o.Force, "force", false, "with --save-pages: replace the pages of an earlier run")
	f.DurationVar(&o.Patience, "patience", 5*time.Minute, "how long to try again while nothing new comes")
	f.StringVar(&o.State, "state", "", "state folder of a running logferry whose budget of requests is shared")
}

// isTerminal tells whether somebody watches f.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
