package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/timeline"
)

// pages reads the pages of a slice into the journal; the last one carries the reader's move.
func (s *source) pages(ctx context.Context, st *stream, job timeline.Job) (timeline.Moves, timeline.Outcome, error) {
	var (
		moves   timeline.Moves
		outcome timeline.Outcome
		first   time.Time
		last    bool
	)
	for page, err := range s.Fetcher.Fetch(ctx, job.Slice) {
		if err != nil {
			return moves, outcome, err
		}
		if outcome.Pages++; outcome.Pages == 1 {
			first = page.Date
			if first.IsZero() {
				first = s.Now()
			}
		}
		outcome.Rows += len(page.Records)
		commit := s.commit(st, job, page)
		if last = page.Last; last {
			s.mu.Lock()
			moves = st.line.Finish(job, first, s.Now())
			s.mu.Unlock()
			commit.Moves = moves.Moves
		}
		// What is in hand is journalled even when the process is told to stop.
		if err := s.journal(context.WithoutCancel(ctx), st, job, commit); err != nil {
			return moves, outcome, err
		}
		if !last {
			if err := s.waitForRoom(ctx); err != nil {
				return moves, outcome, err
			}
		}
	}
	if !last {
		return moves, outcome, errors.New("read slice: it ended without a last page")
	}
	return moves, outcome, nil
}

// commit sets apart the rows that the filter should have kept away: those outside the slice that are also older than what is
// remembered. Others outside are taken: an early or late row is still a record.
func (s *source) commit(st *stream, job timeline.Job, page event.Page) event.PageCommit {
	s.mu.Lock()
	defer s.mu.Unlock()
	floor := st.line.Floor()
	c := event.PageCommit{Key: st.key, Slice: job.Slice, DropUpdates: s.Time.Updates == "drop" && !st.moves, Moving: st.moves, Uncertain: job.Uncertain, DigestVersion: s.DigestVersion}
	kept := page.Records[:0:len(page.Records)]
	for i := range page.Records {
		r := &page.Records[i]
		if r.Time.Before(floor) && !job.Slice.Contains(r.Time) {
			c.Outside++
			continue
		}
		r.Key = st.key
		if st.line.Doubtful(r.Time) {
			r.Flags |= event.FlagUncertain
		}
		kept = append(kept, *r)
	}
	c.Records = kept
	return c
}

// journal commits a page and hands what was new to the lanes.
func (s *source) journal(ctx context.Context, st *stream, job timeline.Job, c event.PageCommit) error {
	res, err := s.p.append(ctx, c)
	if err != nil && s.p.makeRoom() { // another slice has filled the journal meanwhile
		res, err = s.p.append(ctx, c)
	}
	if err != nil {
		return journalFault(fmt.Errorf("journal page: %w", err))
	}
	s.mu.Lock()
	st.moved = time.Now()
	if res.Batch != nil {
		if newest := res.Batch.Records[len(res.Batch.Records)-1].Time; newest.After(st.last) {
			st.last = newest
		}
		for i := range res.Batch.Records {
			if r := &res.Batch.Records[i]; r.Flags == 0 {
				st.line.Found(job, r.Time)
			}
		}
	}
	s.mu.Unlock()
	s.judgeUpdates(st, res.PageCounts)
	return nil
}

// append journals records and wakes the lanes, unless lanes are about to come or go: then it waits for that.
func (p *Pipeline) append(ctx context.Context, c event.PageCommit) (event.PageResult, error) {
	p.gate.enter()
	defer p.gate.leave()
	if err := p.nobody(c.Slice.Reader); err != nil {
		return event.PageResult{}, err
	}
	res, err := p.o.Journal.Append(ctx, c)
	if err == nil && res.Batch != nil {
		p.ring.add(res.Batch)
	}
	return res, err
}

// journalFault names a full disk as what somebody has to mend: a smaller slice would not help, and waiting might not. It may be mended
// at any moment.
func journalFault(err error) error {
	var full interface {
		error
		NoSpace()
	}
	if errors.As(err, &full) {
		return fault.Recheck(time.Minute, err)
	}
	return err
}

// stormLasts is for how long a page counts when no other has enough rows to tell.
const stormLasts = 15 * time.Minute

// judgeUpdates raises the alarm while over a fifth of a page are updates: then it is not the records that change.
func (s *source) judgeUpdates(st *stream, n event.PageCounts) {
	if n.Rows < 20 || st.moves { // what comes back with a later time has been changed by its service, not by a slip of ours
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := n.Updated + n.Suppressed
	if changed*5 <= n.Rows {
		st.storm.ok()
		return
	}
	st.storm.fail(fmt.Errorf("%d of the %d rows of a page are known records that have changed: a volatile member may be missing from the stream's table, or something between here and the API changes records; updates: drop keeps the first version only", changed, n.Rows), time.Now())
	st.stormy = time.Now()
	if st.storm.Faults == 1 {
		s.log.Warn("a storm of updates", zap.String("stream", st.key.Stream), zap.String("error", st.storm.Err))
	}
}

// lookForRoom is how often a fetcher looks by itself: the journal also gets room when no lane moves, because batches that were
// passed are deleted a few at a time.
const lookForRoom = 2 * time.Second

// waitForRoom waits with no page in hand until the lanes have made room in the journal.
func (s *source) waitForRoom(ctx context.Context) error {
	look := time.NewTicker(lookForRoom)
	defer look.Stop()
	for {
		s.p.makeRoom()
		room := s.p.room.C()
		if s.p.o.Journal.Room() > 0 {
			return ctx.Err()
		}
		select {
		case <-room:
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// repair reads again what a damaged batch held.
func (s *source) repair(key event.StreamKey, slice event.Slice) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		if st.key == key {
			to := slice.To
			if to.IsZero() {
				to = s.Now()
			}
			st.line.Repair(slice.From, to, s.Now())
			s.save(st)
			return true
		}
	}
	return false
}
