package filter

import (
	"slices"
	"strings"
	"testing"
)

const (
	someID  = "11111111-2222-3333-4444-555555555555"
	someUPN = "audrey@contoso.com"
)

// TestMake renders every typed filter in both dialects. after: the API cannot be asked for it.
func TestMake(t *testing.T) {
	const cast = "Microsoft.ActiveDirectory.DataService.PublicApi.Model.Reporting.AuditLog."
	for _, c := range []struct {
		stream       string
		field        Field
		value        string
		graph, older string // "": applied after reading; "-": no such field
	}{
		{"signins.interactive", UserID, someID, "userId eq '" + someID + "'", "userId eq '" + someID + "'"},
		{"signins.interactive", UPN, "Audrey@contoso.com", "userPrincipalName eq '" + someUPN + "'", "userPrincipalName eq 'Audrey@contoso.com'"},
		{"signins.interactive", UPN, "audrey*", "startswith(userPrincipalName,'audrey')", ""},
		{"signins.serviceprincipal", AppID, someID, "appId eq '" + someID + "'", "appId eq '" + someID + "'"},
		{"signins.interactive", AppName, "Azure Portal", "appDisplayName eq 'Azure Portal'", "appDisplayName eq 'Azure Portal'"},
		{"signins.interactive", AppName, "Audrey's App", "appDisplayName eq 'Audrey''s App'", "appDisplayName eq 'Audrey''s App'"},
		{"signins.interactive", AppName, "Azure*", "startswith(appDisplayName,'Azure')", ""},
		{"signins.interactive", AppName, "*Portal*", "", ""},
		{"signins.interactive", Status, "success", "status/errorCode eq 0", "loginStatus eq '0'"},
		{"signins.interactive", Status, "failure", "", "loginStatus eq '1'"},
		{"signins.interactive", Category, "Directory", "-", "-"},
		{"audits", Category, "Directory", "", "category eq 'Directory'"},
		{"audits", Activity, "Add application", "activityDisplayName eq 'Add application'", "activity eq 'Add application'"},
		{"audits", Activity, "Add*", "startswith(activityDisplayName,'Add')", "startsWith(activity,'Add')"},
		{"audits", Activity, "*application*", "", "contains(activity,'application')"},
		{"audits", Activity, "*application", "", ""},
		{"audits", ActivityType, "User", "", "activityType eq 'User'"},
		{"audits", Status, "success", "", "activityStatus eq 0"},
		{"audits", Status, "failure", "", "activityStatus eq -1"},
		{"audits", Initiator, someID, "", "actor/objectId eq '" + someID + "'"},
		{"audits", Initiator, someUPN, "initiatedBy/user/userPrincipalName eq '" + someUPN + "'", "actor/" + cast + "ActorUserEntity/userPrincipalName eq '" + someUPN + "'"},
		{"audits", Initiator, "audrey@*", "startswith(initiatedBy/user/userPrincipalName,'audrey@')", "startsWith(actor/" + cast + "ActorUserEntity/userPrincipalName,'audrey@')"},
		{"audits", Initiator, "Audrey O'Neill", "(initiatedBy/user/displayName eq 'Audrey O''Neill' or initiatedBy/app/displayName eq 'Audrey O''Neill')", "actor/name eq 'Audrey O''Neill'"},
		{"audits", Initiator, "*Neill*", "", "contains(actor/name,'Neill')"},
		{"audits", Target, someID, "targetResources/any(t: t/id eq '" + someID + "')", "targets/any(t: t/objectId eq '" + someID + "')"},
		{"audits", Target, someUPN, "", "targets/any(t: t/" + cast + "TargetResourceUserEntity/userPrincipalName eq '" + someUPN + "')"},
		{"audits", Target, "Finance", "targetResources/any(t: t/displayName eq 'Finance')", "targets/any(t: t/name eq 'Finance')"},
		{"audits", Target, "Fin*", "targetResources/any(t: startswith(t/displayName,'Fin'))", "targets/any(t: startsWith(t/name,'Fin'))"},
		{"audits", UserID, someID, "-", "-"},
	} {
		for d, want := range map[Dialect]string{Graph: c.graph, AzureAD: c.older} {
			p, err := Make(d, c.stream, []Want{{c.field, c.value}})
			if want == "-" {
				if err == nil || !strings.Contains(err.Error(), "--"+string(c.field)+" is not a field of "+c.stream) {
					t.Errorf("%s %s --%s: %v", d, c.stream, c.field, err)
				}
				continue
			}
			if err != nil || p.Query != want || (want == "") != slices.Equal(p.After, []Field{c.field}) {
				t.Errorf("%s %s --%s %q: %q, after reading %v, %v; want %q", d, c.stream, c.field, c.value, p.Query, p.After, err, want)
			}
			if want != "" { // what we make ourselves passes our own rules
				if err := Check(d, c.stream, p.Query); err != nil {
					t.Errorf("%s: %v", p.Query, err)
				}
			}
		}
	}
	p, err := Make(Graph, "audits", []Want{{Activity, "Add user"}, {Category, "UserManagement"}, {Target, "x"}})
	if want := "activityDisplayName eq 'Add user' and targetResources/any(t: t/displayName eq 'x')"; err != nil || p.Query != want {
		t.Errorf("%q, %v; want %q", p.Query, err, want)
	}
	for _, bad := range []Want{{Status, "ok"}, {UPN, ""}, {UPN, "*"}, {UPN, "**"}} {
		if _, err := Make(Graph, "signins.interactive", []Want{bad}); err == nil {
			t.Errorf("--%s %q was taken", bad.Field, bad.Value)
		}
	}
}

