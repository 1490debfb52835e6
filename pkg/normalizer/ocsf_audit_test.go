package normalizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const (
	user2  = `{"type":"User","id":"u2","userPrincipalName":"Two@contoso.com","modifiedProperties":[`
	toG    = `{"displayName":"Group.ObjectID","oldValue":null,"newValue":"\"g1\""},{"displayName":"Group.DisplayName","newValue":"\"Finance\""}`
	ofG    = `{"displayName":"Group.ObjectID","oldValue":"\"g1\"","newValue":null}`
	toRole = `{"displayName":"Role.DisplayName","newValue":"\"Global Reader\""},{"displayName":"Role.ObjectID","newValue":"\"r1\""}`
	graph  = `{"type":"ServicePrincipal","id":"api","displayName":"Microsoft Graph","modifiedProperties":[`
	client = `{"displayName":"ServicePrincipal.ObjectID","newValue":"\"sp1\""},{"displayName":"ServicePrincipal.DisplayName","newValue":"\"Backup Job\""}`
)

// TestOCSFAudits: the class of an activity, and who and what stand where. The users of targets are never groups, groups never users.
func TestOCSFAudits(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, c := range []struct {
		activity, rest, targets string
		class, id               int
		want                    map[string]string
	}{
		{"Add member to group", ``, user2 + toG + `]},{"type":"Group","id":"g1"}`, 3006, 3, map[string]string{"user.uid": `"u2"`, "user.name": `"two@contoso.com"`, "group.uid": `"g1"`, "group.name": `"Finance"`}},
		{"Add member to group", ``, `{"type":"Group","id":"g1"},` + user2 + toG + `]}`, 3006, 3, map[string]string{"user.uid": `"u2"`, "group.uid": `"g1"`, "group.name": `"Finance"`}},
		{"Add member to group", ``, user2 + toG + `]}`, 3006, 3, map[string]string{"user.uid": `"u2"`, "group.uid": `"g1"`}},
		{"Remove member from group", ``, user2 + ofG + `]}`, 3006, 4, map[string]string{"user.uid": `"u2"`, "group.uid": `"g1"`}},
		{"Add member to group", ``, user2 + `]}`, 3004, 3, map[string]string{"entity.uid": `"u2"`, "entity.type": `"User"`, "group.uid": "", "entity.user.name": `"two@contoso.com"`}},
		{"Add member to group", ``, `{"type":"User"}`, 0, 99, map[string]string{"activity_name": `"Add member to group"`, "group.uid": "", "user.uid": ""}},
		{"Add group", ``, `{"type":"Group"}`, 0, 99, map[string]string{"group": ""}},
		{"Add group", ``, `{"type":"Group","id":"` + zeroGUID + `","displayName":""}`, 0, 99, nil},
		{"Add member to group", ``, `{"type":"Group","id":"g2","modifiedProperties":[` + toG + `]},{"type":"Group","id":"g1"}`, 3006, 7, map[string]string{"group.uid": `"g1"`, "subgroup.uid": `"g2"`}},
		{"Remove member from group", ``, `{"type":"Group","id":"g2","modifiedProperties":[` + ofG + `]}`, 3006, 8, map[string]string{"group.uid": `"g1"`, "subgroup.uid": `"g2"`}},
		{"Add member to group", ``, `{"type":"Device","id":"d1","displayName":"PC","modifiedProperties":[` + toG + `]}`, 3006, 99, map[string]string{"group.uid": `"g1"`, "user.uid": "", "unmapped.member.uid": `"d1"`}},
		{"Add owner to group", ``, graph + toG + `]}`, 3006, 99, map[string]string{"user.uid": `"api"`, "user.type_id": "4", "activity_name": `"Add owner to group"`}},
		{"Add member to role", ``, user2 + toRole + `]},{"type":"Role","id":"r1"}`, 3005, 1, map[string]string{"user.uid": `"u2"`, "privileges": `["Global Reader"]`, "unmapped.logferry.role.id": `"r1"`}},
		{"Remove member from role", ``, user2 + `]},{"type":"Role","id":"r1","displayName":"Reader"}`, 3005, 2, map[string]string{"privileges": `["Reader"]`}},
		{"Add member to role", ``, user2 + `]}`, 3004, 3, map[string]string{"entity.uid": `"u2"`, "privileges": ""}},
		{"Add member to role", ``, `{"type":"Group","id":"g1","modifiedProperties":[` + toRole + `]}`, 3006, 1, map[string]string{"group.uid": `"g1"`, "privileges": `["Global Reader"]`, "user.uid": ""}},
		{"Remove member from role", ``, `{"type":"Group","id":"g1","modifiedProperties":[` + toRole + `]}`, 3006, 2, nil},
		{"Add member to role in PIM requested (permanent)", ``, user2 + `]},{"type":"Role","id":"r1","displayName":"Reader"}`, 3005, 99, map[string]string{"activity_name": `"Add member to role in PIM requested (permanent)"`}},
		{"Add app role assignment to service principal", ``, graph + `{"displayName":"AppRole.Value","newValue":"\"Mail.ReadWrite\""},` + client + `]}`, 3005, 1,
			map[string]string{"user.uid": `"sp1"`, "user.name": `"Backup Job"`, "user.type_id": "4", "privileges": `["Mail.ReadWrite"]`, "resources": `[{"name":"Microsoft Graph","type":"ServicePrincipal","uid":"api"}]`}},
		{"Remove app role assignment from service principal", ``, graph + `{"displayName":"AppRole.Value","oldValue":"\"Mail.ReadWrite\""}]}`, 3005, 2, map[string]string{"user.uid": `"api"`, "privileges": `["Mail.ReadWrite"]`, "resources": ""}},
		{"Add app role assignment grant to user", ``, graph + `{"displayName":"AppRole.Value","newValue":"\"Admin\""}]},` + user2 + `]}`, 3005, 1, map[string]string{"user.uid": `"u2"`, "user.type_id": "1", "privileges": `["Admin"]`}},
		{"Add app role assignment to group", ``, graph + `{"displayName":"AppRole.Value","newValue":"\"Admin\""}]},{"type":"Group","id":"g1"}`, 3006, 1, map[string]string{"group.uid": `"g1"`, "resource.uid": `"api"`}},
		{"Add delegated permission grant", ``, graph + `{"displayName":"DelegatedPermissionGrant.Scope","oldValue":"","newValue":"\" User.Read Mail.Read\""},` + client + `]}`, 3005, 1, map[string]string{"user.uid": `"sp1"`, "privileges": `["User.Read","Mail.Read"]`}},
		{"Consent to application", ``, graph + `{"displayName":"ConsentAction.Permissions","newValue":"\"[[Id: x, Scope: Mail.Read]] => [[Id: x, ConsentType: AllPrincipals, Scope: Mail.Read Files.Read, CreatedDateTime: ], [Scope: User.Read]]; \""}]}`, 3005, 1,
			map[string]string{"user.uid": `"api"`, "user.type_id": "4", "privileges": `["Files.Read","User.Read"]`}},
		{"Revoke consent", ``, graph + `{"displayName":"ConsentAction.Permissions","newValue":"\"[[Scope: Mail.Read]] => []\""}]}`, 3005, 2, map[string]string{"privileges": `["Mail.Read"]`}},
		{"Consent to application", ``, graph + `{"displayName":"ConsentAction.Permissions","newValue":"\"[] => []\""}]}`, 3004, 3, map[string]string{"entity.uid": `"api"`, "privileges": ""}},
		{"Add role definition", ``, `{"type":"Role","id":"r1","displayName":"Own"}`, 3004, 1, map[string]string{"entity.uid": `"r1"`, "entity.type": `"Role"`}},
		{"Update user", ``, user2 + `{"displayName":"AccountEnabled","oldValue":"[true]","newValue":"[false]"},{"displayName":"Included Updated Properties","newValue":"\"AccountEnabled\""},{"displayName":"Empty","oldValue":"[]","newValue":"\"\""}]}`, 3001, 99,
			map[string]string{"unmapped.changes": `[{"name":"AccountEnabled","new":"false","old":"true"}]`, "activity_name": `"Update user"`}},
		{"Delete user", ``, `{"type":"User","displayName":"Somebody"}`, 3004, 4, map[string]string{"entity.name": `"Somebody"`, "entity.user.uid": ""}},
		{"Add owner to application", ``, user2 + `]},{"type":"Application","id":"app","displayName":"Payroll"}`, 3004, 3, map[string]string{"entity.uid": `"app"`, "entity.type": `"Application"`, "entity.type_id": "99"}},
		{"Add named location", ``, `{"type":"Other","id":"n1","displayName":"Office"}`, 3004, 1, map[string]string{"entity.type_id": "7", "entity.type": `"Network Zone"`, "entity.name": `"Office"`}},
		{"Verify domain", ``, `{"type":"Domain","displayName":"contoso.com"}`, 3004, 3, map[string]string{"entity.org.name": `"contoso.com"`, "entity.type": `"Organization"`}},
		{"Something new", `"category":"UserManagement","operationType":"Update",`, user2 + `]}`, 3001, 99, map[string]string{"activity_name": `"Something new"`}},
		{"Something new", `"category":"GroupManagement","operationType":"Delete",`, `{"type":"Group","id":"g1"}`, 3006, 99, map[string]string{"group.uid": `"g1"`}},
		{"Something new", `"category":"UserManagement","operationType":"Delete",`, `{"type":"Gadget","id":"x"}`, 3004, 4, map[string]string{"entity.type_id": "99", "entity.type": `"Gadget"`}},
		{"Something new", `"operationType":"Wave",`, user2 + `]}`, 3004, 99, map[string]string{"activity_name": `"Something new"`, "entity.uid": `"u2"`}},
		{"Add user", `"initiatedBy":{"app":{"appId":"a1","displayName":"Sync"}},`, user2 + `]}`, 3001, 1, map[string]string{"actor.app_uid": `"a1"`, "actor.app_name": `"Sync"`, "actor.user.name": `"Sync"`, "actor.user.type_id": "4"}},
		{"Add user", `"initiatedBy":{"user":{"displayName":"Only Name"}},`, user2 + `]}`, 3001, 1, map[string]string{"actor.user.full_name": ""}},
		{"Add user", `"initiatedBy":{"user":{"id":"u1","ipAddress":"[2001:db8::1]:50"}},"additionalDetails":[{"key":"User-Agent","value":"UA"},{"key":"k","value":"v"}],`, user2 + `]}`, 3001, 1,
			map[string]string{"src_endpoint.ip": `"2001:db8::1"`, "src_endpoint.port": "50", "http_request.user_agent": `"UA"`, "unmapped.additionalDetails": `[{"key":"k","value":"v"}]`}},
	} {
		raw := `{"activityDisplayName":"` + c.activity + `",` + c.rest + `"targetResources":[` + c.targets + `]}`
		flat := flatOCSF(t, n, newRecord("audits", []byte(raw)))
		compare(t, flat, map[string]string{"class_uid": fmt.Sprint(c.class), "activity_id": fmt.Sprint(c.id), "type_uid": fmt.Sprint(c.class*100 + c.id)})
		if compare(t, flat, c.want); t.Failed() {
			t.Fatalf("record %s\nevent %v", raw, flat)
		}
	}
}

