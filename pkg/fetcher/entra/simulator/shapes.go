package simulator

import "strconv"

// The shapes of the records, after Graph's reference pages of signIn and directoryAudit. See compile for the notation.

const userSource = `
"id":"<id>"
"createdDateTime":"<created>"
"userDisplayName":"<username>"
"userPrincipalName":"<upn>"
"userId":"<userid>"
"appId":"<appid>"
"appDisplayName":"<appname>"
"ipAddress":"<address>"
+"ipAddressFromResourceProvider":null
"clientAppUsed":"<client>"
"userAgent":"<agent>"
"correlationId":"<correlation>"
"conditionalAccessStatus":"<access>"
+"originalRequestId":"<id>"
"isInteractive":<interactive>
+"tokenIssuerName":""
+"tokenIssuerType":"AzureAD"
+"clientCredentialType":"none"
+"processingTimeInMilliseconds":<duration>
"riskDetail":"none"
"riskLevelAggregated":"<risk>"
"riskLevelDuringSignIn":"none"
"riskState":"<riskstate>"
"riskEventTypes_v2":[<risktypes>]
"resourceDisplayName":"<resource>"
"resourceId":"<resourceid>"
"resourceTenantId":"<tenant>"
"homeTenantId":"<hometenant>"
+"homeTenantName":""
+"authenticationMethodsUsed":[]
+"authenticationRequirement":"<requirement>"
+"signInIdentifier":"<upn>"
+"signInIdentifierType":"userPrincipalName"
"servicePrincipalName":null
"servicePrincipalId":""
+"userType":"<usertype>"
+"flaggedForReview":false
+"isTenantRestricted":false
+"autonomousSystemNumber":<asn>
+"crossTenantAccessType":"<crosstenant>"
+"uniqueTokenIdentifier":"<token>"
+"incomingTokenType":"<incoming>"
+"authenticationProtocol":"none"
+"sessionId":"<correlation>"
+"authenticationContextClassReferences":[]
"status":{"errorCode":<code>,"failureReason":<reason>,"additionalDetails":<more>}
"deviceDetail":{<device>,"operatingSystem":"<os>","browser":"<browser>"}
"location":{"city":"<city>","state":"<state>","countryOrRegion":"<country>","geoCoordinates":{"altitude":null,"latitude":<latitude>,"longitude":<longitude>}}
+"mfaDetail":null
"appliedConditionalAccessPolicies":[<policies><furtherpolicies>]
+"authenticationProcessingDetails":[{"key":"Legacy TLS (TLS 1.0, 1.1, 3DES)","value":"False"},{"key":"Is CAE Token","value":"False"}]
+"networkLocationDetails":[]
+"authenticationDetails":[<steps>]
+"authenticationRequirementPolicies":[]
+"sessionLifetimePolicies":[]
+"privateLinkDetails":null
+"signInEventTypes":["<event>"]
+"managedServiceIdentity":null
`

