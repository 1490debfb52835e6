package app_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestAsk_MFACompletionAfterTenMinutes: splunk/splunk-add-on-microsoft-azure#90. Sign-ins whose second factor is completed more
// than ten minutes later are missing, because the window has moved on. Expected: a record that appears that late is there at
// the next poll as long as look-back reaches it, and with the next re-reader beyond; one that was shown as interrupted comes
// again as completed; what came late is counted.
func TestAsk_MFACompletionAfterTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 1h\npoll: 2m\nreread: [30m, 2h]\nstreams: [signins.interactive]", "out")
		delays := []time.Duration{0, 11 * time.Minute, 14 * time.Minute, 25 * time.Minute, 100 * time.Minute}
		late := uint64(0)
		for i := range 150 {
			at, delay := w.began.Add(time.Duration(i)*time.Minute), delays[i%len(delays)]
			done := record(simulator.Interactive, fmt.Sprint(i), at, `,"status":{"errorCode":0}`)
			r := simulator.Record{Raw: done, Appears: at.Add(delay)}
			if i%2 == 0 && delay > 0 {
				r = simulator.Record{Raw: record(simulator.Interactive, fmt.Sprint(i), at, `,"status":{"errorCode":50074}`), Updates: []simulator.Update{{At: at.Add(delay), Raw: done}}}
			} else if delay > lookback {
				late++
			}
			w.add(simulator.Interactive, r)
		}
		w.start("out")
		w.until(6 * time.Hour)
		status := w.stream(simulator.Interactive)
		w.stop()
		if records, versions := w.complete("out"); records != 150 || versions != 210 {
			t.Errorf("%d records in %d versions", records, versions)
		}
		if status.Late != late {
			t.Errorf("%d came later than look-back, counted are %d", late, status.Late)
		}
		for _, a := range w.sinks["out"].arrived() {
			var i int
			if _, err := fmt.Sscan(a.ID, &i); err != nil {
				t.Fatal(err)
			}
			if delay := delays[i%len(delays)]; delay < lookback && a.At.Sub(a.Time) > delay+2*time.Minute+queue {
				t.Errorf("%s appeared within %s and arrived after %s", a.ID, delay, a.At.Sub(a.Time))
			}
		}
	})
}

// TestAsk_OneDelayForAllStreams: wazuh/wazuh#24323, #31282. Records are to be had 5 to 15 minutes after their time, and the only
// cure is one delay that holds up everything. Expected: the late stream is complete without any setting, and the prompt one is
// not a poll later for it.
func TestAsk_OneDelayForAllStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 1h\npoll: 1m\nstreams: [signins.interactive, audits]", "out")
		delay := func(i int) time.Duration { return 5*time.Minute + time.Duration(i%10)*time.Minute }
		const n = 300
		for i := range n {
			at := w.began.Add(time.Duration(i) * 37 * time.Second)
			w.add(simulator.Interactive, simulator.Record{Raw: record(simulator.Interactive, fmt.Sprint(i), at, ""), Appears: at.Add(delay(i))})
			w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), at, "")})
		}
		w.start("out")
		w.until(4 * time.Hour)
		w.stop()
		w.complete("out")
		got := w.sinks["out"].byRecord()
		for i := range n {
			for stream, appears := range map[string]time.Duration{simulator.Interactive: delay(i), simulator.Audits: 0} {
				a := got[rec{stream, fmt.Sprint(i)}]
				if len(a) != 1 || a[0].At.Sub(a[0].Time)-appears > time.Minute+queue {
					t.Errorf("%s %d appeared %s after its time and came as %+v", stream, i, appears, a)
				}
			}
		}
	})
}

// TestAsk_EightHundredHereSevenEightyThere: microsoft/AzureMonitorAddonForSplunk#117, #93. The portal shows 800 and the SIEM 780,
// and others there are two or three times. Expected: with rows repeated within and across pages, late ones and two receivers,
// the portal, both receivers and the ledger have the same number.
func TestAsk_EightHundredHereSevenEightyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		o := simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{
			{Kind: simulator.DuplicateRows, Rows: 5, Probability: 0.5}, {Kind: simulator.DuplicateAcross, Rows: 7, Probability: 0.5}}},
			Generate: []simulator.Generate{{Stream: simulator.Interactive, Rate: 800. / (12 * 3600), Since: began.Add(-10 * time.Hour), Until: began.Add(2 * time.Hour),
				Lateness: simulator.Lateness{Median: 3 * time.Minute, P95: 20 * time.Minute, Max: 100 * time.Minute, TailShare: 0.05}}}}
		w := newWorld(t, o, "start: 11h\npoll: 5m\nreread: [30m, 2h]\ntop: 20\nstreams: [signins.interactive]", "one", "two")
		w.start("one", "two")
		w.until(6 * time.Hour)
		status := w.stream(simulator.Interactive)
		w.stop()
		for name := range w.sinks {
			if records, _ := w.complete(name); records != 800 || status.New != 800 {
				t.Errorf("the portal shows %d records, the ledger has %d", records, status.New)
			}
		}
		if w.sim.Stats().Faults[simulator.DuplicateAcross] < 20 || status.Seen < 500 {
			t.Errorf("nothing to prove: %v, %d rows seen before", w.sim.Stats().Faults, status.Seen)
		}
	})
}
