package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/budget"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/route"
	"github.com/logferry/logferry/pkg/sink/collector"
	"github.com/logferry/logferry/pkg/sink/elastic"
	"github.com/logferry/logferry/pkg/sink/file"
	"github.com/logferry/logferry/pkg/sink/kafka"
	"github.com/logferry/logferry/pkg/sink/splunk"
	"github.com/logferry/logferry/pkg/sink/syslog"
)

// fetcher makes the reader of one tenant. resumed says that another process may have read it just now.
func (a *App) fetcher(s config.Source, resumed bool) (*entra.Fetcher, error) {
	return entra.New(s.Entra.Graph, entra.Options{
		Transport: a.o.Transport, UserAgent: "logferry/" + a.o.Version, Observe: a.observe(s.Name), Shared: a.shared, Resumed: resumed,
		Warn: a.warn(s.Name), Prompt: a.prompt(s.Name),
	})
}

// source says how a tenant is read.
func (a *App) source(s config.Source, f *entra.Fetcher) (*pipeline.Source, error) {
	names, err := s.Entra.Graph.StreamNames()
	if err != nil {
		return nil, err
	}
	interval := f.Budget().Interval
	return &pipeline.Source{
		Name: s.Name, Cloud: f.Cloud(), Tenant: s.Entra.Graph.Tenant, Fetcher: f, Identify: f.Tenant, Now: f.Now,
		Smaller: entra.HalveHint, TooOld: entra.TooOld, Retention: f.Retention, Page: f.Page, Moves: f.Moves, Filter: f.Filter, Apart: f.Apart,
		Spent:      func() pipeline.Spent { return spent(f.Budget()) },
		Credential: func() (time.Time, []pipeline.Fault) { return credential(f.Credential()) },
		Capacity:   capacity(f), Parallel: int(min(8, 4*time.Second/interval)),
		Streams: names, Time: s.Entra.Time, DigestVersion: entra.DigestVersion,
	}, nil
}

// capacity is how many requests a second the budget allows.
func capacity(f *entra.Fetcher) float64 { return 1 / f.Budget().Interval.Seconds() }

func spent(b budget.Stats) pipeline.Spent {
	return pipeline.Spent{Requests: b.Granted, Waiting: b.Waiting, Paused: b.Paused, Throttled: b.Throttled, Until: b.PausedUntil}
}

// observe counts the requests to the API and tells of each: at level warn of those that failed, with the ids that Microsoft's
// support asks for, and of all others at level debug.
func (a *App) observe(source string) func(entra.Request) {
	log := a.log.With(zap.String("source", source))
	return func(r entra.Request) {
		a.metrics.Request(source, r.Stream, r.Status, r.Bytes, r.Duration)
		level, what := zap.DebugLevel, "request"
		if (r.Err != nil || r.Status >= 400) && !errors.Is(r.Err, context.Canceled) {
			level, what = zap.WarnLevel, "request failed"
		}
		if entry := log.Check(level, what); entry != nil {
			entry.Write(zap.String("stream", r.Stream), zap.String("reader", r.Reader), zap.Int("page", r.Page), zap.String("method", r.Method),
				zap.String("url", r.URL), zap.Int("status", r.Status), zap.Duration("waited", r.Waited), zap.Duration("took", r.Duration),
				zap.Int("rows", r.Rows), zap.Int("bytes", r.Bytes), zap.String("request_id", r.RequestID),
				zap.String("client_request_id", r.ClientRequestID), zap.String("diagnostic", r.Diagnostic), zap.Error(r.Err))
		}
	}
}

// outlet makes one sink and says what it is to get.
func (a *App) outlet(s config.Sink, n *normalizer.Normalizer) (pipeline.Outlet, error) {
	schema, err := n.Schema(s.SchemaName(), s.Schema.Options)
	if err != nil {
		return pipeline.Outlet{}, err
	}
	var told tally
	if a.idle {
		return pipeline.Outlet{Name: s.Name, Sink: idle{}, Schema: schema, Wants: wants(s)}, nil
	}
	trimmer, err := route.NewTrimmer(s.Route)
	if err != nil {
		return pipeline.Outlet{}, err
	}
	sink, err := a.sink(s, schema, func(key event.StreamKey, n int) {
		a.metrics.Truncated(s.Name, n)
		told.add(key, event.SinkCounts{Truncated: uint64(n)})
	}, func(key event.StreamKey, n int) {
		a.metrics.Duplicates(s.Name, n)
		told.add(key, event.SinkCounts{Duplicates: uint64(n)})
	})
	if err != nil {
		return pipeline.Outlet{}, err
	}
	if a.o.Sink != nil {
		sink = a.o.Sink(s, sink)
	}
	outlet := pipeline.Outlet{
		Name: s.Name, Was: s.Was, Sink: a.metrics.Sink(s.Name, sink), Schema: schema, Paused: s.Paused, SkipOldest: s.SkipsOldest(),
		Told:  told.take,
		Wants: wants(s),
	}
	if filter := route.NewFilter(s.Route.Where, n); filter != nil {
		outlet.Keep = filter.Keep
	}
	if trimmer != nil {
		outlet.Trim = trimmer.Trim
	}
	return outlet, nil
}

func wants(s config.Sink) func(event.StreamKey) bool {
	return func(key event.StreamKey) bool { return s.Wants(key.Stream) }
}

func (a *App) sink(s config.Sink, schema event.Schema, truncated, duplicate func(event.StreamKey, int)) (pipeline.Sink, error) {
	switch s.Block() {
	case "splunk":
		return splunk.New(*s.Splunk, schema, splunk.Options{})
	case "kafka":
		return kafka.New(*s.Kafka, kafka.Options{Schema: schema})
	case "syslog":
		return syslog.New(*s.Syslog, syslog.Options{OnTruncate: truncated})
	case "elastic":
		return elastic.New(*s.Elastic, schema, elastic.Options{OnDuplicate: duplicate})
	case "http":
		return collector.New(*s.HTTP, schema, collector.Options{})
	case "file":
		return file.New(*s.File)
	case "stdout":
		return file.NewStdout(*s.Stdout, file.Options{Writer: a.o.Stdout})
	}
	return nil, fmt.Errorf("no receiver is configured")
}

// tally counts what a sink has learned of delivered events, per stream, until it is asked.
type tally struct {
	mu     sync.Mutex
	counts map[event.StreamKey]event.SinkCounts
}

func (t *tally) add(key event.StreamKey, n event.SinkCounts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[event.StreamKey]event.SinkCounts{}
	}
	sum := t.counts[key]
	sum.Add(n)
	t.counts[key] = sum
}

func (t *tally) take() map[event.StreamKey]event.SinkCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}
