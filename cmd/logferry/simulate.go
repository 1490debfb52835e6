package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

type simulateFlags struct {
	listen  string
	records []string
	rate    string
	history time.Duration
	script  string
	tls     bool
	caFile  string
	seed    uint64
	tenants int
}

func simulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Serve the report endpoints of Microsoft Graph, and of Azure AD Graph, on this machine, with given or made-up records",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return simulate(cmd, f) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:0", "address to listen on")
	cmd.Flags().StringArrayVar(&f.records, "records", nil, "serve the records of this file: a Graph page, an array, or NDJSON (repeatable)")
	cmd.Flags().StringVar(&f.rate, "rate", "", "make up records for ever: so many a second over all streams, such as 10/s, for each tenant")
	cmd.Flags().DurationVar(&f.history, "history", time.Hour, "with --rate: how long ago the made-up records begin")
	cmd.Flags().StringVar(&f.script, "script", "", "faults to serve (YAML)")
	cmd.Flags().BoolVar(&f.tls, "tls", false, "serve HTTPS with a certificate of its own")
	cmd.Flags().StringVar(&f.caFile, "ca-file", "", "with --tls: write the certificate authority (PEM) here")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "decides everything that is random")
	cmd.Flags().IntVar(&f.tenants, "tenants", 0, "serve so many tenants, tenant0001.example.com and so on, instead of one")
	return cmd
}

func simulate(cmd *cobra.Command, f simulateFlags) error {
	if f.tenants < 0 {
		return fmt.Errorf("%w: --tenants must not be negative", app.ErrUsage)
	}
	o := simulator.Options{Seed: f.seed, Tenants: simulator.Tenants(f.tenants)}
	if f.rate != "" {
		rate, err := parseRate(f.rate)
		if err != nil {
			return fmt.Errorf("%w: --rate: %w", app.ErrUsage, err)
		}
		o.Generate = madeUp(simulator.AllStreams(), rate, time.Now().Add(-f.history))
	}
	if f.script != "" {
		script, err := simulator.LoadScript(f.script)
		if err != nil {
			return fmt.Errorf("%w: --script: %w", app.ErrUsage, err)
		}
		o.Script = script
	}
	server, err := simulator.New(o)
	if err != nil {
		return fmt.Errorf("%w: %w", app.ErrUsage, err)
	}
	defer server.Close()
	for _, file := range f.records {
		n, err := server.LoadFile(file)
		if err != nil {
			return fmt.Errorf("%w: --records: %w", app.ErrUsage, err)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%d records from %s\n", n, file)
	}
	l, err := server.Listen(f.listen, f.tls)
	if err != nil {
		return fmt.Errorf("%w: --listen: %w", app.ErrUsage, err)
	}
	if f.caFile != "" {
		if err := os.WriteFile(f.caFile, l.CA, 0o600); err != nil {
			return fmt.Errorf("write --ca-file: %w", err)
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "login_url and graph_url: %s\ntenant: %s\nclient_id: %s\nclient secret: %s\n",
		l.URL, tenantNames(o.Tenants), simulator.DefaultClientID, simulator.DefaultClientSecret)
	<-cmd.Context().Done()
	return nil
}

// tenantNames says which tenants are served.
func tenantNames(tenants []simulator.Tenant) string {
	switch n := len(tenants); n {
	case 0:
		return simulator.DefaultDomain
	case 1:
		return tenants[0].Domain
	default:
		return tenants[0].Domain + " to " + tenants[n-1].Domain
	}
}

// parseRate reads "10/s", "600/m" or a plain number a second.
func parseRate(s string) (float64, error) {
	number, per, _ := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a rate: write 10/s or 600/m", s)
	}
	switch per {
	case "", "s":
		return n, nil
	case "m":
		return n / 60, nil
	case "h":
		return n / 3600, nil
	}
	return 0, fmt.Errorf("%q is not a rate: write 10/s or 600/m", s)
}

// madeUp shares a rate out over the streams about as a tenant does.
func madeUp(streams []string, rate float64, since time.Time) []simulator.Generate {
	shares := map[string]float64{
		simulator.Interactive: 0.2, simulator.NonInteractive: 0.5, simulator.ServicePrincipal: 0.15, simulator.ManagedIdentity: 0.05, simulator.Audits: 0.1,
	}
	share := func(stream string) float64 { return cmp.Or(shares[stream], 0.01) }
	total := 0.0
	for _, stream := range streams {
		total += share(stream)
	}
	var all []simulator.Generate
	for _, stream := range streams {
		all = append(all, simulator.Generate{
			Stream: stream, Rate: rate * share(stream) / total, Since: since,
			Lateness: simulator.Lateness{Median: 2 * time.Second, P95: 20 * time.Second, TailShare: 0.01, Max: 5 * time.Minute},
			Updates:  simulator.Updates{Share: 0.02, After: 2 * time.Minute},
		})
	}
	return all
}
