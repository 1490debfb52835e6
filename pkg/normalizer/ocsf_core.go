package normalizer

import "github.com/logferry/logferry/pkg/event"

// ocsfCore renders a record of a family without a mapping of its own as Base Event.
func (j *job) ocsfCore(rec *event.Record) {
	m, w := &j.core, &j.out
	h := ocsfHead{id: m.id, correlation: m.correlationID, activityName: m.activity, code: m.activity}
	if m.activity != nil {
		h.class.activity = ocsfOther
	}
	j.ocsfBegin(rec, h)
	w.text("message", m.activity)
	who := j.user(m.userID, m.userPrincipalName, m.userName)
	switch {
	case rec.Key.Stream == "risk.users": // one record for each user, under the user's id
		who.id = m.id
	case m.userID == nil && m.userPrincipalName == nil && m.userName == nil:
		who = person{id: m.servicePrincipalID, name: m.servicePrincipal}
	}
	j.ocsfObservables(who, m.address)
	w.object("unmapped")
	w.text("category", m.category)
	j.ecsLogferry(rec)
	w.end()
	w.end()
}

// ocsfObservables writes who and from where for the Base Event, which has no user and no source.
func (j *job) ocsfObservables(who person, from address) {
	const address, userName, userID = 2, 4, 31
	w := &j.out
	w.openList("observables")
	j.ocsfObservable("user.uid", userID, who.id)
	j.ocsfObservable("user.name", userName, who.name)
	if from.ip.IsValid() {
		w.openItem()
		w.word("name", "src_endpoint.ip")
		j.enum("type_id", "type", j.tables.ocsfNames.observable, address, nil)
		w.ip("value", from.ip)
		w.end()
	}
	w.closeList()
}

func (j *job) ocsfObservable(name string, kind int, value text) {
	if value == nil {
		return
	}
	w := &j.out
	w.openItem()
	w.word("name", name)
	j.enum("type_id", "type", j.tables.ocsfNames.observable, kind, nil)
	w.text("value", value)
	w.end()
}
