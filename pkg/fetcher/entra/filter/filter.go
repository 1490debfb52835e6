// Package filter makes OData filters: from what a user wants to see, in the words of whichever API is asked, and from an
// expression of the user's own, which it holds against the rules and repairs. It sends nothing.
package filter

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Dialect is the API that a filter is for.
type Dialect string

// The dialects.
const (
	Graph   Dialect = "graph"   // Microsoft Graph
	AzureAD Dialect = "azuread" // the retired graph.windows.net
)

// Field is what records can be picked by, under one name in both dialects.
type Field string

// The fields. Initiator and Target take an object id, a user principal name or a display name, and tell which by its form.
const (
	UserID       Field = "user-id"
	UPN          Field = "upn"
	AppID        Field = "app-id"
	AppName      Field = "app-name"
	Status       Field = "status"
	Category     Field = "category"
	Activity     Field = "activity"
	ActivityType Field = "activity-type"
	Initiator    Field = "initiator"
	Target       Field = "target"
)

// Want is one value that a field must have. A star behind it stands for whatever follows, one before it for whatever precedes, stars
// on both sides for any text that has it inside.
type Want struct {
	Field Field
	Value string
}

// Plan is what becomes of wants for one stream.
type Plan struct {
	Query string  // for $filter; "" if nothing of it can be asked for
	After []Field // those that the API cannot be asked for: Match picks by them

	checks []check
}

// Make plans. The error names a field that the stream's records do not have, or a value that cannot be.
func Make(d Dialect, stream string, wants []Want) (Plan, error) {
	var p Plan
	var clauses []string
	for _, w := range wants {
		clause, c, err := w.render(d, stream)
		switch {
		case err != nil:
			return Plan{}, err
		case clause != "":
			clauses = append(clauses, clause)
		default:
			p.After, p.checks = append(p.After, w.Field), append(p.checks, c)
		}
	}
	p.Query = strings.Join(clauses, " and ")
	return p, nil
}

// op is how a value is compared.
type op uint8

const (
	eq op = 1 << iota
	prefix
	contains
	suffix // which no API is known to have for these fields
)

// spot is where a field stands in one collection of one dialect.
type spot struct {
	ops   op       // that the API has for it; 0: it cannot be asked for
	paths []string // of members; any of them may have the value
}

// render gives the clause for one want, or the check to make after reading.
func (w Want) render(d Dialect, stream string) (clause string, c check, err error) {
	if w.Field == Status {
		return w.status(d, stream)
	}
	value, how := pattern(w.Value)
	if value == "" {
		return "", c, fmt.Errorf("--%s: the value is empty", w.Field)
	}
	s, ok := spots[d][family(stream)][w.Field]
	if !ok {
		return "", c, fmt.Errorf("--%s is not a field of %s: %s", w.Field, stream, fieldNames(d, stream))
	}
	at := s(value)
	if w.Field == UPN && d == Graph {
		value = strings.ToLower(value) // as the API writes them
	}
	if at.ops&how == 0 {
		return "", check{paths: at.paths, value: value, how: how}, nil
	}
	var parts []string
	for _, path := range at.paths {
		parts = append(parts, compare(d, path, how, quote(value)))
	}
	if clause = strings.Join(parts, " or "); len(parts) > 1 {
		clause = "(" + clause + ")"
	}
	return clause, c, nil
}

// status is rendered by itself: each collection has its own numbers for it.
func (w Want) status(d Dialect, stream string) (clause string, c check, err error) {
	success := w.Value == "success"
	if !success && w.Value != "failure" {
		return "", c, fmt.Errorf("--status: %q is unknown: success or failure", w.Value)
	}
	pick := func(ifSuccess, ifFailure string) string {
		if success {
			return ifSuccess
		}
		return ifFailure
	}
	switch family(stream) + " " + string(d) {
	case "signins graph": // of errorCode the API compares with eq alone
		return pick("status/errorCode eq 0", ""), check{paths: []string{"status/errorCode"}, value: "0", how: eq, not: true}, nil
	case "signins azuread":
		return pick("loginStatus eq '0'", "loginStatus eq '1'"), c, nil
	case "audits azuread":
		return pick("activityStatus eq 0", "activityStatus eq -1"), c, nil
	case "audits graph", "attributes graph":
		return "", check{paths: []string{"result"}, value: w.Value, how: eq}, nil
	}
	return "", c, fmt.Errorf("--%s is not a field of %s: %s", w.Field, stream, fieldNames(d, stream))
}

