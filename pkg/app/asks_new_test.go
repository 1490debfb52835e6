package app_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// reported gives the whole of status as status --json prints it.
func (w *world) reported() string {
	w.Helper()
	text, err := json.Marshal(w.app.Status())
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// TestAsk_SameQueryOtherRows: microsoftgraph/microsoft-graph-docs#16188, msgraph-sdk-powershell#1167. The same query gives 11 941
// rows, then 16 992; 14 k, 12 k, 7 k. Expected: a closed stretch is looked at again, so that what one reply lacks the next one has;
// what only a re-reader has found is counted as late.
func TestAsk_SameQueryOtherRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.ShortResult, Rows: 7, Every: 2, Until: 3 * time.Hour}}},
			Generate: []simulator.Generate{{Stream: simulator.Interactive, Rate: 0.03, Since: began.Add(-2 * time.Hour), Until: began.Add(3 * time.Hour)}}},
			"start: 3h\npoll: 5m\nreread: [30m, 4h]\ntop: 20\nstreams: [signins.interactive]", "out")
		w.start("out")
		w.until(9 * time.Hour)
		w.healthy()
		late := w.stream(simulator.Interactive).Late
		w.stop()
		if records, _ := w.complete("out"); records != 540 || late == 0 || w.sim.Stats().Faults[simulator.ShortResult] < 20 {
			t.Errorf("%d records, %d of them late, %v", records, late, w.sim.Stats().Faults)
		}
	})
}

// TestAsk_LargeWindows has the service fail over what is too much for it. microsoftgraph/msgraph-sdk-powershell#3146,
// microsoft/zerotrustassessment#1104, #575: a window that is too long ends in a time-out of 300 s, for ever.
// microsoft/coe-starter-kit#1851: the results of a window are cut off even where it is a minute long. Expected: the window is halved
// until it is answered, below a minute if need be; live is not held up; all arrives, once.
func TestAsk_LargeWindows(t *testing.T) {
	for name, rule := range map[string]simulator.Rule{
		"longer than half an hour": {Kind: simulator.LongWindow, Span: 30 * time.Minute}, // look-back and a poll are 20 minutes
		"more than thirty rows":    {Kind: simulator.ManyRows, Rows: 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := newWorld(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{rule}}, Generate: []simulator.Generate{
					{Stream: simulator.Interactive, Rate: 0.01, Since: began.Add(-6 * time.Hour), Until: began.Add(2 * time.Hour)},
					// A minute with 300 records.
					{Stream: simulator.Interactive, Rate: 5, Since: began.Add(-3 * time.Hour), Until: began.Add(-3*time.Hour + time.Minute)}}},
					"start: 6h\npoll: 5m\nreread: [30m]\ntop: 20\nstreams: [signins.interactive]", "out")
				w.start("out")
				w.until(8 * time.Hour)
				w.healthy()
				w.stop()
				if records, _ := w.complete("out"); records != 8*36+300 {
					t.Errorf("%d records", records)
				}
				if slow := w.slowest("out", simulator.Interactive, began); slow > 15*time.Minute {
					t.Errorf("a new record came %s after its time", slow)
				}
				w.checkBudget()
			})
		})
	}
}

// TestAsk_OneRecordThatCannotBeRead: microsoft/coe-starter-kit#1851 at its worst. Whatever window has a certain record in it fails,
// the shortest, too. Expected: all others arrive, the reader goes on, and status names the second that is left out for as long as
// that lasts, at most a few requests an hour are spent on it, and once the record can be read it arrives by itself.
func TestAsk_OneRecordThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sick, mended = -3 * time.Hour, 12 * time.Hour
		began := time.Now()
		w := newWorld(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.Poison, At: sick, Until: mended}}},
			Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 0.01, Since: began.Add(-6 * time.Hour), Until: began.Add(2 * time.Hour)}}},
			"start: 6h\npoll: 5m\nreread: [30m]\ntop: 20\nstreams: [audits]", "out")
		w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, "poison", began.Add(sick), "")})
		w.start("out")
		w.until(mended - time.Minute)
		if n := len(w.sinks["out"].arrived()); n < 8*36-1 {
			t.Errorf("%d records beside the one that cannot be read", n)
		}
		if at, says := began.Add(sick).UTC().Format(time.RFC3339), w.reported(); !strings.Contains(says, at) {
			t.Errorf("status does not name %s: %s", at, says)
		}
		before, _ := w.wire.requests()
		w.until(mended + 4*time.Hour)
		if after, _ := w.wire.requests(); after-before > 5*(12+8+12) {
			t.Errorf("%d requests in four hours", after-before)
		}
		w.healthy()
		w.stop()
		w.complete("out")
		w.checkBudget()
	})
}

// TestAsk_OlderThanTheAPIKeeps: elastic/integrations#9477, #7432. The stored time is older than the API's seven days, each request
// is refused, and so for ever. Expected, whether it is the first run that begins too early or the process that was away for nine
// days: it goes on at what is to be had, and what is not is told as a gap in status and in the log.
func TestAsk_OlderThanTheAPIKeeps(t *testing.T) {
	const day, kept = 24 * time.Hour, 7 * 24 * time.Hour
	for name, c := range map[string]struct {
		start string
		away  time.Duration
	}{
		"start is a month ago": {"30d", 0},
		"away for nine days":   {"1h", 9 * day},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := newWorld(t, simulator.Options{OldestBound: kept}, "start: "+c.start+"\npoll: 5m\nreread: [30m]\ntop: 20\nstreams: [audits]", "out")
				for i := range 24 * 8 {
					at := began.Add(c.away - 8*day).Add(time.Duration(i)*time.Hour + time.Minute)
					w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), at, "")})
				}
				back := time.Duration(0)
				if c.away > 0 {
					w.start("out")
					w.until(time.Hour)
					w.stop()
					back = c.away
					w.until(back)
				}
				logs := w.startLogged("out")
				w.until(back + 3*time.Hour)
				if says := w.reported(); !strings.Contains(says, "gap") || logs.FilterMessageSnippet("gap").Len() == 0 {
					t.Errorf("neither status nor log tells of a gap: %s", says)
				}
				if lag := time.Since(w.stream(simulator.Audits).Through); lag > 6*time.Minute {
					t.Errorf("complete_through lags by %s", lag)
				}
				w.stop()
				got, missing := w.sinks["out"].byRecord(), 0
				for row := range w.sim.Expected(time.Now()) {
					// An hour of slack: the bound is set no later than that.
					if row.Time.After(began.Add(back-kept+time.Hour)) && len(got[rec{row.Stream, row.ID}]) == 0 {
						missing++
					}
				}
				if n := w.sinks["out"].repeats(); missing+n > 0 {
					t.Errorf("%d records that were to be had are missing, %d came again", missing, n)
				}
				w.checkBudget()
			})
		})
	}
}
