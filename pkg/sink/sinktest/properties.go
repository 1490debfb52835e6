package sinktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// patience is how long anything may take that should be quick. Only broken sinks need it.
const patience = 10 * time.Second

func batch(_ testing.TB, s Sink, p Peer) error {
	events := small(s, 0, 7)
	return errors.Join(send(s, events), exactly(p.Received(), events))
}

func single(_ testing.TB, s Sink, p Peer) error {
	events := small(s, 0, 1)
	return errors.Join(send(s, events), exactly(p.Received(), events))
}

// empty uses a peer that refuses everything: a request would show as an error.
func empty(_ testing.TB, s Sink, p Peer) error {
	p.Set(Deny)
	return errors.Join(send(s, nil), send(s, []event.Event{}), exactly(p.Received(), nil))
}

func content(_ testing.TB, s Sink, p Peer) error {
	var events []event.Event
	for _, text := range []string{
		"Zo\u00eb \u2603 \U0001F600 \u4f60\u597d \u0627\u0644\u0639 e\u0301", // two, three and four bytes; right to left; combining
		`\ud83d\ude00 \u0000 \u001b[31m \u007f \/`,                           // escapes stay as they are written
		"\x7f \u0085 \u2028 \u2029 \ufeff \ufffd",                            // controls that JSON does not escape
		`quote \" backslash \\ newline \n tab \t return \r`,
		`</script> & % ] [ | = ^ {tenant} ${HOME} %d`, // what other layers take for markup
		strings.Repeat(" ", 50),
	} {
		events = append(events, newEvent(len(events), text))
	}
	for len(events) > 0 {
		n := len(fitting(s, events))
		if err := send(s, events[:n]); err != nil {
			return err
		}
		got := p.Received()
		if err := exactly(got[max(0, len(got)-n):], events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// large is a body of exactly 1 MiB.
func large(_ testing.TB, s Sink, p Peer) error {
	e := newEvent(0, "")
	fill := strings.Repeat("0123456789abcdef", 1<<16)
	e = newEvent(0, fill[:1<<20-len(e.Body)])
	events := []event.Event{e}
	return errors.Join(send(s, events), exactly(p.Received(), events))
}

// refused is a peer that answers, with no; a later Send, when it takes events again, is accepted.
func refused(mode Mode) func(testing.TB, Sink, Peer) error {
	want := fault.Retryable
	if mode == Deny {
		want = fault.Blocked
	}
	return func(_ testing.TB, s Sink, p Peer) error {
		events := small(s, 0, 3)
		p.Set(mode)
		if err := class(send(s, events), want); err != nil {
			return err
		}
		if err := exactly(p.Received(), nil); err != nil {
			return fmt.Errorf("the peer has refused, but stored: %w", err)
		}
		p.Set(Accept)
		return errors.Join(resend(s, events), exactly(p.Received(), events))
	}
}

// cut is a connection that breaks, first one in use, then a new one.
func cut(mode Mode) func(testing.TB, Sink, Peer) error {
	return func(_ testing.TB, s Sink, p Peer) error {
		first, second := small(s, 0, 2), small(s, 100, 3)
		if err := send(s, first); err != nil {
			return err
		}
		for range 2 {
			p.Set(mode)
			if err := class(send(s, second), fault.Retryable); err != nil {
				return err
			}
		}
		if mode == CutBefore {
			if err := exactly(p.Received(), first); err != nil {
				return fmt.Errorf("a cut before the request was read: %w", err)
			}
		}
		p.Set(Accept)
		if err := resend(s, second); err != nil {
			return err
		}
		return atLeastOnce(p.Received(), append(first, second...), nil)
	}
}

// cutReplied is a connection that is gone when it is needed next: nothing goes out twice for that.
func cutReplied(_ testing.TB, s Sink, p Peer) error {
	var all []event.Event
	p.Set(CutReplied)
	for n := range 4 {
		events := small(s, 100*n, 2)
		all = append(all, events...)
		if err := resend(s, events); err != nil {
			return err
		}
	}
	return exactly(p.Received(), all)
}

func hang(_ testing.TB, s Sink, p Peer) error {
	events := small(s, 0, 3)
	p.Set(Hang)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := class(s.Send(ctx, events), fault.Retryable)
	if took := time.Since(began); took > patience/2 {
		return fmt.Errorf("Send ended %s after it began, its context after 200ms", took)
	}
	if err != nil {
		return err
	}
	p.Set(Accept)
	if err := resend(s, events); err != nil {
		return err
	}
	return atLeastOnce(p.Received(), events, nil)
}

// slow is a peer that is alive, byte by byte: with patience Send succeeds, and without it ends with its context.
func slow(_ testing.TB, s Sink, p Peer) error {
	first, second := small(s, 0, 2), small(s, 100, 2)
	p.Set(Slow)
	if err := send(s, first); err != nil {
		return err
	}
	if err := exactly(p.Received(), first); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := s.Send(ctx, second)
	if took := time.Since(began); took > patience/2 {
		return fmt.Errorf("Send ended %s after it began, its context after 20ms", took)
	}
	if err != nil && fault.Of(err) != fault.Retryable {
		return class(err, fault.Retryable)
	}
	p.Set(Accept)
	if err != nil {
		if err := resend(s, second); err != nil {
			return err
		}
	}
	return atLeastOnce(p.Received(), append(first, second...), nil)
}

func concurrent(t testing.TB, s Sink, p Peer) error {
	inFlight := s.Limits().InFlight
	if inFlight < 2 {
		t.Skip("the sink has one request in flight: nothing runs at once")
	}
	const rounds = 5
	var all []event.Event
	var wg sync.WaitGroup
	errs := make([]error, inFlight)
	for w := range inFlight {
		var mine [][]event.Event
		for r := range rounds {
			mine = append(mine, small(s, 1000*w+100*r, 5))
			all = append(all, mine[r]...)
		}
		wg.Go(func() {
			for _, events := range mine {
				errs[w] = errors.Join(errs[w], send(s, events))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	got := p.Received()
	if len(got) != len(all) {
		return fmt.Errorf("the peer has %d events, want %d", len(got), len(all))
	}
	return atLeastOnce(got, all, nil)
}

func closeWhileSending(_ testing.TB, s Sink, p Peer) error {
	p.Set(Hang)
	sent, closed := make(chan error, 1), make(chan error, 1)
	go func() { sent <- s.Send(context.Background(), small(s, 0, 3)) }()
	<-time.After(200 * time.Millisecond) // let the request reach the peer; had it not, Send must still end
	go func() { closed <- s.Close() }()
	late := time.After(patience)
	for range 2 {
		select {
		case err := <-sent:
			if err := class(err, fault.Retryable); err != nil {
				return fmt.Errorf("Send that Close has ended: %w", err)
			}
		case err := <-closed:
			if err != nil {
				return fmt.Errorf("Close: %w", err)
			}
		case <-late:
			return fmt.Errorf("Close did not end itself and the Send that hangs within %s", patience)
		}
	}
	return nil
}

func sendAfterClose(_ testing.TB, s Sink, p Peer) error {
	if err := send(s, small(s, 0, 1)); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	if err := send(s, small(s, 100, 1)); err == nil {
		return errors.New("Send after Close has succeeded")
	}
	if len(p.Received()) != 1 {
		return errors.New("Send after Close has reached the peer")
	}
	s.Close() // a second one must not panic
	return nil
}
