package splunk

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// TestAckMany has Sends of several goroutines wait for ids that are acknowledged out of order: each ends with its own id's true, and
// nothing is repeated.
func TestAckMany(t *testing.T) {
	bubble(t, func(c *Config) { c.Ack = "if_offered" }, func(t *testing.T, h *hec, s *Sink) {
		var events []event.Event
		for i := range 400 {
			events = append(events, sample(i, "audits", fmt.Sprintf(`{"n":%d}`, i)))
		}
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for i := w * 50; i < w*50+50; i += 5 {
					if err := s.Send(t.Context(), events[i:i+5]); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(i*37%1900) * time.Millisecond)
				}
			})
		}
		all.Wait()
		if got := h.kept(events); got != strings.Repeat("1", 400) {
			t.Errorf("stored %s", got)
		}
		if n := len(h.sessions); n != 1 {
			t.Errorf("%d channels", n)
		}
	})
}

// TestAckFirstAlone: the first request on a channel goes alone, so that all others come with the cookie that it gets.
func TestAckFirstAlone(t *testing.T) {
	bubble(t, func(c *Config) { c.Ack = "if_offered" }, func(t *testing.T, h *hec, s *Sink) {
		h.node = "one"
		h.reply = func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Second); return false }
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := s.Send(t.Context(), samples(1)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i, header := range h.headers {
			if got := header.Get("Cookie"); (got == "node=one") != (i > 0) {
				t.Errorf("request %d has cookie %q", i, got)
			}
		}
	})
}

// TestAckFirstFails: those that wait for the first request fail with it when it gets no reply, and not one after the other; a
// verdict on its own events is not theirs.
func TestAckFirstFails(t *testing.T) {
	for _, refused := range []bool{false, true} {
		bubble(t, func(c *Config) { c.Ack = "if_offered" }, func(t *testing.T, h *hec, s *Sink) {
			var once sync.Once
			h.reply = func(w http.ResponseWriter, r *http.Request) (instead bool) {
				if !refused {
					<-r.Context().Done()
					panic(http.ErrAbortHandler)
				}
				once.Do(func() {
					time.Sleep(time.Second)
					answer(w, http.StatusRequestEntityTooLarge, "<html>")
					instead = true
				})
				return instead
			}
			began := time.Now()
			var all sync.WaitGroup
			outcomes := make([]string, 8)
			for i := range outcomes {
				all.Go(func() { outcomes[i] = outcome(s.Send(t.Context(), samples(2))) })
			}
			all.Wait()
			slices.Sort(outcomes)
			got := strings.Join(slices.Compact(outcomes), " ")
			if want := map[bool]string{false: "retryable", true: "accepted poison"}[refused]; got != want || time.Since(began) > time.Minute {
				t.Errorf("%s after %s, want %s", got, time.Since(began), want)
			}
		})
	}
}

// TestAckCookieChange: when the balancer leads to another indexer, what waits for the old one is sent again, on a new channel.
func TestAckCookieChange(t *testing.T) {
	for _, by := range []string{"a question", "a request"} {
		t.Run(by, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
				h.node = "one"
				if err := s.Send(t.Context(), samples(1)); err != nil {
					t.Fatal(err)
				}
				h.after = 30
				events := samples(3)
				done := make(chan error, 1)
				go func() { done <- s.Send(t.Context(), events) }()
				time.Sleep(300 * time.Millisecond)
				h.mu.Lock()
				h.node, h.stored, h.after = "two", nil, 0 // the indexer is gone with what it had
				h.mu.Unlock()
				if by == "a request" {
					if err := s.Send(t.Context(), samples(1)); err == nil || fault.Of(err) != fault.Retryable {
						t.Errorf("an id of the new indexer on the old channel: %v", err)
					}
				}
				if err := <-done; err == nil || fault.Of(err) != fault.Retryable || !strings.Contains(err.Error(), "moved to another indexer") {
					t.Errorf("what waited: %v", err)
				}
				before := h.headers[0].Get("X-Splunk-Request-Channel")
				h.headers = nil
				if err := s.Send(t.Context(), events); err != nil {
					t.Fatal(err)
				}
				if now := h.headers[0]; now.Get("X-Splunk-Request-Channel") == before || now.Get("Cookie") != "node=two" {
					t.Errorf("channel %s after %s, cookie %q", now.Get("X-Splunk-Request-Channel"), before, now.Get("Cookie"))
				}
			})
		})
	}
}

