package normalizer

import (
	"bytes"
	"slices"
)

// ocsfScratch is what an audit is in OCSF's terms: the class, and whom and what it is about. Which of them are set depends on
// the class.
type ocsfScratch struct {
	class              ocsfClass
	user               person // who was changed, joined or was given something: never who did it
	userKind           int
	groupID, groupName text
	subgroup, resource *target
	member             *target // of a group, for which OCSF has no attribute
	entity             *target
	privileges         []text
}

func (x *ocsfScratch) reset() {
	clear(x.privileges)
	if cap(x.privileges) > mostTargets {
		x.privileges = nil
	}
	*x = ocsfScratch{privileges: x.privileges[:0]}
}

// ocsfChoose finds the class of j.audit. The activity says which; where what that class demands is missing, the audit is one of Entity Management,
// and where there is no entity either, a Base Event: never an event that a reader of the class would choke on.
func (j *job) ocsfChoose() {
	m, x := &j.audit, &j.ocsf
	x.class = j.tables.ocsf(m.activity)
	if !m.listed {
		x.class = j.ocsfUnlisted()
	}
	ok := false
	switch x.class.class {
	case ocsfAccountChange, ocsfUserManagement:
		ok = j.ocsfChooseUser()
	case ocsfUserAccess:
		ok = j.ocsfChooseAccess() && (len(x.privileges) > 0)
	case ocsfGroup:
		ok = j.ocsfChooseGroup()
	case ocsfRoleManagement:
		ok = m.role.id != nil || m.role.name != nil
	}
	if ok {
		return
	}
	if x.class.class != ocsfEntity {
		x.class = ocsfClass{ocsfEntity, entityActivity(m.activity)}
	}
	if x.entity = m.entity(); x.entity != nil {
		return
	}
	x.class = ocsfClass{ocsfBaseEvent, 0}
	if m.activityName != nil {
		x.class.activity = ocsfOther
	}
}

// ocsfUnlisted is the class of an activity that no table lists: by target and category together, since many services call their activities
// alike. The operation says what was done to an entity only.
func (j *job) ocsfUnlisted() ocsfClass {
	m := &j.audit
	switch {
	case string(m.category) == "UserManagement" && m.target(targetUser) != nil:
		if j.tables.ocsf19 {
			return ocsfClass{ocsfUserManagement, ocsfOther}
		}
		return ocsfClass{ocsfAccountChange, ocsfOther}
	case string(m.category) == "GroupManagement" && m.target(targetGroup) != nil:
		return ocsfClass{ocsfGroup, ocsfOther}
	}
	return j.tables.ocsf(m.activity)
}

// entityActivity is what was done, in terms of Entity Management: what the table says for ECS, which is as coarse.
func entityActivity(a *activity) int {
	for i, typ := range [...]string{1: "creation", 3: "change", 4: "deletion"} {
		if typ != "" && slices.Contains(a.types, typ) {
			return i
		}
	}
	return ocsfOther
}

// activities of User Management that are about access
const firstGiven, lastGiven = 14, 17

func (j *job) ocsfChooseUser() bool {
	m, x := &j.audit, &j.ocsf
	if c := x.class; c.class == ocsfUserManagement && (c.activity >= firstGiven && c.activity <= lastGiven || m.activity.ocsf18.class == ocsfUserAccess) {
		return j.ocsfChooseAccess()
	}
	if t := m.target(targetUser); t != nil {
		x.user, x.userKind = j.user(t.id, t.userPrincipalName, t.name), ocsfUser
	} else if t := m.target(targetServicePrincipal); t != nil {
		x.user, x.userKind = person{id: t.id, name: t.name}, ocsfService
	}
	return x.user.known()
}

// ocsfChooseAccess finds who was given a role or a permission, and which. A group that gets one is Group Management.
func (j *job) ocsfChooseAccess() bool {
	m, x := &j.audit, &j.ocsf
	j.readPrivileges()
	switch user, group := m.target(targetUser), m.target(targetGroup); {
	case user != nil:
		x.user, x.userKind = j.user(user.id, user.userPrincipalName, user.name), ocsfUser
	case group != nil:
		x.groupID, x.groupName = group.id, group.name
		activity := ocsfOther
		if slices.Contains(m.activity.types, "change") {
			activity = x.given()
		}
		x.class = ocsfClass{ocsfGroup, activity}
	case m.grantee.known():
		x.user, x.userKind = person{id: m.grantee.id, name: m.grantee.name}, ocsfService
	default:
		if t := m.target(targetServicePrincipal, targetApplication); t != nil {
			x.user, x.userKind = person{id: t.id, name: t.name}, ocsfService
		}
	}
	for i := range m.targets {
		t := &m.targets[i]
		if (t.kind == targetServicePrincipal || t.kind == targetApplication) && !bytes.Equal(t.id, x.user.id) && (t.id != nil || t.name != nil) {
			x.resource = t // to which the permission is
			break
		}
	}
	return x.user.known() || x.groupID != nil || x.groupName != nil
}

// given is the activity of Group Management for giving or taking privileges.
func (x *ocsfScratch) given() int {
	const assign, revoke = 1, 2
	if c := x.class; c == (ocsfClass{ocsfUserAccess, revoke}) || c.class == ocsfUserManagement && (c.activity == 15 || c.activity == 17) {
		return revoke
	}
	return assign
}

// ocsfChooseGroup finds the group and what went into or out of it.
func (j *job) ocsfChooseGroup() bool {
	m, x := &j.audit, &j.ocsf
	x.groupID, x.groupName = m.group()
	if x.groupID == nil && x.groupName == nil {
		return false
	}
	const addUser, removeUser, toSubgroup = 3, 4, 4
	if a := x.class.activity; a != addUser && a != removeUser {
		return true
	}
	if t := m.target(targetUser); t != nil {
		x.user, x.userKind = j.user(t.id, t.userPrincipalName, t.name), ocsfUser
		return true
	}
	for i := range m.targets {
		if t := &m.targets[i]; t.kind == targetGroup && !m.isGroup(t, x) && (t.id != nil || t.name != nil) {
			x.subgroup = t
			x.class.activity += toSubgroup
			return true
		}
	}
	if t := m.target(targetServicePrincipal); t != nil {
		x.user, x.userKind = person{id: t.id, name: t.name}, ocsfService
	}
	if x.member = m.target(targetServicePrincipal, targetDevice, targetApplication); x.member != nil {
		x.class.activity = ocsfOther // no number is for them
	}
	return true
}

// isGroup tells whether the target is the group that members go into or out of.
func (m *audit) isGroup(t *target, x *ocsfScratch) bool {
	if t.id != nil && x.groupID != nil {
		return bytes.Equal(t.id, x.groupID)
	}
	return bytes.Equal(t.name, x.groupName)
}

// entity gives the target that an activity of no other class was about: the one whose type the table says, else what is neither
// a person nor a group, since those are owners and members as a rule.
func (m *audit) entity() *target {
	var best *target
	bestRank := 0
	for i := range m.targets {
		t := &m.targets[i]
		rank := 3
		switch {
		case t.id == nil && t.name == nil && t.userPrincipalName == nil:
			continue
		case m.activity.ocsfEntity != absent && t.word != nil && t.word.ocsf == m.activity.ocsfEntity:
			rank = 4
		case t.kind == targetGroup:
			rank = 2
		case t.kind == targetUser:
			rank = 1
		}
		if rank > bestRank {
			best, bestRank = t, rank
		}
	}
	return best
}
