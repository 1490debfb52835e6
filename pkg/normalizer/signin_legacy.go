package normalizer

import "bytes"

// readLegacySignIn fills what the record says under names of Azure AD Graph only. Those of Graph go first: no service sends both.
func (j *job) readLegacySignIn(m *signIn) {
	has := func(i int) bool { return m.at[i].end != 0 }
	if has(signInLegacySigninDateTime) && !has(signInCreatedDateTime) {
		m.created = j.textAt(m.at[signInLegacySigninDateTime])
	}
	if has(signInLegacyDeviceInformation) && !has(signInDeviceDetail) {
		m.device = legacyDevice(j.textAt(m.at[signInLegacyDeviceInformation]))
	}
	if has(signInLegacyGeoCoordinates) && m.place.latitude == nil {
		j.enter(m.at[signInLegacyGeoCoordinates])
		m.place.latitude, m.place.longitude = j.coordinates()
	}
	if has(signInStatus) {
		return
	}
	if has(signInLegacySigninErrorCode) {
		j.enter(m.at[signInLegacySigninErrorCode])
		m.status.errorCode, m.status.hasErrorCode = j.integer()
	}
	m.status.failureReason = j.textAt(m.at[signInLegacyFailureReason])
	m.status.additionalDetails = j.textAt(m.at[signInLegacyMfaResult])
}

// legacyDevice splits deviceInformation: "name;operating system;browser;..".
func legacyDevice(all text) (d device) {
	var rest []byte = all
	for _, part := range []*text{&d.name, &d.operatingSystem, &d.browser} {
		var one []byte
		one, rest, _ = bytes.Cut(rest, semicolon)
		if one = bytes.TrimSpace(one); says(one) {
			*part = one
		}
	}
	return d
}

var semicolon = []byte(";")

// legacyStatus is the row of loginStatus, nil if there is none. It counts where there is no error code.
func (j *job) legacyStatus(m *signIn) *word {
	at := m.at[signInLegacyLoginStatus]
	if at.end == 0 || m.at[signInStatus].end != 0 {
		return nil
	}
	status := j.textAt(at)
	return j.tables.loginStatuses.find(status)
}
