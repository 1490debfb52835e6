package app

import (
	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/normalizer"
)

// normalizer makes the mapping, which tells of what it does not know: once in the log, by name, and as a metric. Microsoft adds members
// every few months; the record keeps them, and rules may want them before a release of ours maps them.
func (a *App) normalizer() (*normalizer.Normalizer, error) {
	n, err := normalizer.NewWith(normalizer.Options{Unknown: func(stream, name string) {
		a.log.Info("records have what this version does not map; it is in the record alone", zap.String("stream", stream), zap.String("member", name),
			zap.Int("mapping", normalizer.Version))
	}})
	if err != nil {
		return nil, err
	}
	a.metrics.Unknown(func(yield func(stream, member string, count uint64)) {
		for _, u := range n.Unknown() {
			yield(u.Stream, u.Name, u.Count)
		}
	})
	return n, nil
}
