package simulator

import "strconv"

// The shapes of the records beyond sign-ins and audits, after Graph's reference pages of provisioningObjectSummary, riskDetection, riskyUser,
// riskyServicePrincipal, servicePrincipalRiskDetection, security.alert and security.incident. See compile for the notation.

const attributeCategory = "AttributeManagement"

var attributeActivities = []activity{
	{name: "Add custom security attribute definition in an attribute set", category: attributeCategory, service: "Core Directory", operation: "Add",
		targets: compileTargets(targetUser, `"Name",null,"\"Project<number>\""`, `"Type",null,"\"String\""`)},
	{name: "Update attribute values assigned to a user", category: attributeCategory, service: "Core Directory", operation: "Update", fails: true,
		targets: compileTargets(targetUser, `"CustomSecurityAttributes","{}","{\"Engineering\":{\"Project<number>\":\"Baker\"}}"`)},
}

// furtherTraits fills in what the streams beyond audits need.
func (g *generator) furtherTraits(r *traits) {
	r.created = r.at
	if moving(r.stream) {
		r.created = g.time(r.index)
	}
	switch r.stream {
	case streamRiskUsers, streamRiskServicePrincipals:
		r.user = r.index // there is one record for each of them
	case streamServicePrincipalDetections:
		r.user = int64(draw(r.key, saltUser) % workloadCount)
	case streamAttributes:
		r.activity = &attributeActivities[draw(r.key, saltOutcome)%uint64(len(attributeActivities))]
		fallthrough
	default:
		r.user = int64(draw(r.key, saltUser) % userCount)
	}
}

const provisioningSource = `
"id":"<id>"
"activityDateTime":"<updated>"
"tenantId":"<tenant>"
"jobId":"Azure2Workday.<tenant>"
"cycleId":"<correlation>"
"changeId":"<request>"
"provisioningAction":"<action>"
"durationInMilliseconds":<duration>
"servicePrincipal":{"id":"<workloadid>","displayName":"<workloadname>"}
"sourceSystem":{"id":"<key>","displayName":"Microsoft Entra ID","details":{}}
"targetSystem":{"id":"<workloadid>","displayName":"<workloadname>","details":{"ApplicationId":"<appid>","ServicePrincipalId":"<workloadid>"}}
"initiatedBy":{"id":"","displayName":"Microsoft Entra provisioning service","initiatorType":"system"}
"sourceIdentity":{"id":"<userid>","displayName":"<username>","identityType":"User","details":{"userPrincipalName":"<upn>"}}
"targetIdentity":{"id":"<index>","displayName":"<username>","identityType":"User","details":{}}
"provisioningStatusInfo":{"status":"<outcome>","errorInformation":<failure>}
"provisioningSteps":[{"name":"EntryImport","provisioningStepType":"import","status":"success","description":"Received the user from Microsoft Entra ID","details":{}},{"name":"EntryExport","provisioningStepType":"export","status":"<outcome>","description":null,"details":{}}]
"modifiedProperties":[{"displayName":"displayName","oldValue":null,"newValue":"<username>"}]
`

const riskSource = `
"riskEventType":"<eventtype>"
"riskState":"<riskstate>"
"riskLevel":"<risklevel>"
"riskDetail":"<riskdetail>"
"source":"IdentityProtection"
"detectionTimingType":"<timing>"
"tokenIssuerType":"AzureAD"
"ipAddress":"<address>"
"location":{"city":"<city>","state":"<state>","countryOrRegion":"<country>","geoCoordinates":{"latitude":<latitude>,"longitude":<longitude>}}
"activityDateTime":"<happened>"
"detectedDateTime":"<detected>"
"lastUpdatedDateTime":"<updated>"
"additionalInfo":"[{\"Key\":\"alertUrl\",\"Value\":null},{\"Key\":\"userAgent\",\"Value\":\"example\"}]"
`

const detectionSource = `
"id":"<id>"
"requestId":"<request>"
"correlationId":"<correlation>"
"activity":"signin"
"userId":"<userid>"
"userDisplayName":"<username>"
"userPrincipalName":"<upn>"
+"mitreTechniqueId":"T1078"` + riskSource

const workloadDetectionSource = `
"id":"<id>"
"requestId":null
"correlationId":"<correlation>"
"activity":"servicePrincipal"
"servicePrincipalId":"<workloadid>"
"servicePrincipalDisplayName":"<workloadname>"
"appId":"<workloadappid>"
"keyIds":["<key>"]` + riskSource

const riskyUserSource = `
"id":"<id>"
"isDeleted":false
"isProcessing":false
"riskLevel":"<risklevel>"
"riskState":"<riskstate>"
"riskDetail":"<riskdetail>"
"riskLastUpdatedDateTime":"<updated>"
"userDisplayName":"<username>"
"userPrincipalName":"<upn>"
`

const riskyWorkloadSource = `
"id":"<id>"
"appId":"<workloadappid>"
"displayName":"<workloadname>"
"isEnabled":true
"isProcessing":false
"riskLevel":"<risklevel>"
"riskState":"<riskstate>"
"riskDetail":"<riskdetail>"
"riskLastUpdatedDateTime":"<updated>"
"servicePrincipalType":"Application"
`

