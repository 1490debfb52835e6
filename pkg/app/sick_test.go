package app_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/timeline"
)

// TestSickPart breaks one stream from the first to the second hour: it is named in the words of who can mend it, the others
// go on in time, and once it is mended all of it arrives, once.
func TestSickPart(t *testing.T) {
	const sick = simulator.Interactive
	paged := simulator.Rule{Kind: simulator.EmptyPage, Page: "first"} // so that there is a nextLink to follow
	for name, c := range map[string]struct {
		rules []simulator.Rule
		says  string
	}{
		"no licence":       {[]simulator.Rule{{Kind: simulator.NoLicence}}, "needs a licence"},
		"no role":          {[]simulator.Rule{{Kind: simulator.NoRole}}, "grant the application permissions AuditLog.Read.All"},
		"server error":     {[]simulator.Rule{{Kind: simulator.ServerError, Status: 500}}, "http status 500"},
		"garbage":          {[]simulator.Rule{{Kind: simulator.Garbage}}, "split page"},
		"html":             {[]simulator.Rule{{Kind: simulator.Garbage, Form: "html"}}, "text/html"},
		"truncated":        {[]simulator.Rule{{Kind: simulator.Truncate}}, "broken off"},
		"expired nextLink": {[]simulator.Rule{paged, {Kind: simulator.ExpiredLink}}, "page token is no longer good"},
		"looping nextLink": {[]simulator.Rule{{Kind: simulator.LoopLink}}, "links back"},
		"cycle":            {[]simulator.Rule{paged, {Kind: simulator.CycleLink}}, "links back"},
		"off-host":         {[]simulator.Rule{{Kind: simulator.ForeignLink}}, "was not followed"},
		"connection":       {[]simulator.Rule{{Kind: simulator.Reset}}, "get page"},
		"throttled":        {[]simulator.Rule{{Kind: simulator.Throttle, RetryAfter: "7.128"}}, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				o := simulator.Options{Script: &simulator.Script{}, Generate: generate(0.01, began.Add(-time.Hour), began.Add(3*time.Hour)),
					Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}}
				for _, r := range c.rules {
					r.Stream, r.From, r.Until = sick, time.Hour, 2*time.Hour
					o.Script.Rules = append(o.Script.Rules, r)
				}
				w := newWorld(t, o, "start: 1h\nreread: [30m]", "out")
				w.start("out")
				w.until(2*time.Hour - time.Second)
				if says := w.fault("stream contoso/" + sick); !strings.Contains(says, c.says) {
					t.Errorf("status says %q, want %q", says, c.says)
				}
				for _, f := range w.app.Status().Faults {
					// Throttling is the app's: it may meet another stream's request.
					if f.Part != "stream contoso/"+sick {
						t.Errorf("status also names %s: %s", f.Part, f.Err)
					}
				}
				w.until(4 * time.Hour)
				if faults := w.app.Status().Faults; len(faults) > 0 {
					t.Errorf("mended two hours ago, but status says %+v", faults)
				}
				w.stop()
				w.complete("out")
				w.checkBudget()
				var worst time.Duration
				for _, a := range w.sinks["out"].arrived() {
					if a.Key.Stream != sick && a.Time.After(began) {
						worst = max(worst, a.At.Sub(a.Time))
					}
				}
				most := 2 * poll
				if name == "throttled" {
					most = 5 * poll // every refusal holds up the whole app for 7 s
				}
				if worst > most {
					t.Errorf("a record of the other streams came %s after its time", worst)
				}
				if w.sim.Stats().Throttled > 0 {
					t.Errorf("the budget refused %d requests", w.sim.Stats().Throttled)
				}
			})
		})
	}
}

// TestWrongDate has the service's Date 20 minutes off for an hour: no record is missed, and what the cursors did is mended
// when the Date is right again.
func TestWrongDate(t *testing.T) {
	for _, skew := range []time.Duration{-20 * time.Minute, 20 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				o := simulator.Options{Generate: generate(0.01, began.Add(-time.Hour), began.Add(4*time.Hour)),
					Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.DateSkew, Skew: skew, From: time.Hour, Until: 2 * time.Hour}}}}
				for i := range o.Generate {
					o.Generate[i].Lateness = simulator.Lateness{Median: 2 * time.Minute, P95: 10 * time.Minute, Max: 25 * time.Minute}
				}
				w := newWorld(t, o, "start: 1h\nreread: [30m, 2h]", "out")
				w.start("out")
				w.until(2*time.Hour + 10*time.Minute)
				i := slices.IndexFunc(w.app.Status().Streams[0].Readers, func(r timeline.Reader) bool { return r.Name == "live" })
				if live := w.app.Status().Streams[0].Readers[i].Pos; live.After(time.Now()) || time.Since(live) > 2*poll {
					t.Errorf("the cursor of live is at %s, now is %s", live.Sub(began), time.Since(began))
				}
				w.until(7 * time.Hour)
				w.stop()
				w.complete("out")
				w.checkBudget()
			})
		})
	}
}

// TestOutsideRows has every third page bring 200 rows from before its slice, which the filter should have kept away: those that
// are older than what is remembered were shipped long ago, and are counted instead of shipped again.
func TestOutsideRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{Generate: generate(0.05, began.Add(-time.Hour), began.Add(5*time.Hour)),
			Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.OutsideRows, Rows: 200, Every: 3, Until: 5 * time.Hour}}}},
			"start: 1h\nreread: [30m]", "out")
		w.start("out")
		w.until(6 * time.Hour)
		outside := uint64(0)
		for _, s := range w.app.Status().Streams {
			outside += s.Outside
		}
		w.stop()
		if records, _ := w.complete("out"); records < 5000 || outside < 100 {
			t.Errorf("%d records, %d rows outside", records, outside)
		}
	})
}
