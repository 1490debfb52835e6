// Package fetchertest is the contract that every fetcher of records passes.
//
// An adapter of the fetcher's own turns a Scenario into an API in memory (an http.RoundTripper, not a socket: each scenario
// runs in a synctest bubble, where limiters and timeouts cost no time).
package fetchertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// Fetcher has the shape of pipeline.Fetcher.
type Fetcher interface {
	Fetch(ctx context.Context, s event.Slice) iter.Seq2[event.Page, error]
}

// Fault is what is wrong with one page of the API.
type Fault int

// The faults.
const (
	None        Fault = iota
	Broken            // a success whose body breaks off in its middle
	Garbled           // a success whose body has all its length and an error in its last row
	Unavailable       // the server's error, without a page
	Hang              // no reply until the request is cancelled
	LinkOffHost       // a sound page whose link to the next one leads to another host
	LinkLoop          // a sound page that links back to the first one
)

// Row is a record of the API: it has to be served with this id and time.
type Row struct {
	ID   string
	Time time.Time
}

// Page is one reply of the API.
type Page struct {
	Rows  []Row
	Fault Fault
}

// Scenario is what the API has for one slice. The last page has no link to a next one, unless its fault says so.
type Scenario struct {
	Name  string
	Slice event.Slice // its Stream is for the adapter to set
	Pages []Page

	Requests atomic.Int64 // for the adapter to count: pages asked for
	Foreign  atomic.Int64 // for the adapter to count: requests to any host but the API's
}

