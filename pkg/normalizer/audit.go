package normalizer

// targetKind is the kind of object that an audited activity was about, as words targetType tell it.
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

var targetKinds = [...]string{"", "user", "group", "role", "device", "application", "service_principal", "policy"}

// target is one of a directory audit's targetResources.
type target struct {
	kind                        targetKind
	word                        *word // of words targetType; nil: absent or not known
	typeText, groupType         text
	id, name, userPrincipalName text
	properties                  properties
	modified                    span // modifiedProperties, for enter and readProperty
}

// properties are the modifiedProperties of a target that have a place of their own. What was set is in the new value; what
// was taken away (a member of its group or role) in the old one.
type properties struct {
	groupID, groupName               text
	roleID, roleName, roleTemplateID text
	granteeID, granteeName           text // the service principal that got or lost an owner or a permission
	// changes of the user itself: new values that differ from an old one
	userPrincipalName, displayName, mail text
}

// named is something with an id and a name.
type named struct{ id, name text }

func (n named) known() bool { return n.id != nil || n.name != nil }

// role is the directory role that was given or taken away.
type role struct{ id, name, templateID text }

// audit is the model of a Graph directoryAudit, independent of any schema.
// https://learn.microsoft.com/graph/api/resources/directoryaudit
//
// What only some schemas need is not read: at has where each member stands, and raw, textAt, boolAt and enter read it.
type audit struct {
	at     [auditMembers]span
	legacy bool // there are members of Azure AD Graph

	id, time                          text
	activityName, category, operation text
	reason, service                   text
	outcome                           *word // of words auditResult; nil: absent or not known
	correlationID                     text
	userAgent                         text
	agentDetail                       text // the user agent among additionalDetails

	by      initiator
	targets []target

	activity *activity // never nil once read
	listed   bool      // the activity itself is in the table, not only its operationType
	role     role
	grantee  named // the service principal that properties name: the target is the interface that was opened to it
}

// initiator is who did it: initiatedBy. The schema allows both; then the user did it, through the app.
type initiator struct {
	user user
	app  app
}

type user struct {
	id, userPrincipalName, displayName text
	address                            address
}

func (u *user) is() bool { return u.id != nil || u.userPrincipalName != nil || u.displayName != nil }

type app struct{ id, name, servicePrincipalID, servicePrincipalName text }

// mostTargets bounds what is kept of a record for the next one.
const mostTargets = 64

func (m *audit) reset() {
	clear(m.targets)
	if cap(m.targets) > mostTargets {
		m.targets = nil
	}
	*m = audit{targets: m.targets[:0]}
}

// readAudit fills j.audit from the record.
func (j *job) readAudit() error {
	m := &j.audit
	o := &j.tables.objects.audit
	if j.Object() {
		for {
			key, ok := j.member()
			if !ok {
				break
			}
			i := o.names.find(key)
			if i == nowhere {
				j.unknown.member("", key)
				j.Skip()
				continue
			}
			start := j.Pos
			j.auditMember(m, i)
			at := span{uint32(start), uint32(j.Pos)}
			if i < auditMembers {
				m.at[i] = at
				m.legacy = m.legacy || i >= auditLegacyActivity
			}
			if v := o.words[i]; v != nil && j.Err() == nil {
				j.checkWords(v, "", o.names.list[i], at)
			}
		}
	}
	if err := j.finish(); err != nil {
		return err
	}
	if m.legacy {
		j.readLegacyAudit(m)
	}
	j.concludeAudit(m)
	return nil
}

// auditMember consumes the value of the member with the index i.
func (j *job) auditMember(m *audit, i int) {
	switch i {
	case auditID:
		m.id = j.text()
	case auditActivityDateTime:
		m.time = j.text()
	case auditActivityDisplayName:
		m.activityName = j.text()
	case auditCategory:
		m.category = j.text()
	case auditOperationType:
		m.operation = j.text()
	case auditResult:
		m.outcome = j.tables.auditResults.find(j.word())
	case auditResultReason:
		m.reason = j.text()
	case auditLoggedByService:
		m.service = j.text()
	case auditCorrelationID:
		m.correlationID = j.text()
	case auditUserAgent:
		m.userAgent = j.text()
	case auditInitiatedBy:
		m.by = j.readInitiator()
	case auditTargetResources:
		j.readTargets(m)
	case auditLegacyTargets: // Graph's own count, wherever they stand
		if m.at[auditTargetResources].end != 0 {
			j.Skip()
			return
		}
		j.readTargets(m)
	case auditAdditionalDetails:
		m.agentDetail = j.readDetails()
	default:
		j.Skip()
	}
}

func (j *job) readInitiator() (by initiator) {
	if !j.object() {
		return by
	}
	for {
		key, ok := j.member()
		if !ok {
			return by
		}
		switch string(key) {
		case "user":
			by.user = j.readUser()
		case "app":
			by.app = j.readApp()
		default:
			j.passOver(&j.tables.objects.initiator, key)
		}
	}
}

func (j *job) readUser() (u user) {
	if !j.object() {
		return u
	}
	for {
		key, ok := j.member()
		if !ok {
			return u
		}
		switch string(key) {
		case "id":
			u.id = j.text()
		case "userPrincipalName":
			u.userPrincipalName = j.text()
		case "displayName":
			u.displayName = j.text()
		case "ipAddress":
			u.address = parseAddress(j.text())
		default:
			j.passOver(&j.tables.objects.user, key)
		}
	}
}

func (j *job) readApp() (a app) {
	if !j.object() {
		return a
	}
	for {
		key, ok := j.member()
		if !ok {
			return a
		}
		switch string(key) {
		case "appId":
			a.id = j.text()
		case "displayName":
			a.name = j.text()
		case "servicePrincipalId":
			a.servicePrincipalID = j.text()
		case "servicePrincipalName":
			a.servicePrincipalName = j.text()
		default:
			j.passOver(&j.tables.objects.app, key)
		}
	}
}
