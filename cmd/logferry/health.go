package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
)

// healthTimeout is for the whole question. Container engines give a health check a second or more.
const healthTimeout = 900 * time.Millisecond

func healthCommand() *cobra.Command {
	var paths []string
	var address string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the running process whether it lives: for the health check of a container",
		Long: "Health asks /livez of the admin endpoint at its default address, at --url, or where -c says that it listens.\n" +
			"It needs no configuration, takes less than a second, and exits with 0 for the answer 200 and with 1 for\n" +
			"everything else. In a health check --url is better than -c, which refuses a file that is being mended.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := healthURL(address, paths)
			if err != nil {
				return err
			}
			if err := health(cmd.Context(), target); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	}
	configFlag(cmd, &paths)
	cmd.Flags().StringVar(&address, "url", "", `what to ask, such as http://127.0.0.1:9797/readyz (default "http://127.0.0.1:9797/livez")`)
	return cmd
}

// healthURL is what to ask. A URL without a path means /livez.
func healthURL(address string, paths []string) (string, error) {
	if address != "" {
		if len(paths) > 0 {
			return "", fmt.Errorf("%w: --url and -c exclude each other", app.ErrUsage)
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" {
			return "", fmt.Errorf("%w: --url: %q is no address of an admin endpoint: write http://127.0.0.1:9797/livez", app.ErrUsage, address)
		}
		if u.Path == "" {
			u.Path = "/livez"
		}
		return u.String(), nil
	}
	listen := config.Default().Admin.Listen
	if len(paths) > 0 {
		cfg, err := load(paths)
		if err != nil {
			return "", err
		}
		listen = cfg.Admin.Listen
	}
	return livez(listen)
}

// livez is the URL behind an admin.listen. A process that listens on all addresses is asked on loopback.
func livez(listen string) (string, error) {
	if listen == "off" {
		return "", errors.New(`ask for health: admin.listen is "off", so nobody answers`)
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("ask for health: admin.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/livez", nil
}

// health is nil when target answers 200 in time. Neither a proxy nor another place that target sends to counts.
func health(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask for health at %s: %w", target, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask for health at %s: the answer is %s", target, resp.Status)
	}
	return nil
}
