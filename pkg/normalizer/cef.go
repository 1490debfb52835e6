package normalizer

import (
	"strconv"

	"github.com/logferry/logferry/pkg/event"
)

// renderCEF is the writer of schema cef, a line of the Common Event Format:
//
//	CEF:0|Microsoft|Entra ID|2|50126|Sign-in activity|5|rt=1772600767123 externalId=.. suser=user@contoso.com ..
//
// The class is a sign-in's error code, an audit's activity, else the stream. Names of keys are those of the ArcSight dictionary;
// what it has no key for stands in cs1 to cs6 with their labels.
func (j *job) renderCEF(rec *event.Record, o options) error {
	s := new(summary)
	if err := j.summarize(s, rec); err != nil {
		return err
	}
	l := line{buf: j.out.buf, form: formCEF, scratch: j.scratch}
	l.buf = append(l.buf, "CEF:0|Microsoft|Entra ID|"...)
	l.head(s, rec)
	l.buf = strconv.AppendInt(l.buf, int64(s.severity), 10)
	l.begin()
	l.number("rt", eventTime(rec))
	l.id(rec)
	l.string("deviceExternalId", rec.Key.Tenant)
	l.string("cat", rec.Key.Stream)
	l.cefWhat(s)
	l.cefWho(s)
	if s.signIn {
		l.cefSignIn(s)
	} else {
		l.cefOther(s)
	}
	l.custom("cs2", "Correlation ID", s.correlation)
	if rec.Flags != 0 {
		l.string("cs6Label", "Flags")
		l.flags("cs6", rec)
	}
	l.number("cn2", Version)
	l.string("cn2Label", "Mapping Version")
	if l.record("flexString2", rec, s) {
		l.string("flexString2Label", "Record ID")
	}
	if o.keepRaw {
		l.raw("rawEvent", rec)
	}
	j.out.buf, j.scratch = l.buf, l.scratch
	return nil
}

// cefWhat writes what happened.
func (l *line) cefWhat(s *summary) {
	if s.action != "" {
		l.string("act", s.action)
	} else {
		l.text("act", s.operation)
	}
	l.string("outcome", s.outcome)
	if s.hasCode {
		l.number("cn1", s.code)
		l.string("cn1Label", "Error Code")
	}
	l.text("reason", s.reason)
	l.text("msg", s.more)
}

// cefWho writes who did it, to whom and from where. In a sign-in suser and duser are the same, since content looks at either. The dictionary
// knows src for IPv4 alone.
func (l *line) cefWho(s *summary) {
	l.text("suser", s.user)
	l.text("suid", s.userID)
	l.text("duser", s.target)
	l.text("duid", s.targetID)
	if ip := s.from.ip; ip.Is4() {
		l.ip("src", ip)
	} else if ip.IsValid() {
		l.ip("c6a2", ip)
		l.string("c6a2Label", "Source IPv6 Address")
	}
	if s.from.port != 0 {
		l.number("spt", int64(s.from.port))
	}
	l.text("shost", s.host)
	l.text("requestClientApplication", s.agent)
	l.custom("cs1", "Application", s.app)
}

func (l *line) cefSignIn(s *summary) {
	l.text("destinationServiceName", s.resource)
	l.custom("cs3", "Risk Level", s.riskLevel)
	l.custom("cs4", "Conditional Access", s.access)
	l.custom("cs5", "Client App", s.client)
	l.custom("flexString1", "Country", s.country)
}

func (l *line) cefOther(s *summary) {
	l.text("destinationServiceName", s.service)
	l.custom("cs3", "Object", first(s.objectName, s.objectID))
	if s.objectKind != nil {
		l.custom("cs4", "Object Category", s.objectKind)
	} else {
		l.custom("cs4", "Category", s.category)
	}
	switch {
	case s.riskLevel != nil:
		l.custom("cs5", "Risk Level", s.riskLevel)
	case s.role != nil:
		l.custom("cs5", "Role", s.role)
	default:
		l.custom("cs5", "Modified Properties", s.attributes)
	}
	l.custom("flexString1", "Object ID", s.objectID)
}
