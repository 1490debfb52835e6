package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// record is one line of output. Of headers with the same key the last is shown. Bytes that are no UTF-8 go to the
// base64 fields: a JSON string would silently change them.
type record struct {
	Topic       string             `json:"topic"`
	Partition   int32              `json:"partition"`
	Offset      int64              `json:"offset"`
	TimestampMS int64              `json:"timestamp_ms"`
	Key         *string            `json:"key"` // null when the record has none
	KeyBase64   []byte             `json:"key_base64,omitempty"`
	Headers     map[string]*string `json:"headers"`
	HeadersB64  map[string][]byte  `json:"headers_base64,omitempty"`
	Value       *string            `json:"value"` // null for a tombstone
	ValueBase64 []byte             `json:"value_base64,omitempty"`
}

func writeRecord(out *bufio.Writer, r *kgo.Record) error {
	rec := record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, TimestampMS: r.Timestamp.UnixMilli(),
		Headers: map[string]*string{},
	}
	rec.Key, rec.KeyBase64 = text(r.Key)
	rec.Value, rec.ValueBase64 = text(r.Value)
	for _, h := range r.Headers {
		s, raw := text(h.Value)
		rec.Headers[h.Key] = s
		if raw != nil {
			if rec.HeadersB64 == nil {
				rec.HeadersB64 = map[string][]byte{}
			}
			rec.HeadersB64[h.Key] = raw
		}
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(rec); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// text returns b as a string if it is UTF-8, else as bytes, neither if b is nil.
func text(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}
