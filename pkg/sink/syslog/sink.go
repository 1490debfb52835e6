package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// Options are what the configuration does not hold.
type Options struct {
	// Dial opens the TCP connection; nil: net.Dialer with keepalive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// OnTruncate is told, per stream, how many events of a Send that went well were cut to max_message_bytes. It is called
	// before that Send returns; nil: nobody wants to know.
	OnTruncate func(stream event.StreamKey, events int)
}

// Sink sends over one connection, which it opens when there is something to send and keeps. Its methods may be called from
// several goroutines; Sends follow one another.
type Sink struct {
	addr       address
	tls        *tls.Config // nil: plain TCP
	timeout    time.Duration
	limits     event.Limits
	deadLetter bool
	replayAge  time.Duration
	dial       func(ctx context.Context, network, address string) (net.Conn, error)
	onTruncate func(event.StreamKey, int)

	life context.Context // ends with Close
	end  context.CancelFunc

	mu        sync.Mutex // held for a whole Send
	enc       *encoder
	buf       []byte // the frames of this Send
	sizes     []int
	conn      *conn  // nil: not connected
	replay    window // frames that were accepted, to be sent again after a reconnect
	replayDue bool   // conn has not carried the window yet
}

// New makes a sink. It reads the certificate files that cfg names but does not connect.
func New(cfg Config, opts Options) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	addr, err := parseAddress(cfg.Address, cfg.Insecure)
	if err != nil {
		return nil, fmt.Errorf("parse address: %w", err)
	}
	s := &Sink{
		addr:    addr,
		timeout: cfg.Timeout.Std(),
		limits: event.Limits{
			Events: cfg.Batch.Events, Bytes: int(cfg.Batch.Bytes), Linger: cfg.Batch.Linger.Std(), InFlight: 1,
		},
		deadLetter: cfg.OnOversize == deadLetter,
		replayAge:  cfg.Replay.Age.Std(),
		dial:       opts.Dial,
		onTruncate: opts.OnTruncate,
		enc:        newEncoder(cfg),
		replay:     window{max: int(*cfg.Replay.Bytes)},
	}
	if addr.tls {
		if s.tls, err = cfg.TLS.Config(); err != nil {
			return nil, fmt.Errorf("prepare tls for syslog %s: %w", addr, err)
		}
		if s.tls.ServerName == "" {
			s.tls.ServerName = addr.host
		}
	}
	if s.dial == nil {
		s.dial = (&net.Dialer{
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
			Control:         userTimeout(s.timeout),
		}).DialContext
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Limits tells the lane how to cut.
func (s *Sink) Limits() event.Limits { return s.limits }

// Send writes events and waits until the peer's TCP has acknowledged all of them. Errors are
//   - Retryable: not connected, or the connection was lost: what became of the events is unknown
//   - Blocked: TLS was refused by either side, named with the way out
//   - Partial: with on_oversize dead_letter, the events that are larger than max_message_bytes, each Poison; all others
//     were sent
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return errors.New("send to syslog: the sink is closed")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()

	refused, truncated := s.encode(events)
	if len(s.buf) > 0 {
		if err := s.deliver(ctx); err != nil {
			return err
		}
	}
	if s.onTruncate != nil {
		for stream, n := range truncated {
			s.onTruncate(stream, n)
		}
	}
	if len(refused) > 0 {
		return fault.Some(refused)
	}
	return nil
}

// encode fills s.buf and s.sizes with the frames of events, but for those that are too large and must not be cut.
func (s *Sink) encode(events []event.Event) (refused map[int]error, truncated map[event.StreamKey]int) {
	s.buf, s.sizes = s.buf[:0], s.sizes[:0]
	for i := range events {
		ev := &events[i]
		start := len(s.buf)
		var how fit
		s.buf, how = s.enc.frame(s.buf, ev)
		switch {
		case how == cut && s.deadLetter:
			s.buf = s.buf[:start]
			if refused == nil {
				refused = make(map[int]error)
			}
			refused[i] = fault.Refuse(fmt.Errorf("event of %d bytes does not fit into a syslog message of %d: raise max_message_bytes "+
				"here and at the receiver, or use on_oversize: truncate", len(ev.Body), s.enc.max), "")
			continue
		case how == cut:
			if truncated == nil {
				truncated = make(map[event.StreamKey]int)
			}
			truncated[ev.Key]++
		}
		s.sizes = append(s.sizes, len(s.buf)-start)
	}
	return refused, truncated
}

// deliver brings s.buf to the peer, behind the replay window if the connection is new. After an error there is no connection.
func (s *Sink) deliver(ctx context.Context) error {
	if s.conn != nil && !s.conn.stands() {
		s.drop()
	}
	if s.conn == nil {
		c, err := s.connect(ctx)
		if err != nil {
			return err
		}
		s.conn, s.replayDue = c, true
	}
	if err := s.write(ctx); err != nil {
		s.drop()
		return judge("send to syslog "+s.addr.String(), err)
	}
	now := time.Now()
	if s.replayDue {
		s.replay.renew(now)
		s.replayDue = false
	}
	s.replay.add(s.buf, s.sizes, now)
	return nil
}

func (s *Sink) write(ctx context.Context) error {
	if s.replayDue {
		if err := s.conn.write(ctx, s.replay.bytes(), s.timeout); err != nil {
			return err
		}
	}
	if err := s.conn.write(ctx, s.buf, s.timeout); err != nil {
		return err
	}
	return s.conn.drain(ctx, s.timeout)
}

// drop gives the connection up. Frames that were on their way when it was lost stay in the window, however long it then
// takes to reconnect.
func (s *Sink) drop() {
	s.conn.tcp.Close() // not the TLS connection: its farewell may wait for a peer that does not read
	<-s.conn.lost
	if !s.replayDue { // else the window waits for a connection that carries it
		s.replay.expire(s.conn.lostAt.Add(-s.replayAge))
	}
	s.conn = nil
}

// Close ends a Send that is under way, then the connection: what was sent is still read by the peer, which gets a second to
// confirm by closing too. It is safe to call twice.
func (s *Sink) Close() error {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.finish(time.Second)
		s.drop()
	}
	return nil
}
