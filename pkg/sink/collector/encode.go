package collector

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// idempotencyKey is the header that names the events of a request, so that a collector can tell one that it has had.
const idempotencyKey = "Idempotency-Key"

// format writes the bodies of requests. It holds no state.
type format struct {
	array bool
	text  bool // bodies are text, which stands in an array as JSON strings
}

// contentType is what is written if the configuration says nothing else.
func (f format) contentType() string {
	switch {
	case f.array:
		return "application/json"
	case f.text:
		return "text/plain; charset=utf-8"
	}
	return "application/x-ndjson"
}

// append appends event i of n, with what stands before and behind it:
//
//	BODY      or  [BODY
//	BODY          ,BODY
//	BODY          ,BODY]
func (f format) append(dst []byte, i, n int, body []byte) []byte {
	if !f.array {
		dst = append(dst, body...)
		return append(dst, '\n')
	}
	if i == 0 {
		dst = append(dst, '[')
	} else {
		dst = append(dst, ',')
	}
	if f.text {
		dst = jsonscan.AppendString(dst, body)
	} else {
		dst = append(dst, body...)
	}
	if i == n-1 {
		dst = append(dst, ']')
	}
	return dst
}

// keyOf names a request by the events in it and their order: the same for the same, another for any others.
func keyOf(events []event.Event) string {
	h := sha256.New()
	for i := range events {
		h.Write(events[i].EventID[:]) // all are of one length
	}
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(h.Sum(sum[:0])[:16])
}
