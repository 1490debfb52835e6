package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// Remembered is how long it is kept what was read of each minute: longer than the API keeps the records themselves.
const Remembered = 31 * 24 * time.Hour

// Idle opens the state of a configuration that nobody runs, to carry out orders. It delivers nothing: what is journalled waits
// for the next Run. It makes no state.
func Idle(cfg *config.Config, o Options) (*App, error) {
	if _, err := os.Stat(filepath.Join(cfg.State.Dir, "state.db")); err != nil {
		return nil, fmt.Errorf("%w: there is no state yet: %w", ErrUsage, err)
	}
	return newApp(cfg, o, true)
}

// idle stands in for a sink that is not needed: making one may open files and read secrets.
type idle struct{}

func (idle) Send(context.Context, []event.Event) error { return errors.New("nothing is delivered now") }
func (idle) Limits() event.Limits                      { return event.Limits{} }
func (idle) Close() error                              { return nil }

// Verify compares what the API shows of a closed stretch with what was read.
func (a *App) Verify(ctx context.Context, o pipeline.VerifyOrder, tell func(pipeline.Progress)) (result pipeline.VerifyResult, err error) {
	a.log.Info("verify is ordered", zap.Any("order", o))
	err = a.guard(ctx, func(ctx context.Context) error {
		result, err = a.pipeline.Verify(ctx, o, tell)
		return err
	})
	a.log.Info("verify ends", zap.Bool("complete", result.Complete), zap.Error(err))
	return result, err
}

// Resend reads a stretch again and journals it for one sink.
func (a *App) Resend(ctx context.Context, o pipeline.ResendOrder, tell func(pipeline.Progress)) (result pipeline.ResendResult, err error) {
	a.log.Info("resend is ordered", zap.Any("order", o))
	err = a.guard(ctx, func(ctx context.Context) error {
		result, err = a.pipeline.Resend(ctx, o, tell)
		return err
	})
	a.log.Info("resend ends", zap.Any("result", result), zap.Error(err))
	return result, err
}

// orders are what the control socket carries out.
func (a *App) orders() map[string]telemetry.Order {
	all := map[string]telemetry.Order{"verify": order(a.Verify), "resend": order(a.Resend), "turn": a.turnOrder}
	for _, verb := range letterVerbs {
		all[LettersOrder+verb] = order(func(ctx context.Context, o LetterOrder, tell func(Letter)) (LettersDone, error) {
			return a.letters(ctx, verb, o, tell)
		})
	}
	return all
}

func order[O, P, R any](do func(context.Context, O, func(P)) (R, error)) telemetry.Order {
	return func(ctx context.Context, body []byte, tell func(any)) (any, error) {
		var o O
		if err := json.Unmarshal(body, &o); err != nil {
			return nil, fmt.Errorf("decode order: %w", err)
		}
		return do(ctx, o, func(p P) { tell(p) })
	}
}
