package splunk

import (
	"context"
	"errors"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
)

// Probe asks every endpoint whether it takes the token, by a request without an event: HEC looks at the token first and then finds
// nothing to store. With ack: required it asks for an acknowledgement too. The index cannot be tried without an event. Errors are
// those of Send.
func (s *Sink) Probe(ctx context.Context, _ []event.Record) error {
	ctx, stop := s.untilClosed(ctx)
	defer stop()
	var errs []error
	for _, to := range s.collectors {
		errs = append(errs, s.probe(ctx, to))
	}
	return errors.Join(errs...)
}

func (s *Sink) probe(ctx context.Context, to *collector) error {
	as, err := s.sign()
	if err != nil {
		return err
	}
	var c *channel
	if s.cfg.Ack != "off" {
		c = newChannel(as, nil)
	}
	b := s.buffers.Get()
	b.Encode(0, false, nil)
	err = s.exchange(ctx, to.events, as, c, b, func(r post.Reply) error {
		out := judge{host: to.events.Host, secrets: as.secrets}.rule(r.Status, r.Header, r.Body)
		if out.code == noData {
			return nil
		}
		return out.err
	})
	if err != nil || s.cfg.Ack != "required" {
		return err
	}
	switch t := s.ask(ctx, to, c, []string{"0"}); {
	case t.disabled:
		return s.unacknowledged(to, t.err)
	default:
		return t.err
	}
}
