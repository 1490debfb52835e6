package simulator

import (
	"maps"
	"path"
	"slices"
)

// The names of the streams beyond the default ones.
const (
	Provisioning               = "provisioning"
	RiskDetections             = "risk.detections"
	RiskUsers                  = "risk.users"
	RiskServicePrincipals      = "risk.serviceprincipals"
	ServicePrincipalDetections = "risk.serviceprincipal_detections"
	Alerts                     = "security.alerts"
	Incidents                  = "security.incidents"
	Attributes                 = "attributes"
)

var allStreams = append(Streams(), Provisioning, RiskDetections, RiskUsers, RiskServicePrincipals, ServicePrincipalDetections, Alerts, Incidents, Attributes)

// AllStreams returns the names of all streams: those of Streams, then the others.
func AllStreams() []string { return slices.Clone(allStreams) }

// Roles are the application permissions that read all streams.
func Roles() []string {
	roles := []string{roleAuditLog, "Directory.Read.All"}
	for _, name := range slices.Sorted(maps.Keys(collections)) {
		if of := collections[name]; !slices.Contains(roles, of.role) {
			roles = append(roles, of.role)
		}
	}
	return roles
}

// streamSet is a set of streams, one bit per index into AllStreams.
type streamSet = uint16

// moving says whether a stream is ordered by the last update: a record that changes goes to the end.
func moving(stream int) bool { return stream >= streamRiskDetections && stream <= streamIncidents }

const maxPage = 1000 // of sign-ins and audits

// collection is an entity set.
// Sources: the list pages of the reference at https://learn.microsoft.com/en-us/graph/api/. Where one names no largest page, the
// size stands here that is in use; where one names no order, rows come oldest first, so that nobody relies on any.
type collection struct {
	path       string // below the version, as nextLink spells it
	stream     int    // -1: signIns has several
	typeName   string
	time       string
	operators  []operator // on time, eq aside
	properties []string   // text ones that can be filtered on
	role       string     // application permission
	premium    bool       // not there for Tenant.Free
	onlyBeta   bool
	page       int  // without $top
	maxPage    int  // more is refused
	oldest     bool // first, without $orderby
	noOrder    bool // $orderby is refused
}

var (
	allOperators = []operator{opGe, opLe, opGt, opLt}
	geLe         = []operator{opGe, opLe}
	gtLt         = []operator{opGt, opLt}
)

var (
	signIns = &collection{path: "auditLogs/signIns", stream: -1, typeName: "microsoft.graph.signIn", time: "createdDateTime", operators: allOperators,
		properties: []string{"id", "userId", "userPrincipalName", "appId", "appDisplayName", "correlationId", "ipAddress", errorCode},
		role:       roleAuditLog, premium: true, page: maxPage, maxPage: maxPage}
	directoryAudits = &collection{path: "auditLogs/directoryAudits", stream: streamAudits, typeName: "microsoft.graph.directoryAudit", time: "activityDateTime",
		operators: allOperators, properties: auditProperties, role: roleAuditLog, page: maxPage, maxPage: maxPage}
)

var auditProperties = []string{"id", "correlationId", "activityDisplayName", "category", "loggedByService", "initiatedBy/user/id",
	"initiatedBy/user/userPrincipalName", initiatorName, "initiatedBy/app/appId", "initiatedBy/app/displayName", targets + "/id", targets + "/displayName"}

// collections by their path in lower case.
var collections = map[string]*collection{
	"auditlogs/signins":         signIns,
	"auditlogs/directoryaudits": directoryAudits,
	"auditlogs/provisioning": {path: "auditLogs/provisioning", stream: streamProvisioning, typeName: "microsoft.graph.provisioningObjectSummary", time: "activityDateTime",
		operators: gtLt, properties: []string{"changeId", "cycleId", "jobId", "tenantId", "servicePrincipal/id"}, role: roleAuditLog, premium: true,
		page: maxPage, maxPage: maxPage, oldest: true},
	"auditlogs/customsecurityattributeaudits": {path: "auditLogs/customSecurityAttributeAudits", stream: streamAttributes, typeName: "microsoft.graph.customSecurityAttributeAudit",
		time: "activityDateTime", operators: geLe, properties: auditProperties, role: "CustomSecAttributeAuditLogs.Read.All", onlyBeta: true, page: 100, maxPage: 100, oldest: true},
	"identityprotection/riskdetections": {path: "identityProtection/riskDetections", stream: streamRiskDetections, typeName: "microsoft.graph.riskDetection",
		time: "lastUpdatedDateTime", operators: allOperators, properties: []string{"id", "userId", "userPrincipalName", "riskEventType", "riskLevel", "riskState", "ipAddress"},
		role: "IdentityRiskEvent.Read.All", premium: true, page: 20, maxPage: 500, oldest: true},
	"identityprotection/riskyusers": {path: "identityProtection/riskyUsers", stream: streamRiskUsers, typeName: "microsoft.graph.riskyUser",
		time: "riskLastUpdatedDateTime", operators: allOperators, properties: []string{"id", "userPrincipalName", "riskLevel", "riskState", "riskDetail"},
		role: "IdentityRiskyUser.Read.All", premium: true, page: 20, maxPage: 100, oldest: true},
	"identityprotection/riskyserviceprincipals": {path: "identityProtection/riskyServicePrincipals", stream: streamRiskServicePrincipals, typeName: "microsoft.graph.riskyServicePrincipal",
		time: "riskLastUpdatedDateTime", operators: allOperators, properties: []string{"id", "appId", "riskLevel", "riskState"},
		role: "IdentityRiskyServicePrincipal.Read.All", premium: true, page: 20, maxPage: 100, oldest: true, noOrder: true},
	"identityprotection/serviceprincipalriskdetections": {path: "identityProtection/servicePrincipalRiskDetections", stream: streamServicePrincipalDetections,
		typeName: "microsoft.graph.servicePrincipalRiskDetection", time: "lastUpdatedDateTime", operators: allOperators,
		properties: []string{"id", "appId", "servicePrincipalId", "riskEventType", "riskLevel", "riskState"},
		role:       "IdentityRiskEvent.Read.All", premium: true, page: 20, maxPage: 100, oldest: true, noOrder: true},
	"security/alerts_v2": {path: "security/alerts_v2", stream: streamAlerts, typeName: "microsoft.graph.security.alert", time: "lastUpdateDateTime", operators: allOperators,
		properties: []string{"id", "assignedTo", "classification", "determination", "severity", "serviceSource", "status"},
		role:       "SecurityAlert.Read.All", page: 50, maxPage: 50, noOrder: true},
	"security/incidents": {path: "security/incidents", stream: streamIncidents, typeName: "microsoft.graph.security.incident", time: "lastUpdateDateTime", operators: allOperators,
		properties: []string{"id", "assignedTo", "classification", "determination", "severity", "status"},
		role:       "SecurityIncident.Read.All", page: 50, maxPage: 50, noOrder: true},
}

// name is the entity set's own name, the last segment of its path.
func (of *collection) name() string { return path.Base(of.path) }

// group is the first segment of the path: whose limits apply.
func (of *collection) group() string { return path.Dir(of.path) }

// takes says whether the time can be compared so.
func (of *collection) takes(op operator) bool { return op == opEq || slices.Contains(of.operators, op) }
