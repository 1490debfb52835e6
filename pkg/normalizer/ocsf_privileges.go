package normalizer

import "bytes"

// readPrivileges collects what an audit gave or took: the role, permissions of applications, delegated scopes.
func (j *job) readPrivileges() {
	m, x := &j.audit, &j.ocsf
	if role := first(m.role.name, first(m.role.templateID, m.role.id)); role != nil {
		x.privileges = append(x.privileges, role)
	}
	for i := range m.targets {
		if m.targets[i].modified.end == 0 {
			continue
		}
		j.enter(m.targets[i].modified)
		for ok := j.array(); ok && j.Element(); {
			if p, ok := j.readProperty(); ok {
				j.ocsfPrivilege(p)
			}
		}
	}
}

func (j *job) ocsfPrivilege(p property) {
	x := &j.ocsf
	switch string(p.name) {
	case "AppRole.Value":
		x.privileges = addText(x.privileges, j.newOrOld(p))
	case "DelegatedPermissionGrant.Scope":
		x.addScopes(j.newOrOld(p))
	case "ConsentAction.Permissions":
		x.addGrants(j.newOrOld(p))
	}
}

// newOrOld gives what was set, or if nothing was what was taken away.
func (j *job) newOrOld(p property) text {
	if t := j.embedded(p.after); t != nil {
		return t
	}
	return j.embedded(p.old)
}

// addScopes adds scopes that blanks separate.
func (x *ocsfScratch) addScopes(list []byte) {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, blankText)
		if says(one) {
			x.privileges = addText(x.privileges, one)
		}
	}
}

var (
	blankText = []byte(" ")
	becomes   = []byte("=>")
	scopeTag  = []byte("Scope:")
)

// addGrants adds the scopes of "[[.., Scope: A B, ..]] => [[.., Scope: A B C, ..], ..]": those that were not there before, or if there
// are none, those that are not there any more. It looks at the first mostRelated of them: nobody grants so many at once.
func (x *ocsfScratch) addGrants(t []byte) {
	before, after, ok := bytes.Cut(t, becomes)
	if !ok {
		before, after = nil, t
	}
	n := len(x.privileges)
	if x.addGranted(after, before); len(x.privileges) == n {
		x.addGranted(before, after)
	}
	if len(x.privileges) == n {
		x.addGranted(after, nil) // consent given again
	}
}

func (x *ocsfScratch) addGranted(t, not []byte) {
	for looked := 0; ; {
		i := bytes.Index(t, scopeTag)
		if i < 0 {
			return
		}
		t = t[i+len(scopeTag):]
		end := bytes.IndexAny(t, ",];")
		if end < 0 {
			end = len(t)
		}
		for list := t[:end]; len(list) > 0; looked++ {
			if looked > mostRelated {
				return
			}
			var one []byte
			if one, list, _ = bytes.Cut(list, blankText); says(one) && !grants(not, one) {
				x.privileges = addText(x.privileges, one)
			}
		}
	}
}

// grants tells whether a list of grants has the scope.
func grants(t, scope []byte) bool {
	for {
		i := bytes.Index(t, scope)
		if i < 0 {
			return false
		}
		rest := t[i+len(scope):]
		if i > 0 && (t[i-1] == ' ' || t[i-1] == ':') && (len(rest) == 0 || bytes.IndexByte(scopeEnds, rest[0]) >= 0) {
			return true
		}
		t = rest
	}
}

var scopeEnds = []byte(" ,];")
