package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/logferry/logferry/pkg/event"
)

// SkipOldest gives up the oldest batch of the first of the sinks, while the journal is full.
func (m *memory) SkipOldest(sinks []string) ([]event.Skip, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stepErr != nil {
		return nil, m.stepErr
	}
	if m.room > 0 || len(m.batches) == 0 {
		return nil, nil
	}
	b := m.batches[0]
	m.batches = m.batches[1:]
	m.room++
	m.refuse = nil
	m.pos[sinks[0]] = event.Position{Seq: b.Seq + 1}
	at := b.Records[0].Time
	return []event.Skip{{Sink: sinks[0], To: m.pos[sinks[0]], Records: uint64(len(b.Records)), From: at, Until: at.Add(time.Minute)}}, nil
}

// TestMakeRoom: a full journal gets room from the lane that may skip, the status says so until it has room again, and the lane
// goes on behind what was skipped.
func TestMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		for i := range 5 {
			m.put(10*i, 10)
		}
		m.setRoom(-1)
		seen, logs := observer.New(zap.WarnLevel)
		sink := &recorder{limits: event.Limits{Events: 10}, script: func([]string) error { return errors.New("down") }}
		p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: sink, SkipOldest: true}}, Log: zap.New(seen), JournalBytes: 100})
		if err != nil {
			t.Fatal(err)
		}
		if !p.makeRoom() || m.Room() != 1 {
			t.Fatalf("room is %d", m.Room())
		}
		lines := logs.FilterField(zap.String("sink", "x")).All()
		if len(lines) != 2 || lines[0].ContextMap()["records"] != uint64(10) {
			t.Errorf("logged %+v", lines)
		}
		said := func() (says []string) {
			for _, f := range p.Status().Faults {
				says = append(says, f.Part+": "+f.Err)
			}
			return says
		}
		if says := said(); len(says) != 1 || !strings.HasPrefix(says[0], "sink x: skips the oldest records because the journal is full: 20 records so far, since ") {
			t.Errorf("status says %q", says)
		}
		if at := p.lanes[0].jump(event.Position{Seq: 1, Index: 3}); at != (event.Position{Seq: 3}) {
			t.Errorf("the lane goes on at %+v", at)
		}
		if at := p.lanes[0].jump(event.Position{Seq: 3, Index: 3}); at != (event.Position{Seq: 3, Index: 3}) {
			t.Errorf("the lane goes back to %+v", at)
		}
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { p.watchRoom(ctx); close(ended) }()
		m.setRoom(10)
		pause(2 * time.Minute)
		if says := said(); !slices.ContainsFunc(says, func(s string) bool { return strings.HasPrefix(s, "sink x") }) {
			t.Errorf("it lasts, and the status says %q", says)
		}
		m.setRoom(90)
		pause(2 * time.Minute)
		if says := said(); len(says) > 0 {
			t.Errorf("it is over, and the status says %q", says)
		}
		cancel()
		<-ended
	})
}

// TestSkippedBatchesAreNotSentFromMemory: what a lane has in hand it sends, exactly as it was; then it goes on behind what was
// skipped, although the ring has that yet.
func TestSkippedBatchesAreNotSentFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		down := errors.New("down")
		sink := &recorder{limits: event.Limits{Events: 10}, script: func([]string) error { return down }}
		p, stop := start(t, m, nil, Outlet{Name: "x", Sink: sink, SkipOldest: true})
		for i := range 8 {
			m.put(10*i, 10)
			p.ring.add(m.batches[i])
		}
		pause(time.Minute)
		m.setRoom(-5)
		if !p.makeRoom() {
			t.Error("no room was made")
		}
		sink.mu.Lock()
		sink.script = nil
		sink.mu.Unlock()
		pause(10 * time.Minute)
		stop()
		// What was at hand when room was made: a chunk under way, one behind it, and the batch that is rendered next, if the lane has
		// come so far.
		got := sink.got()
		if !slices.ContainsFunc([]int{10, 20, 30}, func(n int) bool { return slices.Equal(got, append(ids(0, n), ids(60, 20)...)) }) {
			t.Errorf("got %q, want up to 30 of the first and the last 20", got)
		}
	})
}

// TestThePageThatMeetsAFullJournal: another slice has filled it since the page was asked for. It is not asked for again.
func TestThePageThatMeetsAFullJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 10)
		requests := 0
		f := pages(func(event.Slice) []event.Page {
			if requests++; requests == 1 {
				m.setRoom(0)
				m.mu.Lock()
				m.refuse = errors.New("the journal is full")
				m.mu.Unlock()
			}
			return []event.Page{{Records: rows(100*requests, 1), Date: time.Now(), Last: true}}
		})
		_, stop := start(t, m, []Source{contoso(f)}, Outlet{Name: "x", Sink: &recorder{}, SkipOldest: true})
		pause(time.Second)
		if moved, batches := m.moved(); requests != 1 || moved == 0 || batches != 1 {
			t.Errorf("%d requests, %d cursors, %d batches", requests, moved, batches)
		}
		stop()
	})
}

