package syslog

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// noReply are the properties that a protocol without replies cannot have.
var noReply = map[string]string{
	"cut-after":     "syslog has no reply: a cut after the request looks like one long after it; TestDyingPeerLosesNothing",
	"cut-during":    "syslog has no reply that could break off",
	"cut-replied":   "as cut-during",
	"partial":       "as refuse-marked",
	"refuse-marked": "syslog has no reply: a receiver cannot refuse an event",
}

func TestContractTLS(t *testing.T) {
	ca := newAuthority(t)
	server := ca.server(t)
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
			c := newContract(t, server, ca.file("ca.pem"))
			return c, c
		},
		TooLarge: tooLarge,
		Skip:     noReply,
	})
}

func TestContractTCP(t *testing.T) {
	skip := maps.Clone(noReply)
	skip["busy"] = "plain TCP has no handshake: a receiver that closes at once may have acknowledged bytes; TestReplay"
	skip["deny"] = "plain TCP has no way to refuse"
	skip["hang"] = "a small batch is acknowledged by the receiver's kernel, whatever its program does; TestNotRead"
	skip["close-while-sending"] = "as hang"
	skip["cut-before"] = "as busy"
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
			c := newContract(t, nil, "")
			return c, c
		},
		TooLarge: tooLarge,
		Skip:     skip,
	})
}

const tooLarge = 2 << 20

// contract is the peer of sinktest, with the sink in front of it.
type contract struct {
	*Sink
	*peer
	tls   *tls.Config
	taken atomic.Int64 // events that Send has reported as sent
}

func newContract(t *testing.T, server *tls.Config, caFile string) *contract {
	c := &contract{tls: server}
	c.peer = newPeer(t, c.serve)
	c.Sink = newSink(t, c.peer, func(cfg *Config) {
		cfg.MaxMessageBytes, cfg.OnOversize = tooLarge, deadLetter
		if server != nil {
			cfg.Address = "tls://" + c.ln.Addr().String()
			cfg.TLS.CAFile = caFile
		}
	}, Options{})
	return c
}

func (c *contract) Send(ctx context.Context, events []event.Event) error {
	err := c.Sink.Send(ctx, events)
	if mode := c.now(); err == nil && (mode == sinktest.Accept || mode == sinktest.Slow) { // over plain TCP the kernel takes what its program then will not
		c.taken.Add(int64(len(events)))
	}
	return err
}

func (c *contract) serve(p *peer, tcp net.Conn) {
	conn := tcp
	mode := p.now()
	switch mode {
	case sinktest.Busy:
		return
	case sinktest.Hang:
		io.Copy(io.Discard, tcp) // reads, and never says anything: with TLS a handshake without an end
		return
	}
	if c.tls != nil {
		cfg := c.tls.Clone()
		if mode == sinktest.Deny {
			cfg.ClientAuth = tls.RequireAndVerifyClientCert
		}
		tc := tls.Server(conn, cfg)
		defer tc.Close()
		if tc.HandshakeContext(context.Background()) != nil {
			return
		}
		conn = tc
	}
	r := bufio.NewReader(conn)
	if mode == sinktest.Slow {
		r = bufio.NewReader(drip{conn})
	}
	for mode != sinktest.CutBefore && p.storeOne(r) && mode != sinktest.CutAfter {
	}
}

// drip reads byte by byte.
type drip struct{ net.Conn }

func (d drip) Read(p []byte) (int, error) {
	<-time.After(100 * time.Microsecond)
	return d.Conn.Read(p[:1])
}

func (p *peer) now() sinktest.Mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

// Set breaks what is connected, as modes are of connections, but lets the program read first what its kernel has acknowledged.
func (c *contract) Set(mode sinktest.Mode) {
	c.Received()
	c.peer.mu.Lock()
	changed := c.mode != mode
	c.mode = mode
	c.peer.mu.Unlock()
	if changed {
		c.cut()
	}
}

// Received gives every message once, repeats after a reconnect being known by their event_id. It waits until the program has
// read all that Send has reported as sent.
func (c *contract) Received() []sinktest.Received {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	late := time.After(5 * time.Second)
	for {
		var all []sinktest.Received
		seen := map[string]bool{}
		for _, m := range c.messages() {
			if id := m.params["event_id"]; !seen[id] {
				seen[id] = true
				all = append(all, sinktest.Received{EventID: id, Body: m.body})
			}
		}
		if len(all) >= int(c.taken.Load()) {
			return all
		}
		select {
		case <-tick.C:
		case <-late:
			return all
		}
	}
}

// Drain forgets what it gives.
func (c *contract) Drain() []sinktest.Received {
	all := c.Received()
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.got = nil
	c.taken.Store(0)
	return all
}
