package normalizer

// signInKind is how somebody signed in: the stream, or what the record says itself.
type signInKind uint8

const (
	kindUnknown signInKind = iota
	kindInteractive
	kindNonInteractive
	kindServicePrincipal
	kindManagedIdentity
)

// signIn is the model of a Graph signIn (beta or v1.0, which is a subset), independent of any schema.
// https://learn.microsoft.com/graph/api/resources/signin
type signIn struct {
	id, created text
	kind        signInKind

	userPrincipalName, userID, userDisplayName   text
	servicePrincipalID, servicePrincipalName     text
	homeTenantID, resourceTenantID               text
	appID, appName, resourceID, resourceName     text
	correlationID, originalRequestID             text
	authenticationRequirement, userAgent         text
	browser, operatingSystem, deviceID, hostname text
	osType                                       string // ECS word, "" if not known

	address                             address // the client's
	viaResource, viaGlobalSecure        address // as others saw the client
	autonomousSystem, processingTime    int64
	hasAutonomousSystem, hasProcessTime bool

	city, state, country text
	latitude, longitude  []byte // number texts; both or none, never 0/0, in range
	networkName          text   // the first named location

	errorCode                        int64
	hasErrorCode                     bool
	failureReason, additionalDetails text
	result                           result
	passwordStep                     bool // a password among authenticationDetails was right
	passwordAccepted, mfa            tristate

	failedPolicyID, failedPolicyName text // the first Conditional Access policy that was not met
	riskLevelAggregated              text
	riskLevelDuring, clientApp       text // of no event, for Facts
}

// readSignIn fills j.signIn from the record.
func (j *job) readSignIn(stream string, t *tables) error {
	m := &j.signIn
	m.kind = kindOfStream(stream)
	if j.Object() {
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			j.signInMember(m, key)
		}
	}
	if err := j.finish(); err != nil {
		return err
	}
	j.concludeSignIn(m, t)
	return nil
}

func kindOfStream(stream string) signInKind {
	switch stream {
	case "signins.interactive":
		return kindInteractive
	case "signins.noninteractive":
		return kindNonInteractive
	case "signins.serviceprincipal":
		return kindServicePrincipal
	case "signins.managedidentity":
		return kindManagedIdentity
	}
	return kindUnknown
}

// textField gives the place of a member that is a plain text; nil for other members.
func (m *signIn) textField(key []byte) *text {
	switch string(key) {
	case "id":
		return &m.id
	case "createdDateTime", "signinDateTime": // the latter is Azure AD Graph's, whose other names of its own are not read
		return &m.created
	case "userPrincipalName":
		return &m.userPrincipalName
	case "userId":
		return &m.userID
	case "userDisplayName":
		return &m.userDisplayName
	case "servicePrincipalId":
		return &m.servicePrincipalID
	case "servicePrincipalName":
		return &m.servicePrincipalName
	case "homeTenantId":
		return &m.homeTenantID
	case "resourceTenantId":
		return &m.resourceTenantID
	case "appId":
		return &m.appID
	case "appDisplayName":
		return &m.appName
	case "resourceId":
		return &m.resourceID
	case "resourceDisplayName":
		return &m.resourceName
	case "correlationId":
		return &m.correlationID
	case "originalRequestId":
		return &m.originalRequestID
	case "authenticationRequirement":
		return &m.authenticationRequirement
	case "userAgent":
		return &m.userAgent
	case "riskLevelAggregated":
		return &m.riskLevelAggregated
	case "riskLevelDuringSignIn":
		return &m.riskLevelDuring
	case "clientAppUsed":
		return &m.clientApp
	}
	return nil
}

func (j *job) signInMember(m *signIn, key []byte) {
	if field := m.textField(key); field != nil {
		*field = j.text()
		return
	}
	switch string(key) {
	case "ipAddress":
		m.address = parseAddress(j.text())
	case "ipAddressFromResourceProvider":
		m.viaResource = parseAddress(j.text())
	case "globalSecureAccessIpAddress":
		m.viaGlobalSecure = parseAddress(j.text())
	case "autonomousSystemNumber":
		m.autonomousSystem, m.hasAutonomousSystem = j.integer()
	case "processingTimeInMilliseconds":
		m.processingTime, m.hasProcessTime = j.integer()
	case "status":
		j.signInStatus(m)
	case "deviceDetail":
		j.signInDevice(m)
	case "location":
		j.signInLocation(m)
	case "networkLocationDetails":
		j.signInNetwork(m)
	case "appliedConditionalAccessPolicies":
		j.signInPolicies(m)
	case "signInEventTypes":
		j.signInEventTypes(m)
	case "authenticationDetails":
		j.signInSteps(m)
	default:
		j.Skip()
	}
}

