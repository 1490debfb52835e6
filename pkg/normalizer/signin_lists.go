package normalizer

// policy is one of appliedConditionalAccessPolicies.
type policy struct {
	id, name text
	result   *word // of words policyResult; nil: absent or not known
}

// failed tells whether the policy was not met. Policies in report-only mode stop nobody.
func (p *policy) failed() bool { return p.result != nil && p.result.ecs == "failure" }

// readPolicy consumes an element of appliedConditionalAccessPolicies.
func (j *job) readPolicy() (p policy, ok bool) {
	if !j.object() {
		return p, false
	}
	o := &j.tables.objects.policy
	for {
		key, ok := j.member()
		if !ok {
			return p, true
		}
		switch string(key) {
		case "id":
			p.id = j.text()
		case "displayName":
			p.name = j.text()
		case "result":
			p.result = j.known(j.tables.policyResults, o.path, "result")
		default:
			j.passOver(o, key)
		}
	}
}

// known consumes the next value and gives the row of its word, nil for a word that is not known or says nothing.
func (j *job) known(v *vocabulary, path, name string) *word {
	text := j.word()
	if !says(text) {
		return nil
	}
	w := v.find(text)
	if w == nil {
		j.unknown.word(path, name, text)
	}
	return w
}

// readPolicies gives the first Conditional Access policy that was not met.
func (j *job) readPolicies() (failed policy) {
	if !j.array() {
		return failed
	}
	for found := false; j.Element(); {
		if found {
			j.Skip()
			continue
		}
		if p, ok := j.readPolicy(); ok && p.failed() {
			failed, found = p, true
		}
	}
	return failed
}

// step is one of authenticationDetails. Texts of methods are the service's English, at times others.
type step struct {
	time, methodText, methodDetail, resultDetail, requirement text
	method                                                    *word // of words method; nil: absent or not known
	succeeded                                                 tristate
}

// factorPassword is OCSF's factor_type_id of a password.
const factorPassword = 11

// password tells whether the step was a password that was right.
func (s *step) password() bool {
	return s.method != nil && s.method.ocsf == factorPassword && s.succeeded == yes
}

// readStep consumes an element of authenticationDetails.
func (j *job) readStep() (s step, ok bool) {
	if !j.object() {
		return s, false
	}
	o := &j.tables.objects.step
	for {
		key, ok := j.member()
		if !ok {
			return s, true
		}
		switch string(key) {
		case "authenticationMethod":
			if s.methodText, s.method = j.text(), nil; s.methodText != nil {
				if s.method = j.tables.methods.find(s.methodText); s.method == nil {
					j.unknown.word(o.path, "authenticationMethod", s.methodText)
				}
			}
		case "authenticationMethodDetail":
			s.methodDetail = j.text()
		case "succeeded":
			s.succeeded = truth(j.Value())
		case "authenticationStepDateTime":
			s.time = j.text()
		case "authenticationStepResultDetail":
			s.resultDetail = j.text()
		case "authenticationStepRequirement":
			s.requirement = j.text()
		default:
			j.passOver(o, key)
		}
	}
}

// readSteps finds out whether one of the steps in authenticationDetails was a password that was right.
func (j *job) readSteps() (password bool) {
	if !j.array() {
		return false
	}
	for j.Element() {
		if s, ok := j.readStep(); ok && s.password() {
			password = true
		}
	}
	return password
}

// readNetworks gives the first name of networkLocationDetails[].networkNames[].
func (j *job) readNetworks() (first text) {
	if !j.array() {
		return nil
	}
	o := &j.tables.objects.network
	for j.Element() {
		if !j.object() {
			continue
		}
		var name text
		for {
			key, ok := j.member()
			if !ok {
				break
			}
			switch string(key) {
			case "networkNames":
				name = j.firstText()
			case "networkType":
				j.known(j.tables.networkTypes, o.path, "networkType")
			default:
				j.passOver(o, key)
			}
		}
		if first == nil {
			first = name
		}
	}
	return first
}

// readKinds consumes signInEventTypes.
func (j *job) readKinds(m *signIn) {
	m.kind = kindOfStream(j.unknown.stream)
	if !j.array() {
		return
	}
	for j.Element() {
		word := j.word()
		for kind, name := range kindWords {
			if name != "" && string(word) == name {
				m.kind = signInKind(kind)
			}
		}
	}
}
