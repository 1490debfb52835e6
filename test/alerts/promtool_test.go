package alerts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const evaluate = time.Minute // between two looks at the rules, as Prometheus has it unless told otherwise

// promtool is where setup.sh puts it, or on the PATH; else why is not empty.
var promtool = sync.OnceValues(func() (path, why string) {
	base := os.Getenv("LOGFERRY_PEERS")
	if base == "" {
		if base = os.Getenv("XDG_CACHE_HOME"); base == "" {
			base = filepath.Join(os.Getenv("HOME"), ".cache")
		}
	}
	path = filepath.Join(base, "logferry-peers", "prometheus", "promtool")
	if _, err := os.Stat(path); err == nil {
		return path, ""
	}
	if path, err := exec.LookPath("promtool"); err == nil {
		return path, ""
	}
	return "", "there is no promtool: test/alerts/setup.sh fetches it where apt-get is, else install Prometheus"
})

// needPromtool skips the test where promtool cannot be had. Where CI=true it has to be there if Debian's packages can be fetched.
func needPromtool(t *testing.T) string {
	path, why := promtool()
	if why == "" {
		return path
	}
	_, err := exec.LookPath("apt-get")
	if os.Getenv("CI") == "true" && err == nil && os.Getuid() == 0 {
		t.Fatal(why)
	}
	t.Skip("skipped: " + why) // setup.sh says so, too, where nobody asks for the names of tests
	return ""
}

// expectation is what an expression gives at a time after the world's beginning.
type expectation struct {
	expr    string
	at      time.Duration
	samples []string // series; their value is value
	value   int
}

// tested makes a file for promtool: what was scraped, as if every 15 and as if every 60 seconds, and what is expected of the rules over it. Of the
// alerts in told it is to say what they are, which it does when none is expected.
func tested(s *scrapes, want []expectation, told []firing) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%s]\nevaluation_interval: %ds\ntests:\n", quote(rulesFile().path), int(evaluate.Seconds()))
	for _, n := range []int{1, 4} {
		interval := every * time.Duration(n)
		fmt.Fprintf(&b, "  - interval: %ds\n    name: %s\n    input_series:\n%s", int(interval.Seconds()), quote("scraped every "+interval.String()), s.input(n))
		b.WriteString("    promql_expr_test:\n")
		for _, w := range want {
			fmt.Fprintf(&b, "      - expr: %s\n        eval_time: %ds\n        exp_samples:%s\n", quote(w.expr), int((before + w.at).Seconds()), samples(w))
		}
	}
	if len(told) > 0 {
		b.WriteString("    alert_rule_test:\n")
	}
	for _, f := range told {
		fmt.Fprintf(&b, "      - {alertname: %s, eval_time: %ds, exp_alerts: []}\n", f.alert, int((before + f.end).Seconds()))
	}
	return b.String()
}

func samples(w expectation) string {
	if len(w.samples) == 0 {
		return " []"
	}
	var b strings.Builder
	for _, s := range w.samples {
		fmt.Fprintf(&b, "\n          - labels: %s\n            value: %d", quote(s), w.value)
	}
	return b.String()
}

// run has promtool test a file.
func run(t *testing.T, text string) (out string, ok bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	cmd := exec.Command(needPromtool(t), "test", "rules", file)
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	return b.String(), err == nil
}

// fired wants that these alerts, and no others, have been firing at some time between the world's beginning and until.
func fired(until time.Duration, alerts ...string) expectation {
	w := expectation{expr: fmt.Sprintf(`group by (alertname) (count_over_time(ALERTS{alertstate="firing"}[%ds]))`, int((until - time.Minute).Seconds())), at: until, value: 1}
	slices.Sort(alerts)
	for _, a := range slices.Compact(alerts) {
		w.samples = append(w.samples, fmt.Sprintf(`{alertname="%s"}`, a))
	}
	return w
}

// kept wants that an alert was firing with the labels of each of these each time that one looked after by, up to end, and with no others.
func kept(r *rule, all []firing) expectation {
	span := all[0].end - all[0].by
	w := expectation{
		expr: fmt.Sprintf(`count_over_time(ALERTS{alertname="%s",alertstate="firing"}[%ds])`, r.Alert, int(span.Seconds())-1),
		at:   all[0].end, value: int(span / evaluate),
	}
	for _, f := range all {
		w.samples = append(w.samples, fmt.Sprintf(`{alertname="%s",alertstate="firing",severity="%s",%s}`, r.Alert, r.Labels["severity"], f.labels))
	}
	return w
}
