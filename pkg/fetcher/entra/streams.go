package entra

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/field"
)

// The versions of Microsoft Graph.
const (
	beta = "beta"
	v1   = "v1.0"
)

// Stream is one row of the table of what can be read: everything that differs between two kinds of records.
type Stream struct {
	Name       string        // "signins.interactive"
	Path       string        // below the version: "auditLogs/signIns"
	Version    string        // of the API, unless the configuration names one
	NeedsBeta  bool          // v1.0 lacks the endpoint, or does not tell this kind of record from others
	TimeMember string        // the member that the time line runs along: filtered on, and read from each record
	Lower      operator      // of the lower bound
	Upper      operator      // of the upper bound
	BetaKind   string        // a clause of $filter that picks this kind of record, where beta can tell it; "" for none
	OrderBy    string        // $orderby; "" leaves the order to the API, which reads newest first
	Page       int           // $top, the most that the endpoint is known to give
	MostRows   int           // of a slice, where the API does not show the end of a longer one; 0: no bound
	Budget     budgetClass   // which of the service's limits its requests count against
	Moves      bool          // TimeMember is the last update: a record that changes comes back with a later time
	Permission string        // application permissions that an administrator must consent to
	Licence    string        // what the tenant needs
	Retention  time.Duration // how long records are kept for the smallest licence that has them; 0: shortRetention
	Named      bool          // patterns pass it over, only its exact name switches it on: for rows that a later release adds
	Volatile   []string      // members at a record's top level that say nothing new when they change: left out of the digest

	kind string // BetaKind if Version is beta: see in
}

// How long the service keeps records. Source:
// https://learn.microsoft.com/en-us/entra/identity/monitoring-health/reference-reports-data-retention
const (
	day            = 24 * time.Hour
	shortRetention = 7 * day // what every licence keeps
	// Users and service principals at risk are kept until they are no longer at risk, those at low risk for six months.
	riskRetention = 180 * day
)

// operator is a comparison of OData's $filter. gt and lt are for endpoints that lack ge and le; their bounds are moved
// by a second, so that the query still covers the slice.
type operator string

const (
	ge operator = "ge"
	le operator = "le"
	gt operator = "gt"
	lt operator = "lt"
)

// budgetClass is a limit of the service's own: a stream's requests count against one of them.
type budgetClass uint8

// The classes. Source: https://learn.microsoft.com/en-us/graph/throttling-limits
const (
	reports            budgetClass = iota // sign-ins, audits, provisioning: 5 requests in 10 s for one app in one tenant
	identityProtection                    // one request a second in one tenant, for all of its apps together
	security                              // 150 requests a minute for one app in one tenant
	budgetClasses
)

// spacing is the time between two requests of the class. The configuration's budget is that of the reports; where it allows
// more than a class of its own does (a simulator, a private endpoint), it holds for that one, too.
func (b budgetClass) spacing(own Budget) time.Duration {
	switch b {
	case identityProtection:
		return min(own.interval(), time.Second)
	case security:
		return min(own.interval(), time.Minute/150)
	}
	return own.interval()
}

const (
	readLogs     = "AuditLog.Read.All and Directory.Read.All"
	premium      = "Microsoft Entra ID P1 or P2"
	workloadPlan = "Microsoft Entra Workload ID Premium"
	defender     = "a Microsoft Defender product"
)

