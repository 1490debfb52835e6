package entra_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// open makes a simulated Graph with an hour of records in every stream, and a fetcher that reads it in memory.
func open(t *testing.T, script *simulator.Script) (*simulator.Server, *entra.Fetcher, event.Slice) {
	t.Helper()
	since := time.Now().Add(-2 * time.Hour).UTC()
	o := simulator.Options{Seed: 7, Budget: simulator.Budget{Requests: 5, Per: 10 * time.Second}, Script: script}
	for _, stream := range simulator.Streams() {
		o.Generate = append(o.Generate, simulator.Generate{Stream: stream, Rate: 0.5, Since: since, Until: since.Add(time.Hour)})
	}
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := entra.New(entra.Config{
		Tenant: simulator.DefaultDomain,
		Auth:   auth.Config{ClientID: simulator.DefaultClientID, ClientSecretFile: secret},
		Top:    500,
	}, entra.Options{Transport: sim.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return sim, f, event.Slice{Reader: "backfill", From: since, To: since.Add(time.Hour)}
}

// TestSimulator reads all streams at once through the budget, and finds each record once, none beside, and not one request refused.
func TestSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, f, slice := open(t, nil)
		var mu sync.Mutex
		var got []string
		var group sync.WaitGroup
		for _, stream := range simulator.Streams() {
			s := slice
			s.Stream = stream
			group.Go(func() {
				for page, err := range f.Fetch(t.Context(), s) {
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, r := range page.Records {
						got = append(got, fmt.Sprintf("%s %s %s %s", r.Key.Tenant, r.Key.Stream, r.ID, r.Time.Format(time.RFC3339Nano)))
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		var want []string
		for row := range sim.Expected(time.Now()) {
			want = append(want, fmt.Sprintf("%s %s %s %s", row.Tenant, row.Stream, row.ID, row.Time.UTC().Format(time.RFC3339Nano)))
		}
		slices.Sort(got)
		slices.Sort(want)
		if len(want) < 5*1700 || !slices.Equal(got, want) {
			t.Errorf("%d records, want %d: %s", len(got), len(want), cmp.Diff(want[:min(3, len(want))], got[:min(3, len(got))]))
		}
		if stats := sim.Stats(); stats.Throttled > 0 {
			t.Errorf("%d requests were refused", stats.Throttled)
		}
	})
}

// TestSimulatorFaults meets the simulator's faults on the second page of a slice: the kind of the error is what the pipeline acts by.
func TestSimulatorFaults(t *testing.T) {
	for _, c := range []struct {
		rule simulator.Rule
		kind entra.Kind // "": the slice is read to its end
	}{
		{simulator.Rule{Kind: simulator.ExpiredToken, Nth: []int{1}}, ""},
		{simulator.Rule{Kind: simulator.EmptyPage, Nth: []int{1}}, ""},
		{simulator.Rule{Kind: simulator.NoID}, ""},
		{simulator.Rule{Kind: simulator.NoTime}, ""},
		{simulator.Rule{Kind: simulator.OutsideRows, Rows: 2}, ""},
		{simulator.Rule{Kind: simulator.HugeRecord}, ""},
		{simulator.Rule{Kind: simulator.ExpiredLink}, entra.KindToken},
		{simulator.Rule{Kind: simulator.EmptyLink}, entra.KindToken},
		{simulator.Rule{Kind: simulator.LoopLink}, entra.KindLoop},
		{simulator.Rule{Kind: simulator.CycleLink}, entra.KindLoop},
		{simulator.Rule{Kind: simulator.ForeignLink}, entra.KindLink},
		{simulator.Rule{Kind: simulator.Throttle, RetryAfter: "2.128"}, entra.KindThrottled},
		{simulator.Rule{Kind: simulator.ServerError}, entra.KindServer},
		{simulator.Rule{Kind: simulator.NoLicence}, entra.KindLicence},
		{simulator.Rule{Kind: simulator.NoRole}, entra.KindAccess},
		{simulator.Rule{Kind: simulator.Garbage}, entra.KindBody},
		{simulator.Rule{Kind: simulator.Garbage, Form: "html"}, entra.KindBody},
		{simulator.Rule{Kind: simulator.Truncate}, entra.KindTruncated},
		{simulator.Rule{Kind: simulator.Truncate, Form: "short"}, entra.KindBody},
		{simulator.Rule{Kind: simulator.Slow, Delay: 3 * time.Minute}, entra.KindTimeout},
		{simulator.Rule{Kind: simulator.Reset}, entra.KindNetwork},
		{simulator.Rule{Kind: simulator.IgnoreFilter}, entra.KindFilter},
	} {
		t.Run(strings.TrimSpace(string(c.rule.Kind)+" "+c.rule.Form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.rule.Page = "next"
				if c.rule.Kind == simulator.IgnoreFilter {
					c.rule.Page = ""
				}
				_, f, slice := open(t, &simulator.Script{Rules: []simulator.Rule{c.rule}})
				slice.Stream = "audits"
				if c.rule.Kind == simulator.IgnoreFilter {
					slice.To = slice.From.Add(time.Minute) // newest first: without a filter none of these is on the first page
				}
				rows, last := 0, false
				var err error
				for page, pageErr := range f.Fetch(t.Context(), slice) {
					rows, last, err = rows+len(page.Records), page.Last, pageErr
				}
				if entra.KindOf(err) != c.kind || (err == nil) != last {
					t.Errorf("kind %q after %d rows, want %q: %v", entra.KindOf(err), rows, c.kind, err)
				}
				if c.kind == "" && rows < 1700 {
					t.Errorf("%d rows", rows)
				}
			})
		})
	}
}
