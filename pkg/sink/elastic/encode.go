package elastic

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// target is the name of the data stream or index, as JSON.
type target struct {
	quoted   []byte // nil if it depends on the record
	template event.Template
}

func newTarget(name string) (target, error) {
	t, err := event.ParseTemplate(name)
	if err != nil {
		return target{}, fmt.Errorf("parse name of data stream or index: %w", err)
	}
	if constant, value := t.Constant(); constant {
		return target{quoted: jsonscan.AppendString(nil, value)}, nil
	}
	return target{template: t}, nil
}

// append appends the action and the document of an event, a line each:
//
//	{"create":{"_index":"logs-entra.signins-default","_id":"kPhw4YSuk4--crtxSD5wlw"}}
//	BODY
func (t *target) append(dst []byte, e *event.Event) []byte {
	dst = append(dst, `{"create":{"_index":`...)
	if t.quoted != nil {
		dst = append(dst, t.quoted...)
	} else {
		var buf [128]byte
		dst = jsonscan.AppendString(dst, lower(t.template.Append(buf[:0], &e.Record)))
	}
	dst = append(dst, `,"_id":"`...)
	dst = append(dst, e.EventID[:]...)
	dst = append(dst, `"}}`+"\n"...)
	dst = append(dst, e.Body...)
	return append(dst, '\n')
}

// lower puts a name into lower case, in place: there are no others. Tenants and streams are ASCII.
func lower(name []byte) []byte {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
	return name
}

// chunk is how much text is gathered before it is compressed: it stays in the processor's cache.
const chunk = 64 << 10

// buffer is what one request is made in. Its memory is used again.
type buffer struct {
	text   []byte
	zipped bytes.Buffer
	zip    *gzip.Writer
}

func newBuffer() *buffer {
	b := &buffer{}
	b.zip, _ = gzip.NewWriterLevel(&b.zipped, gzip.BestSpeed) // fails for unknown levels only
	return b
}

// encode gives the request's body, which is valid until the next call.
func (b *buffer) encode(t *target, events []event.Event, zip bool) []byte {
	b.text = b.text[:0]
	if !zip {
		for i := range events {
			b.text = t.append(b.text, &events[i])
		}
		return b.text
	}
	b.zipped.Reset()
	b.zip.Reset(&b.zipped)
	for i := range events {
		b.text = t.append(b.text, &events[i])
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
