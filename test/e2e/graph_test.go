package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// graph is a simulated Microsoft Graph on loopback whose replies are written down on their way out.
type graph struct {
	*simulator.Server
	url    string
	secret string       // of the app
	grace  string       // for sinks at shutdown
	ahead  atomic.Int64 // of the service's clock before this machine's, in ns
	base   time.Time    // what tests reckon from: the machine's time at the start
	dir    string       // of the test's files
	mu     sync.Mutex   // guards what follows
	rows   map[row]bool // every row of every complete page
	tokens []string     // access tokens that clients have shown
}

// row is one version of a record, byte for byte.
type row struct{ stream, raw string }

// start is when the made-up records begin, before graph.base.
const start = 40 * time.Minute

// newGraph serves o; without records of its own about 900 over all streams, late ones and changing ones among them.
func newGraph(t *testing.T, o simulator.Options) *graph {
	t.Helper()
	g := &graph{base: time.Now(), rows: map[row]bool{}, dir: t.TempDir(), grace: "20s", secret: simulator.DefaultClientSecret}
	o.Trace = true
	o.Seed = cmp.Or(o.Seed, 7)
	o.Now = func() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) }
	for _, secret := range o.Clients {
		g.secret = secret
	}
	if o.Generate == nil {
		for _, stream := range simulator.Streams() {
			o.Generate = append(o.Generate, simulator.Generate{
				Stream: stream, Rate: 0.06, Since: g.base.Add(-start), Until: g.base.Add(15 * time.Minute),
				Lateness: simulator.Lateness{Median: 20 * time.Second, P95: 2 * time.Minute, TailShare: 0.02, Max: 10 * time.Minute},
				Updates:  simulator.Updates{Share: 0.2, After: 15 * time.Minute},
			})
		}
	}
	server, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.Server = server
	socket := httptest.NewServer(g)
	g.url = socket.URL
	t.Cleanup(func() {
		socket.CloseClientConnections()
		socket.Close()
		server.Close()
	})
	writeFile(t, g.file("client-secret"), g.secret)
	return g
}

// newSettled is newGraph with about 700 records that are all there and stay as they are, and some more once the service's
// clock was moved on by ten minutes: nothing happens in between, however long a test takes.
func newSettled(t *testing.T) *graph {
	t.Helper()
	now := time.Now()
	var made []simulator.Generate
	for _, stream := range simulator.Streams() {
		made = append(made,
			simulator.Generate{Stream: stream, Rate: 0.06, Since: now.Add(2*time.Minute - start), Until: now.Add(-time.Minute)},
			simulator.Generate{Stream: stream, Rate: 0.06, Since: now.Add(6 * time.Minute), Until: now.Add(9 * time.Minute)})
	}
	return newGraph(t, simulator.Options{Generate: made})
}

// later moves the service's clock on.
func (g *graph) later(d time.Duration) { g.ahead.Add(int64(d)) }

func (g *graph) file(name string) string { return filepath.Join(g.dir, name) }

// copier passes a reply on and keeps it.
type copier struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (c *copier) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *copier) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.body.Write(p[:n])
	return n, err
}

// Unwrap lets http.ResponseController through.
func (c *copier) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// ServeHTTP is the simulator's, with an ear.
func (g *graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &copier{ResponseWriter: w, status: http.StatusOK}
	g.Server.ServeHTTP(c, r) // a broken reply panics through here and is not written down
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		g.mu.Lock()
		g.tokens = append(g.tokens, token)
		g.mu.Unlock()
	}
	if c.status == http.StatusOK && strings.Contains(strings.ToLower(r.URL.Path), "/auditlogs/") {
		g.noteRows(streamOf(r), c.body.Bytes())
	}
}

// streamOf tells the stream that a report request asks for by what it says, not by what logferry meant.
func streamOf(r *http.Request) string {
	if strings.HasSuffix(strings.ToLower(r.URL.Path), "/directoryaudits") {
		return simulator.Audits
	}
	filter := r.URL.Query().Get("$filter")
	for word, stream := range map[string]string{
		"'nonInteractiveUser'": simulator.NonInteractive, "'servicePrincipal'": simulator.ServicePrincipal, "'managedIdentity'": simulator.ManagedIdentity,
	} {
		if strings.Contains(filter, word) {
			return stream
		}
	}
	return simulator.Interactive
}

