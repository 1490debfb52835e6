package sinktest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// newEvent makes an event with a unique body, a JSON object; text is put between quotes as it is.
func newEvent(n int, text string) event.Event {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC).Add(time.Duration(n) * time.Millisecond)
	body := fmt.Sprintf(`{"@timestamp":%q,"n":%d,"user":{"name":"user%d@contoso.com"},"source":{"ip":"192.0.2.%d"},"text":"%s"}`,
		at.Format("2006-01-02T15:04:05.000000Z"), n, n, n%256, text)
	e := event.Event{Body: []byte(body), Record: event.Record{
		Key:    event.StreamKey{Cloud: "global", Tenant: "11111111-2222-3333-4444-555555555555", Stream: "signins.interactive"},
		ID:     fmt.Sprintf("00000000-0000-0000-0000-%012d", n),
		Time:   at,
		Read:   at.Add(2 * time.Minute),
		Digest: event.Digest(n),
		Raw:    []byte(body),
	}}
	e.EventID = e.Record.EventID()
	return e
}

// small makes up to n events that fit into one Send, numbered from first.
func small(s Sink, first, n int) []event.Event {
	var events []event.Event
	for i := range n {
		events = append(events, newEvent(first+i, "plain"))
	}
	return fitting(s, events)
}

func fitting(s Sink, events []event.Event) []event.Event {
	indexes := make([]int, len(events))
	for i := range indexes {
		indexes[i] = i
	}
	return events[:fit(s.Limits(), events, indexes)]
}

func send(s Sink, events []event.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Send(ctx, events); err != nil {
		return fmt.Errorf("send %d events: %w", len(events), err)
	}
	return nil
}

// resend is a lane after a failure: the same events again until they are taken. A sink may need a few rounds to find out that a
// connection is dead or to go to the next endpoint.
func resend(s Sink, events []event.Event) error {
	var err error
	for range 5 {
		if err = send(s, events); err == nil || fault.Of(err) != fault.Retryable {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("the peer takes events again: %w", err)
	}
	return nil
}

// class checks the class of a Send that must have failed.
func class(err error, want fault.Class) error {
	if err == nil {
		return fmt.Errorf("Send has succeeded, want a %s error", want)
	}
	if got := fault.Of(err); got != want {
		return fmt.Errorf("the error is %s, want %s: %w", got, want, err)
	}
	return nil
}

// exactly checks that the peer has these events and no others, once each and in order.
func exactly(got []Received, want []event.Event) error {
	for i := range min(len(got), len(want)) {
		if err := same(got[i], want[i]); err != nil {
			return fmt.Errorf("event %d at the peer: %w", i, err)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("the peer has %d events, want %d", len(got), len(want))
	}
	return nil
}

func same(got Received, want event.Event) error {
	if got.Body != string(want.Body) {
		return fmt.Errorf("body is\n%.300q, want\n%.300q", got.Body, want.Body)
	}
	if got.EventID != "" && got.EventID != want.EventID.String() {
		return fmt.Errorf("event id is %q, want %q", got.EventID, want.EventID)
	}
	return nil
}

// atLeastOnce checks that the peer has all of want, and none of never.
func atLeastOnce(got []Received, want, never []event.Event) error {
	bodies := map[string]Received{}
	for _, r := range got {
		bodies[r.Body] = r
	}
	var errs []error
	for i, e := range want {
		if r, ok := bodies[string(e.Body)]; !ok {
			errs = append(errs, fmt.Errorf("event %d of %d never reached the peer: %s", i, len(want), e.ID))
		} else if err := same(r, e); err != nil {
			errs = append(errs, err)
		}
	}
	for _, e := range never {
		if _, ok := bodies[string(e.Body)]; ok {
			errs = append(errs, fmt.Errorf("the peer has stored an event that it refuses: %s", e.ID))
		}
	}
	return errors.Join(errs...)
}