// start is where every scenario's slice begins; the bubble's clock starts at midnight of 2000-01-01.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Run holds the fetcher that open makes against the contract. open sets s.Slice.Stream to a stream that it serves.
func Run(t *testing.T, open func(t *testing.T, s *Scenario) Fetcher) {
	for _, c := range cases() {
		t.Run(c.scenario.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := c.check(c.scenario, open(t, c.scenario)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// contract is one property with the scenario that shows it.
type contract struct {
	scenario *Scenario
	check    func(*Scenario, Fetcher) error
}

func cases() []contract {
	scenario := func(name string, faults ...Fault) *Scenario {
		s := &Scenario{Name: name, Slice: event.Slice{Reader: "live", From: start, To: start.Add(time.Hour)}}
		for p, fault := range faults {
			var rows []Row
			for i := range 3 {
				// Newest first, as reporting APIs are wont to.
				rows = append(rows, Row{fmt.Sprintf("id-%d-%d", p, i), start.Add(time.Hour - time.Duration(3*p+i+1)*time.Minute)})
			}
			s.Pages = append(s.Pages, Page{Rows: rows, Fault: fault})
		}
		return s
	}
	withEmpty := scenario("an empty page in the middle ends nothing", None, None, None)
	withEmpty.Pages[1].Rows = nil
	unordered := scenario("rows in any order", None, None)
	slices.Reverse(unordered.Pages[0].Rows)
	slices.Reverse(unordered.Pages)
	return []contract{
		{scenario("every row once", None, None, None), healthy},
		{withEmpty, healthy},
		{unordered, healthy},
		{scenario("a single page", None), healthy},
		{scenario("again after the end", None, None), twice},
		{scenario("records are valid until the next page", None, None, None), valid},
		{scenario("a consumer that stops", None, None, None), stops},
		{scenario("a page that breaks off", None, Broken, None), endsAt(1)},
		{scenario("a page with an error inside", None, Garbled, None), endsAt(1)},
		{scenario("a page that is not served", None, Unavailable, None), endsAt(1)},
		{scenario("a first page that breaks off", Broken), endsAt(0)},
		{scenario("a link to another host", None, LinkOffHost, None), endsAt(2)},
		{scenario("a link back", None, LinkLoop, None), endsAt(2)},
		{scenario("a context that has ended", None), cancelled},
		{scenario("a context that ends in a request", None, Hang), cancelledInRequest},
	}
}

// drain reads the slice to its end. rows has the ids of all records in their order.
func drain(ctx context.Context, s *Scenario, f Fetcher) (rows []string, last bool, err error) {
	ended := false
	for page, pageErr := range f.Fetch(ctx, s.Slice) {
		if ended {
			return rows, last, errors.New("something came behind an error or the last page")
		}
		if pageErr != nil {
			if len(page.Records) > 0 {
				return rows, last, errors.New("an error came with records")
			}
			err, ended = pageErr, true
			continue
		}
		last = page.Last
		ended = last
		for _, r := range page.Records {
			if !strings.Contains(string(r.Raw), r.ID) {
				return rows, last, fmt.Errorf("raw of %s is %s", r.ID, r.Raw)
			}
			rows = append(rows, r.ID+" "+r.Time.Format(time.RFC3339))
		}
	}
	return rows, last, err
}

// want lists the rows of the first n pages as drain does.
func want(s *Scenario, n int) []string {
	var rows []string
	for _, p := range s.Pages[:n] {
		for _, r := range p.Rows {
			rows = append(rows, r.ID+" "+r.Time.Format(time.RFC3339))
		}
	}
	return rows
}

func healthy(s *Scenario, f Fetcher) error {
	rows, last, err := drain(context.Background(), s, f)
	switch {
	case err != nil:
		return fmt.Errorf("a sound slice failed: %w", err)
	case !last:
		return errors.New("the last page is not marked so")
	case !slices.Equal(rows, want(s, len(s.Pages))):
		return fmt.Errorf("rows are %q, want %q", rows, want(s, len(s.Pages)))
	}
	return nil
}

func twice(s *Scenario, f Fetcher) error {
	if err := healthy(s, f); err != nil {
		return err
	}
	if err := healthy(s, f); err != nil {
		return fmt.Errorf("the second time: %w", err)
	}
	return nil
}

// valid reads records as late as the contract allows: right before the next page is asked for.
func valid(s *Scenario, f Fetcher) error {
	next := 0
	for page, err := range f.Fetch(context.Background(), s.Slice) {
		if err != nil {
			return err
		}
		if next >= len(s.Pages) || len(page.Records) != len(s.Pages[next].Rows) {
			return fmt.Errorf("page %d has %d records", next, len(page.Records))
		}
		for i, r := range page.Records {
			row := s.Pages[next].Rows[i]
			if r.ID != row.ID || !r.Time.Equal(row.Time) || !strings.Contains(string(r.Raw), row.ID) {
				return fmt.Errorf("record %d of page %d is %s at %s: %s", i, next, r.ID, r.Time, r.Raw)
			}
			if r.Key.Stream != s.Slice.Stream || r.Key.Tenant == "" || r.Key.Cloud == "" || r.Read.IsZero() {
				return fmt.Errorf("record %s lacks its key or when it was read: %+v", r.ID, r.Key)
			}
			if r.Digest == 0 || i > 0 && r.Digest == page.Records[i-1].Digest {
				return fmt.Errorf("record %s has the digest %x", r.ID, uint64(r.Digest))
			}
		}
		next++
	}
	return nil
}

func stops(s *Scenario, f Fetcher) error {
	for _, err := range f.Fetch(context.Background(), s.Slice) {
		if err != nil {
			return err
		}
		break
	}
	if n := s.Requests.Load(); n != 1 {
		return fmt.Errorf("%d pages were asked for, want 1: nobody wanted more", n)
	}
	return nil
}

// endsAt wants exactly the rows of the first n pages and then an error, and no request anywhere else.
func endsAt(n int) func(*Scenario, Fetcher) error {
	return func(s *Scenario, f Fetcher) error {
		rows, last, err := drain(context.Background(), s, f)
		switch {
		case err == nil:
			return errors.New("the slice ended without an error")
		case last:
			return errors.New("a page was marked the last one before the error")
		case !slices.Equal(rows, want(s, n)):
			return fmt.Errorf("rows are %q, want %q", rows, want(s, n))
		case s.Foreign.Load() > 0:
			return errors.New("another host got a request")
		}
		return nil
	}
}

func cancelled(s *Scenario, f Fetcher) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rows, _, err := drain(ctx, s, f)
	if !errors.Is(err, context.Canceled) || len(rows) > 0 || s.Requests.Load() > 0 {
		return fmt.Errorf("got %d rows, %d requests and error %v, want none, none and %v", len(rows), s.Requests.Load(), err, context.Canceled)
	}
	return nil
}

func cancelledInRequest(s *Scenario, f Fetcher) error {
	const after = 20 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	began := time.Now()
	_, _, err := drain(ctx, s, f)
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the error is %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(began); took > after {
		return fmt.Errorf("it took %s to end, want %s", took, after)
	}
	return nil
}
