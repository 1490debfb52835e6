package post

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// chunk is how much text is gathered before it is compressed: it stays in the processor's cache.
const chunk = 64 << 10

// Buffers are what requests are made in. Their memory is used again. The zero value is ready.
type Buffers struct{ pool sync.Pool } // of *Buffer

// Get gives a Buffer for one request, which gives it back.
func (p *Buffers) Get() *Buffer {
	if b, ok := p.pool.Get().(*Buffer); ok {
		return b
	}
	b := &Buffer{home: p}
	// The fastest level costs the least CPU per event. NewWriterLevel fails for unknown levels only.
	b.zip, _ = gzip.NewWriterLevel(&b.zipped, gzip.BestSpeed)
	return b
}

// Buffer is what one request is made in.
type Buffer struct {
	home   *Buffers
	text   []byte
	zipped bytes.Buffer
	zip    *gzip.Writer
	packed bool // the content is compressed
}

// Encode makes the request's body of n parts, which part appends one by one. It is valid until the next call, or until the body of
// a Request made of it is closed.
func (b *Buffer) Encode(n int, zip bool, part func(dst []byte, i int) []byte) []byte {
	b.text, b.packed = b.text[:0], zip
	if !zip {
		for i := range n {
			b.text = part(b.text, i)
		}
		return b.text
	}
	b.zipped.Reset()
	b.zip.Reset(&b.zipped)
	for i := range n {
		b.text = part(b.text, i)
		if len(b.text) >= chunk {
			b.zip.Write(b.text) // into memory: does not fail
			b.text = b.text[:0]
		}
	}
	b.zip.Write(b.text)
	b.zip.Close()
	return b.zipped.Bytes()
}

// Request makes a request of what was encoded, with Content-Encoding if it is compressed. When its body is closed, the buffer goes
// to another request.
func (b *Buffer) Request(method string, to *url.URL, header http.Header) *http.Request {
	content := b.text
	if b.packed {
		content = b.zipped.Bytes()
		header.Set("Content-Encoding", "gzip")
	}
	// Without GetBody the transport cannot send the body a second time on its own.
	return &http.Request{
		Method: method, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        header,
		Body:          &body{content: content, release: func() { b.home.pool.Put(b) }},
		ContentLength: int64(len(content)),
	}
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
