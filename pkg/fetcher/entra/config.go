package entra

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

// Config is the entra block of a source, as far as it says what to ask and whom. When to ask is the time line's.
type Config struct {
	Tenant     string            `yaml:"tenant"`                // the directory's GUID or one of its verified domains
	Cloud      string            `yaml:"cloud,omitempty"`       // global (default), usgov, usgov-dod, china
	LoginURL   string            `yaml:"login_url,omitempty"`   // instead of the cloud's sign-in host
	GraphURL   string            `yaml:"graph_url,omitempty"`   // instead of the cloud's Graph host
	API        string            `yaml:"api,omitempty"`         // graph (default), azuread: the retired graph.windows.net
	APIVersion string            `yaml:"api_version,omitempty"` // beta or v1.0 for all streams; default: each stream's own
	Auth       auth.Config       `yaml:"auth"`                  //
	Streams    []string          `yaml:"streams,omitempty"`     // patterns such as signins.*; default DefaultStreams
	Filters    map[string]string `yaml:"filters,omitempty"`     // OData per stream, sent as (FILTER) and TIME
	Retention  field.Duration    `yaml:"retention,omitempty"`   // how far back all streams can be read; default: each stream's own
	Budget     Budget            `yaml:"budget,omitempty"`      //
	TLS        secure.TLS        `yaml:"tls,omitempty"`         // for both hosts
	Proxy      string            `yaml:"proxy,omitempty"`       // http://host:port; default: the environment's HTTPS_PROXY and NO_PROXY
	Insecure   bool              `yaml:"insecure,omitempty"`    // allows http to hosts other than this one
	Top        int               `yaml:"top,omitempty"`         // most rows of a page; default: the stream's own
}

// Budget is how many requests may be sent in a stretch of time. They are spaced evenly over it. The zero value means the
// service's published limit for reports: 5 in 10 s for one app in one tenant.
// Source: https://learn.microsoft.com/en-us/graph/throttling-limits
type Budget struct {
	Requests int            `yaml:"requests,omitempty"`
	Per      field.Duration `yaml:"per,omitempty"`
}

// Default is what leaving out means, as far as it is one value for all streams.
func Default() Config {
	return Config{Cloud: "global", API: apiGraph, Streams: DefaultStreams(), Budget: Budget{Requests: 5, Per: field.Duration(10 * time.Second)}}
}

// interval is the time between two requests.
func (b Budget) interval() time.Duration {
	usual := Default().Budget
	return cmp.Or(b.Per, usual.Per).Std() / time.Duration(cmp.Or(b.Requests, usual.Requests))
}

// hosts are where one cloud signs in and answers.
type hosts struct{ login, graph string }

// clouds has the national clouds. Source: https://learn.microsoft.com/en-us/graph/deployments
var clouds = map[string]hosts{
	"global":    {"https://login.microsoftonline.com", "https://graph.microsoft.com"},
	"usgov":     {"https://login.microsoftonline.us", "https://graph.microsoft.us"},
	"usgov-dod": {"https://login.microsoftonline.us", "https://dod-graph.microsoft.us"},
	"china":     {"https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"},
}

var tenantPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// Validate finds all faults, as *field.Error joined. It reads no file and sends nothing.
func (c Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, field.Errorf(path, format, args...)) }
	switch {
	case c.Tenant == "" && c.Auth.WorkloadIdentity != nil:
		bad("tenant", "missing: AZURE_TENANT_ID is not set either: write the directory's id or a verified domain")
	case c.Tenant == "":
		bad("tenant", "missing: write the directory's id or a verified domain such as contoso.onmicrosoft.com")
	case !tenantPattern.MatchString(c.Tenant):
		bad("tenant", "%q is neither a GUID nor a domain", c.Tenant)
	case slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(c.Tenant)):
		bad("tenant", "%q names no single directory: an app signs in to one tenant, write its id or domain", c.Tenant)
	}
	switch c.API {
	case "", apiGraph:
	case apiAzureAD:
		if c.APIVersion == v1 {
			bad("api_version", "azuread has beta alone: leave api_version out")
		}
	default:
		bad("api", "%q is unknown: use %s, or %s for the retired graph.windows.net", c.API, apiGraph, apiAzureAD)
	}
	if c.APIVersion != "" && c.APIVersion != beta && c.APIVersion != v1 {
		bad("api_version", "%q is unknown: write beta or v1.0, or leave it out", c.APIVersion)
	}
	if c.Budget.Requests < 0 || c.Budget.Requests > 100_000 {
		bad("budget.requests", "%d is not between 1 and 100000", c.Budget.Requests)
	}
	if c.Retention != 0 && c.Retention.Std() < day {
		bad("retention", "%s is too short: 1d or more; leave it out unless the tenant keeps its logs longer or shorter than its licence says", c.Retention)
	}
	if c.Top < 0 || c.Top > 1000 {
		bad("top", "%d is not between 1 and 1000", c.Top)
	}
	if _, err := parseProxy(c.Proxy); err != nil {
		bad("proxy", "%v", err)
	}
	_, placeErr := c.place()
	_, streamErr := c.rows()
	return errors.Join(append(errs, placeErr, field.In("auth", c.Auth.Validate()), streamErr, c.checkFilters(), field.In("tls", c.TLS.Validate()))...)
}

