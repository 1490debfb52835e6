package pipeline

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/timeline"
)

// fetch is a Fetcher that yields what its function gives: a page or an error.
type fetch func(ctx context.Context, s event.Slice) (event.Page, error)

func (f fetch) Fetch(ctx context.Context, s event.Slice) iter.Seq2[event.Page, error] {
	return func(yield func(event.Page, error) bool) { yield(f(ctx, s)) }
}

// since makes the source read back to an age at first.
func since(s Source, age time.Duration) Source {
	s.Time.Start = timeline.Start{Age: age}
	return s
}

// TestAWorkingReaderDoesNotHideOneThatFails: the backfill fails for ever while live works. That is said all the time, live
// keeps its pace, and the backfill is tried ever more slowly.
func TestAWorkingReaderDoesNotHideOneThatFails(t *testing.T) {
	for name, err := range map[string]error{"retryable": errors.New("http status 500"), "blocked": fault.Block(errors.New("older than the retention"))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var polls, tries atomic.Int64
				f := fetch(func(_ context.Context, s event.Slice) (event.Page, error) {
					if s.Reader != timeline.Live {
						tries.Add(1)
						return event.Page{}, err
					}
					polls.Add(1)
					return event.Page{Date: time.Now(), Last: true}, nil
				})
				p, stop := start(t, newMemory("x"), []Source{since(contoso(f), 24*time.Hour)}, Outlet{Name: "x", Sink: &recorder{}})
				pause(time.Second)
				for range 30 {
					pause(time.Minute)
					faults := p.Status().Faults
					if len(faults) != 1 || faults[0].Blocked != (fault.Of(err) == fault.Blocked) || !strings.Contains(faults[0].Err, "backfill: "+err.Error()) {
						t.Fatalf("faults %+v", faults)
					}
				}
				stop()
				if n := polls.Load(); n < 30 || n > 32 {
					t.Errorf("%d polls in half an hour", n)
				}
				if n := tries.Load(); n > 30 {
					t.Errorf("%d tries in half an hour", n)
				}
			})
		})
	}
}

// TestOnceGivesALaneItsPatience from when it has something to do, however long the reading has taken.
func TestOnceGivesALaneItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fetch(func(_ context.Context, s event.Slice) (event.Page, error) {
			page := event.Page{Date: time.Now(), Last: true}
			if s.Reader != timeline.Live {
				time.Sleep(10 * time.Minute)
				page.Records = rows(0, 3)
			}
			return page, nil
		})
		sends := 0
		sink := &recorder{script: func([]string) error {
			if sends++; sends == 1 {
				return errors.New("connection reset")
			}
			return nil
		}}
		p, err := New(Options{Journal: newMemory("x"), Normalizer: plain{}, Sources: []Source{since(contoso(f), 30*time.Minute)}, Outlets: []Outlet{{Name: "x", Sink: sink}}})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := p.Once(t.Context(), time.Minute); err != nil || !s.Complete {
			t.Errorf("summary %+v, %v: the lane was not waited for", s, err)
		}
	})
}

// TestOnceDeliversThePageInHand: a poll that is under way when all is read may still bring records.
func TestOnceDeliversThePageInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := 0
		f := fetch(func(_ context.Context, s event.Slice) (event.Page, error) {
			page := event.Page{Date: time.Now(), Last: true}
			switch {
			case s.Reader != timeline.Live:
				time.Sleep(70 * time.Second)
			case polls > 0: // began at 60 s, all is read at 70 s
				time.Sleep(30 * time.Second)
				page.Records = rows(0, 3)
			}
			if s.Reader == timeline.Live {
				polls++
			}
			return page, nil
		})
		sink := &recorder{}
		p, err := New(Options{Journal: newMemory("x"), Normalizer: plain{}, Sources: []Source{since(contoso(f), 30*time.Minute)}, Outlets: []Outlet{{Name: "x", Sink: sink}}})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := p.Once(t.Context(), time.Minute); err != nil || !s.Complete || len(sink.got()) != 3 {
			t.Errorf("summary %+v, %v; %d of 3 records sent", s, err, len(sink.got()))
		}
	})
}

// TestOnceEndsWithoutTheAPI: a job that is run by cron must not pile up while there is no network.
func TestOnceEndsWithoutTheAPI(t *testing.T) {
	down := errors.New("dial tcp: connection refused")
	unsigned := contoso(failing{down})
	unsigned.Identify = func(context.Context) (string, error) { return "", down }
	for name, source := range map[string]Source{"no sign-in": unsigned, "no page": contoso(failing{down})} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("x")
				m.unknown = name == "no sign-in"
				p, err := New(Options{Journal: m, Normalizer: plain{}, Sources: []Source{source}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}}}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begun := time.Now()
				s, err := p.Once(ctx, time.Minute)
				if took := time.Since(begun); took < time.Minute || took > 2*time.Minute || s.Complete || len(s.Faults) == 0 || err != nil {
					t.Errorf("after %v: %+v, %v", took, s, err)
				}
			})
		})
	}
}

// TestRoomThatNobodyTellsOf: batches that were passed are deleted a few at a time, also when no lane moves any more.
func TestRoomThatNobodyTellsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		var full atomic.Bool
		full.Store(true)
		f := pages(func(event.Slice) []event.Page {
			if full.Swap(false) {
				m.setRoom(0) // behind the first page
			}
			return []event.Page{{Date: time.Now()}, {Date: time.Now(), Last: true}}
		})
		_, stop := start(t, m, []Source{contoso(f)}, Outlet{Name: "x", Sink: &recorder{}})
		pause(time.Minute)
		if moved, _ := m.moved(); moved != 0 {
			t.Errorf("%d cursors moved in a full journal", moved)
		}
		m.setRoom(1)
		pause(5 * time.Second)
		if moved, _ := m.moved(); moved == 0 {
			t.Error("there is room again and nobody reads")
		}
		stop()
	})
}

