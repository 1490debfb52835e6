// Package alerts holds the rules of deploy/helm/logferry/files/alerts.yaml against what logferry really exposes. For each alert a
// fault of the simulated world is lived through, scraped as Prometheus would, and the scrapes are given to promtool, which has to see
// the alert fire; and the same load is lived through without a fault, in which no alert may fire.
package alerts

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// firing is an alert that fires in a scenario: each time from by until end, whatever happens between.
type firing struct {
	alert   string
	labels  string        // as Prometheus writes them, without alertname, alertstate, severity
	by, end time.Duration // by 0: it fires at some time
	says    string        // in its annotations
}

// TestHealthy lives through each load without a fault, with a start and a restart: no alert fires, however often Prometheus scrapes.
func TestHealthy(t *testing.T) {
	for _, l := range loads() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			var s *scrapes
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, l, nil)
				if l == certified {
					w.certificate(60 * 24 * time.Hour)
				}
				w.start()
				w.until(l.span / 2)
				w.restart()
				w.until(l.span)
				if w.sink.got < 100 {
					t.Errorf("nothing to prove: %d records", w.sink.got)
				}
				s = w.scrapes
			})
			if out, ok := run(t, tested(s, []expectation{fired(l.span)}, nil)); !ok {
				t.Errorf("promtool: %s", out)
			}
		})
	}
}

// TestAlerts lives through faults: the alerts of each fire, in time and until the end, over a restart, with their labels and words, and
// no others do.
func TestAlerts(t *testing.T) {
	for _, c := range scenarios() {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var s *scrapes
			synctest.Test(t, func(t *testing.T) {
				l := *c.load
				l.input += "\n" + c.input
				if c.options != nil {
					l.options = c.options
				}
				w := newWorld(t, &l, c.rules)
				c.live(w)
				s = w.scrapes
			})
			end := every * time.Duration(s.n-1)
			if end > c.load.span {
				t.Errorf("the load's healthy world ends after %s, this one after %s", c.load.span, end)
			}
			var want []expectation
			var told []firing
			var names []string
			for i, f := range c.fires {
				r := rulesFile().find(f.alert)
				if r == nil {
					t.Fatalf("there is no alert %s", f.alert)
				}
				names = append(names, f.alert)
				same := func(o firing) bool { return o.alert == f.alert }
				if f.by > 0 && slices.IndexFunc(c.fires, same) == i {
					all := slices.DeleteFunc(slices.Clone(c.fires), func(o firing) bool { return !same(o) })
					want, told = append(want, kept(r, all)), append(told, f)
				}
			}
			want = append(want, fired(end, names...))
			out, _ := run(t, tested(s, want, told))
			if strings.Contains(out, "expr: ") || !strings.Contains(out, "alertname: ") {
				t.Errorf("promtool: %s", out)
			}
			for _, f := range told {
				annotated(t, out, f)
			}
		})
	}
}

// annotated looks at the words of an alert in what promtool says.
func annotated(t *testing.T, out string, f firing) {
	t.Helper()
	var words string
	for _, about := range strings.Split(out, "alertname: ") {
		if strings.HasPrefix(about, f.alert+",") {
			words += about
		}
	}
	for _, want := range []string{"summary=", "description=", "runbook_url=", f.says} {
		if !strings.Contains(words, want) {
			t.Errorf("the annotations of %s lack %q: %s", f.alert, want, words)
		}
	}
	for _, no := range []string{"error expanding", "<no", "%!", "NaN"} {
		if strings.Contains(words, no) {
			t.Errorf("the annotations of %s: %s", f.alert, words)
		}
	}
}

// TestEveryAlertIsTested: each alert of the file fires in some scenario, whose load has a healthy world.
func TestEveryAlertIsTested(t *testing.T) {
	var tested []string
	for _, c := range scenarios() {
		if !slices.Contains(loads(), c.load) {
			t.Errorf("%s: its load is lived through with faults only", c.name)
		}
		for _, f := range c.fires {
			tested = append(tested, f.alert)
		}
	}
	for _, r := range rulesFile().all {
		if !slices.Contains(tested, r.Alert) {
			t.Errorf("no scenario has %s fire", r.Alert)
		}
	}
}

// TestRulesAreSound: promtool reads the file, and each alert says how urgent it is and where to read on.
func TestRulesAreSound(t *testing.T) {
	for _, r := range rulesFile().all {
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || len(r.Labels) != 1 {
			t.Errorf("%s: labels %v", r.Alert, r.Labels)
		}
		if want := "https://github.com/logferry/logferry/blob/main/docs/alerts.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is not %s", r.Alert, want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || len(r.Annotations) != 3 {
			t.Errorf("%s: annotations %v", r.Alert, r.Annotations)
		}
	}
	if out, err := exec.Command(needPromtool(t), "check", "rules", rulesPath).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
