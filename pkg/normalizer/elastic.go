package normalizer

import (
	"bytes"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// The elastic profile of schema ecs: next to the ECS fields, those that Elastic's integration of Azure logs makes of an envelope. Elastic's
// own rules, dashboards and machine learning jobs read them. Values are never decoded here: rules compare them as they were sent.

// elasticBegin opens azure and the log's object and writes what all logs have.
func (j *job) elasticBegin(rec *event.Record, correlation text, log, category string) {
	w := &j.out
	w.object("azure")
	w.string("tenant_id", rec.Key.Tenant)
	w.text("correlation_id", correlation)
	w.object(log)
	w.string("category", category)
	w.word("operation_version", "1.0")
}

func (j *job) elasticSignIn(rec *event.Record) {
	m, w := &j.signIn, &j.out
	j.elasticBegin(rec, m.correlationID, "signinlogs", j.signInCategory())
	w.word("operation_name", "Sign-in activity")
	j.resultType("result_type")
	w.word("result_signature", j.signInSignature())
	w.text("result_description", m.status.failureReason)
	w.text("identity", m.identity())
	j.elasticProperties(rec, familySignIns, "signin", "tenant_id")
	w.end()
	w.end()
	j.related.entity(m.userID, m.userPrincipalName, m.servicePrincipalID, m.appID, m.resourceID, m.device.id)
}

func (j *job) elasticAudit(rec *event.Record) {
	m, w := &j.audit, &j.out
	j.elasticBegin(rec, m.correlationID, "auditlogs", j.tables.envelopeOf(rec.Key.Stream).category)
	if m.activityName != nil {
		w.key("operation_name")
		w.buf = append(w.buf, '"')
		w.buf = appendHyphens(w.buf, m.activityName)
		w.buf = append(w.buf, '"')
	}
	w.word("result_signature", "None")
	w.text("result_description", m.reason)
	w.text("identity", m.by.identity())
	j.elasticProperties(rec, familyAudits, "audit", "tenantId")
	w.end()
	w.end()
	j.related.entity(m.by.user.id, m.by.user.userPrincipalName, m.by.app.servicePrincipalID, m.by.app.id)
	for i := range m.targets {
		j.related.entity(m.targets[i].id, m.targets[i].userPrincipalName)
	}
}

// elasticRisk is for detections, and for users and service principals at risk.
func (j *job) elasticRisk(rec *event.Record, actor person) {
	m, w := &j.core, &j.out
	row := j.tables.envelopeOf(rec.Key.Stream)
	j.elasticBegin(rec, m.id, "identityprotection", row.category)
	w.string("operation_name", row.operation)
	w.word("result_signature", "None")
	j.elasticProperties(rec, familyOther, "risk", "tenant_id")
	w.end()
	w.end()
	j.related.entity(actor.id, m.userPrincipalName, m.servicePrincipalID)
}

// appendHyphens appends t with a hyphen for each dash: "Update application – Certificates .." has one, and Elastic's rules do not.
func appendHyphens(dst []byte, t text) []byte {
	for {
		i := bytes.Index(t, dash)
		if i < 0 || i+len(dash) >= len(t) {
			return append(dst, t...)
		}
		dst = append(dst, t[:i]...)
		if last := t[i+len(dash)]; last == 0x93 || last == 0x94 { // U+2013, U+2014
			dst = append(dst, '-')
		} else {
			dst = append(dst, t[i:i+len(dash)+1]...)
		}
		t = t[i+len(dash)+1:]
	}
}

// dash is how the dashes in UTF-8 begin.
var dash = []byte("\xe2\x80")

// elasticProperties writes the record under Elastic's names.
func (j *job) elasticProperties(rec *event.Record, family family, layout, tenant string) {
	w := &j.out
	w.key("properties")
	l := j.tables.elasticLayouts[layout]
	j.enter(span{0, uint32(len(j.record))})
	if family == familySignIns && j.signIn.legacy || family == familyAudits && j.audit.legacy {
		j.Reader = jsonscan.Reader{Buf: j.graphNames(rec, family)}
	}
	w.buf = append(w.buf, '{')
	named := false
	for j.Object(); ; {
		key, ok := j.member()
		if !ok {
			break
		}
		named = named || string(key) == "tenantId" && !j.saysNothing(outBlanks)
		if family == familySignIns && string(key) == "userType" {
			if u := j.userTypeWord(); u != nil {
				w.word("user_type", u.envelope)
				continue
			}
		}
		j.rewriteMember(l, key, outBlanks)
	}
	if !named {
		j.addTenant(rec, tenant)
	}
	w.buf = append(w.buf, '}')
}

// graphNames gives a record of Azure AD Graph in Microsoft Graph's names.
func (j *job) graphNames(rec *event.Record, family family) []byte {
	w := &j.out
	start := len(w.buf)
	j.envelopeProperties(rec, family, outNulls)
	at := len(j.arena)
	j.arena = append(j.arena, w.buf[start:]...)
	w.buf = w.buf[:start]
	return j.arena[at:]
}
