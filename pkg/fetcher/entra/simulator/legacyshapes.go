package simulator

import (
	"bytes"
	"maps"
	"strconv"
	"strings"
)

// The shapes of the older API's records. No reply of it was at hand: the members are those that published type definitions name.

const legacySignInSource = `
"id":"<id>"
"signinDateTime":"<created>"
"signinDateTimeInMillis":<millis>
"userDisplayName":"<username>"
"userPrincipalName":"<upn>"
"userId":"<userid>"
"appId":"<appid>"
"appDisplayName":"<appname>"
"ipAddress":"<address>"
"deviceInformation":"<host>;<os>;<browser>;"
"geoCoordinates":{"latitude":<latitude>,"longitude":<longitude>}
"location":{"city":"<city>","state":"<state>","country":"<country>"}
"loginStatus":"<loginstatus>"
"signinErrorCode":<code>
"failureReason":<failure>
"mfaResult":<mfaresult>
"mfaAuthMethod":<mfamethod>
"mfaAuthDetail":null
`

const legacyAuditSource = `
"id":"<id>"
"activity":"<activity>"
"activityDate":"<created>"
"activityDateInMillis":<millis>
"activityType":"<type>"
"activityOperationType":"<operation>"
"activityResultStatus":"<status>"
"activityResultDescription":"<resultreason>"
"category":"Directory"
"componentOrSource":null
"source":null
"correlationId":"<correlation>"
"internalCorrelationId":null
"actorType":"<actortype>"
"actor":<actor>
"targets":[<targets>]
"additionalDetails":[]
"tenantId":"<tenant>"
"tenantName":null
"domainName":"<domain>"
"tenantGeolocation":null
`

var (
	legacySignIn = legacyTemplate(legacySignInSource, fields, map[string]field{
		"host":        literal(func(r *traits) string { return r.device.host() }),
		"loginstatus": choose(func(r *traits) bool { return r.outcome.code == "0" }, "Success", "Failure"),
		"failure": literal(func(r *traits) string {
			if r.outcome.code == "0" {
				return "null"
			}
			return r.outcome.reason
		}),
		"mfaresult": literal(func(r *traits) string {
			if r.mfa() {
				return r.outcome.more
			}
			return "null"
		}),
		"mfamethod": choose((*traits).mfa, `"Mobile app notification"`, "null"),
	})
	legacyAudit = legacyTemplate(legacyAuditSource, auditFields, map[string]field{
		"type":      literal((*traits).legacyType),
		"status":    choose((*traits).failed, "Failure", "Success"),
		"actortype": choose((*traits).byApp, "ServicePrincipal", "User"),
		"actor":     appendLegacyActor,
		"targets":   appendLegacyTargets,
		"domain":    literal(func(r *traits) string { return r.org.domain }),
	})
)

// legacyTemplate is compile with fields that both APIs have and some that the older one has alone.
func legacyTemplate(source string, known, more map[string]field) template {
	all := maps.Clone(known)
	all["millis"] = func(dst []byte, r *traits) []byte { return strconv.AppendInt(dst, r.at/10_000, 10) }
	maps.Copy(all, more)
	return compile(source, all)
}

// appendLegacy prints the record in the older API's shape.
func (r *traits) appendLegacy(dst []byte) []byte {
	start := len(dst)
	if r.stream == streamAudits {
		return r.grow(legacyAudit.append(dst, r), start)
	}
	return r.grow(legacySignIn.append(dst, r), start)
}

