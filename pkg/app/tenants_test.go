package app_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
)

const (
	tenantPoll = 5 * time.Minute
	tenantsFor = 30 * time.Minute
	tenantRate = 0.0005 // records a second of each stream
	// inTime is how long after a record appears it is delivered at the latest: a poll, and the time that a tenant's budget
	// takes for a request of each stream and those of its re-readers.
	inTime = tenantPoll + 15*time.Second
)

// TestTenants reads many quiet tenants in one process for half an hour: each record comes once and in time, the requests are
// spread, and a tenant at rest is one goroutine.
func TestTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTenants(t, simulator.Options{}, nil)
		w.until(tenantPoll + time.Minute)
		rest := w.rest()
		w.until(tenantsFor + inTime)
		for _, f := range w.app.Status().Faults {
			t.Errorf("status names %s: %s", f.Part, f.Err)
		}
		w.stop()
		w.complete("out")
		w.inTime(func(simulator.Row) bool { return false })
		w.checkBudget()
		busiest, mean := w.pulse.spread(0, tenantsFor)
		if float64(busiest) > 3*mean+10 {
			t.Errorf("%d requests in the busiest second, %.1f on average", busiest, mean)
		}
		if most := tenants + tenants/4 + 30; rest > most {
			t.Errorf("%d goroutines at rest, want at most %d", rest, most)
		}
		t.Logf("%d tenants: requests %.1f/s on average, %d in the busiest second, %d goroutines at rest", tenants, mean, busiest, rest)
	})
}

// TestSickTenants has four of many tenants fail, each in another way, and one make a thousand times the records of the
// others. Status names the four in words of their own, and the records of all others come as if nothing were wrong.
func TestSickTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const throttled, wrong, hanging, free, flooding = 3, 10, 17, 24, 31
		o := simulator.Options{Tenants: simulator.Tenants(tenants)}
		o.Tenants[free].Free = true
		o.Script = &simulator.Script{Rules: []simulator.Rule{
			{Kind: simulator.Throttle, Tenant: o.Tenants[throttled].ID, RetryAfter: "60"},
			{Kind: simulator.Slow, Tenant: o.Tenants[hanging].ID, Delay: time.Hour},
		}}
		for _, g := range generate(1000*tenantRate, time.Now().Add(-time.Minute), time.Now().Add(tenantsFor)) {
			g.Tenant = o.Tenants[flooding].ID
			o.Generate = append(o.Generate, g)
		}
		w := newTenants(t, o, map[int]string{wrong: "wrong"})
		w.until(tenantsFor + inTime)
		says := map[string]string{}
		for _, f := range w.app.Status().Faults {
			says[f.Part] += f.Err
		}
		named := map[string]bool{}
		for part := range says {
			_, name, _ := strings.Cut(part, " ")
			name, _, _ = strings.Cut(name, "/")
			named[name] = true
		}
		for part, want := range map[string]string{
			"stream " + tenantName(throttled) + "/audits":         "throttled",
			"source " + tenantName(wrong):                         "client secret",
			"stream " + tenantName(hanging) + "/audits":           "no complete reply within",
			"stream " + tenantName(free) + "/signins.interactive": "needs a licence",
		} {
			if !strings.Contains(says[part], want) {
				t.Errorf("status says of %s %q, want %q", part, says[part], want)
			}
		}
		if len(named) != 4 {
			t.Errorf("status names %v", named)
		}
		w.stop()
		w.inTime(func(row simulator.Row) bool {
			switch row.Tenant {
			case o.Tenants[throttled].ID, o.Tenants[wrong].ID, o.Tenants[hanging].ID:
				return true
			case o.Tenants[free].ID:
				return row.Stream != simulator.Audits
			}
			return false
		})
		if busiest, mean := w.pulse.spread(0, tenantsFor); float64(busiest) > 3*mean+10 {
			t.Errorf("%d requests in the busiest second, %.1f on average", busiest, mean)
		}
	})
}

func tenantName(i int) string { return fmt.Sprintf("tenant%04d", i+1) }

// tenantWorld is a world with many tenants, one source each.
type tenantWorld struct {
	*world
	pulse *pulse
}