// pattern takes the stars off a value.
func pattern(value string) (string, op) {
	inner, behind := strings.CutSuffix(value, "*")
	inner, before := strings.CutPrefix(inner, "*")
	switch {
	case behind && before:
		return inner, contains
	case behind:
		return inner, prefix
	case before:
		return inner, suffix
	}
	return inner, eq
}

// quote makes a string literal of OData: a quote inside is doubled.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// compare writes one comparison. A path such as targets/any/name leads through a collection, any element of which may match.
func compare(d Dialect, path string, how op, value string) string {
	if collection, member, ok := strings.Cut(path, "/any/"); ok {
		return collection + "/any(t: " + compare(d, "t/"+member, how, value) + ")"
	}
	switch {
	case how == prefix && d == Graph:
		return "startswith(" + path + "," + value + ")"
	case how == prefix:
		return "startsWith(" + path + "," + value + ")"
	case how == contains:
		return "contains(" + path + "," + value + ")"
	}
	return path + " eq " + value
}

// spots has the fields of each dialect by family. Sources of what can be asked for: the pages signin-list and directoryaudit-list at
// https://learn.microsoft.com/en-us/graph/api/, and the reference pages of the older API.
var spots = map[Dialect]map[string]map[Field]func(value string) spot{
	Graph: {
		"signins": {
			UserID:  one(eq, "userId"),
			UPN:     one(eq|prefix, "userPrincipalName"),
			AppID:   one(eq, "appId"),
			AppName: one(eq|prefix, "appDisplayName"),
		},
		"audits":     graphAudits,
		"attributes": graphAudits,
	},
	AzureAD: {
		"signins": {
			UserID:  one(eq, "userId"),
			UPN:     one(eq, "userPrincipalName"),
			AppID:   one(eq, "appId"),
			AppName: one(eq, "appDisplayName"),
		},
		"audits": {
			Category:     one(eq, "category"),
			Activity:     one(eq|prefix|contains, "activity"),
			ActivityType: one(eq, "activityType"),
			Initiator: byForm(spot{ops: eq, paths: []string{"actor/objectId"}},
				spot{ops: eq | prefix, paths: []string{"actor/" + entity + "ActorUserEntity/userPrincipalName"}},
				spot{ops: eq | prefix | contains, paths: []string{"actor/name"}}),
			Target: byForm(spot{ops: eq, paths: []string{"targets/any/objectId"}},
				spot{ops: eq | prefix, paths: []string{"targets/any/" + entity + "TargetResourceUserEntity/userPrincipalName"}},
				spot{ops: eq | prefix | contains, paths: []string{"targets/any/name"}}),
		},
	},
}

// entity begins the name of a type that a path is cast to: only a user has a user principal name.
const entity = "Microsoft.ActiveDirectory.DataService.PublicApi.Model.Reporting.AuditLog."

var graphAudits = map[Field]func(string) spot{
	Category:     one(0, "category"),
	Activity:     one(eq|prefix, "activityDisplayName"),
	ActivityType: one(0, "targetResources/any/type"),
	// Of an app the API can be asked for the client id alone, and an id may as well be its service principal's.
	Initiator: byForm(spot{paths: []string{"initiatedBy/user/id", "initiatedBy/app/appId", "initiatedBy/app/servicePrincipalId"}},
		spot{ops: eq | prefix, paths: []string{"initiatedBy/user/userPrincipalName"}},
		spot{ops: eq, paths: []string{"initiatedBy/user/displayName", "initiatedBy/app/displayName"}}),
	Target: byForm(spot{ops: eq, paths: []string{"targetResources/any/id"}},
		spot{paths: []string{"targetResources/any/userPrincipalName"}},
		spot{ops: eq | prefix, paths: []string{"targetResources/any/displayName"}}),
}

func one(ops op, path string) func(string) spot {
	return func(string) spot { return spot{ops: ops, paths: []string{path}} }
}

var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// byForm picks by what the value is: an object id, a user principal name, or a name.
func byForm(id, upn, name spot) func(string) spot {
	return func(value string) spot {
		switch {
		case guid.MatchString(value):
			return id
		case strings.Contains(value, "@"):
			return upn
		}
		return name
	}
}

// fieldNames says what a stream's records can be picked by.
func fieldNames(d Dialect, stream string) string {
	var names []string
	for f := range spots[d][family(stream)] {
		names = append(names, "--"+string(f))
	}
	if names == nil {
		return "use --filter for it"
	}
	names = append(names, "--status")
	slices.Sort(names)
	return "it has " + strings.Join(names, ", ")
}
