package entra

import (
	"errors"
	"strings"
	"time"
)

// Cause names what keeps a stream from being read until people have done something about it.
type Cause string

// The causes.
const (
	CauseSignIn     Cause = "sign-in"        // the token endpoint refuses the app: package auth says why
	CausePermission Cause = "permission"     // the app lacks an application permission, or nobody has consented to it
	CauseRole       Cause = "directory role" // the user who has signed in lacks one
	CauseLicence    Cause = "licence"        // the tenant lacks one
	CauseCloud      Cause = "cloud"          // the cloud does not have the service
	CauseRegion     Cause = "region"         // the service refuses apps in the tenant's region
	CauseAudience   Cause = "audience"       // the token is for another service
	CauseClock      Cause = "clock"          // the token is outside the time in which it is good
	CauseToken      Cause = "token"          // the token is refused for a reason that is not told
	CauseAddress    Cause = "address"        // there is no such service at this address
	CauseFilter     Cause = "filter"         // the API refuses or ignores the filter
	CauseProxy      Cause = "proxy"          // the proxy lets nothing pass
	CauseTrust      Cause = "certificate"    // the server's certificate is not trusted
)

// Explanation is what stands in docs/troubleshooting.md of a cause.
type Explanation struct {
	Cause Cause
	Says  string // what every message of the cause has in it
	Means string
	Mend  string
	By    string // who can, as a rule; "" is whoever runs logferry
}

const (
	consenters = "a Privileged Role Administrator or a Global Administrator"
	buyers     = "a Billing Administrator or a Global Administrator"
)

// explanations has every cause. Who may consent to the permissions of Microsoft Graph, and which role a user needs, is Microsoft's:
// https://learn.microsoft.com/en-us/entra/identity/enterprise-apps/grant-admin-consent and the reference page of each endpoint.
var explanations = []Explanation{
	{CauseSignIn, "sign in", "The sign-in service has refused the app or the user.", "See the numbers below.", ""},
	{CausePermission, "may not read", "The token lacks an application permission: it was not asked for, or no administrator has consented.",
		"Add the named permissions to the app registration and grant admin consent. logferry signs in anew at the next try, nothing has to be restarted.", consenters},
	{CauseRole, "lacks a directory role", "logferry acts for a user, who must hold a directory role beside the app's permissions.",
		"Assign the named role to the user.", consenters},
	{CauseLicence, "needs a licence", "Graph says that the tenant lacks the licence. It has said so of licensed tenants, too: the stream counts as blocked only when it has been refused ten times in a row and for a quarter of an hour.",
		"Buy the named licence, or remove the stream from `streams`. After a purchase it may take a day.", buyers},
	{CauseCloud, "is not in this cloud", "The endpoint does not exist in this national cloud.", "Remove the stream from `streams`, or correct `cloud`.", ""},
	{CauseRegion, "refuses apps in this region", "The retired API does not serve apps that sign in as themselves in tenants of the EU.",
		"Use `api: graph`, or sign in as a user.", ""},
	{CauseAudience, "is for another service", "The token was issued for another address than the one that refuses it.", "Make `cloud`, `login_url` and `graph_url` belong together.", ""},
	{CauseClock, "outside the time in which it is good", "A token that was just issued counts as expired or as not valid yet.", "Set the clock of this machine, best by NTP.", ""},
	{CauseToken, "a fresh access token was refused", "A token that was just issued is not accepted.", "Make `cloud`, `login_url` and `graph_url` belong together. If they do, give the request-id in the log to Microsoft's support.", ""},
	{CauseAddress, "does not exist at", "The host answers, but has no such service.", "Correct `cloud`, `graph_url` or `api_version`.", ""},
	{CauseFilter, "the filter", "The API refuses the filter, or something on the way has taken it out of the request.", "Correct `filters`, or what changes addresses between here and Graph.", ""},
	{CauseProxy, "the proxy wants a password", "The proxy between here and Graph lets nobody pass without one.", "Let it accept this machine without one.", "whoever runs the proxy"},
	{CauseTrust, "is not trusted", "Something on the way answers with a certificate that no trusted authority has issued: as a rule a proxy that opens TLS.", "Set `tls.ca_file` to the authority's certificate.", ""},
}

// Explanations gives a copy of the table, in the order in which it is shown.
func Explanations() []Explanation { return append([]Explanation(nil), explanations...) }

// ask ends a message with whom to ask; "" where whoever reads it can mend it.
func ask(cause Cause) string {
	for _, e := range explanations {
		if e.Cause == cause && e.By != "" {
			return ": ask " + e.By
		}
	}
	return ""
}

// explained is an error with its cause.
type explained struct {
	cause Cause
	err   error
}

func explain(cause Cause, err error) error { return &explained{cause, err} }

func (e *explained) Error() string { return e.err.Error() }

// Unwrap gives the error itself, which carries class and Kind.
func (e *explained) Unwrap() error { return e.err }

// CauseOf gives the cause of err, "" if nobody can mend it or nobody knows how.
func CauseOf(err error) Cause {
	var e *explained
	if errors.As(err, &e) {
		return e.cause
	}
	return ""
}

// directoryRole is what a user needs to read the stream, the least first. Source: the reference page of each endpoint.
func (s Stream) directoryRole() string {
	switch {
	case strings.HasSuffix(s.Path, "customSecurityAttributeAudits"):
		return "Attribute Log Reader"
	case strings.HasPrefix(s.Path, "identityProtection/"), strings.HasPrefix(s.Path, "security/"):
		return "Security Reader"
	}
	return "Reports Reader or Security Reader"
}

// clockFault tells by how much this machine's clock is off, as far as that could explain anything; "" if it is right.
func (f *Fetcher) clockFault() string {
	off := f.clock.off().Round(time.Second)
	switch {
	case off > slack:
		return ": the clock of this machine is " + off.String() + " ahead"
	case off < -slack:
		return ": the clock of this machine is " + (-off).String() + " behind"
	}
	return ""
}
