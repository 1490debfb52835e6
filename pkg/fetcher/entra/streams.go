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
	Permission string        // application permissions that an administrator must consent to
	Licence    string        // what the tenant needs
	Retention  time.Duration // how long records are kept for the smallest licence that has them; 0: shortRetention
	Later      bool          // known, but not offered yet: nothing has proved the row
	Volatile   []string      // members at a record's top level that say nothing new when they change: left out of the digest

	kind string // BetaKind if Version is beta: see in
}

// How long the service keeps records. Source:
// https://learn.microsoft.com/en-us/entra/identity/monitoring-health/reference-reports-data-retention
const (
	day            = 24 * time.Hour
	shortRetention = 7 * day // what every licence keeps
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
	{Later: true, Name: "provisioning", Path: "auditLogs/provisioning", Version: v1, TimeMember: "activityDateTime", Lower: gt, Upper: lt, Page: 1000,
		Permission: readLogs, Licence: premium, Retention: 30 * day},
	{Later: true, Name: "risk.detections", Path: "identityProtection/riskDetections", Version: v1, TimeMember: "lastUpdatedDateTime", Lower: ge, Upper: le, Page: 500,
		Permission: "IdentityRiskEvent.Read.All", Licence: premium, Retention: 30 * day},
	{Later: true, Name: "risk.users", Path: "identityProtection/riskyUsers", Version: v1, TimeMember: "riskLastUpdatedDateTime", Lower: ge, Upper: le, Page: 100,
		Permission: "IdentityRiskyUser.Read.All", Licence: "Microsoft Entra ID P2", Retention: 90 * day, Volatile: []string{"isProcessing"}},
	{Later: true, Name: "risk.serviceprincipals", Path: "identityProtection/riskyServicePrincipals", Version: v1, TimeMember: "riskLastUpdatedDateTime", Lower: ge, Upper: le, Page: 100,
		Permission: "IdentityRiskyServicePrincipal.Read.All", Licence: workloadPlan, Retention: 90 * day, Volatile: []string{"isProcessing"}},
	{Later: true, Name: "risk.serviceprincipal_detections", Path: "identityProtection/servicePrincipalRiskDetections", Version: v1, TimeMember: "lastUpdatedDateTime", Lower: ge, Upper: le, Page: 100,
		Permission: "IdentityRiskEvent.Read.All", Licence: workloadPlan, Retention: 90 * day},
	{Later: true, Name: "security.alerts", Path: "security/alerts_v2", Version: v1, TimeMember: "lastUpdateDateTime", Lower: ge, Upper: le, Page: 50,
		Permission: "SecurityAlert.Read.All", Licence: defender},
	{Later: true, Name: "security.incidents", Path: "security/incidents", Version: v1, TimeMember: "lastUpdateDateTime", Lower: ge, Upper: le, Page: 50,
		Permission: "SecurityIncident.Read.All", Licence: defender},
	{Later: true, Name: "attributes", Path: "auditLogs/customSecurityAttributeAudits", Version: beta, NeedsBeta: true, TimeMember: "activityDateTime", Lower: ge, Upper: le, Page: 100,
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
// means DefaultStreams. A pattern that matches nothing is an error (*field.Error with the path "[index]").
func Streams(patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		patterns = DefaultStreams()
	}
	wanted := map[string]bool{}
	var errs []error
	for i, pattern := range patterns {
		matched := false
		later := false
		for _, s := range table {
			if ok, err := path.Match(pattern, s.Name); err == nil && ok {
				later = later || s.Later
				matched = matched || !s.Later
				wanted[s.Name] = !s.Later
			}
		}
		switch {
		case matched:
		case later:
			errs = append(errs, field.Errorf(fmt.Sprintf("[%d]", i), "%q is not available in this version: there are %s", pattern, streamNames()))
		default:
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

func streamNames() string {
	var names []string
	for _, s := range table {
		if !s.Later {
			names = append(names, s.Name)
		}
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
