package normalizer

import "github.com/logferry/logferry/pkg/jsonscan"

// readLegacyAudit fills what the record says under names of Azure AD Graph only. Those of Graph go first: no service sends both.
func (j *job) readLegacyAudit(m *audit) {
	for _, f := range [...]struct {
		graph, legacy int
		into          *text
	}{
		{auditActivityDateTime, auditLegacyActivityDate, &m.time},
		{auditActivityDisplayName, auditLegacyActivity, &m.activityName},
		{auditOperationType, auditLegacyActivityOperationType, &m.operation},
		{auditResultReason, auditLegacyActivityResultDescription, &m.reason},
		{auditLoggedByService, auditLegacyComponentOrSource, &m.service},
		{auditLoggedByService, auditLegacySource, &m.service},
	} {
		if m.at[f.graph].end == 0 && *f.into == nil {
			*f.into = j.textAt(m.at[f.legacy])
		}
	}
	if at := m.at[auditLegacyActivityResultStatus]; at.end != 0 && m.at[auditResult].end == 0 {
		j.enter(at)
		if j.Kind() == jsonscan.Number { // as filters have it
			m.outcome = j.tables.auditResults.find(j.Value())
		} else {
			m.outcome = j.tables.auditResults.find(j.word())
		}
	}
	if at := m.at[auditLegacyActor]; at.end != 0 && m.at[auditInitiatedBy].end == 0 {
		byUser := string(j.textAt(m.at[auditLegacyActorType])) == "User"
		j.enter(at)
		m.by = j.readActor(byUser)
	}
}

// readActor consumes actor, which is a user or a service principal by actorType, or by who has a user's name.
func (j *job) readActor(byUser bool) (by initiator) {
	if !j.object() {
		return by
	}
	var id, name, principal text
	for {
		key, ok := j.member()
		if !ok {
			break
		}
		switch string(key) {
		case "objectId":
			id = j.text()
		case "name":
			name = j.text()
		case "userPrincipalName":
			by.user.userPrincipalName = j.text()
		case "servicePrincipalName":
			principal = j.text()
		case "ipAddress":
			by.user.address = parseAddress(j.text())
		default:
			j.passOver(&j.tables.objects.actor, key)
		}
	}
	if byUser || by.user.userPrincipalName != nil {
		by.user.id, by.user.displayName = id, name
	} else {
		by.app = app{name: name, servicePrincipalID: id, servicePrincipalName: principal}
	}
	return by
}
