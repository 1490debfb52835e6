package normalizer

import "bytes"

// ocsfAccess writes what Conditional Access did: action, disposition, the policies, and the first that was not met. Where the sign-in
// failed for another reason (a wrong password), that its policies were met is no permission.
func (j *job) ocsfAccess() {
	m, w, names := &j.signIn, &j.out, &j.tables.ocsfNames
	t := j.textAt(m.at[signInConditionalAccessStatus])
	action, disposition := absent, absent
	if known := j.tables.conditionalAccess.find(t); known != nil {
		action, disposition = known.ocsf, known.ocsfAlso
	} else if t != nil {
		action, disposition = ocsfOther, ocsfOther
	}
	const allowed, denied, challenge = 1, 2, 23
	switch {
	case action == allowed && m.result != resultSuccess:
		action, disposition = absent, absent
	case action == denied && m.result == resultInterrupted: // what it demands can still be met
		action, disposition = ocsfOther, challenge
	}
	j.enum("action_id", "action", names.action, action, t)
	j.enum("disposition_id", "disposition", names.disposition, disposition, t)
	if p := &m.failedPolicy; p.id != nil || p.name != nil {
		w.object("policy")
		w.text("uid", p.id)
		w.text("name", p.name)
		w.bool("is_applied", true)
		w.end()
	}
	j.ocsfAuthorizations()
}

// ocsfAuthorizations lists the policies that had a say: not those that were off or for others.
func (j *job) ocsfAuthorizations() {
	w := &j.out
	at := j.signIn.at[signInAppliedConditionalAccessPolicies]
	if at.end == 0 {
		return
	}
	w.openList("authorizations")
	j.enter(at)
	for ok := j.array(); ok && j.Element(); {
		p, ok := j.readPolicy()
		if !ok || p.result == nil || p.result.ocsfAlso == absent {
			continue
		}
		w.openItem()
		w.word("decision", p.result.text)
		if p.id != nil || p.name != nil {
			w.object("policy")
			w.text("uid", p.id)
			w.text("name", p.name)
			w.bool("is_applied", p.result.ocsfAlso == 1)
			w.end()
		}
		w.end()
	}
	w.closeList()
}

// ocsfFactors lists the factors of authenticationDetails. Whether one succeeded is in the record: the service marks steps as failed
// even in sign-ins that went through.
func (j *job) ocsfFactors() {
	m, w := &j.signIn, &j.out
	at, legacy := m.at[signInAuthenticationDetails], m.at[signInLegacyMfaAuthMethod]
	if at.end == 0 && legacy.end == 0 {
		return
	}
	w.openList("auth_factors")
	if at.end != 0 {
		j.enter(at)
		for ok := j.array(); ok && j.Element(); {
			if s, ok := j.readStep(); ok {
				j.ocsfFactor(s.method, s.methodText)
			}
		}
	} else if t := j.textAt(legacy); t != nil {
		j.ocsfFactor(j.tables.methods.find(t), t)
	}
	w.closeList()
}

func (j *job) ocsfFactor(method *word, t text) {
	w, id := &j.out, ocsfOther
	if method != nil {
		id = method.ocsf
	}
	if t == nil || id == 0 || id == absent { // the claim came with the token
		return
	}
	w.openItem()
	j.enum("factor_type_id", "factor_type", j.tables.ocsfNames.factor, id, t)
	if method != nil && method.ocsfAlso == 1 {
		w.bool("is_totp", true)
	}
	w.end()
}

// ocsfCredential writes the credential that a service signed in with.
func (j *job) ocsfCredential() {
	m, w := &j.signIn, &j.out
	id := first(j.textAt(m.at[signInServicePrincipalCredentialKeyID]), j.textAt(m.at[signInServicePrincipalCredentialThumbprint]))
	if id == nil || !m.byService() {
		return
	}
	w.openList("programmatic_credentials")
	w.openItem()
	w.text("uid", id)
	if kind := j.textAt(m.at[signInClientCredentialType]); string(kind) != "none" {
		w.text("type", kind)
	}
	w.end()
	w.closeList()
}

// Members that OCSF has no attribute for, or only one that keeps less than they say, and that rules ask for.
var (
	ocsfOtherTexts = [...]int{
		signInAppOwnerTenantID, signInAuthenticationProtocol, signInAuthenticationRequirement, signInClientAppUsed, signInClientCredentialType, signInConditionalAccessStatus,
		signInCrossTenantAccessType, signInFederatedCredentialID, signInHomeTenantID, signInIncomingTokenType, signInOriginalTransferMethod, signInResourceTenantID,
		signInRiskLevelAggregated, signInRiskLevelDuringSignIn, signInRiskState, signInSignInIdentifier, signInTokenIssuerType, signInUniqueTokenIdentifier, signInUserType,
	}
	ocsfOtherBools = [...]int{signInFlaggedForReview, signInIsInteractive, signInIsThroughGlobalSecureAccess}
)

func (j *job) ocsfSignInUnmapped() {
	m, w := &j.signIn, &j.out
	for _, i := range ocsfOtherTexts {
		w.text(signInNames[i], j.textAt(m.at[i]))
	}
	for _, i := range ocsfOtherBools {
		w.tristate(signInNames[i], j.boolAt(m.at[i]))
	}
	w.text("browser", m.device.browser)
	w.text("trustType", m.device.trustType)
	w.text("networkName", m.networkName)
	if at := m.at[signInRiskEventTypesV2]; at.end != 0 {
		w.openList("riskEventTypes_v2")
		j.enter(at)
		for ok := j.array(); ok && j.Element(); {
			if t := j.text(); t != nil && !bytes.Equal(t, signInNone) {
				w.next()
				w.quoted(t)
			}
		}
		w.closeList()
	}
}

var signInNone = []byte("none")