// TestAckCookiesThatTellNothing: one balancer gives a new value with each reply, to whatever server it leads.
func TestAckCookiesThatTellNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		n := 0
		h.reply = func(w http.ResponseWriter, _ *http.Request) bool {
			n++
			http.SetCookie(w, &http.Cookie{Name: "AWSALBCORS", Value: fmt.Sprint(n)})
			return false
		}
		for range 5 {
			if err := s.Send(t.Context(), samples(1)); err != nil {
				t.Error(err)
			}
		}
		if last := h.headers[len(h.headers)-1].Get("Cookie"); last != fmt.Sprint("AWSALBCORS=", n-2) {
			t.Errorf("the last of %d cookies is %q", n, last)
		}
	})
}

// TestAckIdsAnew: an indexer that was restarted gives an id again that is waited for. Its true may mean either.
func TestAckIdsAnew(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.after = 10
		done := make(chan error, 1)
		go func() { done <- s.Send(t.Context(), samples(1)) }()
		time.Sleep(300 * time.Millisecond)
		h.mu.Lock()
		h.sessions, h.after = nil, 0
		h.mu.Unlock()
		if err := s.Send(t.Context(), samples(2)); err == nil || fault.Of(err) != fault.Retryable {
			t.Errorf("the later one: %v", err)
		}
		if err := <-done; err == nil || fault.Of(err) != fault.Retryable {
			t.Errorf("the earlier one: %v", err)
		}
		if err := s.Send(t.Context(), samples(2)); err != nil {
			t.Error(err)
		}
	})
}

// TestAckInvalidChannel: the same events go again on a new channel.
func TestAckInvalidChannel(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.script = func([]string) (int, string) { return 400, `{"text":"Invalid data channel","code":11}` }
		if err := s.Send(t.Context(), samples(1)); err == nil || fault.Of(err) != fault.Retryable {
			t.Errorf("code 11: %v", err)
		}
		h.script = nil
		if err := s.Send(t.Context(), samples(1)); err != nil {
			t.Error(err)
		}
		if h.headers[0].Get("X-Splunk-Request-Channel") == h.headers[1].Get("X-Splunk-Request-Channel") {
			t.Error("the channel is the old one")
		}
	})
}

// TestAckTokenChange: a channel belongs to its token. What waits on the old one goes on waiting there.
func TestAckTokenChange(t *testing.T) {
	path := ""
	bubble(t, func(c *Config) { path = c.TokenFile }, func(t *testing.T, h *hec, s *Sink) {
		h.after = 8
		h.reply = func(_ http.ResponseWriter, r *http.Request) bool { // both tokens are good
			r.Header.Set("Authorization", "Splunk "+testToken)
			return false
		}
		done := make(chan error, 1)
		go func() { done <- s.Send(t.Context(), samples(1)) }()
		time.Sleep(2 * time.Second)
		if err := os.WriteFile(path, []byte("another"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), samples(2)); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil || len(h.sessions) != 2 {
			t.Errorf("%d channels: %v", len(h.sessions), err)
		}
	})
}

// TestAckCapacity: with its channels full the server gets no request before it was asked for what waits; where nothing waits, a new
// channel is taken.
func TestAckCapacity(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.after = 1
		done := make(chan error, 1)
		go func() { done <- s.Send(t.Context(), samples(1)) }()
		time.Sleep(300 * time.Millisecond)
		full := `{"text":"ACK channel is at capacity","code":27}`
		h.says(func([]string) (int, string) { return 429, full })
		if err := s.Send(t.Context(), samples(2)); err == nil || fault.Of(err) != fault.Retryable {
			t.Errorf("code 27: %v", err)
		}
		h.says(func([]string) (int, string) {
			if n := len(h.questions); n != 2 { // one before the first event
				t.Errorf("a request after %d questions", n)
			}
			return 0, ""
		})
		if s.Limits().InFlight != inFlightAck/2 {
			t.Errorf("%d requests at once", s.Limits().InFlight)
		}
		if err := s.Send(t.Context(), samples(2)); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if s.Limits().InFlight != inFlightAck {
			t.Errorf("%d requests at once after a minute", s.Limits().InFlight)
		}
		h.says(func([]string) (int, string) { h.script = nil; return 429, full })
		events := samples(2)
		if _, err := drive(t.Context(), s, events); err != nil || len(h.sessions) != 2 {
			t.Errorf("with nothing waiting: %d channels, %v", len(h.sessions), err)
		}
	})
}

