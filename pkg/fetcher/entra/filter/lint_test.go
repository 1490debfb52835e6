package filter

import (
	"errors"
	"strings"
	"testing"
)

const cast = "Microsoft.ActiveDirectory.DataService.PublicApi.Model.Reporting.AuditLog."

// accepted has the shapes of the reference pages, as expressions alone.
var accepted = []struct {
	dialect Dialect
	stream  string
	expr    string
}{
	{AzureAD, "signins.interactive", "signinDateTime eq 2016-04-25T23:59:00Z"},
	{AzureAD, "signins.interactive", "signinDateTime ge 2016-07-01T17:05:21Z and signinDateTime le 2016-07-07T17:05:21Z"},
	{AzureAD, "signins.interactive", "signinDateTime gt 2016-07-01T17:05:21Z and signinDateTime lt 2016-07-07T17:05:21Z"},
	{AzureAD, "signins.interactive", "userId eq '00000000-0000-0000-0000-000000000000'"},
	{AzureAD, "signins.interactive", "userPrincipalName eq 'audrey@contoso.com'"},
	{AzureAD, "signins.interactive", "appId eq '00000000-0000-0000-0000-000000000000'"},
	{AzureAD, "signins.interactive", "appDisplayName eq 'Azure Portal'"},
	{AzureAD, "signins.interactive", "loginStatus eq '1'"},
	{AzureAD, "audits", "activityDate gt 2017-01-09"},
	{AzureAD, "audits", "activityDate ge 2017-01-09T00:00:00Z and activityDate le 2017-01-10T00:00:00Z"},
	{AzureAD, "audits", "category eq 'SSPR'"},
	{AzureAD, "audits", "category eq 'Automated Password Rollover'"},
	{AzureAD, "audits", "activityStatus eq -1"},
	{AzureAD, "audits", "activityType eq 'User'"},
	{AzureAD, "audits", "activity eq 'Add application' or contains(activity, 'application') or startsWith(activity, 'Add')"},
	{AzureAD, "audits", "actor/name eq 'test' or contains(actor/name, 'test') or startsWith(actor/name, 'test')"},
	{AzureAD, "audits", "actor/objectId eq 'e8096343-86a2-4384-b43a-ebfdb17600ba'"},
	{AzureAD, "audits", "actor/" + cast + "ActorUserEntity/userPrincipalName eq 'audrey@contoso.com'"},
	{AzureAD, "audits", "targets/any(t: t/name eq 'some name')"},
	{AzureAD, "audits", "targets/any(t: contains(t/name, 'some name'))"},
	{AzureAD, "audits", "targets/any(t: t/objectId eq 'e8096343-86a2-4384-b43a-ebfdb17600ba')"},
	{AzureAD, "audits", "targets/any(t: startsWith(t/" + cast + "TargetResourceUserEntity/userPrincipalName,'audrey'))"},
	{Graph, "signins.interactive", "createdDateTime ge 2018-01-24T00:00:00Z and createdDateTime le 2018-01-25T00:00:00.1234567Z"},
	{Graph, "signins.interactive", "startsWith(appDisplayName,'Azure')"},
	{Graph, "signins.interactive", "startswith(userAgent,'axios')"},
	{Graph, "signins.interactive", "appDisplayName eq 'Graph explorer' and (status/errorCode eq 50126 or status/errorCode eq 0)"},
	{Graph, "signins.noninteractive", "signInEventTypes/any(t: t eq 'nonInteractiveUser')"},
	{Graph, "signins.noninteractive", "signInEventTypes/any(t:t ne 'interactiveUser')"},
	{Graph, "signins.interactive", "location/countryOrRegion eq 'DE' and deviceDetail/operatingSystem eq 'Windows'"},
	{Graph, "signins.interactive", "userDisplayName eq 'Audrey O''Neill' and userPrincipalName eq 'o+tag%20@contoso.com'"},
	{Graph, "signins.interactive", "isInteractive eq true and userId ne null"},
	{Graph, "signins.interactive", "not (riskLevelAggregated eq 'none')"},
	{Graph, "signins.interactive", "appDisplayName eq 'Audrey’s app'"},
	{Graph, "audits", "activityDateTime ge 2026-01-01T00:00:00Z and loggedByService eq 'Core Directory'"},
	{Graph, "audits", "startswith(activityDisplayName,'Add')"},
	{Graph, "audits", "correlationId eq '00000000-0000-0000-0000-000000000000' or id eq 'Directory_1_AAAAA_1'"},
	{Graph, "audits", "initiatedBy/user/id eq '1' or initiatedBy/user/displayName eq 'x' or initiatedBy/app/appId eq '2' or initiatedBy/app/displayName eq 'y'"},
	{Graph, "audits", "startswith(initiatedBy/user/userPrincipalName,'audrey')"},
	{Graph, "audits", "targetResources/any(t: t/displayName eq 'x' or startswith(t/displayName,'y'))"},
	{Graph, "signins.interactive", "status/errorCode in (50053, 50126) and not startswith(appDisplayName,'x')"},
	{Graph, "signins.interactive", "appliedConditionalAccessPolicies/any() or (isInteractive) and contains(tolower(userPrincipalName),'x')"},
	{Graph, "audits", "targetResources/any(t: t/modifiedProperties/any(p: p/displayName eq 'x'))"},
	{Graph, "unheard.of", "whatever eq 1"},
}

