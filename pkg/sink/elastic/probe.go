package elastic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// Probe asks every endpoint whether it takes the credentials, by a _bulk request without an event: the cluster looks at who asks
// first, and then refuses it as empty. The right to write is not tried. Errors are those of Send.
func (s *Sink) Probe(ctx context.Context, _ []event.Record) error {
	var errs []error
	for _, to := range s.nodes.urls {
		errs = append(errs, s.probe(ctx, to))
	}
	return errors.Join(errs...)
}

func (s *Sink) probe(ctx context.Context, to *url.URL) error {
	as, err := s.auth.get()
	if err != nil {
		return fault.Block(fmt.Errorf("send to %s: %w", to.Host, err))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout.Std(), fmt.Errorf("no reply within %s", s.cfg.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader([]byte("\n")))
	if err != nil {
		return fmt.Errorf("send to %s: %w", to.Host, err)
	}
	req.Header = s.headers(as)
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return transportFault(to, s.reason(ctx, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKept))
	if err != nil {
		return fmt.Errorf("read reply of %s: %w", to.Host, s.reason(ctx, err))
	}
	if kind, _ := readRefusal(body); resp.StatusCode == http.StatusBadRequest && kind != nil {
		return nil
	}
	if err := (judge{hide: as.hide}).refusal(resp.StatusCode, resp.Header, body); err != nil {
		return fmt.Errorf("%s: %w", to.Host, err)
	}
	return nil
}
