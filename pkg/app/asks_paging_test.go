package app_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// The world of the paging tests: 15 hours of one stream in chains of some six pages of 20 rows to the hour.
const (
	chained = "start: 12h\npoll: 5m\nreread: [30m]\ntop: 20\nstreams: [signins.interactive]"
	hourly  = 120 // records in an hour
)

func chains(rules ...simulator.Rule) simulator.Options {
	began := time.Now()
	return simulator.Options{Script: &simulator.Script{Rules: rules}, Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second},
		Generate: []simulator.Generate{{Stream: simulator.Interactive, Rate: hourly / 3600., Since: began.Add(-12 * time.Hour), Until: began.Add(3 * time.Hour)}}}
}

// TestAsk_BrokenPaging breaks the chain of pages for two hours, restarts in the middle, and wants all of it, once, two hours
// after the break. Meanwhile status names the break, live goes on, nothing loops and nothing of the chain is kept.
func TestAsk_BrokenPaging(t *testing.T) {
	const during = 2 * time.Hour
	for name, c := range map[string]struct {
		rules []simulator.Rule
		says  string // by status, as long as it lasts; "" where it comes and goes
	}{
		// elastic/integrations#18134, #18135: Graph hands out a link that it refuses, the link is kept as the cursor, and it is refused
		// for ever, until somebody deletes the cursor by hand.
		"poisoned skip token is kept": {[]simulator.Rule{{Kind: simulator.ExpiredLink}}, "page token is no longer good"},
		// microsoftgraph/msgraph-sdk-powershell#451: "Token not found: token is either invalid or expired" after a random number of rows.
		"expired skip token mid-paging": {[]simulator.Rule{{Kind: simulator.ExpiredLink, Probability: 0.4}}, ""},
		// microsoftgraph/microsoft-graph-docs#4897: the link is that of the page itself, and the reader never ends.
		"link repeats": {[]simulator.Rule{{Kind: simulator.LoopLink}}, "links back"},
		// microsoftgraph/microsoft-graph-docs#6754, #21096, msgraph-sdk-dotnet#2108: the links go round in a circle.
		"links cycle":                {[]simulator.Rule{{Kind: simulator.CycleLink, Page: "next"}}, "links back"},
		"links repeat now and then":  {[]simulator.Rule{{Kind: simulator.LoopLink, Probability: 0.1}, {Kind: simulator.CycleLink, Probability: 0.1}}, ""},
		"links come without a token": {[]simulator.Rule{{Kind: simulator.EmptyLink, Page: "next"}}, "$skiptoken is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for i := range c.rules {
					c.rules[i].Until = during
				}
				w := newWorld(t, chains(c.rules...), chained, "out")
				w.start("out")
				w.until(during / 2)
				w.stop()
				if state, err := os.ReadFile(w.path("state/state.db")); err != nil || bytes.Contains(bytes.ToLower(state), []byte("skiptoken")) {
					t.Errorf("the state file holds a link (%v)", err)
				}
				w.until(during/2 + 3*time.Second)
				before, _ := w.wire.requests()
				logs := w.startLogged("out")
				w.until(during - time.Second)
				// Slices become shorter until they need no link, so that status may have nothing to say at any one moment.
				if c.says != "" && !slices.ContainsFunc(logs.All(), func(e observer.LoggedEntry) bool {
					return strings.Contains(fmt.Sprint(e.ContextMap()["error"]), c.says)
				}) {
					t.Errorf("the log does not say %q", c.says)
				}
				// Live every 5 minutes, each reader that fails every other minute or so, the whole of the past in 100 pages: a loop would
				// take all that the budget allows, 1,800.
				if after, _ := w.wire.requests(); after-before > 600 {
					t.Errorf("%d requests in an hour", after-before)
				}
				w.until(during + 3*time.Hour)
				w.healthy()
				w.stop()
				if records, _ := w.complete("out"); records != 15*hourly {
					t.Errorf("%d records", records)
				}
				w.checkBudget()
				served := 0
				for _, n := range w.sim.Stats().Faults {
					served += n
				}
				if served < 10 {
					t.Errorf("nothing to prove: %d faults served", served)
				}
			})
		})
	}
}

// TestAsk_NoWayOfPickingUp: microsoftgraph/microsoft-graph-docs#6892, microsoft-graph-docs-contrib#5974. A long export is throttled,
// its token is void afterwards, and it can only begin at the beginning. Expected: what is lost is a slice, not the export.
func TestAsk_NoWayOfPickingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		// Of twelve further pages the last is refused, and the token that is used next is void.
		o := chains(simulator.Rule{Kind: simulator.Throttle, Page: "next", Every: 12, RetryAfter: "40.5", Until: 2 * time.Hour},
			simulator.Rule{Kind: simulator.ExpiredLink, Nth: []int{13, 25, 37, 49, 61, 73, 85, 97}, Until: 2 * time.Hour})
		o.Generate[0].Until = began
		w := newWorld(t, o, chained, "out")
		heard := w.listen()
		w.start("out")
		w.until(3 * time.Hour)
		w.healthy()
		w.stop()
		records, _ := w.complete("out")
		stats := w.sim.Stats()
		// A slice that is broken off is read again, and look-back reads some rows at each poll; to begin at the beginning each time
		// would read the newest eleven pages over and over for the two hours.
		if stats.Rows > 4*records || records != 12*hourly {
			t.Errorf("%d rows were read for %d records", stats.Rows, records)
		}
		if n := stats.Faults[simulator.Throttle]; n < 6 || heard.hasty() > 0 {
			t.Errorf("throttled %d times, %d requests in a pause", n, heard.hasty())
		}
		w.checkBudget()
	})
}

// shortChains lets no chain have more than most pages: the token of the next one is refused, whenever it is used.
type shortChains struct {
	next http.RoundTripper
	most int

	mu      sync.Mutex
	depth   map[string]int // of the page that a token leads to
	refused int
}

// RoundTrip implements http.RoundTripper.
func (x *shortChains) RoundTrip(req *http.Request) (*http.Response, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	token := req.URL.Query().Get("$skiptoken")
	if x.depth[token] >= x.most {
		x.refused++
		const said = `{"error":{"code":"","message":"Token not found: token is either invalid or expired"}}`
		return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
			Body: io.NopCloser(strings.NewReader(said)), ContentLength: int64(len(said))}, nil
	}
	res, err := x.next.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusOK {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if _, rest, ok := bytes.Cut(body, []byte("skiptoken=")); ok {
		next, _, _ := bytes.Cut(rest, []byte(`"`))
		text, err := url.QueryUnescape(string(next))
		if err != nil {
			return nil, fmt.Errorf("read link: %w", err)
		}
		x.depth[text] = x.depth[token] + 1
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// TestAsk_TokensDieAfterTwoPages: microsoftgraph/msgraph-sdk-powershell#451 at its worst: however often it is tried, the third page
// of a chain is never to be had. Expected: the slices become so short that they need no third page.
func TestAsk_TokensDieAfterTwoPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chains(), chained, "out")
		short := &shortChains{next: w.wire.next, most: 2, depth: map[string]int{}}
		w.wire.next = short
		w.start("out")
		w.until(12 * time.Hour)
		w.healthy()
		w.stop()
		w.complete("out")
		w.checkBudget()
		if short.refused < 2 {
			t.Errorf("nothing to prove: %d tokens refused", short.refused)
		}
	})
}
