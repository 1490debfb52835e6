package kill

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// clock is the service's. It jumps once, after the last kill, so that what is to appear late has appeared.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time      { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) jumpTo(at time.Time) { c.ahead.Store(int64(time.Until(at))) }
func contentOf(raw []byte) uint64    { return xxhash.Sum64(raw) }
func isReport(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.URL.Path), "/auditlogs/")
}
func filterOf(r *http.Request) string { return r.URL.Query().Get("$filter") }

// version is one version of one record, known by its content.
type version struct {
	tenant, id string
	// sure says that the shipper has gone on from the page that carried it: it has journalled it, because that is what a page
	// waits for. The others were shown to a process that was killed before it had to; if the service has replaced them since,
	// nobody can have them.
	sure bool
}

// graph is a simulator, and the witness of what its complete replies have carried to which life of the shipper.
type graph struct {
	sim    *simulator.Server
	now    func() time.Time
	tenant string
	url    string
	conns  atomic.Int64

	mu       sync.Mutex
	life     int
	versions map[uint64]*version
	ids      map[string]int        // id -> number of its versions that were carried
	chains   map[string][]*version // what one reader was given, since its last request
}

func newGraph(t *testing.T, o simulator.Options) *graph {
	t.Helper()
	o.Trace = true
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &graph{
		sim: sim, now: o.Now, tenant: o.Tenants[0].ID, url: "http://" + l.Addr().String(),
		versions: map[uint64]*version{}, ids: map[string]int{}, chains: map[string][]*version{},
	}
	server := &http.Server{Handler: g, ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			g.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			g.conns.Add(-1)
		}
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return g
}

func (g *graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isReport(r) {
		g.sim.ServeHTTP(w, r)
		return
	}
	life := g.asked(chainOf(r))
	reply := &witness{ResponseWriter: w, status: http.StatusOK}
	g.sim.ServeHTTP(reply, r) // panics where it breaks a reply off
	if reply.status == http.StatusOK && reply.err == nil {
		g.carried(chainOf(r), life, reply.body.Bytes())
	}
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:]+Z`)

// chainOf names the reader that asks. A reader asks for one page after the other, each when the one before is journalled. Live
// is known by having no upper bound, the others by their slice.
func chainOf(r *http.Request) string {
	filter := filterOf(r)
	if !strings.Contains(filter, " le ") && !strings.Contains(filter, " lt ") {
		filter = times.ReplaceAllString(filter, "")
	}
	return r.URL.Path + "?" + filter
}

// asked notes a reader's next request: what it was given before is settled.
func (g *graph) asked(chain string) (life int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	settle(g.chains[chain])
	delete(g.chains, chain)
	return g.life
}

func settle(given []*version) {
	for _, v := range given {
		v.sure = true
	}
}

// carried notes the rows of a complete reply.
func (g *graph) carried(chain string, life int, body []byte) {
	rows, err := rowsOf(body)
	if err != nil {
		return // a scripted fault: nobody can make a page of it
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, row := range rows {
		content := contentOf(row)
		v := g.versions[content]
		if v == nil {
			v = &version{tenant: g.tenant, id: idOf(row)}
			g.versions[content] = v
			g.ids[v.id]++
		}
		if life == g.life {
			g.chains[chain] = append(g.chains[chain], v)
		}
	}
}

// ended notes the end of a shipper's life. After a clean one all that it was given is settled.
func (g *graph) ended(t *testing.T, clean bool) {
	t.Helper()
	for start := time.Now(); g.conns.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("connections of the dead process stay open")
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, given := range g.chains {
		if clean {
			settle(given)
		}
	}
	clear(g.chains)
	g.life++
}

// rowsOf splits a page; the rows alias it.
func rowsOf(body []byte) (rows [][]byte, err error) {
	r := jsonscan.Reader{Buf: body}
	if !r.Object() {
		return nil, r.Err()
	}
	for {
		key, ok := r.Member()
		switch {
		case !ok && r.Err() == nil && !r.End():
			return nil, errors.New("text behind the page")
		case !ok:
			return rows, r.Err()
		case string(key) != "value":
			r.Skip()
		case r.Array():
			for r.Element() {
				rows = append(rows, r.Value())
			}
		}
	}
}

func idOf(row []byte) string {
	var record struct{ ID string }
	if json.Unmarshal(row, &record) != nil {
		return ""
	}
	return record.ID
}

// witness keeps a copy of a reply and whether all of it could be written.
type witness struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	err    error
}

func (w *witness) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *witness) Write(p []byte) (int, error) {
	w.body.Write(p)
	n, err := w.ResponseWriter.Write(p)
	w.err = errors.Join(w.err, err)
	return n, err
}

// FlushError and Hijack are what http.ResponseController and the simulator's reset look for.
func (w *witness) FlushError() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	w.err = errors.Join(w.err, err)
	return err
}

func (w *witness) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.err = errors.New("hijacked")
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
