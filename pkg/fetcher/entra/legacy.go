package entra

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/field"
)

// azureAD is Azure AD Graph, the API before Microsoft Graph: retired, and of use where something still answers by it.
func azureAD() dialect {
	return dialect{
		clouds:     legacyClouds,
		logins:     map[string]string{"https://login.windows.net": "global", "https://login.microsoftonline.com": "global"},
		expand:     legacyStreams,
		lookup:     legacyLookup,
		tokenPath:  "oauth2/token",
		byResource: true,
		topCuts:    true,
		firstURL:   legacyURL,
		refused:    legacyRefused,
	}
}

// legacyClouds has the hosts that are known. Only the global one stands in the vendor's reference; usgov's and china's come from
// public lists of hosts. Everything else goes by login_url and graph_url.
var legacyClouds = map[string]hosts{
	"global": {"https://login.microsoftonline.com", "https://graph.windows.net"},
	"usgov":  {"https://login.microsoftonline.us", "https://graph.microsoftazure.us"},
	"china":  {"https://login.partner.microsoftonline.cn", "https://graph.chinacloudapi.cn"},
}

// silentAfter is how many sign-ins one query gives; behind them the API falls silent as if there were no more. A slice is given
// up at half of that, so that silence always means the end.
const silentAfter = 1_000_000

const readerRole = "the app's service principal is not in the directory role Security Reader: an administrator has to put it there"

// legacyTable has the streams of Azure AD Graph. It tells no kinds of sign-ins apart: those it has are the interactive ones.
var legacyTable = []Stream{
	{Name: "signins.interactive", Path: "activities/signinEvents", Version: beta, TimeMember: "signinDateTime", Lower: ge, Upper: le, Page: 1000,
		MostRows: silentAfter / 2, Permission: "Directory.Read.All", Licence: premium, Retention: 30 * day},
	{Name: "audits", Path: "activities/audit", Version: beta, TimeMember: "activityDate", Lower: ge, Upper: le, Page: 1000,
		Permission: "Directory.Read.All", Licence: "any"},
}

func legacyLookup(name string) (Stream, bool) {
	i := slices.IndexFunc(legacyTable, func(s Stream) bool { return s.Name == name })
	if i < 0 {
		return Stream{}, false
	}
	return legacyTable[i], true
}

// legacyStreams is Streams for this API. A pattern that only Microsoft Graph has streams for is an error that says so.
func legacyStreams(patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		patterns = DefaultStreams()
	}
	wanted := map[string]bool{}
	var errs []error
	for i, pattern := range patterns {
		matched := false
		for _, s := range legacyTable {
			if ok, err := path.Match(pattern, s.Name); err == nil && ok {
				matched, wanted[s.Name] = true, true
			}
		}
		if !matched {
			errs = append(errs, field.Errorf(fmt.Sprintf("[%d]", i), "%q: %s", pattern, legacyLacks(pattern)))
		}
	}
	var names []string
	for _, s := range legacyTable {
		if wanted[s.Name] {
			names = append(names, s.Name)
		}
	}
	return names, errors.Join(errs...)
}

// legacyLacks says why no stream matches a pattern.
func legacyLacks(pattern string) string {
	const there = "api: azuread has signins.interactive and audits only"
	elsewhere := slices.ContainsFunc(table, func(s Stream) bool {
		ok, err := path.Match(pattern, s.Name)
		return err == nil && ok
	})
	switch {
	case !elsewhere:
		return "matches no stream: " + there
	case strings.HasPrefix(pattern, "signins."):
		return "Azure AD Graph gives interactive sign-ins alone and no other kind: " + there + "; write api: graph for the rest"
	}
	return "Azure AD Graph has no such report: " + there + "; write api: graph for the rest"
}

// legacyURL is the address of a slice's first page. The API gives 1,000 rows a page of itself; $top is dear and bounds the whole
// answer, so it is sent only where the configuration asks for it, and never to make a page smaller.
func legacyURL(row Stream, base *url.URL, cfg Config, s event.Slice) string {
	var b strings.Builder
	b.WriteString(base.String() + "/" + cfg.Tenant + "/" + row.Path + "?api-version=" + row.Version)
	if cfg.Top > 0 {
		b.WriteString("&$top=" + strconv.Itoa(cfg.Top))
	}
	if filter := row.filter(cfg.Filters[row.Name], s); filter != "" {
		b.WriteString("&$filter=" + escape(filter))
	}
	return b.String()
}

// legacyRefused explains what this API refuses in ways of its own; for the rest Graph's words are right.
func legacyRefused(rd *reader, got reply, token auth.Token) error {
	said := parseError(got.body)
	because := func(cause Cause, help string) error {
		return explain(cause, rd.fail(KindAccess, fault.Block(fmt.Errorf("%s: http status %d: %s", help, got.status, said))))
	}
	switch {
	case got.status == http.StatusForbidden && !said.has("premium"):
		rd.f.source.Renew(token) // the next try is to see what was granted meanwhile
		return because(CausePermission, legacyForbidden(rd.row))
	case got.status == http.StatusNotFound, got.status == http.StatusGone:
		return because(CauseAddress, fmt.Sprintf("%s does not exist at %s: Azure AD Graph is retired, write api: graph; or check graph_url", rd.row.Path, rd.f.place.graph.Host))
	}
	return rd.refused(got, token)
}

// legacyForbidden says what a 403 may mean. The reply does not tell a missing role from the fault that this API has with tenants
// of the EU region, where it lets no app read audits but serves a user.
func legacyForbidden(row Stream) string {
	help := "the app may not read " + row.Name + ": " + readerRole
	if row.Name == "audits" {
		help += "; a tenant in the EU region lets no app read audits by this API: sign in as a user there (auth.device_code), or write api: graph"
	}
	return help
}

// parseLegacyError reads {"odata.error": {"code": "..", "message": {"lang": "en", "value": ".."}}}, also with "error" for the
// outer name.
func parseLegacyError(body []byte) (graphError, bool) {
	type inner struct {
		Code    string `json:"code"`
		Message struct {
			Value string `json:"value"`
		} `json:"message"`
	}
	var reply struct {
		OData *inner `json:"odata.error"`
		Plain *inner `json:"error"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return graphError{}, false
	}
	e := cmp.Or(reply.OData, reply.Plain)
	if e == nil || e.Code == "" && e.Message.Value == "" {
		return graphError{}, false
	}
	return graphError{Code: e.Code, Message: strings.Join(strings.Fields(e.Message.Value), " ")}, true
}

// isCut tells whether $top has cut the answer off: then it ends without a nextLink.
func (rd *reader) isCut() bool {
	return rd.f.dialect.topCuts && rd.f.cfg.Top > 0 && rd.rows >= rd.f.cfg.Top
}

// enough refuses to go on in a slice whose end could no longer be told: a smaller one is read to its end.
func (rd *reader) enough() error {
	switch {
	case rd.next == "" && rd.isCut():
		return rd.fail(KindRows, fmt.Errorf("the answer ends at the %d rows that top asks for, and there may be more: ask for a smaller slice, or leave top out", rd.f.cfg.Top))
	case rd.row.MostRows > 0 && rd.rows >= rd.row.MostRows:
		return rd.fail(KindRows, fmt.Errorf("the slice has more than %d rows, and the API falls silent after %d: ask for a smaller slice", rd.rows, silentAfter))
	}
	return nil
}
