package pipeline

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// keeper is a journal that keeps cursors and a filter, and how they were after the first save.
type keeper struct {
	*memory
	mu     sync.Mutex
	filter string
	kept   []event.Cursor
	first  *keeper
}

func (k *keeper) Filter(event.StreamKey) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.filter
}

func (k *keeper) Cursors(event.StreamKey) []event.Cursor {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.kept)
}

func (k *keeper) Floor(event.StreamKey) time.Time { return time.Now().Add(-73 * time.Hour) }

func (k *keeper) SaveCursors(_ event.StreamKey, m event.Moves) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = slices.DeleteFunc(k.kept, func(c event.Cursor) bool {
		return slices.Contains(m.Remove, c.Reader) || slices.ContainsFunc(m.Cursors, func(x event.Cursor) bool { return x.Reader == c.Reader })
	})
	k.kept = append(k.kept, m.Cursors...)
	if m.Filter != nil {
		k.filter = *m.Filter
	}
	if k.first == nil {
		k.first = &keeper{memory: newMemory("x"), filter: k.filter, kept: slices.Clone(k.kept)}
	}
}

// TestChangedFilterLosesNothing: the stream begins again where its last reader stood, also where the state was lost lately, and
// where the process ends as soon as anything of that is saved.
func TestChangedFilterLosesNothing(t *testing.T) {
	for name, lost := range map[string]time.Duration{"plain": 0, "after a loss": 30 * 24 * time.Hour, "soon after a loss": 72 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			now := time.Now()
			k := &keeper{memory: newMemory("x"), filter: "old", kept: []event.Cursor{
				{Reader: "live", Pos: now.Add(-48 * time.Hour), Start: now.Add(-1000 * time.Hour)}, {Reader: "reread/72h0m0s", Pos: now.Add(-120 * time.Hour)},
			}}
			if at := k.reads(t, lost); at != 120*time.Hour {
				t.Errorf("%s: begins %s back, want 120h", name, at)
			}
			if at := k.first.reads(t, lost); at != 120*time.Hour {
				t.Errorf("%s: after a crash it begins %s back, want 120h", name, at)
			}
		})
	}
}

// reads runs a stream whose filter is "new" now, and gives how far back it reads.
func (k *keeper) reads(t *testing.T, lost time.Duration) time.Duration {
	var mu sync.Mutex
	began := time.Now()
	earliest := began
	src := contoso(pages(func(s event.Slice) []event.Page {
		mu.Lock()
		defer mu.Unlock()
		if s.From.Before(earliest) {
			earliest = s.From
		}
		return []event.Page{{Date: time.Now(), Last: true}}
	}))
	src.Time.Start.Age, src.Time.Reread = 24*time.Hour, []field.Duration{field.Duration(72 * time.Hour)}
	src.Filter = func(string) string { return "new" }
	p, err := New(Options{Journal: k, Normalizer: plain{}, Sources: []Source{src}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}}, Log: zap.NewNop(),
		Lost: func(event.StreamKey) time.Time {
			if lost == 0 {
				return time.Time{}
			}
			return began.Add(-lost)
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	pause(5 * time.Minute)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return began.Sub(earliest).Round(time.Hour)
}
