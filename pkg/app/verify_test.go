package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
)

// verify runs one on audits from since (after the world's beginning), and lets what is healed arrive.
func (w *world) verify(a *app.App, since time.Duration, heal bool) pipeline.VerifiedStream {
	w.Helper()
	o := pipeline.VerifyOrder{Stretch: pipeline.Stretch{Streams: "contoso/audits", From: w.began.Add(since).Format(time.RFC3339)}, Heal: heal}
	r, err := a.Verify(w.Context(), o, func(pipeline.Progress) {})
	if err != nil || len(r.Streams) != 1 || r.Complete != r.Streams[0].Complete {
		w.Fatalf("%+v, %v", r, err)
	}
	synctest.Wait()
	return r.Streams[0]
}

// finding is a report in short: rows, missing, changed, minutes that differ and are unclear, rows gone, ids, what was healed.
func finding(s pipeline.VerifiedStream) string {
	text := fmt.Sprintf("%d rows -%d ~%d minutes %d/%d gone %d", s.Rows, s.Missing, s.Changed, s.Differ, s.Unclear, s.Gone)
	for _, r := range s.Records {
		text += " " + map[bool]string{true: "~", false: "-"}[r.Changed] + r.ID
	}
	if h := s.Healed; h != nil {
		text += fmt.Sprintf(" healed %d+%d uncertain %d", h.New, h.Updated, h.Uncertain)
	}
	if s.Err != "" {
		text += " " + s.Err
	}
	return text
}

func (w *world) found(s pipeline.VerifiedStream, complete bool, want string) {
	w.Helper()
	if got := finding(s); got != want || s.Complete != complete {
		w.Errorf("found %s, complete %v; want %s, %v", got, s.Complete, want, complete)
	}
}

// audit puts a record into audits that happened at and appears late after that; changes, if not zero, is when it changes.
func (w *world) audit(id string, at, late, changes time.Duration) {
	when := w.began.Add(at)
	r := simulator.Record{Raw: record(simulator.Audits, id, when, ""), Appears: when.Add(late)}
	if changes > 0 {
		r.Updates = []simulator.Update{{At: w.began.Add(changes), Raw: record(simulator.Audits, id, when, `,"result":"success"`)}}
	}
	w.add(simulator.Audits, r)
}

