package elastic

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// TestCutReplies has the server store three events and die after each byte of its reply. Nothing is lost, and an event that was
// stored is sent again only if its reply was not whole; being known it is not stored twice.
func TestCutReplies(t *testing.T) {
	c := newCluster(t)
	whole := record(t, c)
	s := newSink(t, c, nil)
	for at := 0; at <= len(whole); at++ {
		c.Drain()
		c.repeats = 0
		c.reply = func(w http.ResponseWriter, r *http.Request) bool {
			c.reply = nil // of the request that follows
			rec := httptest.NewRecorder()
			c.ServeHTTP(rec, r)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return true
			}
			conn.Write(response(rec)[:at])
			conn.Close()
			return true
		}
		err := s.Send(t.Context(), samples(3))
		if at < len(whole) && outcome(err) != "retryable" || at == len(whole) && err != nil {
			t.Fatalf("after %d bytes of %d: %v", at, len(whole), err)
		}
		repeats := 0
		if err != nil {
			repeats = 3
			if err := s.Send(t.Context(), samples(3)); err != nil {
				t.Fatalf("again after %d bytes: %v", at, err)
			}
		}
		if got := c.Received(); len(got) != 3 || c.repeats != repeats {
			t.Fatalf("cut after %d bytes: %d events are stored, %d were there; want 3 and %d", at, len(got), c.repeats, repeats)
		}
	}
}

// record gives the bytes of the reply to three events.
func record(t *testing.T, c *cluster) []byte {
	to, err := newTarget("logs-entra.{family}-default")
	if err != nil {
		t.Fatal(err)
	}
	body := newBuffer().encode(&to, samples(3), false)
	r := httptest.NewRequest(http.MethodPost, "/_bulk", bytes.NewReader(body))
	r.Header = http.Header{"Content-Type": {"application/x-ndjson"}, "Authorization": {c.auth}}
	rec := httptest.NewRecorder()
	c.ServeHTTP(rec, r)
	return response(rec)
}

func response(rec *httptest.ResponseRecorder) []byte {
	var out bytes.Buffer
	resp := rec.Result()
	resp.ContentLength = int64(rec.Body.Len())
	resp.Write(&out)
	return out.Bytes()
}

// TestCutRequests breaks the connection after each byte of a request with three events.
func TestCutRequests(t *testing.T) {
	c := newCluster(t)
	var sent atomic.Int64 // over all connections
	left := 1 << 20       // bytes until the next connection breaks
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &cutConn{Conn: conn, left: left, sent: &sent}, err
	}
	cfg := Config{Endpoints: []string{c.URL}, APIKeyFile: secretFile(t, testKey), Compression: "none"}
	s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(t.Context(), samples(3)); err != nil {
		t.Fatal(err)
	}
	for at, whole := 0, int(sent.Load()); at < whole; at++ {
		c.Drain()
		left = at
		if err := s.Send(t.Context(), samples(3)); outcome(err) != "retryable" {
			t.Fatalf("after %d bytes of %d: %v", at, whole, err)
		}
		left = 1 << 20
		if err := s.Send(t.Context(), samples(3)); err != nil {
			t.Fatalf("again after %d bytes: %v", at, err)
		}
		if got := c.Received(); len(got) != 3 || c.repeats != 0 {
			t.Fatalf("cut after %d bytes: %d events are stored, %d were there", at, len(got), c.repeats)
		}
	}
}

// cutConn breaks when as many bytes have been written as are left.
type cutConn struct {
	net.Conn
	left int
	sent *atomic.Int64
}

func (c *cutConn) Write(p []byte) (int, error) {
	part := p[:min(len(p), c.left)]
	c.left -= len(part)
	c.sent.Add(int64(len(part)))
	n, err := c.Conn.Write(part)
	if err == nil && n < len(p) {
		c.Close()
		err = io.ErrClosedPipe
	}
	return n, err
}

// TestCutBodies has replies whose length is not announced, so that the end of the connection is the end of the reply: then only
// the JSON tells a cut one from a whole one.
func TestCutBodies(t *testing.T) {
	events := samples(3)
	reply := bulkReply(events, map[int]string{1: failure(429, "es_rejected_execution_exception", "x"), 2: failure(400, "mapper_parsing_exception", "y")})
	for at := range len(reply) + 1 {
		s, err := New(Config{Endpoints: []string{"https://es.example.com"}}, event.Schema{Name: "ecs"}, Options{
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				r.Body.Close()
				return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader(reply[:at]))}, nil
			})})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Send(t.Context(), events)
		if at < len(reply) {
			if outcome(err) != "retryable" {
				t.Errorf("after %d bytes of %d: %v", at, len(reply), err)
			}
			continue
		}
		if failed := fault.Failed(err); len(failed) != 2 || outcome(failed[1]) != "retryable" || outcome(failed[2]) != "poison" {
			t.Errorf("the whole reply: %v", failed)
		}
	}
}