const workloadSource = `
"id":"<id>"
"createdDateTime":"<created>"
"userDisplayName":null
"userPrincipalName":null
"userId":null
"appId":"<appid>"
"appDisplayName":"<appname>"
"ipAddress":"<address>"
+"ipAddressFromResourceProvider":null
"clientAppUsed":null
"userAgent":null
"correlationId":"<correlation>"
"conditionalAccessStatus":"<access>"
+"originalRequestId":"<id>"
"isInteractive":false
+"tokenIssuerName":null
+"tokenIssuerType":"AzureAD"
+"clientCredentialType":"<credential>"
+"processingTimeInMilliseconds":<duration>
"riskDetail":"none"
"riskLevelAggregated":"<risk>"
"riskLevelDuringSignIn":"none"
"riskState":"<riskstate>"
"riskEventTypes_v2":[<risktypes>]
"resourceDisplayName":"<resource>"
"resourceId":"<resourceid>"
"resourceTenantId":"<tenant>"
"homeTenantId":"<hometenant>"
+"homeTenantName":null
+"authenticationMethodsUsed":[]
+"authenticationRequirement":null
+"signInIdentifier":null
"servicePrincipalName":"<workloadname>"
"servicePrincipalId":"<workloadid>"
+"servicePrincipalCredentialKeyId":"<key>"
+"servicePrincipalCredentialThumbprint":""
+"userType":null
+"flaggedForReview":null
+"isTenantRestricted":null
+"autonomousSystemNumber":<asn>
+"crossTenantAccessType":"none"
+"resourceServicePrincipalId":"<resourceid>"
+"resourceOwnerTenantId":"<tenant>"
+"appOwnerTenantId":"<tenant>"
+"uniqueTokenIdentifier":"<token>"
+"incomingTokenType":"none"
+"authenticationProtocol":"none"
+"authenticationContextClassReferences":[]
+"conditionalAccessAudiences":["<resourceid>"]
+"federatedCredentialId":""
"status":{"errorCode":<code>,"failureReason":<reason>,"additionalDetails":<more>}
"deviceDetail":{"deviceId":"","displayName":null,"operatingSystem":null,"browser":null,"isCompliant":null,"isManaged":null,"trustType":null}
"location":<workloadlocation>
+"mfaDetail":null
"appliedConditionalAccessPolicies":[]
+"authenticationProcessingDetails":[]
+"networkLocationDetails":[]
+"authenticationDetails":[]
+"authenticationRequirementPolicies":[]
+"sessionLifetimePolicies":[]
+"privateLinkDetails":{"policyId":"","policyName":"","resourceId":"","policyTenantId":""}
+"signInEventTypes":["<event>"]
+"managedServiceIdentity":<managed>
`

const auditSource = `
"id":"<id>"
"category":"<category>"
"correlationId":"<correlation>"
"result":"<result>"
"resultReason":"<resultreason>"
"activityDisplayName":"<activity>"
"activityDateTime":"<created>"
"loggedByService":"<service>"
"operationType":"<operation>"
+"userAgent":"<agent>"
"initiatedBy":<initiator>
"targetResources":[<targets>]
"additionalDetails":[{"key":"User-Agent","value":"<agent>"},{"key":"TenantId","value":"<tenant>"},{"key":"EventSource","value":"Directory"},{"key":"AppOwnerOrganizationId","value":"<tenant>"},{"key":"Target Object Id","value":"<correlation>"}<detail>]
`

var (
	userTemplate     = compile(userSource, fields)
	workloadTemplate = compile(workloadSource, fields)
	auditTemplate    = compile(auditSource, auditFields)
)

func choose(when func(r *traits) bool, yes, no string) field {
	return literal(func(r *traits) string {
		if when(r) {
			return yes
		}
		return no
	})
}

// risky says whether an update has found a risk.
func risky(r *traits) bool { return r.version > 0 && !r.passed }