// table has every stream. Paths, time members, operators, page sizes, permissions and licences are those of the reference
// pages at https://learn.microsoft.com/en-us/graph/api/ (signin-list, directoryaudit-list, provisioningobjectsummary-list,
// riskdetection-list, riskyuser-list, security-list-alerts_v2, security-list-incidents); where a page names no largest
// page, a size that is in use elsewhere stands here.
var table = []Stream{
	signIns("signins.interactive", "interactiveUser", false),
	signIns("signins.noninteractive", "nonInteractiveUser", true),
	signIns("signins.serviceprincipal", "servicePrincipal", true),
	signIns("signins.managedidentity", "managedIdentity", true),
	{Name: "audits", Path: "auditLogs/directoryAudits", Version: v1, TimeMember: "activityDateTime", Lower: ge, Upper: le, Page: 1000,
		Permission: readLogs, Licence: "any"},
	{Name: "provisioning", Path: "auditLogs/provisioning", Version: v1, TimeMember: "activityDateTime", Lower: gt, Upper: lt, Page: 1000,
		Permission: readLogs, Licence: premium, Retention: 30 * day},
	{Name: "risk.detections", Path: "identityProtection/riskDetections", Version: v1, TimeMember: "lastUpdatedDateTime", Lower: ge, Upper: le, Page: 500,
		Budget: identityProtection, Moves: true, Permission: "IdentityRiskEvent.Read.All", Licence: premium, Retention: 30 * day},
	{Name: "risk.users", Path: "identityProtection/riskyUsers", Version: v1, TimeMember: "riskLastUpdatedDateTime", Lower: ge, Upper: le, Page: 100,
		Budget: identityProtection, Moves: true, Permission: "IdentityRiskyUser.Read.All", Licence: "Microsoft Entra ID P2", Retention: riskRetention, Volatile: []string{"isProcessing"}},
	{Name: "risk.serviceprincipals", Path: "identityProtection/riskyServicePrincipals", Version: v1, TimeMember: "riskLastUpdatedDateTime", Lower: ge, Upper: le, Page: 100,
		Budget: identityProtection, Moves: true, Permission: "IdentityRiskyServicePrincipal.Read.All", Licence: workloadPlan, Retention: riskRetention, Volatile: []string{"isProcessing"}},
	{Name: "risk.serviceprincipal_detections", Path: "identityProtection/servicePrincipalRiskDetections", Version: v1, TimeMember: "lastUpdatedDateTime", Lower: ge, Upper: le, Page: 100,
		Budget: identityProtection, Moves: true, Permission: "IdentityRiskEvent.Read.All", Licence: workloadPlan, Retention: 30 * day},
	{Name: "security.alerts", Path: "security/alerts_v2", Version: v1, TimeMember: "lastUpdateDateTime", Lower: ge, Upper: le, Page: 50,
		Budget: security, Moves: true, Permission: "SecurityAlert.Read.All", Licence: defender, Retention: 30 * day},
	{Name: "security.incidents", Path: "security/incidents", Version: v1, TimeMember: "lastUpdateDateTime", Lower: ge, Upper: le, Page: 50,
		Budget: security, Moves: true, Permission: "SecurityIncident.Read.All", Licence: defender, Retention: 30 * day},
	{Name: "attributes", Path: "auditLogs/customSecurityAttributeAudits", Version: beta, NeedsBeta: true, TimeMember: "activityDateTime", Lower: ge, Upper: le, Page: 100,
		Permission: "CustomSecAttributeAuditLogs.Read.All", Licence: "any", Retention: 30 * day},
}

// signIns is the row of one kind of sign-in. Only beta has signInEventTypes; v1.0 gives the interactive ones alone.
func signIns(name, kind string, needsBeta bool) Stream {
	return Stream{
		Name: name, Path: "auditLogs/signIns", Version: beta, NeedsBeta: needsBeta, TimeMember: "createdDateTime", Lower: ge, Upper: le, Page: 1000,
		BetaKind: "signInEventTypes/any(t: t eq '" + kind + "')", Permission: readLogs, Licence: premium,
		Retention: 30 * day,
	}
}

// DefaultStreams are read where the configuration names none.
func DefaultStreams() []string { return []string{"signins.*", "audits"} }

// Table gives a copy of the table of streams, in the order in which they are shown.
func Table() []Stream { return slices.Clone(table) }

// Lookup finds a stream by its name.
func Lookup(name string) (Stream, bool) {
	i := slices.IndexFunc(table, func(s Stream) bool { return s.Name == name })
	if i < 0 {
		return Stream{}, false
	}
	return table[i], true
}

// Streams expands patterns of path.Match ("signins.*") against the table: names in the table's order, each once. No pattern
// means DefaultStreams. A row that is Named is meant by its exact name only. A pattern that matches nothing is an error
// (*field.Error with the path "[index]").
func Streams(patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		patterns = DefaultStreams()
	}
	wanted := map[string]bool{}
	var errs []error
	for i, pattern := range patterns {
		matched := false
		for _, s := range table {
			if s.wanted(pattern) {
				matched, wanted[s.Name] = true, true
			}
		}
		if !matched {
			errs = append(errs, field.Errorf(fmt.Sprintf("[%d]", i), "%q matches no stream: there are %s", pattern, streamNames()))
		}
	}
	var names []string
	for _, s := range table {
		if wanted[s.Name] {
			names = append(names, s.Name)
		}
	}
	return names, errors.Join(errs...)
}

func (s Stream) wanted(pattern string) bool {
	if s.Named {
		return pattern == s.Name
	}
	ok, err := path.Match(pattern, s.Name)
	return err == nil && ok
}

func streamNames() string {
	var names []string
	for _, s := range table {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// in gives the row as it is for one version of the API ("": its own).
func (s Stream) in(version string) (Stream, error) {
	if version != "" {
		s.Version = version
	}
	if s.Version == v1 && s.NeedsBeta {
		return Stream{}, fmt.Errorf("%s needs beta: Microsoft Graph v1.0 has no such records; leave api_version out, or this stream", s.Name)
	}
	if s.Version == beta {
		s.kind = s.BetaKind
	}
	return s, nil
}
