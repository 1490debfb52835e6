package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// script answers requests for pages in turn, the last answer again and again; signing in is the simulator's.
type script struct {
	next    http.RoundTripper
	answers []string // bodies; "": http status 500
	filters []string // that were asked for
}

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.Contains(req.URL.Path, "auditLogs") {
		return s.next.RoundTrip(req)
	}
	body, status := s.answers[min(len(s.filters), len(s.answers)-1)], http.StatusOK
	if body == "" {
		status = http.StatusInternalServerError
	}
	s.filters = append(s.filters, req.URL.Query().Get("$filter"))
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req, ProtoMajor: 1}, nil
}

// answer is a page of audit records, each "id time"; with more there is a further one.
func answer(more bool, rows ...string) string {
	var raw []string
	for _, row := range rows {
		id, at, _ := strings.Cut(row, " ")
		raw = append(raw, fmt.Sprintf(`{"id":%q,"activityDateTime":%q}`, id, at))
	}
	link := ""
	if more {
		link = `,"@odata.nextLink":"https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?` + url.PathEscape("$skiptoken") + `=x"`
	}
	return `{"value":[` + strings.Join(raw, ",") + `]` + link + `}`
}

// TestFetchOrder: after an error a reading goes on where it has come to only if rows were seen to fall, and prints nothing twice.
func TestFetchOrder(t *testing.T) {
	const a, b, c = "a 1999-12-31T20:00:00Z", "b 1999-12-31T20:00:00.5Z", "c 1999-12-31T21:00:00Z"
	const old = "old 1999-12-26T00:00:00Z"
	for name, tc := range map[string]struct {
		answers []string
		ids     string
		until   string // what the request after the error ends with; "": it has no end
	}{
		"one row":          {[]string{answer(true, a), "", answer(false, a, c), answer(false)}, "a c", ""},
		"one second":       {[]string{answer(true, b, a), "", answer(false, a, b, c), answer(false)}, "b a c", ""},
		"rising":           {[]string{answer(true, a, b), "", answer(false, a, b, c), answer(false)}, "a b c", ""},
		"falling":          {[]string{answer(true, c, b), "", answer(false, b, a)}, "c b a", "1999-12-31T20:00:01Z"},
		"two slices again": {[]string{answer(true, old, c), "", answer(false, c), answer(false, old)}, "old c", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFetchWorld(t, simulator.Options{})
			s := &script{next: w.o.Transport, answers: tc.answers}
			w.order.Streams, w.o.Transport = []string{"audits"}, s
			if err := w.fetch(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, w.errs.String())
			}
			if got := strings.Join(w.ids(), " "); got != tc.ids {
				t.Errorf("%s: printed %s, want %s\n%s", name, got, tc.ids, w.errs.String())
			}
			if _, until, _ := strings.Cut(s.filters[2], " le "); until != tc.until {
				t.Errorf("%s: asked for what ends at %q, want %q", name, until, tc.until)
			}
		})
	}
}

// TestFetchSaysHowFar: a time is named only where what is younger has been read.
func TestFetchSaysHowFar(t *testing.T) {
	for _, c := range []struct{ page, says string }{
		{answer(true), "0 records, 0 rows of audits came"},
		{answer(true, "a 1999-12-31T20:00:00Z"), "1 records, 1 rows of audits came"},
		{answer(true, "a 1999-12-31T20:00:00Z", "b 1999-12-31T21:00:00Z"), "2 records, 2 rows of audits came"},
		{answer(true, "b 1999-12-31T21:00:00Z", "a 1999-12-31T20:00:00Z"), "2 records, audits is read back to 1999-12-31T20:00:0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFetchWorld(t, simulator.Options{})
			s := &script{next: w.o.Transport, answers: []string{c.page, ""}}
			w.order.Streams, w.o.Transport = []string{"audits"}, s
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := app.Fetch(ctx, w.order, w.o); err == nil || !strings.HasPrefix(err.Error(), "interrupted: "+c.says) {
				t.Errorf("%v; want %s", err, c.says)
			}
			_, far, _ := strings.Cut(c.says, ", ")
			s.filters = nil
			if err := w.fetch(); err == nil || !strings.Contains(err.Error(), "--patience") || !strings.Contains(err.Error(), "; "+far) {
				t.Errorf("%v; want %s", err, far)
			}
		})
	}
}

