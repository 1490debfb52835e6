package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// sendBuffer, in bytes, which Linux doubles, allows 10 MB/s at a round trip of 100 ms.
const sendBuffer = 512 << 10

var errPeerClosed = errors.New("the peer closed the connection")

// conn is a connection whose end is noticed at once: a goroutine reads from it, though syslog peers have nothing to say but
// TLS alerts and the end.
type conn struct {
	net.Conn          // what messages are written to
	tcp      net.Conn // the same, or what lies below TLS

	lost   chan struct{} // closed when nothing more can come from the peer
	err    error         // why; valid after lost
	lostAt time.Time     // when; valid after lost
}

func watch(c, tcp net.Conn) *conn {
	w := &conn{Conn: c, tcp: tcp, lost: make(chan struct{})}
	go w.read()
	return w
}

func (c *conn) read() {
	var buf [512]byte
	var err error
	for err == nil {
		_, err = c.Read(buf[:])
	}
	if err == io.EOF {
		err = errPeerClosed
	}
	c.err, c.lostAt = err, time.Now()
	close(c.lost)
	c.Close() // a Write that waits for the peer must not wait longer
}

// connect opens a connection. Its errors are judged.
func (s *Sink) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	what := "connect to syslog " + s.addr.String()
	tcp, err := s.dial(ctx, "tcp", s.addr.hostport)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	// A Write that waits goes on when a third of the buffer is free again: in one that grows to megabytes, a slow peer looks
	// like one that has stopped.
	if b, ok := tcp.(interface{ SetWriteBuffer(int) error }); ok {
		if err := b.SetWriteBuffer(sendBuffer); err != nil {
			tcp.Close()
			return nil, fmt.Errorf("%s: set send buffer: %w", what, err)
		}
	}
	if s.tls == nil {
		return watch(tcp, tcp), nil
	}
	start := time.Now()
	tc := tls.Client(tcp, s.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, judge(what, err)
	}
	c := watch(tc, tcp)
	// In TLS 1.3 the handshake ends here before the peer has seen our certificate. If it wants none of it, or misses one, its
	// alert arrives within another round trip.
	hold := min(max(2*time.Since(start), 200*time.Millisecond), 2*time.Second)
	if tc.ConnectionState().Version < tls.VersionTLS13 {
		hold = 0
	}
	if err := c.wait(ctx, hold); err != nil {
		tcp.Close()
		return nil, judge(what, err)
	}
	return c, nil
}

// stands tells whether the peer is still there, as far as anybody here can know.
func (c *conn) stands() bool {
	select {
	case <-c.lost:
		return false
	default:
	}
	_, open, ok := unacked(c.tcp)
	return open || !ok
}

// write writes b in pieces; each must be taken within timeout.
func (c *conn) write(ctx context.Context, b []byte, timeout time.Duration) error {
	const piece = 64 << 10
	defer context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Unix(1, 0)) })()
	for len(b) > 0 {
		c.SetWriteDeadline(time.Now().Add(timeout))
		if ctx.Err() != nil { // looked at after the deadline was set: a later end sets it anew
			return ctx.Err()
		}
		n, err := c.Write(b[:min(len(b), piece)])
		if err != nil {
			return c.cause(ctx, err, timeout)
		}
		b = b[n:]
	}
	return nil
}

// cause finds the reason behind a failed Write.
func (c *conn) cause(ctx context.Context, err error, timeout time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the peer has taken nothing for %s", timeout)
	}
	// A reset fails the Write first; the reader may still find an alert that says why.
	select {
	case <-c.lost:
		return c.err
	case <-time.After(100 * time.Millisecond):
		return err
	}
}

// drain waits until the peer's TCP has acknowledged all that was written and the connection still stands then.
func (c *conn) drain(ctx context.Context, timeout time.Duration) error {
	pause, progress, last := 100*time.Microsecond, time.Now(), -1
	for {
		n, open, ok := unacked(c.tcp)
		switch {
		case !ok:
			return c.wait(ctx, 0)
		case !open:
			return c.cause(ctx, errPeerClosed, timeout)
		case n == 0:
			return c.wait(ctx, 0)
		case n != last:
			last, progress = n, time.Now()
		case time.Since(progress) > timeout:
			return fmt.Errorf("the peer has not acknowledged %d bytes for %s", n, timeout)
		}
		if err := c.wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, 20*time.Millisecond)
	}
}

// wait waits for d, or until the connection is lost or ctx ends: these are errors.
func (c *conn) wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		select {
		case <-c.lost:
			return c.err
		default:
			return ctx.Err()
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.lost:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// finish says that nothing more comes and gives the peer until timeout to close its side, which it does once it has read all.
func (c *conn) finish(timeout time.Duration) {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	c.SetWriteDeadline(time.Now().Add(timeout))
	if half.CloseWrite() != nil {
		return
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-c.lost:
	case <-t.C:
	}
}
