package normalizer

import (
	"bytes"
	"math"
	"strconv"

	"github.com/logferry/logferry/pkg/event"
)

var signInOK, signInOther = []string{"start"}, []string{"info"}

func (j *job) ecsSignIn(rec *event.Record, opts ecsOptions) {
	m, w := &j.signIn, &j.out
	var actor person
	if m.byService() {
		actor = person{id: m.servicePrincipalID, name: first(m.servicePrincipalName, m.appName)}
	} else {
		actor = j.user(m.userID, m.userPrincipalName, m.userDisplayName)
	}
	j.related.host(m.hostname)
	j.related.ip(m.address)
	j.related.ip(m.viaResource)
	j.related.ip(m.viaGlobalSecure)

	j.ecsBegin(rec, m.created)
	j.ecsSignInEvent(rec, opts)
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
	w.text("id", m.deviceID)
	w.end()
	j.ecsNamed("rule", m.failedPolicyID, m.failedPolicyName)
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
	j.ecsCommon(rec, actor, m.address)
	j.ecsSignInLogferry(rec)
	j.ecsEnd(rec, opts)
}

func (j *job) ecsSignInEvent(rec *event.Record, opts ecsOptions) {
	m, w := &j.signIn, &j.out
	j.ecsEventCore(rec, m.id, "azure.signinlogs")
	w.word("action", "Sign-in activity")
	w.words("category", authentication)
	if m.result == resultSuccess {
		w.words("type", signInOK)
	} else {
		w.words("type", signInOther)
	}
	w.word("outcome", m.ecsOutcome(opts))
	if m.hasErrorCode {
		w.key("code")
		w.buf = append(w.buf, '"')
		w.buf = strconv.AppendInt(w.buf, m.errorCode, 10)
		w.buf = append(w.buf, '"')
	}
	w.text("reason", m.failureReason)
	if m.hasProcessTime && m.processingTime >= 0 && m.processingTime <= math.MaxInt64/nsPerMs {
		w.integer("duration", m.processingTime*nsPerMs)
	}
	w.end()
}

const nsPerMs = 1_000_000

var authentication = []string{"authentication"}

func (m *signIn) ecsOutcome(opts ecsOptions) string {
	switch m.result {
	case resultSuccess:
		return "success"
	case resultFailure:
		return "failure"
	case resultInterrupted:
		return opts.interrupted
	}
	return "unknown"
}

// ecsSignInMessage writes "reason (details)", or whichever there is.
func (j *job) ecsSignInMessage() {
	m, w := &j.signIn, &j.out
	if m.failureReason == nil || m.additionalDetails == nil {
		w.text("message", first(m.failureReason, m.additionalDetails))
		return
	}
	w.key("message")
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, m.failureReason...)
	w.buf = append(w.buf, " ("...)
	w.buf = append(w.buf, m.additionalDetails...)
	w.buf = append(w.buf, `)"`...)
}

func (j *job) ecsSignInUser(actor person) {
	w := &j.out
	w.object("user")
	j.ecsPerson(actor)
	w.object("risk")
	w.text("static_level", riskLevel(j.signIn.riskLevelAggregated))
	w.end()
	w.end()
}

// riskLevel gives the level in the spelling of ECS; a word that is not known stays as it is.
func riskLevel(level text) text {
	switch string(level) {
	case "none":
		return riskNone
	case "low":
		return riskLow
	case "medium":
		return riskMedium
	case "high":
		return riskHigh
	}
	return level
}

var riskNone, riskLow, riskMedium, riskHigh = text("None"), text("Low"), text("Medium"), text("High")

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
	w.text("city_name", m.city)
	w.text("region_name", m.state)
	if c := m.country; len(c) == 2 && letter(c[0]) && letter(c[1]) {
		w.key("country_iso_code")
		w.buf = append(w.buf, '"', c[0]&^0x20, c[1]&^0x20, '"')
	}
	w.object("location")
	w.number("lat", m.latitude)
	w.number("lon", m.longitude)
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
		name, version := browserVersion(m.browser)
		w.text("name", name)
		w.text("version", version)
	}
	w.object("os")
	w.text("full", m.operatingSystem)
	w.word("type", m.osType)
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
