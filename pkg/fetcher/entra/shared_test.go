package entra

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

// TestSharedBudget: sources with the same app and tenant share one budget, the smaller one; others have their own.
func TestSharedBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, auditPage(0, 1, "")), nil }}
		shared := NewShared()
		open := func(change func(*Config)) *Fetcher {
			return newFetcher(t, a, testConfig(t, change), Options{Shared: shared})
		}
		one := open(nil)
		two := open(func(c *Config) {
			c.Tenant, c.Auth.ClientID = strings.ToUpper(c.Tenant), strings.ToUpper(c.Auth.ClientID)
			c.Streams, c.Budget = []string{"audits"}, Budget{1, field.Duration(10 * time.Second)}
		})
		if one.limits[reports] != two.limits[reports] || one.Budget().Interval != 10200*time.Millisecond {
			t.Errorf("the same app in the same tenant has two budgets, or not the smaller one: %+v", one.Budget())
		}
		for name, change := range map[string]func(*Config){
			"another tenant":    func(c *Config) { c.Tenant = "example.com" },
			"another app":       func(c *Config) { c.Auth.ClientID = "another" },
			"another cloud":     func(c *Config) { c.Cloud = "usgov" },
			"another graph_url": func(c *Config) { c.Cloud, c.GraphURL = "global", "https://graph.example.com" },
		} {
			if open(change).limits[reports] == one.limits[reports] {
				t.Errorf("%s shares the budget", name)
			}
		}
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() { _, _, _ = all(t.Context(), []*Fetcher{one, two}[i%2], auditSlice()) })
		}
		group.Wait()
		for i := 1; i < len(a.at); i++ {
			if d := a.at[i].Sub(a.at[i-1]); d != 10200*time.Millisecond {
				t.Errorf("request %d came %s after the one before", i, d)
			}
		}
		if shared.Pace([]*Fetcher{one}); one.Budget().Interval != 2040*time.Millisecond {
			t.Errorf("without the one with the smaller budget it is %+v", one.Budget())
		}
		if shared.Pace([]*Fetcher{one, two}); one.Budget().Interval != 10200*time.Millisecond {
			t.Errorf("with it again it is %+v", one.Budget())
		}
	})
}

func TestResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, began := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, auditPage(0, 1, "")), nil }}, time.Now()
		f := newFetcher(t, a, testConfig(t, nil), Options{Resumed: true})
		if _, _, err := all(t.Context(), f, auditSlice()); err != nil || a.at[0].Sub(began) != 2040*time.Millisecond {
			t.Errorf("the first request left after %s, %v", a.at[0].Sub(began), err)
		}
	})
}

// TestSharedConnections: the tenants of a process share the connections to a host, and one that is closed leaves them to the others.
func TestSharedConnections(t *testing.T) {
	trust := func(c *Config) { c.TLS = secure.TLS{InsecureSkipVerify: true} }
	first, second := testConfig(t, trust), testConfig(t, func(c *Config) { trust(c); c.Tenant = "example.com" })
	proxied := testConfig(t, func(c *Config) { trust(c); c.Proxy = "http://192.0.2.1:3128" })
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		server := &httptest.Server{Listener: network, EnableHTTP2: true, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(r.URL.Path, "/token") {
				fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":86400,"access_token":%q}`, jwt(1))
				return
			}
			_, _ = io.WriteString(w, auditPage(0, 1, ""))
		})}}
		server.StartTLS()
		defer server.Close()
		shared := NewShared()
		transport, err := shared.transport(first, false)
		if err != nil {
			t.Fatal(err)
		}
		transport.DialContext = network.dial
		var fetchers []*Fetcher
		for _, cfg := range []Config{first, second} {
			f, err := New(cfg, Options{Shared: shared})
			if err != nil {
				t.Fatal(err)
			}
			fetchers = append(fetchers, f)
		}
		read := func(i, dials int) {
			t.Helper()
			if _, ids, err := all(t.Context(), fetchers[i], auditSlice()); len(ids) != 1 || err != nil {
				t.Fatalf("%v, %v", ids, err)
			}
			if len(network.dials) != dials {
				t.Errorf("%d connections were made, want %d", len(network.dials), dials)
			}
		}
		read(0, 2) // to sign in, and to Graph
		_ = fetchers[0].Close()
		read(1, 2)
		_ = shared.Close()
		read(0, 3)
		_ = shared.Close()
		if other, err := shared.transport(proxied, false); err != nil || other == transport {
			t.Errorf("another proxy shares the connections: %v", err)
		}
	})
}