// TestMatch: what the API cannot be asked for is picked by the record.
func TestMatch(t *testing.T) {
	const audit = `{"category":"UserManagement","result":"failure","activityDisplayName":"Add user","initiatedBy":{"user":{"displayName":"Audrey O'Neill"},"app":{"servicePrincipalId":"` + someID + `"}},` +
		`"targetResources":[{"type":"Group","userPrincipalName":null},{"Type":"User","userPrincipalName":"audrey@contoso.com"}]}`
	const signIn = `{"appDisplayName":"Azure Portal","status":{"errorCode":50126}}`
	for _, c := range []struct {
		stream, raw string
		field       Field
		value       string
		want        bool
	}{
		{"audits", audit, Category, "usermanagement", true},
		{"audits", audit, Category, "User", false},
		{"audits", audit, Category, "User*", true},
		{"audits", audit, Status, "failure", true},
		{"audits", audit, Status, "success", false},
		{"audits", audit, Activity, "*D US*", true},
		{"audits", audit, Activity, "*del*", false},
		{"audits", audit, Activity, "*USER", true},
		{"audits", audit, Activity, "*add", false},
		{"audits", audit, ActivityType, "User", true},
		{"audits", audit, ActivityType, "Group", true},
		{"audits", audit, ActivityType, "Device", false},
		{"audits", audit, Target, someUPN, true},
		{"audits", audit, Target, "other@contoso.com", false},
		{"audits", audit, Initiator, "*neill*", true},
		{"audits", audit, Initiator, someID, true},
		{"audits", `{"initiatedBy":{"user":{"id":"` + someID + `"}}}`, Initiator, someID, true},
		{"audits", `{"initiatedBy":{"app":{"appId":"` + someID + `"}}}`, Initiator, someID, true},
		{"audits", `{"initiatedBy":{"app":{"displayName":"` + someID + `"}}}`, Initiator, someID, false},
		{"audits", `{}`, Category, "x", false},
		{"audits", `{"targetResources":{}}`, ActivityType, "User", false},
		{"signins.interactive", signIn, Status, "failure", true},
		{"signins.interactive", `{"status":{"errorCode":0}}`, Status, "failure", false},
		{"signins.interactive", `{"status":{}}`, Status, "failure", false},
		{"signins.interactive", signIn, AppName, "*portal*", true},
	} {
		p, err := Make(Graph, c.stream, []Want{{c.field, c.value}})
		if err != nil || p.Query != "" {
			t.Fatalf("--%s %q: %q, %v", c.field, c.value, p.Query, err)
		}
		if got, err := p.Match([]byte(c.raw)); err != nil || got != c.want {
			t.Errorf("--%s %q: %v, %v", c.field, c.value, got, err)
		}
	}
	p, _ := Make(Graph, "audits", []Want{{Category, "x"}})
	if _, err := p.Match([]byte(`{`)); err == nil {
		t.Error("half a record was judged")
	}
}
