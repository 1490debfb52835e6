package pipeline

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/retry"
	"github.com/logferry/logferry/pkg/timeline"
)

// source reads the streams of one tenant: one goroutine that chooses slices, and one for each slice being read.
type source struct {
	*Source
	p     *Pipeline
	log   *zap.Logger
	wake  chan struct{} // a slice has ended
	delay time.Duration // before the first request: thousands of tenants must not start at once
	stop  func()        // has it begin nothing new, and breaks off what it reads
	ended chan struct{} // closed when it has ended

	mu      sync.Mutex
	state   condition // of the sign-in, before the streams are known
	streams []*stream
	turn    int  // the stream that is asked first among equals next time
	once    bool // run --once
}

// stream is the state of one stream of the source; the source's mutex guards it.
type stream struct {
	key     event.StreamKey
	line    *timeline.Line
	running [event.Classes]int  // slices being read
	faulty  map[string]*trouble // readers whose last slice failed: one that works must not hide another that never does
	told    told                // what people have to mend
	storm   condition           // of updates
	stormy  time.Time           // when the last page of the storm was read
	last    time.Time           // time of the newest record read
	moved   time.Time           // when a page was journalled last, by the machine's clock
	filter  string              // what its records are filtered by; "" for nothing
	anew    time.Time           // when the stream was begun again because its filter had changed; zero: it was not
	moves   bool                // a record that changes comes back with a later time
}