// TestPagesInMemory: a process holds so many pages and no more; a slice that waits for its turn holds none.
func TestPagesInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const link = "https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?$skiptoken=2"
		var replies, pages atomic.Int64
		a := &api{}
		a.serve = func(r *http.Request) (*http.Response, error) {
			if replies.Add(1); r.URL.Query().Has("$skiptoken") {
				return respond(200, nil, auditPage(0, 1, "")), nil
			}
			return respond(200, nil, auditPage(0, 1, link)), nil
		}
		shared := NewShared()
		f := newFetcher(t, a, testConfig(t, func(c *Config) { c.Budget = Budget{1000, field.Duration(time.Second)} }), Options{Shared: shared})
		// More slices than there is room for, whose consumers keep their pages.
		const slices = heldPages + 6
		handled := make(chan struct{})
		var group sync.WaitGroup
		for range slices {
			group.Go(func() {
				for _, err := range f.Fetch(t.Context(), auditSlice()) {
					if err != nil {
						t.Error(err)
						return
					}
					pages.Add(1)
					<-handled
				}
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if pages.Load() != heldPages || replies.Load() != slices {
			t.Fatalf("%d pages are in memory, of %d replies", pages.Load(), replies.Load())
		}
		// A slice that gives up does not wait for room, and one that ran out of time is not told to be smaller.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := all(ctx, f, auditSlice()); KindOf(err) != KindCanceled {
			t.Errorf("given up: %v", err)
		}
		g := newFetcher(t, a, testConfig(t, nil), Options{Shared: shared, Timeout: 5 * time.Second})
		if _, _, err := all(t.Context(), g, auditSlice()); KindOf(err) != KindMemory || HalveHint(err) || fault.Of(err) != fault.Retryable {
			t.Errorf("no room: %v", err)
		}
		handled <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		if pages.Load() != heldPages+1 {
			t.Errorf("%d pages after one was handled", pages.Load())
		}
		close(handled)
		group.Wait()
		if pages.Load() != 2*slices || len(shared.slots) != 0 {
			t.Errorf("%d pages in all, %d held", pages.Load(), len(shared.slots))
		}
	})
}

// TestHangingPagesHoldNoPlace: where the service hangs in the middle of many small pages, others are read all the same.
func TestHangingPagesHoldNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		a.serve = func(r *http.Request) (*http.Response, error) {
			res := respond(200, nil, auditPage(0, 1, ""))
			res.Body = hanging{io.LimitReader(res.Body, 100), r.Context()}
			return res, nil
		}
		shared := NewShared()
		f := newFetcher(t, a, testConfig(t, func(c *Config) { c.Budget = Budget{1000, field.Duration(time.Second)} }), Options{Shared: shared})
		var group sync.WaitGroup
		for range heldPages + 1 {
			group.Go(func() {
				if _, _, err := all(t.Context(), f, auditSlice()); KindOf(err) != KindTimeout {
					t.Errorf("a page that hangs: %v", err)
				}
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		whole := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, auditPage(0, 1, "")), nil }}
		g := newFetcher(t, whole, testConfig(t, nil), Options{Shared: shared})
		asked := time.Now()
		if _, ids, err := all(t.Context(), g, auditSlice()); len(ids) != 1 || err != nil || time.Since(asked) > 10*time.Second {
			t.Errorf("beside them: %v, %v, after %s", ids, err, time.Since(asked))
		}
		group.Wait()
	})
}

// hanging is a body that ends with its request.
type hanging struct {
	io.Reader
	ctx context.Context
}

func (h hanging) Read(p []byte) (int, error) {
	if n, _ := h.Reader.Read(p); n > 0 {
		return n, nil
	}
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

func (h hanging) Close() error { return nil }

// TestWaitingHoldsNoPage: between two pages, and whatever ends a slice, its memory is with the others.
func TestWaitingHoldsNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		a.serve = func(*http.Request) (*http.Response, error) {
			return respond(200, nil, auditPage(0, 1, fmt.Sprintf("https://graph.microsoft.com/x?$skiptoken=%d", len(a.requests)))), nil
		}
		f := newFetcher(t, a, testConfig(t, func(c *Config) { c.Budget = Budget{1, field.Duration(time.Hour)} }), Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			var last error
			for _, err := range f.Fetch(ctx, auditSlice()) {
				if held := len(f.shared.slots); err == nil && held != 1 {
					t.Errorf("%d pages are held while one is handled", held)
				}
				last = err
			}
			ended <- last
		}()
		synctest.Wait()
		if len(a.requests) != 1 || f.Budget().Waiting[event.ClassLive] != 1 || len(f.shared.slots) != 0 {
			t.Errorf("%d requests, %d waiting, %d pages held", len(a.requests), f.Budget().Waiting[event.ClassLive], len(f.shared.slots))
		}
		cancel()
		if err := <-ended; KindOf(err) != KindCanceled {
			t.Errorf("error %v", err)
		}
		func() {
			defer func() { _ = recover() }()
			for range f.Fetch(t.Context(), auditSlice()) {
				panic("a consumer's")
			}
		}()
		for range f.Fetch(t.Context(), auditSlice()) {
			break
		}
		if len(f.shared.slots) != 0 {
			t.Errorf("%d pages are held for ever", len(f.shared.slots))
		}
	})
}
