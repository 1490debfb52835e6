package app_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// The tests in the files asks_*_test.go play faults that users of other shippers have reported. A comment names the report
// that a test stands for, as repository#number of its tracker. What "better" means is the same for all: nothing missing,
// nothing repeated, it goes on by itself, and it says what is wrong while it is.

// tap lies between the pipeline and the wire and notes each report request with its reply.
type tap struct {
	next http.RoundTripper

	mu     sync.Mutex
	all    []exchange
	paging int // requests for a further page that are under way
}

// exchange is one report request and its reply.
type exchange struct {
	at, back time.Time     // when it was sent and answered
	from     time.Time     // the lower bound of its filter
	live     bool          // its filter has no upper bound
	resumed  bool          // it asks for a further page
	pause    time.Duration // that the reply asked for
}

// listen puts a tap into the world.
func (w *world) listen() *tap {
	x := &tap{next: w.wire.next}
	w.wire.next = x
	return x
}

var lowerBound = regexp.MustCompile(` ge (\S+)`)

// RoundTrip implements http.RoundTripper.
func (x *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.Contains(strings.ToLower(req.URL.Path), "auditlogs") {
		return x.next.RoundTrip(req)
	}
	options := req.URL.Query()
	e := exchange{at: time.Now(), live: !strings.Contains(options.Get("$filter"), " le "), resumed: options.Has("$skiptoken")}
	if m := lowerBound.FindStringSubmatch(options.Get("$filter")); m != nil {
		e.from, _ = time.Parse(time.RFC3339, m[1]) // zero shows in the tests that look at it
	}
	x.under(e, 1)
	res, err := x.next.RoundTrip(req)
	x.under(e, -1)
	e.back = time.Now()
	if err == nil {
		e.pause = retryAfter(res)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, e)
	return res, err
}

// retryAfter reads the header in both of its forms.
func retryAfter(res *http.Response) time.Duration {
	text := res.Header.Get("Retry-After")
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}

func (x *tap) under(e exchange, n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.resumed {
		x.paging += n
	}
}

// midPage tells whether a further page is on its way.
func (x *tap) midPage() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.paging > 0
}

// between gives the exchanges that began in [from, to).
func (x *tap) between(from, to time.Time) (some []exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.all {
		if !e.at.Before(from) && e.at.Before(to) {
			some = append(some, e)
		}
	}
	return some
}

// hasty counts the requests that left while a reply before them had asked for a pause.
func (x *tap) hasty() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, asked := range x.all {
		for _, e := range x.all[i+1:] {
			if !e.at.Before(asked.back.Add(asked.pause)) {
				break
			}
			if e.at.After(asked.back) {
				n++
			}
		}
	}
	return n
}

// startLogged is start with what is logged to be looked at.
func (w *world) startLogged(sinks ...string) *observer.ObservedLogs {
	w.Helper()
	core, logs := observer.New(zapcore.WarnLevel)
	w.log = zap.New(core)
	w.start(sinks...)
	return logs
}

// ask gets a page of the admin endpoint over this status.
func (w *world) ask(page string) (status int, body string) {
	m := telemetry.NewMetrics("test")
	m.Watch(w.app.Status)
	got := httptest.NewRecorder()
	m.AdminHandler(w.app.Status).ServeHTTP(got, httptest.NewRequest(http.MethodGet, page, nil))
	return got.Code, got.Body.String()
}

// metric scrapes the value of a sample, named with its labels as Prometheus writes them.
func (w *world) metric(sample string) float64 {
	w.Helper()
	_, body := w.ask("/metrics")
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), sample+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				w.Fatal(err)
			}
			return v
		}
	}
	w.Fatalf("there is no metric %s", sample)
	return 0
}

// stream gives the status of a stream.
func (w *world) stream(name string) pipeline.StreamStatus {
	w.Helper()
	for _, s := range w.app.Status().Streams {
		if s.Name == "contoso/"+name {
			return s
		}
	}
	w.Fatalf("status has no stream %s", name)
	return pipeline.StreamStatus{}
}

// healthy wants nothing to be wrong any more.
func (w *world) healthy() {
	w.Helper()
	if faults := w.app.Status().Faults; len(faults) > 0 {
		w.Errorf("all is mended, but status says %+v", faults)
	}
	if code, body := w.ask("/healthz"); code != http.StatusOK {
		w.Errorf("all is mended, but /healthz says %d: %s", code, body)
	}
}

// slowest is the longest time from a record of the stream to its arrival at a sink, of those that happened since.
func (w *world) slowest(sink, stream string, since time.Time) (worst time.Duration) {
	for _, a := range w.sinks[sink].arrived() {
		if a.Key.Stream == stream && !a.Time.Before(since) {
			worst = max(worst, a.At.Sub(a.Time))
		}
	}
	return worst
}