func (j *job) signInStatus(m *signIn) {
	if !j.object() {
		return
	}
	for {
		key, ok := j.Member()
		if !ok {
			return
		}
		switch string(key) {
		case "errorCode":
			m.errorCode, m.hasErrorCode = j.integer()
		case "failureReason":
			m.failureReason = j.text()
		case "additionalDetails":
			m.additionalDetails = j.text()
		default:
			j.Skip()
		}
	}
}

func (j *job) signInDevice(m *signIn) {
	if !j.object() {
		return
	}
	for {
		key, ok := j.Member()
		if !ok {
			return
		}
		switch string(key) {
		case "deviceId":
			m.deviceID = j.text()
		case "displayName":
			m.hostname = j.text()
		case "operatingSystem":
			m.operatingSystem = j.text()
		case "browser":
			m.browser = j.text()
		default:
			j.Skip()
		}
	}
}

func (j *job) signInLocation(m *signIn) {
	if !j.object() {
		return
	}
	for {
		key, ok := j.Member()
		if !ok {
			return
		}
		switch string(key) {
		case "city":
			m.city = j.text()
		case "state":
			m.state = j.text()
		case "countryOrRegion":
			m.country = j.text()
		case "geoCoordinates":
			m.latitude, m.longitude = j.coordinates()
		default:
			j.Skip()
		}
	}
}

// coordinates consumes geoCoordinates. The service writes 0/0 for "nowhere"; a pair out of range would make a search engine
// refuse the whole event.
func (j *job) coordinates() (latitude, longitude []byte) {
	if !j.object() {
		return nil, nil
	}
	for {
		key, ok := j.Member()
		if !ok {
			break
		}
		switch string(key) {
		case "latitude":
			latitude = j.number()
		case "longitude":
			longitude = j.number()
		default:
			j.Skip()
		}
	}
	latOK, latZero := coordinate(latitude, 90)
	longOK, longZero := coordinate(longitude, 180)
	if !latOK || !longOK || latZero && longZero {
		return nil, nil
	}
	return latitude, longitude
}

// signInNetwork takes the first name of networkLocationDetails[].networkNames[].
func (j *job) signInNetwork(m *signIn) {
	m.networkName = nil
	if !j.array() {
		return
	}
	for j.Element() {
		if !j.object() {
			continue
		}
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			if string(key) != "networkNames" {
				j.Skip()
			} else if name := j.firstText(); m.networkName == nil {
				m.networkName = name
			}
		}
	}
}

// signInPolicies takes the first Conditional Access policy that was not met.
func (j *job) signInPolicies(m *signIn) {
	m.failedPolicyID, m.failedPolicyName = nil, nil
	if !j.array() {
		return
	}
	for found := false; j.Element(); {
		if found {
			j.Skip()
			continue
		}
		if !j.object() {
			continue
		}
		var id, name, outcome []byte
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			switch string(key) {
			case "id":
				id = j.Text()
			case "displayName":
				name = j.Text()
			case "result":
				outcome = j.Text()
			default:
				j.Skip()
			}
		}
		if found = string(outcome) == "failure"; found {
			m.failedPolicyID, m.failedPolicyName = j.clean(id), j.clean(name)
		}
	}
}

// signInSteps finds out whether one of the steps in authenticationDetails was a password that was right.
func (j *job) signInSteps(m *signIn) {
	m.passwordStep = false
	if !j.array() {
		return
	}
	for j.Element() {
		if m.passwordStep {
			j.Skip()
			continue
		}
		if !j.object() {
			continue
		}
		password, succeeded := false, false
		for {
			key, ok := j.Member()
			if !ok {
				break
			}
			switch string(key) {
			case "authenticationMethod":
				password = string(j.Text()) == "Password"
			case "succeeded":
				succeeded = string(j.Value()) == "true"
			default:
				j.Skip()
			}
		}
		m.passwordStep = password && succeeded
	}
}

func (j *job) signInEventTypes(m *signIn) {
	if !j.array() {
		return
	}
	for j.Element() {
		switch string(j.Text()) {
		case "interactiveUser":
			m.kind = kindInteractive
		case "nonInteractiveUser":
			m.kind = kindNonInteractive
		case "servicePrincipal":
			m.kind = kindServicePrincipal
		case "managedIdentity":
			m.kind = kindManagedIdentity
		}
	}
}
