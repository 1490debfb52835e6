package normalizer

import "github.com/logferry/logferry/pkg/event"

// core is the model of a record of a family that has no mapping of its own: who and from where, as far as members of the usual
// names stand at its top level.
type core struct {
	id                                   text
	userID, userPrincipalName, userName  text
	servicePrincipalID, servicePrincipal text
	correlationID                        text
	address                              address
	riskLevel, activity, category        text // of no event, for Facts
}

// readCore fills j.core from the record.
func (j *job) readCore() error {
	m := &j.core
	if j.Object() {
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			switch string(key) {
			case "id":
				m.id = j.text()
			case "userId":
				m.userID = j.text()
			case "userPrincipalName":
				m.userPrincipalName = j.text()
			case "userDisplayName":
				m.userName = j.text()
			case "servicePrincipalId":
				m.servicePrincipalID = j.text()
			case "servicePrincipalDisplayName":
				m.servicePrincipal = j.text()
			case "correlationId":
				m.correlationID = j.text()
			case "ipAddress":
				m.address = parseAddress(j.text())
			case "riskLevel", "severity": // the latter of alerts and incidents
				m.riskLevel = j.text()
			case "riskEventType", "title": // of detections; of alerts
				m.activity = j.text()
			case "category":
				m.category = j.text()
			default:
				j.Skip()
			}
		}
	}
	return j.finish()
}

// ecsCore renders such a record.
func (j *job) ecsCore(rec *event.Record, o options) {
	m, w := &j.core, &j.out
	actor := j.user(m.userID, m.userPrincipalName, m.userName)
	switch {
	case rec.Key.Stream == "risk.users": // one record for each user, under the user's id
		actor.id = m.id
	case m.userID == nil && m.userPrincipalName == nil && m.userName == nil:
		actor = person{id: m.servicePrincipalID, name: m.servicePrincipal}
	}
	j.ecsBegin(rec, nil)
	if o.elastic && rec.Key.Family() == "risk" {
		j.ecsEventCore(rec, nil, "azure.identity_protection")
		w.string("action", j.tables.envelopeOf(rec.Key.Stream).operation)
	} else {
		j.ecsEventCore(rec, nil, "azure."+rec.Key.Family())
	}
	w.end()
	w.object("user")
	j.ecsPerson(actor)
	w.end()
	w.object("source")
	j.ecsAddress(m.address)
	w.end()
	w.object("trace")
	w.text("id", m.correlationID)
	w.end()
	if o.elastic && rec.Key.Family() == "risk" {
		j.elasticRisk(rec, actor)
	}
	j.ecsCommon(rec, actor, m.address)
	j.ecsLogferry(rec)
	w.end()
	j.ecsEnd(o)
}

// eventKind is event.kind: what a service has judged to be suspicious is an alert.
func eventKind(stream string) string {
	switch stream {
	case "risk.detections", "risk.serviceprincipal_detections", "security.alerts", "security.incidents":
		return "alert"
	}
	return "event"
}
