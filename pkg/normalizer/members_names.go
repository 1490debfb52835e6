package normalizer

// The members of a sign-in, by which its model keeps where they stand. Those of Azure AD Graph come last.
const (
	signInID = iota
	signInCreatedDateTime
	signInUserPrincipalName
	signInUserID
	signInUserDisplayName
	signInUserType
	signInHomeTenantID
	signInHomeTenantName
	signInResourceTenantID
	signInCrossTenantAccessType
	signInServicePrincipalID
	signInServicePrincipalName
	signInServicePrincipalCredentialKeyID
	signInServicePrincipalCredentialThumbprint
	signInClientCredentialType
	signInFederatedCredentialID
	signInManagedServiceIdentity
	signInAgent
	signInAppID
	signInAppDisplayName
	signInAppOwnerTenantID
	signInResourceID
	signInResourceDisplayName
	signInResourceOwnerTenantID
	signInResourceServicePrincipalID
	signInAzureResourceID
	signInIPAddress
	signInIPAddressFromResourceProvider
	signInGlobalSecureAccessIPAddress
	signInIsThroughGlobalSecureAccess
	signInAutonomousSystemNumber
	signInLocation
	signInNetworkLocationDetails
	signInUserAgent
	signInDeviceDetail
	signInAuthenticationAppDeviceDetails
	signInClientAppUsed
	signInStatus
	signInConditionalAccessStatus
	signInAppliedConditionalAccessPolicies
	signInConditionalAccessAudiences
	signInAuthenticationRequirement
	signInAuthenticationRequirementPolicies
	signInAuthenticationDetails
	signInAuthenticationMethodsUsed
	signInAuthenticationProcessingDetails
	signInAuthenticationProtocol
	signInAuthenticationContextClassReferences
	signInAuthenticationAppPolicyEvaluationDetails
	signInMfaDetail
	signInIsInteractive
	signInSignInEventTypes
	signInSignInIdentifier
	signInSignInIdentifierType
	signInIncomingTokenType
	signInOriginalTransferMethod
	signInUniqueTokenIdentifier
	signInSessionID
	signInClientSessionID
	signInSessionLifetimePolicies
	signInCorrelationID
	signInOriginalRequestID
	signInProcessingTimeInMilliseconds
	signInRiskLevelDuringSignIn
	signInRiskLevelAggregated
	signInRiskState
	signInRiskDetail
	signInRiskEventTypes
	signInRiskEventTypesV2
	signInFlaggedForReview
	signInIsTenantRestricted
	signInTokenIssuerName
	signInTokenIssuerType
	signInTokenProtectionStatusDetails
	signInSignInTokenProtectionStatus
	signInAppTokenProtectionStatus
	signInPrivateLinkDetails
	signInAlternateSignInName
	signInAppliedEventListeners
	signInLegacySigninDateTime
	signInLegacyDeviceInformation
	signInLegacyGeoCoordinates
	signInLegacyLoginStatus
	signInLegacySigninErrorCode
	signInLegacyFailureReason
	signInLegacyMfaResult
	signInLegacyMfaAuthMethod
	signInLegacyMfaAuthDetail
	signInMembers
)

