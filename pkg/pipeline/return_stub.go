package pipeline

import (
	"context"

	"github.com/logferry/logferry/pkg/event"
)

// Return puts dead letters on their way again and gives their number.
func (p *Pipeline) Return(ctx context.Context, f event.LetterFilter) (int, error) {
	return p.o.Journal.Return(ctx, f)
}

// LettersChanged has the lanes look at their letters: some were put on their way or dropped.
func (p *Pipeline) LettersChanged() {}
