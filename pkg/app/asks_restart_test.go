package app_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestAsk_StoppedMidPaging stops the pipeline ten times while a further page is on its way, and wants all records once, although
// the API shows the newest first and half of each chain had been read. elastic/integrations#12873: the cursor is set from the first
// event of a descending page, and the rest of the chain is lost with a restart. utmstack/UTMStack#2435: the window is kept in
// memory, and a half-done run leaves a gap.
func TestAsk_StoppedMidPaging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chains(simulator.Rule{Kind: simulator.Slow, Page: "next", Delay: 1500 * time.Millisecond}), chained, "out")
		heard := w.listen()
		at := time.Duration(0)
		for i := range 10 {
			w.start("out")
			// An odd number of further pages later, so that each chain is cut at another place.
			for pages := 0; pages < 2*i+1; at += 500 * time.Millisecond {
				w.until(at)
				if heard.midPage() {
					pages++
				}
				if at > time.Hour {
					t.Fatal("no chain of pages is left to be cut")
				}
			}
			w.stop()
			if w.stream(simulator.Interactive).New == 0 {
				t.Error("nothing to prove: no page was read")
			}
			at += 3 * time.Second
			w.until(at)
		}
		w.start("out")
		w.until(5 * time.Hour)
		w.healthy()
		w.stop()
		if records, _ := w.complete("out"); records != 15*hourly {
			t.Errorf("%d records", records)
		}
		w.checkBudget()
	})
}

// TestAsk_DownForHours: elastic/integrations#4491. The cursor is the time of the request, and what happens while the agent is down
// is never read. Expected: it is, however long that was, records that had appeared late before the stop included; the log says which
// stretch is caught up, complete_through does not claim it before, and new records do not wait for it.
func TestAsk_DownForHours(t *testing.T) {
	for _, down := range []time.Duration{30 * time.Minute, 10 * time.Hour, 80 * time.Hour} {
		t.Run(down.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, back := time.Now(), time.Hour+down
				o := simulator.Options{Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 0.005, Since: began.Add(-time.Hour), Until: began.Add(back + time.Hour),
					Lateness: simulator.Lateness{Median: time.Minute, P95: 5 * time.Minute, Max: 25 * time.Minute}}}}
				w := newWorld(t, o, "start: 1h\npoll: 5m\nreread: [30m]\ntop: 20\nstreams: [audits]", "out")
				w.start("out")
				w.until(time.Hour)
				w.stop()
				w.until(back)
				logs := w.startLogged("out")
				if down > time.Hour {
					w.honest(simulator.Audits, back, back+5*time.Minute)
				}
				w.until(back + 5*time.Minute)
				if logs.FilterMessageSnippet("behind").Len() == 0 {
					t.Error("the log does not say that a stretch is to be caught up")
				}
				w.until(back + 15*time.Minute)
				if through := w.stream(simulator.Audits).Through; time.Since(through) > 6*time.Minute {
					t.Errorf("a quarter of an hour after the return all is complete through %s of %s", through.Sub(began), back)
				}
				w.until(back + 3*time.Hour)
				w.healthy()
				w.stop()
				if records, _ := w.complete("out"); records < 18*int(2+down.Hours())-1 {
					t.Errorf("only %d records", records)
				}
				if slow := w.slowest("out", simulator.Audits, began.Add(back)); slow > 35*time.Minute+queue {
					t.Errorf("a new record came %s after its time", slow)
				}
				w.checkBudget()
			})
		})
	}
}

// honest looks every other second from one offset to another: a record of the stream that had appeared by the first of them and is
// older than complete_through must be there.
func (w *world) honest(stream string, from, to time.Duration) {
	w.Helper()
	for at := from + time.Second; at < to; at += 2 * time.Second {
		w.until(at)
		through, got := w.stream(stream).Through, w.sinks["out"].byRecord()
		for row := range w.sim.Expected(w.began.Add(from)) {
			if row.Stream == stream && row.Time.Before(through) && len(got[rec{stream, row.ID}]) == 0 {
				w.Fatalf("at %s all is complete through %s, but the record of %s is not there", at, through.Sub(w.began), row.Time.Sub(w.began))
			}
		}
	}
}

