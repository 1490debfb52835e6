package app

import (
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/pipeline"
)

// warn logs what is to be known of a source's credential while it still works.
func (a *App) warn(source string) func(error) {
	return func(err error) { a.log.Warn("the credential needs care", zap.String("source", source), zap.Error(err)) }
}

// prompt logs where somebody has to sign in: the process may have no terminal, and status shows the same.
func (a *App) prompt(source string) func(auth.Prompt) {
	return func(p auth.Prompt) {
		a.log.Warn("somebody has to sign in", zap.String("source", source), zap.String("url", p.URL), zap.String("code", p.Code),
			zap.Time("until", p.Until), zap.String("why", p.Why))
	}
}

// credential makes faults of what there is to mend.
func credential(s auth.Standing) (time.Time, []pipeline.Fault) {
	var wrong []pipeline.Fault
	for _, n := range s.Notes {
		wrong = append(wrong, pipeline.Fault{Err: n.Text, Since: n.Since, Blocked: n.Blocked})
	}
	return s.Expires, wrong
}