type diskFull struct{ error }

func (diskFull) NoSpace() {}

// TestFullDisk: somebody has to free space, so it stands on /healthz. The slices are not to blame, and none gets smaller. When there is
// space again, nobody has to tell.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		refuse := func(err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.refuse = err
		}
		refuse(diskFull{errors.New("no space left")})
		f := pages(func(event.Slice) []event.Page {
			return []event.Page{{Records: rows(0, 1), Date: time.Now(), Last: true}}
		})
		p, stop := start(t, m, []Source{contoso(f)}, Outlet{Name: "x", Sink: &recorder{}})
		pause(time.Second)
		whole := p.Status().Streams[0].LookBack
		pause(3 * time.Hour)
		st := p.Status()
		if len(st.Faults) != 1 || !st.Faults[0].Blocked || !strings.Contains(st.Faults[0].Err, "no space left") {
			t.Errorf("faults %+v", st.Faults)
		}
		if st.Streams[0].LookBack != whole {
			t.Errorf("the look-back is %v, and was %v", st.Streams[0].LookBack, whole)
		}
		refuse(nil)
		pause(3 * time.Minute)
		if moved, _ := m.moved(); moved == 0 || len(p.Status().Faults) > 0 {
			t.Errorf("%d cursors, faults %+v", moved, p.Status().Faults)
		}
		stop()
	})
}

// TestMakeRoomFails: a state file that cannot skip is reported once, and tried again.
func TestMakeRoomFails(t *testing.T) {
	m := newMemory("x")
	m.put(0, 10)
	m.setRoom(0)
	m.stepErr = errors.New("no space left on device")
	seen, logs := observer.New(zap.WarnLevel)
	p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: &recorder{}, SkipOldest: true}}, Log: zap.New(seen)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if p.makeRoom() {
			t.Error("there is room")
		}
	}
	if st := p.Status(); logs.Len() != 1 || len(st.Faults) != 2 || st.Faults[1].Err != "no space left on device" {
		t.Errorf("%d lines, status %+v", logs.Len(), st.Faults)
	}
	m.stepErr = nil
	if !p.makeRoom() || len(p.Status().Faults) != 1 {
		t.Errorf("status %+v", p.Status().Faults)
	}
}

// TestAlarmBeforehand: who holds the journal, when it is full, and what happens then.
func TestAlarmBeforehand(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		name   string
		room   int64
		growth float64 // bytes a second
		sinks  []SinkStatus
		want   string
	}{
		{"wait", 370, 370. / 12000, []SinkStatus{{Bytes: 630}, {Bytes: 1}}, "the journal is 63 % full because of sink waits and will be full in 3h20m: then fetching waits"},
		{"skip", 370, 1, []SinkStatus{{Bytes: 3}, {Bytes: 630}}, "the journal is 63 % full because of sink skips and will be full in 6m: then skips loses its oldest records"},
		{"both hold the same", 370, 10, []SinkStatus{{Bytes: 630}, {Bytes: 630}}, "the journal is 63 % full because of sink waits and will be full in less than a minute: then fetching waits"},
		{"no growth", 370, 0, []SinkStatus{{}, {Bytes: 630}}, "the journal is 63 % full because of sink skips but does not grow; when it is full, skips loses its oldest records"},
		{"days", 370, 370 / (12 * day).Seconds(), []SinkStatus{{}, {Bytes: 630}}, "the journal is 63 % full because of sink skips and will be full in 12 days: then skips loses its oldest records"},
		{"full", 0, 1, []SinkStatus{{Bytes: 1000}, {Bytes: 1}}, "the journal is full because of sink waits: fetching waits"},
		{"full of what all have passed", -5, 0, []SinkStatus{{}, {}}, "the journal is full: fetching waits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := New(Options{Journal: newMemory("waits", "skips"), JournalBytes: 1000,
				Outlets: []Outlet{{Name: "waits", Sink: &recorder{}}, {Name: "skips", Sink: &recorder{}, SkipOldest: true}}})
			if err != nil {
				t.Fatal(err)
			}
			p.full.forecast.since, p.full.forecast.growth = time.Now(), tt.growth
			st := Status{Room: tt.room, Sinks: tt.sinks}
			p.reportRoom(&st, p.lanes)
			if len(st.Faults) != 1 || st.Faults[0].Err != tt.want || st.Faults[0].Part != "journal" || st.Faults[0].Blocked {
				t.Errorf("%+v, want %s", st.Faults, tt.want)
			}
		})
	}
}