// came tells how often records arrived, and with which flags the last time: "a b:2:uncertain".
func (w *world) came(sink string, ids ...string) string {
	var out []string
	got := w.sinks[sink].byRecord()
	for _, id := range ids {
		all := got[rec{simulator.Audits, id}]
		text := id
		if len(all) != 1 {
			text += fmt.Sprint(":", len(all))
		}
		if len(all) > 0 {
			for flag, name := range map[event.Flags]string{event.FlagUncertain: ":uncertain", event.FlagResent: ":resent", event.FlagUpdate: ":update"} {
				if all[len(all)-1].Flags&flag != 0 {
					text += name
				}
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

// TestVerifyForgotten has records appear and change when every re-reader has passed and their ids are forgotten: verify finds
// them by the counts and sums of their minutes, heal ships them, and then nothing differs any more.
func TestVerifyForgotten(t *testing.T) {
	const after = 5 * time.Hour
	for _, tt := range []struct {
		name   string
		put    func(w *world)
		found  string
		healed string
		came   string
	}{
		{"one missing", func(w *world) { w.audit("x", time.Hour+time.Second, after, 0) },
			"5 rows -1 ~0 minutes 1/0 gone 0 -x", " healed 1+0 uncertain 0", "a b c d x"},
		{"later than the default allows", func(w *world) { w.audit("x", time.Hour+time.Second, 80*time.Hour, 0) },
			"5 rows -1 ~0 minutes 1/0 gone 0 -x", " healed 1+0 uncertain 0", "a b c d x"},
		{"two missing in a minute", func(w *world) {
			w.audit("x", time.Hour+time.Second, after, 0)
			w.audit("y", time.Hour+59*time.Second, after, 0)
		}, "6 rows -2 ~0 minutes 1/0 gone 0 -x -y", " healed 2+0 uncertain 0", "a b c d x y"},
		{"three missing in a minute", func(w *world) {
			for _, id := range []string{"x", "y", "z"} {
				w.audit(id, time.Hour+time.Second, after, 0)
			}
		}, "7 rows -0 ~0 minutes 1/1 gone 0", " healed 5+0 uncertain 5", "a:2:uncertain b:2:uncertain c d x:uncertain y:uncertain z:uncertain"},
		{"a minute of its own", func(w *world) {
			for _, id := range []string{"x", "y", "z"} {
				w.audit(id, 2*time.Hour, after, 0)
			}
		}, "7 rows -3 ~0 minutes 1/0 gone 0 -x -y -z", " healed 3+0 uncertain 0", "a b c d x y z"},
		{"minutes side by side", func(w *world) {
			w.audit("x", 2*time.Hour, after, 0)
			w.audit("y", 2*time.Hour+time.Minute, after, 0)
			w.audit("z", 3*time.Hour, after, 0)
		}, "7 rows -3 ~0 minutes 3/0 gone 0 -x -y -z", " healed 3+0 uncertain 0", "a b c d x y z"},
		{"changed", func(w *world) { w.audit("x", time.Hour, 0, after) },
			"5 rows -0 ~0 minutes 1/1 gone 0", " healed 3+0 uncertain 3", "a:2:uncertain b:2:uncertain c d x:2:uncertain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reread, end := "\nreread: [30m, 2h]", 9*time.Hour
				if strings.Contains(tt.name, "default") {
					reread, end = "", 84*time.Hour
				}
				w := newWorld(t, simulator.Options{}, "start: 1h\nstreams: [audits]\npoll: 10m"+reread, "out")
				w.audit("a", time.Hour, 0, 0)
				w.audit("b", time.Hour+30*time.Second, 5*time.Minute, 0)
				w.audit("c", time.Hour+time.Minute, 100*time.Minute, 0)
				w.audit("d", end-time.Hour, 0, 0)
				tt.put(w)
				w.start("out")
				w.until(end)
				before := w.app.Status().Streams[0].Late
				w.found(w.verify(w.app, 0, false), false, tt.found)
				w.found(w.verify(w.app, 0, true), true, tt.found+tt.healed)
				clean := strings.Fields(tt.found)[0] + " rows -0 ~0 minutes 0/0 gone 0"
				w.found(w.verify(w.app, 0, true), true, clean)
				w.until(end + 5*time.Hour)
				w.found(w.verify(w.app, 0, false), true, clean)
				if late := w.app.Status().Streams[0].Late; late != before {
					t.Errorf("what verify finds counts as late: %d", late-before)
				}
				w.stop()
				ids := strings.Fields(tt.came)
				for i := range ids {
					ids[i], _, _ = strings.Cut(ids[i], ":")
				}
				if got := w.came("out", ids...); got != tt.came {
					t.Errorf("arrived: %s, want %s", got, tt.came)
				}
				w.checkBudget()
			})
		})
	}
}

// TestVerifyRemembered: where a re-reader has yet to pass, rows are compared by id, however many of a minute are missing. Heal
// keeps to updates: drop.
func TestVerifyRemembered(t *testing.T) {
	for updates, want := range map[string]struct{ healed, came string }{
		"ship": {" healed 3+1 uncertain 0", "a x y z c:2:update young"},
		"drop": {" healed 3+0 uncertain 0", "a x y z c young"},
	} {
		t.Run(updates, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, simulator.Options{}, "start: 1h\nstreams: [audits]\nreread: [72h]\npoll: 10m\nupdates: "+updates, "out")
				w.audit("a", time.Hour, 0, 0)
				for _, id := range []string{"x", "y", "z"} {
					w.audit(id, time.Hour, 3*time.Hour, 0)
				}
				w.audit("c", time.Hour, 0, 3*time.Hour)
				w.audit("young", 6*time.Hour-time.Minute, 0, 0) // within look-back: not compared
				w.start("out")
				w.until(6 * time.Hour)
				const rows = "5 rows -3 ~1 minutes 1/0 gone 0 -x -y -z ~c"
				w.found(w.verify(w.app, 0, false), false, rows)
				s := w.verify(w.app, 0, true)
				w.found(s, true, rows+want.healed)
				minutes := []pipeline.VerifiedMinute{{Start: w.began.Add(time.Hour).UTC(), Read: 2, Shown: 5, Missing: 3, Changed: 1}}
				if d := cmp.Diff(minutes, s.Minutes); d != "" {
					t.Error(d)
				}
				w.found(w.verify(w.app, 0, true), true, "5 rows -0 ~0 minutes 0/0 gone 0")
				w.until(80 * time.Hour) // the re-reader finds nothing new
				if st := w.app.Status().Streams[0]; st.Late != 0 || st.New != 6 || st.Updated+st.Suppressed != 1 {
					t.Errorf("counted %+v", st.PageCounts)
				}
				w.stop()
				if got := w.came("out", "a", "x", "y", "z", "c", "young"); got != want.came {
					t.Errorf("arrived: %s, want %s", got, want.came)
				}
			})
		})
	}
}

