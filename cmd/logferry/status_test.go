package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/timeline"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// busy is the status of two tenants with one of everything.
func busy() pipeline.Status {
	live := []timeline.Reader{{Name: "live", Pos: noon}}
	slow := pipeline.StreamStatus{
		Name: "contoso/signins.managedidentity", Through: noon.Add(-72 * time.Hour), LookBack: 6 * time.Minute, Rate: 3,
		Readers:    append(slices.Clone(live), timeline.Reader{Name: "hole/1", Pos: noon.Add(-80 * time.Hour), End: noon.Add(-80*time.Hour + time.Second)}),
		PageCounts: event.PageCounts{Rows: 123456789, New: 100, Updated: 1, Seen: 123456688},
		Marks: []event.Mark{
			{Kind: event.Gap, Reader: "catchup/7", From: noon.Add(-800 * time.Hour), To: noon.Add(-750 * time.Hour), Reason: "it is older than what the API keeps"},
			{Kind: event.Uncovered, Reader: "reread/30m0s", From: noon.Add(-3 * time.Hour), To: noon.Add(-2 * time.Hour), Reason: "left to reread/2h0m0s: it was behind that one's age"},
			{Kind: event.Skipped, Reader: "splunk", From: noon.Add(-9 * time.Hour), To: noon.Add(-8 * time.Hour), Reason: "the journal was full"},
			{Kind: event.Doubt, From: noon.Add(-6 * time.Hour), To: noon.Add(-5 * time.Hour)},
		},
	}
	slow.Lateness.Counts[0], slow.Lateness.Counts[6], slow.Lateness.Counts[len(timeline.LateBounds)] = 94, 4, 2
	few := pipeline.StreamStatus{Name: "contoso/audits", Through: noon, LookBack: 15 * time.Minute, Readers: live, Filter: "result eq 'failure'", Anew: noon.Add(-time.Hour)}
	few.Lateness.Counts[3] = 99
	trails := pipeline.StreamStatus{Name: "fabrikam-tenant/audits", Through: noon, LookBack: 5 * time.Minute, Trails: true, Readers: live}
	used := pipeline.SourceStatus{Name: "contoso", Capacity: 0.49, Demand: 0.7, Apps: 2}
	used.Spent = pipeline.Spent{Throttled: 3, Paused: 90 * time.Second, Until: noon.Add(time.Minute)}
	used.Spent.Requests[event.ClassLive], used.Spent.Requests[event.ClassReread], used.Spent.Waiting[event.ClassBehind] = 1000, 800, 4
	return pipeline.Status{
		Started: noon.Add(-time.Hour), Now: noon,
		Streams: []pipeline.StreamStatus{few, slow, trails, {Name: "global/tid/audits"}},
		Sources: []pipeline.SourceStatus{used, {Name: "fabrikam-tenant", Capacity: 0.49, Demand: 0.1, Apps: 1, CredentialExpires: noon.Add(240 * time.Hour)}},
		Sinks:   []pipeline.SinkStatus{{Name: "splunk", Pending: 7}},
		Faults: []pipeline.Fault{
			{Part: "stream contoso/audits", Blocked: true, Err: "the app lacks AuditLog.Read.All", Times: 4},
			{Part: "source fabrikam-tenant", Err: "it needs 2 app registrations"},
			{Part: "sink splunk", Err: "connection refused", Times: 1},
		},
	}
}

// twoTenants is the configuration of busy.
func twoTenants() *config.Config {
	cfg := &config.Config{}
	for _, name := range []string{"contoso", "fabrikam-tenant"} {
		cfg.Sources = append(cfg.Sources, config.Source{Name: name, Entra: &config.Entra{Time: timeline.Default()}})
	}
	return cfg
}

