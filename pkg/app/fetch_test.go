package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// fetchWorld is a simulated tenant that logferry fetch reads, in a synctest bubble: its clock begins at 2000-01-01T00:00:00Z.
type fetchWorld struct {
	*testing.T
	sim    *simulator.Server
	order  app.FetchOrder
	o      app.FetchOptions
	dir    string
	out    bytes.Buffer
	errs   bytes.Buffer
	bodies *bodies
}

const fetchCanary = "canary+sEcret/of=fetch"

func newFetchWorld(t *testing.T, o simulator.Options) *fetchWorld {
	t.Helper()
	o.Clients = map[string]string{simulator.DefaultClientID: fetchCanary}
	o.Budget = simulator.Budget{Requests: 5, Per: 10 * time.Second}
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &fetchWorld{T: t, sim: sim, dir: folder(t), bodies: &bodies{next: sim.Client().Transport}}
	secret := filepath.Join(w.dir, "secret")
	if err := os.WriteFile(secret, []byte(fetchCanary), 0o600); err != nil {
		t.Fatal(err)
	}
	w.order = app.FetchOrder{Tenant: simulator.DefaultDomain, ClientID: simulator.DefaultClientID, ClientSecretFile: secret, Since: "7d", Output: "ndjson", Patience: 5 * time.Minute}
	w.o = app.FetchOptions{Version: "test", Stdout: &w.out, Stderr: &w.errs, Env: func(string) string { return "" }, Transport: w.bodies}
	t.Cleanup(func() { sim.Close() })
	return w
}

// fetch runs the order, with fresh outputs.
func (w *fetchWorld) fetch() error {
	w.out.Reset()
	w.errs.Reset()
	return app.Fetch(w.Context(), w.order, w.o)
}

// ids are those of the printed records, in their order.
func (w *fetchWorld) ids() (all []string) {
	w.Helper()
	for line := range strings.Lines(w.out.String()) {
		var r struct{ ID string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			w.Fatalf("%v: %q", err, line)
		}
		all = append(all, r.ID)
	}
	return all
}

func (w *fetchWorld) says(words ...string) {
	w.Helper()
	for _, want := range words {
		if !strings.Contains(w.errs.String(), want) {
			w.Errorf("stderr lacks %q:\n%s", want, w.errs.String())
		}
	}
}

// bodies passes requests on and keeps what came back.
type bodies struct {
	next   http.RoundTripper
	pages  [][]byte
	uris   []string
	tokens []string
}

// RoundTrip implements http.RoundTripper.
func (b *bodies) RoundTrip(req *http.Request) (*http.Response, error) {
	if auth := req.Header.Get("Authorization"); auth != "" {
		b.tokens = append(b.tokens, strings.TrimPrefix(auth, "Bearer "))
	}
	res, err := b.next.RoundTrip(req)
	path := strings.ToLower(req.URL.Path)
	report := slices.ContainsFunc([]string{"auditlogs", "/activities/", "identityprotection", "/security/"}, func(part string) bool { return strings.Contains(path, part) })
	if err != nil || !report {
		return res, err
	}
	b.uris = append(b.uris, req.URL.String())
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err == nil && res.StatusCode == http.StatusOK {
		b.pages = append(b.pages, body)
	}
	res.Body = &brokenBody{bytes.NewReader(body), err}
	return res, nil
}

// brokenBody ends as the body that was read has ended.
type brokenBody struct {
	*bytes.Reader
	err error
}

func (b *brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF && b.err != nil {
		err = b.err
	}
	return n, err
}

func (*brokenBody) Close() error { return nil }

// filters gives the $filter of each request so far.
func (b *bodies) filters() (all []string) {
	for _, uri := range b.uris {
		u, _ := url.Parse(uri)
		all = append(all, u.Query().Get("$filter"))
	}
	return all
}

func hours(stream string, rate float64) []simulator.Generate {
	return []simulator.Generate{{Stream: stream, Rate: rate, Since: time.Now().Add(-time.Hour), Until: time.Now()}}
}