// host is the device's name, "" if it has none.
func (d *device) host() string {
	_, rest, _ := strings.Cut(d.detail, `"displayName":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// legacyType is the kind of object that an activity is about.
func (r *traits) legacyType() string {
	kind := strings.TrimSuffix(r.activity.category, "Management")
	if kind == "Application" && strings.HasSuffix(r.activity.name, "service principal") {
		return "ServicePrincipal"
	}
	return kind
}

func appendLegacyActor(dst []byte, r *traits) []byte {
	if r.byApp() {
		dst = append(dst, `{"@odata.type":"#`+legacySpace+`AuditLog.ActorServicePrincipalEntity","name":"`...)
		dst = appendWorkloadName(dst, r)
		dst = append(dst, `","objectId":"`...)
		dst = appendWorkloadID(dst, r)
		dst = append(dst, `","servicePrincipalName":"`...)
		dst = appendWorkloadAppID(dst, r)
		return append(dst, `","userPrincipalName":null,"ipAddress":null}`...)
	}
	dst = append(dst, `{"@odata.type":"#`+castActor+`","name":"`...)
	dst = appendUserName(dst, r)
	dst = append(dst, `","objectId":"`...)
	dst = appendUserID(dst, r)
	dst = append(dst, `","servicePrincipalName":null,"userPrincipalName":"`...)
	dst = appendUPN(dst, r)
	dst = append(dst, `","ipAddress":"`...)
	dst = appendAddress(dst, r)
	return append(dst, `"}`...)
}

func appendLegacyTargets(dst []byte, r *traits) []byte {
	dst = append(dst, `{"@odata.type":"#`...)
	if r.ofUserTarget() {
		dst = append(dst, castTarget+`","targetResourceType":"User","objectId":"`...)
		dst = r.userID(dst, r.targetUser())
		dst = append(dst, `","name":"`...)
		dst = r.userName(dst, r.targetUser())
		dst = append(dst, `","userPrincipalName":"`...)
		dst = append(r.upn(dst, r.targetUser()), '"')
	} else {
		dst = append(dst, legacySpace+`AuditLog.TargetResourceServicePrincipalEntity","targetResourceType":"ServicePrincipal","objectId":"`...)
		dst = r.userID(dst, r.targetUser())
		dst = append(dst, `","name":"`...)
		dst = append(appendWorkloadName(dst, r), '"')
	}
	dst = append(dst, `,"modifiedProperties":`...)
	dst = append(append(dst, r.legacyProperties()...), '}')
	if r.activity.category != "GroupManagement" {
		return dst
	}
	dst = append(dst, `,{"@odata.type":"#`+legacySpace+`AuditLog.TargetResourceGroupEntity","targetResourceType":"Group","objectId":"`...)
	dst = r.workload(dst, saltTarget2)
	return append(dst, `","name":null,"modifiedProperties":[]}`...)
}

// ofUserTarget says whether the first target is a user.
func (r *traits) ofUserTarget() bool { return r.activity.category != "ApplicationManagement" }

// legacyProperties are the first target's, whose name was called name.
func (r *traits) legacyProperties() []byte {
	_, list, _ := bytes.Cut(r.activity.targets.append(nil, r), []byte(`"modifiedProperties":`))
	list = bytes.TrimSuffix(list, []byte("}"))
	return bytes.ReplaceAll(list, []byte(`{"displayName":`), []byte(`{"name":`))
}

// legacyProperty returns what a filter of the older API asks for.
func (r *traits) legacyProperty(name string) string {
	switch name {
	case "old loginStatus":
		return choice(r.outcome.code == "0", "0", "1")
	case "old category":
		return "Directory"
	case "old activityStatus":
		return choice(r.failed(), "-1", "0")
	case "old activityType":
		return r.legacyType()
	case "old activity":
		return r.activity.name
	case "old actor name":
		if r.byApp() {
			return string(appendWorkloadName(nil, r))
		}
		return string(appendUserName(nil, r))
	case "old actor id":
		if r.byApp() {
			return string(appendWorkloadID(nil, r))
		}
		return string(appendUserID(nil, r))
	case "old actor upn":
		return string(r.ofUser(appendUPN))
	case "old target name":
		if r.ofUserTarget() {
			return string(r.userName(nil, r.targetUser()))
		}
		return string(appendWorkloadName(nil, r))
	case "old target id":
		dst := r.userID(nil, r.targetUser())
		if r.activity.category == "GroupManagement" {
			dst = r.workload(append(dst, 0), saltTarget2)
		}
		return string(dst)
	case "old target upn":
		if r.ofUserTarget() {
			return string(r.upn(nil, r.targetUser()))
		}
	}
	return ""
}

func choice(when bool, yes, no string) string {
	if when {
		return yes
	}
	return no
}

// legacyMembers are those of a record of a test's own in the older shape.
type legacyMembers struct {
	SigninDateTime string `json:"signinDateTime"`
	LoginStatus    string `json:"loginStatus"`
	ActivityDate   string `json:"activityDate"`
	ActivityName   string `json:"activity"`
	ActivityType   string `json:"activityType"`
	ActivityResult string `json:"activityResultStatus"`
	Actor          legacyParty
	Targets        []legacyParty
}

type legacyParty struct {
	Name              string `json:"name"`
	ObjectID          string `json:"objectId"`
	UserPrincipalName string `json:"userPrincipalName"`
}

// legacyProperty is traits.legacyProperty for a record of a test's own.
func (m *members) legacyProperty(name string) string {
	targets := func(member func(legacyParty) string) string {
		var all []string
		for _, t := range m.Targets {
			all = append(all, member(t))
		}
		return strings.Join(all, "\x00")
	}
	switch name {
	case "old loginStatus":
		return choice(m.LoginStatus == "Success" || m.LoginStatus == "0", "0", "1")
	case "old category":
		return m.Category
	case "old activityStatus":
		return choice(m.ActivityResult == "Success", "0", "-1")
	case "old activityType":
		return m.ActivityType
	case "old activity":
		return m.ActivityName
	case "old actor name":
		return m.Actor.Name
	case "old actor id":
		return m.Actor.ObjectID
	case "old actor upn":
		return m.Actor.UserPrincipalName
	case "old target name":
		return targets(func(t legacyParty) string { return t.Name })
	case "old target id":
		return targets(func(t legacyParty) string { return t.ObjectID })
	case "old target upn":
		return targets(func(t legacyParty) string { return t.UserPrincipalName })
	}
	return ""
}