// TestAFilteredBacklogIsPassedStepByStep: it must not hold a full journal until its end is reached.
func TestAFilteredBacklogIsPassedStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("none")
		for i := range 2000 {
			m.put(i, 1)
		}
		_, stop := start(t, m, nil, Outlet{Name: "none", Sink: &recorder{limits: event.Limits{Linger: time.Hour}}, Wants: func(event.StreamKey) bool { return false }})
		pause(time.Second)
		m.mu.Lock()
		passed, first := m.pos["none"].Seq, m.steps[0].To.Seq // how many chunks share a later step depends on who runs first
		m.mu.Unlock()
		stop()
		if passed < 1500 || first > 2*mostBatches {
			t.Errorf("the lane is at batch %d of 2000, its first step ended at %d", passed, first)
		}
	})
}

// TestWhatTheSinkHasIsNotSentAgain: the Send that is under way when the grace ends still counts.
func TestWhatTheSinkHasIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 5)
		sink := &recorder{script: func([]string) error { time.Sleep(time.Minute); return nil }}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		stop()
		if len(sink.got()) != 5 || m.pos["x"].Seq != 2 {
			t.Errorf("the sink has %d records, the lane stands at %+v", len(sink.got()), m.pos["x"])
		}
	})
}

// TestAStepThatFails is named as such, is tried again without another Send, and leaves nothing behind in the status.
func TestAStepThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.stepErr = errors.New("no space left on device")
		m.put(0, 5)
		sink := &recorder{}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Minute)
		if faults := p.Status().Faults; len(faults) != 1 || !strings.Contains(faults[0].Err, "no space") {
			t.Errorf("faults %+v", faults)
		}
		m.mu.Lock()
		m.stepErr = nil
		m.mu.Unlock()
		pause(time.Minute)
		if faults := p.Status().Faults; len(faults) != 0 {
			t.Errorf("all is well, status says %+v", faults)
		}
		stop()
		if !slices.Equal(sink.got(), ids(0, 5)) {
			t.Errorf("sent %q", sink.got())
		}
	})
}

// TestTheLastBatchIsSentAtShutdown, although the end of fetching and the last batch may wake the lane at once.
func TestTheLastBatchIsSentAtShutdown(t *testing.T) {
	l := &lane{draining: make(chan struct{})}
	close(l.draining)
	added := make(chan struct{})
	close(added)
	for range 100 {
		if !l.await(t.Context(), added) {
			t.Fatal("the lane ended with a batch unread")
		}
	}
	if l.await(t.Context(), make(chan struct{})) {
		t.Error("the lane waits for more than there will be")
	}
}

// TestDamagedBatchesInARow are passed over without a pause for each.
func TestDamagedBatchesInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.damaged = map[uint64]bool{}
		for i := range 50 {
			m.put(i, 1)
			m.damaged[uint64(i+1)] = i > 0 && i < 49
		}
		sink := &recorder{}
		_, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Second)
		stop()
		if !slices.Equal(sink.got(), []string{"0", "49"}) {
			t.Errorf("sent %q", sink.got())
		}
	})
}

// TestTheMachinesClockIsNotTrusted: at a restart on a machine whose clock is wrong no cursor moves before the service has told
// the time.
func TestTheMachinesClockIsNotTrusted(t *testing.T) {
	for _, wrong := range []time.Duration{-72 * time.Hour, 72 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("x")
				m.cursors = []event.Cursor{{Reader: timeline.Live, Pos: time.Now().Add(-time.Minute), Start: time.Now().Add(-1000 * time.Hour)}}
				restored := len(m.cursors)
				var heard atomic.Bool
				var slices []event.Slice
				s := contoso(fetch(func(_ context.Context, s event.Slice) (event.Page, error) {
					heard.Store(true)
					slices = append(slices, s)
					return event.Page{Date: time.Now(), Last: true}, nil
				}))
				s.Identify = func(context.Context) (string, error) { heard.Store(true); return "tid", nil }
				s.Now = func() time.Time {
					if heard.Load() {
						return time.Now()
					}
					return time.Now().Add(wrong)
				}
				_, stop := start(t, m, []Source{s}, Outlet{Name: "x", Sink: &recorder{}})
				pause(time.Second)
				stop()
				if len(slices) != 1 || time.Since(slices[0].From) > 17*time.Minute || len(m.cursors) != restored+1 {
					t.Errorf("slices %v, cursors %+v", slices, m.cursors)
				}
			})
		})
	}
}

// TestAJournalThatCannotBeRead is named for each sink that waits for it.
func TestAJournalThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.readErr = errors.New("input/output error")
		m.put(0, 5)
		sink := &recorder{}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink})
		pause(time.Minute)
		if faults := p.Status().Faults; len(faults) != 1 || faults[0].Part != "journal of sink x" || !strings.Contains(faults[0].Err, "input/output") {
			t.Errorf("faults %+v", faults)
		}
		m.mu.Lock()
		m.readErr = nil
		m.mu.Unlock()
		pause(time.Minute)
		if faults := p.Status().Faults; len(faults) != 0 || len(sink.got()) != 5 {
			t.Errorf("%d sent, status says %+v", len(sink.got()), faults)
		}
		stop()
	})
}
