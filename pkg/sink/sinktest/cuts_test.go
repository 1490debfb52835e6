package sinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// linePeer stores the lines of whole requests.
type linePeer struct {
	mu      sync.Mutex
	stored  []Received
	seen    map[string]bool
	repeats int
}

func (p *linePeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	all, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(string(all)) {
		body := strings.TrimSuffix(line, "\n")
		if p.seen[body] {
			p.repeats++
		}
		p.seen[body] = true
		p.stored = append(p.stored, Received{Body: body})
	}
	io.WriteString(w, "taken")
}

func (p *linePeer) Taken() ([]Received, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stored, repeats := p.stored, p.repeats
	p.stored, p.repeats = nil, 0
	clear(p.seen)
	return stored, repeats
}

// lineSink posts lines; broken changes what it makes of the outcome.
type lineSink struct {
	url    string
	client http.Client
	broken func(status int, reply string, err error) error
}

func (s *lineSink) Limits() event.Limits { return event.Limits{} }

func (s *lineSink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s *lineSink) Send(ctx context.Context, events []event.Event) error {
	var body strings.Builder
	for _, e := range events {
		fmt.Fprintf(&body, "%s\n", e.Body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, io.NopCloser(strings.NewReader(body.String())))
	if err != nil {
		return err
	}
	req.ContentLength = int64(body.Len())
	resp, err := s.client.Do(req)
	if err != nil {
		return s.broken(0, "", err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	return s.broken(resp.StatusCode, string(reply), err)
}

// TestCuts: the cuts let a correct sink through and see one that believes, or fears, too much.
func TestCuts(t *testing.T) {
	for name, c := range map[string]struct {
		judge func(status int, reply string, err error) error
		good  bool
	}{
		"correct":                        {func(_ int, _ string, err error) error { return err }, true},
		"the status is enough":           {func(status int, _ string, err error) error { return unless(status == 200, err) }, false},
		"half a reply is enough":         {func(_ int, reply string, err error) error { return unless(reply != "", err) }, false},
		"a cut request is called sent":   {func(status int, _ string, err error) error { return unless(status == 0, err) }, false},
		"a cut request is called poison": {func(_ int, _ string, err error) error { return refuse(err) }, false},
		"a cut request blocks":           {func(_ int, _ string, err error) error { return block(err) }, false},
		"a whole reply is not believed": {func() func(int, string, error) error {
			n := 0
			return func(_ int, _ string, err error) error {
				n++
				return unless(err != nil || n%2 == 0, errors.New("once more"))
			}
		}(), false},
	} {
		t.Run(name, func(t *testing.T) {
			peer := &linePeer{seen: map[string]bool{}}
			server := httptest.NewServer(peer)
			defer server.Close()
			address := strings.TrimPrefix(server.URL, "http://")
			cutter := NewCutter(t, address)
			sink := &lineSink{url: "http://" + cutter.Addr(), broken: c.judge, client: http.Client{Transport: &http.Transport{}}}
			defer sink.Close()
			d := cutDriver{h: CutHarness{Server: address, Peer: peer}, cutter: cutter, sink: sink}
			cuts, repeats, err := d.all(rand.New(rand.NewPCG(1, 2)))
			if (err == nil) != c.good {
				t.Errorf("%d cuts, %d repeats: %v", cuts, repeats, err)
			}
		})
	}
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

func refuse(err error) error {
	if err == nil {
		return nil
	}
	return fault.Refuse(err, "")
}

func block(err error) error {
	if err == nil {
		return nil
	}
	return fault.Block(err)
}
