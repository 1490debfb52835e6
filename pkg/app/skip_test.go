package app_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/store"
)

const (
	large      = 400 // records of 100 kB that do not compress: over twice what the journal holds
	largeEvery = 2 * time.Minute
)

// skipWorld has large records come in for 13 hours. Pages are small: one of all that was missed would be larger than the journal.
func skipWorld(t *testing.T, sinks ...string) *world {
	w := newWorld(t, simulator.Options{}, "start: 1h\nstreams: [audits]\nreread: [30m]\ntop: 7", sinks...)
	noise := make([]byte, 75_000)
	rng := rand.NewChaCha8([32]byte{2})
	for i := range large {
		rng.Read(noise)
		w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), w.began.Add(time.Duration(i)*largeEvery),
			`,"pad":"`+base64.StdEncoding.EncodeToString(noise)+`"`)})
	}
	return w
}

// said gathers what the status says about a part, from now on until the offset, looking each minute.
func (w *world) said(part string, until time.Duration) (all []string) {
	for time.Since(w.began) < until {
		w.until(time.Since(w.began) + time.Minute)
		for _, f := range w.app.Status().Faults {
			if f.Part == part && f.Blocked {
				w.Errorf("%s is blocked: %s", part, f.Err)
			}
			if f.Part == part && !slices.Contains(all, f.Err) {
				all = append(all, f.Err)
			}
		}
	}
	return all
}

// inTime checks that nothing came to a sink later than a journal with room would have let it: fetching has never waited.
func (w *world) inTime(sink string) {
	w.Helper()
	worst := time.Duration(0)
	for _, a := range w.sinks[sink].arrived() {
		worst = max(worst, a.At.Sub(a.Time))
	}
	if worst > poll+queue {
		w.Errorf("a record came to %s %s after its time", sink, worst)
	}
	if records, _ := w.complete(sink); records != large {
		w.Errorf("the API shows %d records of %d", records, large)
	}
}

// skipped opens the state of a stopped world and holds what a sink lacks against the ledger and the marks: each record that it
// lacks lies in a mark, and the marks name at most extra records that it has got. It gives the number of records that it lacks.
func (w *world) skipped(sink string, extra int) (lacks int) {
	w.Helper()
	s, _, err := store.Open(filepath.Join(w.dir, "state"), store.Options{NoSync: true})
	if err != nil {
		w.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			w.Error(err)
		}
	}()
	got, named, left := w.sinks[sink].byRecord(), 0, 0
	for key, l := range s.Ledger() {
		marks := s.Marks(key)
		for _, m := range marks {
			if m.Kind != event.Skipped || m.Reader != sink || m.Reason == "" || m.At.IsZero() {
				w.Errorf("mark %+v", m)
			}
		}
		for row := range w.sim.Expected(time.Now()) {
			marked := slices.ContainsFunc(marks, func(m event.Mark) bool { return !row.Time.Before(m.From) && row.Time.Before(m.To) })
			if marked {
				named++
			}
			if len(got[rec{row.Stream, row.ID}]) > 0 {
				continue
			}
			if lacks++; !marked {
				left++
				w.Errorf("%s lacks %s of %s, and no mark says so: %+v", sink, row.ID, row.Time.Sub(w.began), marks)
			}
		}
		if c := l.Sinks[sink]; c.Skipped != uint64(lacks) || c.Delivered != uint64(len(got)) || c.Pending != 0 {
			w.Errorf("%s lacks %d of %d records, the ledger says %+v", sink, lacks, l.Journalled(), c)
		}
	}
	if named-lacks > extra {
		w.Errorf("the marks name %d records, %s lacks %d", named, sink, lacks)
	}
	return lacks
}

// inHand is how many of the large records a lane may hold: two chunks of a MiB, and the batch that it renders next. What was
// skipped while they were there is delivered all the same, and taken back.
const inHand = 2*(1<<20/100_000+1) + 8

