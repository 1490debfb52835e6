package sinktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// CutPeer is the server behind the cuts. It acts on whole requests only.
type CutPeer interface {
	// Taken gives what it has stored, in order, and how many events it was sent again that it had, and forgets both.
	Taken() (stored []Received, repeats int)
}

// CutHarness is what Cuts needs.
type CutHarness struct {
	Server string                // host:port
	New    func(url string) Sink // sends to that URL
	Peer   CutPeer
	Once   bool // the peer stores a repeat no second time
}

const (
	cutEvents = 3
	cutPlaces = 200 // in the body
)

// Cuts breaks the connection at every byte of the head of an HTTP request with three events, at 200 seeded places of its body, and
// at every byte of the reply. Each time the events are delivered as a lane does it: none may be lost, and they may be sent again only
// if the reply was unknown, which it is when the whole request has arrived and part of the reply has not.
func Cuts(t *testing.T, h CutHarness) {
	t.Helper()
	cutter := NewCutter(t, h.Server)
	sink := h.New("http://" + cutter.Addr())
	t.Cleanup(func() { sink.Close() })
	d := cutDriver{h: h, cutter: cutter, sink: sink}
	cuts, repeats, err := d.all(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cuts, %d events repeated, none lost", cuts, repeats)
}

type cutDriver struct {
	h      CutHarness
	cutter *Cutter
	sink   Sink
}

func (d *cutDriver) all(random *rand.Rand) (cuts, repeats int, err error) {
	never := Cut{Way: Reply, After: 1 << 30}
	if _, err := d.one(never, 0); err != nil {
		return 0, 0, fmt.Errorf("without a cut: %w", err)
	}
	request, reply := d.cutter.Bytes()
	head := d.cutter.head()
	if head == 0 || request-head < cutPlaces/2 {
		return 0, 0, fmt.Errorf("the request has %d bytes, %d of them head", request, head)
	}
	var all []Cut
	for at := range head {
		all = append(all, Cut{Request, at})
	}
	for i, at := range random.Perm(request - head) {
		if i < cutPlaces {
			all = append(all, Cut{Request, head + at})
		}
	}
	all = append(all, Cut{Request, request})
	for at := range reply + 1 {
		all = append(all, Cut{Reply, at})
	}
	for _, cut := range all {
		want := 0
		if cut.Way == Request && cut.After == request || cut.Way == Reply && cut.After < reply {
			want = cutEvents
		}
		n, err := d.one(cut, want)
		if err != nil {
			return 0, 0, fmt.Errorf("%s cut after %d bytes (request %d, reply %d): %w", cut.Way, cut.After, request, reply, err)
		}
		repeats += n
	}
	return len(all), repeats, nil
}

// one delivers three events through one cut and gives how many of them came again.
func (d *cutDriver) one(cut Cut, want int) (repeats int, err error) {
	events := small(d.sink, 0, cutEvents)
	d.cutter.Arm(cut)
	err = d.deliver(events)
	if err != nil {
		return 0, err
	}
	if happened := d.cutter.Settle(); !happened && cut.After < 1<<30 {
		return 0, fmt.Errorf("no connection was cut")
	}
	stored, repeats := d.h.Peer.Taken()
	if !d.h.Once {
		stored = stored[:max(0, len(stored)-repeats)]
	}
	if err := exactly(stored, events); err != nil {
		return 0, err
	}
	if repeats != want {
		return 0, fmt.Errorf("%d events were sent again, want %d", repeats, want)
	}
	return repeats, nil
}

// deliver is a lane with the patience for one failure.
func (d *cutDriver) deliver(events []event.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w := &watched{Sink: d.sink}
	_, err := Deliver(ctx, w, events)
	if err != nil && w.wrong == nil {
		_, err = Deliver(ctx, w, events)
	}
	switch {
	case w.wrong != nil:
		return fmt.Errorf("the error is %s, want retryable: %w", fault.Of(w.wrong), w.wrong)
	case err != nil:
		return fmt.Errorf("deliver again: %w", err)
	}
	return nil
}

// watched remembers an error that no cut may cause.
type watched struct {
	Sink
	wrong error
}

func (w *watched) Send(ctx context.Context, events []event.Event) error {
	err := w.Sink.Send(ctx, events)
	if err != nil && fault.Of(err) != fault.Retryable {
		w.wrong = err
	}
	return err
}
