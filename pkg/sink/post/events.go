package post

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
)

// Limits are those of the batch settings.
func (c Common) Limits(inFlight int) event.Limits {
	return event.Limits{Events: c.Batch.Events, Bytes: int(c.Batch.Bytes), Linger: c.Batch.Linger.Std(), InFlight: inFlight}
}

// Unfit is nil as a rule. With events that can never be sent it is a partial failure in which they are poison and the others have
// still to be sent, so that they come without the unfit ones the next time: no request is made. lines says that a line end
// separates events.
func Unfit(events []event.Event, most field.Size, lines bool) error {
	var failed map[int]error
	for i := range events {
		if err := unfit(events[i].Body, most, lines); err != nil {
			failed = Note(failed, i, err)
		}
	}
	if failed == nil {
		return nil
	}
	for i := range events {
		if _, bad := failed[i]; !bad {
			failed[i] = fault.Again(errors.New("not sent yet: another event of the same request cannot be sent"))
		}
	}
	return fault.Some(failed)
}

func unfit(body []byte, most field.Size, lines bool) error {
	switch {
	case len(body) == 0:
		return fault.Refuse(errors.New("the event is empty"), "")
	case len(body) > int(most):
		return fault.Refuse(fmt.Errorf("the event has %d bytes, max_event_bytes is %s: raise it, or leave the record out of the event",
			len(body), most), "")
	case lines && bytes.IndexByte(body, '\n') >= 0:
		return fault.Refuse(errors.New("the event has a line end, which separates events"), "")
	}
	return nil
}

// Note puts err to the event at i and gives the map, which is made when it is first needed.
func Note(failed map[int]error, i int, err error) map[int]error {
	if failed == nil {
		failed = map[int]error{}
	}
	failed[i] = err
	return failed
}
