package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

func newAddedRecord(rec Record, stream int) (*addedRecord, error) {
	a := &addedRecord{Record: rec}
	if err := json.Unmarshal(rec.Raw, &a.members); err != nil {
		return nil, err
	}
	a.members.raw = rec.Raw
	a.members.older()
	for i, u := range rec.Updates {
		var m members
		if !json.Valid(u.Raw) || moving(stream) && json.Unmarshal(u.Raw, &m) != nil {
			return nil, fmt.Errorf("update %d is not JSON", i+1)
		}
		if moving(stream) {
			at, err := time.Parse(time.RFC3339Nano, m.time(stream))
			if err != nil {
				return nil, fmt.Errorf("update %d: %w", i+1, err)
			}
			a.moved = append(a.moved, toTicks(at))
		}
	}
	when := rec.Time
	if when.IsZero() {
		text := a.members.time(stream)
		if text == "" {
			return nil, errors.New("has no time that the stream is ordered by (createdDateTime, activityDateTime, ..), and Record.Time is not set")
		}
		var err error
		if when, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return nil, err
		}
	}
	a.at = toTicks(when)
	a.shows = a.at
	if !rec.Appears.IsZero() {
		a.shows = toTicks(rec.Appears)
	}
	return a, nil
}

// older puts the times that Azure AD Graph names otherwise where those of Graph stand.
func (m *members) older() {
	m.Created, m.Activity = cmp.Or(m.Created, m.SigninDateTime), cmp.Or(m.Activity, m.ActivityDate)
}

// stream tells the stream of a record by its members; -1 for none.
func (m *members) stream() int {
	switch {
	case m.RiskLastUpdated != "" && (m.ServicePrincipal != "" || m.AppID != ""):
		return streamRiskServicePrincipals
	case m.RiskLastUpdated != "":
		return streamRiskUsers
	case m.LastUpdated != "" && m.ServicePrincipalID != "":
		return streamServicePrincipalDetections
	case m.LastUpdated != "":
		return streamRiskDetections
	case m.LastUpdate != "" && m.ServiceSource != "":
		return streamAlerts
	case m.LastUpdate != "":
		return streamIncidents
	case m.Activity != "" && m.ProvisioningAction != "":
		return streamProvisioning
	case m.Activity != "" && m.Category == attributeCategory:
		return streamAttributes
	case m.Activity != "":
		return streamAudits
	case m.Created == "":
		return -1
	case len(m.EventTypes) > 0:
		return slices.Index(eventTypeNames, m.EventTypes[0])
	case m.Interactive != nil && !*m.Interactive:
		return streamNonInteractive
	}
	return streamInteractive
}

// time returns the member that a stream is ordered by; of a stream that is not known, whichever of the usual ones is there.
func (m *members) time(stream int) string {
	switch stream {
	case streamRiskDetections, streamServicePrincipalDetections:
		return m.LastUpdated
	case streamRiskUsers, streamRiskServicePrincipals:
		return m.RiskLastUpdated
	case streamAlerts, streamIncidents:
		return m.LastUpdate
	}
	if m.Created != "" {
		return m.Created
	}
	return m.Activity
}
