package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"
)

// writer stores events as NDJSON. An error makes the receiver answer 500.
type writer struct {
	mu   sync.Mutex
	file *os.File
}

type line struct {
	Time       int64          `json:"time"` // unix nanoseconds; 0 when the event had none
	Host       any            `json:"host"` // null when the event had none, so the three below
	Source     any            `json:"source"`
	Sourcetype any            `json:"sourcetype"`
	Index      any            `json:"index"`
	Fields     map[string]any `json:"fields"`
	Event      any            `json:"event"`
}

// consume writes one request's events with one write, before the receiver replies: what a client was told is stored
// can be read from the file.
func (w *writer) consume(_ context.Context, logs plog.Logs) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	for _, resource := range logs.ResourceLogs().All() {
		meta := resource.Resource().Attributes().AsRaw()
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				err := enc.Encode(line{
					Time: int64(record.Timestamp()), Host: meta["host"], Source: meta["source"],
					Sourcetype: meta["sourcetype"], Index: meta["index"],
					Fields: record.Attributes().AsRaw(), Event: record.Body().AsRaw(),
				})
				if err != nil {
					return fmt.Errorf("encode event: %w", err)
				}
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.file.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}
