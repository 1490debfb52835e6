package app_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestFetchOlderAPI does what the vendor's samples did, by the API that they were written for.
func TestFetchOlderAPI(t *testing.T) {
	for _, c := range []struct {
		name    string
		streams []string
		since   string
		top     int
		where   map[string]string
		filter  string
		pages   []string
		records int // 0: some, but not all
		asks    string
	}{
		{"audits, PowerShell", []string{"audits"}, "7d", 0, nil, "", []string{"audit1.json", "audit2.json"}, 1800, "activityDate ge 1999-12-25T00:00:00Z"},
		{"sign-ins, PowerShell", []string{"signins.interactive"}, "7d", 0, nil, "", []string{"SigninActivities1.json", "SigninActivities2.json"}, 1800, "signinDateTime ge 1999-12-25T00:00:00Z"},
		{"audits since a date", []string{"audits"}, "1999-12-31", 0, nil, "", []string{"audit1.json", "audit2.json"}, 1800, "activityDate ge 1999-12-31T00:00:00Z"},
		{"ten newest", []string{"signins.interactive"}, "7d", 10, nil, "", []string{"SigninActivities1.json"}, 10, "signinDateTime ge"},
		{"many newest", []string{"signins.interactive"}, "7d", 1500, nil, "", []string{"SigninActivities1.json", "SigninActivities2.json"}, 1500, "signinDateTime ge"},
		{"failures", []string{"signins.interactive"}, "7d", 0, map[string]string{"status": "failure"}, "", nil, 0, "(loginStatus eq '1') and signinDateTime ge"},
		{"successes", []string{"audits"}, "7d", 0, map[string]string{"status": "success"}, "", nil, 0, "(activityStatus eq 0) and activityDate ge"},
		{"activity", []string{"audits"}, "7d", 0, map[string]string{"activity": "*user*"}, "", nil, 0, "(contains(activity,'user')) and activityDate ge"},
		{"own filter", []string{"audits"}, "7d", 0, nil, "activity eq 'Update user' or activity eq 'x'", nil, 0, "(activity eq 'Update user' or activity eq 'x') and activityDate ge"},
		{"both", []string{"signins.*", "audits"}, "7d", 0, nil, "", nil, 3600, "signinDateTime ge"},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := newFetchWorld(t, simulator.Options{Generate: generate(0.5, began.Add(-time.Hour), began)})
			w.order.API, w.order.Streams, w.order.Since, w.order.Top, w.order.Where, w.order.Filter = "azuread", c.streams, c.since, c.top, c.where, c.filter
			w.order.SavePages = filepath.Join(w.dir, "pages")
			if err := w.fetch(); err != nil {
				t.Fatalf("%s: %v\n%s", c.name, err, w.errs.String())
			}
			ids := w.ids()
			slices.Sort(ids)
			if n := len(slices.Compact(ids)); n != len(w.ids()) || c.records > 0 && n != c.records || n == 0 || n > 3600 {
				t.Errorf("%s: %d records, %d different ones, want %d\n%s", c.name, len(w.ids()), n, c.records, w.errs.String())
			}
			if got := w.bodies.filters(); !strings.Contains(got[0], c.asks) {
				t.Errorf("%s asks for %q, want %q", c.name, got[0], c.asks)
			}
			if files := w.files(); c.pages != nil && !slices.Equal(files[:len(files)-1], c.pages) {
				t.Errorf("%s: %s, want %s", c.name, files, c.pages)
			}
		})
	}
}
