package normalizer

import "bytes"

// targetKind is the kind of object that an audited activity was about.
type targetKind uint8

const (
	targetOther targetKind = iota
	targetUser
	targetGroup
	targetRole
	targetDevice
	targetApplication
	targetServicePrincipal
	targetPolicy
)

// target is one of a directory audit's targetResources.
type target struct {
	kind                        targetKind
	id, name, userPrincipalName text
	properties                  properties
}

// properties are the modifiedProperties of a target that have a place of their own. What was set is in the new value; what
// was taken away (a member of its group or role) in the old one.
type properties struct {
	groupID, groupName               text
	roleID, roleName, roleTemplateID text
	// changes of the user itself: new values that differ from an old one
	userPrincipalName, displayName, mail text
}

// role is the directory role that was given or taken away.
type role struct{ id, name, templateID text }

// audit is the model of a Graph directoryAudit, independent of any schema.
// https://learn.microsoft.com/graph/api/resources/directoryaudit
type audit struct {
	id, time                          text
	activityName, category, operation text
	outcome, reason, service          text
	correlationID                     text
	userAgent                         text
	agentDetail                       text // the user agent among additionalDetails

	// who did it: initiatedBy. The schema allows both; then the user did it, through the app.
	userID, userPrincipalName, userDisplayName               text
	appID, appName, servicePrincipalID, servicePrincipalName text
	address                                                  address

	targets  []target
	activity *activity // never nil once read
	listed   bool      // the activity itself is in the table, not only its operationType
	role     role
}

// mostTargets bounds what is kept of a record for the next one.
const mostTargets = 64

func (m *audit) reset() {
	targets := m.targets[:cap(m.targets)]
	clear(targets)
	if cap(targets) > mostTargets {
		targets = nil
	}
	*m = audit{targets: targets[:0]}
}

// readAudit fills j.audit from the record.
func (j *job) readAudit(t *tables) error {
	m := &j.audit
	if j.Object() {
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			j.auditMember(m, key)
		}
	}
	if err := j.finish(); err != nil {
		return err
	}
	j.concludeAudit(m, t)
	return nil
}

func (j *job) auditMember(m *audit, key []byte) {
	switch string(key) {
	case "id":
		m.id = j.text()
	case "activityDateTime", "activityDate": // the latter is Azure AD Graph's, whose other names of its own are not read
		m.time = j.text()
	case "activityDisplayName":
		m.activityName = j.text()
	case "category":
		m.category = j.text()
	case "operationType":
		m.operation = j.text()
	case "result":
		m.outcome = j.text()
	case "resultReason":
		m.reason = j.text()
	case "loggedByService":
		m.service = j.text()
	case "correlationId":
		m.correlationID = j.text()
	case "userAgent":
		m.userAgent = j.text()
	case "initiatedBy":
		j.auditInitiator(m)
	case "targetResources":
		j.auditTargets(m)
	case "additionalDetails":
		j.auditDetails(m)
	default:
		j.Skip()
	}
}

func (j *job) auditInitiator(m *audit) {
	if !j.object() {
		return
	}
	for {
		key, ok := j.Member()
		if !ok {
			return
		}
		switch string(key) {
		case "user":
			j.auditUser(m)
		case "app":
			j.auditApp(m)
		default:
			j.Skip()
		}
	}
}

func (j *job) auditUser(m *audit) {
	if !j.object() {
		return
	}
	for {
		key, ok := j.Member()
		if !ok {
			return
		}
		switch string(key) {
		case "id":
			m.userID = j.text()
		case "userPrincipalName":
			m.userPrincipalName = j.text()
		case "displayName":
			m.userDisplayName = j.text()
		case "ipAddress":
			m.address = parseAddress(j.text())
		default:
			j.Skip()
		}
	}
}

func (j *job) auditApp(m *audit) {
	if !j.object() {
		return
	}
	for {
		key, ok := j.Member()
		if !ok {
			return
		}
		switch string(key) {
		case "appId":
			m.appID = j.text()
		case "displayName":
			m.appName = j.text()
		case "servicePrincipalId":
			m.servicePrincipalID = j.text()
		case "servicePrincipalName":
			m.servicePrincipalName = j.text()
		default:
			j.Skip()
		}
	}
}

func (j *job) auditTargets(m *audit) {
	m.targets = m.targets[:0]
	if !j.array() {
		return
	}
	for j.Element() {
		if !j.object() {
			continue
		}
		m.targets = append(m.targets, target{})
		j.auditTarget(&m.targets[len(m.targets)-1])
	}
}

func (j *job) auditTarget(t *target) {
	for {
		key, ok := j.Member()
		if !ok {
			return
		}
		switch string(key) {
		case "id":
			t.id = j.text()
		case "displayName":
			t.name = j.text()
		case "userPrincipalName":
			t.userPrincipalName = j.text()
		case "type", "Type": // both spellings are documented
			t.kind = kindOfTarget(j.Text())
		case "modifiedProperties":
			j.auditProperties(&t.properties)
		default:
			j.Skip()
		}
	}
}

func kindOfTarget(word []byte) targetKind {
	switch string(word) {
	case "User":
		return targetUser
	case "Group":
		return targetGroup
	case "Role":
		return targetRole
	case "Device":
		return targetDevice
	case "Application":
		return targetApplication
	case "ServicePrincipal":
		return targetServicePrincipal
	case "Policy":
		return targetPolicy
	}
	return targetOther
}

func (j *job) auditProperties(p *properties) {
	if !j.array() {
		return
	}
	for j.Element() {
		if !j.object() {
			continue
		}
		var name, before, after []byte
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			switch string(key) {
			case "displayName":
				name = j.Text()
			case "oldValue":
				before = j.Text()
			case "newValue":
				after = j.Text()
			default:
				j.Skip()
			}
		}
		j.auditProperty(p, name, before, after)
	}
}

// auditProperty decodes a property if it is one that has a place.
func (j *job) auditProperty(p *properties, name, before, after []byte) {
	var kept, changed *text // kept: new value, else old one; changed: new value if it differs
	switch string(name) {
	case "Group.ObjectID":
		kept = &p.groupID
	case "Group.DisplayName":
		kept = &p.groupName
	case "Role.ObjectID":
		kept = &p.roleID
	case "Role.DisplayName":
		kept = &p.roleName
	case "Role.TemplateId":
		kept = &p.roleTemplateID
	case "UserPrincipalName":
		changed = &p.userPrincipalName
	case "DisplayName":
		changed = &p.displayName
	case "Mail":
		changed = &p.mail
	default:
		return
	}
	now, old := j.embedded(after), j.embedded(before)
	switch {
	case kept != nil && now != nil:
		*kept = now
	case kept != nil:
		*kept = old
	case !bytes.Equal(now, old):
		*changed = now
	}
}

// auditDetails takes the user agent from additionalDetails, a list of keys and values.
func (j *job) auditDetails(m *audit) {
	m.agentDetail = nil
	if !j.array() {
		return
	}
	for j.Element() {
		if !j.object() {
			continue
		}
		var name, value []byte
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			switch string(key) {
			case "key", "Key":
				name = j.Text()
			case "value", "Value":
				value = j.Text()
			default:
				j.Skip()
			}
		}
		if m.agentDetail == nil && bytes.EqualFold(name, userAgentKey) {
			m.agentDetail = j.clean(value)
		}
	}
}

var userAgentKey = []byte("User-Agent")
