package simulator

import (
	"math"
	"strconv"
)

// organisation is what the records of a tenant have in common.
type organisation struct {
	id, domain string
	key        uint64
}

func newOrganisation(t Tenant, seed uint64) *organisation {
	key := seed
	for _, c := range []byte(t.ID) {
		key = draw(key, uint64(c))
	}
	return &organisation{id: t.ID, domain: t.Domain, key: key}
}

// traits is what a record's contents are printed from.
type traits struct {
	org     *organisation
	stream  int
	index   int64
	at      ticks
	version int
	beta    bool
	hides   bool // see item
	created ticks
	size    int

	key      uint64
	user     int64 // number of the user, or of the service principal
	app      *app
	where    *location
	device   *device
	outcome  *outcome
	activity *activity
	passed   bool // an interrupt that has become a success
}

// Salts of the contents.
const (
	saltID = saltContents + iota
	saltID2
	saltCorrelation
	saltUser
	saltApp
	saltLocation
	saltDevice
	saltOutcome
	saltAddress
	saltTarget
	saltTarget2
	saltDetail
	saltNumber
)

const (
	userCount     = 4000
	workloadCount = 150
	guestEvery    = 23 // each n-th user is a guest
)

func (g *generator) traits(r *traits, i int64, at ticks, version int, beta bool) {
	key := g.record(i)
	*r = traits{org: g.org, stream: g.stream, index: i, at: at, version: version, beta: beta, size: g.size, key: key}
	r.app = &apps[draw(key, saltApp)%uint64(len(apps))]
	r.where = &locations[draw(key, saltLocation)%uint64(len(locations))]
	r.device = &devices[draw(key, saltDevice)%uint64(len(devices))]
	switch g.stream {
	case streamProvisioning, streamRiskDetections, streamRiskUsers, streamRiskServicePrincipals, streamServicePrincipalDetections, streamAlerts, streamIncidents, streamAttributes:
		g.furtherTraits(r)
	case streamServicePrincipal, streamManagedIdentity:
		r.user = int64(draw(key, saltUser) % workloadCount)
		r.outcome = &outcomes[0]
		if g.stream == streamServicePrincipal && draw(key, saltOutcome)%20 == 0 {
			r.outcome = &workloadFailure
		}
	case streamAudits:
		r.user = int64(draw(key, saltUser) % userCount)
		r.activity = &activities[draw(key, saltOutcome)%uint64(len(activities))]
	default:
		r.user = int64(draw(key, saltUser) % userCount)
		r.outcome = pickOutcome(draw(key, saltOutcome))
	}
	if version > 0 && r.outcome != nil && r.outcome.interrupt {
		r.outcome, r.passed = &outcomes[1], true
	}
}

// append prints record i as a version of the API shows it. What r holds does not matter: it is room to work in.
func (g *generator) append(dst []byte, r *traits, i int64, at ticks, version int, beta bool) []byte {
	g.traits(r, i, at, version, beta)
	return r.append(dst)
}

func (r *traits) append(dst []byte) []byte {
	start := len(dst)
	switch r.stream {
	case streamProvisioning, streamRiskDetections, streamRiskUsers, streamRiskServicePrincipals, streamServicePrincipalDetections, streamAlerts, streamIncidents:
		dst = furtherTemplates[r.stream].append(dst, r)
	case streamAudits, streamAttributes:
		dst = auditTemplate.append(dst, r)
	case streamServicePrincipal, streamManagedIdentity:
		dst = workloadTemplate.append(dst, r)
	default:
		dst = userTemplate.append(dst, r)
	}
	return r.grow(dst, start)
}

// grow makes a record as large as wanted, by policies or details that did not apply.
func (r *traits) grow(dst []byte, start int) []byte {
	if r.size == 0 || len(dst)-start >= r.size {
		return dst
	}
	name := `,"appliedEventListeners":[`
	if r.activity != nil {
		name = `,"performedBy":null,"additionalNotes":[`
	}
	dst = append(dst[:len(dst)-1], name...)
	for n := uint64(0); ; n++ {
		dst = append(dst, `{"eventType":"tokenIssuanceStart","executedListener":{"id":"`...)
		dst = appendGUID(dst, draw(r.key, saltNumber+n+1), draw(r.key, saltNumber+n+2))
		dst = append(dst, `","handler":null}}`...)
		if len(dst)+2-start >= r.size {
			return append(dst, "]}"...)
		}
		dst = append(dst, ',')
	}
}

