package app_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// missing lists the records that the API shows now and that a receiver has not got.
func (w *world) missing(sink string) (lost []simulator.Row, of int) {
	got := w.sinks[sink].byRecord()
	for row := range w.sim.Expected(time.Now()) {
		of++
		if len(got[rec{row.Stream, row.ID}]) == 0 {
			lost = append(lost, row)
		}
	}
	return lost, of
}

// checkRepeats wants each repeat of an event marked uncertain, and tells how many there are.
func (w *world) checkRepeats(sink string) (repeats int) {
	w.Helper()
	unmarked := 0
	for _, all := range w.sinks[sink].byRecord() {
		for _, a := range all[1:] {
			if repeats++; a.Flags&event.FlagUncertain == 0 {
				if unmarked++; unmarked <= 3 {
					w.Errorf("%s got %s %s of %s again at %s, not marked uncertain", sink, a.Key.Stream, a.ID, a.Time.Sub(w.began), a.At.Sub(w.began))
				}
			}
		}
	}
	return repeats
}

// TestDamagedBatch changes bytes of three batches that wait for two sinks: their records are read again and arrive, marked
// uncertain; all others arrive once.
func TestDamagedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 1h\nreread: [30m]", "one", "two", "three")
		rng, noise := rand.NewChaCha8([32]byte{1}), make([]byte, 900)
		markers := map[string][]byte{}
		for i := range 150 {
			at := w.began.Add(time.Duration(i-20) * 47 * time.Second)
			for _, stream := range simulator.Streams() {
				rng.Read(noise)
				// What does not compress stands in the file as it is.
				pad := base64.StdEncoding.EncodeToString(noise)
				id := fmt.Sprintf("%s-%d", stream, i)
				markers[id] = []byte(pad[100:164])
				w.add(stream, simulator.Record{Raw: record(stream, id, at, `,"pad":"`+pad+`"`)})
			}
		}
		w.sinks["two"].set(errors.New("connection refused"))
		w.sinks["three"].set(errors.New("connection refused"))
		w.start("one", "two", "three")
		// The last of them are within the look-back of live when it starts again.
		w.until(106 * time.Minute)
		w.stop()

		hit := []string{"audits-30", "audits-149", "signins.interactive-55"}
		for _, id := range hit {
			w.flip(markers[id])
		}
		w.sinks["two"].set(nil)
		w.sinks["three"].set(nil)
		w.start("one", "two", "three")
		w.until(3 * time.Hour)
		if faults := w.app.Status().Faults; len(faults) > 0 {
			t.Errorf("status still says %+v", faults)
		}
		w.stop()
		for _, name := range []string{"one", "two", "three"} {
			if lost, of := w.missing(name); len(lost) > 0 || of != 750 {
				t.Errorf("%s lacks %d of %d records", name, len(lost), of)
			}
			repeats := w.checkRepeats(name)
			if name == "one" && (repeats < len(hit) || repeats > 30) || name != "one" && repeats > 30 {
				t.Errorf("%s got %d events again", name, repeats)
			}
			uncertain := 0
			for _, a := range w.sinks[name].arrived() {
				if a.Flags&event.FlagUncertain != 0 {
					uncertain++
				}
			}
			for _, id := range hit {
				all := w.sinks[name].byRecord()
				a := append(all[rec{simulator.Audits, id}], all[rec{simulator.Interactive, id}]...)
				if n := len(a); n == 0 || a[n-1].Flags&event.FlagUncertain == 0 || n != map[string]int{"one": 2, "two": 1, "three": 1}[name] {
					t.Errorf("%s got %s %d times", name, id, n)
				}
			}
			if uncertain < len(hit) || uncertain > 30 {
				t.Errorf("%s got %d events marked uncertain", name, uncertain)
			}
		}
	})
}

// flip changes a text wherever the state file has it.
func (w *world) flip(text []byte) {
	w.Helper()
	data, err := os.ReadFile(w.path("state/state.db"))
	if err != nil {
		w.Fatal(err)
	}
	n := bytes.Count(data, text)
	changed := bytes.Clone(text)
	changed[len(changed)/2] ^= 1
	if n == 0 {
		w.Fatal("the text to damage is not in the state file")
	}
	w.write("state/state.db", string(bytes.ReplaceAll(data, text, changed)))
}

// TestLostState takes the state file away, or its content, while one sink has everything and another waits for hours of
// records: both have everything in the end, and what may be a repeat says so.
func TestLostState(t *testing.T) {
	const db, recovery = "state/state.db", "state/recovery.json"
	garbage := func(w *world) { w.write(db, string(bytes.Repeat([]byte("not a state file "), 4096))) }
	for name, c := range map[string]struct {
		harm  func(w *world)
		aside int // files kept for whoever wants to look
	}{
		"deleted":                {func(w *world) { os.Remove(w.path(db)) }, 0},
		"garbage":                {garbage, 1},
		"cut short":              {func(w *world) { os.Truncate(w.path(db), 8192) }, 1},
		"garbage, recovery gone": {func(w *world) { garbage(w); os.Remove(w.path(recovery)) }, 1},
		"garbage both":           {func(w *world) { garbage(w); w.write(recovery, "{") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				o := simulator.Options{Generate: generate(0.02, began.Add(-3*time.Hour), began.Add(4*time.Hour))}
				for i := range o.Generate {
					o.Generate[i].Lateness = simulator.Lateness{Median: 2 * time.Minute, P95: 10 * time.Minute, Max: 100 * time.Minute, TailShare: 0.03}
				}
				w := newWorld(t, o, "start: 3h\nreread: [30m, 2h]", "one", "two")
				w.start("one", "two")
				w.until(time.Hour)
				w.sinks["two"].set(errors.New("connection refused"))
				w.until(2*time.Hour + 30*time.Minute)
				w.stop()
				w.sinks["two"].set(nil)
				c.harm(w)
				w.until(2*time.Hour + 40*time.Minute)
				w.start("one", "two")
				w.until(6*time.Hour + 40*time.Minute)
				w.stop()
				for name := range w.sinks {
					lost, of := w.missing(name)
					if len(lost) > 0 {
						t.Errorf("%s lacks %d of %d records, the first %+v", name, len(lost), of, lost[0])
					}
					t.Logf("%s: %d records, %d came again", name, of, w.checkRepeats(name))
				}
				aside, err := filepath.Glob(w.path(db + ".damaged-*"))
				if err != nil || len(aside) != c.aside {
					t.Errorf("%d files are set aside, want %d", len(aside), c.aside)
				}
				w.checkBudget()
			})
		})
	}
}
