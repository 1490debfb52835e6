package fetchertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/logferry/logferry/pkg/event"
)

// double serves a scenario without an API, with one fault of its own.
type double struct {
	s     *Scenario
	fault string
}

var errDouble = errors.New("the double's error")

func (d double) Fetch(ctx context.Context, _ event.Slice) iter.Seq2[event.Page, error] {
	return func(yield func(event.Page, error) bool) {
		buf := make([]byte, 64)
		for i := 0; i < len(d.s.Pages); i++ {
			page := d.s.Pages[i]
			if ctx.Err() != nil && d.fault != "ignores the context" {
				yield(event.Page{}, ctx.Err())
				return
			}
			d.s.Requests.Add(1)
			if page.Fault == Hang {
				<-ctx.Done()
				yield(event.Page{}, ctx.Err())
				return
			}
			bad := page.Fault == Broken || page.Fault == Garbled || page.Fault == Unavailable
			if bad && d.fault != "yields broken pages" {
				yield(event.Page{}, errDouble)
				return
			}
			out := event.Page{Last: i == len(d.s.Pages)-1 && page.Fault == None && d.fault != "marks no last page"}
			for j, row := range page.Rows {
				if d.fault == "loses a row" && j == 1 {
					continue
				}
				raw := append(buf[:0:len(buf)], row.ID...)
				if d.fault != "shares memory" {
					raw = []byte(row.ID)
				}
				out.Records = append(out.Records, event.Record{
					Key: event.StreamKey{Cloud: "global", Tenant: "t", Stream: d.s.Slice.Stream}, ID: row.ID, Time: row.Time,
					Read: start, Digest: event.Digest(i*10 + j + 1), Raw: raw,
				})
			}
			if !yield(out, nil) || out.Last {
				return
			}
			if page.Fault == LinkOffHost && d.fault == "follows links" {
				d.s.Foreign.Add(1)
			}
			if page.Fault == LinkOffHost || page.Fault == LinkLoop && d.fault != "follows loops" {
				yield(event.Page{}, errDouble)
				return
			}
		}
	}
}

// TestContractNotices runs the contract on a sound double and on doubles with one fault each: the former passes all of it,
// each of the latter fails some of it.
func TestContractNotices(t *testing.T) {
	for _, fault := range []string{"", "ignores the context", "yields broken pages", "marks no last page", "loses a row", "shares memory", "follows links", "follows loops"} {
		t.Run(fmt.Sprintf("%q", fault), func(t *testing.T) {
			failed := 0
			for _, c := range cases() {
				synctest.Test(t, func(t *testing.T) {
					c.scenario.Slice.Stream = "audits"
					if err := c.check(c.scenario, double{c.scenario, fault}); err != nil {
						failed++
						if fault == "" {
							t.Errorf("%s: %v", c.scenario.Name, err)
						}
					}
				})
			}
			if fault != "" && failed == 0 {
				t.Error("the contract did not notice")
			}
		})
	}
}
