package syslog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
)

func events(first, n, size int) []event.Event {
	var all []event.Event
	for i := range n {
		body := fmt.Sprintf(`{"n":%d,"fill":"`, first+i)
		all = append(all, newEvent(first+i, body+strings.Repeat("x", max(0, size-len(body)-2))+`"}`))
	}
	return all
}

func mustSend(t testing.TB, s *Sink, evs []event.Event) {
	t.Helper()
	if err := s.Send(t.Context(), evs); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

func wantBodies(t testing.TB, got []message, want []event.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("the peer has %d messages, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].body != string(want[i].Body) || got[i].params["event_id"] != want[i].EventID.String() {
			t.Fatalf("message %d is %.100q, want %.100q", i, got[i].body, want[i].Body)
		}
	}
}

func TestSendKeepsItsConnection(t *testing.T) {
	p := newPeer(t, nil)
	s := newSink(t, p, nil, Options{})
	evs := events(0, 30, 100)
	for i := 0; i < len(evs); i += 10 {
		mustSend(t, s, evs[i:i+10])
	}
	wantBodies(t, p.await(t, 30), evs)
	if p.total != 1 {
		t.Errorf("%d connections, want 1", p.total)
	}
}

func TestRefusedConnectionIsRetryable(t *testing.T) {
	p := newPeer(t, nil)
	p.ln.Close()
	err := newSink(t, p, nil, Options{}).Send(t.Context(), events(0, 1, 10))
	if fault.Of(err) != fault.Retryable || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error is %v (%v)", err, fault.Of(err))
	}
}

// TestReplay loses a connection between two Sends, as a restart of the receiver does.
func TestReplay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		replay Replay
		again  int // how many of the first five come again
	}{
		{"default", Replay{}, 5},
		{"off", Replay{Bytes: new(field.Size)}, 0},
		{"bounded", Replay{Bytes: size(1000)}, 2}, // a frame of this test has 300 to 400 octets
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, nil)
			s := newSink(t, p, func(c *Config) { c.Replay = tt.replay }, Options{})
			evs := events(0, 7, 150)
			mustSend(t, s, evs[:5])
			p.await(t, 5)
			p.cut()
			until(t, func() bool { return !s.conn.stands() }, "the sink notices the end without sending")
			mustSend(t, s, evs[5:])
			want := append(append(evs[:5:5], evs[5-tt.again:5]...), evs[5:]...)
			wantBodies(t, p.await(t, len(want)), want)
		})
	}
}

func size(n field.Size) *field.Size { return &n }

// TestReplayAge lets an old frame stay away, though not because reconnecting took long.
func TestReplayAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var far net.Conn
		got := make(chan string, 10)
		down, broken := false, false
		dial := func(context.Context, string, string) (net.Conn, error) {
			if down {
				return nil, syscall.ECONNREFUSED
			}
			near, other := net.Pipe()
			far = other
			if broken {
				other.Close()
				return near, nil
			}
			go func() {
				r := bufio.NewReader(other)
				for {
					s, err := readFrame(r)
					if err != nil {
						return
					}
					m, _ := parse(s)
					got <- m.body
				}
			}()
			return near, nil
		}
		s, err := New(Config{Address: "tcp://192.0.2.1:514", Insecure: true}, Options{Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i, body := range []string{"old", "young", "new"} {
			if i == 2 {
				down = true
				far.Close()
				if s.Send(t.Context(), []event.Event{newEvent(2, body)}) == nil {
					t.Fatal("sent without a connection")
				}
				time.Sleep(time.Hour) // an outage does not age the window, nor does a connection that fails before it carries it
				down, broken = false, true
				if s.Send(t.Context(), []event.Event{newEvent(2, body)}) == nil {
					t.Fatal("sent over a broken connection")
				}
				broken = false
			}
			mustSend(t, s, []event.Event{newEvent(i, body)})
			time.Sleep(50 * time.Second)
		}
		far.Close()
		synctest.Wait()
		for _, want := range []string{"old", "young", "young", "new"} {
			if b := <-got; b != want {
				t.Errorf("the peer has %q, want %q", b, want)
			}
		}
	})
}

// TestDyingPeerLosesNothing has a receiver that dies again and again in the middle of what it reads, with acknowledged but unread
// bytes in its socket. Resending the batch that failed and replaying the window must bring everything.
func TestDyingPeerLosesNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	p := newPeer(t, func(p *peer, c net.Conn) {
		p.mu.Lock()
		n := 300_000 + rnd.Int64N(200_000)
		p.mu.Unlock()
		c.(*net.TCPConn).SetReadBuffer(64 << 10) // less than the window: what is lost unread must fit into it
		r := bufio.NewReaderSize(io.LimitReader(c, n), 512)
		for p.storeOne(r) {
		}
	})
	s := newSink(t, p, func(c *Config) { c.Replay.Bytes = size(256 << 10) }, Options{})
	evs := events(0, 3000, 700)
	for i := 0; i < len(evs); i += 50 {
		tries := 0
		for err := errors.New("not sent"); err != nil; tries++ {
			if err = s.Send(t.Context(), evs[i:i+50]); fault.Of(err) != fault.Retryable || tries > 1000 {
				t.Fatalf("after %d tries: %v", tries, err)
			}
		}
	}
	// The last connection may still die with bytes unread: the next event carries them again.
	p.mu.Lock()
	p.serve = (*peer).store
	p.mu.Unlock()
	p.cut()
	until(t, func() bool { return !s.conn.stands() }, "the sink notices the end")
	mustSend(t, s, events(3000, 1, 10))
	until(t, func() bool {
		ids := map[string]bool{}
		for _, m := range p.messages() {
			ids[m.params["event_id"]] = true
		}
		return len(ids) == 3001
	}, "every event arrives at least once")
	if p.total < 5 {
		t.Errorf("only %d connections: the peer did not die", p.total)
	}
	t.Logf("%d connections, %d messages for %d events", p.total, len(p.messages()), 3001)
}