const alertSource = `
"id":"<id>"
"providerAlertId":"<request>"
"incidentId":"<incident>"
"tenantId":"<tenant>"
"title":"Unfamiliar sign-in properties"
"description":"Sign-in with properties that are not familiar for the user."
"category":"InitialAccess"
"severity":"<severity>"
"status":"<status>"
"classification":<verdict>
"determination":null
"serviceSource":"<servicesource>"
"detectionSource":"<servicesource>"
"productName":"Microsoft Defender XDR"
"detectorId":"UnfamiliarLocation"
"createdDateTime":"<detected>"
"lastUpdateDateTime":"<updated>"
"resolvedDateTime":<resolved>
"firstActivityDateTime":"<happened>"
"lastActivityDateTime":"<happened>"
"assignedTo":null
"mitreTechniques":["T1078"]
"alertWebUrl":"https://security.example.com/alerts/<id>"
"incidentWebUrl":"https://security.example.com/incidents/<incident>"
"comments":[]
"evidence":[{"@odata.type":"#microsoft.graph.security.userEvidence","createdDateTime":"<detected>","verdict":"suspicious","roles":["compromised"],"userAccount":{"accountName":"<username>","azureAdUserId":"<userid>","userPrincipalName":"<upn>"}},{"@odata.type":"#microsoft.graph.security.ipEvidence","createdDateTime":"<detected>","verdict":"suspicious","ipAddress":"<address>"}]
"systemTags":[]
`

const incidentSource = `
"id":"<id>"
"tenantId":"<tenant>"
"displayName":"Initial access incident involving one user"
"createdDateTime":"<detected>"
"lastUpdateDateTime":"<updated>"
"severity":"<severity>"
"status":"<status>"
"classification":<verdict>
"determination":null
"assignedTo":null
"lastModifiedBy":"Microsoft 365 Defender"
"redirectIncidentId":null
"incidentWebUrl":"https://security.example.com/incidents/<id>"
"priorityScore":<index>
"customTags":[]
"systemTags":[]
"comments":[]
`

var furtherTemplates = map[int]*template{
	streamProvisioning:               compiled(provisioningSource),
	streamRiskDetections:             compiled(detectionSource),
	streamRiskUsers:                  compiled(riskyUserSource),
	streamRiskServicePrincipals:      compiled(riskyWorkloadSource),
	streamServicePrincipalDetections: compiled(workloadDetectionSource),
	streamAlerts:                     compiled(alertSource),
	streamIncidents:                  compiled(incidentSource),
}

func compiled(source string) *template {
	t := compile(source, furtherFields)
	return &t
}

var furtherFields = map[string]field{
	"id": appendID, "updated": appendCreated, "tenant": appendTenant, "correlation": appendCorrelation, "duration": appendDuration,
	"username": appendUserName, "upn": appendUPN, "userid": appendUserID, "address": appendAddress, "appid": appendAppID,
	"workloadid": appendWorkloadID, "workloadname": appendWorkloadName, "workloadappid": appendWorkloadAppID,
	"latitude": appendLatitude, "longitude": appendLongitude,
	"key": func(dst []byte, r *traits) []byte { return r.workload(dst, saltDetail) },
	"request": func(dst []byte, r *traits) []byte {
		return appendGUID(dst, draw(r.key, saltTarget), draw(r.key, saltTarget2))
	},
	"index":    func(dst []byte, r *traits) []byte { return strconv.AppendInt(dst, r.index, 10) },
	"incident": func(dst []byte, r *traits) []byte { return strconv.AppendInt(dst, 1000+r.index/2, 10) },
	"happened": func(dst []byte, r *traits) []byte { return appendTime(dst, r.created-300*ticksPerSecond) },
	"detected": func(dst []byte, r *traits) []byte { return appendTime(dst, r.created) },
	"city":     literal(func(r *traits) string { return r.where.city }),
	"state":    literal(func(r *traits) string { return r.where.state }),
	"country":  literal(func(r *traits) string { return r.where.country }),

	"action":     oneOf("create", "update", "disable", "other"),
	"eventtype":  oneOf("unfamiliarFeatures", "anonymizedIPAddress", "leakedCredentials", "anomalousToken", "passwordSpray", "suspiciousAPITraffic"),
	"timing":     oneOf("realtime", "nearRealtime", "offline"),
	"risklevel":  oneOf("low", "medium", "high"),
	"severity":   oneOf("informational", "low", "medium", "high"),
	"status":     changed("new", "resolved"),
	"riskstate":  changed("atRisk", "remediated"),
	"riskdetail": changed("none", "userPerformedSecuredPasswordReset", younger("userChangedPasswordOnPremises"), younger("adminDismissedRiskForSignIn")),
	"verdict":    changed("null", `"truePositive"`),
	"resolved": func(dst []byte, r *traits) []byte {
		if r.version == 0 {
			return append(dst, "null"...)
		}
		return append(appendTime(append(dst, '"'), r.at), '"')
	},
	"servicesource": oneOf("azureAdIdentityProtection", "microsoftDefenderForIdentity", younger("microsoftSentinel"), younger("microsoftDefenderForCloud")),
	"outcome":       choose(failedProvisioning, "failure", "success"),
	"failure":       choose(failedProvisioning, `{"errorCode":"InvalidDomain","reason":"The domain is not verified.","errorCategory":"nonServiceFailure","recommendedAction":null,"additionalDetails":null}`, "null"),
}

// younger marks a member of an enumeration that is younger than the API's version: it stands behind unknownFutureValue, which is
// shown in its place to clients that do not ask for it.
func younger(member string) string { return "?" + member }

func (r *traits) member(name string) string {
	switch {
	case name[0] != '?':
		return name
	case r.hides:
		return "unknownFutureValue"
	}
	return name[1:]
}

func oneOf(members ...string) field {
	return literal(func(r *traits) string { return r.member(members[draw(r.key, saltOutcome)%uint64(len(members))]) })
}

// changed is a field that a record has at first, and one of those that it changes to.
func changed(first string, then ...string) field {
	return literal(func(r *traits) string {
		if r.version == 0 {
			return first
		}
		return r.member(then[draw(r.key, saltNumber)%uint64(len(then))])
	})
}

func failedProvisioning(r *traits) bool { return draw(r.key, saltNumber)%8 == 0 }