// TestAsk_CompleteIsClaimedTooEarly: elastic/integrations#4491 again, where an alert is to tell of it. At the first start, and after a
// pause that live cannot bridge, complete_through must not claim live's look-back before live has read it.
func TestAsk_CompleteIsClaimedTooEarly(t *testing.T) {
	for _, down := range []time.Duration{0, 30 * time.Minute} {
		t.Run(down.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				o := simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.Slow, Delay: 5 * time.Second}}},
					Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 0.02, Since: began.Add(-10 * time.Minute), Until: began.Add(3 * time.Hour)}}}
				w := newWorld(t, o, "start: 10m\npoll: 5m\nreread: []\nstreams: [audits]", "out")
				w.start("out")
				w.until(0)
				if down > 0 {
					w.until(time.Hour)
					w.stop()
					w.until(time.Hour + down)
					w.start("out")
					w.honest(simulator.Audits, time.Hour+down, time.Hour+down+time.Minute)
				} else {
					w.honest(simulator.Audits, 0, time.Minute)
				}
			})
		})
	}
}

// TestAsk_EmptyWindows: elastic/beats#24800, elastic/integrations#11475. Without an event there is no cursor, and an empty window
// cannot move the one there is. Expected: in two days without a record complete_through follows the clock, each request asks for
// what is within look-back only, and after a restart nothing is asked for again. The first record then arrives at once.
func TestAsk_EmptyWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 1h\npoll: 5m\nreread: [30m]\nstreams: [audits]", "out")
		heard := w.listen()
		const quiet = 48 * time.Hour
		w.start("out")
		for at := time.Hour; at <= quiet; at += time.Hour {
			w.until(at)
			if lag := time.Since(w.stream(simulator.Audits).Through); lag > 6*time.Minute {
				t.Fatalf("after %s complete_through lags by %s", at, lag)
			}
		}
		w.stop()
		saved, err := app.Offline(w.config([]string{"out"}))
		if err != nil || len(saved.Streams) != 0 && time.Since(saved.Streams[0].Through) > 6*time.Minute {
			t.Errorf("the state file has %+v, %v", saved.Streams, err)
		}
		at := w.began.Add(quiet + 10*time.Minute)
		w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, "first", at, "")})
		w.until(quiet + 3*time.Second)
		w.start("out")
		w.until(quiet + 40*time.Minute)
		w.stop()
		w.complete("out")
		if slow := w.slowest("out", simulator.Audits, w.began); len(w.sinks["out"].arrived()) != 1 || slow > 5*time.Minute+queue {
			t.Errorf("%d records, the slowest after %s", len(w.sinks["out"].arrived()), slow)
		}
		for _, e := range heard.between(w.began.Add(2*time.Hour), time.Now()) {
			if old := e.at.Sub(e.from); e.live && old > lookback+6*time.Minute || old > 45*time.Minute {
				t.Fatalf("at %s it asked for what is %s old", e.at.Sub(w.began), old)
			}
		}
	})
}

// TestAsk_UnackedAtClose: elastic/beats#50738. The cursor is ahead of what was acknowledged, and events that wait at the end of the
// process are lost. Expected: whatever was read and not delivered when it ends, six times in a row, is delivered by the next one,
// which cannot have read it again: look-back is a minute, and there are no re-readers.
func TestAsk_UnackedAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rounds, each = 6, 20
		w := newWorld(t, simulator.Options{}, "start: 1h\npoll: 1m\nlookback: 1m\nreread: []\nstreams: [audits]", "out")
		for i := range rounds * each {
			at := w.began.Add(time.Duration(i/each)*time.Hour + time.Duration(i%each)*time.Minute)
			w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), at, "")})
		}
		for i := range rounds {
			begin := time.Duration(i) * time.Hour
			w.until(begin)
			w.sinks["out"].set(nil)
			w.start("out")
			w.until(begin + 10*time.Second)
			if n := len(w.sinks["out"].arrived()); n < i*each {
				t.Errorf("round %d begins with %d of %d records", i, n, i*each)
			}
			w.sinks["out"].set(errors.New("connection refused"))
			w.until(begin + 25*time.Minute) // the last look-back that has the round's records is over
			if n := w.app.Status().Sinks[0].Pending; n < each-1 {
				t.Errorf("nothing to prove: %d records wait at the end of round %d", n, i)
			}
			w.stop()
		}
		w.sinks["out"].set(nil)
		w.until(rounds * time.Hour)
		w.start("out")
		w.until((rounds + 1) * time.Hour)
		w.stop()
		if records, _ := w.complete("out"); records != rounds*each {
			t.Errorf("%d records", records)
		}
	})
}
