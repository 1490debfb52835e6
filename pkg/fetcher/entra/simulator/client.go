package simulator

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
)

// Client returns a client whose every request, whatever its host and scheme, is answered by the server in the caller's goroutine: no sockets and no
// goroutines, so that it works in a synctest bubble and costs little. https addresses need no certificate. It does as net/http does over connections
// where a test can tell: see memory.
func (s *Server) Client() *http.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing == nil {
		s.closing = make(chan struct{})
	}
	return &http.Client{Transport: &memory{server: s, closed: s.closing, idle: map[origin]int{}}}
}

// Close ends the requests of all clients from Client and refuses further ones. Listeners have a Close of their own.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != nil {
		close(s.closing)
		s.closing = nil
	}
	return nil
}

var errClosed = errors.New("dial simulator: it is closed")

const maxIdle = 8 // connections to an origin that memory would keep open

// memory is a transport that calls the server. It has no connections, but counts those that net/http would have: a request over one that was used before,
// and that breaks ahead of the reply, is sent again if it is a GET without a body; httptrace is told of each attempt.
type memory struct {
	server *Server
	closed <-chan struct{}

	mu   sync.Mutex
	idle map[origin]int
}

type origin struct{ scheme, host string }

// RoundTrip implements http.RoundTripper. A connection that breaks ahead of the reply is io.EOF, one that breaks in a body io.ErrUnexpectedEOF there.
func (m *memory) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	body := req.Body != nil && req.Body != http.NoBody
	if body {
		defer req.Body.Close()
	}
	to := origin{req.URL.Scheme, req.URL.Host}
	trace := httptrace.ContextClientTrace(ctx)
	for {
		if trace != nil && trace.GetConn != nil {
			trace.GetConn(to.host)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		used := m.dial(to)
		resp, err := m.try(req, to)
		if err != io.EOF || !used || body || req.Method != http.MethodGet {
			return resp, err
		}
	}
}

// dial takes a connection and says whether it was used before.
func (m *memory) dial(to origin) (used bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used = m.idle[to] > 0
	if used {
		m.idle[to]--
	}
	return used
}

// release gives a connection back whose reply was read.
func (m *memory) release(to origin) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle[to] = min(maxIdle, m.idle[to]+1)
}

// overTLS marks requests for https addresses.
var overTLS = &tls.ConnectionState{}

func (m *memory) try(req *http.Request, to origin) (*http.Response, error) {
	ctx := req.Context()
	r := req.WithContext(ctx) // a copy, as the handlers of token requests change theirs
	r.Host = cmp.Or(req.Host, to.host)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if to.scheme == "https" {
		r.TLS = overTLS
	}
	w := &memoryReply{header: make(http.Header, 8), closed: m.closed}
	select {
	case <-m.closed:
		return nil, errClosed
	default:
		w.serve(m.server, r)
	}
	switch {
	case w.status == 0 && w.broken:
		return nil, io.EOF
	case w.status == 0 && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case w.status == 0:
		return nil, errClosed
	}
	b := &memoryBody{ctx: ctx, rest: w.body, end: io.EOF, done: func(whole bool) {
		if w.done != nil {
			w.done(whole)
		}
		if whole {
			m.release(to)
		}
	}}
	if w.broken {
		b.end = io.ErrUnexpectedEOF
	}
	size, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64)
	if err != nil {
		size = -1
	}
	return &http.Response{Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: b, ContentLength: size, Request: req}, nil
}

// memoryReply is the http.ResponseWriter of memory.
type memoryReply struct {
	header http.Header
	status int // 0 before the reply begins
	body   []byte
	done   func(whole bool) // from hand
	broken bool             // the handler has ended the connection
	closed <-chan struct{}
}

func (w *memoryReply) Header() http.Header { return w.header }

func (w *memoryReply) WriteHeader(status int) { w.status = cmp.Or(w.status, status) }

func (w *memoryReply) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, p...)
	return len(p), nil
}

// hand makes body the reply's, without a copy. done is told when the client has read all of it, or has left before; then body is free again.
func (w *memoryReply) hand(body []byte, done func(whole bool)) {
	w.WriteHeader(http.StatusOK)
	w.body, w.done = body, done
}

func (w *memoryReply) serve(s *Server, r *http.Request) {
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			w.broken = true
		} else if v != nil {
			panic(v)
		}
	}()
	s.ServeHTTP(w, r)
}

// memoryBody is a reply's body on its way to the client.
type memoryBody struct {
	ctx  context.Context
	end  error // what a reader meets behind the last byte
	mu   sync.Mutex
	rest []byte
	done func(whole bool) // nil once told
	shut bool
}

func (b *memoryBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.shut:
		return 0, http.ErrBodyReadAfterClose
	case b.ctx.Err() != nil && len(b.rest) > 0:
		return 0, context.Cause(b.ctx)
	case len(b.rest) == 0:
		return 0, b.end
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) == 0 {
		b.tell(b.end == io.EOF)
	}
	return n, nil
}

func (b *memoryBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut, b.rest = true, nil
	b.tell(false)
	return nil
}

func (b *memoryBody) tell(whole bool) {
	if b.done != nil {
		b.done(whole)
		b.done = nil
	}
}
