package pipeline

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/budget"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

// service plays an API that shows records late, through the budget of one app registration. Of its records it follows a sample;
// the sizes of its pages are those of all.
type service struct {
	limit   *budget.Limiter
	streams map[string]*trafficOf

	mu    sync.Mutex
	reads []reading
}

// trafficOf is one stream: record i happens at began + i/rate and appears late[i%len] after that.
type trafficOf struct {
	rate  float64 // of the sample, records per second
	each  float64 // records that one of the sample stands for
	first time.Time
	late  []time.Duration
	found []time.Time
}

// reading is a slice that was read to its end.
type reading struct {
	stream, reader string
	from, to       time.Time
	begun, done    time.Time
}

const rowsOfAPage = 1000

func (t *trafficOf) time(i int) time.Time {
	return t.first.Add(time.Duration(float64(i) / t.rate * float64(time.Second)))
}

func (t *trafficOf) index(at time.Time) int {
	return max(0, int(math.Ceil(at.Sub(t.first).Seconds()*t.rate-1e-6)))
}

// visible gives the sample's records in [from, to] that are shown at now, newest first.
func (t *trafficOf) visible(from, to, now time.Time) (all []int) {
	for i := t.index(to.Add(time.Nanosecond)) - 1; i >= t.index(from); i-- {
		if at := t.time(i); !at.Add(t.late[i%len(t.late)]).After(now) && !at.After(now) {
			all = append(all, i)
		}
	}
	return all
}

// Fetch answers a slice: each page costs a request, and the reply takes its time.
func (v *service) Fetch(ctx context.Context, s event.Slice) iter.Seq2[event.Page, error] {
	return func(yield func(event.Page, error) bool) {
		t, begun := v.streams[s.Stream], time.Now()
		var rows []int
		dummies := make([]event.Record, 0, rowsOfAPage)
		for page := 0; ; page++ {
			rank := s.Rank
			if page > 0 && page < 10 {
				rank++
			}
			if err := v.limit.Wait(ctx, s.Class, rank); err != nil {
				yield(event.Page{}, err)
				return
			}
			time.Sleep(700 * time.Millisecond)
			now := time.Now()
			if page == 0 {
				to := s.To
				if to.IsZero() {
					to = now
				}
				begun, rows = now, t.visible(s.From, to, now)
			}
			sample := max(1, int(rowsOfAPage/t.each))
			part := rows[min(len(rows), page*sample):min(len(rows), (page+1)*sample)]
			dummies = dummies[:0]
			for _, i := range part {
				if t.found[i].IsZero() {
					t.found[i] = now
					dummies = append(dummies, event.Record{ID: "new", Time: t.time(i)})
				}
			}
			for n := int(float64(len(part)) * t.each); len(dummies) < min(n, rowsOfAPage); {
				dummies = append(dummies, event.Record{Time: s.From})
			}
			last := (page+1)*sample >= len(rows)
			if last {
				v.mu.Lock()
				v.reads = append(v.reads, reading{s.Stream, s.Reader, s.From, s.To, begun, time.Now()})
				v.mu.Unlock()
			}
			if !yield(event.Page{Records: dummies, Date: now, Last: last}, nil) || last {
				return
			}
		}
	}
}

// sparse is a journal that keeps cursors and marks, and of each page what is new in the sample.
type sparse struct {
	*memory
	mu    sync.Mutex
	state map[string]map[string]event.Cursor
	marks map[string][]event.Mark
	moves []cursorMove
}

// cursorMove is a reader's cursor as it was saved.
type cursorMove struct {
	stream string
	event.Cursor
	at time.Time
}

func (j *sparse) Append(_ context.Context, c event.PageCommit) (event.PageResult, error) {
	res := event.PageResult{PageCounts: event.PageCounts{Rows: uint64(len(c.Records))}}
	var fresh []event.Record
	for _, r := range c.Records {
		if r.ID != "" {
			fresh = append(fresh, r)
		}
	}
	if len(fresh) > 0 {
		res.Batch = &event.Batch{Records: fresh}
	}
	j.SaveCursors(c.Key, c.Moves)
	return res, nil
}

func (j *sparse) SaveCursors(key event.StreamKey, m event.Moves) {
	j.mu.Lock()
	defer j.mu.Unlock()
	state := j.state[key.Stream]
	if state == nil {
		state = map[string]event.Cursor{}
		j.state[key.Stream] = state
	}
	for _, c := range m.Cursors {
		state[c.Reader] = c
		j.moves = append(j.moves, cursorMove{key.Stream, c, time.Now()})
	}
	for _, name := range m.Remove {
		delete(state, name)
	}
	if m.Marks != nil {
		j.marks[key.Stream] = m.Marks
	}
}

