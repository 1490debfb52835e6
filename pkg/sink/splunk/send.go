package splunk

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
)

// Send makes a request for each index that the events go to, one as a rule, and waits for the acknowledgements. Events that can
// never be sent are reported as poison in a partial failure before any request is made; the others wait for the next Send.
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := post.Unfit(events, s.cfg.MaxEventBytes, false); err != nil {
		return err
	}
	ctx, stop := s.untilClosed(ctx)
	defer stop()
	if s.together(events) {
		return s.deliver(ctx, events)
	}
	groups := s.sort(events)
	for i := range groups {
		g := &groups[i]
		g.receipt, g.err = s.post(ctx, g.events)
	}
	for i := range groups {
		if g := &groups[i]; g.receipt != nil {
			g.err = s.await(ctx, g.receipt)
		}
	}
	return merge(groups, len(events))
}

// untilClosed gives a context that ends with the sink.
func (s *Sink) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(s.client.Closing(), func() { cancel(post.ErrClosed) })
	if s.client.Closing().Err() != nil {
		cancel(post.ErrClosed)
	}
	return ctx, func() { forget(); cancel(nil) }
}

// deliver sends events that share an index.
func (s *Sink) deliver(ctx context.Context, events []event.Event) error {
	r, err := s.post(ctx, events)
	if err != nil || r == nil {
		return err
	}
	return s.await(ctx, r)
}

// group is what goes into one request.
type group struct {
	index   []byte
	events  []event.Event
	from    []int // events[k] is that of number from[k]
	receipt *receipt
	err     error
}

// together tells whether the events share an index.
func (s *Sink) together(events []event.Event) bool {
	if s.encoder.oneIndex() {
		return true
	}
	var first, other [128]byte
	index := s.encoder.index.template.Append(first[:0], &events[0].Record)
	for i := range events {
		if !bytes.Equal(index, s.encoder.index.template.Append(other[:0], &events[i].Record)) {
			return false
		}
	}
	return true
}

// sort puts the events into groups of one index each, in their order.
func (s *Sink) sort(events []event.Event) []group {
	var groups []group
	var buf [128]byte
	for i := range events {
		index := s.encoder.index.template.Append(buf[:0], &events[i].Record)
		at := slices.IndexFunc(groups, func(g group) bool { return bytes.Equal(g.index, index) })
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{index: bytes.Clone(index)})
		}
		groups[at].events, groups[at].from = append(groups[at].events, events[i]), append(groups[at].from, i)
	}
	return groups
}

// merge puts the verdicts of groups together that have n events in all.
func merge(groups []group, n int) error {
	failed := map[int]error{}
	var whole error // of a group that was refused as a whole
	refused := 0    // events of such groups
	for _, g := range groups {
		switch {
		case g.err == nil:
		case fault.Of(g.err) == fault.Partial:
			for k, cause := range fault.Failed(g.err) {
				failed[g.from[k]] = cause
			}
		case fault.Of(g.err) == fault.Poison && len(g.events) > 1:
			// Poison says that one of them is bad, a partial failure would say that each is: they are sent again without those that
			// have their verdict, and get theirs when nothing else is left.
			refused += len(g.events)
			if whole == nil || fault.Oversized(g.err) {
				whole = g.err
			}
			for _, i := range g.from {
				failed[i] = fault.Again(fmt.Errorf("not settled: %s", g.err))
			}
		default:
			for _, i := range g.from {
				failed[i] = g.err
			}
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case refused == n: // to be split
		return whole
	}
	return fault.Some(failed)
}
