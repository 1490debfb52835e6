package elastic

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
)

// Probe asks every endpoint whether it takes the credentials, by a _bulk request without an event: the cluster looks at who asks
// first, and then refuses it as empty. The right to write is not tried. Errors are those of Send.
func (s *Sink) Probe(ctx context.Context, _ []event.Record) error {
	var errs []error
	for _, to := range s.nodes.All() {
		errs = append(errs, s.probe(ctx, to))
	}
	return errors.Join(errs...)
}

func (s *Sink) probe(ctx context.Context, to *url.URL) error {
	b := s.buffers.Get()
	b.Encode(1, false, func(dst []byte, _ int) []byte { return append(dst, '\n') })
	return s.exchange(ctx, to, b, func(secrets post.Secrets, r post.Reply) error {
		if kind, _ := readRefusal(r.Body); r.Status == http.StatusBadRequest && kind != nil {
			return nil
		}
		j := judge{host: to.Host, secrets: secrets}
		return j.refusal(r.Status, r.Header, r.Body)
	})
}
