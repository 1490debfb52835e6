package normalizer

import (
	"bytes"

	"github.com/logferry/logferry/pkg/event"
)

// ocsfAudit renders a directory audit in the class that its activity has, see ocsfChoose.
func (j *job) ocsfAudit(rec *event.Record) {
	m, w, x := &j.audit, &j.out, &j.ocsf
	j.ocsfChoose()
	actor := j.auditActor()
	h := ocsfHead{class: x.class, activityName: m.activityName, severity: ocsfInformational, id: m.id, time: m.time, correlation: m.correlationID, provider: m.service, code: m.activityName, legacy: m.legacy}
	base := x.class.class == ocsfBaseEvent
	h.host = base && (actor.known() || m.by.app.id != nil || m.by.app.name != nil) // the Base Event has an actor in this profile only
	j.ocsfBegin(rec, h)
	j.ecsAuditMessage()
	j.ocsfAuditStatus()
	j.ocsfActor(actor)
	if base {
		j.ocsfObservables(person{}, m.by.user.address)
	} else {
		j.ocsfObjects()
		w.object("src_endpoint")
		if a := m.by.user.address; a.ip.IsValid() {
			w.ip("ip", a.ip)
			if a.port != 0 {
				w.integer("port", int64(a.port))
			}
		}
		w.end()
		w.object("http_request")
		w.text("user_agent", m.userAgent)
		w.end()
	}
	w.object("unmapped")
	j.ocsfAuditUnmapped(base)
	j.ecsLogferry(rec)
	w.object("role")
	w.text("name", m.role.name)
	w.text("id", m.role.id)
	w.text("template_id", m.role.templateID)
	w.end()
	w.end()
	w.end()
}

func (j *job) ocsfAuditStatus() {
	m, w := &j.audit, &j.out
	id, own := 0, text(nil)
	if m.outcome != nil {
		id = m.outcome.ocsf
	} else {
		at := m.at[auditResult]
		if at.end == 0 {
			at = m.at[auditLegacyActivityResultStatus]
		}
		if own = j.textAt(at); own != nil {
			id = ocsfOther
		}
	}
	j.enum("status_id", "status", j.tables.ocsfNames.status, id, own)
	w.text("status_detail", m.reason)
}

func (j *job) ocsfActor(actor person) {
	m, w := &j.audit, &j.out
	kind := ocsfService
	if m.by.user.is() {
		kind = ocsfUser
	}
	w.object("actor")
	j.ocsfUser("user", actor, kind)
	w.text("app_uid", m.by.app.id)
	w.text("app_name", first(m.by.app.name, m.by.app.servicePrincipalName))
	w.end()
}

// ocsfObjects writes what it happened to, as the class has it.
func (j *job) ocsfObjects() {
	m, w, x := &j.audit, &j.out, &j.ocsf
	if x.class.class == ocsfEntity {
		j.ocsfEntity(x.entity)
		return
	}
	if x.class.class == ocsfRoleManagement {
		j.ocsfNamed("iam_role", m.role.id, m.role.name)
		return
	}
	j.ocsfUser("user", x.user, x.userKind)
	if x.class.class == ocsfGroup {
		w.object("group")
		w.text("uid", x.groupID)
		w.text("name", x.groupName)
		w.end()
		if t := x.subgroup; t != nil {
			j.ocsfNamed("subgroup", t.id, t.name)
		}
	}
	if x.class.class == ocsfUserManagement && (x.class.activity == 16 || x.class.activity == 17) {
		w.openList("iam_roles")
		w.openItem()
		w.text("uid", m.role.id)
		w.text("name", m.role.name)
		w.end()
		w.closeList()
		return
	}
	w.texts("privileges", x.privileges)
	switch t := x.resource; {
	case t == nil:
	case x.class.class == ocsfGroup:
		w.object("resource")
		j.ocsfResource(t)
		w.end()
	default:
		w.openList("resources")
		w.openItem()
		j.ocsfResource(t)
		w.end()
		w.closeList()
	}
}

