package normalizer

// signInKind is how somebody signed in: the stream, or what the record says itself. The words are those of signInEventTypes.
type signInKind uint8

const (
	kindUnknown signInKind = iota
	kindInteractive
	kindNonInteractive
	kindServicePrincipal
	kindManagedIdentity
)

var kindWords = [...]string{"", "interactiveUser", "nonInteractiveUser", "servicePrincipal", "managedIdentity"}

// signIn is the model of a Graph signIn (beta or v1.0, which is a subset) or of Azure AD Graph's signinEvents, independent of any
// schema. https://learn.microsoft.com/graph/api/resources/signin
//
// What only some schemas need is not read: at has where each member stands, and raw, textAt, boolAt and enter read it.
type signIn struct {
	at     [signInMembers]span
	legacy bool // there are members of Azure AD Graph

	id, created text
	kind        signInKind

	userPrincipalName, userID, userDisplayName text
	servicePrincipalID, servicePrincipalName   text
	homeTenantID, resourceTenantID             text
	appID, appName, resourceID, resourceName   text
	correlationID, originalRequestID           text
	authenticationRequirement, userAgent       text
	riskLevelAggregated                        text

	address                             address // the client's
	viaResource, viaGlobalSecure        address // as others saw the client
	autonomousSystem, processingTime    int64
	hasAutonomousSystem, hasProcessTime bool

	status       status
	device       device
	place        place
	networkName  text   // the first named location
	failedPolicy policy // the first Conditional Access policy that was not met

	result                result
	passwordStep          bool // a password among authenticationDetails was right
	passwordAccepted, mfa tristate
}

// status is the member of that name.
type status struct {
	errorCode                        int64
	hasErrorCode                     bool
	failureReason, additionalDetails text
}

// device is deviceDetail.
type device struct {
	id, name, operatingSystem, browser, trustType text
	compliant, managed                            tristate
	system                                        *system // what the operating system is; nil if no word fits
}

// place is location. The coordinates are number texts: both or none, never 0/0, in range.
type place struct {
	city, state, country text
	latitude, longitude  []byte
}

// readSignIn fills j.signIn from the record.
func (j *job) readSignIn(stream string) error {
	m := &j.signIn
	m.kind = kindOfStream(stream)
	o := &j.tables.objects.signIn
	if j.Object() {
		for {
			key, ok := j.member()
			if !ok {
				break
			}
			i := o.names.find(key)
			if i == nowhere {
				j.unknown.member("", key)
				j.Skip()
				continue
			}
			start := j.Pos
			j.signInMember(m, i)
			at := span{uint32(start), uint32(j.Pos)}
			if i < signInMembers {
				m.at[i] = at
				m.legacy = m.legacy || i >= signInLegacySigninDateTime
			}
			if v := o.words[i]; v != nil && j.Err() == nil {
				j.checkWords(v, "", o.names.list[i], at)
			}
		}
	}
	if err := j.finish(); err != nil {
		return err
	}
	if m.legacy {
		j.readLegacySignIn(m)
	}
	j.concludeSignIn(m)
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

// textOf gives the place of a member that is a plain text; nil for other members.
func (m *signIn) textOf(i int) *text {
	switch i {
	case signInID:
		return &m.id
	case signInCreatedDateTime:
		return &m.created
	case signInUserPrincipalName:
		return &m.userPrincipalName
	case signInUserID:
		return &m.userID
	case signInUserDisplayName:
		return &m.userDisplayName
	case signInServicePrincipalID:
		return &m.servicePrincipalID
	case signInServicePrincipalName:
		return &m.servicePrincipalName
	case signInHomeTenantID:
		return &m.homeTenantID
	case signInResourceTenantID:
		return &m.resourceTenantID
	case signInAppID:
		return &m.appID
	case signInAppDisplayName:
		return &m.appName
	case signInResourceID:
		return &m.resourceID
	case signInResourceDisplayName:
		return &m.resourceName
	case signInCorrelationID:
		return &m.correlationID
	case signInOriginalRequestID:
		return &m.originalRequestID
	case signInAuthenticationRequirement:
		return &m.authenticationRequirement
	case signInUserAgent:
		return &m.userAgent
	case signInRiskLevelAggregated:
		return &m.riskLevelAggregated
	}
	return nil
}

// signInMember consumes the value of the member with the index i.
func (j *job) signInMember(m *signIn, i int) {
	if into := m.textOf(i); into != nil {
		*into = j.text()
		return
	}
	switch i {
	case signInIPAddress:
		m.address = parseAddress(j.text())
	case signInIPAddressFromResourceProvider:
		m.viaResource = parseAddress(j.text())
	case signInGlobalSecureAccessIPAddress:
		m.viaGlobalSecure = parseAddress(j.text())
	case signInAutonomousSystemNumber:
		m.autonomousSystem, m.hasAutonomousSystem = j.integer()
	case signInProcessingTimeInMilliseconds:
		m.processingTime, m.hasProcessTime = j.integer()
	case signInStatus:
		m.status = j.readStatus()
	case signInDeviceDetail:
		m.device = j.readDevice()
	case signInLocation:
		m.place = j.readPlace()
	case signInNetworkLocationDetails:
		m.networkName = j.readNetworks()
	case signInAppliedConditionalAccessPolicies:
		m.failedPolicy = j.readPolicies()
	case signInSignInEventTypes:
		j.readKinds(m)
	case signInAuthenticationDetails:
		m.passwordStep = j.readSteps()
	default:
		j.Skip()
	}
}

func (j *job) readStatus() (s status) {
	if !j.object() {
		return s
	}
	for {
		key, ok := j.member()
		if !ok {
			return s
		}
		switch string(key) {
		case "errorCode":
			s.errorCode, s.hasErrorCode = j.integer()
		case "failureReason":
			s.failureReason = j.text()
		case "additionalDetails":
			s.additionalDetails = j.text()
		default:
			j.passOver(&j.tables.objects.status, key)
		}
	}
}

func (j *job) readDevice() (d device) {
	if !j.object() {
		return d
	}
	for {
		key, ok := j.member()
		if !ok {
			return d
		}
		switch string(key) {
		case "deviceId":
			d.id = j.text()
		case "displayName":
			d.name = j.text()
		case "operatingSystem":
			d.operatingSystem = j.text()
		case "browser":
			d.browser = j.text()
		case "isCompliant":
			d.compliant = truth(j.Value())
		case "isManaged":
			d.managed = truth(j.Value())
		case "trustType":
			d.trustType = j.text()
		default:
			j.passOver(&j.tables.objects.device, key)
		}
	}
}

func (j *job) readPlace() (p place) {
	if !j.object() {
		return p
	}
	var legacyCountry text
	for {
		key, ok := j.member()
		if !ok {
			p.country = first(p.country, legacyCountry)
			return p
		}
		switch string(key) {
		case "city":
			p.city = j.text()
		case "state":
			p.state = j.text()
		case "countryOrRegion":
			p.country = j.text()
		case "country":
			legacyCountry = j.text()
		case "geoCoordinates":
			p.latitude, p.longitude = j.coordinates()
		default:
			j.passOver(&j.tables.objects.location, key)
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
		key, ok := j.member()
		if !ok {
			break
		}
		switch string(key) {
		case "latitude":
			latitude = j.number()
		case "longitude":
			longitude = j.number()
		default:
			j.passOver(&j.tables.objects.coordinates, key)
		}
	}
	latOK, latZero := coordinate(latitude, 90)
	longOK, longZero := coordinate(longitude, 180)
	if !latOK || !longOK || latZero && longZero {
		return nil, nil
	}
	return latitude, longitude
}
