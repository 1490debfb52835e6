package entra

import (
	"cmp"
	"net/url"
	"strings"
)

// Environment fills in, where the auth block has workload_identity, what the configuration leaves out, from the variables that the
// webhook of Azure Workload Identity sets in a pod: AZURE_TENANT_ID and AZURE_AUTHORITY_HOST, and those of auth.Config.
func (c Config) Environment(getenv func(string) string) Config {
	if c.Auth.WorkloadIdentity == nil {
		return c
	}
	c.Auth = c.Auth.Environment(getenv)
	c.Tenant = cmp.Or(c.Tenant, getenv("AZURE_TENANT_ID"))
	host := strings.TrimRight(getenv("AZURE_AUTHORITY_HOST"), "/")
	if host == "" || c.Cloud != "" || c.LoginURL != "" {
		return c
	}
	// Both clouds of the US government sign in at one host. Whoever is in the other one has to say so.
	switch {
	case c.GraphURL != "":
		c.LoginURL = host
	case sameHost(clouds["global"].login, host): // what it is without a word
	case sameHost(clouds["usgov"].login, host):
		c.Cloud = "usgov"
	case sameHost(clouds["china"].login, host):
		c.Cloud = "china"
	default:
		c.LoginURL = host
	}
	return c
}

func sameHost(a, b string) bool {
	x, err := url.Parse(a)
	y, err2 := url.Parse(b)
	return err == nil && err2 == nil && strings.EqualFold(x.Host, y.Host)
}
