package simulator

// The values that records are made up from. Application ids are Microsoft's published first-party ones; everything else is invented.

type app struct{ id, name, client, resource, resourceID string }

var apps = []app{
	{"c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "Azure Portal", "Browser", "Azure Resource Manager", "797f4846-ba00-4fd7-ba43-dac1f8f63013"},
	{"1fec8e78-bce4-4aaf-ab1b-5451cc387264", "Microsoft Teams", "Mobile Apps and Desktop clients", "Microsoft Graph", "00000003-0000-0000-c000-000000000000"},
	{"d3590ed6-52b3-4102-aeff-aad2292ab01c", "Microsoft Office", "Mobile Apps and Desktop clients", "Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000"},
	{"4765445b-32c6-49b0-83e6-1d93765276ca", "OfficeHome", "Browser", "OfficeHome", "4765445b-32c6-49b0-83e6-1d93765276ca"},
	{"04b07795-8ddb-461a-bbee-02f9e1bf7b46", "Microsoft Azure CLI", "Mobile Apps and Desktop clients", "Azure Resource Manager", "797f4846-ba00-4fd7-ba43-dac1f8f63013"},
	{"00000002-0000-0ff1-ce00-000000000000", "Office 365 Exchange Online", "Exchange ActiveSync", "Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000"},
	{"de8bc8b5-d9f9-48b1-a8ad-b748da725064", "Graph Explorer", "Browser", "Microsoft Graph", "00000003-0000-0000-c000-000000000000"},
}

type location struct {
	city, state, country string
	latitude, longitude  int64 // hundred-thousandths of a degree
	asn                  string
}

var locations = []location{
	{"Redmond", "Washington", "US", 4768050, -12212094, "64496"},
	{"London", "England", "GB", 5150853, -12574, "64497"},
	{"München", "Bayern", "DE", 4813743, 1157549, "64498"},
	{"São Paulo", "São Paulo", "BR", -2354750, -4663611, "64499"},
	{"東京", "東京都", "JP", 3568950, 13969171, "64500"},
	{"Sydney", "New South Wales", "AU", -3386785, 15120732, "64501"},
	{"Montréal", "Québec", "CA", 4550884, -7358781, "64502"},
	{"Toronto", "Ontario", "CA", 4370011, -7941630, "64503"},
}

type device struct{ os, browser, agent, detail string }

// detail is the rest of deviceDetail.
var devices = []device{
	{"Windows10", "Edge 131.0.0", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
		`"deviceId":"6c1de5f0-27a4-4b62-9d3c-51f0a2be7784","displayName":"WS-104233","isCompliant":true,"isManaged":true,"trustType":"Azure AD joined"`},
	{"Windows10", "Chrome 131.0.0", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
		`"deviceId":"","displayName":"","isCompliant":false,"isManaged":false,"trustType":""`},
	{"MacOs", "Safari 17.6", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
		`"deviceId":"b7a4c2d1-90ef-4a13-8b5e-0c6d7f18e293","displayName":"MAC-20871","isCompliant":true,"isManaged":true,"trustType":"Azure AD registered"`},
	{"Ios 18.1", "Mobile Safari", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
		`"deviceId":"","displayName":null,"isCompliant":null,"isManaged":null,"trustType":null`},
	{"Android 15", "Chrome Mobile 131.0.0", "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
		`"deviceId":"","displayName":"","isCompliant":null,"isManaged":null,"trustType":null`},
	{"Linux", "Rich Client 4.64.0.0", "python-requests/2.32.3 \\\"quoted\\\"",
		`"deviceId":"","displayName":"","isCompliant":false,"isManaged":false,"trustType":""`},
}

type outcome struct {
	code, reason, more string // status; reason in JSON
	access             string // conditionalAccessStatus
	weight             uint64 // of 100
	interrupt          bool   // may become a success
	mfa                bool
}

// outcomes begins with the plain success and the one with a second factor.
var outcomes = []outcome{
	{code: "0", reason: `"Other."`, more: "null", access: "notApplied", weight: 48},
	{code: "0", reason: `"Other."`, more: `"MFA requirement satisfied by claim in the token"`, access: "success", weight: 30, mfa: true},
	{code: "50126", reason: `"Error validating credentials due to invalid username or password."`, more: `"The user didn't enter the right credentials.  It's expected to see some number of these errors in your logs due to users making mistakes."`, access: "notApplied", weight: 8},
	{code: "50140", reason: `"This occurred due to 'Keep me signed in' interrupt when the user was signing in."`, more: "null", access: "success", weight: 4, interrupt: true},
	{code: "50074", reason: `"Strong Authentication is required."`, more: `"The user didn't complete the MFA prompt."`, access: "failure", weight: 4, interrupt: true, mfa: true},
	{code: "50058", reason: `"Session information is not sufficient for single-sign-on."`, more: "null", access: "notApplied", weight: 2, interrupt: true},
	{code: "53003", reason: `"Access has been blocked by Conditional Access policies."`, more: "null", access: "failure", weight: 2},
	{code: "50053", reason: `"The account is locked, you've tried to sign in too many times with an incorrect user ID or password."`, more: "null", access: "notApplied", weight: 1},
	{code: "500121", reason: `"Authentication failed during strong authentication request."`, more: `"MFA denied; user declined the authentication"`, access: "failure", weight: 1, mfa: true},
}

var workloadFailure = outcome{code: "7000215", reason: `"Invalid client secret is provided."`, more: "null", access: "notApplied"}

func pickOutcome(bits uint64) *outcome {
	n := bits % 100
	for i := range outcomes {
		if n < outcomes[i].weight {
			return &outcomes[i]
		}
		n -= outcomes[i].weight
	}
	return &outcomes[0]
}

// policies is the first of appliedConditionalAccessPolicies, by conditionalAccessStatus.
var policies = map[string]string{
	"success":    policy("3f1c", "Require multifactor authentication for all users", `"Mfa"`, "success", "application,users"),
	"failure":    policy("3f1c", "Require multifactor authentication for all users", `"Mfa"`, "failure", "application,users"),
	"notApplied": policy("3f1c", "Require multifactor authentication for all users", "", "notApplied", "application"),
}

// furtherPolicies stand behind the first one in every third record.
var furtherPolicies = "," + policy("8a27", "Block legacy authentication", `"Block"`, "notApplied", "application,users") +
	"," + policy("e916", "Report-only: sign-in risk medium and above", "", "reportOnlyNotApplied", "application,users")

func policy(id, name, grant, result, conditions string) string {
	return `{"id":"` + id + `6d52-7b0e-4c19-a84f-2d93f05e71bc","displayName":"` + name + `","enforcedGrantControls":[` + grant +
		`],"enforcedSessionControls":[],"result":"` + result + `","conditionsSatisfied":"` + conditions + `","conditionsNotSatisfied":"none"}`
}

var departments = []struct{ local, name string }{
	{"finance", "Finance"}, {"support", "Support"}, {"sales", "Sales"}, {"research", "Research"}, {"legal", "Legal"},
	{"facilities", "Facilities"}, {"payroll", "Payroll"}, {"buero", "Büro"}, {"design", "Design \\\"Studio\\\""}, {"operations", "Operations"},
}

var workloads = []string{"backup-agent", "ci-deployer", "siem-reader", "invoice-sync", "hr-connector", "telemetry-export", "keyvault-rotator"}

type activity struct {
	name, category, service, operation string
	targets                            template
	fails                              bool // one in eight does
}

var activities = []activity{
	{name: "Add member to group", category: "GroupManagement", service: "Core Directory", operation: "Assign", targets: compileTargets(targetUser, `"Group.ObjectID",null,"\"<group>\""`,
		`"Group.DisplayName",null,"\"All staff <number>\""`, `"Group.WellKnownObjectName",null,null`)},
	{name: "Add member to role", category: "RoleManagement", service: "Core Directory", operation: "Assign", fails: true, targets: compileTargets(targetUser, `"Role.ObjectID",null,"\"<group>\""`,
		`"Role.DisplayName",null,"\"Security Reader\""`, `"Role.TemplateId",null,"\"5d6b6bb7-de71-4623-b4af-96380a352509\""`)},
	{name: "Update user", category: "UserManagement", service: "Core Directory", operation: "Update", targets: compileTargets(targetUser,
		`"StrongAuthenticationMethod","[]","[{\"MethodType\":6,\"Default\":true}]"`, `"Included Updated Properties",null,"\"StrongAuthenticationMethod\""`,
		`"TargetId.UserType",null,"\"Member\""`)},
	{name: "Consent to application", category: "ApplicationManagement", service: "Core Directory", operation: "Assign", fails: true, targets: compileTargets(targetApp,
		`"ConsentContext.IsAdminConsent","\"False\"","\"True\""`, `"ConsentContext.OnBehalfOfAll","\"False\"","\"True\""`,
		`"ConsentAction.Permissions","","\"[] => [[Id: <group>, ClientId: 00000000-0000-0000-0000-000000000000, Scope: User.Read Mail.Read]]\""`)},
	{name: "Update application", category: "ApplicationManagement", service: "Core Directory", operation: "Update", targets: compileTargets(targetApp,
		`"KeyDescription","[]","[\"[KeyIdentifier=<group>,KeyType=Password,KeyUsage=Verify,DisplayName=rotated]\"]"`,
		`"Included Updated Properties",null,"\"KeyDescription\""`)},
	{name: "Change user password", category: "UserManagement", service: "Core Directory", operation: "Update", targets: compileTargets(targetUser,
		`"Action Client Name",null,"\"Self-service password reset\""`)},
	{name: "Add service principal", category: "ApplicationManagement", service: "Core Directory", operation: "Add", targets: compileTargets(targetApp,
		`"AccountEnabled","[]","[true]"`, `"AppPrincipalId","[]","[\"<group>\"]"`, `"DisplayName","[]","[\"ci-deployer-<number>\"]"`)},
}

const (
	targetUser = `"id":"<target>","displayName":"<targetname>","type":"User","userPrincipalName":"<targetupn>","groupType":null`
	targetApp  = `"id":"<target>","displayName":"<workloadname>","type":"ServicePrincipal","userPrincipalName":null,"groupType":null`
)

// compileTargets makes the first of an audit record's targetResources. A property is its name, old and new value in JSON.
func compileTargets(target string, properties ...string) template {
	list := ""
	for i, p := range properties {
		if i > 0 {
			list += ","
		}
		name, values := cutJSON(p)
		old, new := cutJSON(values)
		list += `{"displayName":` + name + `,"oldValue":` + old + `,"newValue":` + new + `}`
	}
	return compile(target+"\n"+`"modifiedProperties":[`+list+`]`, targetFields)
}

// cutJSON cuts a text behind its first JSON string or null.
func cutJSON(s string) (value, rest string) {
	inString := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			inString = !inString
		case s[i] == ',' && !inString:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
