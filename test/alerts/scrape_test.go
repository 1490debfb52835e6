package alerts

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

const (
	every = 15 * time.Second // between two scrapes
	// before is how long the Prometheus of a test has run when the world begins. Its clock begins at 0: times that lie a little
	// before the world's beginning must not come before that.
	before = 70 * time.Minute
	self   = `instance="logferry-0",job="logferry"`
)

// scrapes is what Prometheus has got: for each series, named as it writes them, the value of each scrape, NaN where it was not there.
type scrapes struct {
	n      int
	series map[string][]float64
	// of all that was exposed: the type of each family, and the names of its labels
	types  map[string]string
	labels map[string]map[string]bool
	known  map[string]bool // families with what stood in their braces
}

func newScrapes() *scrapes {
	return &scrapes{known: map[string]bool{}, series: map[string][]float64{}, types: map[string]string{}, labels: map[string]map[string]bool{}}
}

func (s *scrapes) add(name string, value float64) {
	for len(s.series[name]) < s.n {
		s.series[name] = append(s.series[name], math.NaN())
	}
	s.series[name] = append(s.series[name], value)
}

// scrape is what Prometheus does: it asks for /metrics, and notes by itself whether there was an answer.
func (w *world) scrape() {
	s := w.scrapes
	up := 0.0
	switch {
	case w.app != nil:
		w.ask(w.app.Admin(), self)
		up = 1
	case w.idle != nil:
		w.ask(idles(w.idle), self)
		up = 1
	}
	if w.target {
		s.add("up{"+self+"}", up)
	}
	if w.beside != nil {
		const other = `instance="logferry-1",job="logferry"`
		w.ask(idles(w.beside), other)
		s.add(`up{`+other+`}`, 1)
	}
	s.n++
}

// idles is what a pod of run --only-ordinal serves that is not the one.
func idles(m *telemetry.Metrics) http.Handler {
	return m.AdminHandler(func() pipeline.Status { return pipeline.Status{Idle: "another pod works"} })
}

// ask takes in what a target answers.
func (w *world) ask(target http.Handler, labels string) {
	reply := httptest.NewRecorder()
	target.ServeHTTP(reply, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if reply.Code != http.StatusOK {
		w.Fatalf("scrape: %d %s", reply.Code, reply.Body)
	}
	if err := w.scrapes.read(reply.Body.String(), labels); err != nil {
		w.Fatal(err)
	}
}

var (
	typeLine = regexp.MustCompile(`^# TYPE (logferry_\w+) (\w+)$`)
	sample   = regexp.MustCompile(`^(logferry_\w+)(?:\{(.*)\})? (\S+)$`)
	label    = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
	part     = regexp.MustCompile(`_(?:bucket|sum|count)$`)
)

// read takes in a reply in Prometheus' text format. What is not logferry's own is passed over.
func (s *scrapes) read(text, target string) error {
	used := rulesFile().families
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimPrefix(line, "# TYPE "), "logferry_") {
			continue
		}
		line = strings.TrimSuffix(line, "\n")
		if m := typeLine.FindStringSubmatch(line); m != nil {
			s.types[m[1]] = m[2]
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		family := m[1]
		if s.types[family] == "" {
			family = part.ReplaceAllString(family, "")
		}
		s.know(family, m[2])
		if !used[m[1]] {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return fmt.Errorf("scrape: %q: %w", line, err)
		}
		if strings.HasSuffix(family, "_timestamp_seconds") {
			s.add(series(m[1], m[2], target), shifted(value))
		} else {
			s.add(series(m[1], m[2], target), value)
		}
	}
	return nil
}

// bubble is when every synctest bubble begins, in Unix time.
var bubble = float64(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix())

// shifted moves a Unix time of the bubble to the clock of promtool; 0 means none and stays.
func shifted(stamp float64) float64 {
	if stamp == 0 {
		return 0
	}
	return stamp - bubble + before.Seconds()
}

// series adds the labels that Prometheus adds.
func series(name, labels, target string) string {
	if labels != "" {
		labels += ","
	}
	return name + "{" + labels + target + "}"
}

func (s *scrapes) know(family, labels string) {
	if s.known[family+labels] {
		return
	}
	s.known[family+labels] = true
	if s.labels[family] == nil {
		s.labels[family] = map[string]bool{}
	}
	for _, m := range label.FindAllStringSubmatch(labels, -1) {
		if m[1] != "le" {
			s.labels[family][m[1]] = true
		}
	}
}

// values renders one series of promtool's notation with one scrape of so many: what was not there any more is marked stale once, as
// Prometheus does it, then left out.
func (s *scrapes) values(name string, nth int) string {
	var picked []float64
	all := s.series[name]
	for i := 0; i < s.n; i += nth {
		v := math.NaN()
		if i < len(all) {
			v = all[i]
		}
		picked = append(picked, v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "_x%d", int(before/(every*time.Duration(nth))))
	for i := 0; i < len(picked); {
		n := 1
		switch v := picked[i]; {
		case math.IsNaN(v):
			for i+n < len(picked) && math.IsNaN(picked[i+n]) {
				n++
			}
			left := n
			if i > 0 {
				b.WriteString(" stale")
				left--
			}
			if left > 0 {
				fmt.Fprintf(&b, " _x%d", left)
			}
		default:
			step := 0.0
			if i+1 < len(picked) {
				step = picked[i+1] - v
			}
			if step != math.Trunc(step) || v != math.Trunc(v) || math.IsInf(v, 0) || math.IsInf(step, 0) {
				step = 0
			}
			for i+n < len(picked) && picked[i+n] == v+step*float64(n) {
				n++
			}
			switch {
			case n == 1:
				b.WriteString(" " + number(v))
			case step < 0:
				fmt.Fprintf(&b, " %s%sx%d", number(v), number(step), n-1)
			default:
				fmt.Fprintf(&b, " %s+%sx%d", number(v), number(step), n-1)
			}
		}
		i += n
	}
	return b.String()
}

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "Inf"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// input is all series for promtool.
func (s *scrapes) input(nth int) string {
	var b strings.Builder
	names := make([]string, 0, len(s.series))
	for name := range s.series {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "      - series: %s\n        values: %s\n", quote(name), quote(s.values(name, nth)))
	}
	return b.String()
}

// quote is a string of YAML.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