// TestOCSF19: with the table's switch the same audits have the classes of 1.9.
func TestOCSF19(t *testing.T) {
	n, _ := newNormalizer(t)
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	if err := tables.addOCSF([]string{"version", "1.9.0"}); err != nil {
		t.Fatal(err)
	}
	n.jobs.New = func() any { return newJob(tables, n.unknown) }
	for _, c := range []struct {
		activity, targets string
		class, id         int
		want              map[string]string
	}{
		{"Add user", user2 + `]}`, 3007, 1, map[string]string{"user.uid": `"u2"`, "metadata.version": `"1.9.0"`}},
		{"Add member to role", user2 + toRole + `]}`, 3007, 16, map[string]string{"iam_roles": `[{"name":"Global Reader","uid":"r1"}]`, "privileges": ""}},
		{"Add member to role", `{"type":"Group","id":"g1","modifiedProperties":[` + toRole + `]}`, 3006, 1, map[string]string{"privileges": `["Global Reader"]`}},
		{"Remove member from role", `{"type":"Group","id":"g1","modifiedProperties":[` + toRole + `]}`, 3006, 2, nil},
		{"Consent to application", graph + `{"displayName":"ConsentAction.Permissions","newValue":"\"[] => [[Scope: Mail.Read]]\""}]}`, 3007, 14, map[string]string{"user.type_id": "4", "privileges": `["Mail.Read"]`}},
		{"Add service principal credentials", graph + `]}`, 3007, 18, map[string]string{"user.uid": `"api"`, "user.type_id": "4"}},
		{"Add role definition", `{"type":"Role","id":"r1","displayName":"Own"}`, 3008, 1, map[string]string{"iam_role.uid": `"r1"`, "iam_role.name": `"Own"`}},
		{"Add role definition", `{"type":"Other","id":"x"}`, 3004, 1, nil},
		{"Update group", `{"type":"Group","id":"g1"}`, 3006, 9, nil},
		{"Delete user", `{"type":"User"}`, 0, 99, nil},
	} {
		flat := flatOCSF(t, n, newRecord("audits", []byte(`{"activityDisplayName":"`+c.activity+`","targetResources":[`+c.targets+`]}`)))
		compare(t, flat, map[string]string{"class_uid": fmt.Sprint(c.class), "activity_id": fmt.Sprint(c.id)})
		if compare(t, flat, c.want); t.Failed() {
			t.Fatalf("%s: %v", c.activity, flat)
		}
	}
	s := readOCSFSchema(t)
	for _, rec := range testRecords(t) {
		checkOCSF(t, s, ocsfBody(t, n, rec, nil), "1.9.0")
	}
	unlisted := flatOCSF(t, n, newRecord("audits", []byte(`{"activityDisplayName":"New","category":"UserManagement","targetResources":[`+user2+`]}]}`)))
	compare(t, unlisted, map[string]string{"class_uid": "3007", "activity_id": "99"})
}

