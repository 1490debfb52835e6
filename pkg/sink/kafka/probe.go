package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// Probe asks for the metadata of the topics that the records would go to, and lets none be created. The right to write is not
// tried. Errors are those of Send; they are joined where several topics have one.
func (s *Sink) Probe(ctx context.Context, records []event.Record) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("look up topics: wait for the send before: %w", ctx.Err())
	}
	var names []string
	for i := range records {
		names = append(names, string(s.topic.Append(nil, &records[i])))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	found, err := s.cluster.metadata(ctx, s.cluster.connect(names), names)
	defer s.cluster.drop()
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range found {
		what := fmt.Sprintf("look up topic %q", t.Name)
		switch {
		case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			errs = append(errs, fault.Block(fmt.Errorf("%s: it does not exist: create it, or check topic; a broker that creates topics by itself will do so with the first record: %w", what, t.Error)))
		case t.Error != nil:
			errs = append(errs, judge(what, t.Error))
		}
	}
	return errors.Join(errs...)
}
