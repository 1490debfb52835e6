package normalizer

import (
	"github.com/logferry/logferry/pkg/event"
)

// summary is what lines of text say of a record: cef and leef have the same, under names of their own.
type summary struct {
	class, name text // what kind of event it is, and its name; nil: the stream
	code        int64
	hasCode     bool   // an error code, which is the class of a sign-in
	action      string // what was done; "": operation
	operation   text
	outcome     string // success, failure, interrupted, unknown; "" where a kind of record has none
	reason, more,
	user, userID, userName,
	target, targetID,
	app, resource,
	agent, host,
	country, client, method, access, riskLevel,
	objectName, objectID, objectKind, role, category,
	attributes,
	service, correlation, record text
	from     address
	signIn   bool // somebody was to be identified
	severity int  // 0 to 10
}

// The severities, of CEF's 0 to 10 (LEEF has no 0): what went well, what waits for the user, what failed; then the levels of a risk that is
// still open.
const (
	severityOK          = 2
	severityInterrupted = 3
	severityFailure     = 5
	severityLow         = 4
	severityMedium      = 7
	severityHigh        = 9
)

// summarize reads the record and fills s.
func (j *job) summarize(s *summary, rec *event.Record) error {
	family, err := j.read(rec)
	if err != nil {
		return err
	}
	s.severity = severityOK
	switch family {
	case familySignIns:
		j.summarizeSignIn(s)
	case familyAudits:
		j.summarizeAudit(s)
	default:
		j.summarizeCore(s, rec)
	}
	return nil
}

func (s *summary) account(who account) {
	s.user, s.userID, s.userName = who.called(), who.id, who.display
}

func (j *job) summarizeSignIn(s *summary) {
	m := &j.signIn
	s.account(j.signInAccount())
	s.signIn, s.action = true, "logon"
	s.code, s.hasCode = m.status.errorCode, m.status.hasErrorCode
	if s.outcome = resultWords[m.result]; m.result == resultNone {
		s.outcome = "unknown"
	}
	s.reason = m.status.failureReason
	s.more = m.status.additionalDetails
	s.app, s.resource = first(m.appName, m.appID), first(m.resourceName, m.resourceID)
	s.target, s.targetID = s.user, s.userID
	s.agent, s.host = m.userAgent, m.device.name
	s.country = m.place.country
	s.client = j.textAt(m.at[signInClientAppUsed])
	s.method = j.lastMethod()
	s.access = j.knownAt(j.tables.conditionalAccess, m.at[signInConditionalAccessStatus])
	s.correlation, s.record, s.from = m.correlationID, m.id, m.address
	s.riskLevel = first(j.textAt(m.at[signInRiskLevelDuringSignIn]), m.riskLevelAggregated)
	switch m.result {
	case resultFailure:
		s.severity = severityFailure
	case resultInterrupted:
		s.severity = severityInterrupted
	}
	if state := j.tables.riskStates.find(j.textAt(m.at[signInRiskState])); state != nil && state.ocsfAlso == 1 { // the risk is open
		s.severity = max(s.severity, j.riskSeverity(s.riskLevel))
	}
}

// riskSeverity gives a level's severity, 0 for none.
func (j *job) riskSeverity(level text) int {
	if w := j.tables.riskLevels.find(level); w != nil {
		switch w.cim {
		case "low":
			return severityLow
		case "medium":
			return severityMedium
		case "high":
			return severityHigh
		}
	}
	return 0
}

func (j *job) summarizeAudit(s *summary) {
	m := &j.audit
	s.account(j.auditAccount())
	s.class, s.name = m.activityName, m.activityName
	s.action, s.operation = m.activity.cimAction, m.operation
	s.outcome = outcomeOf(m.outcome)
	s.reason = m.reason
	if s.outcome == "failure" {
		s.severity = severityFailure
	}
	whom := j.changedAccount()
	s.target, s.targetID = whom.called(), whom.id
	s.app = first(m.by.app.name, m.by.app.servicePrincipalName)
	s.agent, s.from = m.userAgent, m.by.user.address
	o := j.changed()
	s.objectName, s.objectID, s.objectKind = o.name, o.id, o.kind
	if o.category != "" {
		s.objectKind = j.keep([]byte(o.category))
	}
	s.role, s.category, s.service = m.role.name, m.category, m.service
	s.attributes = j.attributeNames()
	s.correlation, s.record = m.correlationID, m.id
}

// attributeNames joins the names of what was modified by commas.
func (j *job) attributeNames() text {
	j.readAttributes()
	if len(j.attrs) == 0 {
		return nil
	}
	start := len(j.arena)
	for i, name := range j.attrs {
		if i > 0 {
			j.arena = append(j.arena, ',')
		}
		j.arena = append(j.arena, name...)
	}
	return text(j.arena[start:len(j.arena):len(j.arena)])
}

func (j *job) summarizeCore(s *summary, rec *event.Record) {
	m := &j.core
	s.account(j.coreAccount(rec))
	s.name, s.category, s.riskLevel = m.activity, m.category, m.riskLevel
	s.correlation, s.record, s.from = m.correlationID, m.id, m.address
	s.severity = max(s.severity, j.riskSeverity(m.riskLevel))
}

// eventTime is when it happened, in milliseconds.
func eventTime(rec *event.Record) int64 {
	t := rec.Time
	if t.IsZero() {
		t = rec.Read
	}
	return t.UnixMilli()
}

// appendFlags appends the names of the record's flags, joined by commas.
func appendFlags(dst []byte, rec *event.Record) []byte {
	start := len(dst)
	for _, f := range flagNames {
		if rec.Flags&f.flag == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, f.name...)
	}
	return dst
}

var flagNames = [...]struct {
	flag event.Flags
	name string
}{
	{event.FlagUpdate, "update"},
	{event.FlagUncertain, "uncertain"},
	{event.FlagResent, "resent"},
	{event.FlagNoID, "no_id"},
	{event.FlagNoTime, "no_time"},
}