// property returns a property that a filter asks for.
func (r *traits) property(name string) string {
	var dst []byte
	switch name {
	case "id":
		dst = appendID(dst, r)
	case "correlationId":
		dst = appendCorrelation(dst, r)
	case "userId", "initiatedBy/user/id":
		dst = r.ofUser(appendUserID)
	case "userPrincipalName", "initiatedBy/user/userPrincipalName":
		dst = r.ofUser(appendUPN)
	case "appId":
		dst = appendAppID(dst, r)
	case "appDisplayName":
		dst = appendAppName(dst, r)
	case "ipAddress":
		dst = appendAddress(dst, r)
	case "activityDisplayName":
		return r.activity.name
	case "category":
		return r.activity.category
	case "loggedByService":
		return r.activity.service
	case "initiatedBy/app/appId":
		dst = r.ofApp(appendWorkloadAppID)
	case "initiatedBy/app/displayName":
		dst = r.ofApp(appendWorkloadName)
	default:
		return r.legacyProperty(name)
	}
	return string(dst)
}

// ofUser prints a field where the record is a user's; elsewhere it is null, which equals nothing.
func (r *traits) ofUser(f field) []byte {
	if r.stream == streamServicePrincipal || r.stream == streamManagedIdentity || (r.activity != nil && r.byApp()) {
		return nil
	}
	return f(nil, r)
}

func (r *traits) ofApp(f field) []byte {
	if r.activity == nil || !r.byApp() {
		return nil
	}
	return f(nil, r)
}

// byApp says whether an audit record was started by an app.
func (r *traits) byApp() bool { return draw(r.key, saltDetail)%5 < 2 }

func (r *traits) guest() bool { return r.user%guestEvery == 0 }

// mfa says whether a second factor was asked for.
func (r *traits) mfa() bool { return r.outcome.mfa || draw(r.key, saltDetail)%4 == 0 }

func appendID(dst []byte, r *traits) []byte {
	switch r.stream {
	case streamAudits, streamAttributes:
	case streamRiskUsers:
		return appendUserID(dst, r)
	case streamRiskServicePrincipals:
		return appendWorkloadID(dst, r)
	case streamIncidents:
		return strconv.AppendInt(dst, 1000+r.index, 10)
	default:
		return appendGUID(dst, draw(r.key, saltID), draw(r.key, saltID2))
	}
	dst = append(dst, "Directory_"...)
	dst = append(appendCorrelation(dst, r), '_')
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	bits := draw(r.key, saltID)
	for range 5 {
		dst = append(dst, letters[bits%uint64(len(letters))])
		bits /= uint64(len(letters))
	}
	dst = append(dst, '_')
	// The number rises with the record's, so that no two ids are equal.
	return strconv.AppendInt(dst, 10_000_000+r.index, 10)
}

func appendCorrelation(dst []byte, r *traits) []byte {
	key := r.key
	if r.activity != nil {
		key = draw(r.org.key, uint64(r.index/3)) // an operation has several audit records
	}
	return appendGUID(dst, draw(key, saltCorrelation), draw(key, saltCorrelation+100))
}

func appendCreated(dst []byte, r *traits) []byte { return appendTime(dst, r.at) }

func appendUserID(dst []byte, r *traits) []byte { return r.userID(dst, r.user) }

func (r *traits) userID(dst []byte, n int64) []byte {
	key := draw(r.org.key, uint64(n))
	return appendGUID(dst, draw(key, saltUser), draw(key, saltUser+100))
}

func appendUPN(dst []byte, r *traits) []byte { return r.upn(dst, r.user) }