func (g *graph) noteRows(stream string, body []byte) {
	var page struct {
		Value []json.RawMessage `json:"value"`
	}
	if json.Unmarshal(body, &page) != nil {
		return // garbage, or cut short
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, raw := range page.Value {
		g.rows[row{stream, string(raw)}] = true
	}
}

// shown gives every version of every record that a complete page has carried, by event id.
//
// Ids are those that a fetcher of the product computes from the same bytes, out of order and alone: what arrives must have
// the id of its own content. Times are read from the records by the standard library.
func (g *graph) shown(t *testing.T) map[string]event.Record {
	t.Helper()
	pages := map[string][]string{}
	g.mu.Lock()
	for r := range g.rows {
		pages[r.stream] = append(pages[r.stream], r.raw)
	}
	g.mu.Unlock()
	f, err := entra.New(entra.Config{
		Tenant: simulator.DefaultDomain, LoginURL: g.url, GraphURL: g.url, Budget: entra.Budget{Requests: 10000},
		Auth: auth.Config{ClientID: simulator.DefaultClientID, ClientSecretFile: g.file("client-secret")},
	}, entra.Options{Transport: replay(pages)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]event.Record{}
	for stream := range pages {
		for page, err := range f.Fetch(context.Background(), event.Slice{Stream: stream, From: time.Unix(0, 0)}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				r.Raw = bytes.Clone(r.Raw)
				if r.Flags&event.FlagNoTime == 0 {
					r.Time = timeOf(t, r.Raw)
				}
				all[r.EventID().String()] = r
			}
		}
	}
	g.crossCheck(t, all)
	return all
}

// replay answers report requests with the pages of their streams, and lets the rest through.
type replay map[string][]string

func (p replay) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.Contains(strings.ToLower(r.URL.Path), "/auditlogs/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	body := `{"value":[` + strings.Join(p[streamOf(r)], ",") + `]}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

func timeOf(t *testing.T, raw []byte) time.Time {
	t.Helper()
	var r struct{ CreatedDateTime, ActivityDateTime time.Time }
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if r.ActivityDateTime.IsZero() {
		return r.CreatedDateTime
	}
	return r.ActivityDateTime
}

// crossCheck holds what was written down against what the simulator itself says that it has shown.
func (g *graph) crossCheck(t *testing.T, all map[string]event.Record) {
	t.Helper()
	type id struct{ stream, id string }
	versions := map[id]int{}
	for row := range g.Shown() {
		if row.ID != "" {
			versions[id{row.Stream, row.ID}]++
		}
	}
	for _, r := range all {
		if r.Flags&event.FlagNoID == 0 {
			versions[id{r.Key.Stream, r.ID}]--
		}
	}
	for record, n := range versions {
		if n != 0 && !g.spoils() {
			t.Errorf("the simulator has shown %d more versions of %v than were written down", n, record)
		}
	}
}

// spoils tells whether scripted faults have changed rows, of which Shown does not know.
func (g *graph) spoils() bool {
	faults := g.Stats().Faults
	return faults[simulator.NoID]+faults[simulator.NoTime]+faults[simulator.HugeRecord] > 0
}

// source is the source block of a configuration; more lines may follow for the entra block. Polls are rare, so that run
// --once sees each row once and nothing is on its way when it ends.
func (g *graph) source(more ...string) string {
	return fmt.Sprintf(`sources:
  - name: contoso
    entra:
      tenant: %s
      login_url: %s
      graph_url: %s
      auth: {client_id: %s, client_secret_file: %s}
      start: 40m
      reread: [5m, 30m]
      budget: {requests: 1000, per: 10s}
%s`, simulator.DefaultDomain, g.url, g.url, simulator.DefaultClientID, g.file("client-secret"), indent(6, more...))
}

// config writes a configuration of that name with the graph as its source and gives the file's path. sinks are YAML, one
// block each, without their dash.
func (g *graph) config(t *testing.T, name, more string, sinks ...string) string {
	t.Helper()
	return g.write(t, name, g.source(), more, sinks...)
}

func (g *graph) write(t *testing.T, name, source, more string, sinks ...string) string {
	t.Helper()
	text := "state: {dir: " + g.file("state") + ", shutdown_grace: " + g.grace + "}\n" + source + "sinks:\n"
	for _, s := range sinks {
		text += "  - " + strings.TrimLeft(indent(4, strings.Split(s, "\n")...), " ")
	}
	if !strings.Contains(more, "admin:") {
		text += "admin: {listen: \"off\"}\n"
	}
	path := g.file(name)
	writeFile(t, path, text+more+"\n")
	return path
}

func indent(n int, lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			b.WriteString(strings.Repeat(" ", n) + line + "\n")
		}
	}
	return b.String()
}
