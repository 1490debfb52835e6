package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/telemetry"
)

// TurnOrder asks the running process for one request out of its budget, or tells it that the service wants a pause.
type TurnOrder struct {
	Cloud    string        `json:"cloud"`
	Tenant   string        `json:"tenant"`    // as configured
	TenantID string        `json:"tenant_id"` // its GUID
	ClientID string        `json:"client_id"`
	Stream   string        `json:"stream"`
	Pause    time.Duration `json:"pause,omitempty"` // ns; 0: a turn is wanted
}

// TurnResult answers it.
type TurnResult struct {
	Known bool `json:"known"` // the process reads that tenant with that app registration
}

// Asker gives an order to the running process; telemetry.ErrNotRunning if there is none.
type Asker func(ctx context.Context, name string, order, result any) error

// reader is a source's configuration and what reads it.
type reader struct {
	graph   entra.Config
	fetcher *entra.Fetcher
}

// Turn waits for a request's turn on behalf of another process.
func (a *App) Turn(ctx context.Context, o TurnOrder) (TurnResult, error) {
	for _, r := range a.readers() {
		if !r.shares(o) {
			continue
		}
		if o.Pause > 0 {
			r.fetcher.Pause(o.Stream, o.Pause)
			return TurnResult{Known: true}, nil
		}
		return TurnResult{Known: true}, r.fetcher.Turn(ctx, o.Stream, event.ClassBackfill)
	}
	return TurnResult{}, nil
}

// shares tells whether the service counts both for the same app in the same tenant.
func (r reader) shares(o TurnOrder) bool {
	tenant := strings.EqualFold(r.graph.Tenant, o.Tenant) || o.TenantID != "" && strings.EqualFold(r.fetcher.TenantID(), o.TenantID)
	return tenant && r.fetcher.Cloud() == o.Cloud && strings.EqualFold(r.graph.Auth.App(), o.ClientID)
}

// turnOrder is Turn for the control socket.
func (a *App) turnOrder(ctx context.Context, body []byte, _ func(any)) (any, error) {
	var o TurnOrder
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fmt.Errorf("decode order: %w", err)
	}
	return a.Turn(ctx, o)
}

// turns takes requests out of the running process's budget. Whether one runs is asked each time: it may come and go.
type turns struct {
	ask   Asker
	order TurnOrder
	most  time.Duration // how long to wait for one turn
	say   *speech
	said  string // what was said last, so that it is said once
}

const (
	leastTurn = 10 * time.Second // what the service's budget is counted over: a shorter wait would find every turn too late
	saidAfter = 5 * time.Second  // from when on a wait is longer than what the pace of requests explains
)

func newTurns(o FetchOrder, cfg entra.Config, ask Asker, say *speech) *turns {
	if ask == nil {
		ask = func(ctx context.Context, name string, order, result any) error {
			return telemetry.Have(ctx, o.State, name, order, func(json.RawMessage) {}, result)
		}
	}
	return &turns{ask: ask, say: say, most: max(o.Patience, leastTurn), order: TurnOrder{Tenant: cfg.Tenant, ClientID: cfg.Auth.App()}}
}

// Turn implements entra.Turns. A process that was told of a pause gives no turn before its end, which may be hours away.
func (t *turns) Turn(ctx context.Context, stream string) error {
	order, result := t.order, TurnResult{}
	order.Stream = stream
	waiting, cancel := context.WithTimeout(ctx, t.most)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- t.ask(waiting, "turn", order, &result) }()
	var err error
	select {
	case err = <-answer:
	case <-time.After(saidAfter):
		t.say.line("%s: waiting for a turn in the running process's budget, for %s at most", stream, t.most)
		err = <-answer
	}
	switch {
	case err != nil && ctx.Err() == nil && waiting.Err() != nil:
		return fmt.Errorf("the running process has had no request to spare for %s (--patience): it is pausing, or busy with what is live", t.most)
	case errors.Is(err, telemetry.ErrNotRunning):
		t.tell("no logferry runs on --state: requests come out of a budget of their own")
		return nil
	case err != nil:
		return err
	case result.Known:
		t.tell("requests come out of the running process's budget")
	default:
		t.tell("the running process reads another tenant, or with another app: requests come out of a budget of their own")
	}
	return nil
}

// Pause implements entra.Turns.
func (t *turns) Pause(stream string, d time.Duration) {
	order := t.order
	order.Stream, order.Pause = stream, d
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = t.ask(ctx, "turn", order, &TurnResult{}) // a process that cannot be told meets the refusal by itself
}

func (t *turns) tell(text string) {
	if t.said != text {
		t.said = text
		t.say.line("%s", text)
	}
}