func TestCheckAccepts(t *testing.T) {
	for _, c := range accepted {
		if err := Check(c.dialect, c.stream, c.expr); err != nil {
			t.Errorf("%s %s: %s\n%v", c.dialect, c.stream, c.expr, err)
		}
	}
}

// TestCheckRepairs has what people paste, with the expression that they meant.
func TestCheckRepairs(t *testing.T) {
	for _, c := range []struct {
		dialect            Dialect
		stream, expr, want string
	}{
		{AzureAD, "signins.interactive", "$filter=signinDateTime+eq+2016-04-25T23:59:00Z", "signinDateTime eq 2016-04-25T23:59:00Z"},
		{AzureAD, "signins.interactive", "$filter=signinDateTime+ge+2016-07-01T17:05:21Z+and+signinDateTime+le+2016-07-07T17:05:21Z", "signinDateTime ge 2016-07-01T17:05:21Z and signinDateTime le 2016-07-07T17:05:21Z"},
		{AzureAD, "signins.interactive", "$filter=userId+eq+’00000000-0000-0000-0000-000000000000’", "userId eq '00000000-0000-0000-0000-000000000000'"},
		{AzureAD, "signins.interactive", "$filter=userPrincipalName+eq+'audrey@contoso.com'", "userPrincipalName eq 'audrey@contoso.com'"},
		{AzureAD, "signins.interactive", "$filter=appId+eq+’00000000-0000-0000-0000-000000000000’", "appId eq '00000000-0000-0000-0000-000000000000'"},
		{AzureAD, "signins.interactive", "$filter=appDisplayName+eq+'Azure+Portal'", "appDisplayName eq 'Azure Portal'"},
		{AzureAD, "signins.interactive", "$filter=loginStatus+eq+'1'", "loginStatus eq '1'"},
		{AzureAD, "signins.interactive", "loginStatus eq 1", "loginStatus eq '1'"},
		{AzureAD, "signins.interactive", "LoginStatus eq '1'", "loginStatus eq '1'"},
		{AzureAD, "signins.interactive", "https://graph.windows.net/contoso.com/activities/signinEvents?api-version=beta&$top=10&$filter=signinDateTime+ge+2016-07-01T17:05:21Z+and+signinDateTime+le+2016-07-07T00:00:00Z",
			"signinDateTime ge 2016-07-01T17:05:21Z and signinDateTime le 2016-07-07T00:00:00Z"},
		{AzureAD, "audits", "`$filter=activityDate gt 2017-01-09T00:00:00Z", "activityDate gt 2017-01-09T00:00:00Z"},
		{AzureAD, "audits", "&$filter=activityDate%20gt%202017-01-09", "activityDate gt 2017-01-09"},
		{AzureAD, "audits", "activityStatus eq '-1'", "activityStatus eq -1"},
		{AzureAD, "audits", "createdDateTime ge 2026-01-01T00:00:00Z", "activityDate ge 2026-01-01T00:00:00Z"},
		{AzureAD, "audits", "Targets/Any(t: t/name eq 'x')", "targets/any(t: t/name eq 'x')"},
		{Graph, "signins.interactive", "%24filter=userPrincipalName%20eq%20%27audrey%40contoso.com%27", "userPrincipalName eq 'audrey@contoso.com'"},
		{Graph, "signins.interactive", "filter=appId eq 'x'&$top=10&$orderby=createdDateTime", "appId eq 'x'"},
		{Graph, "signins.interactive", "?$filter=appId eq 'a&$top=b'", "appId eq 'a&$top=b'"},
		{Graph, "signins.interactive", "appDisplayName eq “Azure Portal”", "appDisplayName eq 'Azure Portal'"},
		{Graph, "signins.interactive", "appDisplayName eq \"O'Neill’s app\"", "appDisplayName eq 'O''Neill’s app'"},
		{Graph, "signins.interactive", "appDisplayName eq 'Azure Portal’", "appDisplayName eq 'Azure Portal'"},
		{Graph, "signins.interactive", "UserPrincipalName EQ 'audrey@contoso.com' AND appid eq 'x'", "userPrincipalName eq 'audrey@contoso.com' and appId eq 'x'"},
		{Graph, "signins.interactive", "createdDateTime ge '2026-01-01T00:00:00Z'", "createdDateTime ge 2026-01-01T00:00:00Z"},
		{Graph, "signins.interactive", "createdDateTime ge 2026-01-01T00:00:00", "createdDateTime ge 2026-01-01T00:00:00Z"},
		{Graph, "signins.interactive", "createdDateTime+ge+2026-01-01T00:00:00+02:00", "createdDateTime ge 2026-01-01T00:00:00+02:00"},
		{Graph, "signins.interactive", "signinDateTime ge 2026-01-01T00:00:00Z", "createdDateTime ge 2026-01-01T00:00:00Z"},
		{Graph, "signins.interactive", "userid eq 11111111-2222-3333-4444-555555555555", "userId eq '11111111-2222-3333-4444-555555555555'"},
		{Graph, "signins.interactive", "status/errorCode eq '50126'", "status/errorCode eq 50126"},
		{Graph, "signins.interactive", "Status/errorCode eq 0", "status/errorCode eq 0"},
		{Graph, "signins.interactive", "userPrincipleName eq 'x'", "userPrincipalName eq 'x'"},
		{Graph, "signins.interactive", "appId = 'x' && appId != 'y'", "appId eq 'x' and appId ne 'y'"},
		{Graph, "signins.interactive", "STARTSWITH(appDisplayName,'x')", "startswith(appDisplayName,'x')"},
		{Graph, "signins.interactive", "userPrincipalName+eq+%27anna%2Btag%40contoso.com%27", "userPrincipalName eq 'anna+tag@contoso.com'"},
		{Graph, "signins.interactive", "appDisplayName%20eq%20%27C%2B%2B+app%27", "appDisplayName eq 'C++ app'"},
		{Graph, "signins.interactive", "appDisplayName+eq+'C%2B%2B'", "appDisplayName eq 'C++'"},
		{Graph, "signins.interactive", "createdDateTime%20ge%202026-01-01T00%3A00%3A00+02%3A00", "createdDateTime ge 2026-01-01T00:00:00+02:00"},
		{Graph, "signins.interactive", "userPrincipalName%20eq%20'o%27%27neill@contoso.com'", "userPrincipalName eq 'o''neill@contoso.com'"},
		{Graph, "signins.interactive", "$filter=appId%20eq%20%27a%26%24top%3D1%27&%24top=1", "appId eq 'a&$top=1'"},
		{Graph, "signins.interactive", "userDisplayName eq ‘O''Neill’", "userDisplayName eq 'O''Neill'"},
		{Graph, "signins.interactive", "userDisplayName eq \"O''Neill\" or appId eq 'x'", "userDisplayName eq 'O''Neill' or appId eq 'x'"},
		{Graph, "audits", "createdDateTime ge 2026-01-01T00:00:00Z", "activityDateTime ge 2026-01-01T00:00:00Z"},
		{Graph, "audits", "activity eq 'Add user'", "activityDisplayName eq 'Add user'"},
		{Graph, "audits", "InitiatedBy/user/id eq 'x'", "initiatedBy/user/id eq 'x'"},
		{Graph, "provisioning", "activitydatetime gt 2026-01-01T00:00:00Z", "activityDateTime gt 2026-01-01T00:00:00Z"},
		{Graph, "security.alerts", "Severity eq 'high'", "severity eq 'high'"},
	} {
		err := Check(c.dialect, c.stream, c.expr)
		var fault *Fault
		if !errors.As(err, &fault) || fault.Repaired != c.want {
			t.Errorf("%s %s: %s\n%v %#v\nwant %s", c.dialect, c.stream, c.expr, err, fault, c.want)
			continue
		}
		if err := Check(c.dialect, c.stream, fault.Repaired); err != nil {
			t.Errorf("what was repaired is refused: %s: %v", fault.Repaired, err)
		}
	}
}