// TestVerifyGone: the API shows fewer rows than were read. Where ids are known, and where it shows none, that is told and
// nothing else; else what is gone may hide what is missing.
func TestVerifyGone(t *testing.T) {
	for name, tt := range map[string]struct{ reread, found, healed string }{
		"remembered": {"[72h]", "1 rows -0 ~0 minutes 0/0 gone 3", ""},
		"forgotten":  {"[30m]", "1 rows -0 ~0 minutes 1/1 gone 3", " healed 1+0 uncertain 1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, simulator.Options{Retention: 5 * time.Hour}, "start: 1h\nstreams: [audits]\nreread: "+tt.reread, "out")
				w.audit("a", 30*time.Minute, 0, 0)
				w.audit("b", 30*time.Minute, 0, 0)
				w.audit("c", time.Hour+10*time.Second, 0, 0)
				w.audit("d", time.Hour+50*time.Second, 0, 0)
				w.start("out")
				w.until(6*time.Hour + 11*time.Second)
				w.found(w.verify(w.app, 0, false), name == "remembered", tt.found)
				w.found(w.verify(w.app, 0, true), true, tt.found+tt.healed)
				w.stop()
			})
		})
	}
}

// TestVerifyBesideAll verifies a day with heal while live and re-readers read it, under refusals, faults and rows that come
// twice: it finds what came too late for them, nothing else, and no event comes twice.
func TestVerifyBesideAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		const begin, end = 13 * time.Hour, 24 * time.Hour
		var rules []simulator.Rule
		for _, r := range []simulator.Rule{
			{Kind: simulator.Throttle, RetryAfter: "7.128", Probability: 0.1}, {Kind: simulator.ServerError, Status: 500, Probability: 0.1},
			{Kind: simulator.Truncate, Probability: 0.05}, {Kind: simulator.DuplicateAcross, Rows: 3}, {Kind: simulator.DuplicateRows, Rows: 2},
		} {
			r.From, r.Until = begin, end
			rules = append(rules, r)
		}
		o := simulator.Options{Generate: generate(0.02, began, began.Add(14*time.Hour)), Script: &simulator.Script{Rules: rules}, Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}}
		w := newWorld(t, o, "start: 1h\nreread: [30m, 2h]\npoll: 5m", "out")
		for i := range 30 { // a few hours too late for all re-readers
			w.audit(fmt.Sprint("late-", i), time.Duration(i)*15*time.Minute, 5*time.Hour, 0)
		}
		w.start("out")
		w.until(begin)
		errs := 0
		r, err := w.app.Verify(t.Context(), pipeline.VerifyOrder{Stretch: pipeline.Stretch{From: "13h"}, Heal: true}, func(p pipeline.Progress) {
			if p.Err != "" {
				errs++
			}
		})
		if err != nil || !r.Complete || len(r.Streams) != 5 || errs < 5 {
			t.Errorf("%+v, %v, %d errors on the way", r, err, errs)
		}
		for _, s := range r.Streams {
			missing := 0
			if s.Stream == "contoso/audits" {
				missing = 30
			}
			if s.Missing != missing || s.Changed+s.Unclear != 0 || s.Gone != 0 {
				t.Errorf("%s: %s", s.Stream, finding(s))
			}
		}
		w.until(end)
		w.stop()
		w.complete("out")
		w.checkBudget()
		if n := w.sim.Stats().Throttled; n > 0 {
			t.Errorf("the budget refused %d requests", n)
		}
	})
}