func (j *sparse) Cursors(key event.StreamKey) (all []event.Cursor) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.state[key.Stream] {
		all = append(all, c)
	}
	return all
}

func (j *sparse) Marks(key event.StreamKey) []event.Mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.marks[key.Stream])
}

// loaded is a source under load.
type loaded struct {
	*testing.T
	service *service
	journal *sparse
	rate    float64
	config  timeline.Config
	began   time.Time

	p    *Pipeline
	stop func()
}

var fiveStreams = []string{"signins.interactive", "signins.noninteractive", "signins.serviceprincipal", "signins.managedidentity", "audits"}

// newLoaded makes a tenant of rate records per second in five streams that has been there since long, and whose records appear
// with a median of 2 minutes, 95 of 100 within 5, and 3 of 1000 anywhere up to 48 hours. The sample follows about perSecond of
// them for so long.
func newLoaded(t *testing.T, rate, perSecond float64, long time.Duration) *loaded {
	w := &loaded{T: t, rate: rate, began: time.Now(), config: timeline.Default()}
	w.config.Start = timeline.Start{Age: time.Minute}
	w.service = &service{limit: budget.New(budget.Options{Interval: 2 * time.Second}), streams: map[string]*trafficOf{}}
	w.journal = &sparse{memory: newMemory("x"), state: map[string]map[string]event.Cursor{}, marks: map[string][]event.Mark{}}
	rng := rand.New(rand.NewPCG(1, 2))
	each := max(1, rate/perSecond)
	sigma := math.Log(2.5) / 1.6448536269514722
	for _, name := range fiveStreams {
		s := &trafficOf{rate: rate / 5 / each, each: each, first: w.began.Add(-24 * time.Hour), late: make([]time.Duration, 1<<14-1)}
		for i := range s.late {
			s.late[i] = time.Duration(2 * float64(time.Minute) * math.Exp(sigma*rng.NormFloat64()))
			if rng.IntN(1000) < 3 {
				s.late[i] = 5*time.Minute + time.Duration(rng.Int64N(int64(48*time.Hour)))
			}
		}
		s.found = make([]time.Time, s.index(w.began.Add(long))+1)
		w.service.streams[name] = s
	}
	return w
}

func (w *loaded) start() {
	p, err := New(Options{Journal: w.journal, Outlets: []Outlet{{Name: "x", Sink: &recorder{}, Paused: true}}, Sources: []Source{{
		Name: "contoso", Cloud: "global", Tenant: "tid", Fetcher: w.service, Identify: func(context.Context) (string, error) { return "tid", nil },
		Now: time.Now, Streams: fiveStreams, Time: w.config, Capacity: 0.49,
	}}})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	w.p, w.stop = p, func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	}
}

// figures are a row of the table.
type figures struct {
	rate          float64
	p50, p95, p99 time.Duration // from a record's appearance until it is read
	missed        int           // of the sample
	records       int
	lag           time.Duration // of the oldest re-reader behind its turn
	look          time.Duration
	trails        bool
	uncovered     time.Duration // sum over streams and re-readers, per day
	apps          int
}

// measure looks at the records that happened in [from, to).
func (w *loaded) measure(from, to time.Time) figures {
	f := figures{rate: w.rate}
	var delays []time.Duration
	for _, s := range w.service.streams {
		for i := s.index(from); i < s.index(to); i++ {
			f.records++
			if s.found[i].IsZero() {
				f.missed++
				delays = append(delays, math.MaxInt64)
				continue
			}
			delays = append(delays, s.found[i].Sub(s.time(i).Add(s.late[i%len(s.late)])))
		}
	}
	slices.Sort(delays)
	at := func(q float64) time.Duration { return delays[min(len(delays)-1, int(q*float64(len(delays))))] }
	f.p50, f.p95, f.p99 = at(0.5), at(0.95), at(0.99)
	status := w.p.Status()
	f.apps = status.Sources[0].Apps
	for _, st := range status.Streams {
		f.look, f.trails = max(f.look, st.LookBack), f.trails || st.Trails
		for _, r := range st.Readers {
			if r.Name == "reread/72h0m0s" {
				f.lag = max(f.lag, time.Since(r.Pos)-73*time.Hour)
			}
		}
		for _, m := range st.Marks {
			if m.Kind == event.Uncovered {
				f.uncovered += m.To.Sub(m.From)
			}
		}
	}
	f.uncovered = time.Duration(float64(f.uncovered) / time.Since(w.began).Hours() * 24)
	return f
}
