package post

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

// ComeBack is after what time the first endpoint is tried again. A dead one costs a request each time.
const ComeBack = 5 * time.Minute

// Nodes picks the endpoint for a request: the first one, after a failure the next, and the first again after a while.
type Nodes struct {
	urls    []*url.URL
	mu      sync.Mutex
	current int
	left    time.Time // when the first one was left
}

// NewNodes takes one URL at least.
func NewNodes(urls []*url.URL) *Nodes { return &Nodes{urls: urls} }

// All gives the endpoints in their order.
func (n *Nodes) All() []*url.URL { return n.urls }

// Pick gives the number of the endpoint and its URL.
func (n *Nodes) Pick(now time.Time) (int, *url.URL) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current != 0 && now.Sub(n.left) >= ComeBack {
		n.current = 0
	}
	return n.current, n.urls[n.current]
}

// Failed leaves an endpoint, unless another request has left it before.
func (n *Nodes) Failed(at int, now time.Time) {
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

// Try has request use the endpoint of the moment. If that is retryable or Blocked, the next one may be better, whatever is wrong;
// poison is poison everywhere, and a request that ctx has ended says nothing.
func (n *Nodes) Try(ctx context.Context, request func(to *url.URL) error) error {
	at, to := n.Pick(time.Now())
	err := request(to)
	if class := fault.Of(err); err != nil && ctx.Err() == nil && (class == fault.Retryable || class == fault.Blocked) {
		n.Failed(at, time.Now())
	}
	return err
}
