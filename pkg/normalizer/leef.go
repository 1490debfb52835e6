package normalizer

import "github.com/logferry/logferry/pkg/event"

// renderLEEF is the writer of schema leef, a line of the Log Event Extended Format 2.0 with tabs between its pairs:
//
//	LEEF:2.0|Microsoft|Entra ID|2|50126|x09|devTime=1772600767123	sev=5	usrName=user@contoso.com	..
//
// The event's id is a sign-in's error code, an audit's activity, else the stream. The format has no escapes: tabs and line ends within values are
// blanks here.
func (j *job) renderLEEF(rec *event.Record, o options) error {
	s := new(summary)
	if err := j.summarize(s, rec); err != nil {
		return err
	}
	l := line{buf: j.out.buf, form: formLEEF, scratch: j.scratch}
	l.buf = append(l.buf, "LEEF:2.0|Microsoft|Entra ID|"...)
	l.head(s, rec)
	l.buf = append(l.buf, "x09"...)
	l.begin()
	l.number("devTime", eventTime(rec))
	l.string("cat", rec.Key.Stream)
	l.number("sev", int64(s.severity))
	l.leefWho(s)
	l.leefWhat(s)
	l.text("role", s.role)
	l.text("object", s.objectName)
	l.text("objectId", s.objectID)
	l.text("objectCategory", s.objectKind)
	l.text("modifiedProperties", s.attributes)
	l.text("category", s.category)
	l.text("service", s.service)
	l.text("correlationId", s.correlation)
	l.id(rec)
	l.record("recordId", rec, s)
	l.string("tenant", rec.Key.Tenant)
	l.number("mapping", Version)
	if rec.Flags != 0 {
		l.flags("flags", rec)
	}
	if o.keepRaw {
		l.raw("rawEvent", rec)
	}
	j.out.buf, j.scratch = l.buf, l.scratch
	return nil
}

func (l *line) leefWho(s *summary) {
	l.text("usrName", s.user)
	l.text("userId", s.userID)
	l.text("userDisplayName", s.userName)
	l.ip("src", s.from.ip)
	if s.from.port != 0 {
		l.number("srcPort", int64(s.from.port))
	}
	if s.signIn {
		l.ip("identSrc", s.from.ip)
		l.text("identHostName", s.host)
		l.text("resource", s.resource)
		l.text("country", s.country)
		l.text("clientApp", s.client)
		l.text("authenticationMethod", s.method)
		l.text("conditionalAccess", s.access)
	} else {
		l.text("targetUser", s.target)
		l.text("targetUserId", s.targetID)
	}
	l.text("riskLevel", s.riskLevel)
	l.text("app", s.app)
	l.text("userAgent", s.agent)
}

func (l *line) leefWhat(s *summary) {
	if s.action != "" {
		l.string("action", s.action)
	} else {
		l.text("action", s.operation)
	}
	l.string("outcome", s.outcome)
	if s.hasCode {
		l.number("errorCode", s.code)
	}
	l.text("activity", s.name)
	l.text("reason", s.reason)
	l.text("details", s.more)
}
