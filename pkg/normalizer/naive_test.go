package normalizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// naive reads a record the plain, slow way: a tree of maps by encoding/json, and every text of the model looked up in it. It shares
// with the reader only says and parseAddress, which have tests of their own.
type naive struct {
	tree map[string]any
	got  map[string]string
}

func readNaively(t testing.TB, raw []byte) naive {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	n := naive{got: map[string]string{}}
	if err := d.Decode(&n.tree); err != nil {
		t.Fatal(err)
	}
	return n
}

func textOf(v any) string {
	s, _ := v.(string)
	if s = strings.TrimSpace(s); !says([]byte(s)) {
		return ""
	}
	return s
}

func within(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func (n naive) has(key string) bool { _, ok := n.tree[key]; return ok }

func (n naive) text(path ...string) string { return textOf(within(n.tree, path...)) }

func naiveInteger(v any) string {
	s := string(numberOf(v))
	if len(strings.TrimPrefix(s, "-")) > 18 {
		return ""
	}
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return ""
	}
	return strconv.FormatInt(i, 10)
}

func numberOf(v any) json.Number { n, _ := v.(json.Number); return n }

// naiveCoordinates gives "lat,lon", or nothing.
func naiveCoordinates(v any) string {
	lat, lon := numberOf(within(v, "latitude")), numberOf(within(v, "longitude"))
	y, err1 := lat.Float64()
	x, err2 := lon.Float64()
	if err1 != nil || err2 != nil || len(lat) > 32 || len(lon) > 32 || y < -90 || y > 90 || x < -180 || x > 180 || x == 0 && y == 0 {
		return ""
	}
	return string(lat) + "," + string(lon)
}

// naiveEmbedded decodes JSON within a string.
func naiveEmbedded(v any) string {
	s, _ := v.(string)
	s = strings.TrimSpace(s)
	var in any
	if s == "" || !strings.Contains(`"[{`, s[:1]) || json.Unmarshal([]byte(s), &in) != nil {
		return textOf(s)
	}
	if list, ok := in.([]any); ok && len(list) == 1 {
		in = list[0]
	} else if ok {
		in = nil
	}
	return textOf(in)
}

var signInTexts = []string{"userPrincipalName", "userId", "userDisplayName", "servicePrincipalId", "servicePrincipalName", "homeTenantId", "resourceTenantId", "appId",
	"appDisplayName", "resourceId", "resourceDisplayName", "correlationId", "originalRequestId", "authenticationRequirement", "userAgent", "riskLevelAggregated", "ipAddress"}

func (n naive) signIn(stream string) map[string]string {
	n.got["id"] = n.text("id")
	for _, key := range signInTexts {
		n.got[key] = n.text(key)
	}
	if n.got["created"] = n.text("createdDateTime"); !n.has("createdDateTime") {
		n.got["created"] = n.text("signinDateTime")
	}
	n.got["asn"], n.got["took"] = naiveInteger(n.tree["autonomousSystemNumber"]), naiveInteger(n.tree["processingTimeInMilliseconds"])
	n.signInStatus()
	n.signInDevice()
	n.got["city"], n.got["state"] = n.text("location", "city"), n.text("location", "state")
	if n.got["country"] = n.text("location", "countryOrRegion"); n.got["country"] == "" {
		n.got["country"] = n.text("location", "country")
	}
	if n.got["coordinates"] = naiveCoordinates(within(n.tree, "location", "geoCoordinates")); n.got["coordinates"] == "" {
		n.got["coordinates"] = naiveCoordinates(n.tree["geoCoordinates"])
	}
	n.signInLists(stream)
	return n.got
}

func (n naive) signInStatus() {
	status := within(n.tree, "status")
	if n.has("status") {
		n.got["code"], n.got["reason"], n.got["details"] = naiveInteger(within(status, "errorCode")), textOf(within(status, "failureReason")), textOf(within(status, "additionalDetails"))
	} else {
		n.got["code"], n.got["reason"], n.got["details"] = naiveInteger(n.tree["signinErrorCode"]), n.text("failureReason"), n.text("mfaResult")
	}
	switch login := strings.ToLower(n.text("loginStatus")); {
	case n.got["code"] == "0", n.got["code"] == "" && !n.has("status") && (login == "success" || login == "0"):
		n.got["reason"] = "" // "Other."
	}
}

