package splunk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
)

// await gives the verdict of a request that waits for its acknowledgement.
func (s *Sink) await(ctx context.Context, r *receipt) error {
	err := s.settled(ctx, r)
	if err != nil && ctx.Err() == nil {
		s.nodes.Failed(r.at, time.Now())
	}
	return err
}

// settled waits. Nothing but a true of the server is success.
func (s *Sink) settled(ctx context.Context, r *receipt) error {
	defer r.channel.forget(r)
	timer := time.NewTimer(s.cfg.AckTimeout.Std() - time.Since(r.since))
	defer timer.Stop()
	select {
	case err := <-r.done:
		return err
	case <-timer.C:
		return fmt.Errorf("no acknowledgement within ack_timeout, %s (if a load balancer is between, it must keep to one indexer): %w", s.cfg.AckTimeout, errUnknown)
	case <-ctx.Done():
		return fmt.Errorf("wait for the acknowledgement: %w", context.Cause(ctx))
	}
}

// poll asks for all that a channel waits for until nothing is left. An answer is applied before the next question, because the
// server forgets what it has told.
func (s *Sink) poll(to *collector, c *channel) {
	for {
		select {
		case <-time.After(s.askEvery):
		case <-s.client.Closing().Done():
			c.lose(post.ErrClosed)
			return
		}
		ids := c.outstanding()
		if len(ids) == 0 {
			return
		}
		for some := range slices.Chunk(ids, mostAsked) {
			s.apply(to, c, some, s.ask(s.client.Closing(), to, c, some))
		}
	}
}

func (s *Sink) apply(to *collector, c *channel, ids []string, t told) {
	switch {
	case t.later:
		return
	case t.disabled && s.cfg.Ack == "required":
		c.lose(s.unacknowledged(to, t.err))
	case t.disabled:
		c.without(fmt.Errorf("%w: %w", t.err, errUnknown))
	case t.gone:
		c.lose(t.err)
	case t.err != nil:
		c.end(ids, t.err)
	default:
		c.end(t.indexed, nil)
	}
	c.answered()
}

// unacknowledged is the fault of a token that does not do what the configuration requires.
func (s *Sink) unacknowledged(to *collector, why error) error {
	return fault.Block(fmt.Errorf("%s does not acknowledge events: %w: switch indexer acknowledgement on for the token, or set ack: if_offered", to.events.Host, why))
}

// ask puts one question. A lost answer is an unknown result: what it would have told is forgotten by the server.
func (s *Sink) ask(ctx context.Context, to *collector, c *channel, ids []string) told {
	b := s.buffers.Get()
	b.Encode(1, false, func(dst []byte, _ int) []byte {
		return append(append(append(dst, `{"acks":[`...), strings.Join(ids, ",")...), "]}"...)
	})
	var t told
	err := s.exchange(ctx, to.acks, c.as, c, b, func(r post.Reply) error {
		if t = judgeAcks(to.acks.Host, r.Status, r.Body, c.as.secrets); c.moved(r.Header) {
			t = told{err: s.astray(to, c)}
		}
		return nil
	})
	switch {
	case err == nil:
		return t
	case fault.Of(err) == fault.Retryable:
		err = fmt.Errorf("ask for acknowledgements: %w: %w", err, errUnknown)
	}
	return told{err: err}
}

// astray ends a channel whose replies come from another indexer now.
func (s *Sink) astray(to *collector, c *channel) error {
	err := fmt.Errorf("%s has moved to another indexer (its cookie has changed): %w", to.events.Host, errUnknown)
	c.lose(err)
	return err
}

// errUnknown says that a request may have been indexed or not.
var errUnknown = errors.New("whether it was indexed is not known, it is sent again")

// unanswered are the codes of a server that has not looked at the question: busy, unhealthy, at its capacity.
var unanswered = []int{9, 18, 19, 20, queueFull, ackFull}

// told is what an answer to the question for ids means.
type told struct {
	indexed  []string
	disabled bool  // the token or the server does not acknowledge
	later    bool  // it did not answer, the ids are still good
	gone     bool  // the server does not know the channel any more
	err      error // what becomes of the ids then, of package fault
}

// judgeAcks reads the answer to the question for acknowledgements, such as {"acks":{"7":true,"8":false}}. Only a clear true counts:
// false is said of what is not indexed yet, of what was told before, and of what the server does not know.
func judgeAcks(host string, status int, body []byte, secrets post.Secrets) told {
	var r struct {
		reply
		Acks map[string]bool `json:"acks"`
	}
	readable := json.Unmarshal(body, &r) == nil
	said := describe(host, status, r.reply, body, secrets)
	code := unnamed
	if readable && r.Code != nil {
		code = *r.Code
	}
	known := code >= 0 && code < len(codes)
	switch {
	case status == http.StatusOK && readable && r.Acks != nil:
		var t told
		for id, indexed := range r.Acks {
			if indexed {
				t.indexed = append(t.indexed, id)
			}
		}
		return t
	case code == ackDisabled, status == http.StatusNotFound, known && codes[code].verdict == bad: // it takes the question for events
		return told{disabled: true, err: fmt.Errorf("asked for acknowledgements, %s", said)}
	case slices.Contains(unanswered, code):
		return told{later: true, err: fmt.Errorf("asked for acknowledgements, %s: %s", said, codes[code].hint)}
	case code == invalidChannel:
		return told{gone: true, err: fmt.Errorf("asked for acknowledgements, %s: %w", said, errUnknown)}
	case known && codes[code].verdict == blocked:
		return told{err: fault.Block(fmt.Errorf("asked for acknowledgements, %s: %s", said, codes[code].hint))}
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return told{err: fault.Block(fmt.Errorf("asked for acknowledgements, %s: check token_file and what stands between", said))}
	}
	return told{err: fmt.Errorf("asked for acknowledgements, %s: %w", said, errUnknown)}
}
