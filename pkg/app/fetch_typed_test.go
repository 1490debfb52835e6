package app_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// shape has the members that the typed filters are about.
type shape struct {
	ID                                               string
	UserID, UserPrincipalName, AppID, AppDisplayName string
	Status                                           struct{ ErrorCode int }
	Category, ActivityDisplayName, Result            string
	InitiatedBy                                      struct {
		User struct{ ID, DisplayName, UserPrincipalName string }
		App  struct{ AppID, DisplayName string }
	}
	TargetResources []struct{ ID, DisplayName, Type, UserPrincipalName string }
}

func (s shape) target(takes func(id, name, kind, upn string) bool) bool {
	for _, t := range s.TargetResources {
		if takes(t.ID, t.DisplayName, t.Type, t.UserPrincipalName) {
			return true
		}
	}
	return false
}

// TestFetchTypedFilters has each typed filter name what a record has, and compares with all that was printed without it.
func TestFetchTypedFilters(t *testing.T) {
	for _, stream := range []string{simulator.Interactive, simulator.Audits} {
		synctest.Test(t, func(t *testing.T) {
			w := newFetchWorld(t, simulator.Options{Generate: hours(stream, 0.2)})
			w.order.Streams = []string{stream}
			read := func() map[string]shape {
				t.Helper()
				if err := w.fetch(); err != nil {
					t.Fatalf("%v: %v", w.order.Where, err)
				}
				all := map[string]shape{}
				for line := range strings.Lines(w.out.String()) {
					var s shape
					if err := json.Unmarshal([]byte(line), &s); err != nil {
						t.Fatal(err)
					}
					all[s.ID] = s
				}
				return all
			}
			all := read()
			var x shape // a record that has all that its stream may have
			for _, s := range all {
				if stream == simulator.Interactive && s.Status.ErrorCode != 0 || s.InitiatedBy.User.ID != "" && s.target(func(id, name, _, _ string) bool { return id != "" && name != "" }) {
					x = s
				}
			}
			cases := []typed{
				{"user-id", x.UserID, func(s shape) bool { return s.UserID == x.UserID }},
				{"upn", x.UserPrincipalName, func(s shape) bool { return s.UserPrincipalName == x.UserPrincipalName }},
				{"upn", x.UserPrincipalName[:min(2, len(x.UserPrincipalName))] + "*", func(s shape) bool { return strings.HasPrefix(s.UserPrincipalName, x.UserPrincipalName[:2]) }},
				{"app-id", x.AppID, func(s shape) bool { return s.AppID == x.AppID }},
				{"app-name", x.AppDisplayName, func(s shape) bool { return s.AppDisplayName == x.AppDisplayName }},
				{"status", "success", func(s shape) bool { return s.Status.ErrorCode == 0 }},
				{"status", "failure", func(s shape) bool { return s.Status.ErrorCode != 0 }},
			}
			if stream == simulator.Audits {
				by, of := x.InitiatedBy.User, x.TargetResources[0]
				cases = []typed{
					{"category", x.Category, func(s shape) bool { return s.Category == x.Category }},
					{"activity", x.ActivityDisplayName, func(s shape) bool { return s.ActivityDisplayName == x.ActivityDisplayName }},
					{"activity", "Add*", func(s shape) bool { return strings.HasPrefix(s.ActivityDisplayName, "Add") }},
					{"activity-type", of.Type, func(s shape) bool { return s.target(func(_, _, kind, _ string) bool { return kind == of.Type }) }},
					{"status", "success", func(s shape) bool { return s.Result == "success" }},
					{"status", "failure", func(s shape) bool { return s.Result == "failure" }},
					{"initiator", by.ID, func(s shape) bool { return s.InitiatedBy.User.ID == by.ID }},
					{"initiator", by.UserPrincipalName, func(s shape) bool { return s.InitiatedBy.User.UserPrincipalName == by.UserPrincipalName }},
					{"target", of.ID, func(s shape) bool { return s.target(func(id, _, _, _ string) bool { return id == of.ID }) }},
					{"target", of.DisplayName, func(s shape) bool { return s.target(func(_, name, _, _ string) bool { return name == of.DisplayName }) }},
				}
			}
			for _, c := range cases {
				w.order.Where = map[string]string{c.field: c.value}
				got, want := read(), 0
				for id, s := range all {
					if c.takes(s) {
						want++
					}
					if _, there := got[id]; there != c.takes(s) {
						t.Errorf("--%s %s: %s is printed: %v", c.field, c.value, id, there)
					}
				}
				if want == 0 || want == len(all) || len(got) != want {
					t.Errorf("--%s %s: %d of %d records, want %d", c.field, c.value, len(got), len(all), want)
				}
			}
		})
	}
}

// typed is a typed filter, and what it takes.
type typed struct {
	field, value string
	takes        func(shape) bool
}