// shown gives the status as people see it, with single spaces.
func shown(t *testing.T, st pipeline.Status) (lines []string) {
	t.Helper()
	var out bytes.Buffer
	if err := printStatus(&out, st, twoTenants(), true); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 121 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func TestStatusForPeople(t *testing.T) {
	lines := shown(t, busy())
	for _, want := range []string{
		"contoso/audits 2026-03-01T12:00:00Z 0s - - blocked",
		"contoso/signins.managedidentity 2026-02-26T12:00:00Z 72h0m0s 1m/30m/>72h 6m of 15m holes: 1",
		"fabrikam-tenant/audits 2026-03-01T12:00:00Z 0s - trails 5m ok",
		"global/tid/audits - - - - not configured",
		"contoso/signins.managedidentity 123456789 100 1 123456688 0 0 0 0",
		"contoso 1800 0.50 0.49 0.70 4 3 1m30s and now 2",
		"fabrikam-tenant 0 0.00 0.49 0.10 0 0 0s 1",
		"fabrikam-tenant 2026-03-11T12:00:00Z",
		"contoso/signins.managedidentity, 2026-03-01T03:00:00Z to 2026-03-01T04:00:00Z",
		"not sent to splunk: the journal was full",
		"contoso/signins.managedidentity, 2026-03-01T09:00:00Z to 2026-03-01T10:00:00Z",
		"read less often than configured (without reread/30m0s): left to reread/2h0m0s: it was behind that one's age",
		"contoso/signins.managedidentity, 2026-03-01T06:00:00Z to 2026-03-01T07:00:00Z",
		"what is found there may have been shipped before",
		"contoso/signins.managedidentity, 2026-02-26T04:00:00Z to 2026-02-26T04:00:01Z",
		"the API cannot show it now, it is tried again",
		"contoso/signins.managedidentity, 2026-01-27T04:00:00Z to 2026-01-29T06:00:00Z",
		"may lack records for good (catchup/7): it is older than what the API keeps",
		"contoso/audits: result eq 'failure'",
		"changed: begun again at 2026-03-01T11:00:00Z like on a first run",
		"stream contoso/audits, since -, needs somebody to mend it:",
		"the app lacks AuditLog.Read.All",
		"source fabrikam-tenant, since -:",
		"sink splunk, since -, is tried again by itself:",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(lines, "\n"))
	}
}

func TestStatusShowsTheNewestGaps(t *testing.T) {
	st := busy()
	st.Streams[1].Marks = nil
	for i := range 30 {
		from := noon.Add(time.Duration(i-100) * time.Hour)
		st.Streams[1].Marks = append(st.Streams[1].Marks, event.Mark{Kind: event.Gap, Reader: fmt.Sprint("catchup/", i), From: from, To: from.Add(time.Minute)})
	}
	text := strings.Join(shown(t, st), "\n")
	for want, times := range map[string]int{"for good": 19, "(catchup/29)": 1, "(catchup/10)": 0, "tried again\n": 1, "and 11 more": 1} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%q is there %d times, want %d:\n%s", want, n, times, text)
		}
	}
}

func TestStatusOfSome(t *testing.T) {
	for pattern, want := range map[string]string{
		"contoso":    "contoso/audits contoso/signins.managedidentity | contoso | stream contoso/audits, sink splunk",
		"fabrikam*":  "fabrikam-tenant/audits | fabrikam-tenant | source fabrikam-tenant, sink splunk",
		"*/signins*": "contoso/signins.managedidentity | contoso | sink splunk",
		"*":          "contoso/audits contoso/signins.managedidentity fabrikam-tenant/audits | contoso fabrikam-tenant | stream contoso/audits, source fabrikam-tenant, sink splunk",
	} {
		st, err := matching(busy(), pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		var streams, sources, faults []string
		for _, s := range st.Streams {
			streams = append(streams, s.Name)
		}
		for _, s := range st.Sources {
			sources = append(sources, s.Name)
		}
		for _, f := range st.Faults {
			faults = append(faults, f.Part)
		}
		if got := strings.Join(streams, " ") + " | " + strings.Join(sources, " ") + " | " + strings.Join(faults, ", "); got != want {
			t.Errorf("%s shows %s\nwant %s", pattern, got, want)
		}
	}
	for _, pattern := range []string{"[", "nobody"} {
		if _, err := matching(busy(), pattern); !errors.Is(err, app.ErrUsage) {
			t.Errorf("%s: %v, want wrong usage", pattern, err)
		}
	}
}

// TestNoOrdersToTheTerminal: what a receiver says reaches a terminal without what that would take for an order.
func TestNoOrdersToTheTerminal(t *testing.T) {
	var out bytes.Buffer
	st := pipeline.Status{Faults: []pipeline.Fault{{Part: "sink splunk", Err: "said \x1b]0;owned\x07\u009b2J"}}}
	if err := printStatus(&out, st, twoTenants(), true); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.ContainsAny(text, "\x1b\x07\u009b") || !strings.Contains(text, "owned") {
		t.Errorf("%q", text)
	}
}