var signInNames = [signInMembers]string{
	signInID:                                       "id",
	signInCreatedDateTime:                          "createdDateTime",
	signInUserPrincipalName:                        "userPrincipalName",
	signInUserID:                                   "userId",
	signInUserDisplayName:                          "userDisplayName",
	signInUserType:                                 "userType",
	signInHomeTenantID:                             "homeTenantId",
	signInHomeTenantName:                           "homeTenantName",
	signInResourceTenantID:                         "resourceTenantId",
	signInCrossTenantAccessType:                    "crossTenantAccessType",
	signInServicePrincipalID:                       "servicePrincipalId",
	signInServicePrincipalName:                     "servicePrincipalName",
	signInServicePrincipalCredentialKeyID:          "servicePrincipalCredentialKeyId",
	signInServicePrincipalCredentialThumbprint:     "servicePrincipalCredentialThumbprint",
	signInClientCredentialType:                     "clientCredentialType",
	signInFederatedCredentialID:                    "federatedCredentialId",
	signInManagedServiceIdentity:                   "managedServiceIdentity",
	signInAgent:                                    "agent",
	signInAppID:                                    "appId",
	signInAppDisplayName:                           "appDisplayName",
	signInAppOwnerTenantID:                         "appOwnerTenantId",
	signInResourceID:                               "resourceId",
	signInResourceDisplayName:                      "resourceDisplayName",
	signInResourceOwnerTenantID:                    "resourceOwnerTenantId",
	signInResourceServicePrincipalID:               "resourceServicePrincipalId",
	signInAzureResourceID:                          "azureResourceId",
	signInIPAddress:                                "ipAddress",
	signInIPAddressFromResourceProvider:            "ipAddressFromResourceProvider",
	signInGlobalSecureAccessIPAddress:              "globalSecureAccessIpAddress",
	signInIsThroughGlobalSecureAccess:              "isThroughGlobalSecureAccess",
	signInAutonomousSystemNumber:                   "autonomousSystemNumber",
	signInLocation:                                 "location",
	signInNetworkLocationDetails:                   "networkLocationDetails",
	signInUserAgent:                                "userAgent",
	signInDeviceDetail:                             "deviceDetail",
	signInAuthenticationAppDeviceDetails:           "authenticationAppDeviceDetails",
	signInClientAppUsed:                            "clientAppUsed",
	signInStatus:                                   "status",
	signInConditionalAccessStatus:                  "conditionalAccessStatus",
	signInAppliedConditionalAccessPolicies:         "appliedConditionalAccessPolicies",
	signInConditionalAccessAudiences:               "conditionalAccessAudiences",
	signInAuthenticationRequirement:                "authenticationRequirement",
	signInAuthenticationRequirementPolicies:        "authenticationRequirementPolicies",
	signInAuthenticationDetails:                    "authenticationDetails",
	signInAuthenticationMethodsUsed:                "authenticationMethodsUsed",
	signInAuthenticationProcessingDetails:          "authenticationProcessingDetails",
	signInAuthenticationProtocol:                   "authenticationProtocol",
	signInAuthenticationContextClassReferences:     "authenticationContextClassReferences",
	signInAuthenticationAppPolicyEvaluationDetails: "authenticationAppPolicyEvaluationDetails",
	signInMfaDetail:                                "mfaDetail",
	signInIsInteractive:                            "isInteractive",
	signInSignInEventTypes:                         "signInEventTypes",
	signInSignInIdentifier:                         "signInIdentifier",
	signInSignInIdentifierType:                     "signInIdentifierType",
	signInIncomingTokenType:                        "incomingTokenType",
	signInOriginalTransferMethod:                   "originalTransferMethod",
	signInUniqueTokenIdentifier:                    "uniqueTokenIdentifier",
	signInSessionID:                                "sessionId",
	signInClientSessionID:                          "clientSessionId",
	signInSessionLifetimePolicies:                  "sessionLifetimePolicies",
	signInCorrelationID:                            "correlationId",
	signInOriginalRequestID:                        "originalRequestId",
	signInProcessingTimeInMilliseconds:             "processingTimeInMilliseconds",
	signInRiskLevelDuringSignIn:                    "riskLevelDuringSignIn",
	signInRiskLevelAggregated:                      "riskLevelAggregated",
	signInRiskState:                                "riskState",
	signInRiskDetail:                               "riskDetail",
	signInRiskEventTypes:                           "riskEventTypes",
	signInRiskEventTypesV2:                         "riskEventTypes_v2",
	signInFlaggedForReview:                         "flaggedForReview",
	signInIsTenantRestricted:                       "isTenantRestricted",
	signInTokenIssuerName:                          "tokenIssuerName",
	signInTokenIssuerType:                          "tokenIssuerType",
	signInTokenProtectionStatusDetails:             "tokenProtectionStatusDetails",
	signInSignInTokenProtectionStatus:              "signInTokenProtectionStatus",
	signInAppTokenProtectionStatus:                 "appTokenProtectionStatus",
	signInPrivateLinkDetails:                       "privateLinkDetails",
	signInAlternateSignInName:                      "alternateSignInName",
	signInAppliedEventListeners:                    "appliedEventListeners",
	signInLegacySigninDateTime:                     "signinDateTime",
	signInLegacyDeviceInformation:                  "deviceInformation",
	signInLegacyGeoCoordinates:                     "geoCoordinates",
	signInLegacyLoginStatus:                        "loginStatus",
	signInLegacySigninErrorCode:                    "signinErrorCode",
	signInLegacyFailureReason:                      "failureReason",
	signInLegacyMfaResult:                          "mfaResult",
	signInLegacyMfaAuthMethod:                      "mfaAuthMethod",
	signInLegacyMfaAuthDetail:                      "mfaAuthDetail",
}

// The members of an audit, by which its model keeps where they stand. Those of Azure AD Graph come last.
const (
	auditID = iota
	auditActivityDateTime
	auditActivityDisplayName
	auditCategory
	auditOperationType
	auditResult
	auditResultReason
	auditLoggedByService
	auditCorrelationID
	auditUserAgent
	auditInitiatedBy
	auditPerformedBy
	auditTargetResources
	auditAdditionalDetails
	auditLegacyActivity
	auditLegacyActivityDate
	auditLegacyActivityType
	auditLegacyActivityOperationType
	auditLegacyActivityResultStatus
	auditLegacyActivityResultDescription
	auditLegacyComponentOrSource
	auditLegacySource
	auditLegacyActorType
	auditLegacyActor
	auditLegacyTargets
	auditMembers
)

var auditNames = [auditMembers]string{
	auditID:                              "id",
	auditActivityDateTime:                "activityDateTime",
	auditActivityDisplayName:             "activityDisplayName",
	auditCategory:                        "category",
	auditOperationType:                   "operationType",
	auditResult:                          "result",
	auditResultReason:                    "resultReason",
	auditLoggedByService:                 "loggedByService",
	auditCorrelationID:                   "correlationId",
	auditUserAgent:                       "userAgent",
	auditInitiatedBy:                     "initiatedBy",
	auditPerformedBy:                     "performedBy",
	auditTargetResources:                 "targetResources",
	auditAdditionalDetails:               "additionalDetails",
	auditLegacyActivity:                  "activity",
	auditLegacyActivityDate:              "activityDate",
	auditLegacyActivityType:              "activityType",
	auditLegacyActivityOperationType:     "activityOperationType",
	auditLegacyActivityResultStatus:      "activityResultStatus",
	auditLegacyActivityResultDescription: "activityResultDescription",
	auditLegacyComponentOrSource:         "componentOrSource",
	auditLegacySource:                    "source",
	auditLegacyActorType:                 "actorType",
	auditLegacyActor:                     "actor",
	auditLegacyTargets:                   "targets",
}
