package pipeline

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// TestKeepAndTrim: what the sink is not to get is counted as filtered; what it is not to see it does not see, though another sink of
// the same schema does; a letter keeps the record as it came.
func TestKeepAndTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("trims", "whole", "whole2")
		for i := range 4 {
			m.put(10*i, 10)
		}
		keep := func(r *event.Record) bool {
			if r.ID == "11" {
				panic("a filter that stumbles")
			}
			return r.ID != "3" && r.ID != "7"
		}
		trim := func(dst []byte, r *event.Record) ([]byte, error) {
			if r.ID == "20" {
				return dst, errors.New("no object")
			}
			return append(dst, bytes.ReplaceAll(r.Raw, []byte("id"), []byte("--"))...), nil
		}
		trims, whole, whole2 := &recorder{limits: event.Limits{Bytes: 25}}, &recorder{}, &recorder{}
		trims.script = func(ids []string) error {
			if slices.Contains(ids, "30") {
				return errMapping
			}
			return nil
		}
		seen := &bodies{Sink: trims}
		p, stop := start(t, m, nil, Outlet{Name: "trims", Sink: seen, Keep: keep, Trim: trim}, Outlet{Name: "whole", Sink: whole}, Outlet{Name: "whole2", Sink: whole2})
		for _, b := range m.batches {
			p.ring.add(b)
		}
		pause(time.Second)
		stop()
		if len(whole.got()) != 40 || len(whole2.got()) != 40 || len(trims.got()) != 36 || slices.Contains(trims.got(), "3") || !slices.Contains(trims.got(), "11") {
			t.Errorf("got %q and %q", trims.got(), whole.got())
		}
		for _, body := range seen.all {
			if strings.Contains(body, "id") || !strings.Contains(body, "--") {
				t.Errorf("the sink sees %s", body)
			}
		}
		var sum event.SinkCounts
		for _, s := range m.steps {
			if s.Sink == "trims" {
				sum.Add(s.Counts[audits])
			}
		}
		if sum.Filtered != 2 || sum.Delivered != 36 || sum.Dead != 2 || len(m.wrong) > 0 {
			t.Errorf("%+v, %q", sum, m.wrong)
		}
		for _, d := range m.letters {
			if string(d.Record.Raw) != `{"id":"`+d.Record.ID+`"}` {
				t.Errorf("letter %s", d.Record.Raw)
			}
		}
		// Replayed, they are trimmed again.
		trims.script, seen.all = nil, nil
		p, stop = start(t, m, nil, Outlet{Name: "trims", Sink: seen, Trim: trim})
		p.Return(t.Context(), event.LetterFilter{Sink: "trims"})
		pause(time.Second)
		stop()
		if dead, _, _ := m.states(); dead != 1 || !slices.Equal(seen.all, []string{`{"--":"30"}`}) {
			t.Errorf("%d dead, the sink sees %q", dead, seen.all)
		}
	})
}

// bodies notes what goes through it.
type bodies struct {
	Sink
	all []string
}

func (b *bodies) Send(ctx context.Context, events []event.Event) error {
	for i := range events {
		b.all = append(b.all, string(events[i].Body), string(events[i].Raw))
	}
	b.all = slices.Compact(b.all)
	return b.Sink.Send(ctx, events)
}