// TestResend ships a stretch to one of two sinks again: each record once more, marked, under the id that it had; the other
// sink gets none of it, and the ledger adds up (stop checks it).
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		rules := []simulator.Rule{{Kind: simulator.Truncate, From: 5 * time.Hour, Every: 3}, {Kind: simulator.DuplicateRows, Rows: 2, From: 5 * time.Hour}}
		w := newWorld(t, simulator.Options{Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 0.5, Since: began, Until: began.Add(4 * time.Hour)}},
			Script: &simulator.Script{Rules: rules}}, "start: 1h\nstreams: [audits]\nreread: [30m]", "one", "two")
		w.start("one", "two")
		w.until(5 * time.Hour)
		first := len(w.sinks["one"].arrived())
		order := pipeline.ResendOrder{Stretch: pipeline.Stretch{From: began.Add(time.Hour).Format(time.RFC3339), To: began.Add(3 * time.Hour).Format(time.RFC3339)}, Sink: "two"}
		r, err := w.app.Resend(t.Context(), order, func(pipeline.Progress) {})
		if err != nil || !r.Complete || len(r.Streams) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		w.until(6 * time.Hour)
		st := w.app.Status()
		w.stop()
		if one := w.sinks["one"].arrived(); len(one) != first {
			t.Errorf("the other sink got %d events more", len(one)-first)
		}
		again := 0
		for k, all := range w.sinks["two"].byRecord() {
			inside := !all[0].Time.Before(began.Add(time.Hour)) && all[0].Time.Before(began.Add(3*time.Hour))
			switch {
			case !inside && len(all) != 1, inside && len(all) != 2:
				t.Fatalf("%s came %d times", k.id, len(all))
			case inside && (all[1].Flags != event.FlagResent || all[0].Flags != 0 || all[1].Event != all[0].Event):
				t.Fatalf("%s came as %+v", k.id, all)
			case inside:
				again++
			}
		}
		if again < 3500 || r.Streams[0].Resent != uint64(again) || st.Streams[0].Resent != uint64(again) {
			t.Errorf("%d came again; result %+v, counted %+v", again, r.Streams[0], st.Streams[0].PageCounts)
		}
		for _, s := range st.Sinks {
			filtered := map[string]uint64{"one": uint64(again)}[s.Name]
			if s.Filtered != filtered || s.Pending != 0 || s.Delivered+s.Filtered != st.Streams[0].Journalled() {
				t.Errorf("sink %+v", s)
			}
		}
	})
}

// TestOrdersRefused: an order that makes no sense says why.
func TestOrdersRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 1h\nstreams: [audits]", "out", "other")
		w.start("out", "other, streams: [\"signins.*\"]")
		w.until(time.Hour)
		for want, o := range map[string]pipeline.ResendOrder{
			`no sink "nobody": there are out, other`:    {Stretch: pipeline.Stretch{From: "1h"}, Sink: "nobody"},
			"sink other does not take contoso/audits":   {Stretch: pipeline.Stretch{From: "1h"}, Sink: "other"},
			"no stream contoso/x: there are contoso/au": {Stretch: pipeline.Stretch{Streams: "contoso/x", From: "1h"}, Sink: "out"},
		} {
			_, err := w.app.Resend(t.Context(), o, func(pipeline.Progress) {})
			var refused *pipeline.OrderError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v", o, err)
			}
		}
		w.stop()
		if n := len(w.sinks["out"].arrived()); n > 0 {
			t.Errorf("%d events", n)
		}
	})
}

// TestIdleOrders: where nobody runs, verify and resend open the state themselves; what they journal is delivered at the next run.
func TestIdleOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 1h\nstreams: [audits]\nreread: [30m]", "one", "two")
		w.audit("a", time.Hour, 0, 0)
		w.audit("x", time.Hour, 3*time.Hour, 0)
		idle := func() *app.App {
			t.Helper()
			a, err := app.Idle(w.config([]string{"one", "two"}), app.Options{Version: "test", Transport: w.wire, NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		if _, err := app.Idle(w.config([]string{"one"}), app.Options{}); !errors.Is(err, app.ErrUsage) {
			t.Errorf("without a state: %v", err)
		}
		w.start("one", "two")
		w.until(3 * time.Hour)
		w.stop()
		w.until(10 * time.Hour)
		a := idle()
		w.found(w.verify(a, -time.Hour, true), true, "2 rows -1 ~0 minutes 1/0 gone 0 -x healed 1+0 uncertain 0")
		r, err := a.Resend(t.Context(), pipeline.ResendOrder{Stretch: pipeline.Stretch{From: "10h"}, Sink: "two"}, func(pipeline.Progress) {})
		if err != nil || !r.Complete || r.Streams[0].Resent != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		if err := errors.Join(a.Check(), a.Close()); err != nil {
			t.Error(err)
		}
		if got := w.came("one", "a", "x"); got != "a x:0" {
			t.Errorf("arrived while nobody runs: %s", got)
		}
		w.start("one", "two")
		w.until(11 * time.Hour)
		w.stop()
		if one, two := w.came("one", "a", "x"), w.came("two", "a", "x"); one != "a x" || two != "a:2:resent x:2:resent" {
			t.Errorf("arrived: %s; %s", one, two)
		}
	})
}
