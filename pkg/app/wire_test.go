package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// wire is the way to the API: it notes each request, and those that were sent although a 429 had asked to wait.
type wire struct {
	next  http.RoundTripper
	clock func() time.Time // the service's; nil: now

	mu    sync.Mutex
	until time.Time
	early []string
	last  time.Time
	count int
	sent  []request
}

// request is one that passed the wire.
type request struct {
	at     time.Time
	served time.Time // by the service's clock, the end of the reply's head
	query  string
	status int // 0: no reply
}

var bound = regexp.MustCompile(`(?:createdDateTime|activityDateTime) (ge|le) ([0-9T:.-]+Z)`)

// asks tells whether the request is for what happened in a stream at that time.
func (r request) asks(stream string, at time.Time) bool {
	query, err := url.QueryUnescape(r.query)
	event := strings.TrimPrefix(stream, "signins.")
	if err != nil || (stream == simulator.Audits) != strings.Contains(query, "activityDateTime") || stream != simulator.Audits && !strings.Contains(strings.ToLower(query), event) {
		return false
	}
	for _, b := range bound.FindAllStringSubmatch(query, -1) {
		if t, err := time.Parse(time.RFC3339, b[2]); err != nil || b[1] == "ge" && at.Before(t) || b[1] == "le" && at.After(t) {
			return false
		}
	}
	return true
}

// askedFor gives the requests for what happened in a stream at that time, from then on.
func (x *wire) askedFor(stream string, at, began time.Time) (lines []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.sent {
		if !r.served.Before(at) && r.asks(stream, at) {
			query, _ := url.QueryUnescape(r.query)
			lines = append(lines, fmt.Sprintf("%s %d %s", r.served.Sub(began).Round(time.Millisecond), r.status, query))
		}
	}
	return lines
}

// busiest gives the requests of the first 10 s in which there are more than most.
func (x *wire) busiest(most int) (lines []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := most; i < len(x.sent); i++ {
		if x.sent[i].at.Sub(x.sent[i-most].at) < 10*time.Second {
			for _, r := range x.sent[i-most : i+1] {
				lines = append(lines, r.at.Format(time.StampMicro)+" "+r.query)
			}
			return lines
		}
	}
	return nil
}

// forget is for a new life that knows nothing of the pause that the one before was asked for.
func (x *wire) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.until = time.Time{}
}

// cable is the wire of one life.
type cable struct {
	*wire
	from *life
}

// RoundTrip implements http.RoundTripper. What is under way when the life ends is cut off.
func (c cable) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(c.from, cancel)
	defer stop()
	if c.from.over() {
		return nil, errDead
	}
	return c.wire.RoundTrip(req.WithContext(ctx))
}

// RoundTrip implements http.RoundTripper.
func (x *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	report := strings.Contains(strings.ToLower(req.URL.Path), "auditlogs")
	x.mu.Lock()
	here := x.count
	if now := time.Now(); report {
		x.count++
		x.last = now
		x.sent = append(x.sent, request{at: now, query: req.URL.RawQuery[:min(len(req.URL.RawQuery), 300)]})
		if now.Before(x.until) {
			x.early = append(x.early, fmt.Sprintf("a request %s before the pause of a 429 is over", x.until.Sub(now)))
		}
	}
	x.mu.Unlock()
	res, err := x.next.RoundTrip(req)
	if report && x.clock != nil {
		x.mu.Lock()
		if x.sent[here].served = x.clock(); err == nil {
			x.sent[here].status = res.StatusCode
		}
		x.mu.Unlock()
	}
	if err == nil && res.StatusCode == http.StatusTooManyRequests {
		if s, err := strconv.ParseFloat(res.Header.Get("Retry-After"), 64); err == nil {
			x.mu.Lock()
			x.until = time.Now().Add(time.Duration(s * float64(time.Second)))
			x.mu.Unlock()
		}
	}
	return res, err
}

func (x *wire) requests() (n int, last time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count, x.last
}

func (x *wire) tooEarly() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.early[:min(len(x.early), 3)]
}
