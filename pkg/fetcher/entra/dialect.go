package entra

import (
	"net/url"
	"strings"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
)

// The APIs that have the records: the values of api in the configuration.
const (
	apiGraph   = "graph"
	apiAzureAD = "azuread"
)

// dialect is everything in which one API differs from the other, but for what the rows of its streams say.
type dialect struct {
	clouds     map[string]hosts                                                  // where it can be had
	logins     map[string]string                                                 // further sign-in hosts, and the cloud that each belongs to
	expand     func(patterns []string) ([]string, error)                         // as Streams does
	lookup     func(name string) (Stream, bool)                                  // as Lookup does
	tokenPath  string                                                            // of the token endpoint, below the sign-in host and the tenant
	byResource bool                                                              // that endpoint is told the API's address, not a scope
	topCuts    bool                                                              // $top bounds the whole answer, not a page of it
	firstURL   func(row Stream, base *url.URL, cfg Config, s event.Slice) string // of a slice
	refused    func(rd *reader, got reply, token auth.Token) error               // what a reply but 200 and throttling means
}

// dialect gives the one that the configuration names. An unknown name counts as Graph; Validate refuses it.
func (c Config) dialect() dialect {
	if c.API == apiAzureAD {
		return azureAD()
	}
	return graph()
}

// graph is Microsoft Graph.
func graph() dialect {
	return dialect{
		clouds: clouds, expand: Streams, lookup: Lookup, tokenPath: "oauth2/v2.0/token",
		firstURL: func(row Stream, base *url.URL, cfg Config, s event.Slice) string {
			return row.firstURL(base, cfg.Filters[row.Name], cfg.Top, s)
		},
		refused: (*reader).refused,
	}
}

// named is c with its cloud filled in where a sign-in host that belongs to one is all that it says.
func (c Config) named() Config {
	if c.Cloud == "" && c.GraphURL == "" {
		c.Cloud = c.dialect().logins[strings.ToLower(strings.TrimRight(c.LoginURL, "/"))]
	}
	return c
}

// resource is what the dialect's token endpoint wants beside the scope; "" for one that knows scopes.
func (d dialect) resource(scope string) string {
	if !d.byResource {
		return ""
	}
	return strings.TrimSuffix(scope, "/.default")
}
