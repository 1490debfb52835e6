package normalizer

import "bytes"

// concludeSignIn derives what the record says only between the lines.
func (j *job) concludeSignIn(m *signIn) {
	if m.status.hasErrorCode {
		c := j.tables.code(m.status.errorCode)
		m.result, m.passwordAccepted = c.result, c.passwordAccepted
	} else if w := j.legacyStatus(m); w != nil {
		m.result = resultFailure
		if w.ecs == "success" {
			m.result = resultSuccess
		}
	}
	// A step that failed decides nothing: the service marks steps so even in sign-ins that went through.
	if m.passwordAccepted == unknown && m.passwordStep {
		m.passwordAccepted = yes
	}
	if m.result == resultSuccess {
		m.status.failureReason = nil // "Other.": there was no failure
		m.mfa = m.multiFactor()
	}
	if m.device.operatingSystem != nil {
		m.device.system = j.tables.system(j.squeeze(m.device.operatingSystem))
	}
}

var (
	mfaCompleted = []byte("MFA completed")
	mfaSatisfied = []byte("MFA requirement satisfied")
)

// multiFactor tells whether a successful sign-in rests on more than one factor. The requirement says what was asked; v1.0 has
// only the text, which says nothing when there is none.
func (m *signIn) multiFactor() tristate {
	switch {
	case string(m.authenticationRequirement) == "multiFactorAuthentication",
		bytes.HasPrefix(m.status.additionalDetails, mfaCompleted), bytes.HasPrefix(m.status.additionalDetails, mfaSatisfied):
		return yes
	case string(m.authenticationRequirement) == "singleFactorAuthentication":
		return no
	}
	return unknown
}

// byService tells whether the actor is a service principal or managed identity. Records of users carry servicePrincipalId ""
// or null; records of services at times carry an all-zero userId, which counts as absent.
func (m *signIn) byService() bool {
	user := m.userID != nil || m.userPrincipalName != nil
	service := m.servicePrincipalID != nil || m.servicePrincipalName != nil
	if m.kind == kindServicePrincipal || m.kind == kindManagedIdentity {
		return service || !user
	}
	return service && !user
}

// squeeze gives t in ASCII lower case without blanks, in the scratch.
func (s *scanner) squeeze(t text) []byte {
	s.scratch = s.scratch[:0]
	for _, c := range t {
		if c == ' ' {
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		s.scratch = append(s.scratch, c)
	}
	return s.scratch
}

// browserVersion splits deviceDetail.browser, "Mobile Safari 16.6", at its last blank if a version follows.
func browserVersion(browser text) (name, version text) {
	i := bytes.LastIndexByte(browser, ' ')
	if i <= 0 || i+1 >= len(browser) || !digit(browser[i+1]) {
		return browser, nil
	}
	return text(bytes.TrimRight(browser[:i], " ")), browser[i+1:]
}
