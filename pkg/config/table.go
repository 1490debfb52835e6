package config

import (
	"strings"

	"github.com/logferry/logferry/pkg/fetcher/entra"
)

// about is what the types do not say of a key. The JSON Schema and configs/reference.yaml are made from it.
type about struct {
	doc      string   // one line: what it means, and what leaving it out does where that is not one value
	example  string   // as YAML, where there is no default to show
	required bool     // the block is refused without it
	values   []string // the only ones, if there are any
	pattern  string   // of a text
	most     int64    // of a number; 0: no bound. All are 0 or more
	with     []string // keys that have to stand beside it
	refused  bool     // always: it is known for the sake of its error only, and not shown
	shown    bool     // an optional block that the reference has switched on
}

// choice are keys of which one may stand in a block.
type choice struct {
	keys  []string
	least int // 1: one has to
	// unless has keys that are no way of their own beside another key.
	unless map[string]string
}

// choices are by the block's path.
var choices = map[string][]choice{
	"sources.entra.auth": {
		{keys: []string{"client_secret_file", "certificate_file", "federated_token_file", "workload_identity", "managed_identity", "device_code"}, least: 1,
			unless: map[string]string{"federated_token_file": "workload_identity"}},
		{keys: []string{"client_id", "managed_identity"}},
	},
	"sinks":         {{keys: []string{"splunk", "elastic", "kafka", "syslog", "http", "file", "stdout"}, least: 1}},
	"sinks.elastic": {{keys: []string{"data_stream", "index"}}, {keys: []string{"api_key_file", "bearer_token_file", "user"}}},
	"sinks.http":    {{keys: []string{"bearer_token_file", "user", "oauth2"}}},
}

// lookUp gives the row of a path and its name in the table: the path's own, else that of its longest end behind "*.", which blocks share
// that stand in several places.
func lookUp(path string) (about, string) {
	if a, ok := abouts[path]; ok {
		return a, path
	}
	for rest := path; ; {
		_, end, more := strings.Cut(rest, ".")
		if !more {
			return about{}, ""
		}
		if a, ok := abouts["*."+end]; ok {
			return a, "*." + end
		}
		rest = end
	}
}

// streamWords are what streams, filters and rules know streams by.
func streamWords() (names []string) {
	for _, s := range entra.Table() {
		names = append(names, s.Name)
	}
	return names
}

const (
	folderOfSecrets = "/run/secrets/logferry/"
	urlPattern      = "^[A-Za-z0-9]+://"
	portPattern     = ":[0-9]+$"
	listenPattern   = "^off$|" + portPattern
	placeholders    = "with {tenant} {stream} {family} {date}"
)

// abouts has a row for each key: at its path, without the indices of lists.
var abouts = func() map[string]about {
	all := map[string]about{}
	for _, table := range []map[string]about{processKeys, sourceKeys, sinkKeys, sharedKeys, receiverKeys} {
		for path, a := range table {
			all[path] = a
		}
	}
	return all
}()

var processKeys = map[string]about{
	"state":                        {doc: "the state file: what was read and what still has to be delivered"},
	"state.dir":                    {doc: "its folder, made if need be; one process at a time uses it"},
	"state.journal_max_bytes":      {doc: "most that waits for the sinks, 16MiB or more; what happens then is when_full of the sink that holds most of it"},
	"state.shutdown_grace":         {doc: "how long sinks may go on after a signal to stop"},
	"state.dead_letters_max_bytes": {doc: "most that is kept of what a sink refuses, for each sink, 1MiB or more; then the sink waits"},
	"admin":                        {doc: "the HTTP endpoint for probes and metrics"},
	"admin.listen":                 {doc: "host:port, or off; it shows names of tenants and sinks to whoever reaches it", pattern: listenPattern},
	"log":                          {doc: "what logferry says of itself, on standard error"},
	"log.level":                    {doc: "the least that is told", values: []string{"debug", "info", "warn", "error"}},
	"log.format":                   {doc: "for machines or for people", values: []string{"json", "console"}},
}