// StreamNames are the streams that the configuration asks for, in the table's order.
func (c Config) StreamNames() ([]string, error) {
	rows, err := c.rows()
	var names []string
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names, err
}

// rows gives the table's rows for the streams asked for. That v1.0 lacks a kind of sign-in is an error even under a pattern:
// whoever writes signins.* expects all four.
func (c Config) rows() ([]Stream, error) {
	dialect := c.dialect()
	names, err := dialect.expand(c.Streams)
	errs := []error{field.In("streams", err)}
	var rows []Stream
	for _, name := range names {
		row, _ := dialect.lookup(name)
		row, err := row.in(c.APIVersion)
		if err != nil {
			errs = append(errs, field.Errorf("streams", "%v", err))
			continue
		}
		rows = append(rows, row)
	}
	return rows, errors.Join(errs...)
}

// place is where a source's requests go.
type place struct {
	name  string // of the cloud, or the host of a custom Graph address
	login *url.URL
	graph *url.URL
	scope string
}

// place resolves cloud, login_url and graph_url.
func (c Config) place() (place, error) {
	c = c.named()
	clouds := c.dialect().clouds
	known, ok := clouds[cmp.Or(c.Cloud, Default().Cloud)]
	if !ok {
		return place{}, field.Errorf("cloud", "%q is unknown: write one of %s, or login_url and graph_url", c.Cloud, strings.Join(slices.Sorted(maps.Keys(clouds)), ", "))
	}
	if c.Cloud == "" && (c.LoginURL == "") != (c.GraphURL == "") {
		return place{}, field.Errorf("", "login_url and graph_url go together: set both, or name the cloud that the other one belongs to")
	}
	login, err := secure.CheckURL(strings.TrimRight(cmp.Or(c.LoginURL, known.login), "/"), c.Insecure)
	if err != nil {
		return place{}, field.Errorf("login_url", "%v", err)
	}
	graph, err := secure.CheckURL(strings.TrimRight(cmp.Or(c.GraphURL, known.graph), "/"), c.Insecure)
	if err != nil {
		return place{}, field.Errorf("graph_url", "%v", err)
	}
	p := place{name: cmp.Or(c.Cloud, Default().Cloud), login: login, graph: graph, scope: known.graph + "/.default"}
	if c.Cloud == "" && c.GraphURL != "" {
		p.name, p.scope = graph.Host, graph.String()+"/.default"
	}
	return p, nil
}

// checkFilters holds each filter against the rules that keep "(FILTER) and TIME" what it says.
func (c Config) checkFilters() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Filters)) {
		if _, ok := Lookup(name); !ok {
			errs = append(errs, field.Errorf("filters."+name, "there is no such stream: there are %s", streamNames()))
		} else if err := checkFilter(c.Filters[name]); err != nil {
			errs = append(errs, field.Errorf("filters."+name, "%v", err))
		}
	}
	return errors.Join(errs...)
}

// checkFilter makes sure that the filter cannot reach out of its parentheses. OData doubles a quote inside a string, which for
// counting is a string that ends and another that begins.
func checkFilter(filter string) error {
	if strings.TrimSpace(filter) == "" {
		return errors.New("the filter is empty: leave it out")
	}
	depth, quoted := 0, false
	for _, c := range filter {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return errors.New("the filter has a closing parenthesis too many")
			}
		}
	}
	if quoted {
		return errors.New("the filter has a quote without its partner")
	}
	if depth > 0 {
		return errors.New("the filter has an opening parenthesis too many")
	}
	return nil
}

// parseProxy reads the proxy's address; nil for none.
func parseProxy(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme):
		return nil, errors.New("not a proxy's address: write http://host:port, https:// or socks5://")
	case u.User != nil:
		return nil, fmt.Errorf("a user or password in the proxy's address is refused: let %s accept this machine without one", u.Host)
	}
	return u, nil
}
