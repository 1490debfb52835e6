package normalizer

import (
	"strings"
	"testing"
)

// TestListsAreReadAgain: a writer reads what the first pass has only noted the place of, in any order.
func TestListsAreReadAgain(t *testing.T) {
	n, _ := newNormalizer(t)
	j := n.jobs.New().(*job)
	rec := newRecord("signins.interactive", []byte(`{"authenticationDetails":[{"authenticationMethod":"Password","authenticationMethodDetail":"Password in the cloud","succeeded":true,"authenticationStepDateTime":"2026-03-04T05:06:07Z",
		"authenticationStepResultDetail":"Correct password","authenticationStepRequirement":"Primary authentication"},null,{"authenticationMethod":"Rauchzeichen","succeeded":false}],
		"deviceDetail":{"isCompliant":false,"isManaged":true,"trustType":"Azure AD joined","operatingSystem":"Windows 10"},
		"appliedConditionalAccessPolicies":[{"id":"p1","displayName":"One","result":"reportOnlyFailure"},{"id":"p2","result":"failure"}],"isInteractive":true,"sessionId":"s"}`))
	j.begin(&rec)
	if family, err := j.read(&rec); err != nil || family != familySignIns {
		t.Fatal(family, err)
	}
	m := &j.signIn
	var policies, steps []string
	j.enter(m.at[signInAppliedConditionalAccessPolicies])
	for j.array(); j.Element(); {
		p, ok := j.readPolicy()
		if !ok {
			t.Error("a policy is none")
		}
		policies = append(policies, string(p.id)+" "+string(p.name)+" "+p.result.text)
	}
	if got := strings.Join(policies, ", "); got != "p1 One reportOnlyFailure, p2  failure" {
		t.Errorf("policies %q", got)
	}
	j.enter(m.at[signInAuthenticationDetails])
	for j.array(); j.Element(); {
		if s, ok := j.readStep(); ok && s.method != nil {
			steps = append(steps, strings.Join([]string{s.method.text, string(s.methodDetail), string(s.time), string(s.resultDetail), string(s.requirement)}, "|"))
		} else if ok {
			steps = append(steps, string(s.methodText))
		}
	}
	if got := strings.Join(steps, ", "); got != "Password|Password in the cloud|2026-03-04T05:06:07Z|Correct password|Primary authentication, Rauchzeichen" {
		t.Errorf("steps %q", got)
	}
	if j.boolAt(m.at[signInIsInteractive]) != yes || string(j.textAt(m.at[signInSessionID])) != "s" || j.textAt(m.at[signInUserType]) != nil || len(j.raw(m.at[signInUserType])) > 0 {
		t.Error("members are not where they stand")
	}
	if m.device.compliant != no || m.device.managed != yes || string(m.device.trustType) != "Azure AD joined" || m.device.system.ocsf != 100 {
		t.Errorf("device %+v", m.device)
	}
	if j.Err() != nil {
		t.Error(j.Err())
	}
	for _, u := range n.Unknown() {
		if u.Count != 1 {
			t.Errorf("%s counts %d: reading again is no new record", u.Name, u.Count)
		}
	}
}

func TestTargetsAreReadAgain(t *testing.T) {
	for name, raw := range map[string]string{
		"Graph":          `{"targetResources":[{"type":"Group","groupType":"unifiedGroups"},{"type":"User","modifiedProperties":[{"displayName":"A","oldValue":"\"1\"","newValue":"[\"2\"]"},{"displayName":"B","newValue":"3"}]}],"additionalDetails":[{"Key":"k","Value":"v"}]}`,
		"Azure AD Graph": `{"targets":[{"targetResourceType":"Group","groupType":"unifiedGroups"},{"targetResourceType":"User","modifiedProperties":[{"name":"A","oldValue":"\"1\"","newValue":"[\"2\"]"},{"name":"B","newValue":"3"}]}],"additionalDetails":[{"key":"k","value":"v"}]}`,
	} {
		n, _ := newNormalizer(t)
		j := n.jobs.New().(*job)
		rec := newRecord("audits", []byte(raw))
		j.begin(&rec)
		if family, err := j.read(&rec); err != nil || family != familyAudits {
			t.Fatal(family, err)
		}
		m := &j.audit
		var got []string
		for i := range m.targets {
			r := &m.targets[i]
			got = append(got, string(r.typeText), string(r.groupType))
			if r.modified.end == 0 {
				continue
			}
			j.enter(r.modified)
			for j.array(); j.Element(); {
				if p, ok := j.readProperty(); ok {
					got = append(got, string(p.name), string(j.embedded(p.old)), string(j.embedded(p.after)))
				}
			}
		}
		j.enter(m.at[auditAdditionalDetails])
		for j.array(); j.Element(); {
			if d, ok := j.readDetail(); ok {
				got = append(got, string(d.key), string(j.clean(d.value)))
			}
		}
		if s := strings.Join(got, ","); s != "Group,unifiedGroups,User,,A,1,2,B,,3,k,v" {
			t.Errorf("%s: got %q", name, s)
		}
	}
}