var sourceKeys = map[string]about{
	"sources":                       {doc: "the tenants to read: one source for each, or several that read different streams"},
	"sources.name":                  {doc: "short and for good: the state file and the metrics use it", example: "contoso", required: true, pattern: namePattern.String()},
	"sources.entra":                 {doc: "what to read, and as whom", required: true},
	"sources.entra.tenant":          {doc: "the directory's id or one of its verified domains; with workload_identity the pod's AZURE_TENANT_ID stands in", example: "contoso.onmicrosoft.com", required: true},
	"sources.entra.cloud":           {doc: "the national cloud", values: []string{"global", "usgov", "usgov-dod", "china"}},
	"sources.entra.login_url":       {doc: "another sign-in host, with graph_url or cloud; default: the cloud's", example: "https://login.example.com", pattern: urlPattern},
	"sources.entra.graph_url":       {doc: "another host of the API, with login_url or cloud; default: the cloud's", example: "https://graph.example.com", pattern: urlPattern},
	"sources.entra.api":             {doc: "Microsoft Graph, or the retired Azure AD Graph: docs/legacy.md", values: []string{"graph", "azuread"}},
	"sources.entra.api_version":     {doc: "for all streams; default: each stream's own, beta for sign-ins, v1.0 for most others", example: "beta", values: []string{"beta", "v1.0"}},
	"sources.entra.streams":         {doc: "names, or patterns with *; docs/streams.md has all"},
	"sources.entra.filters":         {doc: "OData conditions by stream, beside those for the time; a changed one begins the stream again", example: `{audits: "category eq 'UserManagement'"}`},
	"sources.entra.retention":       {doc: "how far back the tenant keeps its logs, 1d or more; default: what every licence has, 7d of audits, 30d of sign-ins", example: "30d"},
	"sources.entra.budget":          {doc: "requests that may be sent, spaced evenly; the limit that Microsoft has for one app in one tenant"},
	"sources.entra.budget.requests": {doc: "how many", most: 100_000},
	"sources.entra.budget.per":      {doc: "in which time"},
	"sources.entra.insecure":        {doc: "allow http to login_url and graph_url on other machines"},
	"sources.entra.proxy":           {doc: "http://, https:// or socks5://host:port; default: the variables HTTPS_PROXY and NO_PROXY", example: "http://proxy.example.com:3128", pattern: urlPattern},
	"sources.entra.top":             {doc: "most rows of a page; default: the most that the stream's endpoint gives", example: "500", most: 1000},
	"sources.entra.start":           {doc: "where the first run begins: an age, a date or a time"},
	"sources.entra.poll":            {doc: "how often each stream is asked, 1s or more"},
	"sources.entra.lookback":        {doc: "how far back each time, 1m or more: records appear minutes after their own time"},
	"sources.entra.reread":          {doc: "ages at which a stretch is read once more, ascending, 1m or more; [] switches that off"},
	"sources.entra.updates":         {doc: "what becomes of records that have changed after they were delivered", values: []string{"ship", "drop"}},

	"sources.entra.auth":                                {doc: "the app registration, and exactly one way to prove that we are it", required: true},
	"sources.entra.auth.client_id":                      {doc: "its application (client) id; refused with managed_identity, not needed with workload_identity", example: "00000000-0000-0000-0000-000000000000", shown: true},
	"sources.entra.auth.client_secret":                  {refused: true},
	"sources.entra.auth.client_secret_file":             {doc: "a client secret's value", example: folderOfSecrets + "client-secret", with: []string{"client_id"}, shown: true},
	"sources.entra.auth.certificate_file":               {doc: "a certificate and its RSA key: PEM, or PKCS#12", example: folderOfSecrets + "certificate.pem", with: []string{"client_id"}},
	"sources.entra.auth.certificate_password_file":      {doc: "the password of a PKCS#12 file", example: folderOfSecrets + "certificate-password", with: []string{"certificate_file"}},
	"sources.entra.auth.federated_token_file":           {doc: "a token that the app registration trusts, renewed by its issuer", example: "/var/run/secrets/azure/tokens/azure-identity-token"},
	"sources.entra.auth.workload_identity":              {doc: "a federated token in a pod of Azure Workload Identity; {}: its webhook sets the rest", example: "{}"},
	"sources.entra.auth.managed_identity":               {doc: "that of the Azure machine; {}: the system-assigned one. Without client_id above"},
	"sources.entra.auth.managed_identity.client_id":     {doc: "of a user-assigned one", example: "00000000-0000-0000-0000-000000000000"},
	"sources.entra.auth.device_code":                    {doc: "a person signs in once, in a browser", with: []string{"client_id"}},
	"sources.entra.auth.device_code.refresh_token_file": {doc: "keeps the sign-in; logferry makes and replaces it", example: "/var/lib/logferry/refresh-token", required: true},
}

