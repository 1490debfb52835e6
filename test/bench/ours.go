package main

import (
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/collector"
	"github.com/logferry/logferry/pkg/sink/elastic"
	"github.com/logferry/logferry/pkg/sink/file"
	"github.com/logferry/logferry/pkg/sink/kafka"
	"github.com/logferry/logferry/pkg/sink/splunk"
	"github.com/logferry/logferry/pkg/sink/syslog"
)

// sink has the shape that the pipeline knows.
type sink interface {
	Send(ctx context.Context, events []event.Event) error
	Limits() event.Limits
	Close() error
}

// senders are ours, each followed by those that do the same.
func senders(to addresses, dir string) []sender {
	token := filepath.Join(dir, "token")
	ecs := event.Schema{Name: "ecs"}
	hec := func(compression string) func() (sink, error) {
		return func() (sink, error) {
			if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
				return nil, err
			}
			cfg := splunk.Default()
			cfg.Endpoints, cfg.TokenFile, cfg.Compression, cfg.Ack = []string{to.HTTP}, token, compression, "off"
			return splunk.New(cfg, ecs, splunk.Options{})
		}
	}
	bulk := func(compression string) func() (sink, error) {
		return func() (sink, error) {
			cfg := elastic.Default()
			cfg.Endpoints, cfg.Compression = []string{to.HTTP}, compression
			return elastic.New(cfg, ecs, elastic.Options{})
		}
	}
	return []sender{
		ours("splunk gzip", hec("gzip")),
		{"naive HEC gzip", "splunk gzip", naiveHEC(to.HTTP, true)},
		ours("splunk none", hec("none")),
		{"naive HEC none", "splunk none", naiveHEC(to.HTTP, false)},
		ours("elastic gzip", bulk("gzip")),
		{"esutil.BulkIndexer gzip", "elastic gzip", bulkIndexer(to.HTTP, gzip.DefaultCompression)},
		{"esutil.BulkIndexer gzip 1", "elastic gzip", bulkIndexer(to.HTTP, gzip.BestSpeed)},
		ours("elastic none", bulk("none")),
		{"esutil.BulkIndexer none", "elastic none", bulkIndexer(to.HTTP, gzip.NoCompression)},
		ours("http gzip", func() (sink, error) {
			cfg := collector.Default()
			cfg.Endpoints = []string{to.HTTP + "/ingest"}
			return collector.New(cfg, ecs, collector.Options{})
		}),
		ours("kafka lz4", func() (sink, error) {
			return kafka.New(kafka.Config{Brokers: []string{to.Kafka}, Topic: topic}, kafka.Options{})
		}),
		ours("syslog tcp", func() (sink, error) {
			return syslog.New(syslog.Config{Address: "tcp://" + to.Syslog}, syslog.Options{})
		}),
		ours("file", func() (sink, error) {
			path := filepath.Join(dir, "events.ndjson")
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
			return file.New(file.Config{Path: path})
		}),
	}
}

// ours sends as a lane does: cut to the sink's limits, so many requests at once as it takes.
func ours(name string, open func() (sink, error)) sender {
	return sender{name: name, open: func() (func(context.Context, []event.Event) error, func() error, error) {
		s, err := open()
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, events []event.Event) error { return lane(ctx, s, events) }, s.Close, nil
	}}
}

func lane(ctx context.Context, s sink, events []event.Event) error {
	limits := s.Limits()
	var mu sync.Mutex // guards events
	next := func() []event.Event {
		mu.Lock()
		defer mu.Unlock()
		n, size := 0, 0
		for n < len(events) && (limits.Events == 0 || n < limits.Events) {
			if size += len(events[n].Body); n > 0 && limits.Bytes > 0 && size > limits.Bytes {
				break
			}
			n++
		}
		batch := events[:n]
		events = events[n:]
		return batch
	}
	g, ctx := errgroup.WithContext(ctx)
	for range max(1, limits.InFlight) {
		g.Go(func() error {
			for batch := next(); len(batch) > 0; batch = next() {
				if err := s.Send(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