func (j *job) ocsfResource(t *target) {
	w := &j.out
	w.text("uid", t.id)
	w.text("name", t.name)
	w.text("type", t.typeText)
}

// ocsfEntity writes entity, as itself and as the object that its type has.
func (j *job) ocsfEntity(t *target) {
	m, w := &j.audit, &j.out
	kind := m.activity.ocsfEntity
	if kind == absent {
		if kind = 0; t.word != nil {
			kind = t.word.ocsf
		} else if t.typeText != nil {
			kind = ocsfOther
		}
	}
	w.object("entity")
	w.text("uid", t.id)
	w.text("name", first(t.name, t.userPrincipalName))
	j.enum("type_id", "type", j.tables.ocsfNames.entity, kind, t.typeText)
	switch key := entityKey(kind); key {
	case "":
	case "user":
		j.ocsfUser(key, j.user(t.id, t.userPrincipalName, t.name), ocsfUser)
	case "device":
		w.object(key)
		w.text("uid", t.id)
		w.text("name", t.name)
		w.integer("type_id", 0)
		w.word("type", "Unknown")
		w.end()
	default:
		j.ocsfNamed(key, t.id, t.name)
	}
	w.end()
}

// entityKey names the object that an entity of a type has besides its name.
func entityKey(kind int) string {
	if keys := [...]string{1: "device", 2: "user", 3: "group", 4: "org", 5: "policy"}; kind > 0 && kind < len(keys) {
		return keys[kind]
	}
	return ""
}

// ocsfAuditUnmapped writes what OCSF has no attribute for: under the record's own names, values decoded.
func (j *job) ocsfAuditUnmapped(base bool) {
	m, w := &j.audit, &j.out
	w.text("category", m.category)
	w.text("operationType", m.operation)
	if base {
		w.text("userAgent", m.userAgent)
	}
	if t := j.ocsf.member; t != nil {
		w.object("member")
		j.ocsfResource(t)
		w.end()
	}
	w.openList("changes")
	for i := range m.targets {
		if m.targets[i].modified.end == 0 {
			continue
		}
		j.enter(m.targets[i].modified)
		for ok := j.array(); ok && j.Element(); {
			if p, ok := j.readProperty(); ok && p.name != nil && !bytes.Equal(p.name, updatedNames) {
				j.ocsfChange(p)
			}
		}
	}
	w.closeList()
	if m.at[auditAdditionalDetails].end == 0 {
		return
	}
	w.openList("additionalDetails")
	j.enter(m.at[auditAdditionalDetails])
	for ok := j.array(); ok && j.Element(); {
		d, ok := j.readDetail()
		value := j.clean(d.value)
		if !ok || d.key == nil || value == nil || bytes.EqualFold(d.key, userAgentKey) {
			continue
		}
		w.openItem()
		w.text("key", d.key)
		w.text("value", value)
		w.end()
	}
	w.closeList()
}

// updatedNames is a property that lists the names of the others.
var updatedNames = []byte("Included Updated Properties")

func (j *job) ocsfChange(p property) {
	w := &j.out
	old, now := j.ocsfValue(p.old), j.ocsfValue(p.after)
	if old == nil && now == nil {
		return
	}
	w.openItem()
	w.text("name", p.name)
	w.text("old", old)
	w.text("new", now)
	w.end()
}

// ocsfValue decodes a modified property: a text if it is one, else its JSON.
func (j *job) ocsfValue(raw []byte) text {
	if t := j.embedded(raw); t != nil {
		return t
	}
	t := j.clean(raw)
	if len(t) <= len("[]") || t[0] != '[' && t[0] != '{' {
		return nil // "\"\"", [], {}
	}
	if only := t[1 : len(t)-1]; t[0] == '[' && !bytes.ContainsAny(only, `,"[{`) { // [true]
		return only
	}
	return t
}
