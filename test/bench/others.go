package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"

	"github.com/logferry/logferry/pkg/event"
)

type opener = func() (func(context.Context, []event.Event) error, func() error, error)

// bulkIndexer is the vendor's client, with batches and workers like those of our sink.
func bulkIndexer(url string, level int) opener {
	return func() (func(context.Context, []event.Event) error, func() error, error) {
		client, err := elasticsearch.NewClient(elasticsearch.Config{
			Addresses: []string{url}, CompressRequestBody: level != gzip.NoCompression, CompressRequestBodyLevel: level, PoolCompressor: true,
		})
		if err != nil {
			return nil, nil, err
		}
		indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{
			Client: client, Index: "logs-entra.signins-default", NumWorkers: 2, FlushBytes: 2 << 20,
			OnError: func(_ context.Context, err error) { fmt.Fprintln(os.Stderr, "esutil:", err) },
		})
		if err != nil {
			return nil, nil, err
		}
		deliver := func(ctx context.Context, events []event.Event) error {
			for i := range events {
				item := esutil.BulkIndexerItem{Action: "create", DocumentID: events[i].EventID.String(), Body: bytes.NewReader(events[i].Body)}
				if err := indexer.Add(ctx, item); err != nil {
					return err
				}
			}
			if err := indexer.Close(ctx); err != nil {
				return err
			}
			if stats := indexer.Stats(); stats.NumFailed > 0 || stats.NumFlushed != uint64(len(events)) {
				return fmt.Errorf("%d of %d events were taken", stats.NumFlushed, len(events))
			}
			return nil
		}
		return deliver, func() error { return nil }, nil
	}
}

// envelope is what a first version of a HEC client has.
type envelope struct {
	Time       float64           `json:"time"`
	Host       string            `json:"host"`
	Source     string            `json:"source"`
	Sourcetype string            `json:"sourcetype"`
	Fields     map[string]string `json:"fields"`
	Event      json.RawMessage   `json:"event"`
}

// naiveHEC is the client that one writes in an afternoon: encoding/json, 100 events a request, one request after the other.
func naiveHEC(url string, zip bool) opener {
	return func() (func(context.Context, []event.Event) error, func() error, error) {
		client := &http.Client{Transport: &http.Transport{}}
		deliver := func(ctx context.Context, events []event.Event) error {
			for chunk := range slices.Chunk(events, 100) {
				if err := postEnvelopes(ctx, client, url, chunk, zip); err != nil {
					return err
				}
			}
			return nil
		}
		end := func() error {
			client.CloseIdleConnections()
			return nil
		}
		return deliver, end, nil
	}
}

func postEnvelopes(ctx context.Context, client *http.Client, url string, events []event.Event, zip bool) error {
	var body bytes.Buffer
	w := io.Writer(&body)
	var zipper *gzip.Writer
	if zip {
		zipper = gzip.NewWriter(&body)
		w = zipper
	}
	for _, e := range events {
		text, err := json.Marshal(envelope{
			Time: float64(e.Time.UnixMicro()) / 1e6, Host: e.Key.Tenant, Source: "bench", Sourcetype: "entra:signin",
			Fields: map[string]string{"event_id": e.EventID.String()}, Event: e.Body,
		})
		if err != nil {
			return err
		}
		w.Write(text)
	}
	if zip {
		zipper.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/services/collector/event", &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Splunk token")
	if zip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var reply struct{ Code int }
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || reply.Code != 0 {
		return errors.New(resp.Status)
	}
	return nil
}
