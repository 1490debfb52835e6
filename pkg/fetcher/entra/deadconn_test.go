package entra

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/secure"
)

// pipes is a network of one host in memory.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	dials []*deaf
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	c := &deaf{Conn: ours}
	p.mu.Lock()
	p.dials = append(p.dials, c)
	p.mu.Unlock()
	p.accept <- theirs
	return c, nil
}

// deaf is a connection that a firewall or a failover can cut without a word: what is written goes nowhere, nothing arrives.
type deaf struct {
	net.Conn
	mu  sync.Mutex
	cut bool
}

func (d *deaf) Write(b []byte) (int, error) {
	d.mu.Lock()
	cut := d.cut
	d.mu.Unlock()
	if cut {
		return len(b), nil
	}
	return d.Conn.Write(b)
}

// TestSilentlyDeadConnection: over HTTP/2 all requests share one connection, and one that ran into its time limit leaves it
// open. The next ones must not run into theirs on it for as long as the kernel repeats segments, a quarter of an hour.
func TestSilentlyDeadConnection(t *testing.T) {
	cfg := testConfig(t, func(c *Config) { c.TLS = secure.TLS{InsecureSkipVerify: true} })
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		server := &httptest.Server{Listener: network, EnableHTTP2: true, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				t.Errorf("%s came over %s", r.URL, r.Proto)
			}
			w.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(r.URL.Path, "/token") {
				fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":86400,"access_token":%q}`, jwt(1))
				return
			}
			_, _ = io.WriteString(w, auditPage(0, 1, ""))
		})}}
		server.StartTLS()
		defer server.Close()
		transport, err := newTransport(cfg)
		if err != nil {
			t.Fatal(err)
		}
		transport.DialContext = network.dial
		defer transport.CloseIdleConnections()
		f, err := New(cfg, Options{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		if _, ids, err := all(t.Context(), f, auditSlice()); len(ids) != 1 || err != nil {
			t.Fatalf("%v, %v", ids, err)
		}
		for _, c := range network.dials {
			c.mu.Lock()
			c.cut = true
			c.mu.Unlock()
		}
		start, tries := time.Now(), 1
		for ; time.Since(start) < 15*time.Minute; tries++ {
			if _, _, err = all(t.Context(), f, auditSlice()); err == nil {
				break
			}
		}
		if took := time.Since(start); err != nil || took > 3*time.Minute {
			t.Errorf("%d tries in %s, then %v", tries, took, err)
		}
	})
}
