package sinktest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Cutter is a TCP proxy on loopback that breaks a connection after exactly so many bytes, as a machine does that dies. It is for
// sinks with one request under way at a time: bytes are counted over all connections.
type Cutter struct {
	listener net.Listener
	server   string // host:port

	mu    sync.Mutex
	cut   Cut
	armed bool
	bytes [2]int // since the cut was armed, by Way
	first []byte // of what has gone towards the server
	dying int    // connections that are cut but not closed at both ends
	idle  sync.Cond
	conns map[net.Conn]bool
}

// maxHead is the longest head of a request that is looked at.
const maxHead = 16 << 10

// Way is a direction.
type Way int

// The ways.
const (
	Request Way = iota // towards the server
	Reply              // towards the client
)

func (w Way) String() string {
	return [...]string{"request", "reply"}[w]
}

// Cut breaks the connection when After bytes have gone that Way. With 0 the first byte is not let through any more.
type Cut struct {
	Way   Way
	After int
}

// NewCutter makes a proxy to the server at host:port. It ends with t.Cleanup.
func NewCutter(t testing.TB, server string) *Cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cutter{listener: listener, server: server, conns: map[net.Conn]bool{}}
	c.idle.L = &c.mu
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns[client] = true
			c.mu.Unlock()
			wg.Go(func() { c.carry(client.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		c.mu.Lock()
		for conn := range c.conns {
			conn.Close()
		}
		c.mu.Unlock()
		wg.Wait()
	})
	return c
}

// Addr is what the client connects to.
func (c *Cutter) Addr() string { return c.listener.Addr().String() }

// Arm has the cut happen once, and counts bytes from 0.
func (c *Cutter) Arm(cut Cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.armed, c.bytes, c.first = cut, true, [2]int{}, nil
}

// Bytes is how many have gone each way since the last Arm.
func (c *Cutter) Bytes() (request, reply int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes[Request], c.bytes[Reply]
}

// head is the length of the head of the HTTP request that was sent first since the last Arm; 0 if it has no end.
func (c *Cutter) head() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := bytes.Index(c.first, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return 0
}

// Settle waits until both ends of a connection that was cut have let go of it: the server is done with what had reached it. It gives
// false if no cut has happened since Arm.
func (c *Cutter) Settle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed {
		return false
	}
	for c.dying > 0 {
		c.idle.Wait()
	}
	return true
}

func (c *Cutter) carry(client *net.TCPConn) {
	var wg sync.WaitGroup
	cut := false
	defer func() {
		client.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.conns, client)
		if cut {
			c.dying--
			c.idle.Broadcast()
		}
	}()
	conn, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	there := false
	wg.Go(func() {
		there = c.pump(Request, server, client)
		server.CloseWrite()
	})
	back := c.pump(Reply, client, server)
	client.CloseWrite()
	wg.Wait()
	cut = there || back
}

// pump copies until the connection ends, or is cut, which it tells. Then it goes on reading, for nobody: a close with unread bytes would reset the
// connection, and take back what the other end has not read yet.
func (c *Cutter) pump(way Way, to, from *net.TCPConn) (cut bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		n, cut := c.let(way, buf[:n])
		if cut && way == Request {
			from.CloseWrite() // first: no reply comes through any more
		}
		if _, writeErr := to.Write(buf[:n]); writeErr != nil {
			err = writeErr
		}
		if cut {
			to.CloseWrite()
			late := time.Now().Add(patience)
			from.SetReadDeadline(late)
			to.SetReadDeadline(late)
			io.Copy(io.Discard, from)
			return true
		}
		if err != nil {
			return false
		}
	}
}

// let tells how many of these bytes may pass, and whether the connection breaks after them.
func (c *Cutter) let(way Way, b []byte) (pass int, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(b)
	if left := c.cut.After - c.bytes[way]; c.armed && c.cut.Way == way && n > 0 && n >= left {
		n, cut, c.armed = left, true, false
		c.dying++
	}
	c.bytes[way] += n
	if way == Request && len(c.first) < maxHead {
		c.first = append(c.first, b[:n]...)
	}
	return n, cut
}