// TestNearCapacity: the events are accepted, and fewer requests are made for a while.
func TestNearCapacity(t *testing.T) {
	for _, code := range []int{24, 25} {
		bubble(t, func(c *Config) { c.Ack = "off" }, func(t *testing.T, h *hec, s *Sink) {
			h.acks = false
			h.script = func([]string) (int, string) { return 200, fmt.Sprintf(`{"text":"near","code":%d}`, code) }
			if err := s.Send(t.Context(), samples(2)); err != nil || s.Limits().InFlight != 1 {
				t.Errorf("code %d: %d at once, %v", code, s.Limits().InFlight, err)
			}
			time.Sleep(time.Minute)
			if s.Limits().InFlight != inFlight {
				t.Errorf("code %d: %d at once after a minute", code, s.Limits().InFlight)
			}
		})
	}
}

// TestAckFailover: each endpoint has its own channel, and what one does not acknowledge the next one gets.
func TestAckFailover(t *testing.T) {
	bubble(t, func(c *Config) { c.Endpoints = append(c.Endpoints, "https://second.example.com") }, func(t *testing.T, h *hec, s *Sink) {
		var hosts []string
		h.reply = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == eventPath {
				hosts = append(hosts, r.Host)
				return false
			}
			return r.Host == "splunk.example.com" && isQuestion(h, r) && func() bool { answer(w, 502, "<html>"); return true }()
		}
		events := samples(2)
		if _, err := drive(t.Context(), s, events); err != nil || fmt.Sprint(hosts) != "[splunk.example.com second.example.com]" {
			t.Errorf("sent to %s: %v", hosts, err)
		}
		h.reply = func(_ http.ResponseWriter, r *http.Request) bool {
			hosts = append(hosts, r.Host)
			return false
		}
		time.Sleep(post.ComeBack)
		if err := s.Send(t.Context(), events); err != nil || hosts[len(hosts)-1] != "splunk.example.com" {
			t.Errorf("sent to %s: %v", hosts, err)
		}
		channels := map[string]bool{}
		for _, header := range h.headers {
			channels[header.Get("X-Splunk-Request-Channel")] = true
		}
		if len(channels) != 2 {
			t.Errorf("%d channels for two endpoints", len(channels))
		}
	})
}

// TestAckClose: nothing waits and nobody asks any more; the bubble sees to the goroutines.
func TestAckClose(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.after = 1 << 30
		done := make(chan error, 9)
		for range cap(done) {
			go func() { done <- s.Send(t.Context(), samples(1)) }()
		}
		time.Sleep(10500 * time.Millisecond)
		s.Close()
		for range cap(done) {
			if err := <-done; err == nil || fault.Of(err) != fault.Retryable || !errors.Is(err, post.ErrClosed) {
				t.Errorf("%v", err)
			}
		}
		time.Sleep(time.Minute)
		h.mu.Lock()
		defer h.mu.Unlock()
		if n := len(h.questions); n != 11 { // one before the first event
			t.Errorf("%d questions", n)
		}
	})
}

// TestAckGroups: the requests for several indexes wait for their acknowledgements together.
func TestAckGroups(t *testing.T) {
	bubble(t, func(c *Config) { c.Index = "{stream}" }, func(t *testing.T, h *hec, s *Sink) {
		h.after = 9
		began := time.Now()
		var events []event.Event
		for i := range 12 {
			events = append(events, sample(i, []string{"a", "b", "missing"}[i%3], `{}`))
		}
		dead, err := drive(t.Context(), s, events)
		if took := time.Since(began); err != nil || !slices.Equal(dead, []int{2, 5, 8, 11}) || took != 10*time.Second || h.kept(events) != "110110110110" {
			t.Errorf("after %s dead %v, stored %s: %v", took, dead, h.kept(events), err)
		}
	})
}

// TestAckPoison: what is refused on the way to an acknowledgement is told apart from what waits for it.
func TestAckPoison(t *testing.T) {
	bubble(t, nil, func(t *testing.T, h *hec, s *Sink) {
		h.Set(sinktest.RefuseMarked)
		events := samples(6)
		events[4].Body = []byte(`"` + sinktest.Marker + `"`)
		dead, err := drive(t.Context(), s, events)
		if err != nil || fmt.Sprint(dead) != "[4]" || strings.Contains(h.kept(events)[:4], "0") {
			t.Errorf("dead %v, stored %s: %v", dead, h.kept(events), err)
		}
	})
}
