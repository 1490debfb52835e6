package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// perMinute is a service that has one row each second from full on and one a minute before; it answers in pages of 100.
func perMinute(full time.Time) pages {
	return func(s event.Slice) []event.Page {
		var rows []event.Record
		for at := s.From; !at.After(s.To); at = at.Add(time.Second) { // the end belongs to the next slice, too
			if at.Second() == 0 || !at.Before(full) {
				rows = append(rows, event.Record{ID: at.Format(time.RFC3339), Time: at})
			}
		}
		var all []event.Page
		for part := range slices.Chunk(rows, 100) {
			all = append(all, event.Page{Records: part})
		}
		all[len(all)-1].Last = true
		return all
	}
}

// TestSweep: slices that hold too much, or that fail in a way that smaller ones may not, are halved down to a minute, then the
// pages are; every row is in exactly one slice that comes to its end.
func TestSweep(t *testing.T) {
	errLarge, errOther := errors.New("too large"), errors.New("reset")
	for name, tt := range map[string]struct {
		fails  func(s event.Slice, n int) error
		slices string // the lengths of those asked for, or the beginning of them
	}{
		"too many rows":    {func(event.Slice, int) error { return nil }, "1h0m0s 6m0s 3m0s 3m0s"},
		"smaller may help": {func(s event.Slice, n int) error { return errLarge }, "1h0m0s 30m0s 15m0s 7m0s 3m0s 1m0s 1m0s/500 1m0s/250"},
		"passing":          {func(s event.Slice, n int) error { return map[int]error{1: errOther, 2: errOther}[n] }, "1h0m0s 1h0m0s 1h0m0s 6m0s 3m0s 3m0s"},
		"to be mended":     {func(s event.Slice, n int) error { return fault.Block(errOther) }, "1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from := time.Now().UTC()
				full := from.Add(time.Hour)
				var asked []string
				got, begun := map[string]int{}, map[string]bool{}
				s := contoso(perMinute(full))
				s.Smaller = func(err error) bool { return errors.Is(err, errLarge) }
				p, err := New(Options{Journal: newMemory("x"), Normalizer: plain{}, Sources: []Source{s}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				errs := 0
				w := sweep{
					target: &target{source: p.sources[0], key: audits}, most: 200, tell: func(p Progress) {
						if p.Err != "" {
							errs++
						}
					},
					begin: func(s event.Slice) error {
						top := ""
						if s.Top > 0 {
							top = fmt.Sprint("/", s.Top)
						}
						asked = append(asked, s.To.Sub(s.From).String()+top)
						begun = map[string]bool{}
						if len(asked) == 20 {
							cancel()
						}
						return tt.fails(s, len(asked))
					},
					page: func(_ context.Context, s event.Slice, rows []event.Record) error {
						for _, r := range rows {
							begun[r.ID] = true
						}
						return nil
					},
					done: func(context.Context, event.Slice) error {
						for id := range begun {
							got[id]++
						}
						return nil
					},
				}
				err = w.run(ctx, from, full.Add(6*time.Minute))
				if text := strings.Join(asked, " "); !strings.HasPrefix(text, tt.slices) {
					t.Errorf("asked for %s, want %s", text, tt.slices)
				}
				switch name {
				case "too many rows", "passing":
					if err != nil || len(got) != 60+360 || w.rows != 420 || errs != map[string]int{"passing": 2}[name] {
						t.Errorf("%v, %d rows, told of %d, %d errors", err, len(got), w.rows, errs)
					}
					for id, n := range got {
						if n != 1 {
							t.Errorf("%s is in %d slices", id, n)
						}
					}
				case "to be mended":
					if fault.Of(err) != fault.Blocked || len(asked) != 1 {
						t.Errorf("%v after %d slices", err, len(asked))
					}
				default: // it never ends by itself
					if !errors.Is(err, errLarge) || ctx.Err() == nil {
						t.Errorf("it ended with %v", err)
					}
				}
				cancel()
			})
		})
	}
}