// TestCheckRefuses has what nobody can repair.
func TestCheckRefuses(t *testing.T) {
	for expr, want := range map[string]string{
		"":                                        "empty",
		" ":                                       "empty",
		"$filter=":                                "empty",
		"appId eq 'x":                             "quote has no partner",
		"(appId eq 'x'":                           "opening parenthesis too many",
		"appId eq 'x') or (appId eq 'y'":          "closing parenthesis too many",
		"colour eq 'red'":                         `no field "colour"`,
		"loginStatus eq '0'":                      `no field "loginStatus"`,
		"appId":                                   "not compared",
		"appId eq":                                "nothing follows",
		"appId 'x'":                               "not compared",
		"frobnicate(appId,'x')":                   "no function",
		"appId; eq 'x'":                           "neither a field nor a value",
		"createdDateTime ge 'yesterday'":          "is no time",
		"appId eq 'x' and \xff eq 'y'":            "UTF-8",
		"appId eq 'x' userId eq 'y'":              "nothing joins userId",
		"appId eq 'x' eq 'y'":                     "nothing joins eq",
		"appId eq 'x' not isInteractive":          "not",
		"(appId eq 'x' (isInteractive))":          "nothing joins (",
		"appId eq 'x' and":                        "nothing follows and",
		"appId eq 'x' or or userId eq 'y'":        "or stands where",
		"(appId eq 'x' and)":                      ") stands where",
		"and appId eq 'x'":                        "and stands where",
		"not":                                     "nothing follows not",
		"date(createdDateTime) eq 2026-01-01":     "date is OData's, but the API is not known",
		"day(createdDateTime) eq 1":               "day is OData's, but the API is not known",
		"'x' eq userId":                           "userId behind eq is neither",
		"appDisplayName+eq+'C++ app'":             "cannot be told",
		"appDisplayName+eq+'C++'":                 "cannot be told",
		"appDisplayName+eq+'C+'+and+appId+eq+'x'": "cannot be told",
		"userPrincipalName+eq+'anna+tag@contoso.com'":     "cannot be told",
		"userPrincipalName%20eq%20'anna+tag@contoso.com'": "cannot be told",
		"appDisplayName+eq+“C+”":                          "cannot be told",
		"userAgent eq 'a%20b' and appId%20eq%20'x'":       "cannot be told",
		"appDisplayName eq ‘rock+and+roll’":               "cannot be told",
		"userPrincipalName%20eq%20'100%'":                 "cannot be told",
		"colours/any(c: c eq 'red')":                      `no field "colours"`,
		"appId eq 'x' or colour eq 'red'":                 `no field "colour"`,
	} {
		err := Check(Graph, "signins.interactive", expr)
		var fault *Fault
		if !errors.As(err, &fault) || fault.Repaired != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %#v; want %q", expr, err, fault, want)
		}
	}
}

// FuzzCheck: no expression makes it fall over, and what it repairs it accepts.
func FuzzCheck(f *testing.F) {
	for _, c := range accepted {
		f.Add(c.expr)
	}
	f.Add("%24filter=a+eq+’b’&$top=1")
	f.Fuzz(func(t *testing.T, expr string) {
		for _, d := range []Dialect{Graph, AzureAD} {
			for _, stream := range []string{"signins.interactive", "audits"} {
				var fault *Fault
				if err := Check(d, stream, expr); errors.As(err, &fault) && fault.Repaired != "" {
					if err := Check(d, stream, fault.Repaired); err != nil {
						t.Errorf("%q became %q: %v", expr, fault.Repaired, err)
					}
				}
			}
		}
	})
}