// newTenants starts the pipeline on many tenants, each with all streams; some of them sign in with a secret of their own.
func newTenants(t *testing.T, o simulator.Options, secrets map[int]string) tenantWorld {
	t.Helper()
	began := time.Now()
	o.Tenants = append(o.Tenants, simulator.Tenants(tenants)[len(o.Tenants):]...)
	o.Generate = append(o.Generate, generate(tenantRate, began.Add(-time.Minute), began.Add(tenantsFor))...)
	o.Budget = simulator.Budget{Requests: 5, Per: 10 * time.Second}
	w := tenantWorld{world: newWorld(t, o, "", "out")}
	w.pulse = &pulse{client: w.wire}
	var text strings.Builder
	fmt.Fprintf(&text, "state: {dir: %q}\nadmin: {listen: \"off\"}\nsinks: [{name: out, schema: raw, stdout: {}}]\nsources:\n", w.path("state"))
	for i, tenant := range o.Tenants {
		secret := "secret"
		if text := secrets[i]; text != "" {
			secret = fmt.Sprint("secret", i)
			w.write(secret, text)
		}
		fmt.Fprintf(&text, "  - {name: %s, entra: {tenant: %s, auth: {client_id: %s, client_secret_file: %q}, start: 10m, poll: %s, reread: [16m]}}\n",
			tenantName(i), tenant.Domain, simulator.DefaultClientID, w.path(secret), tenantPoll)
	}
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("test.yaml", []byte(text.String()), n)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, app.Options{Version: "test", Transport: w.pulse, NoSync: true, NoControl: true, Sink: func(_ config.Sink, real pipeline.Sink) pipeline.Sink {
		_ = real.Close()
		return outlet{w.sinks["out"], forever}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.alive = forever
	w.run(a)
	return w
}

// rest gives the fewest goroutines of the next ten seconds: at any moment some tenants wait for their next request.
func (w tenantWorld) rest() int {
	least := runtime.NumGoroutine()
	for range 10 {
		time.Sleep(time.Second)
		synctest.Wait()
		least = min(least, runtime.NumGoroutine())
	}
	return least
}

// inTime checks of all records but the sick ones that each has come once, in time after it appeared. Those that were there at
// the beginning have until the first poll of the last tenant.
func (w tenantWorld) inTime(sick func(simulator.Row) bool) {
	w.Helper()
	got, wrong, worst := w.sinks["out"].byRecord(), 0, time.Duration(0)
	for row := range w.sim.Expected(time.Now()) {
		if sick(row) {
			continue
		}
		arrivals := got[rec{row.Stream, row.ID}]
		if len(arrivals) != 1 {
			if wrong++; wrong <= 3 {
				w.Errorf("%s %s of tenant %s came %d times", row.Stream, row.ID, row.Tenant, len(arrivals))
			}
			continue
		}
		appeared := row.At
		if appeared.Before(w.began) {
			appeared = w.began
		}
		worst = max(worst, arrivals[0].At.Sub(appeared))
	}
	if wrong > 0 || worst > inTime {
		w.Errorf("%d records have not come just once; the last one came %s after it appeared, want %s", wrong, worst, inTime)
	}
	w.Logf("%d records, the last one came %s after it appeared", len(got), worst)
}

// pulse counts the requests of each second since the first, before a server or behind a client.
type pulse struct {
	server http.Handler
	client http.RoundTripper

	mu    sync.Mutex
	first time.Time
	count []int
}

// ServeHTTP implements http.Handler.
func (p *pulse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.beat()
	p.server.ServeHTTP(w, r)
}

// RoundTrip implements http.RoundTripper.
func (p *pulse) RoundTrip(req *http.Request) (*http.Response, error) {
	p.beat()
	return p.client.RoundTrip(req)
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.first.IsZero() {
		p.first = now
	}
	second := int(now.Sub(p.first) / time.Second)
	for len(p.count) <= second {
		p.count = append(p.count, 0)
	}
	p.count[second]++
}

// spread gives the requests of the busiest second between two times since the first request, and those of the mean one.
func (p *pulse) spread(from, to time.Duration) (busiest int, mean float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seconds := p.count[min(len(p.count), int(from/time.Second)):min(len(p.count), int(to/time.Second))]
	if len(seconds) == 0 {
		return 0, 0
	}
	sum := 0
	for _, n := range seconds {
		sum += n
		busiest = max(busiest, n)
	}
	return busiest, float64(sum) / float64(len(seconds))
}
