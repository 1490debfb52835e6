package entra

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"time"

	"github.com/logferry/logferry/pkg/budget"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// Turns is the budget of another process that reads the same tenant with the same app registration. Requests come out of it
// besides the fetcher's own.
type Turns interface {
	// Turn returns when a request for a page of the stream may leave.
	Turn(ctx context.Context, stream string) error
	// Pause tells that the service has asked for a pause.
	Pause(stream string, d time.Duration)
}

// Turn waits until somebody who shares this fetcher's app registration may send a request for the stream. It counts as one of
// the fetcher's own. A stream whose budget the fetcher does not use may be asked for at once. The error is ctx's.
func (f *Fetcher) Turn(ctx context.Context, stream string, class event.Class) error {
	if limit := f.limitOf(stream); limit != nil {
		return limit.Wait(ctx, class, 0)
	}
	return nil
}

// Pause holds up all requests that share the stream's budget, because the service has asked somebody else for it.
func (f *Fetcher) Pause(stream string, d time.Duration) {
	if limit := f.limitOf(stream); limit != nil {
		limit.Throttled(time.Now(), d, true)
	}
}

// limitOf gives the limiter of a stream that the fetcher itself may not read; nil if it reads none of that budget.
func (f *Fetcher) limitOf(stream string) *budget.Limiter {
	row, _ := f.dialect.lookup(stream)
	return f.limits[row.Budget]
}

// TenantID is what Tenant has given before; "" before the first token.
func (f *Fetcher) TenantID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tenant
}

func (rd *reader) turnElsewhere(ctx context.Context) error {
	if rd.f.options.Turns == nil {
		return nil
	}
	err := rd.f.options.Turns.Turn(ctx, rd.row.Name)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return rd.fail(KindCanceled, ctx.Err())
	}
	return rd.fail(KindNetwork, fmt.Errorf("wait for a turn: %w", err))
}

// paceElsewhere is paceRepeats for Turns.
func (rd *reader) paceElsewhere(ctx context.Context) context.Context {
	if rd.f.options.Turns == nil {
		return ctx
	}
	tries := 0
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) {
		if tries++; tries > 1 {
			_ = rd.turnElsewhere(ctx) // the next page meets its error
		}
	}})
}

// passOn tells of a page that was taken, and of a pause that was asked for.
func (rd *reader) passOn(told Request, got reply, page event.Page, err error) {
	o := rd.f.options
	switch {
	case err == nil && o.Received != nil:
		told.Rows = len(page.Records)
		o.Received(told, got.body)
	case KindOf(err) == KindThrottled && o.Turns != nil:
		o.Turns.Pause(rd.row.Name, fault.Pause(err))
	}
}
