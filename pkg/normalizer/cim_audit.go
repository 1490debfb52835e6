package normalizer

import (
	"bytes"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// changedObject is what an audited activity changed, in terms of CIM's model Change.
type changedObject struct {
	id, name text
	category string // object_category; "" if only kind says it
	kind     text   // a target's own type, of which no table knows
}

func (j *job) cimAudit(rec *event.Record) {
	m, w := &j.audit, &j.out
	who := j.auditAccount()
	o := j.changed()
	j.cimBegin(rec, m.time, m.id)
	w.word("action", m.activity.cimAction)
	w.word("change_type", m.changeType())
	w.text("command", m.activityName)
	w.text("signature", m.activityName)
	w.text("category", m.category)
	if m.outcome != nil {
		w.word("status", m.outcome.cim)
	}
	j.cimResult()
	w.text("object", first(o.name, o.id))
	w.text("object_id", j.unquoted(o.id))
	if o.category != "" {
		w.word("object_category", o.category)
	} else {
		w.text("object_category", j.unquoted(j.lower(o.kind)))
	}
	j.cimAttributes()
	w.text("role", m.role.name)
	j.cimUsers(&who)
	j.cimSource(m.by.user.address)
	j.cimDirectory(rec)
	if m.service != nil {
		w.text("dvc", m.service)
	} else {
		w.word("dvc", vendorProduct)
	}
	w.text("app", first(m.by.app.name, m.by.app.servicePrincipalName))
	w.text("app_id", m.by.app.id)
	w.text("user_agent", m.userAgent)
	w.text("correlation_id", m.correlationID)
	j.ecsLogferry(rec)
	w.end()
}

// auditAccount gives who did it.
func (j *job) auditAccount() account {
	m := &j.audit
	if u := &m.by.user; u.is() {
		return j.userAccount(u.id, u.userPrincipalName, u.displayName)
	}
	a := &m.by.app
	who := account{id: a.servicePrincipalID, name: first(a.name, a.servicePrincipalName)}
	who.service = who.called() != nil
	return who
}

// changeType is AAA (authentication, authorization, accounting) for all that iam is in ECS.
func (m *audit) changeType() string {
	if m.activity.cimChangeType == "configuration" || m.configures() {
		return "configuration"
	}
	return "AAA"
}

// cimResult writes what explains the status; a failure has to have it.
func (j *job) cimResult() {
	m, w := &j.audit, &j.out
	if m.reason == nil && m.outcome != nil && m.outcome.cim == "failure" {
		w.word("result", m.outcome.text)
		return
	}
	w.text("result", m.reason)
}

// cimUsers writes src_user, who did it, and user: whom it was done to, or src_user again where no account was changed.
func (j *job) cimUsers(who *account) {
	w := &j.out
	w.text("src_user", who.called())
	w.text("src_user_id", who.id)
	w.text("src_user_name", who.display)
	if who.service {
		w.word("src_user_type", "service")
	}
	whom := j.changedAccount()
	if whom.called() == nil {
		whom = *who
	}
	w.text("user", whom.called())
	w.text("user_id", whom.id)
	w.text("user_name", whom.display)
	if whom.service {
		w.word("user_type", "service")
	}
}

// changedAccount gives the account that the activity was done to: the first user; a service principal where it got or lost a role.
func (j *job) changedAccount() account {
	m := &j.audit
	if t := m.target(targetUser); t != nil {
		return j.userAccount(t.id, t.userPrincipalName, t.name)
	}
	if t := m.target(targetServicePrincipal); t != nil && m.role.name != nil && m.givesRole() {
		return account{id: t.id, name: t.name, service: true}
	}
	return account{}
}

// objectKinds is the order in which targets are looked for where the table of activities does not say what was changed.
var objectKinds = [...]targetKind{targetUser, targetGroup, targetServicePrincipal, targetApplication, targetDevice, targetPolicy}

// changed finds the object: what the table of activities says that it is, else the first target in order of kinds. Where the table names a
// kind of which there is no target, a target of another known kind speaks for itself: owners come with and without what they own.
func (j *job) changed() (o changedObject) {
	m := &j.audit
	o.category = m.activity.cimObjectCategory
	if o.category == "group" {
		if o.id, o.name = m.group(); o.id != nil || o.name != nil {
			return o
		}
	}
	if o.category == "service_principal" && m.grantee.known() {
		o.id, o.name = m.grantee.id, m.grantee.name
		return o
	}
	t := m.objectTarget(o.category)
	switch {
	case t == nil:
		return o
	case t.word != nil && (o.category == "" || t.kind != targetOther):
		o.category = t.word.cim
	}
	if t.word == nil && o.category == "" {
		o.kind = t.typeText
	}
	o.id, o.name = t.id, t.name
	if t.kind == targetUser {
		o.name = first(j.lower(t.userPrincipalName), t.name)
	}
	return o
}

// objectTarget finds the target of an object_category, else the first; nil if there are none.
func (m *audit) objectTarget(category string) *target {
	for i := range m.targets {
		if t := &m.targets[i]; category != "" && t.word != nil && t.word.cim == category {
			return t
		}
	}
	for _, kind := range objectKinds {
		if t := m.target(kind); t != nil && category == "" {
			return t
		}
	}
	if len(m.targets) == 0 {
		return nil
	}
	return &m.targets[0]
}

// mostAttributes bounds the names in object_attrs: the record holds the rest.
const mostAttributes = 100

// cimAttributes writes the names of what was modified.
func (j *job) cimAttributes() {
	w := &j.out
	j.readAttributes()
	if len(j.attrs) == 0 {
		return
	}
	w.key("object_attrs")
	w.buf = append(w.buf, '"')
	for i, name := range j.attrs {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, name...)
	}
	w.buf = append(w.buf, '"')
}

var roleAttribute, roleProperties = text("role"), []byte("Role.")

// readAttributes collects the names of all targets' modifiedProperties in j.attrs, each once. A role that somebody got or lost is "role",
// instead of the four properties that describe it; the property that lists the others is none.
func (j *job) readAttributes() {
	m := &j.audit
	roles := m.role.name != nil && m.givesRole()
	if roles {
		j.attrs = append(j.attrs, roleAttribute)
	}
	for i := range m.targets {
		if m.targets[i].modified.end == 0 {
			continue
		}
		j.enter(m.targets[i].modified)
		if !j.array() {
			continue
		}
		for j.Element() {
			p, ok := j.readProperty()
			if !ok || len(j.attrs) == mostAttributes || bytes.Equal(p.name, updatedNames) || roles && bytes.HasPrefix(p.name, roleProperties) {
				continue
			}
			j.attrs = addText(j.attrs, j.unquoted(p.name))
		}
	}
}

var escapedQuote = []byte(`\"`)

// unquoted gives t with ' for ", which CIM does not allow in object_attrs and object_id.
func (j *job) unquoted(t text) text {
	if !bytes.Contains(t, escapedQuote) {
		return t
	}
	start := len(j.arena)
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case c != '\\':
			j.arena = append(j.arena, c)
		case t[i+1] == '"':
			j.arena = append(j.arena, '\'')
			i++
		default:
			j.arena = append(j.arena, c, t[i+1])
			i++
		}
	}
	return text(j.arena[start:len(j.arena):len(j.arena)])
}

// appendInside appends s as the inside of a JSON string.
func appendInside(dst []byte, s string) []byte {
	at := len(dst)
	dst = jsonscan.AppendString(dst, s)
	copy(dst[at:], dst[at+1:len(dst)-1])
	return dst[:len(dst)-2]
}
