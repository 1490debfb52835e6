package normalizer

import (
	"bytes"
	"math"
	"strconv"

	"github.com/logferry/logferry/pkg/event"
)

var signInOK, signInOther = []string{"start"}, []string{"info"}

func (j *job) ecsSignIn(rec *event.Record, o options) {
	m, w := &j.signIn, &j.out
	var actor person
	if m.byService() {
		actor = person{id: m.servicePrincipalID, name: first(m.servicePrincipalName, m.appName)}
	} else {
		actor = j.user(m.userID, m.userPrincipalName, m.userDisplayName)
	}
	j.related.host(m.device.name)
	j.related.ip(m.address)
	j.related.ip(m.viaResource)
	j.related.ip(m.viaGlobalSecure)

	j.ecsBegin(rec, m.created)
	j.ecsSignInEvent(rec, o)
	j.ecsSignInMessage()
	j.ecsSignInUser(actor)
	j.ecsSignInSource()
	j.ecsSignInAgent()
	w.object("service")
	w.text("id", m.appID)
	w.text("name", m.appName)
	j.ecsNamed("target", m.resourceID, m.resourceName)
	w.end()
	w.object("device")
	w.text("id", m.device.id)
	w.end()
	j.ecsNamed("rule", m.failedPolicy.id, m.failedPolicy.name)
	w.object("organization")
	w.text("id", m.foreignTenant(rec.Key.Tenant))
	w.end()
	w.object("trace")
	w.text("id", m.correlationID)
	w.end()
	w.object("http")
	w.object("request")
	w.text("id", m.originalRequestID)
	w.end()
	w.end()
	if o.elastic {
		j.elasticSignIn(rec)
	}
	j.ecsCommon(rec, actor, m.address)
	j.ecsSignInLogferry(rec)
	j.ecsEnd(o)
}

func (j *job) ecsSignInEvent(rec *event.Record, o options) {
	m, w := &j.signIn, &j.out
	j.ecsEventCore(rec, m.id, "azure.signinlogs")
	w.word("action", "Sign-in activity")
	w.words("category", authentication)
	if m.result == resultSuccess {
		w.words("type", signInOK)
	} else {
		w.words("type", signInOther)
	}
	w.word("outcome", j.ecsOutcome(o))
	if m.status.hasErrorCode {
		w.key("code")
		w.buf = append(w.buf, '"')
		w.buf = strconv.AppendInt(w.buf, m.status.errorCode, 10)
		w.buf = append(w.buf, '"')
	}
	w.text("reason", m.status.failureReason)
	if m.hasProcessTime && m.processingTime >= 0 && m.processingTime <= math.MaxInt64/nsPerMs {
		w.integer("duration", m.processingTime*nsPerMs)
	}
	w.end()
}

const nsPerMs = 1_000_000

var authentication = []string{"authentication"}

// ecsOutcome tells the outcome in ECS words; what an interrupt counts as is the operator's choice.
func (j *job) ecsOutcome(o options) string {
	if j.signIn.result == resultInterrupted {
		return o.interrupted
	}
	if o.elastic && j.signIn.result == resultNone {
		return "success" // as Elastic's integration has it
	}
	return j.tables.signInResults[j.signIn.result].ecs
}

// ecsSignInMessage writes "reason (details)", or whichever there is.
func (j *job) ecsSignInMessage() {
	m, w := &j.signIn, &j.out
	if m.status.failureReason == nil || m.status.additionalDetails == nil {
		w.text("message", first(m.status.failureReason, m.status.additionalDetails))
		return
	}
	w.key("message")
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, m.status.failureReason...)
	w.buf = append(w.buf, " ("...)
	w.buf = append(w.buf, m.status.additionalDetails...)
	w.buf = append(w.buf, `)"`...)
}

func (j *job) ecsSignInUser(actor person) {
	w := &j.out
	w.object("user")
	j.ecsPerson(actor)
	w.object("risk")
	if level := j.signIn.riskLevelAggregated; level != nil {
		if known := j.tables.riskLevels.find(level); known != nil {
			w.word("static_level", known.ecs)
		} else {
			w.text("static_level", level)
		}
	}
	w.end()
	w.end()
}

func (j *job) ecsSignInSource() {
	m, w := &j.signIn, &j.out
	w.object("source")
	j.ecsAddress(m.address)
	w.object("as")
	if m.hasAutonomousSystem && m.autonomousSystem > 0 {
		w.integer("number", m.autonomousSystem)
	}
	w.end()
	w.object("geo")
	w.text("name", m.networkName)
	w.text("city_name", m.place.city)
	w.text("region_name", m.place.state)
	if c := m.place.country; len(c) == 2 && letter(c[0]) && letter(c[1]) {
		w.key("country_iso_code")
		w.buf = append(w.buf, '"', c[0]&^0x20, c[1]&^0x20, '"')
	}
	w.object("location")
	w.number("lat", m.place.latitude)
	w.number("lon", m.place.longitude)
	w.end()
	w.end()
	w.end()
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func (j *job) ecsSignInAgent() {
	m, w := &j.signIn, &j.out
	w.object("user_agent")
	if m.userAgent != nil {
		w.text("original", m.userAgent)
	} else {
		name, version := browserVersion(m.device.browser)
		w.text("name", name)
		w.text("version", version)
	}
	w.object("os")
	w.text("full", m.device.operatingSystem)
	if m.device.system != nil {
		w.word("type", m.device.system.osType)
	}
	w.end()
	w.end()
}

// foreignTenant gives the home tenant of a user of another organization.
func (m *signIn) foreignTenant(tenant string) text {
	home := m.homeTenantID
	if len(tenant) != len(zeroGUID) { // a domain, because the token named no tenant: the resource's tenant stands in for it
		if bytes.EqualFold(home, m.resourceTenantID) {
			return nil
		}
		return home
	}
	if bytes.EqualFold(home, []byte(tenant)) {
		return nil
	}
	return home
}

func (j *job) ecsSignInLogferry(rec *event.Record) {
	m, w := &j.signIn, &j.out
	j.ecsLogferry(rec)
	w.object("signin")
	w.word("result", resultWords[m.result])
	if !m.byService() { // neither a password nor a second factor is asked of a service
		w.tristate("password_accepted", m.passwordAccepted)
		w.tristate("mfa", m.mfa)
	}
	w.end()
	w.end()
}
