package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// ResendOrder asks for a stretch to be shipped to one sink again.
type ResendOrder struct {
	Stretch
	Sink string `json:"sink"`
}

// ResendResult is the answer.
type ResendResult struct {
	Complete bool           `json:"complete"`
	Sink     string         `json:"sink"`
	Streams  []ResentStream `json:"streams"`
}

// ResentStream tells what was journalled of one stream.
type ResentStream struct {
	Stream string    `json:"stream"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Resent uint64    `json:"resent"`
	Err    string    `json:"error,omitempty"` // why not all could be read
}

// mostResent bounds the rows of a slice, whose ids are kept until its end.
const mostResent = 50_000

// Resend reads a stretch again and journals it for one sink alone, marked as resent. Delivery is the lane's, as of all records.
func (p *Pipeline) Resend(ctx context.Context, o ResendOrder, tell func(Progress)) (ResendResult, error) {
	result := ResendResult{Complete: true, Sink: o.Sink}
	lanes := p.allLanes()
	at := slices.IndexFunc(lanes, func(l *lane) bool { return l.outlet.Name == o.Sink })
	if at < 0 {
		var names []string
		for _, l := range lanes {
			names = append(names, l.outlet.Name)
		}
		return result, refuse("there is no sink %q: there are %s", o.Sink, strings.Join(names, ", "))
	}
	targets, err := p.targets(ctx, o.Stretch)
	if err != nil {
		return result, err
	}
	for _, t := range targets {
		if !lanes[at].outlet.wants(t.key) {
			return result, refuse("sink %s does not take %s: its streams say otherwise", o.Sink, t.name)
		}
	}
	for i := range targets {
		r := resending{target: &targets[i]}
		err := r.run(ctx, o.Sink, tell)
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		s := ResentStream{Stream: r.name, From: r.from, To: r.to, Resent: r.resent}
		if err != nil {
			s.Err, result.Complete = err.Error(), false
		}
		result.Streams = append(result.Streams, s)
	}
	return result, nil
}

// resending is that of one stream.
type resending struct {
	*target
	sent   map[event.ID]bool // since the last slice that was read at once
	until  time.Time         // none of them lies behind it
	resent uint64
}

func (r *resending) run(ctx context.Context, sink string, tell func(Progress)) error {
	if r.err != nil {
		return r.err
	}
	w := sweep{target: r.target, reader: event.ReaderResend + sink, most: mostResent, writes: true, tell: tell, begin: r.begin, page: r.page}
	w.done = func(context.Context, event.Slice) error { return nil }
	return w.run(ctx, r.from, r.to)
}

// begin keeps what has been journalled of a slice that is read again after a fault, in shorter ones as a rule.
func (r *resending) begin(s event.Slice) error {
	if !s.From.Before(r.until) {
		r.sent = map[event.ID]bool{}
	}
	if s.To.After(r.until) {
		r.until = s.To
	}
	return nil
}

func (r *resending) page(ctx context.Context, s event.Slice, rows []event.Record) error {
	c := event.PageCommit{Slice: s, Force: true}
	var ids []event.ID
	for i := range rows {
		if id := rows[i].EventID(); !r.sent[id] {
			r.sent[id] = true
			ids, c.Records = append(ids, id), append(c.Records, rows[i])
		}
	}
	n, err := r.append(ctx, c)
	if err != nil {
		for _, id := range ids {
			delete(r.sent, id)
		}
		return err
	}
	r.resent += n.Resent
	return nil
}

// meantFor tells whether what a reader has read is for the sink: what is resent to one sink is for no other.
func meantFor(reader string, o *Outlet) bool {
	only, resent := strings.CutPrefix(reader, event.ReaderResend)
	return !resent || only == o.Name || only == o.Was
}

// nobody tells that the only sink that a reader reads for is no more: what it has read would be lost in the journal.
func (p *Pipeline) nobody(reader string) error {
	only, resent := strings.CutPrefix(reader, event.ReaderResend)
	if !resent || slices.ContainsFunc(p.allLanes(), func(l *lane) bool { return meantFor(reader, l.outlet) }) {
		return nil
	}
	return fault.Block(fmt.Errorf("sink %s is gone: the configuration has changed meanwhile", only))
}
