package filter

import "strings"

// kind is what a field's values look like in a filter.
type kind uint8

const (
	unknown kind = iota // no such field
	text                // 'x': strings, GUIDs, enumerations
	instant             // 2026-01-31T08:00:00Z, without quotes
	number              // 0, true
	other               // a complex value or a collection: what lies below is not judged
)

// fields has the names of each collection's members. Sources: the resource pages at https://learn.microsoft.com/en-us/graph/api/resources/
// (signIn and directoryAudit in beta, which has all that v1.0 has), and the reference pages of the older API.
var fields = map[Dialect]map[string]map[string]kind{
	Graph: {
		"signins": list(
			`id alternateSignInName appDisplayName appId appOwnerTenantId appTokenProtectionStatus authenticationProtocol authenticationRequirement
			 azureResourceId clientAppUsed clientCredentialType clientSessionId conditionalAccessStatus correlationId crossTenantAccessType
			 federatedCredentialId globalSecureAccessIpAddress homeTenantId homeTenantName incomingTokenType ipAddress ipAddressFromResourceProvider
			 originalRequestId originalTransferMethod resourceDisplayName resourceId resourceOwnerTenantId resourceServicePrincipalId resourceTenantId
			 riskDetail riskLevelAggregated riskLevelDuringSignIn riskState servicePrincipalCredentialKeyId servicePrincipalCredentialThumbprint
			 servicePrincipalId servicePrincipalName sessionId signInIdentifier signInIdentifierType signInTokenProtectionStatus tokenIssuerName
			 tokenIssuerType uniqueTokenIdentifier userAgent userDisplayName userId userPrincipalName userType`,
			`createdDateTime`,
			`autonomousSystemNumber flaggedForReview isInteractive isTenantRestricted isThroughGlobalSecureAccess processingTimeInMilliseconds status/errorCode`,
			`appliedConditionalAccessPolicies appliedEventListeners authenticationAppDeviceDetails authenticationAppPolicyEvaluationDetails
			 authenticationContextClassReferences authenticationDetails authenticationMethodsUsed authenticationProcessingDetails
			 authenticationRequirementPolicies conditionalAccessAudiences deviceDetail location managedServiceIdentity mfaDetail networkLocationDetails
			 privateLinkDetails riskEventTypes riskEventTypes_v2 sessionLifetimePolicies signInEventTypes status tokenProtectionStatusDetails`),
		"audits":     auditFields,
		"attributes": auditFields,
		"provisioning": list(`id changeId cycleId jobId tenantId provisioningAction`, `activityDateTime`, `durationInMilliseconds`,
			`initiatedBy modifiedProperties provisioningStatusInfo provisioningSteps servicePrincipal sourceIdentity sourceSystem targetIdentity targetSystem`),
		"risk.detections": list(`id requestId correlationId riskEventType riskState riskLevel riskDetail riskType source detectionTimingType activity tokenIssuerType
			 ipAddress userId userDisplayName userPrincipalName additionalInfo mitreTechniqueId`, `activityDateTime detectedDateTime lastUpdatedDateTime`, ``, `location`),
		"risk.serviceprincipal_detections": list(`id requestId correlationId riskEventType riskState riskLevel riskDetail source detectionTimingType activity
			 tokenIssuerType ipAddress appId servicePrincipalId servicePrincipalDisplayName additionalInfo mitreTechniqueId`,
			`activityDateTime detectedDateTime lastUpdatedDateTime`, ``, `location keyIds`),
		"risk.users": list(`id riskDetail riskLevel riskState userDisplayName userPrincipalName`, `riskLastUpdatedDateTime`, `isDeleted isProcessing`, `history`),
		"risk.serviceprincipals": list(`id appId displayName riskDetail riskLevel riskState servicePrincipalType`, `riskLastUpdatedDateTime`,
			`isEnabled isProcessing`, `history`),
		"security.alerts": list(`id providerAlertId incidentId tenantId title description category severity status classification determination serviceSource
			 detectionSource productName detectorId assignedTo actorDisplayName threatDisplayName threatFamilyName alertWebUrl incidentWebUrl
			 investigationState recommendedActions alertPolicyId`,
			`createdDateTime lastUpdateDateTime resolvedDateTime firstActivityDateTime lastActivityDateTime`, ``,
			`categories comments evidence mitreTechniques systemTags customDetails additionalData`),
		"security.incidents": list(`id displayName status severity classification determination assignedTo lastModifiedBy redirectIncidentId summary
			 resolvingComment tenantId incidentWebUrl description`, `createdDateTime lastUpdateDateTime`, `priorityScore`, `customTags systemTags comments alerts`),
	},
	AzureAD: {
		"signins": list(`id userId userPrincipalName appId appDisplayName loginStatus`, `signinDateTime`, ``, ``),
		"audits":  list(`id category activity activityType`, `activityDate`, `activityStatus`, `actor target targets`),
	},
}

var auditFields = list(`id activityDisplayName category correlationId loggedByService operationType result resultReason userAgent`,
	`activityDateTime`, ``, `additionalDetails initiatedBy performedBy targetResources`)

func list(texts, times, numbers, others string) map[string]kind {
	all := map[string]kind{}
	for k, names := range map[kind]string{text: texts, instant: times, number: numbers, other: others} {
		for name := range strings.FieldsSeq(names) {
			all[name] = k
		}
	}
	return all
}

// fieldsOf gives the fields of a stream; nil if they are not known.
func fieldsOf(d Dialect, stream string) map[string]kind {
	if known := fields[d][stream]; known != nil {
		return known
	}
	return fields[d][family(stream)]
}

// family is what the streams of one collection have in common.
func family(stream string) string {
	name, _, _ := strings.Cut(stream, ".")
	return name
}

// otherNames are what a field is called by somebody who knows the other API, or another stream.
var otherNames = map[Dialect]map[string]map[string]string{
	Graph: {
		"signins": {"signindatetime": "createdDateTime", "activitydatetime": "createdDateTime"},
		"audits":  {"activitydate": "activityDateTime", "createddatetime": "activityDateTime", "activity": "activityDisplayName"},
	},
	AzureAD: {
		"signins": {"createddatetime": "signinDateTime", "activitydatetime": "signinDateTime"},
		"audits":  {"activitydatetime": "activityDate", "createddatetime": "activityDate", "activitydisplayname": "activity"},
	},
}
