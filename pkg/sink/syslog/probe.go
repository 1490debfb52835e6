package syslog

import (
	"context"

	"github.com/logferry/logferry/pkg/event"
)

// Probe connects as Send does, the TLS handshake included, and sends nothing. Errors are those of Send.
func (s *Sink) Probe(ctx context.Context, _ []event.Record) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	c.finish(0)
	c.tcp.Close()
	<-c.lost
	return nil
}
