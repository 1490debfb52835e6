package elastic

import (
	"net/url"
	"sync"
	"time"
)

// comeBack is after what time the first endpoint is tried again. A dead one costs a request each time.
const comeBack = 5 * time.Minute

// nodes picks the endpoint for a request: the first one, after a failure the next, and the first again after a while.
type nodes struct {
	urls    []*url.URL
	mu      sync.Mutex
	current int
	left    time.Time // when the first one was left
}

// pick gives the number of the endpoint and its URL.
func (n *nodes) pick(now time.Time) (int, *url.URL) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current != 0 && now.Sub(n.left) >= comeBack {
		n.current = 0
	}
	return n.current, n.urls[n.current]
}

// failed leaves an endpoint, unless another request has left it before.
func (n *nodes) failed(at int, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at != n.current {
		return
	}
	if at == 0 {
		n.left = now
	}
	n.current = (at + 1) % len(n.urls)
}
