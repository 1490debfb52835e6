package normalizer

import (
	"bytes"
	"strconv"

	"github.com/logferry/logferry/pkg/event"
)

// Splunk's Common Information Model: the fields of its models Authentication and Change at the top level, what we know of the
// record under "logferry", the record as sent under "raw". The flat fields come first: Splunk looks for fields in the first
// 10,240 characters of an event only, and at the first hundred, unless told otherwise.

// vendorProduct is the vendor_product of every event.
const vendorProduct = "Microsoft Entra ID"

// renderCIM is the writer of schema cim.
func (j *job) renderCIM(rec *event.Record, o options) error {
	family, err := j.read(rec)
	if err != nil {
		return err
	}
	switch family {
	case familySignIns:
		j.cimSignIn(rec)
	case familyAudits:
		j.cimAudit(rec)
	default:
		j.cimCore(rec)
	}
	w := &j.out
	if !o.dropRaw {
		w.key("raw")
		w.buf = j.appendRecord(w.buf)
	}
	w.finish()
	return nil
}

// cimBegin opens the event with its time. The indexed fields of Splunk's sink are called event_id and stream: a member of that name here
// would double them, so that the record's id is record_id.
func (j *job) cimBegin(rec *event.Record, own, id text) {
	w := &j.out
	w.begin()
	switch {
	case rec.Flags&event.FlagNoTime == 0 && isUTC(own):
		w.text("time", own)
	case !rec.Time.IsZero():
		w.time("time", rec.Time)
	default:
		w.time("time", rec.Read)
	}
	w.word("vendor_product", vendorProduct)
	w.string("vendor_account", rec.Key.Tenant)
	w.string("tenant", rec.Key.Tenant)
	if id != nil {
		w.text("record_id", id)
	} else {
		w.string("record_id", rec.ID)
	}
}

// cimDirectory writes that the tenant's directory itself was the destination.
func (j *job) cimDirectory(rec *event.Record) {
	w := &j.out
	w.key("dest")
	w.buf = append(w.buf, `"entra:`...)
	at := len(w.buf)
	w.buf = appendInside(w.buf, rec.Key.Tenant)
	if len(w.buf) == at {
		w.buf = w.buf[:at-1]
	}
	w.buf = append(w.buf, '"')
}

func (j *job) cimSource(a address) {
	w := &j.out
	if a.ip.IsValid() {
		w.ip("src", a.ip)
		w.ip("src_ip", a.ip)
	} else {
		w.text("src", a.text)
	}
	if a.port != 0 {
		w.integer("src_port", int64(a.port))
	}
}

// account is a user or service principal as CIM sees it: its name is in full and in lower case, never the name on display, which two may
// share.
type account struct {
	id, name, display text
	service           bool
}

// called gives what stands for the account in fields that must have a value.
func (a *account) called() text { return first(a.name, a.id) }

func (j *job) userAccount(id, userPrincipalName, display text) account {
	return account{id: id, name: j.lower(userPrincipalName), display: display}
}

func (m *signIn) serviceAccount() account {
	return account{id: m.servicePrincipalID, name: first(m.servicePrincipalName, m.appName), service: true}
}

func (j *job) signInAccount() account {
	m := &j.signIn
	if m.byService() {
		return m.serviceAccount()
	}
	return j.userAccount(m.userID, m.userPrincipalName, m.userDisplayName)
}

func (j *job) cimSignIn(rec *event.Record) {
	m, w := &j.signIn, &j.out
	who := j.signInAccount()
	j.cimBegin(rec, m.created, m.id)
	w.word("action", j.tables.signInResults[m.result].cim)
	w.word("signature", "Sign-in activity")
	j.cimErrorCode()
	w.text("reason", first(m.status.failureReason, m.status.additionalDetails))
	w.text("user", who.called())
	w.text("user_id", who.id)
	w.text("user_name", who.display)
	j.cimUserType(&who)
	j.cimSource(m.address)
	w.text("src_nt_host", m.device.name)
	w.text("src_dvc_id", m.device.id)
	w.text("src_city", m.place.city)
	w.text("src_region", m.place.state)
	w.text("src_country", m.place.country)
	w.number("src_lat", m.place.latitude)
	w.number("src_long", m.place.longitude)
	w.text("os", m.device.operatingSystem)
	w.text("app", first(m.appName, m.appID))
	w.text("app_id", m.appID)
	if dest := first(m.resourceName, m.resourceID); dest != nil {
		w.text("dest", dest)
		w.text("dest_id", m.resourceID)
	} else {
		j.cimDirectory(rec)
	}
	w.text("user_agent", m.userAgent)
	w.text("authentication_method", j.lastMethod())
	w.text("authentication_service", j.protocol())
	w.text("client_app", j.textAt(m.at[signInClientAppUsed]))
	w.text("session_id", j.textAt(m.at[signInSessionID]))
	w.text("correlation_id", m.correlationID)
	j.cimSeconds("duration")
	j.cimSeconds("response_time")
	j.cimRisk()
	j.ecsSignInLogferry(rec)
}