// TestFetchLastWriteFails: --top is reached in the buffer, and writing it out fails.
func TestFetchLastWriteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1)})
		w.order.Streams, w.order.Top = []string{"audits"}, 10
		w.o.Stdout = &shortPipe{err: syscall.ENOSPC}
		if err := w.fetch(); err == nil || err.Error() != "write records: "+syscall.ENOSPC.Error() {
			t.Errorf("a full disk is told as %v", err)
		}
		w.o.Stdout = &shortPipe{err: syscall.EPIPE}
		if err := w.fetch(); err != nil {
			t.Error(err)
		}
	})
}

// TestFetchForceWaits: the pages of an earlier run stay until there is a new one.
func TestFetchForceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1)})
		w.order.Streams, w.order.SavePages = []string{"audits"}, filepath.Join(w.dir, "pages")
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		page, manifest := w.read("pages/audit1.json"), w.read("pages/manifest.json")
		w.order.Force = true
		good, transport := w.order, w.o.Transport
		for what, change := range map[string]func(){
			"--since lies ahead": func() { w.order.Since = "2000-02-01" },
			"no sign-in":         func() { w.order.ClientID, w.order.Patience = "22222222-0000-0000-0000-000000000000", 0 },
			"no page":            func() { w.o.Transport = &script{next: transport, answers: []string{""}} },
		} {
			change()
			if err := w.fetch(); err == nil {
				t.Errorf("%s: no error", what)
			}
			w.order, w.o.Transport = good, transport
			if got := w.files(); !slices.Equal(got, []string{"audit1.json", "manifest.json"}) {
				t.Fatalf("%s: %s is left", what, got)
			}
			if w.read("pages/audit1.json") != page || w.read("pages/manifest.json") != manifest {
				t.Errorf("%s: the pages are other ones", what)
			}
		}
		w.order.Streams = []string{"signins.interactive"}
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		if got := w.files(); !slices.Equal(got, []string{"SigninActivities1.json", "manifest.json"}) {
			t.Errorf("%s", got)
		}
	})
}

// TestFetchWaitsForTurn says that it waits for another process, and not beyond --patience.
func TestFetchWaitsForTurn(t *testing.T) {
	for _, c := range []struct {
		patience, wait time.Duration
		ok, waits      bool // waits: it is said
	}{
		{5 * time.Minute, 10 * time.Hour, false, true},
		{5 * time.Minute, time.Minute, true, true},
		{5 * time.Minute, 2 * time.Second, true, false},
		{0, 2 * time.Second, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1)})
			w.order.Streams, w.order.State, w.order.Patience = []string{"audits"}, w.dir, c.patience
			began := time.Now()
			w.o.Ask = func(ctx context.Context, _ string, _, result any) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(c.wait):
				}
				result.(*app.TurnResult).Known = true
				return nil
			}
			err := w.fetch()
			if (err == nil) != c.ok || time.Since(began) > w.order.Patience+time.Minute {
				t.Errorf("%s: %v after %s", c.wait, err, time.Since(began))
			}
			if err != nil && !strings.Contains(err.Error(), "the running process has had no request to spare for 5m0s (--patience)") {
				t.Error(err)
			}
			if said := strings.Contains(w.errs.String(), "audits: waiting for a turn in the running process's budget, for 5m0s at most\n"); said != c.waits {
				t.Errorf("%s: said %v\n%s", c.wait, said, w.errs.String())
			}
		})
	}
}