func (r *traits) upn(dst []byte, n int64) []byte {
	if n%guestEvery == 0 {
		dst = append(dst, "partner."...)
		return append(appendPadded(dst, n, 4), "@fabrikam.com"...)
	}
	dst = append(dst, departments[n%int64(len(departments))].local...)
	dst = append(appendPadded(append(dst, '.'), n, 4), '@')
	return append(dst, r.org.domain...)
}

func appendUserName(dst []byte, r *traits) []byte { return r.userName(dst, r.user) }

func (r *traits) userName(dst []byte, n int64) []byte {
	if n%guestEvery == 0 {
		return appendPadded(append(dst, "Partner "...), n, 4)
	}
	dst = append(dst, departments[n%int64(len(departments))].name...)
	return appendPadded(append(dst, ' '), n, 4)
}

func appendHomeTenant(dst []byte, r *traits) []byte {
	if r.guest() && r.stream < streamServicePrincipal {
		return append(dst, "9a2b7c1e-3d4f-4a5b-8c6d-7e8f90a1b2c3"...)
	}
	return append(dst, r.org.id...)
}

func appendTenant(dst []byte, r *traits) []byte { return append(dst, r.org.id...) }

func appendAppID(dst []byte, r *traits) []byte {
	if r.stream == streamServicePrincipal || r.stream == streamManagedIdentity {
		return appendWorkloadAppID(dst, r)
	}
	return append(dst, r.app.id...)
}

func appendAppName(dst []byte, r *traits) []byte {
	if r.stream == streamServicePrincipal || r.stream == streamManagedIdentity {
		return appendWorkloadName(dst, r)
	}
	return append(dst, r.app.name...)
}

func appendWorkloadAppID(dst []byte, r *traits) []byte { return r.workload(dst, saltApp) }

func appendWorkloadID(dst []byte, r *traits) []byte { return r.workload(dst, saltTarget) }

func (r *traits) workload(dst []byte, salt uint64) []byte {
	key := draw(r.org.key, uint64(userCount+r.user))
	return appendGUID(dst, draw(key, salt), draw(key, salt+100))
}

func appendWorkloadName(dst []byte, r *traits) []byte {
	dst = append(dst, workloads[r.user%int64(len(workloads))]...)
	return appendPadded(append(dst, '-'), r.user, 3)
}

// appendAddress prints an address out of the documentation ranges (RFC 5737, RFC 3849).
func appendAddress(dst []byte, r *traits) []byte {
	if r.stream == streamManagedIdentity {
		return dst // these come without an address
	}
	bits := draw(r.key, saltAddress)
	if bits%8 == 0 {
		dst = append(dst, "2001:db8:"...)
		for shift := 16; shift < 64; shift += 16 {
			dst = append(strconv.AppendUint(dst, bits>>shift&0xffff|1, 16), ':')
		}
		return append(dst, ":1"...)
	}
	dst = append(dst, [...]string{"192.0.2.", "198.51.100.", "203.0.113."}[bits>>8%3]...)
	return strconv.AppendUint(dst, 1+bits>>16%254, 10)
}

func appendLatitude(dst []byte, r *traits) []byte  { return r.coordinate(dst, r.where.latitude) }
func appendLongitude(dst []byte, r *traits) []byte { return r.coordinate(dst, r.where.longitude) }

// coordinate prints hundred-thousandths of a degree.
func (r *traits) coordinate(dst []byte, v int64) []byte {
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	dst = strconv.AppendInt(dst, v/100000, 10)
	return appendPadded(append(dst, '.'), v%100000, 5)
}

func appendStepTime(dst []byte, r *traits) []byte {
	return appendTime(dst, r.at+int64(draw(r.key, saltDetail)%uint64(5*ticksPerSecond)))
}

func appendDuration(dst []byte, r *traits) []byte {
	return strconv.AppendInt(dst, int64(40+math.Abs(unit(draw(r.key, saltNumber))*900)), 10)
}

// appendTokenID prints 22 characters, the base64url form of 16 bytes.
func appendTokenID(dst []byte, r *traits) []byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for n := uint64(0); n < 3; n++ {
		bits := draw(r.key, saltID+200+n)
		for range min(10, 22-10*int(n)) {
			dst = append(dst, digits[bits&63])
			bits >>= 6
		}
	}
	return dst
}
