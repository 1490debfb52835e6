package splunk

import (
	"bytes"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/logferry/logferry/pkg/event"
)

const (
	// compressionLevel costs the least CPU per event; see BenchmarkEncode for the others.
	compressionLevel = gzip.BestSpeed
	// chunk is how much text is gathered before it is compressed: it stays in the processor's cache.
	chunk = 64 << 10
)

// buffer is what one request is made in. Its memory is used again.
type buffer struct {
	text   []byte
	zipped bytes.Buffer
	zip    *gzip.Writer
}

func newBuffer() *buffer {
	b := &buffer{}
	b.zip, _ = gzip.NewWriterLevel(&b.zipped, compressionLevel) // fails for unknown levels only
	return b
}

// encode gives the request's body, which is valid until the next call.
func (b *buffer) encode(e *encoder, events []event.Event, zip bool) []byte {
	b.text = b.text[:0]
	if !zip {
		for i := range events {
			b.text = e.append(b.text, &events[i])
		}
		return b.text
	}
	b.zipped.Reset()
	b.zip.Reset(&b.zipped)
	for i := range events {
		b.text = e.append(b.text, &events[i])
		if len(b.text) >= chunk {
			b.zip.Write(b.text) // into memory: does not fail
			b.text = b.text[:0]
		}
	}
	b.zip.Write(b.text)
	b.zip.Close()
	return b.zipped.Bytes()
}

// body gives its memory back when it is closed. The transport may still read, in another goroutine, when RoundTrip has returned
// (an early reply, a cancelled request), and promises only to close in the end.
type body struct {
	mu      sync.Mutex
	content []byte
	release func() // nil once closed
}

func newBody(content []byte, release func()) *body { return &body{content: content, release: release} }

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.release == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(b.content) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.content)
	b.content = b.content[n:]
	return n, nil
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.release != nil {
		b.release()
		b.content, b.release = nil, nil
	}
	return nil
}