// TestIdleOrdersDoNotWait: where nobody delivers, a full journal is an answer.
func TestIdleOrdersDoNotWait(t *testing.T) {
	m := newMemory("x")
	m.setRoom(0)
	o := Options{Journal: m, Normalizer: plain{}, Sources: []Source{contoso(perMinute(time.Now()))}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}}, Idle: true}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resend(t.Context(), ResendOrder{Stretch{From: "1h"}, "x"}, func(Progress) {})
	if err != nil || r.Complete || !strings.Contains(r.Streams[0].Err, "journal is full and nobody delivers") {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestHealAfterLoss: where a recovery reader has yet to pass, nobody knows what was shipped: what heal finds is marked.
func TestHealAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		m := newMemory("x")
		m.cursors = []event.Cursor{{Reader: "live", Start: now.Add(-3 * time.Hour)}, {Reader: "backfill", Pos: now.Add(-2 * time.Hour), End: now},
			{Reader: "recovery/1", Pos: now.Add(-time.Hour), End: now.Add(-50 * time.Minute)}}
		p, err := New(Options{Journal: m, Normalizer: plain{}, Sources: []Source{contoso(perMinute(now))}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}}, Remembered: 90 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Verify(t.Context(), VerifyOrder{Stretch{From: "4h"}, true}, func(Progress) {})
		if err != nil || !r.Complete {
			t.Fatalf("%+v, %v", r, err)
		}
		uncertain, all := 0, 0
		for _, b := range m.batches {
			for _, rec := range b.Records {
				all++
				if rec.Flags&event.FlagUncertain != 0 {
					uncertain++
				}
			}
		}
		s := r.Streams[0]
		if all != 74 || uncertain != 10 || s.Healed.New != 74 || s.Healed.Uncertain != 10 {
			t.Errorf("journalled %d, %d of them uncertain; %+v", all, uncertain, s.Healed)
		}
		if notes := strings.Join(s.Notes, "\n"); !strings.Contains(notes, "reading began at ") || !strings.Contains(notes, "remembered for 1h30m") || !strings.Contains(notes, "backfill has yet to read ") {
			t.Errorf("notes:\n%s", notes)
		}
	})
}

// TestOrdersWaitForRoom: what fills the journal asks for nothing while that is full.
func TestOrdersWaitForRoom(t *testing.T) {
	for name, order := range map[string]func(p *Pipeline) error{
		"resend": func(p *Pipeline) error {
			_, err := p.Resend(context.Background(), ResendOrder{Stretch{From: "20m"}, "x"}, func(Progress) {})
			return err
		},
		"heal": func(p *Pipeline) error {
			_, err := p.Verify(context.Background(), VerifyOrder{Stretch{From: "20m"}, true}, func(Progress) {})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("x")
				m.setRoom(0)
				m.cursors = []event.Cursor{{Reader: "live", Start: time.Now().Add(-time.Hour)}}
				asked := 0
				p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}},
					Sources: []Source{contoso(pages(func(s event.Slice) []event.Page {
						asked++
						return perMinute(time.Now())(s)
					}))}})
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- order(p) }()
				pause(time.Hour)
				free := map[string]int{"heal": 1}[name] // comparing needs no room
				if asked != free || len(m.batches) > 0 {
					t.Errorf("asked %d times and journalled %d batches without room", asked, len(m.batches))
				}
				m.setRoom(1)
				if err := <-done; err != nil || asked != free+1 || len(m.batches) == 0 {
					t.Errorf("%v, asked %d times, %d batches", err, asked, len(m.batches))
				}
			})
		})
	}
}

// TestOrdersPassASickTenant: one that cannot be signed in to is named, the others are read.
func TestOrdersPassASickTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick, well := contoso(nil), contoso(perMinute(time.Now()))
		sick.Identify = func(context.Context) (string, error) {
			return "", fault.Block(errors.New("the client secret has expired"))
		}
		sick.Name, well.Name = "a", "b"
		m := newMemory("x")
		m.cursors = []event.Cursor{{Reader: "live", Start: time.Now().Add(-time.Hour)}}
		p, err := New(Options{Journal: m, Normalizer: plain{}, Sources: []Source{sick, well}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}}})
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.Verify(t.Context(), VerifyOrder{Stretch{From: "20m"}, true}, func(Progress) {})
		if err != nil || v.Complete || len(v.Streams) != 2 || v.Streams[0].Err != "the client secret has expired" || !v.Streams[1].Complete {
			t.Errorf("%+v, %v", v, err)
		}
		r, err := p.Resend(t.Context(), ResendOrder{Stretch{From: "20m"}, "x"}, func(Progress) {})
		if err != nil || r.Complete || len(r.Streams) != 2 || r.Streams[0].Err != "the client secret has expired" || r.Streams[1].Err != "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
