package pipeline

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

var updateTable = flag.Bool("update", false, "write the load table into the documents")

const tableFile = "../../docs/load.md"

// TestLoad has one app registration with the default budget read five streams of 1 to 400 records a second for four days. The
// table stands in the documents: its figures must be those of this run.
func TestLoad(t *testing.T) {
	const days, first, last = 96 * time.Hour, 8 * time.Hour, 20 * time.Hour // the oldest re-reader passes what is measured
	rates := []float64{1, 10, 25, 50, 120, 240, 400}
	rows := make([]figures, len(rates))
	t.Run("rates", func(t *testing.T) {
		for i, rate := range rates {
			t.Run(fmt.Sprint(rate), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newLoaded(t, rate, 2, days)
					w.start()
					time.Sleep(days)
					f := w.measure(w.began.Add(first), w.began.Add(last))
					w.stop()
					rows[i] = f
					t.Logf("%+v", f)
					w.judge(f, w.began.Add(first), w.began.Add(last))
					w.checkUncovered()
				})
			})
		}
	})
	if t.Failed() {
		return
	}
	table := renderTable(rows)
	doc, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitAfter(string(doc), "<!-- load -->\n")
	if len(parts) != 3 {
		t.Fatalf("%s does not have the two marks between which the table stands", tableFile)
	}
	if *updateTable {
		if err := os.WriteFile(tableFile, []byte(parts[0]+table+"<!-- load -->\n"+parts[2]), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if was := strings.TrimSuffix(parts[1], "<!-- load -->\n"); !near(was, table) {
		t.Errorf("the table in %s says\n%s\nand this run\n%s\n(go test ./pkg/pipeline -run TestLoad -update writes it)", tableFile, was, table)
	}
}

// judge holds a row against what is promised.
func (w *loaded) judge(f figures, from, to time.Time) {
	w.Helper()
	poll := w.config.Poll.Std()
	if w.rate <= 25 && f.p99 > poll+5*time.Second {
		w.Errorf("99 of 100 records are read %s after they appear, want a poll and 5 s", f.p99)
	}
	if w.rate <= 120 && f.missed > 0 {
		w.Errorf("%d records are missing", f.missed)
	}
	if w.rate == 120 {
		for _, s := range w.service.streams {
			for i := s.index(from); i < s.index(to); i++ {
				if late := s.late[i%len(s.late)]; late <= 24*time.Hour && s.found[i].Sub(s.time(i)) > 25*time.Hour+10*time.Minute {
					w.Fatalf("a record %s late is read %s after its time", late, s.found[i].Sub(s.time(i)))
				}
			}
		}
	}
	if w.rate <= 50 && (f.apps != 1 || f.lag > time.Hour || f.uncovered > 0) {
		w.Errorf("it should fit: %+v", f)
	}
	if w.rate == 400 {
		if f.p50 > 15*time.Minute {
			w.Errorf("half of the records are read later than %s after they appear: live is not fresh", f.p50)
		}
		if !strings.Contains(fmt.Sprint(w.p.Status().Faults), "this tenant exceeds one app registration; it needs 5") {
			w.Errorf("no forecast: %+v", w.p.Status().Faults)
		}
	}
}

// checkUncovered holds the uncovered stretches against what slices and cursors say, second by second: a pass is missing where a
// re-reader's cursor went by although nothing had been read at its age, and neither it nor somebody who read the stretch first came later.
func (w *loaded) checkUncovered() {
	w.Helper()
	for _, st := range w.p.Status().Streams {
		_, stream, _ := strings.Cut(st.Name, "/")
		for _, age := range w.config.Reread {
			name := "reread/" + age.Std().String()
			missing, marked := w.passesMissing(stream, name, age.Std()), make(seconds, w.second(time.Now())+1)
			for _, m := range st.Marks {
				if m.Kind == event.Uncovered && m.Reader == name {
					marked.set(w.second(m.From), w.second(m.To), true)
				}
			}
			for _, r := range st.Readers { // who reads it first has yet to come by
				if !r.End.IsZero() {
					missing.set(w.second(r.Pos), w.second(r.End), false)
					marked.set(w.second(r.Pos), w.second(r.End), false)
				}
			}
			for n := range marked {
				if marked[n] != missing[n] {
					w.Errorf("%s of %s, second %d: missing %v, marked %v", name, stream, n, missing[n], marked[n])
					break
				}
			}
		}
	}
}

// seconds says something of each second since a minute before the beginning.
type seconds []bool

func (s seconds) set(from, to int, v bool) {
	for n := max(from, 0); n < min(to, len(s)); n++ {
		s[n] = v
	}
}

func (w *loaded) second(at time.Time) int {
	return int(at.Sub(w.began.Add(-time.Minute)) / time.Second)
}

// passesMissing plays the slices that were read and the cursors that were saved once more.
func (w *loaded) passesMissing(stream, reader string, age time.Duration) seconds {
	size := w.second(time.Now()) + 1
	covered, missing := make(seconds, size), make(seconds, size)
	reads, pos := w.service.reads, w.began.Add(-time.Minute)
	for _, m := range w.journal.moves {
		for ; len(reads) > 0 && !reads[0].done.After(m.at); reads = reads[1:] {
			r := reads[0]
			if r.stream != stream {
				continue
			}
			to := r.to
			if limit := r.begun.Add(-age); to.IsZero() || limit.Before(to) {
				to = limit
			}
			covered.set(w.second(r.from), w.second(to), true)
			if r.reader == reader || r.reader != "live" && !strings.HasPrefix(r.reader, "reread/") {
				missing.set(w.second(r.from), w.second(to), false)
			}
		}
		if m.stream != stream || m.Reader != reader {
			continue
		}
		for n := max(0, w.second(pos)); n < w.second(m.Pos); n++ {
			missing[n] = !covered[n]
		}
		pos = m.Pos
	}
	return missing
}

func renderTable(rows []figures) string {
	var b bytes.Buffer
	b.WriteString("| records/s | p50 | p95 | p99 | missed | look-back | oldest re-reader late by | passes left out, per day | app registrations needed |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, f := range rows {
		look := span(f.look)
		if f.trails {
			look = "trails by " + look
		}
		fmt.Fprintf(&b, "| %g | %s | %s | %s | %.2f %% | %s | %s | %s | %d |\n", f.rate, span(f.p50), span(f.p95), span(f.p99),
			100*float64(f.missed)/float64(f.records), look, span(max(0, f.lag)), span(f.uncovered), f.apps)
	}
	return b.String()
}

// span rounds to two figures or so.
func span(d time.Duration) string {
	switch {
	case d == math.MaxInt64:
		return "never"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.1f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}

var figure = regexp.MustCompile(`[0-9.]+`)

// near tells whether two tables say the same but for a third of a figure: who comes first in a moment is not decided.
func near(a, b string) bool {
	x, y := figure.FindAllString(a, -1), figure.FindAllString(b, -1)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		p, _ := strconv.ParseFloat(x[i], 64)
		q, _ := strconv.ParseFloat(y[i], 64)
		if math.Abs(p-q) > 5+max(p, q)/3 {
			return false
		}
	}
	return true
}
