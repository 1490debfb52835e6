package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// batch is the events of one Send that go to one partition.
type batch struct {
	topic     string
	partition int
	index     []int  // of its events in the Send, ascending
	wire      []byte // encoded
	replied   bool
	err       error         // of package fault
	refused   map[int]error // of those that the broker has named, by place in index
}

// route looks up the topics of the events and puts each event into the batch of its partition. Events of a topic that cannot be
// sent to now are in its batches[0].
func (s *Sink) route(ctx context.Context, events []event.Event) ([]topic, error) {
	var names []string
	seen := map[string]int{}
	of := make([]int, len(events))
	var name []byte
	for i := range events {
		name = s.topic.Append(name[:0], &events[i].Record)
		t, ok := seen[string(name)]
		if !ok {
			t = len(names)
			names = append(names, string(name))
			seen[names[t]] = t
		}
		of[i] = t
	}
	topics, err := s.cluster.lookup(ctx, names)
	if err != nil {
		return nil, err
	}
	for i := range topics {
		t := &topics[i]
		if t.err != nil {
			t.partitions = []int{0}
		}
		t.batches = make([]batch, len(t.partitions))
		for p := range t.batches {
			t.batches[p] = batch{topic: t.name, partition: p, err: t.err}
		}
	}
	s.keys = s.keys[:0]
	balancer := kafka.Murmur2Balancer{Consistent: true}
	for i := range events {
		key := keyOf(s.cfg.Key, &events[i])
		s.keys = append(s.keys, key)
		if key == nil {
			key = events[i].EventID[:] // spreads evenly, and a repeat goes where the first went
		}
		t := &topics[of[i]]
		p := 0
		if t.err == nil {
			p = balancer.Balance(kafka.Message{Key: key}, t.partitions...)
		}
		t.batches[p].index = append(t.batches[p].index, i)
	}
	return topics, nil
}

// refusals gives the records that the reply names as the reason (KIP-467), by place in the batch. The broker has taken none of the
// batch; those that are not named will pass without the others. nil: it names none.
func refusals(what string, n int, reply *kafka.ProduceResponse) map[int]error {
	refused := map[int]error{}
	for place, reason := range reply.RecordErrors {
		if place < 0 || place >= n {
			continue
		}
		said := reason.Error()
		if said == "" {
			said = reply.Error.Error()
		}
		refused[place] = fault.Refuse(fmt.Errorf("%s: record refused: %s", what, said), said)
	}
	if len(refused) == 0 {
		return nil
	}
	return refused
}

// stale tells whether what the sink knows of the cluster, or a connection, may be the reason of a failure.
func (t *topic) stale() bool {
	for i := range t.batches {
		if b := &t.batches[i]; len(b.index) > 0 && b.err != nil && fault.Of(b.err) != fault.Poison {
			return true
		}
	}
	return false
}

// settle makes the verdict of a Send of n events. When all have failed in the same way that is the verdict; else a partial
// failure tells each event's own.
func settle(n int, topics []topic) error {
	failed := map[int]error{}
	var first error
	same := true
	for t := range topics {
		for p := range topics[t].batches {
			b := &topics[t].batches[p]
			if b.err == nil || len(b.index) == 0 {
				continue
			}
			if first == nil {
				first = b.err
			}
			same = same && fault.Of(b.err) == fault.Of(first) && b.refused == nil
			for place, i := range b.index {
				failed[i] = b.verdict(place)
			}
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case n == 1:
		return failed[0]
	case len(failed) == n && same:
		return first
	}
	return fault.Some(failed)
}

// verdict is that of one event within a partial failure, where poison is final. A batch that was refused as a whole, without a
// word about which record, is not: its events are tried again without the others.
func (b *batch) verdict(place int) error {
	if err, ok := b.refused[place]; ok {
		return err
	}
	if fault.Of(b.err) == fault.Poison && len(b.index) > 1 {
		return fault.Again(fmt.Errorf("refused with the rest of its batch, to be tried again without: %w", b.err))
	}
	return b.err
}
