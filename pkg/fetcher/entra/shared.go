package entra

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/logferry/logferry/pkg/budget"
	"github.com/logferry/logferry/pkg/secure"
)

// heldPages is how many pages may be in memory at once, of all fetchers that share.
const heldPages = 64

// smallPage is how many bytes of a page are read before it takes one of these places. A quiet tenant's page is complete by then:
// where the service hangs in the middle of many of them, they keep no other tenant's page out.
const smallPage = 16 << 10

// Shared is what the fetchers of one process have in common: the budget of each app registration, the connections, the memory
// for pages. It is safe for use by many goroutines.
type Shared struct {
	mu      sync.Mutex
	budgets map[account]*budget.Limiter
	roads   map[road]*http.Transport

	slots  chan struct{} // holds one element for each page in memory
	memory sync.Pool     // of *pageMemory
	starts sync.Pool     // of *bufio.Reader of smallPage
}

// account is whom the service counts requests for. The same tenant by its GUID and by a domain of its makes two of them: which
// tenant a name stands for is not known before the first token.
type account struct {
	graph, tenant, client string
	class                 budgetClass
}

// road is how connections are made.
type road struct {
	tls    secure.TLS
	proxy  string
	direct bool // never through a proxy
}

// pageMemory is what one page needs while it is read and handled.
type pageMemory struct {
	body  []byte
	split splitter
}

// NewShared makes a Shared for Options.
func NewShared() *Shared {
	s := &Shared{budgets: map[account]*budget.Limiter{}, roads: map[road]*http.Transport{}, slots: make(chan struct{}, heldPages)}
	s.memory.New = func() any { return new(pageMemory) }
	s.starts.New = func() any { return bufio.NewReaderSize(nil, smallPage) }
	return s
}

// Close closes idle connections. Fetches under way go on.
func (s *Shared) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.roads {
		t.CloseIdleConnections()
	}
	return nil
}

// budget gives the limiter for one class of requests of the configuration's app in its tenant. Where several sources name the
// same two, the smallest of their budgets holds for all of them together; identity protection counts per tenant, whatever the app.
func (s *Shared) budget(cfg Config, graph string, class budgetClass, resumed bool) *budget.Limiter {
	key := account{strings.ToLower(graph), strings.ToLower(cfg.Tenant), strings.ToLower(cfg.Auth.App()), class}
	if class == identityProtection {
		key.client = ""
	}
	interval := class.spacing(cfg.Budget)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.budgets[key]
	if l == nil {
		l = budget.New(budget.Options{Interval: interval, Resumed: resumed})
		s.budgets[key] = l
	}
	l.Widen(interval)
	return l
}

// Pace sets each budget anew: to the smallest that these fetchers' configurations want of it. Others stay as they are.
func (s *Shared) Pace(fetchers []*Fetcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	paces := map[*budget.Limiter]time.Duration{}
	for _, f := range fetchers {
		for class, limit := range f.limits {
			if limit != nil {
				paces[limit] = max(paces[limit], budgetClass(class).spacing(f.cfg.Budget))
			}
		}
	}
	for limit, interval := range paces {
		limit.Pace(interval)
	}
}

// transport gives the transport of all sources with these settings: a thousand tenants share the connections to one host. A
// direct one leads to endpoints of this machine, which no proxy can reach, and whose requests and tokens none must see.
func (s *Shared) transport(cfg Config, direct bool) (*http.Transport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := road{cfg.TLS, cfg.Proxy, direct}
	if t := s.roads[key]; t != nil {
		return t, nil
	}
	t, err := newTransport(cfg)
	if err == nil {
		if direct {
			t.Proxy = nil
		}
		s.roads[key] = t
	}
	return t, err
}

// begin returns when the beginning of a body is there, or all of it; the error is what has broken it off. end takes it back.
func (s *Shared) begin(body io.Reader) (*bufio.Reader, error) {
	begun := s.starts.Get().(*bufio.Reader)
	begun.Reset(body)
	_, err := begun.Peek(smallPage)
	if err == io.EOF {
		err = nil
	}
	return begun, err
}

func (s *Shared) end(begun *bufio.Reader) {
	begun.Reset(nil)
	s.starts.Put(begun)
}

// hold waits for a place for one more page. drop gives it back.
func (s *Shared) hold(ctx context.Context) (*pageMemory, error) {
	select {
	case s.slots <- struct{}{}:
		return s.memory.Get().(*pageMemory), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Shared) drop(m *pageMemory) {
	s.memory.Put(m)
	<-s.slots
}

// pingAfter is how long a connection may be silent before it has to prove that it lives, and how long it has for that.
const pingAfter = 20 * time.Second

// mostHeader bounds a reply's header, in bytes. Microsoft's have two or three thousand; Go would take 10 MiB.
const mostHeader = 256 << 10

// newTransport makes a transport from the configuration.
func newTransport(cfg Config) (*http.Transport, error) {
	trust, err := cfg.TLS.Config()
	if err != nil {
		return nil, err
	}
	proxy, err := parseProxy(cfg.Proxy)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = trust
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	t.MaxResponseHeaderBytes = mostHeader
	t.MaxIdleConnsPerHost = heldPages // over HTTP/1 the tenants would make connections all the time with Go's 2
	// HTTP/2 keeps a connection on which a request has timed out. One that was cut without a word (a failover, a firewall that
	// forgot it) would let all others time out, too, until the kernel gives it up after a quarter of an hour.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter}
	return t, nil
}