var sinkKeys = map[string]about{
	"sinks":               {doc: "the receivers: each entry has exactly one block that says where to"},
	"sinks.name":          {doc: "short and for good: the state file and the metrics use it", required: true, pattern: namePattern.String()},
	"sinks.schema":        {doc: "the form of the events, a name or {name: .., option: ..}: docs/mapping.md; default: envelope for splunk, ecs for all others", example: "{name: ecs, raw: drop}"},
	"sinks.streams":       {doc: "which streams it gets, names or patterns with *; default: all", example: `["signins.*", audits]`},
	"sinks.when_full":     {doc: "in a full journal: fetching waits for this sink, or it loses its oldest records", values: []string{"wait", "skip_oldest"}},
	"sinks.paused":        {doc: "send nothing for now; records wait"},
	"sinks.was":           {doc: "the name that it had before: it goes on where that one was", example: "splunk-old", pattern: namePattern.String()},
	"sinks.drop_fields":   {doc: "members that are left out of records, as paths: docs/routing.md", example: "[location.geoCoordinates, \"targetResources[].modifiedProperties\"]"},
	"sinks.hash_fields":   {doc: "members whose texts become a keyed hash", example: "[userPrincipalName, initiatedBy.user.userPrincipalName]", with: []string{"hash_key_file"}},
	"sinks.hash_key_file": {doc: "the key, 16 bytes or more: openssl rand -base64 32", example: folderOfSecrets + "hash-key", with: []string{"hash_fields"}},

	"sinks.where":         {doc: "rules: a record goes there when one holds; a rule may have several of these keys, and all of them must hold"},
	"sinks.where.streams": {doc: "which the rule is about, names or patterns; default: all; streams that no rule is about are kept whole", example: `"signins.*"`},
	"sinks.where.not":     {doc: "what is excepted: records for which all of this holds; the keys are those above, but for streams"},
	"*.outcome":           {doc: "how it ended", example: "[failure, interrupted]", values: []string{"failure", "success", "interrupted", "unknown"}},
	"*.risk":              {doc: "at least", example: "medium", values: []string{"low", "medium", "high"}},
	"*.where.user":        {doc: "who acted, name or id, of a service principal too; * and ? are possible", example: `"admin.*@contoso.com"`},
	"*.not.user":          {doc: "who acted", example: "breakglass@contoso.com"},
	"*.target":            {doc: "what it was about, name or id", example: `"*admin*"`},
	"*.app":               {doc: "the application, name or id", example: "Azure Portal"},
	"*.activity":          {doc: "of an audit; the kind of a detection; the title of an alert", example: `"Add member to role*"`},
	"*.category":          {doc: "of an audit or an alert", example: "RoleManagement"},
	"*.ip":                {doc: "an address, a network or a pattern", example: `[192.0.2.0/24, "2001:db8::/32"]`},
	"*.country":           {doc: "two letters", example: "DE"},
	"*.client_app":        {doc: "how a sign-in came in", example: "[IMAP4, Other clients]"},
	"*.error_code":        {doc: "of a sign-in", example: "[50126, 50053]"},
}
