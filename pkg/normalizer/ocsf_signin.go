package normalizer

import (
	"bytes"
	"strconv"

	"github.com/logferry/logferry/pkg/event"
)

var signInActivity = text("Sign-in activity")

// ocsfSignIn renders a sign-in as Authentication. The class demands a user and a service or a destination: without them a sign-in
// is a Base Event.
func (j *job) ocsfSignIn(rec *event.Record) {
	m, w := &j.signIn, &j.out
	who, kind := j.ocsfSignInUser()
	whole := who.known() && (m.appID != nil || m.appName != nil || m.resourceID != nil || m.resourceName != nil)
	h := ocsfHead{class: ocsfClass{ocsfAuthentication, ocsfLogon}, severity: ocsfInformational, id: m.id, time: m.created, correlation: m.correlationID, code: signInActivity, legacy: m.legacy}
	if w := j.ocsfOpenRisk(); w != nil {
		h.severity = w.ocsfAlso
	}
	h.host = whole && (m.device.id != nil || m.device.name != nil)
	if !whole {
		h.class, h.activityName = ocsfClass{ocsfBaseEvent, ocsfOther}, signInActivity
	}
	j.ocsfBegin(rec, h)
	j.ocsfSignInStatus()
	if m.hasProcessTime && m.processingTime >= 0 {
		w.integer("duration", m.processingTime)
	}
	j.ocsfSignInRisk()
	j.ocsfAccess()
	if whole {
		j.ocsfLogon(rec, who, kind)
	} else {
		j.ocsfObservables(who, m.address)
	}
	w.object("unmapped")
	j.ocsfSignInUnmapped()
	j.ecsSignInLogferry(rec)
	w.end()
}

func (j *job) ocsfSignInUser() (who person, kind int) {
	m := &j.signIn
	if m.byService() {
		return person{id: m.servicePrincipalID, name: first(m.servicePrincipalName, m.appName)}, ocsfService
	}
	kind = ocsfUser
	if t := j.tables.userTypes.find(j.textAt(m.at[signInUserType])); t != nil && t.ocsf != absent {
		kind = t.ocsf
	}
	return j.user(m.userID, m.userPrincipalName, m.userDisplayName), kind
}

// ocsfLogon writes what the class Authentication has and the Base Event has not.
func (j *job) ocsfLogon(rec *event.Record, who person, kind int) {
	m, w := &j.signIn, &j.out
	if kind := j.tables.signInKinds[m.kind]; kind != nil {
		w.integer("logon_type_id", int64(kind.ocsf))
		w.word("logon_type", kind.text) // 2, Interactive, is somebody in front of a device's console
	}
	w.bool("is_remote", true)
	if !m.byService() { // of a service no second factor is asked
		w.tristate("is_mfa", m.mfa)
	}
	j.ocsfProtocol()
	j.ocsfFactors()
	j.ocsfToken()

	w.object("user")
	j.ocsfPerson(who, kind)
	w.object("org")
	w.text("uid", m.foreignTenant(rec.Key.Tenant))
	w.end()
	j.ocsfCredential()
	w.end()
	w.object("actor")
	w.text("app_uid", m.appID)
	w.text("app_name", m.appName)
	w.object("user")
	w.text("uid", who.id)
	w.end()
	w.end()
	j.ocsfNamed("service", m.appID, m.appName)
	w.object("dst_endpoint")
	w.text("uid", m.resourceID)
	w.text("name", m.resourceName)
	w.text("svc_name", m.resourceName)
	w.end()
	j.ocsfSource()
	j.ocsfDevice()
	w.object("http_request")
	w.text("uid", m.originalRequestID)
	w.text("user_agent", m.userAgent)
	w.end()
	if id := j.textAt(m.at[signInSessionID]); id != nil {
		w.object("session")
		w.text("uid", id)
		if !m.byService() {
			w.tristate("is_mfa", m.mfa)
		}
		w.bool("is_remote", true)
		w.end()
	}
}

var interrupted = text("Interrupted")

func (j *job) ocsfSignInStatus() {
	m, w := &j.signIn, &j.out
	j.ecsSignInMessage()
	j.enum("status_id", "status", j.tables.ocsfNames.status, j.tables.signInResults[m.result].ocsf, interrupted)
	if m.status.hasErrorCode {
		w.key("status_code")
		w.buf = append(w.buf, '"')
		w.buf = strconv.AppendInt(w.buf, m.status.errorCode, 10)
		w.buf = append(w.buf, '"')
	}
	w.text("status_detail", first(m.status.failureReason, m.status.additionalDetails))
}

// ocsfRiskText gives the level of risk during the sign-in, else the user's.
func (j *job) ocsfRiskText() text {
	m := &j.signIn
	return first(j.textAt(m.at[signInRiskLevelDuringSignIn]), m.riskLevelAggregated)
}