var fields = map[string]field{
	"id": appendID, "created": appendCreated, "username": appendUserName, "upn": appendUPN, "userid": appendUserID,
	"appid": appendAppID, "appname": appendAppName, "address": appendAddress, "correlation": appendCorrelation,
	"tenant": appendTenant, "hometenant": appendHomeTenant, "duration": appendDuration, "token": appendTokenID,
	"latitude": appendLatitude, "longitude": appendLongitude, "steps": appendSteps,
	"workloadname": appendWorkloadName, "workloadid": appendWorkloadID, "workloadlocation": appendWorkloadLocation, "managed": appendManaged,
	"client":          literal(func(r *traits) string { return r.app.client }),
	"resource":        literal(func(r *traits) string { return r.app.resource }),
	"resourceid":      literal(func(r *traits) string { return r.app.resourceID }),
	"agent":           literal(func(r *traits) string { return r.device.agent }),
	"device":          literal(func(r *traits) string { return r.device.detail }),
	"os":              literal(func(r *traits) string { return r.device.os }),
	"browser":         literal(func(r *traits) string { return r.device.browser }),
	"city":            literal(func(r *traits) string { return r.where.city }),
	"state":           literal(func(r *traits) string { return r.where.state }),
	"country":         literal(func(r *traits) string { return r.where.country }),
	"asn":             literal(func(r *traits) string { return r.where.asn }),
	"code":            literal(func(r *traits) string { return r.outcome.code }),
	"reason":          literal(func(r *traits) string { return r.outcome.reason }),
	"more":            literal(func(r *traits) string { return r.outcome.more }),
	"access":          literal(func(r *traits) string { return r.outcome.access }),
	"policies":        literal(func(r *traits) string { return policies[r.outcome.access] }),
	"furtherpolicies": choose(func(r *traits) bool { return r.index%3 == 0 }, furtherPolicies, ""),
	"event":           literal(func(r *traits) string { return eventTypeNames[r.stream] }),
	"interactive":     choose(func(r *traits) bool { return r.stream == streamInteractive }, "true", "false"),
	"incoming":        choose(func(r *traits) bool { return r.stream == streamInteractive }, "none", "primaryRefreshToken"),
	"usertype":        choose((*traits).guest, "guest", "member"),
	"crosstenant":     choose((*traits).guest, "b2bCollaboration", "none"),
	"requirement":     choose((*traits).mfa, "multiFactorAuthentication", "singleFactorAuthentication"),
	"risk":            choose(risky, "medium", "none"),
	"riskstate":       choose(risky, "atRisk", "none"),
	"risktypes":       choose(risky, `"unfamiliarFeatures"`, ""),
	"credential":      choose(func(r *traits) bool { return r.stream == streamManagedIdentity }, "managedIdentity", "clientSecret"),
	"key":             func(dst []byte, r *traits) []byte { return r.workload(dst, saltDetail) },
}

var targetFields = map[string]field{
	"group":        func(dst []byte, r *traits) []byte { return r.workload(dst, saltTarget2) },
	"number":       func(dst []byte, r *traits) []byte { return strconv.AppendInt(dst, r.user%40, 10) },
	"target":       func(dst []byte, r *traits) []byte { return r.userID(dst, r.targetUser()) },
	"targetname":   func(dst []byte, r *traits) []byte { return r.userName(dst, r.targetUser()) },
	"targetupn":    func(dst []byte, r *traits) []byte { return r.upn(dst, r.targetUser()) },
	"workloadname": appendWorkloadName,
}

var auditFields = map[string]field{
	"id": appendID, "created": appendCreated, "correlation": appendCorrelation, "tenant": appendTenant,
	"initiator": appendInitiator, "targets": appendTargets,
	"category":     literal(func(r *traits) string { return r.activity.category }),
	"activity":     literal(func(r *traits) string { return r.activity.name }),
	"service":      literal(func(r *traits) string { return r.activity.service }),
	"operation":    literal(func(r *traits) string { return r.activity.operation }),
	"agent":        literal(func(r *traits) string { return r.device.agent }),
	"result":       choose((*traits).failed, "failure", "success"),
	"resultreason": choose((*traits).failed, "Microsoft.Online.DirectoryServices.AuthorizationDeniedException", ""),
	"detail":       choose(risky, `,{"key":"ReviewedBy","value":"Identity Governance"}`, ""),
}

func (r *traits) failed() bool { return r.activity.fails && draw(r.key, saltNumber)%8 == 0 }

func (r *traits) targetUser() int64 { return int64(draw(r.key, saltTarget) % userCount) }

