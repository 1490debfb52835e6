// Package sinktest is the contract that every sink passes.
//
// A sink's test gives Run a fresh sink and a Peer, the receiver at the other end, which treats requests as the test tells it.
// Every property is a subtest; a property that the protocol cannot have is named in Harness.Skip with the reason:
//
//	batch, single, empty, content, large, busy, deny, slow, cut-before, cut-during, cut-after, cut-replied, hang,
//	refuse-marked, partial, too-large, concurrent, close-while-sending, send-after-close, goroutines, stream
//
// Cuts is the contract of sinks over HTTP for connections that break anywhere.
package sinktest

import (
	"context"
	"flag"
	"testing"

	"github.com/logferry/logferry/pkg/event"
)

// long makes the stream property a million events instead of twenty thousand.
var long = flag.Bool("long", false, "send 1,000,000 events in the stream property of the sink contract")

// Sink has the shape of pipeline.Sink.
type Sink interface {
	Send(ctx context.Context, events []event.Event) error
	Limits() event.Limits
	Close() error
}

// Mode is how a Peer treats requests from now on.
type Mode int

// The modes.
const (
	Accept       Mode = iota // takes and stores everything
	Busy                     // refuses for now: must be judged Retryable
	Deny                     // refuses the credentials or the target: must be judged Blocked
	CutBefore                // closes the connection before it has read the request: nothing is stored
	CutDuring                // stores the request, then closes the connection in the middle of its reply: the result is unknown
	CutAfter                 // stores the request, then closes the connection without a reply: the result is unknown
	Hang                     // reads the request and never replies: Send must end with its context
	CutReplied               // stores the request, replies and closes the connection: the result is known
	Slow                     // takes the request, or answers it, byte by byte with a pause between
	RefuseMarked             // refuses events whose body contains Marker: they must come out as poison, alone or by splitting
)

// Marker is the text in a body that a peer in mode RefuseMarked will not take.
const Marker = "REFUSE-ME"

// Received is one event as the peer has stored it.
type Received struct {
	EventID string // empty if the protocol carries bodies only
	Body    string
}

// Peer is a receiver that the test controls. A request that hangs must end when its connection does.
type Peer interface {
	Set(Mode)
	Received() []Received
}

// Drainer is a Peer that can forget what it has told. The stream property needs it to send a million events: without it the
// peer's own copies would be measured.
type Drainer interface {
	Drain() []Received
}

// Harness makes a fresh sink and its peer, which ends with t.Cleanup; the sink is closed by Run, New may close it again.
// Skip names properties that the protocol cannot have, with the reason.
type Harness struct {
	New      func(t *testing.T) (Sink, Peer)
	TooLarge int // bytes of a body that the sink itself will not send
	Skip     map[string]string
}

// property checks one promise with a fresh sink and peer; the error says how it was broken. t only logs and skips.
type property struct {
	name  string
	check func(t testing.TB, s Sink, p Peer) error
}

// properties are all of them.
func (h Harness) properties() []property {
	return []property{
		{"batch", batch},
		{"single", single},
		{"empty", empty},
		{"content", content},
		{"large", large},
		{"busy", refused(Busy)},
		{"deny", refused(Deny)},
		{"slow", slow},
		{"cut-before", cut(CutBefore)},
		{"cut-during", cut(CutDuring)},
		{"cut-after", cut(CutAfter)},
		{"cut-replied", cutReplied},
		{"hang", hang},
		{"refuse-marked", refuseMarked},
		{"partial", partial},
		{"too-large", tooLarge(h.TooLarge)},
		{"concurrent", concurrent},
		{"close-while-sending", closeWhileSending},
		{"send-after-close", sendAfterClose},
		{"goroutines", goroutines},
		{"stream", stream},
	}
}

// Run holds the sink against the contract.
func Run(t *testing.T, h Harness) {
	t.Helper()
	known := map[string]bool{}
	for _, p := range h.properties() {
		known[p.name] = true
		t.Run(p.name, func(t *testing.T) {
			if reason, ok := h.Skip[p.name]; ok {
				t.Skip(reason)
			}
			sink, peer := h.New(t)
			t.Cleanup(func() { sink.Close() })
			if err := p.check(t, sink, peer); err != nil {
				t.Fatal(err)
			}
		})
	}
	for name := range h.Skip {
		if !known[name] {
			t.Errorf("the harness skips %q: there is no such property", name)
		}
	}
}