func (n naive) signInDevice() {
	keys := []string{"device.id", "device.name", "os", "browser", "trust"}
	for i, key := range []string{"deviceId", "displayName", "operatingSystem", "browser", "trustType"} {
		n.got[keys[i]] = n.text("deviceDetail", key)
	}
	if n.has("deviceDetail") {
		return
	}
	for i, part := range strings.Split(n.text("deviceInformation"), ";") {
		if i < 3 {
			n.got[keys[i+1]] = textOf(part)
		}
	}
}

func listOf(v any) []any { list, _ := v.([]any); return list }

func (n naive) signInLists(stream string) {
	n.got["network"], n.got["kind"], n.got["password step"] = "", fmt.Sprint(kindOfStream(stream)), "false"
	for _, v := range listOf(n.tree["networkLocationDetails"]) {
		for _, name := range listOf(within(v, "networkNames")) {
			if n.got["network"] == "" {
				n.got["network"] = textOf(name)
			}
		}
	}
	for _, v := range listOf(n.tree["signInEventTypes"]) {
		for kind, name := range kindWords {
			if s, _ := v.(string); name != "" && strings.TrimSpace(s) == name {
				n.got["kind"] = fmt.Sprint(kind)
			}
		}
	}
	for _, v := range listOf(n.tree["authenticationDetails"]) {
		if strings.EqualFold(textOf(within(v, "authenticationMethod")), "password") && within(v, "succeeded") == true {
			n.got["password step"] = "true"
		}
	}
	n.got["policy"] = "/"
	for _, v := range listOf(n.tree["appliedConditionalAccessPolicies"]) {
		if strings.EqualFold(textOf(within(v, "result")), "failure") {
			n.got["policy"] = textOf(within(v, "id")) + "/" + textOf(within(v, "displayName"))
			break
		}
	}
}

// plainText undoes the escapes of a text.
func plainText(t text) string { return string(jsonscan.Unescape(nil, t)) }

func ifSet(set bool, v int64) string {
	if !set {
		return ""
	}
	return strconv.FormatInt(v, 10)
}

// modelOfSignIn gives what the reader has read, in the form of naive.
func modelOfSignIn(m *signIn) map[string]string {
	got := map[string]string{
		"created": plainText(m.created), "asn": ifSet(m.hasAutonomousSystem, m.autonomousSystem), "took": ifSet(m.hasProcessTime, m.processingTime), "id": plainText(m.id),
		"code": ifSet(m.status.hasErrorCode, m.status.errorCode), "reason": plainText(m.status.failureReason), "details": plainText(m.status.additionalDetails),
		"device.id": plainText(m.device.id), "device.name": plainText(m.device.name), "os": plainText(m.device.operatingSystem), "browser": plainText(m.device.browser), "trust": plainText(m.device.trustType),
		"city": plainText(m.place.city), "state": plainText(m.place.state), "country": plainText(m.place.country), "network": plainText(m.networkName),
		"kind": fmt.Sprint(m.kind), "password step": fmt.Sprint(m.passwordStep), "policy": plainText(m.failedPolicy.id) + "/" + plainText(m.failedPolicy.name), "coordinates": "",
	}
	for i, t := range []text{m.userPrincipalName, m.userID, m.userDisplayName, m.servicePrincipalID, m.servicePrincipalName, m.homeTenantID, m.resourceTenantID, m.appID,
		m.appName, m.resourceID, m.resourceName, m.correlationID, m.originalRequestID, m.authenticationRequirement, m.userAgent, m.riskLevelAggregated, m.address.text} {
		got[signInTexts[i]] = plainText(t)
	}
	if m.place.latitude != nil {
		got["coordinates"] = string(m.place.latitude) + "," + string(m.place.longitude)
	}
	return got
}

