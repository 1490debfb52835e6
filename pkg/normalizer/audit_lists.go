package normalizer

import "bytes"

// readTargets consumes targetResources, or targets of Azure AD Graph.
func (j *job) readTargets(m *audit) {
	clear(m.targets)
	m.targets = m.targets[:0]
	if !j.array() {
		return
	}
	for j.Element() {
		if !j.object() {
			continue
		}
		m.targets = append(m.targets, target{})
		j.readTarget(&m.targets[len(m.targets)-1])
	}
}

// readTarget reads the members of a target. Some have another name at Azure AD Graph, and the type has two at Graph: the first of
// them that says something counts.
func (j *job) readTarget(r *target) {
	var kinds [3]text
	var legacyID, legacyName text
	for {
		key, ok := j.member()
		if !ok {
			break
		}
		switch string(key) {
		case "id":
			r.id = j.text()
		case "objectId":
			legacyID = j.text()
		case "displayName":
			r.name = j.text()
		case "name":
			legacyName = j.text()
		case "userPrincipalName":
			r.userPrincipalName = j.text()
		case "type":
			kinds[0] = j.text()
		case "Type":
			kinds[1] = j.text()
		case "targetResourceType":
			kinds[2] = j.text()
		case "groupType":
			r.groupType = j.text()
		case "modifiedProperties":
			start := j.Pos
			r.properties = j.readProperties()
			r.modified = span{uint32(start), uint32(j.Pos)}
		default:
			j.passOver(&j.tables.objects.target, key)
		}
	}
	r.id, r.name, r.typeText = first(r.id, legacyID), first(r.name, legacyName), first(kinds[0], first(kinds[1], kinds[2]))
	j.concludeTarget(r)
}

func (j *job) concludeTarget(r *target) {
	if r.typeText == nil {
		return
	}
	if r.word = j.tables.targetTypes.find(r.typeText); r.word == nil {
		j.unknown.word(j.tables.objects.target.path, "type", r.typeText)
		return
	}
	for kind, name := range targetKinds {
		if name == r.word.ecs {
			r.kind = targetKind(kind)
		}
	}
}

// property is one of a target's modifiedProperties. The values are the insides of JSON strings, which may be JSON themselves: embedded
// decodes them.
type property struct {
	name       text
	old, after []byte
}

// readProperty consumes an element of modifiedProperties.
func (j *job) readProperty() (p property, ok bool) {
	if !j.object() {
		return p, false
	}
	var legacyName text
	for {
		key, ok := j.member()
		if !ok {
			break
		}
		switch string(key) {
		case "displayName":
			p.name = j.text()
		case "name":
			legacyName = j.text()
		case "oldValue":
			p.old = j.Text()
		case "newValue":
			p.after = j.Text()
		default:
			j.passOver(&j.tables.objects.property, key)
		}
	}
	p.name = first(p.name, legacyName)
	return p, true
}

func (j *job) readProperties() (all properties) {
	if !j.array() {
		return all
	}
	for j.Element() {
		if p, ok := j.readProperty(); ok {
			j.placeProperty(&all, p)
		}
	}
	return all
}

// placeProperty decodes a property if it is one that has a place.
func (j *job) placeProperty(all *properties, p property) {
	var kept, changed *text // kept: new value, else old one; changed: new value if it differs
	switch string(p.name) {
	case "Group.ObjectID":
		kept = &all.groupID
	case "Group.DisplayName":
		kept = &all.groupName
	case "Role.ObjectID":
		kept = &all.roleID
	case "Role.DisplayName":
		kept = &all.roleName
	case "Role.TemplateId":
		kept = &all.roleTemplateID
	case "ServicePrincipal.ObjectID":
		kept = &all.granteeID
	case "ServicePrincipal.DisplayName":
		kept = &all.granteeName
	case "UserPrincipalName":
		changed = &all.userPrincipalName
	case "DisplayName":
		changed = &all.displayName
	case "Mail":
		changed = &all.mail
	default:
		return
	}
	now, old := j.embedded(p.after), j.embedded(p.old)
	switch {
	case kept != nil && now != nil:
		*kept = now
	case kept != nil:
		*kept = old
	case !bytes.Equal(now, old):
		*changed = now
	}
}

// detail is one of additionalDetails: a key and a value, the inside of a JSON string.
type detail struct {
	key   text
	value []byte
}

// readDetail consumes an element of additionalDetails, whose members come in two spellings.
func (j *job) readDetail() (d detail, ok bool) {
	if !j.object() {
		return d, false
	}
	var capital detail
	for {
		key, ok := j.member()
		if !ok {
			break
		}
		switch string(key) {
		case "key":
			d.key = j.text()
		case "Key":
			capital.key = j.text()
		case "value":
			d.value = j.Text()
		case "Value":
			capital.value = j.Text()
		default:
			j.passOver(&j.tables.objects.detail, key)
		}
	}
	d.key = first(d.key, capital.key)
	if len(d.value) == 0 {
		d.value = capital.value
	}
	return d, true
}

// readDetails takes the user agent from additionalDetails, a list of keys and values.
func (j *job) readDetails() (agent text) {
	if !j.array() {
		return nil
	}
	for j.Element() {
		if d, ok := j.readDetail(); ok && agent == nil && bytes.EqualFold(d.key, userAgentKey) {
			agent = j.clean(d.value)
		}
	}
	return agent
}

var userAgentKey = []byte("User-Agent")