// TestFetchStreams reads all streams: each record that the API shows is printed once, in the API's bytes.
func TestFetchStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := simulator.Options{RiskBudget: simulator.Budget{Requests: 1, Per: time.Second}}
		for _, stream := range simulator.AllStreams() {
			o.Generate = append(o.Generate, hours(stream, 0.4)...)
		}
		w := newFetchWorld(t, o)
		w.order.Streams = []string{"*"}
		if err := w.fetch(); err != nil {
			t.Fatalf("%v\n%s", err, w.errs.String())
		}
		want := map[string]bool{}
		for row := range w.sim.Expected(time.Now()) {
			want[row.ID] = true
		}
		got := map[string]bool{}
		for _, id := range w.ids() {
			if got[id] || !want[id] {
				t.Errorf("%s is there twice or is none", id)
			}
			got[id] = true
		}
		if len(got) != len(want) || len(want) < 10_000 {
			t.Errorf("%d of %d records", len(got), len(want))
		}
		sent := map[string]bool{}
		for _, body := range w.bodies.pages {
			var page struct{ Value []json.RawMessage }
			if err := json.Unmarshal(body, &page); err != nil {
				t.Fatal(err)
			}
			for _, raw := range page.Value {
				sent[string(raw)] = true
			}
		}
		for line := range strings.Lines(w.out.String()) {
			if !sent[strings.TrimSuffix(line, "\n")] {
				t.Fatalf("not what the API has sent: %s", line)
			}
		}
		for _, stream := range simulator.AllStreams() {
			w.says(stream + " since 1999-12-25T00:00:00Z\n")
		}
		w.says(fmt.Sprintf("\n%d records\n", len(want)))
		for caller, n := range w.sim.Stats().Busiest {
			if n > 5 && caller.Client != "" {
				t.Errorf("%d requests of %s in 10 s", n, caller.Client)
			}
		}
		if n := w.sim.Stats().Throttled; n > 0 {
			t.Errorf("%d requests were refused", n)
		}
	})
}

// TestFetchGolden pins what is printed, and what is said.
func TestFetchGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{})
		at := time.Date(1999, 12, 31, 12, 0, 0, 0, time.UTC)
		for i, id := range []string{"a", "b"} {
			if err := w.sim.Add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, id, at.Add(time.Duration(i)*time.Minute), `,"x":"<é>"`)}); err != nil {
				t.Fatal(err)
			}
		}
		w.order.Streams, w.order.Since, w.order.Until, w.order.Filter = []string{"audits"}, "1999-12-31", "2000-01-01", "activityDisplayName eq 'Update user'"
		w.order.SavePages = filepath.Join(w.dir, "pages")
		for output, want := range map[string]string{
			"ndjson": `{"id":"b","activityDateTime":"1999-12-31T12:01:00.0000000Z","activityDisplayName":"Update user","x":"<é>"}` + "\n" +
				`{"id":"a","activityDateTime":"1999-12-31T12:00:00.0000000Z","activityDisplayName":"Update user","x":"<é>"}` + "\n",
			"pretty": "{\n  \"id\": \"b\",\n  \"activityDateTime\": \"1999-12-31T12:01:00.0000000Z\",\n  \"activityDisplayName\": \"Update user\",\n  \"x\": \"<é>\"\n}\n" +
				"{\n  \"id\": \"a\",\n  \"activityDateTime\": \"1999-12-31T12:00:00.0000000Z\",\n  \"activityDisplayName\": \"Update user\",\n  \"x\": \"<é>\"\n}\n",
			"none": "",
		} {
			w.order.Output, w.order.Force = output, true
			if err := w.fetch(); err != nil || w.out.String() != want {
				t.Errorf("%s: %v\n%s\nwant\n%s", output, err, w.out.String(), want)
			}
			told := "audits since 1999-12-31T00:00:00Z until 2000-01-01T00:00:00Z\n" +
				"GET https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?$top=1000&$filter=%28activityDisplayName%20eq%20%27Update%20user%27%29" +
				"%20and%20activityDateTime%20ge%201999-12-31T00%3A00%3A00Z%20and%20activityDateTime%20le%202000-01-01T00%3A00%3A00Z: 200, 2 rows\n" +
				"saved audit1.json\n2 records\n"
			if w.errs.String() != told {
				t.Errorf("%s\nwant\n%s", w.errs.String(), told)
			}
		}
	})
}

