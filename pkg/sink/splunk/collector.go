package splunk

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// collector is one endpoint: where it takes events, where it tells what is indexed, and the channel to it.
type collector struct {
	events *url.URL
	acks   *url.URL
	plain  atomic.Bool // it does not take compressed requests

	mu      sync.Mutex
	channel *channel // nil: none yet
}

func newCollector(events *url.URL) *collector {
	acks := *events
	path := strings.TrimRight(events.Path, "/")
	path = strings.TrimSuffix(strings.TrimSuffix(path, "/1.0"), "/event")
	acks.Path = path + "/ack"
	return &collector{events: events, acks: &acks}
}

// session gives the channel for a request with that token: a new one where the old one has ended or belongs to another token. What
// waits on the old one goes on waiting.
func (c *collector) session(as signature) *channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.channel == nil:
		c.channel = newChannel(as, nil)
	case c.channel.ended() || c.channel.as.header != as.header:
		c.renewLocked(as)
	}
	return c.channel
}

// renew replaces a channel, unless somebody has replaced it before.
func (c *collector) renew(old *channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.channel == old {
		c.renewLocked(old.as)
	}
}

func (c *collector) renewLocked(as signature) {
	old := c.channel
	old.mu.Lock()
	defer old.mu.Unlock()
	c.channel = newChannel(as, old.cookies)
}

// vacant gives the channel for a request once the server has room for its id.
func (c *collector) vacant(ctx context.Context, as signature) (*channel, error) {
	for {
		ch := c.session(as)
		free, hopeless := ch.room()
		switch {
		case free == nil:
			return ch, nil
		case hopeless:
			c.renew(ch)
			continue
		}
		select {
		case <-free:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
