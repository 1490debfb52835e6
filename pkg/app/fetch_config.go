package app

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/fetcher/entra/filter"
	"github.com/logferry/logferry/pkg/field"
)

func (o FetchOrder) dialect() filter.Dialect {
	return filter.Dialect(cmp.Or(o.API, string(filter.Graph)))
}

// config makes the source's configuration of flags and of the variables that Azure's tools know. Flags come first.
func (o FetchOrder) config(env func(string) string) (entra.Config, error) {
	cfg := entra.Config{
		Tenant: cmp.Or(o.Tenant, env("AZURE_TENANT_ID")), API: o.API,
		Cloud: o.Cloud, LoginURL: o.LoginURL, GraphURL: o.GraphURL,
		Auth:    auth.Config{ClientID: cmp.Or(o.ClientID, env("AZURE_CLIENT_ID")), ClientSecretFile: o.ClientSecretFile},
		Streams: o.Streams,
	}
	if len(cfg.Streams) == 0 {
		cfg.Streams = []string{"signins.interactive"}
	}
	if cfg.Cloud == "" && cfg.LoginURL == "" {
		cfg.Cloud, cfg.LoginURL = authority(env("AZURE_AUTHORITY_HOST"))
	}
	if err := o.signIn(&cfg.Auth, env); err != nil {
		return cfg, err
	}
	if cfg.Auth.ClientSecretFile == "" && env("AZURE_CLIENT_SECRET") != "" && o.ways() == 0 {
		return cfg, fmt.Errorf("%w: AZURE_CLIENT_SECRET is not read: put the secret into a file and name that with --client-secret-file", ErrUsage)
	}
	return cfg, badFlag(cfg.Validate())
}

// signIn sets the way to sign in, exactly one.
func (o FetchOrder) signIn(a *auth.Config, env func(string) string) error {
	if o.ways() > 1 {
		return fmt.Errorf("%w: several ways to sign in: keep one of --client-secret-file, --certificate-file, --federated-token-file, --managed-identity, --device-code", ErrUsage)
	}
	a.CertificateFile, a.CertificatePasswordFile, a.FederatedTokenFile = o.CertificateFile, o.CertificatePasswordFile, o.FederatedTokenFile
	switch {
	case o.ways() == 0:
		a.FederatedTokenFile = env("AZURE_FEDERATED_TOKEN_FILE")
	case o.ManagedIdentity:
		a.ManagedIdentity, a.ClientID = &auth.ManagedIdentity{ClientID: a.ClientID}, ""
	case o.DeviceCode != "":
		a.DeviceCode = &auth.DeviceCode{RefreshTokenFile: o.DeviceCode}
	}
	return nil
}

func (o FetchOrder) ways() (n int) {
	for _, set := range []bool{o.ClientSecretFile != "", o.CertificateFile != "", o.FederatedTokenFile != "", o.ManagedIdentity, o.DeviceCode != ""} {
		if set {
			n++
		}
	}
	return n
}

// authority gives the cloud of a sign-in host: AZURE_AUTHORITY_HOST names that alone. Of the two US government clouds, which share theirs, it is
// the one that most tenants are in.
func authority(host string) (cloud, login string) {
	u, err := url.Parse(strings.TrimRight(host, "/"))
	if err != nil || host == "" {
		return "", host
	}
	switch strings.ToLower(cmp.Or(u.Host, u.Path)) {
	case "login.microsoftonline.com":
		return "global", ""
	case "login.windows.net":
		return "global", host
	case "login.microsoftonline.us":
		return "usgov", ""
	case "login.partner.microsoftonline.cn":
		return "china", ""
	case "login.chinacloudapi.cn":
		return "china", host
	}
	return "", host
}

// badFlag puts faults of a configuration into the words of the command line.
func badFlag(err error) error {
	if err == nil {
		return nil
	}
	var all []error
	for _, e := range leaves(err) {
		var bad *field.Error
		if !errors.As(e, &bad) {
			all = append(all, e)
			continue
		}
		name := strings.TrimPrefix(bad.Path, "auth.")
		name, _, _ = strings.Cut(name, "[")
		switch {
		case strings.HasPrefix(name, "streams"):
			name = "stream"
		case strings.HasPrefix(name, "filters"):
			name = "filter"
		}
		msg := strings.NewReplacer("client_secret_file", "--client-secret-file", "login_url", "--login-url", "graph_url", "--graph-url").Replace(bad.Msg)
		if name == "" {
			all = append(all, errors.New(msg))
			continue
		}
		all = append(all, fmt.Errorf("--%s: %s", strings.ReplaceAll(name, "_", "-"), msg))
	}
	return fmt.Errorf("%w: %w", ErrUsage, errors.Join(all...))
}

func leaves(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}

// refusedFilter shows what is wrong with --filter, and how it should read, to be pasted into a shell.
func refusedFilter(err error) error {
	var bad *filter.Fault
	if !errors.As(err, &bad) || bad.Repaired == "" {
		return fmt.Errorf("%w: --filter: %w", ErrUsage, err)
	}
	return fmt.Errorf("%w: --filter: %w; write\n  --filter %s", ErrUsage, err, inShell(bad.Repaired))
}

// inShell quotes a text for a shell. An expression has single quotes in it, so it stands in double ones.
func inShell(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`).Replace(s) + `"`
}
