package normalizer

import "bytes"

// concludeAudit finds out what the activity is and which role it was about.
func (j *job) concludeAudit(m *audit) {
	if i := j.tables.spelled.find(m.activityName); i != nowhere {
		m.activity = j.tables.bySpelling[i]
	} else {
		j.scratch = fold(j.scratch[:0], m.activityName)
		m.activity = j.tables.activity(j.scratch)
	}
	if m.listed = m.activity != nil; !m.listed {
		j.scratch = fold(j.scratch[:0], m.operation)
		m.activity = j.tables.operation(j.scratch)
	}
	for i := range m.targets {
		p := &m.targets[i].properties
		m.role.name = first(m.role.name, p.roleName)
		m.role.id = first(m.role.id, p.roleID)
		m.role.templateID = first(m.role.templateID, p.roleTemplateID)
		m.grantee.id = first(m.grantee.id, p.granteeID)
		m.grantee.name = first(m.grantee.name, p.granteeName)
	}
	// In PIM the role is a target with a name; elsewhere a target without one, named in the member's properties.
	if r := m.target(targetRole); r != nil {
		m.role.name = first(m.role.name, r.name)
		m.role.id = first(m.role.id, r.id)
	}
	if m.userAgent == nil {
		m.userAgent = m.agentDetail
	}
}

func first(a, b text) text {
	if a != nil {
		return a
	}
	return b
}

// target gives the first target of one of the kinds, nil if there is none.
func (m *audit) target(kinds ...targetKind) *target {
	for i := range m.targets {
		for _, k := range kinds {
			if m.targets[i].kind == k {
				return &m.targets[i]
			}
		}
	}
	return nil
}

// group gives the group that the activity was about. A member's properties name the group that it went into or out of, which
// tells the two apart when a group is the member.
func (m *audit) group() (id, name text) {
	for i := range m.targets {
		p := &m.targets[i].properties
		id, name = first(id, p.groupID), first(name, p.groupName)
	}
	for i := range m.targets {
		t := &m.targets[i]
		if t.kind != targetGroup {
			continue
		}
		if id == nil && name == nil {
			return t.id, t.name
		}
		if name == nil && bytes.Equal(id, t.id) {
			name = t.name
		}
		if id == nil && bytes.Equal(name, t.name) {
			id = t.id
		}
	}
	return id, name
}
