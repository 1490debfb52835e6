package splunk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/logferry/logferry/pkg/event"
)

// noData is what HEC says to a request without an event whose token it knows; see codes.
const noData = 5

// Probe asks every endpoint whether it takes the token, by a request without an event: HEC looks at the token first and then finds
// nothing to store. The index is not tried. Errors are those of Send.
func (s *Sink) Probe(ctx context.Context, _ []event.Record) error {
	var errs []error
	for _, to := range s.endpoints {
		errs = append(errs, s.probe(ctx, to))
	}
	return errors.Join(errs...)
}

func (s *Sink) probe(ctx context.Context, to *url.URL) error {
	err := s.exchange(ctx, to, nil, false, func(status int, header http.Header, body []byte) error {
		var r reply
		if json.Unmarshal(body, &r) == nil && r.Code != nil && *r.Code == noData {
			return nil
		}
		return judge(status, header, body, 0, true)
	})
	return err
}
