package normalizer

import (
	"slices"

	"github.com/logferry/logferry/pkg/event"
)

func (j *job) ecsAudit(rec *event.Record, o options) {
	m, w := &j.audit, &j.out
	actor := j.auditActor()
	j.related.user(actor.name, actor.id, actor.fullName)

	j.ecsBegin(rec, m.time)
	j.ecsAuditEvent(rec)
	j.ecsAuditMessage()
	w.object("user")
	j.ecsPerson(actor)
	j.ecsAuditTarget()
	w.end()
	groupID, groupName := m.group()
	j.ecsNamed("group", groupID, groupName)
	w.object("service")
	w.text("id", m.by.app.id)
	w.text("name", first(m.by.app.name, m.by.app.servicePrincipalName))
	if t := m.target(targetApplication, targetServicePrincipal); m.grantee.known() {
		j.ecsNamed("target", m.grantee.id, m.grantee.name)
	} else if t != nil {
		j.ecsNamed("target", t.id, t.name)
	}
	w.end()
	if t := m.target(targetPolicy); t != nil {
		j.ecsNamed("rule", t.id, t.name)
	}
	if t := m.target(targetDevice); t != nil {
		w.object("device")
		w.text("id", t.id)
		w.end()
	}
	w.object("source")
	j.ecsAddress(m.by.user.address)
	w.end()
	w.object("user_agent")
	w.text("original", m.userAgent)
	w.end()
	w.object("trace")
	w.text("id", m.correlationID)
	w.end()
	if o.elastic {
		j.elasticAudit(rec)
	}
	j.ecsCommon(rec, actor, m.by.user.address)
	j.ecsLogferry(rec)
	w.object("role")
	w.text("name", m.role.name)
	w.text("id", m.role.id)
	w.text("template_id", m.role.templateID)
	w.end()
	w.end()
	j.ecsEnd(o)
}

// auditActor gives the user who did it, else the service. What a user did through an app shows the app as service only.
func (j *job) auditActor() person {
	m := &j.audit
	if u := &m.by.user; u.is() {
		return j.user(u.id, u.userPrincipalName, u.displayName)
	}
	return person{id: m.by.app.servicePrincipalID, name: first(m.by.app.name, m.by.app.servicePrincipalName)}
}

// outcomeOf tells the outcome in ECS words.
func outcomeOf(w *word) string {
	if w == nil {
		return "unknown"
	}
	return w.ecs
}

func (j *job) ecsAuditEvent(rec *event.Record) {
	m, w := &j.audit, &j.out
	j.ecsEventCore(rec, m.id, "azure.auditlogs")
	w.text("action", m.activityName)
	if m.configures() {
		w.words("category", configuration)
	} else {
		w.words("category", iam)
	}
	j.ecsAuditTypes()
	w.word("outcome", outcomeOf(m.outcome))
	w.text("reason", m.reason)
	w.text("provider", m.service)
	w.end()
}

// configures tells whether the activity belongs to category configuration; to iam otherwise. Types user and group go with iam only.
func (m *audit) configures() bool {
	return m.activity.configuration || !m.listed && m.target(targetPolicy) != nil
}

var configuration, iam = []string{"configuration"}, []string{"iam"}

// ecsAuditTypes writes event.type. Activities that are not listed get what kind of principal they are about.
func (j *job) ecsAuditTypes() {
	m, w := &j.audit, &j.out
	principal := m.principal()
	w.key("type")
	w.buf = append(w.buf, '[')
	if !m.listed && principal != "" {
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, principal...)
		w.buf = append(w.buf, '"')
	}
	for _, word := range m.activity.types {
		if word == "principal" {
			word = principal
		}
		if word == "" {
			continue
		}
		w.next()
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, word...)
		w.buf = append(w.buf, '"')
	}
	w.buf = append(w.buf, ']')
}

// principal tells whether the activity is about a user or a group. Where the table says that there is one, it counts as a
// user unless it is a group: service principals are users of ECS here, as actors and as members of roles.
func (m *audit) principal() string {
	t := m.target(targetUser, targetGroup)
	switch {
	case m.configures(), t == nil && !m.listed:
		return ""
	case t != nil && t.kind == targetGroup:
		return "group"
	}
	return "user"
}

func (j *job) ecsAuditMessage() {
	m, w := &j.audit, &j.out
	if m.activityName == nil || m.reason == nil {
		w.text("message", first(m.activityName, m.reason))
		return
	}
	w.key("message")
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, m.activityName...)
	w.buf = append(w.buf, " ("...)
	w.buf = append(w.buf, m.reason...)
	w.buf = append(w.buf, `)"`...)
}

// givesRole tells whether somebody got or lost the role, or asked for it. The role alone is the target when its own settings
// change: nobody holds more or less then.
func (m *audit) givesRole() bool {
	return !m.configures() && m.target(targetUser, targetGroup, targetServicePrincipal) != nil
}

// ecsAuditTarget writes user.target (the first user that it happened to) and user.changes, and collects what all targets are.
func (j *job) ecsAuditTarget() {
	m, w := &j.audit, &j.out
	for i := range m.targets {
		switch t := &m.targets[i]; t.kind {
		case targetUser:
			j.related.user(j.lower(t.userPrincipalName), t.id, t.name)
		case targetDevice:
			j.related.host(t.name)
		}
	}
	t := m.target(targetUser)
	if t != nil {
		w.object("target")
		j.ecsPerson(j.user(t.id, t.userPrincipalName, t.name))
		w.end()
	}
	w.object("changes")
	if t != nil && slices.Contains(m.activity.types, "change") {
		name := j.lower(t.properties.userPrincipalName)
		j.related.user(name)
		w.text("name", name)
		w.text("full_name", t.properties.displayName)
		w.text("email", j.lower(t.properties.mail))
		_, domain := mailOf(name)
		w.text("domain", domain)
	}
	if m.role.name != nil && m.givesRole() {
		w.key("roles")
		w.buf = append(w.buf, '[')
		w.quoted(m.role.name)
		w.buf = append(w.buf, ']')
	}
	w.end()
}
