package app_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestAsk_Throttled has the service refuse requests in the ways that users have met. However it does so: no request leaves in a
// pause that it has asked for, the budget is kept, status names it while it lasts, all arrives once and by itself.
func TestAsk_Throttled(t *testing.T) {
	const from, until = time.Hour, 3 * time.Hour
	within := func(r simulator.Rule) simulator.Rule {
		r.From, r.Until = from, until
		return r
	}
	for name, c := range map[string]struct {
		rule  simulator.Rule
		input string // besides
		past  time.Duration
		most  int    // requests from 1:00 to 3:00
		says  string // by status at the end of it; "" where it comes and goes
	}{
		// splunk/splunk-add-on-microsoft-azure#44, #18: thirty days behind, and every third request is refused.
		"thirty days behind": {rule: simulator.Rule{Kind: simulator.Throttle, Probability: 0.3, RetryAfter: "7.128", Until: until}, input: "start: 30d", past: 30 * 24 * time.Hour, most: 800},
		// MicrosoftDocs/azure-docs#70953, azure-docs-powershell-azuread#337, msgraph-sdk-powershell#1085: 429 after seven calls.
		"429 after seven calls": {rule: within(simulator.Rule{Kind: simulator.Throttle, Every: 8, RetryAfter: "30"}), most: 800},
		// The same, and the pause is named as a date.
		"pause until a date": {rule: within(simulator.Rule{Kind: simulator.Throttle, Every: 8, RetryAfter: "date 45s"}), most: 800},
		// wazuh/wazuh#34652: a 429 has the window passed over.
		"429 skips the window": {rule: within(simulator.Rule{Kind: simulator.Throttle, RetryAfter: "61.5"}), most: 120, says: "throttled"},
		// elastic/beats#36207, #47423, #23023, #17734, #28475, #33684: the limit is looked at after a 429 only, blind repeats follow,
		// the module hammers while it is limited. One request a minute is what is left to find out whether it is over.
		"hammering while limited": {rule: within(simulator.Rule{Kind: simulator.Throttle}), most: 130, says: "throttled"},
		"503 with a pause":        {rule: within(simulator.Rule{Kind: simulator.ServerError, RetryAfter: "90"}), most: 90, says: "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				past := max(c.past, time.Hour)
				o := simulator.Options{Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}, Script: &simulator.Script{Rules: []simulator.Rule{c.rule}}}
				for _, stream := range []string{simulator.Interactive, simulator.Audits} {
					o.Generate = append(o.Generate, simulator.Generate{Stream: stream, Rate: 600 / past.Seconds(), Since: began.Add(-past), Until: began},
						simulator.Generate{Stream: stream, Rate: 0.02, Since: began, Until: began.Add(until)})
				}
				input := "poll: 5m\nreread: [30m]\ntop: 20\nstreams: [signins.interactive, audits]\n" + c.input
				if c.input == "" {
					input += "start: 1h"
				}
				w := newWorld(t, o, input, "out")
				heard := w.listen()
				w.start("out")
				w.until(until - time.Second)
				if n := len(heard.between(began.Add(from), began.Add(until))); n > c.most {
					t.Errorf("%d requests in two hours", n)
				}
				for _, stream := range []string{simulator.Interactive, simulator.Audits} {
					if says := w.fault("stream contoso/" + stream); !strings.Contains(says, c.says) {
						t.Errorf("status says of %s %q, want %q", stream, says, c.says)
					}
				}
				w.until(until + 2*time.Hour)
				w.healthy()
				w.stop()
				if records, _ := w.complete("out"); records < 1600 {
					t.Errorf("only %d records", records)
				}
				stats := w.sim.Stats()
				if n := heard.hasty(); n > 0 {
					t.Errorf("%d requests left in a pause", n)
				}
				if stats.Throttled > 0 {
					t.Errorf("the budget refused %d requests", stats.Throttled)
				}
				if n := stats.Faults[c.rule.Kind]; n < 15 {
					t.Errorf("nothing to prove: %d requests refused", n)
				}
				w.checkBudget()
			})
		})
	}
}

// TestAsk_BacklogStarvesTheNew: splunk/splunk-add-on-microsoft-azure#44 again. While a month is read under a storm of refusals,
// what is new must not queue behind it.
func TestAsk_BacklogStarvesTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		const month, day = 30 * 24 * time.Hour, 24 * time.Hour
		o := simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.Throttle, Probability: 0.1, RetryAfter: "10"}}},
			Generate: []simulator.Generate{
				{Stream: simulator.Interactive, Rate: 30_000 / month.Seconds(), Since: began.Add(-month), Until: began},
				{Stream: simulator.Interactive, Rate: 0.01, Since: began, Until: began.Add(2 * time.Hour)}}}
		w := newWorld(t, o, "start: 30d\npoll: 1m\nreread: [30m]\ntop: 20\nstreams: [signins.interactive]", "out")
		w.start("out")
		w.until(2 * time.Hour)
		if through := w.stream(simulator.Interactive).Through; time.Since(through) < day {
			t.Errorf("nothing to prove: a month was read within two hours, through %s", through)
		}
		if slow := w.slowest("out", simulator.Interactive, began); slow > 3*time.Minute {
			t.Errorf("a new record came %s after its time", slow)
		}
		w.stop()
		w.checkBudget()
		if n := w.sinks["out"].repeats(); n > 0 {
			t.Errorf("%d events again", n)
		}
	})
}

// TestAsk_HalfTheBudgetIsSomebodyElses: MicrosoftDocs/azure-docs#70953, msgraph-sdk-powershell#1085 once more. Another program uses
// the app registration, too, and two requests in 10 s are what is left. A chain of pages meets a refusal after two of them, each
// time. Expected: a day is read all the same, because the refused page is asked for again or the slices become shorter.
func TestAsk_HalfTheBudgetIsSomebodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		const day = 24 * time.Hour
		w := newWorld(t, simulator.Options{Budget: simulator.Budget{Requests: 2, Per: 10 * time.Second},
			Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 600 / day.Seconds(), Since: began.Add(-day), Until: began.Add(time.Hour)}}},
			"start: 24h\npoll: 5m\nreread: [30m]\ntop: 20\nstreams: [audits]", "out")
		heard := w.listen()
		w.start("out")
		w.until(3 * time.Hour)
		requests := len(heard.between(began.Add(2*time.Hour), time.Now()))
		through := w.stream(simulator.Audits).Through
		w.stop()
		if time.Since(through) > 6*time.Minute || requests > 60 {
			t.Errorf("after three hours all is complete through %s, and %d requests were sent in the last one", through.Sub(began), requests)
		}
		if n := heard.hasty(); n > 0 {
			t.Errorf("%d requests left in a pause", n)
		}
		w.complete("out")
		w.checkBudget()
	})
}