// cimErrorCode writes signature_id, and reason_id unless the sign-in went well.
func (j *job) cimErrorCode() {
	s, w := &j.signIn.status, &j.out
	for _, name := range [...]string{"signature_id", "reason_id"} {
		if !s.hasErrorCode || name == "reason_id" && s.errorCode == 0 {
			continue
		}
		w.key(name)
		w.buf = append(w.buf, '"')
		w.buf = strconv.AppendInt(w.buf, s.errorCode, 10)
		w.buf = append(w.buf, '"')
	}
}

// cimUserType writes service for service principals and managed identities, else member or guest if the record says so.
func (j *job) cimUserType(who *account) {
	if who.service {
		j.out.word("user_type", "service")
		return
	}
	if t := j.tables.userTypes.find(j.textAt(j.signIn.at[signInUserType])); t != nil {
		j.out.word("user_type", t.text)
	}
}

// lastMethod gives the last of the methods that were used: the second factor if there was one. Claims that came with a token are none.
func (j *job) lastMethod() (last text) {
	m := &j.signIn
	if m.at[signInAuthenticationDetails].end == 0 {
		return j.textAt(m.at[signInLegacyMfaAuthMethod])
	}
	j.enter(m.at[signInAuthenticationDetails])
	if !j.array() {
		return nil
	}
	for j.Element() {
		if s, ok := j.readStep(); ok && s.methodText != nil && (s.method == nil || s.method.ocsf != 0) {
			last = s.methodText
		}
	}
	return last
}

// protocol gives authenticationProtocol, which is "none" in most records.
func (j *job) protocol() text {
	if t := j.textAt(j.signIn.at[signInAuthenticationProtocol]); !bytes.EqualFold(t, none) {
		return t
	}
	return nil
}

var none = []byte("none")

// cimSeconds writes the time that the sign-in took. Zero is none, and CIM takes no more than an hour.
func (j *job) cimSeconds(name string) {
	m, w := &j.signIn, &j.out
	const hour = 3_600_000 // in milliseconds
	if !m.hasProcessTime || m.processingTime <= 0 || m.processingTime > hour {
		return
	}
	w.key(name)
	w.buf = strconv.AppendFloat(w.buf, float64(m.processingTime)/1000, 'f', -1, 64)
}

func (j *job) cimRisk() {
	m, w := &j.signIn, &j.out
	w.text("risk_level", m.riskLevelAggregated)
	w.text("risk_level_during_signin", j.textAt(m.at[signInRiskLevelDuringSignIn]))
	w.text("risk_state", j.knownAt(j.tables.riskStates, m.at[signInRiskState]))
}

// knownAt gives a member's word if the table has it. Words that nobody knows stay in the record.
func (j *job) knownAt(v *vocabulary, at span) text {
	if t := j.textAt(at); v.find(t) != nil {
		return t
	}
	return nil
}

// cimCore renders a record without a mapping of its own.
func (j *job) cimCore(rec *event.Record) {
	m, w := &j.core, &j.out
	who := j.coreAccount(rec)
	j.cimBegin(rec, nil, m.id)
	w.text("signature", m.activity)
	w.text("category", m.category)
	if level := j.tables.riskLevels.find(m.riskLevel); level != nil {
		w.word("severity", level.cim)
	}
	w.text("user", who.called())
	w.text("user_id", who.id)
	w.text("user_name", who.display)
	if who.service {
		w.word("user_type", "service")
	}
	j.cimSource(m.address)
	j.cimDirectory(rec)
	w.text("correlation_id", m.correlationID)
	j.ecsLogferry(rec)
	w.end()
}

func (j *job) coreAccount(rec *event.Record) account {
	m := &j.core
	switch {
	case rec.Key.Stream == "risk.users": // one record for each user, under the user's id
		return j.userAccount(m.id, m.userPrincipalName, m.userName)
	case m.userID == nil && m.userPrincipalName == nil && m.userName == nil && first(m.servicePrincipalID, m.servicePrincipal) != nil:
		return account{id: m.servicePrincipalID, name: m.servicePrincipal, service: true}
	}
	return j.userAccount(m.userID, m.userPrincipalName, m.userName)
}