// audit reads an audit; of two names for one thing Graph's goes first.
func (n naive) audit() map[string]string {
	for name, keys := range map[string][2]string{"time": {"activityDateTime", "activityDate"}, "activity": {"activityDisplayName", "activity"}, "operation": {"operationType", "activityOperationType"},
		"reason": {"resultReason", "activityResultDescription"}, "service": {"loggedByService", "componentOrSource"}, "id": {"id", "id"}, "category": {"category", "category"}, "correlation": {"correlationId", "correlationId"}} {
		if n.got[name] = n.text(keys[0]); !n.has(keys[0]) {
			n.got[name] = n.text(keys[1])
		}
	}
	if n.got["service"] == "" && !n.has("loggedByService") {
		n.got["service"] = n.text("source")
	}
	outcome, _ := n.tree["result"].(string)
	if !n.has("result") {
		outcome, _ = n.tree["activityResultStatus"].(string)
		outcome += string(numberOf(n.tree["activityResultStatus"]))
	}
	n.got["outcome"] = map[string]string{"success": "success", "failure": "failure", "failed": "failure", "timeout": "failure", "0": "success", "-1": "failure"}[strings.ToLower(strings.TrimSpace(outcome))]
	n.auditActor()
	n.got["agent"] = n.text("userAgent")
	for _, v := range listOf(n.tree["additionalDetails"]) {
		if strings.EqualFold(orElse(textOf(within(v, "key")), textOf(within(v, "Key"))), "User-Agent") {
			value, _ := within(v, "value").(string)
			other, _ := within(v, "Value").(string)
			if s := textOf(orElse(value, other)); n.got["agent"] == "" {
				n.got["agent"] = s
			}
		}
	}
	targets := listOf(n.tree["targetResources"])
	if !n.has("targetResources") {
		targets = listOf(n.tree["targets"])
	}
	i := 0
	for _, v := range targets {
		if _, ok := v.(map[string]any); ok {
			n.auditTarget(fmt.Sprint("target", i, "."), v)
			i++
		}
	}
	return n.got
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (n naive) auditActor() {
	actor := n.tree["actor"]
	if n.has("initiatedBy") || actor == nil {
		n.got["by"] = strings.Join([]string{n.text("initiatedBy", "user", "id"), n.text("initiatedBy", "user", "userPrincipalName"), n.text("initiatedBy", "user", "displayName"), n.text("initiatedBy", "user", "ipAddress"),
			n.text("initiatedBy", "app", "appId"), n.text("initiatedBy", "app", "displayName"), n.text("initiatedBy", "app", "servicePrincipalId"), n.text("initiatedBy", "app", "servicePrincipalName")}, "|")
		return
	}
	id, name, upn, ip, sp := n.text("actor", "objectId"), n.text("actor", "name"), n.text("actor", "userPrincipalName"), n.text("actor", "ipAddress"), n.text("actor", "servicePrincipalName")
	if upn != "" || n.text("actorType") == "User" {
		n.got["by"] = strings.Join([]string{id, upn, name, ip, "", "", "", ""}, "|")
	} else {
		n.got["by"] = strings.Join([]string{"", "", "", ip, "", name, id, sp}, "|")
	}
}

func (n naive) auditTarget(prefix string, v any) {
	get := func(keys ...string) string {
		for _, key := range keys {
			if s := textOf(within(v, key)); s != "" {
				return s
			}
		}
		return ""
	}
	n.got[prefix+"id"], n.got[prefix+"name"], n.got[prefix+"upn"] = get("id", "objectId"), get("displayName", "name"), get("userPrincipalName")
	n.got[prefix+"type"], n.got[prefix+"group type"] = get("type", "Type", "targetResourceType"), get("groupType")
	for _, name := range []string{"Group.ObjectID", "Group.DisplayName", "Role.DisplayName", "Mail"} {
		n.got[prefix+name] = ""
	}
	for _, p := range listOf(within(v, "modifiedProperties")) {
		name := orElse(textOf(within(p, "displayName")), textOf(within(p, "name")))
		now, before := naiveEmbedded(within(p, "newValue")), naiveEmbedded(within(p, "oldValue"))
		switch name {
		case "Group.ObjectID", "Group.DisplayName", "Role.DisplayName":
			n.got[prefix+name] = orElse(now, before)
		case "Mail":
			if now != before {
				n.got[prefix+name] = now
			}
		}
	}
}

func modelOfAudit(m *audit) map[string]string {
	got := map[string]string{"time": plainText(m.time), "activity": plainText(m.activityName), "operation": plainText(m.operation), "reason": plainText(m.reason), "service": plainText(m.service), "id": plainText(m.id),
		"category": plainText(m.category), "correlation": plainText(m.correlationID), "outcome": "", "agent": plainText(m.userAgent)}
	if m.outcome != nil {
		got["outcome"] = m.outcome.ecs
	}
	var by []string
	for _, t := range []text{m.by.user.id, m.by.user.userPrincipalName, m.by.user.displayName, m.by.user.address.text, m.by.app.id, m.by.app.name, m.by.app.servicePrincipalID, m.by.app.servicePrincipalName} {
		by = append(by, plainText(t))
	}
	got["by"] = strings.Join(by, "|")
	for i := range m.targets {
		t, prefix := &m.targets[i], fmt.Sprint("target", i, ".")
		got[prefix+"id"], got[prefix+"name"], got[prefix+"upn"] = plainText(t.id), plainText(t.name), plainText(t.userPrincipalName)
		got[prefix+"type"], got[prefix+"group type"] = plainText(t.typeText), plainText(t.groupType)
		got[prefix+"Group.ObjectID"], got[prefix+"Group.DisplayName"] = plainText(t.properties.groupID), plainText(t.properties.groupName)
		got[prefix+"Role.DisplayName"], got[prefix+"Mail"] = plainText(t.properties.roleName), plainText(t.properties.mail)
	}
	return got
}

// checkModel holds what the one-pass reader reads against encoding/json, and every member's place against its value. It gives what
// encoding/json reads; nothing for families without a model.
func checkModel(t testing.TB, n *Normalizer, rec event.Record) (want map[string]string) {
	t.Helper()
	j := n.jobs.New().(*job)
	j.begin(&rec)
	family, err := j.read(&rec)
	if err != nil {
		t.Fatal(err)
	}
	tree := readNaively(t, rec.Raw)
	var got map[string]string
	var names []string
	var at []span
	switch family {
	case familySignIns:
		want, got, names, at = tree.signIn(rec.Key.Stream), modelOfSignIn(&j.signIn), signInNames[:], j.signIn.at[:]
	case familyAudits:
		want, got, names, at = tree.audit(), modelOfAudit(&j.audit), auditNames[:], j.audit.at[:]
	default:
		return nil
	}
	for key, w := range want {
		if got[key] != w {
			t.Errorf("%s = %q, encoding/json reads %q\nrecord %.2000s", key, got[key], w, rec.Raw)
		}
	}
	for i, name := range names {
		v, ok := tree.tree[name]
		if ok != (at[i].end != 0) {
			t.Errorf("%s: has a place: %v\nrecord %.2000s", name, !ok, rec.Raw)
			continue
		}
		if !ok {
			continue
		}
		var own any
		d := json.NewDecoder(strings.NewReader(string(j.raw(at[i]))))
		d.UseNumber()
		if err := d.Decode(&own); err != nil || fmt.Sprint(own) != fmt.Sprint(v) {
			t.Errorf("%s: its place holds %.200q, %v", name, j.raw(at[i]), err)
		}
		if b, isBool := v.(bool); isBool != (j.boolAt(at[i]) != unknown) || b != (j.boolAt(at[i]) == yes) {
			t.Errorf("%s: reads %v, want %v", name, j.boolAt(at[i]), v)
		}
		if s := textOf(v); plainText(j.textAt(at[i])) != s {
			t.Errorf("%s: text is %q, want %q", name, j.textAt(at[i]), s)
		}
	}
	return want
}
