package kafka

import (
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// keyOf gives the record's key, nil for none. It may alias the record.
func keyOf(kind string, e *event.Event) []byte {
	switch kind {
	case keyEventID:
		return e.EventID[:]
	case keyTenant:
		return []byte(e.Key.Tenant)
	case keyUser:
		return userKey(e.Raw)
	}
	return nil
}

// userKey finds who acted: the first of userId, servicePrincipalId, initiatedBy.user.id, initiatedBy.app.servicePrincipalId
// and userPrincipalName that has a value. nil: none has.
func userKey(raw []byte) []byte {
	var principal, initiator, upn []byte
	r := jsonscan.Reader{Buf: raw}
	if !r.Object() {
		return nil
	}
	for key, ok := r.Member(); ok; key, ok = r.Member() {
		switch string(key) {
		case "userId":
			if id := identity(&r); id != nil {
				return id // most records have it, near their beginning
			}
		case "servicePrincipalId":
			principal = identity(&r)
		case "initiatedBy":
			initiator = initiatorKey(&r)
		case "userPrincipalName":
			upn = identity(&r)
		default:
			r.Skip()
		}
	}
	for _, id := range [][]byte{principal, initiator, upn} {
		if id != nil {
			return id
		}
	}
	return nil
}

// initiatorKey reads initiatedBy: {"user": {"id"}, "app": {"servicePrincipalId"}}, either of which may be null.
func initiatorKey(r *jsonscan.Reader) []byte {
	var user, app []byte
	eachMember(r, func(kind string) {
		eachMember(r, func(member string) {
			switch {
			case kind == "user" && member == "id":
				user = identity(r)
			case kind == "app" && member == "servicePrincipalId":
				app = identity(r)
			default:
				r.Skip()
			}
		})
	})
	if user != nil {
		return user
	}
	return app
}

// eachMember calls f at each member of the object that comes next; f consumes the value. Anything else is skipped.
func eachMember(r *jsonscan.Reader, f func(key string)) {
	if !r.Object() {
		r.Skip()
		return
	}
	for key, ok := r.Member(); ok; key, ok = r.Member() {
		f(string(key))
	}
}

// identity consumes a value; nil unless it names somebody. Microsoft writes the zero GUID for an unknown user: as a key it
// would put every guessed password into one partition.
func identity(r *jsonscan.Reader) []byte {
	text := r.Text()
	if len(text) == 0 || string(text) == "00000000-0000-0000-0000-000000000000" {
		return nil
	}
	return jsonscan.Unescape(nil, text)
}
