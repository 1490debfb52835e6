package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

func rows(first, n int) []event.Record {
	var all []event.Record
	for _, id := range ids(first, n) {
		all = append(all, event.Record{ID: id, Time: time.Now(), Raw: []byte(`{"id":"` + id + `"}`)})
	}
	return all
}

// TestCursorMovesWithTheLastPageOnly: a slice that breaks off leaves the cursor where it was, whatever it has journalled.
func TestCursorMovesWithTheLastPageOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		var last atomic.Bool
		f := pages(func(event.Slice) []event.Page {
			return []event.Page{{Records: rows(0, 3), Date: time.Now()}, {Records: rows(3, 3), Date: time.Now(), Last: last.Load()}}
		})
		_, stop := start(t, m, []Source{contoso(f)}, Outlet{Name: "x", Sink: &recorder{}})
		pause(30 * time.Second)
		if moved, batches := m.moved(); moved != 0 || batches == 0 {
			t.Errorf("%d cursors moved, %d batches journalled by an open slice", moved, batches)
		}
		last.Store(true)
		pause(5 * time.Minute)
		stop()
		if moved, _ := m.moved(); moved == 0 {
			t.Error("the cursor did not move with the last page")
		}
	})
}

// TestFetchingWaitsForRoom: with a full journal no request is sent; with room again all goes on.
func TestFetchingWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.setRoom(0)
		var requests atomic.Int64
		f := pages(func(event.Slice) []event.Page {
			return []event.Page{{Records: rows(int(requests.Add(1)), 1), Date: time.Now(), Last: true}}
		})
		p, stop := start(t, m, []Source{contoso(f)}, Outlet{Name: "x", Sink: &recorder{}})
		pause(time.Hour)
		if n := requests.Load(); n != 0 {
			t.Errorf("%d requests with a full journal", n)
		}
		if st := p.Status(); len(st.Faults) == 0 || !strings.Contains(st.Faults[0].Err, "full") {
			t.Errorf("a full journal is not reported: %+v", st.Faults)
		}
		m.setRoom(1)
		p.room.Broadcast()
		pause(time.Second)
		stop()
		if requests.Load() == 0 {
			t.Error("nothing was fetched after there was room")
		}
	})
}

// failing yields an error for every slice.
type failing struct{ err error }

func (f failing) Fetch(context.Context, event.Slice) iter.Seq2[event.Page, error] {
	return func(yield func(event.Page, error) bool) { yield(event.Page{}, f.err) }
}

// TestOneSickSourceHoldsUpOnlyItself, and says what is wrong.
func TestOneSickSourceHoldsUpOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		sick := contoso(failing{fault.Block(errors.New("the app lacks AuditLog.Read.All"))})
		sick.Name = "sick"
		n := 0
		well := contoso(pages(func(event.Slice) []event.Page {
			n++
			return []event.Page{{Records: rows(n, 1), Date: time.Now(), Last: true}}
		}))
		sink := &recorder{}
		p, stop := start(t, m, []Source{sick, well}, Outlet{Name: "x", Sink: sink})
		pause(10*time.Minute + time.Second)
		blocked := p.Status().Blocked()
		stop()
		if len(blocked) != 1 || blocked[0].Part != "stream sick/audits" || !strings.Contains(blocked[0].Err, "AuditLog.Read.All") {
			t.Errorf("blocked %+v", blocked)
		}
		if got := len(sink.got()); got < 10 || got > 12 {
			t.Errorf("%d records of the well source in ten minutes of polls", got)
		}
	})
}

// TestRowsOutsideAreCounted, but only those that are older than what is remembered; an odd row is still a record.
func TestRowsOutsideAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		f := pages(func(event.Slice) []event.Page {
			all := rows(0, 3)
			all[0].Time = time.Now().Add(-1000 * time.Hour)
			all[1].Time = time.Now().Add(time.Hour)
			return []event.Page{{Records: all, Date: time.Now(), Last: true}}
		})
		sink := &recorder{}
		_, stop := start(t, m, []Source{contoso(f)}, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		stop()
		if got := fmt.Sprint(sink.got()); got != "[1 2]" {
			t.Errorf("journalled %s, want the two rows that are not below the floor", got)
		}
	})
}

// TestOnce: ends by itself, tells what is left.
func TestOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		source   Fetcher
		script   func([]string) error
		complete bool
	}{
		{"all is well", pages(func(event.Slice) []event.Page {
			return []event.Page{{Records: rows(0, 5), Date: time.Now(), Last: true}}
		}), nil, true},
		{"the source is blocked", failing{fault.Block(errors.New("no licence"))}, nil, false},
		{"the sink is dead", pages(func(event.Slice) []event.Page {
			return []event.Page{{Records: rows(0, 5), Date: time.Now(), Last: true}}
		}),
			func([]string) error { return errors.New("down") }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("x")
				p, err := New(Options{Journal: m, Normalizer: plain{}, Sources: []Source{contoso(tt.source)}, Outlets: []Outlet{{Name: "x", Sink: &recorder{script: tt.script}}}})
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				s, err := p.Once(t.Context(), time.Minute)
				if err != nil || s.Complete != tt.complete {
					t.Errorf("summary %+v, %v; want complete %v", s, err, tt.complete)
				}
				if time.Since(begun) > 2*time.Minute {
					t.Errorf("it took %v", time.Since(begun))
				}
			})
		})
	}
}