// TestOCSFActorAndTarget: the actor comes from initiatedBy alone, what it was done to from the targets alone.
func TestOCSFActorAndTarget(t *testing.T) {
	n, _ := newNormalizer(t)
	checked := 0
	for name, rec := range testRecords(t) {
		var audit struct {
			InitiatedBy     any `json:"initiatedBy"`
			TargetResources any `json:"targetResources"`
			Actor           any `json:"actor"` // Azure AD Graph's names
			Targets         any `json:"targets"`
		}
		if rec.Key.Stream != "audits" && rec.Key.Stream != "attributes" || json.Unmarshal(rec.Raw, &audit) != nil {
			continue
		}
		by, to := strings.ToLower(fmt.Sprint(audit.InitiatedBy, audit.Actor)), strings.ToLower(fmt.Sprint(audit.TargetResources, audit.Targets))
		for key, v := range flatOCSF(t, n, rec) {
			object, rest, _ := strings.Cut(key, ".")
			where := ""
			switch {
			case strings.HasSuffix(key, "type") || strings.HasSuffix(key, "type_id"):
				continue
			case object == "actor" && rest != "user.domain", object == "src_endpoint":
				where = by
			case object == "user", object == "group", object == "subgroup", object == "entity", object == "privileges", object == "resources":
				where = to
			default:
				continue
			}
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, v := range list {
				if o, ok := v.(map[string]any); ok { // of resources
					v = o["uid"]
				}
				checked++
				value := strings.ToLower(fmt.Sprint(v))
				embedded := strings.ReplaceAll(value, `"`, `\"`) // as JSON within modifiedProperties has it
				if !strings.Contains(where, value) && !strings.Contains(where, embedded) {
					t.Errorf("%s: %s = %v is not in %s", name, key, v, where)
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d values", checked)
	}
}
