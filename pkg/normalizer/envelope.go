package normalizer

import (
	"strconv"
	"strings"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// The envelope in which Azure Monitor sends records of Entra ID to an Event Hub. Most public detection rules are written against it.
// https://learn.microsoft.com/entra/identity/monitoring-health/howto-stream-logs-to-event-hub
//
// The record stands under "properties"; around it are a few members that say the same of every kind of record. Our own last member,
// "logferry", tells repeats and updates apart; rules pass it over.

// renderEnvelope is the writer of schema envelope.
func (j *job) renderEnvelope(rec *event.Record, o options) error {
	family, err := j.read(rec)
	if err != nil {
		return err
	}
	out := outNulls
	if o.graphCase {
		out = outNothing
	}
	w := &j.out
	w.begin()
	switch family {
	case familySignIns:
		j.envelopeSignIn(rec)
	case familyAudits:
		j.envelopeAudit(rec)
	default:
		j.envelopeCore(rec)
	}
	w.key("properties")
	j.envelopeProperties(rec, family, out)
	j.ecsLogferry(rec)
	w.end()
	w.finish()
	return nil
}

// envelopeHead is what differs between kinds of records before the caller, in the order of the members.
type envelopeHead struct {
	time      text
	operation []byte // JSON, or nil for word
	word      string
	category  string
}

// envelopeBegin writes the members up to tenantId.
func (j *job) envelopeBegin(rec *event.Record, h envelopeHead) {
	w := &j.out
	j.eventTime("time", rec, h.time)
	w.key("resourceId")
	w.buf = append(w.buf, `"/tenants/`...)
	at := len(w.buf)
	w.buf = jsonscan.AppendString(w.buf, rec.Key.Tenant)
	copy(w.buf[at:], w.buf[at+1:]) // the quotes go
	w.buf = append(w.buf[:len(w.buf)-2], `/providers/Microsoft.aadiam"`...)
	if h.operation != nil {
		w.key("operationName")
		w.buf = append(w.buf, h.operation...)
	}
	w.string("operationName", h.word)
	w.word("operationVersion", "1.0")
	w.string("category", h.category)
	w.string("tenantId", rec.Key.Tenant)
}

// envelopeCaller writes the members from durationMs on.
func (j *job) envelopeCaller(duration int64, address, correlation, identity, location text) {
	w := &j.out
	w.integer("durationMs", max(duration, 0))
	w.text("callerIpAddress", address)
	w.text("correlationId", correlation)
	w.text("identity", identity)
	w.integer("Level", 4)
	w.text("location", location)
}

func (j *job) envelopeSignIn(rec *event.Record) {
	m, w := &j.signIn, &j.out
	j.envelopeBegin(rec, envelopeHead{time: m.created, word: "Sign-in activity", category: j.signInCategory()})
	j.resultType("resultType")
	w.word("resultSignature", j.signInSignature())
	w.text("resultDescription", m.status.failureReason)
	j.envelopeCaller(m.processingTime, m.address.text, m.correlationID, m.identity(), m.place.country)
}

// resultType writes the error code as a text.
func (j *job) resultType(name string) {
	m, w := &j.signIn, &j.out
	if !m.status.hasErrorCode {
		return
	}
	w.key(name)
	w.buf = append(w.buf, '"')
	w.buf = strconv.AppendInt(w.buf, m.status.errorCode, 10)
	w.buf = append(w.buf, '"')
}

func (j *job) signInSignature() string {
	if w := j.tables.signInResults[j.signIn.result]; w.envelope != "" {
		return w.envelope
	}
	return "None"
}

// identity is who signed in, as people read it.
func (m *signIn) identity() text {
	if m.byService() {
		return m.servicePrincipalName
	}
	return m.userDisplayName
}

// signInCategory tells the log that Azure Monitor would write the sign-in to.
func (j *job) signInCategory() string {
	m := &j.signIn
	if issuer := j.textAt(m.at[signInTokenIssuerType]); issuer != nil {
		if w := j.tables.tokenIssuers.find(issuer); w != nil && w.envelope != "" {
			return w.envelope
		}
	}
	kind := m.kind
	if kind == kindUnknown {
		kind = kindInteractive
		if j.boolAt(m.at[signInIsInteractive]) == no {
			kind = kindNonInteractive
		}
	}
	return j.tables.signInKinds[kind].envelope
}

func (j *job) envelopeAudit(rec *event.Record) {
	m, w := &j.audit, &j.out
	row := j.tables.envelopeOf(rec.Key.Stream)
	j.envelopeBegin(rec, envelopeHead{time: m.time, operation: j.auditOperation(), category: row.category})
	w.word("resultSignature", "None")
	w.text("resultDescription", m.reason)
	j.envelopeCaller(0, m.by.user.address.text, m.correlationID, m.by.identity(), nil)
}

// auditOperation gives the activity's name as sent, with the blank at its end that some have: rules compare it.
func (j *job) auditOperation() []byte {
	m := &j.audit
	if m.activityName == nil {
		return nil
	}
	if raw := j.raw(m.at[auditActivityDisplayName]); len(raw) > 0 {
		return raw
	}
	return j.raw(m.at[auditLegacyActivity])
}

func (by *initiator) identity() text { return first(by.user.displayName, by.app.name) }

func (j *job) envelopeCore(rec *event.Record) {
	m, w := &j.core, &j.out
	row := j.tables.envelopeOf(rec.Key.Stream)
	j.envelopeBegin(rec, envelopeHead{time: j.textAt(j.find(row.time)), word: row.operation, category: row.category})
	if result := j.textAt(j.find(row.result)); result != nil {
		w.text("resultType", result)
		if c := &w.buf[len(w.buf)-len(result)-1]; *c >= 'a' && *c <= 'z' {
			*c -= 'a' - 'A'
		}
	}
	w.word("resultSignature", "None")
	var duration int64
	if at := j.find(row.duration); at.end != 0 {
		j.enter(at)
		duration, _ = j.integer()
	}
	j.envelopeCaller(duration, m.address.text, j.textAt(j.find(row.correlation)), nil, nil)
}

// find gives the place of a member, by its path of one or two names. It goes over the whole record: records that need it are few.
func (j *job) find(path string) (at span) {
	name, below, nested := strings.Cut(path, ".")
	if path == "" {
		return span{}
	}
	j.enter(span{0, uint32(len(j.record))})
	at = j.findHere(name)
	if nested && at.end != 0 {
		j.enter(at)
		at = j.findHere(below)
	}
	return at
}

// findHere gives the last member of that name in the object that comes next: of doubled ones the last counts.
func (j *job) findHere(name string) (at span) {
	if !j.object() {
		return at
	}
	for {
		key, ok := j.member()
		if !ok {
			return at
		}
		start := j.Pos
		j.Skip()
		if string(key) == name {
			at = span{uint32(start), uint32(j.Pos)}
		}
	}
}