// TestFetchTop prints the newest N, asks for no more than needed, and stops.
func TestFetchTop(t *testing.T) {
	for _, c := range []struct {
		top     int
		streams []string
		where   map[string]string
		sizes   []string // of the pages asked for
	}{
		{10, []string{"audits"}, nil, []string{"10"}},
		{1000, []string{"audits"}, nil, []string{"1000"}},
		{1500, []string{"audits"}, nil, []string{"750", "750"}},
		{2500, []string{"audits"}, nil, []string{"834", "834", "834"}},
		{4000, []string{"audits", "signins.interactive"}, nil, []string{"1000", "1000", "1000", "1000", "1000"}},
		{300, []string{"audits"}, map[string]string{"category": "*Management*"}, []string{"1000"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFetchWorld(t, simulator.Options{Generate: append(hours(simulator.Audits, 1), hours(simulator.Interactive, 1)...)})
			w.order.Top, w.order.Streams, w.order.Where = c.top, c.streams, c.where
			if err := w.fetch(); err != nil {
				t.Fatal(err)
			}
			if got := len(w.ids()); got != c.top {
				t.Errorf("--top %d printed %d", c.top, got)
			}
			var sizes []string
			for _, uri := range w.bodies.uris {
				u, _ := url.Parse(uri)
				sizes = append(sizes, u.Query().Get("$top"))
			}
			if c.top < 4000 && !slices.Equal(sizes, c.sizes) {
				t.Errorf("--top %d asked for pages of %s, want %s", c.top, sizes, c.sizes)
			}
			if warned := strings.Contains(w.errs.String(), "warning: --top"); warned != (c.top > 1000) {
				t.Errorf("--top %d: warned %v", c.top, warned)
			}
		})
	}
}

// TestFetchWindow: what lies outside is dropped and counted, and a filter that was passed over is no result.
func TestFetchWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1), Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.OutsideRows, Rows: 3}}}})
		w.order.Streams, w.order.Since, w.order.Until = []string{"audits"}, "30m", "20m"
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		if n := len(w.ids()); n != 60 {
			t.Errorf("%d records", n)
		}
		w.says("60 records, 3 rows outside of the window were dropped\n")

		w = newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1), Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.IgnoreFilter}}}})
		w.order.Streams, w.order.Since, w.order.Until = []string{"audits"}, "3h", "2h"
		if err := w.fetch(); err == nil || !strings.Contains(err.Error(), "ignored the filter") || w.out.Len() > 0 {
			t.Errorf("%v, %d bytes printed", err, w.out.Len())
		}
	})
}

// TestFetchFilter sends (FILTER) and TIME, says what is applied after reading, and refuses what was pasted.
func TestFetchFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1)})
		w.order.Streams = []string{"audits"}
		w.order.Where = map[string]string{"activity": "Update*", "category": "UserManagement"}
		w.order.Filter = "loggedByService eq 'Core Directory' or loggedByService eq 'x'"
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		want := "(startswith(activityDisplayName,'Update') and (loggedByService eq 'Core Directory' or loggedByService eq 'x')) and activityDateTime ge 1999-12-25T00:00:00Z"
		if got := w.bodies.filters(); len(got) != 1 || got[0] != want {
			t.Errorf("%q\nwant %s", got, want)
		}
		w.says("audits: the API cannot be asked for --category: it is applied after reading\n")
		lines := slices.Collect(strings.Lines(w.out.String()))
		for _, line := range lines {
			if !strings.Contains(line, `"activityDisplayName":"Update user"`) || !strings.Contains(line, `"category":"UserManagement"`) {
				t.Errorf("printed %s", line)
			}
		}
		if len(lines) == 0 {
			t.Error("nothing was printed")
		}
		for filter, want := range map[string]string{
			"$filter=activityDisplayName+eq+'Add+user'": "\n  --filter \"activityDisplayName eq 'Add user'\"",
			"ActivityDisplayName eq 'x' and id eq '$a'": "\n  --filter \"activityDisplayName eq 'x' and id eq '\\$a'\"",
			"colour eq 'red'": `no field "colour"`,
		} {
			w.order.Filter = filter
			sent := len(w.bodies.uris)
			if err := w.fetch(); !errors.Is(err, app.ErrUsage) || !strings.Contains(err.Error(), want) || len(w.bodies.uris) != sent {
				t.Errorf("%s: %v", filter, err)
			}
		}
	})
}