// TestSkipOldest has a sink that may lose its oldest records stay away until the journal is full, twice over. Nobody else
// waits for it, and what it lacks in the end is what the ledger and the marks say.
func TestSkipOldest(t *testing.T) {
	for name, restarts := range map[string]bool{"in one go": false, "with a restart while it skips": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := skipWorld(t, "good", "dead")
				sinks := []string{"good", "dead, when_full: skip_oldest"}
				w.sinks["dead"].set(errors.New("connection refused"))
				w.start(sinks...)
				before := w.said("journal", 5*time.Hour)
				if len(before) == 0 || !strings.Contains(before[0], "because of sink dead and will be full in ") || !strings.HasSuffix(before[0], ": then dead loses its oldest records") {
					t.Errorf("before the journal is full the status says %q", before)
				}
				says := w.said("sink dead", 9*time.Hour)
				if restarts {
					w.stop()
					w.until(time.Since(w.began) + 3*time.Second)
					w.start(sinks...)
				}
				says = append(says, w.said("sink dead", 14*time.Hour)...)
				if !slices.ContainsFunc(says, func(s string) bool {
					return strings.HasPrefix(s, "skips the oldest records because the journal is full: ")
				}) {
					t.Errorf("status says of it %q", says)
				}
				if n := len(w.sinks["dead"].arrived()); n > 0 {
					t.Fatalf("%d came to the dead sink", n)
				}
				w.sinks["dead"].set(nil)
				w.until(15 * time.Hour)
				if faults := w.app.Status().Faults; len(faults) > 0 {
					t.Errorf("it works again, and the status says %+v", faults)
				}
				w.stop()
				w.inTime("good")
				if n := w.sinks["dead"].repeats(); n > 0 {
					t.Errorf("%d came to it twice", n)
				}
				lacks := w.skipped("dead", inHand)
				if lacks < large/3 || lacks > large*3/4 {
					t.Errorf("of %d records it lacks %d", large, lacks)
				}
				w.checkBudget()
				t.Logf("of %d records it lacks %d", large, lacks)
			})
		})
	}
}

// TestSkipOldestOfASlowSink: each Send takes longer than the records that it takes took to come in. Records are skipped while
// they are on their way: the verdict on them takes them back.
func TestSkipOldestOfASlowSink(t *testing.T) {
	for _, many := range []int{1, 3} {
		t.Run(fmt.Sprint(many), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testSkipOldestOfASlowSink(t, many) }) })
	}
}

func testSkipOldestOfASlowSink(t *testing.T, many int) {
	w := skipWorld(t, "good", "slow")
	w.sinks["slow"].many = many
	w.sinks["slow"].pace(time.Duration(many) * time.Hour)
	w.start("good", "slow, when_full: skip_oldest")
	w.until(14 * time.Hour)
	w.sinks["slow"].pace(0)
	w.until(16 * time.Hour)
	w.stop()
	w.inTime("good")
	if n := w.sinks["slow"].repeats(); n > 0 {
		t.Errorf("%d came to it twice", n)
	}
	lacks := w.skipped("slow", large)
	if lacks == 0 || lacks > large/2 {
		t.Errorf("of %d records it lacks %d", large, lacks)
	}
	t.Logf("of %d records it lacks %d", large, lacks)
}

// TestSkippingNeverPassesOneThatWaits: of two dead sinks one waits. Skipping the other one's records would give no room back: all
// waits, nothing is lost, and the alarm has said so before.
func TestSkippingNeverPassesOneThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := skipWorld(t, "good", "waits", "skips")
		w.sinks["waits"].set(errors.New("connection refused"))
		w.sinks["skips"].set(errors.New("connection refused"))
		w.start("good", "skips, when_full: skip_oldest", "waits, when_full: wait")
		before := w.said("journal", 5*time.Hour)
		if len(before) == 0 || !strings.Contains(before[0], "because of sink waits and will be full in ") || !strings.HasSuffix(before[0], ": then fetching waits") {
			t.Errorf("before the journal is full the status says %q", before)
		}
		w.until(10 * time.Hour)
		if got := w.fault("journal"); got != "the journal is full because of sink waits: fetching waits" {
			t.Errorf("status says %q", got)
		}
		requests, _ := w.wire.requests()
		w.until(14 * time.Hour)
		if n, _ := w.wire.requests(); n != requests {
			t.Errorf("%d requests with a full journal", n-requests)
		}
		// The other way round the first to work again would leave the other one alone with a full journal.
		w.sinks["skips"].set(nil)
		w.until(14*time.Hour + 10*time.Minute)
		w.sinks["waits"].set(nil)
		w.until(30 * time.Hour)
		w.stop()
		for name := range w.sinks {
			if records, _ := w.complete(name); records != large {
				t.Errorf("the API shows %d records of %d", records, large)
			}
			if lacks := w.skipped(name, 0); lacks > 0 {
				t.Errorf("%s lacks %d", name, lacks)
			}
		}
	})
}