func newSource(p *Pipeline, s *Source) *source {
	return &source{Source: s, p: p, log: p.log.With(zap.String("source", s.Name)), wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (s *source) run(ctx context.Context) {
	tid, known := s.p.o.Journal.Tenant(s.Cloud, s.Tenant)
	if known {
		s.open(tid, 0) // status can tell how far they are while the sign-in is not to be had
	}
	if retry.Sleep(ctx, s.delay) != nil {
		return
	}
	began := time.Now()
	// Signing in also tells the service's time. The machine's own may be wrong by any amount: cursors must not be judged by it.
	tid, err := s.signIn(ctx, known)
	if err != nil {
		return
	}
	if !known {
		s.open(tid, time.Since(began))
	}
	s.refilter()
	var reading sync.WaitGroup
	defer reading.Wait()
	for ctx.Err() == nil {
		s.p.makeRoom()
		room := s.p.room.C() // before next looks for room: what is made in between must not be missed
		st, job, due, ok := s.next()
		if ok {
			reading.Go(func() { s.read(ctx, st, job) })
			continue
		}
		s.wait(ctx, due, room)
	}
}

// signIn finds out whose records these are, for as long as it takes. A tenant that is not known yet is kept in the state file.
func (s *source) signIn(ctx context.Context, known bool) (string, error) {
	pacer := retry.New(retry.Options{Blocked: time.Minute}) // what was mended is to be seen soon, and nothing else is asked meanwhile
	told := told{}
	for {
		tid, err := s.Identify(ctx)
		if err == nil && !known {
			err = s.p.o.Journal.SetTenant(s.Cloud, s.Tenant, tid)
		}
		if err == nil {
			s.set(func() { s.state.ok() })
			return tid, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		pause := pacer.Next(err)
		level := s.log.Error
		if fault.Of(err) == fault.Blocked && !told.news(err, time.Now()) {
			level = s.log.Debug
		}
		level("signing in failed, trying again", zap.Error(err), zap.Duration("pause", pause))
		s.set(func() { s.state.fail(err, time.Now()) })
		if err := retry.Sleep(ctx, pause); err != nil {
			return "", err
		}
	}
}

func (s *source) set(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
}

// open makes the streams' time lines from their saved cursors. The first run was meant to begin as long ago as signing in has taken.
func (s *source) open(tid string, ago time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	for _, name := range s.Streams {
		key := event.StreamKey{Cloud: s.Cloud, Tenant: tid, Stream: name}
		st := &stream{key: key, faulty: map[string]*trouble{}, told: told{}, moved: time.Now()}
		if st.moves = s.Moves != nil && s.Moves(name); s.Filter != nil {
			st.filter = s.Filter(name)
		}
		cfg, cursors := s.timing(name), s.p.o.Journal.Cursors(key)
		if cfg.Start.At.IsZero() {
			cfg.Start.Age += ago
		}
		st.line = timeline.New(name, cfg, now, cursors, s.p.o.Journal.Marks(key), s.p.o.Lost(key))
		if s.once {
			st.line.Drain()
		}
		if len(cursors) == 0 {
			s.saveNew(st, nil)
		}
		s.save(st)
		s.streams = append(s.streams, st)
	}
}

// timing is the configuration of a stream's time line.
func (s *source) timing(stream string) timeline.Config {
	cfg := s.Time
	if s.Retention != nil {
		cfg.Retention = s.Retention(stream)
	}
	if s.Page != nil {
		cfg.Page = s.Page(stream)
	}
	return cfg
}

// save hands over what the line has made or set itself, and reports what it has to say.
func (s *source) save(st *stream) {
	if moves, ok := st.line.Unsaved(); ok {
		s.p.o.Journal.SaveCursors(st.key, moves)
	}
	for _, note := range st.line.Notes() {
		s.log.Warn(note, zap.String("stream", st.key.Stream))
	}
}

func (s *source) saveAll() {
	for _, st := range s.streams {
		s.save(st)
	}
}

// slots is how many slices of a class are read of one stream at once: a stream whose requests hang must not take what others
// need. Re-readers are bounded one by one (package timeline): a younger one that waits must not keep the oldest from asking.
func (s *source) slots(class event.Class) int {
	switch class {
	case event.ClassCatchup, event.ClassBackfill:
		return max(2, s.Parallel)
	}
	return 2 * max(1, len(s.Time.Reread))
}

// next chooses a slice that is due; else it tells when one may be.
func (s *source) next() (*stream, timeline.Job, time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	if s.p.o.Journal.Room() <= 0 {
		return nil, timeline.Job{}, now.Add(lookForRoom), false
	}
	for class := range event.Classes {
		if st := s.mostUrgent(now, class); st != nil {
			job, ok := st.line.Take(now, class)
			s.saveAll()
			if ok {
				st.running[class]++
				return st, job, time.Time{}, true
			}
		}
	}
	s.saveAll()
	var due time.Time
	for _, st := range s.streams {
		if d := st.line.Due(now); !d.IsZero() && (due.IsZero() || d.Before(due)) {
			due = d
		}
	}
	return nil, timeline.Job{}, due, false
}

// mostUrgent gives the stream whose reader of the class goes first; equals take turns.
func (s *source) mostUrgent(now time.Time, class event.Class) (first *stream) {
	var most time.Duration
	for i := range s.streams {
		st := s.streams[(s.turn+i)%len(s.streams)]
		if st.running[class] >= s.slots(class) {
			continue
		}
		if rank, ok := st.line.Wants(now, class); ok && (first == nil || rank > most) {
			first, most = st, rank
		}
	}
	if first != nil {
		s.turn++
	}
	return first
}

// wait rests until due, the end of a slice, room in a journal that was full, or the end of ctx.
func (s *source) wait(ctx context.Context, due time.Time, room <-chan struct{}) {
	pause := time.Minute
	if !due.IsZero() {
		pause = min(max(due.Sub(s.Now()), 10*time.Millisecond), time.Minute)
	}
	if s.p.o.Journal.Room() > 0 {
		room = nil
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.wake:
	case <-room:
	case <-ctx.Done():
	}
}

// read reads one slice and tells its line how that went.
func (s *source) read(ctx context.Context, st *stream, job timeline.Job) {
	moves, outcome, err := s.pages(ctx, st, job)
	now := s.Now()
	s.mu.Lock()
	st.running[job.Slice.Class]--
	switch {
	case err == nil:
		timeline.Share(s.Capacity, s.lines())
		st.line.Apply(moves, now, outcome)
		if t := st.faulty[job.Slice.Reader]; t != nil && t.Blocked {
			s.log.Info("what kept the stream from being read is mended", zap.String("stream", st.key.Stream), zap.String("reader", job.Slice.Reader), zap.Time("since", t.Since))
			clear(st.told)
		}
		st.well(job.Slice.Reader)
	case ctx.Err() != nil:
		st.line.Fail(job, now, 0, false)
	default:
		s.failed(st, job, err, now)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *source) apart(st *stream) bool { return s.Apart != nil && s.Apart(st.key.Stream) }

// lines gives the lines of the streams that share the budget of Capacity.
func (s *source) lines() []*timeline.Line {
	lines := make([]*timeline.Line, 0, len(s.streams))
	for _, st := range s.streams {
		if !s.apart(st) {
			lines = append(lines, st.line)
		}
	}
	return lines
}

func (s *source) failed(st *stream, job timeline.Job, err error, now time.Time) {
	reader := job.Slice.Reader
	trouble := st.trouble(reader)
	pause := trouble.pacer.Next(err)
	trouble.fail(err, now)
	hinted := s.Smaller != nil && s.Smaller(err)
	// Whatever is wrong, a smaller slice is no worse, and may be what the service can still answer.
	smaller := hinted || !trouble.Blocked && trouble.Faults%halveEvery == 0
	if st.line.Fail(job, now, pause, smaller) && hinted {
		trouble.pacer.Reset()
		st.line.Hasten(job, now, time.Second)
	}
	if s.TooOld != nil && s.TooOld(err) {
		st.line.TooOld(job, now)
	}
	level := s.log.Warn
	if trouble.Blocked {
		level = s.log.Debug
		if st.told.news(err, time.Now()) {
			level = s.log.Error
		}
		if reader == timeline.Live { // the stream itself is not to be had: no need for each reader to find out
			st.line.Pause(now, pause+liveFirst)
		}
	}
	level("reading a slice failed, it stays open", zap.String("stream", st.key.Stream), zap.String("reader", job.Slice.Reader),
		zap.Stringer("slice", job.Slice), zap.Error(err), zap.Bool("blocked", trouble.Blocked), zap.Duration("pause", pause))
}

// liveFirst is how long live has to find out whether a stream is to be had again, before the others ask.
const liveFirst = time.Minute

// halveEvery is how many failures in a row make a slice smaller, whatever they are.
const halveEvery = 3
