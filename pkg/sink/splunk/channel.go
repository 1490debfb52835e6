package splunk

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// mostAsked is how many ids go into one question.
const mostAsked = 500

// channel is what HEC keeps acknowledgements by: the client invents it, ids are its own, and only the indexer that has given an id
// can tell about it. So a channel keeps the cookies by which a load balancer finds that indexer, and ends when they change.
type channel struct {
	id string    // a random GUID
	as signature // what the questions are asked with, also when the file has another token by now

	mu      sync.Mutex
	open    bool     // a request was answered
	opening *opening // the request that is the first, while it is under way
	offered bool     // a request was answered with an id
	cookies map[string]string
	waiting map[string]*receipt // by id
	polling bool
	full    chan struct{} // nil, or closed when the server has room again
	off     bool          // the server does not acknowledge after all
	lost    error         // set when nothing can be learned from the channel any more
}

// opening is the first request on a channel. done is closed when it has ended, err tells how if it was not answered.
type opening struct {
	done chan struct{}
	err  error
}

// receipt is a request that HEC has taken and not yet acknowledged.
type receipt struct {
	channel *channel
	at      int // the number of its endpoint
	id      string
	since   time.Time
	done    chan error // gets one value
}

func newChannel(as signature, cookies map[string]string) *channel {
	var b [16]byte
	rand.Read(b[:]) // does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	if cookies = maps.Clone(cookies); cookies == nil {
		cookies = map[string]string{}
	}
	return &channel{
		id: fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), as: as, cookies: cookies, waiting: map[string]*receipt{},
	}
}

// enter waits until a request may go. The first one on a channel goes alone: what balances the load has set its cookie then, and
// the others follow to the same indexer. Who is first has to call leave. The others fail with it if it is not answered.
func (c *channel) enter(ctx context.Context) (first bool, err error) {
	c.mu.Lock()
	if c.open {
		c.mu.Unlock()
		return false, nil
	}
	if c.opening == nil {
		c.opening = &opening{done: make(chan struct{})}
		c.mu.Unlock()
		return true, nil
	}
	o := c.opening
	c.mu.Unlock()
	select {
	case <-o.done:
		return false, o.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (c *channel) leave(answered bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open = answered; !answered {
		c.opening.err = err
	}
	close(c.opening.done)
	c.opening = nil
}

// acknowledges tells whether the server has given an id on this channel.
func (c *channel) acknowledges() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offered
}

// wait notes that id is to be asked for. start is true when nobody asks yet; nil without an error says that no acknowledgement is
// to be had.
func (c *channel) wait(id string) (r *receipt, start bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch _, twice := c.waiting[id]; {
	case c.lost != nil:
		return nil, false, c.lost
	case c.off:
		return nil, false, nil
	case twice: // the indexer counts anew: what it says about an id may be meant for another request
		err := fmt.Errorf("the id %s was given twice, the indexer may have been restarted: %w", id, errUnknown)
		c.loseLocked(err)
		return nil, false, err
	}
	c.offered = true
	r = &receipt{channel: c, id: id, since: time.Now(), done: make(chan error, 1)}
	c.waiting[id] = r
	start, c.polling = !c.polling, true
	return r, start, nil
}

// forget ends the waiting for r without an answer.
func (c *channel) forget(r *receipt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[r.id] == r {
		delete(c.waiting, r.id)
	}
}

// outstanding gives the ids to ask for. When there are none nobody asks any more.
func (c *channel) outstanding() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.polling = false
		c.roomLocked()
		return nil
	}
	return slices.Sorted(maps.Keys(c.waiting))
}

// end settles ids that are waited for: nil says that they are indexed.
func (c *channel) end(ids []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if r := c.waiting[id]; r != nil {
			r.done <- err
			delete(c.waiting, id)
		}
	}
}

// lose ends the channel: whatever is waited for is unknown.
func (c *channel) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loseLocked(err)
}

func (c *channel) loseLocked(err error) {
	if c.lost == nil {
		c.lost = err
	}
	for id, r := range c.waiting {
		r.done <- err
		delete(c.waiting, id)
	}
	c.roomLocked()
}

// without has later requests count as delivered once they are taken; those that wait are settled with err.
func (c *channel) without(err error) {
	c.mu.Lock()
	c.off = true
	ids := slices.Collect(maps.Keys(c.waiting))
	c.mu.Unlock()
	c.end(ids, err)
}

// ended tells whether the channel is of no use any more.
func (c *channel) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost != nil
}

// fill notes that the server has no room for another id.
func (c *channel) fill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full == nil {
		c.full = make(chan struct{})
	}
}

// room gives nil, or what to wait for before a request may go; hopeless says that no answer will ever make room.
func (c *channel) room() (free <-chan struct{}, hopeless bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full == nil {
		return nil, false
	}
	return c.full, len(c.waiting) == 0
}

func (c *channel) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roomLocked()
}

func (c *channel) roomLocked() {
	if c.full != nil {
		close(c.full)
		c.full = nil
	}
}

// header puts the channel and its cookies into a request.
func (c *channel) header(h http.Header) {
	h.Set("X-Splunk-Request-Channel", c.id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cookies) == 0 {
		return
	}
	var text []string
	for _, name := range slices.Sorted(maps.Keys(c.cookies)) {
		text = append(text, name+"="+c.cookies[name])
	}
	h.Set("Cookie", strings.Join(text, "; "))
}

// moved takes over the cookies of a reply and tells whether they lead to another indexer than those before; the first reply of a
// channel is free to. The cookies of Amazon's application load balancer are new with each reply and tell nothing.
func (c *channel) moved(header http.Header) bool {
	if len(header["Set-Cookie"]) == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := false
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		old, known := c.cookies[cookie.Name]
		changed := !known || old != cookie.Value
		if cookie.MaxAge < 0 {
			changed = known
			delete(c.cookies, cookie.Name)
		} else {
			c.cookies[cookie.Name] = cookie.Value
		}
		moved = moved || changed && !strings.HasPrefix(cookie.Name, "AWSALB")
	}
	return moved && c.open
}