// TestFetchMends: throttling, broken pages and links that have died end nothing, and nothing is printed twice or left out.
func TestFetchMends(t *testing.T) {
	for name, c := range map[string]struct {
		rule simulator.Rule
		says string
	}{
		"throttled":      {simulator.Rule{Kind: simulator.Throttle, Nth: []int{2}, RetryAfter: "31.5"}, "trying again in 31.5s"},
		"server error":   {simulator.Rule{Kind: simulator.ServerError, Nth: []int{1, 3}}, "http status 503"},
		"expired link":   {simulator.Rule{Kind: simulator.ExpiredLink, Page: "next", Times: 2}, "no longer good"},
		"loop":           {simulator.Rule{Kind: simulator.LoopLink, Nth: []int{2}}, "read already"},
		"truncated":      {simulator.Rule{Kind: simulator.Truncate, Nth: []int{2}, Form: "length"}, "trying again"},
		"long window":    {simulator.Rule{Kind: simulator.LongWindow, Span: 30 * time.Minute, Delay: time.Minute}, "http status 504"},
		"repeated rows":  {simulator.Rule{Kind: simulator.DuplicateAcross, Rows: 5}, "3600 records"},
		"double rows":    {simulator.Rule{Kind: simulator.DuplicateRows, Rows: 5}, "3600 records"},
		"signs in again": {simulator.Rule{Kind: simulator.ServerError, Path: "oauth2", Nth: []int{1}}, "sign in:"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 1), Script: &simulator.Script{Rules: []simulator.Rule{c.rule}}})
			w.order.Streams, w.order.Since = []string{"audits"}, "1h"
			if err := w.fetch(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, w.errs.String())
			}
			ids := w.ids()
			slices.Sort(ids)
			if n := len(slices.Compact(ids)); n != 3600 || len(w.ids()) != n {
				t.Errorf("%s: %d records, %d different ones\n%s", name, len(w.ids()), n, w.errs.String())
			}
			w.says(c.says)
		})
	}
}

// TestFetchGivesUp after --patience, at once where only somebody else can mend it, and goes on with the other streams.
func TestFetchGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1), Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.ServerError, Stream: "signins.*"}}}})
		w.order.Streams, w.order.Patience = []string{"signins.interactive", "audits"}, time.Minute
		began := time.Now()
		err := w.fetch()
		if err == nil || !strings.Contains(err.Error(), "--patience 1m0s") || time.Since(began) > 2*time.Minute || len(w.ids()) != 360 {
			t.Errorf("%v after %s, %d records", err, time.Since(began), len(w.ids()))
		}
		w = newFetchWorld(t, simulator.Options{Tenants: []simulator.Tenant{{ID: simulator.DefaultTenantID, Domain: simulator.DefaultDomain, Roles: []string{"User.Read.All"}}}})
		began = time.Now()
		if err := w.fetch(); err == nil || !strings.Contains(err.Error(), "AuditLog.Read.All") || time.Since(began) > 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestFetchInterrupted says how far it came.
func TestFetchInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 1)})
		w.order.Streams, w.order.SavePages = []string{"audits"}, filepath.Join(w.dir, "pages")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := app.Fetch(ctx, w.order, w.o)
		if err == nil || err.Error() != "interrupted: 2000 records, audits is read back to 1999-12-31T23:26:40Z" || errors.Is(err, app.ErrUsage) {
			t.Errorf("%v", err)
		}
		if m := w.manifest(); len(m.Pages) != 2 {
			t.Errorf("%+v", m)
		}
	})
}
