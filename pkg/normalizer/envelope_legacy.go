package normalizer

import (
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// legacyProperties appends a record of Azure AD Graph under the names of Microsoft Graph, as far as data/legacy.csv has them. What the
// record has under a name of Graph's already is not overwritten; what Graph has no name for stays as it is.
func (j *job) legacyProperties(rec *event.Record, moves []moved, o *object, at []span, out absence) {
	w := &j.out
	start := len(w.buf)
	w.buf = append(w.buf, '{')
	tenant := false
	var done uint64 // by place in moves: the object that it goes into has been written
	j.enter(span{0, uint32(len(j.record))})
	for j.Object(); ; {
		key, ok := j.member()
		if !ok {
			break
		}
		if j.saysNothing(out) {
			j.Skip()
			continue
		}
		i := o.names.find(key)
		tenant = tenant || string(key) == "tenantId"
		n := moveOf(moves, i)
		if n == nowhere || !j.moves(moves, n, at) {
			w.next()
			w.buf = append(jsonscan.AppendString(w.buf, key), ':')
			j.legacyValue(o, i, at, out)
			continue
		}
		m := &moves[n]
		if m.child == "" {
			w.key(m.parent)
			j.legacyMoved(m.parent, out)
			continue
		}
		if group := uint64(1) << groupOf(moves, n); done&group == 0 && at[m.own].end == 0 {
			done |= group
			here := j.Reader
			j.legacyGroup(moves, m.parent, at, out)
			j.Reader = here
		}
		j.Skip()
	}
	if !tenant {
		j.addTenant(rec, "tenantId")
	}
	w.buf = append(w.buf, '}')
	joinLines(w.buf[start:])
}

// moveOf gives the row of the member with the index i.
func moveOf(moves []moved, i int) int {
	for n := range moves {
		if i != nowhere && moves[n].from == i {
			return n
		}
	}
	return nowhere
}

// groupOf gives the first row that goes into the same object.
func groupOf(moves []moved, n int) int {
	for i := range moves {
		if moves[i].parent == moves[n].parent {
			return i
		}
	}
	return n
}

// moves tells whether the member of row n is written under Graph's name: not if Graph's own is there, and of two that have the same
// name only the first that says something.
func (j *job) moves(moves []moved, n int, at []span) bool {
	m := &moves[n]
	if at[m.own].end != 0 {
		return m.parent == "location" && j.takesIn(at[m.own], m.child)
	}
	if m.child != "" {
		return true
	}
	for i := range n {
		if raw := j.raw(at[moves[i].from]); moves[i].parent == m.parent && len(raw) > 0 && string(raw) != "null" {
			return false
		}
	}
	return true
}

// takesIn tells whether the value there is an object without the member.
func (j *job) takesIn(at span, child string) bool {
	here := j.Reader
	j.enter(at)
	ok := j.Kind() == jsonscan.Object && j.findHere(child).end == 0
	j.Reader = here
	return ok
}

// legacyMoved appends the value of a member that has Graph's name now.
func (j *job) legacyMoved(name string, out absence) {
	w := &j.out
	switch {
	case name == "targetResources":
		j.rewrite(j.tables.legacyLayouts["audit.targetResources"], out)
	case name == "initiatedBy" && j.Kind() == jsonscan.Object:
		by, l := "user", j.tables.legacyLayouts["audit.user"]
		if a := &j.audit.by.app; a.name != nil || a.servicePrincipalID != nil || a.servicePrincipalName != nil {
			by, l = "app", j.tables.legacyLayouts["audit.app"]
		}
		w.buf = append(w.buf, '{')
		w.key(by)
		j.rewrite(l, out)
		w.buf = append(w.buf, '}')
	default:
		j.rewrite(asSent, out)
	}
}

// legacyGroup appends the object of Graph's that several members go into.
func (j *job) legacyGroup(moves []moved, parent string, at []span, out absence) {
	w := &j.out
	w.key(parent)
	w.buf = append(w.buf, '{')
	for i := range moves {
		m := &moves[i]
		if m.parent != parent || at[m.from].end == 0 {
			continue
		}
		if j.enter(at[m.from]); j.saysNothing(out) {
			continue
		}
		w.key(m.child)
		j.rewrite(asSent, out)
	}
	w.buf = append(w.buf, '}')
}

// legacyValue appends the value of a member that keeps its name. The location takes in the coordinates that stand beside it; of the text about
// the device, Graph's object is made as well.
func (j *job) legacyValue(o *object, i int, at []span, out absence) {
	w := &j.out
	if o != &j.tables.objects.signIn {
		j.rewrite(asSent, out)
		return
	}
	switch {
	case i == signInLocation && j.Kind() == jsonscan.Object:
		geo := at[signInLegacyGeoCoordinates]
		takes := geo.end != 0 && j.takesIn(at[i], "geoCoordinates")
		w.buf = append(w.buf, '{')
		j.rewriteMembers(j.tables.legacyLayouts["signin.location"], out)
		if takes {
			here := j.Reader
			if j.enter(geo); !j.saysNothing(out) {
				w.key("geoCoordinates")
				j.rewrite(asSent, out)
			}
			j.Reader = here
		}
		w.buf = append(w.buf, '}')
	case i == signInLegacyDeviceInformation && at[signInDeviceDetail].end == 0:
		j.rewrite(asSent, out)
		d := &j.signIn.device
		w.object("deviceDetail")
		w.text("operatingSystem", d.operatingSystem)
		w.text("browser", d.browser)
		w.text("displayName", d.name)
		w.end()
	default:
		j.rewrite(asSent, out)
	}
}
