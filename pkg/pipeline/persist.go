package pipeline

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/retry"
)

// persist does something to the state file until that succeeds or ctx has ended.
func (l *lane) persist(ctx context.Context, what string, do func() error) error {
	pacer := retry.New(retry.Options{})
	var held *atomic.Int32
	for {
		changed := l.p.letters.C()
		err := do()
		if err == nil {
			l.saved(held)
			return nil
		}
		hold, pause := &l.unsaved, pacer.Next(err)
		var full interface {
			error
			LettersFull()
		}
		if errors.As(err, &full) {
			err, hold, pause = lettersFull(l.outlet.Name, full), &l.noRoom, time.Minute
		}
		l.hold(held, hold)
		held = hold
		l.mu.Lock()
		l.save.fail(err, time.Now())
		l.mu.Unlock()
		l.tell(what, err, pause)
		if err := pauseOr(ctx, changed, pause); err != nil {
			return err
		}
	}
}

// hold notes what keeps something from being saved, in place of what did so before.
func (l *lane) hold(before, now *atomic.Int32) {
	if before == now {
		return
	}
	if now != nil {
		now.Add(1)
	}
	if before != nil {
		before.Add(-1)
	}
	select {
	case l.awake <- struct{}{}:
	default:
	}
}

// saved notes that the lane has got on.
func (l *lane) saved(held *atomic.Int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved = time.Now()
	if held == nil {
		return
	}
	l.hold(held, nil)
	if l.unsaved.Load()+l.noRoom.Load() == 0 {
		l.log.Info("the state file takes it again", zap.Duration("after", time.Since(l.save.Since)))
		l.save.ok()
		clear(l.told)
	}
}

// pauseOr waits for the next attempt: for a while, or until letters have changed.
func pauseOr(ctx context.Context, changed <-chan struct{}, pause time.Duration) error {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err()
}