// ocsfOpenRisk gives the row of the level as long as nobody has settled the risk; nil otherwise. It makes the severity.
func (j *job) ocsfOpenRisk() *word {
	state := j.tables.riskStates.find(j.textAt(j.signIn.at[signInRiskState]))
	if state == nil || state.ocsfAlso != 1 {
		return nil
	}
	level := j.tables.riskLevels.find(j.ocsfRiskText())
	if level == nil || level.ocsfAlso == absent {
		return nil
	}
	return level
}

func (j *job) ocsfSignInRisk() {
	level := j.ocsfRiskText()
	if level != nil {
		id := ocsfOther
		if known := j.tables.riskLevels.find(level); known != nil {
			id = known.ocsf
		}
		j.enum("risk_level_id", "risk_level", j.tables.ocsfNames.riskLevel, id, level)
	}
	if detail := j.textAt(j.signIn.at[signInRiskDetail]); string(detail) != "none" {
		j.out.text("risk_details", detail)
	}
}

// ocsfProtocol writes the protocol; of several words the first that has a number counts.
func (j *job) ocsfProtocol() {
	t := j.textAt(j.signIn.at[signInAuthenticationProtocol])
	j.ocsfFlags("auth_protocol_id", "auth_protocol", j.tables.ocsfNames.protocol, j.tables.protocols, t)
}

// ocsfToken writes the token that came in with the request.
func (j *job) ocsfToken() {
	t := j.textAt(j.signIn.at[signInIncomingTokenType])
	j.out.object("authentication_token")
	j.ocsfFlags("type_id", "type", j.tables.ocsfNames.token, j.tables.incomingTokens, t)
	j.out.end()
}

// ocsfFlags writes an attribute for a text that joins several words by commas: that of the first word with a number of its own,
// else of the first that is not "none".
func (j *job) ocsfFlags(idName, name string, captions map[int]string, v *vocabulary, t text) {
	id, own := absent, text(nil)
	for rest := []byte(t); len(rest) > 0; {
		var part []byte
		part, rest, _ = bytes.Cut(rest, comma)
		if part = bytes.TrimSpace(part); !says(part) {
			continue
		}
		switch w := v.find(part); {
		case w != nil && w.ocsf == absent: // "none"
		case w != nil && w.ocsf != ocsfOther:
			j.enum(idName, name, captions, w.ocsf, nil)
			return
		case own == nil:
			id, own = ocsfOther, part
		}
	}
	j.enum(idName, name, captions, id, own)
}

// ocsfSource writes src_endpoint. It has no hostname: what reads OCSF as Splunk's CIM would take it for the source in place of the address.
func (j *job) ocsfSource() {
	m, w := &j.signIn, &j.out
	if !m.address.ip.IsValid() && m.device.id == nil && m.device.name == nil {
		return // an endpoint has one of them
	}
	w.object("src_endpoint")
	w.ip("ip", m.address.ip)
	if m.address.ip.IsValid() && m.address.port != 0 {
		w.integer("port", int64(m.address.port))
	}
	w.text("uid", m.device.id)
	w.text("name", m.device.name)
	w.openList("intermediate_ips")
	for _, via := range [...]address{m.viaResource, m.viaGlobalSecure} {
		if via.ip.IsValid() && via.ip != m.address.ip {
			w.next()
			w.quotedIP(via.ip)
		}
	}
	w.closeList()
	w.object("autonomous_system")
	if m.hasAutonomousSystem && m.autonomousSystem > 0 {
		w.integer("number", m.autonomousSystem)
	}
	w.end()
	j.ocsfLocation()
	j.ocsfSystem()
	w.end()
}

// ocsfLocation writes location, which demands more than coordinates.
func (j *job) ocsfLocation() {
	m, w := &j.signIn, &j.out
	c := m.place.country
	country := len(c) == 2 && letter(c[0]) && letter(c[1])
	if m.place.city == nil && m.place.state == nil && !country {
		return
	}
	w.object("location")
	w.text("city", m.place.city)
	w.text("region", m.place.state)
	if country {
		w.key("country")
		w.buf = append(w.buf, '"', c[0]&^0x20, c[1]&^0x20, '"')
	}
	w.number("lat", m.place.latitude)
	w.number("long", m.place.longitude)
	w.end()
}

func (j *job) ocsfSystem() {
	d, w := &j.signIn.device, &j.out
	if d.operatingSystem == nil {
		return
	}
	id := ocsfOther
	if d.system != nil {
		id = d.system.ocsf
	}
	w.object("os")
	w.text("name", d.operatingSystem)
	j.enum("type_id", "type", j.tables.ocsfNames.system, id, d.operatingSystem)
	w.end()
}

func (j *job) ocsfDevice() {
	d, w := &j.signIn.device, &j.out
	if d.id == nil && d.name == nil {
		return
	}
	w.object("device")
	w.text("uid", d.id)
	w.text("name", d.name)
	w.integer("type_id", 0)
	w.word("type", "Unknown")
	w.tristate("is_compliant", d.compliant)
	w.tristate("is_managed", d.managed)
	j.ocsfSystem()
	w.end()
}