// TestNotRead has a peer that reads nothing: Send must not claim success for more than its socket takes, and must end.
func TestNotRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout field.Duration
		ctx     time.Duration
	}{
		{"timeout", field.Duration(time.Second), time.Minute},
		{"context", field.Duration(time.Minute), 300 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hold := make(chan struct{})
			defer close(hold)
			p := newPeer(t, func(_ *peer, c net.Conn) {
				c.(*net.TCPConn).SetReadBuffer(4096)
				<-hold
			})
			s := newSink(t, p, func(c *Config) { c.Timeout = tt.timeout }, Options{})
			ctx, cancel := context.WithTimeout(t.Context(), tt.ctx)
			defer cancel()
			began := time.Now()
			var err error
			for i := 0; err == nil && i < 100; i++ { // 100 MB are more than any socket buffers
				err = s.Send(ctx, events(i, 1000, 1000))
			}
			if fault.Of(err) != fault.Retryable || err == nil {
				t.Errorf("error is %v", err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("Send took %s", took)
			}
		})
	}
}

// TestSlowReader has a peer that reads slower than the timeout would allow for the whole batch: what counts is progress.
func TestSlowReader(t *testing.T) {
	const timeout = 2 * time.Second
	p := newPeer(t, func(p *peer, c net.Conn) {
		c.(*net.TCPConn).SetReadBuffer(64 << 10)
		p.store(&slowConn{Conn: c, tick: time.NewTicker(3 * time.Millisecond)})
	})
	s := newSink(t, p, func(c *Config) { c.Timeout = field.Duration(timeout) }, Options{})
	evs := events(0, 3000, 1000)
	began := time.Now()
	mustSend(t, s, evs)
	if took := time.Since(began); took < timeout {
		t.Errorf("the batch took only %s: the peer is not slow", took)
	}
	wantBodies(t, p.await(t, len(evs)), evs)
}

type slowConn struct {
	net.Conn
	tick *time.Ticker
}

func (c *slowConn) Read(b []byte) (int, error) {
	<-c.tick.C
	return c.Conn.Read(b[:min(len(b), 4<<10)])
}

func TestOversize(t *testing.T) {
	large := newEvent(1, `{"text":"`+strings.Repeat("é", 5000)+`"}`)
	other := large
	other.Key.Stream = "audits"
	evs := []event.Event{newEvent(0, "{}"), large, other, newEvent(2, "{}")}

	t.Run("truncate", func(t *testing.T) {
		p := newPeer(t, nil)
		count := map[string]int{}
		s := newSink(t, p, nil, Options{OnTruncate: func(k event.StreamKey, n int) { count[k.Stream] += n }})
		mustSend(t, s, evs)
		got := p.await(t, 4)
		if count["signins.interactive"] != 1 || count["audits"] != 1 {
			t.Errorf("truncated %v, want one of each stream", count)
		}
		m := got[1]
		if m.size > 8000 || m.size < 7998 || m.params["truncated"] != "1" || m.params["orig_len"] != "10011" || !strings.HasPrefix(string(large.Body), m.body) {
			t.Errorf("message of %d octets with %v", m.size, m.params)
		}
	})
	t.Run("dead letter", func(t *testing.T) {
		p := newPeer(t, nil)
		s := newSink(t, p, func(c *Config) { c.OnOversize = "dead_letter" }, Options{})
		err := s.Send(t.Context(), evs)
		failed := fault.Failed(err)
		if len(failed) != 2 || fault.Of(failed[1]) != fault.Poison || fault.Of(failed[2]) != fault.Poison {
			t.Fatalf("error is %v: %v", err, failed)
		}
		wantBodies(t, p.await(t, 2), []event.Event{evs[0], evs[3]})
	})
	t.Run("dead letter, not connected", func(t *testing.T) {
		p := newPeer(t, nil)
		p.ln.Close()
		s := newSink(t, p, func(c *Config) { c.OnOversize = "dead_letter" }, Options{})
		if err := s.Send(t.Context(), evs); err == nil || fault.Of(err) != fault.Retryable {
			t.Errorf("error is %v", err)
		}
	})
}

// TestCloseIsRead: what was sent right before Close still arrives.
func TestCloseIsRead(t *testing.T) {
	p := newPeer(t, nil)
	s := newSink(t, p, nil, Options{})
	evs := events(0, 1000, 500)
	mustSend(t, s, evs)
	s.Close()
	wantBodies(t, p.await(t, len(evs)), evs)
}