// appendSteps prints authenticationDetails. Of an interrupted sign-in only the first factor is known.
func appendSteps(dst []byte, r *traits) []byte {
	if r.stream == streamNonInteractive {
		return dst
	}
	dst = append(dst, `{"authenticationStepDateTime":"`...)
	dst = appendStepTime(dst, r)
	dst = append(dst, `","authenticationMethod":"Password","authenticationMethodDetail":"Password in the cloud","succeeded":`...)
	if r.outcome.code == "50126" || r.outcome.code == "50053" {
		return append(dst, `false,"authenticationStepResultDetail":"Invalid username or password or Invalid on-premise username or password.","authenticationStepRequirement":""}`...)
	}
	dst = append(dst, `true,"authenticationStepResultDetail":"Correct password","authenticationStepRequirement":""}`...)
	if !r.mfa() || r.outcome.interrupt {
		return dst
	}
	dst = append(dst, `,{"authenticationStepDateTime":"`...)
	dst = appendTime(dst, r.at+20*ticksPerSecond)
	dst = append(dst, `","authenticationMethod":"Mobile app notification","authenticationMethodDetail":null,"succeeded":`...)
	if r.outcome.code != "0" {
		return append(dst, `false,"authenticationStepResultDetail":"MFA denied; user declined the authentication","authenticationStepRequirement":""}`...)
	}
	return append(dst, `true,"authenticationStepResultDetail":"MFA successfully completed","authenticationStepRequirement":""}`...)
}

// appendWorkloadLocation prints a location; managed identities have none, which shows as coordinates of zero.
func appendWorkloadLocation(dst []byte, r *traits) []byte {
	if r.stream == streamManagedIdentity {
		return append(dst, `{"city":"","state":"","countryOrRegion":"","geoCoordinates":{"altitude":null,"latitude":0,"longitude":0}}`...)
	}
	dst = append(dst, `{"city":"`+r.where.city+`","state":"`+r.where.state+`","countryOrRegion":"`+r.where.country+`","geoCoordinates":{"altitude":null,"latitude":`...)
	dst = appendLatitude(dst, r)
	dst = append(dst, `,"longitude":`...)
	return append(appendLongitude(dst, r), "}}"...)
}

func appendManaged(dst []byte, r *traits) []byte {
	if r.stream != streamManagedIdentity {
		return append(dst, `{"msiType":"none","associatedResourceId":"","federatedTokenId":"","federatedTokenIssuer":""}`...)
	}
	dst = append(dst, `{"msiType":"userAssigned","associatedResourceId":"/subscriptions/`...)
	dst = r.workload(dst, saltNumber)
	dst = append(dst, `/resourcegroups/rg-apps/providers/Microsoft.ManagedIdentity/userAssignedIdentities/`...)
	dst = appendWorkloadName(dst, r)
	return append(dst, `","federatedTokenId":"","federatedTokenIssuer":""}`...)
}

func appendInitiator(dst []byte, r *traits) []byte {
	if r.byApp() {
		dst = append(dst, `{"user":null,"app":{"appId":"`...)
		dst = appendWorkloadAppID(dst, r)
		dst = append(dst, `","displayName":"`...)
		dst = appendWorkloadName(dst, r)
		dst = append(dst, `","servicePrincipalId":"`...)
		dst = appendWorkloadID(dst, r)
		return append(dst, `","servicePrincipalName":null}}`...)
	}
	dst = append(dst, `{"user":{"id":"`...)
	dst = appendUserID(dst, r)
	dst = append(dst, `","displayName":"`...)
	dst = appendUserName(dst, r)
	dst = append(dst, `","userPrincipalName":"`...)
	dst = appendUPN(dst, r)
	dst = append(dst, `","ipAddress":"`...)
	dst = appendAddress(dst, r)
	return append(dst, `","userType":null,"homeTenantId":null,"homeTenantName":null},"app":null}`...)
}

func appendTargets(dst []byte, r *traits) []byte {
	dst = r.activity.targets.append(dst, r)
	if r.activity.category != "GroupManagement" {
		return dst
	}
	dst = append(dst, `,{"id":"`...)
	dst = r.workload(dst, saltTarget2)
	return append(dst, `","displayName":null,"type":"Group","userPrincipalName":null,"groupType":"azureAD","modifiedProperties":[]}`...)
}
